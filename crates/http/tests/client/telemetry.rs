//! Measurements and traces, of all versions and however a request ends.

use super::http3_server::{Http3Server, say};
use super::server::{Made, Server, Speaks, answer};
use super::until;
use portway_http::Client;
use portway_http::client::{Attribute, Metric, Recorder, Value, VersionPolicy};
use portway_http::pool::Version;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was measured, by metric and attributes: sums of counts, numbers of times.
#[derive(Default)]
struct Measured(Mutex<BTreeMap<(&'static str, String), i64>>);

fn written(attributes: &[Attribute<'_>]) -> String {
    let each = attributes.iter().map(|attribute| match attribute.value {
        Value::Text(text) => format!("{}={text}", attribute.name),
        Value::Number(number) => format!("{}={number}", attribute.name),
        other => panic!("{other:?} is not known here"),
    });
    each.collect::<Vec<_>>().join(" ")
}

impl Recorder for Measured {
    fn add(&self, metric: Metric, delta: i64, attributes: &[Attribute<'_>]) {
        let mut all = self.0.lock().expect("no panic");
        *all.entry((metric.name(), written(attributes))).or_default() += delta;
    }

    fn record(&self, metric: Metric, _: Duration, attributes: &[Attribute<'_>]) {
        let mut all = self.0.lock().expect("no panic");
        *all.entry((metric.name(), written(attributes))).or_default() += 1;
    }
}

impl Measured {
    /// The sum over all attributes that have these words.
    fn sum(&self, metric: Metric, words: &[&str]) -> i64 {
        let all = self.0.lock().expect("no panic");
        let fits = |attributes: &str| words.iter().all(|word| attributes.contains(word));
        let of = all
            .iter()
            .filter(|((name, attributes), _)| *name == metric.name() && fits(attributes));
        of.map(|(_, sum)| sum).sum()
    }
}

const IDLE: &str = "http.connection.state=idle";
const ACTIVE: &str = "http.connection.state=active";

/// A server of this version, with its URL, and what keeps it alive.
async fn serving(version: Version, made: &Made) -> (String, Box<dyn std::any::Any>) {
    let speaks: &[&[u8]] = match version {
        Version::Http1 => &[b"http/1.1"],
        Version::Http2 => &[b"h2"],
        Version::Http3 => {
            let address = "127.0.0.1:0".parse().expect("it is one");
            let server = Http3Server::start(made, address, |incoming| async {
                say(incoming, "content");
            });
            return (server.url("/"), Box::new(server));
        }
    };
    let handler = |_| async { answer(200, "content") };
    let server = Server::start_with(made, Speaks::Tls(speaks), 10, handler).await;
    (server.url("/"), Box::new(server))
}

#[tokio::test]
async fn requests_and_connections_of_each_version_are_measured() {
    for (version, number) in [
        (Version::Http1, "network.protocol.version=1.1"),
        (Version::Http2, "network.protocol.version=2"),
        (Version::Http3, "network.protocol.version=3"),
    ] {
        let made = Made::new();
        let (url, _server) = serving(version, &made).await;
        let measured = Arc::new(Measured::default());
        let client = Client::builder().security(made.security());
        let client = client.recorder(measured.clone()).build();
        let get = || {
            client
                .get(&url)
                .version(version, VersionPolicy::Exact)
                .send()
        };
        let response = get().await.unwrap();
        let active = |words: &[&str]| measured.sum(Metric::ActiveRequests, words);
        assert_eq!(active(&["http.request.method=GET", "url.scheme=https"]), 1);
        let open = |state| measured.sum(Metric::OpenConnections, &[number, state]);
        assert_eq!((open(IDLE), open(ACTIVE)), (0, 1), "{version}");
        response.bytes().await.unwrap();
        assert_eq!(active(&[]), 0, "it has been read to its end");
        until(|| open(ACTIVE) == 0).await;
        assert_eq!(open(IDLE), 1);
        drop(get().await.unwrap());
        until(|| active(&[]) == 0).await;
        let status = "http.response.status_code=200";
        let durations = |words: &[&str]| measured.sum(Metric::RequestDuration, words);
        assert_eq!(durations(&[number, status, "server.address=127.0.0.1"]), 2);
        assert_eq!(durations(&["error.type"]), 0);
        assert_eq!(measured.sum(Metric::TimeInQueue, &[number]), 2, "{version}");
        drop(client);
        until(|| open(IDLE) + open(ACTIVE) == 0).await;
        assert_eq!(measured.sum(Metric::ConnectionDuration, &[number]), 1);
    }
}

#[tokio::test]
async fn failures_are_measured_by_their_class_and_status() {
    let handler = |_| async { answer(503, "no") };
    let server = Server::start(Speaks::Http1, 1, handler).await;
    let measured = Arc::new(Measured::default());
    let client = Client::builder().recorder(measured.clone()).build();
    client.get(server.url("/")).send().await.unwrap();
    let method = http::Method::from_bytes(b"PURGE-7f3a").unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let refused = client.request(method, format!("http://{address}/"));
    assert!(refused.send().await.is_err());
    let durations = |words: &[&str]| measured.sum(Metric::RequestDuration, words);
    assert_eq!(
        durations(&["error.type=503", "http.response.status_code=503"]),
        1
    );
    assert_eq!(
        durations(&["error.type=connect", "http.request.method=_OTHER"]),
        1
    );
    until(|| measured.sum(Metric::ActiveRequests, &[]) == 0).await;
    let localhost = format!("http://localhost:{}/", server.address.port());
    client.get(localhost).send().await.unwrap();
    let lookups = measured.sum(Metric::DnsLookupDuration, &["dns.question.name=localhost"]);
    assert!(lookups > 0);
}

#[tokio::test]
async fn a_request_that_is_dropped_is_active_no_more() {
    let handler = |_| std::future::pending();
    let server = Server::start(Speaks::Http1, 1, handler).await;
    let measured = Arc::new(Measured::default());
    let client = Client::builder().recorder(measured.clone()).build();
    let mut sending = Box::pin(client.get(server.url("/")).send());
    super::begin(&mut sending).await;
    assert_eq!(measured.sum(Metric::ActiveRequests, &[]), 1);
    drop(sending);
    assert_eq!(measured.sum(Metric::ActiveRequests, &[]), 0);
    assert_eq!(measured.sum(Metric::RequestDuration, &[]), 0);
}

/// Keeps what spans and events say.
#[derive(Default)]
struct Subscriber(Mutex<Vec<String>>);

struct Fields<'a>(&'a mut Vec<String>);

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push(format!("{}={value:?}", field.name()));
    }
}

impl tracing::Subscriber for Subscriber {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "portway_http::client"
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut Fields(&mut self.0.lock().expect("no panic")));
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut Fields(&mut self.0.lock().expect("no panic")));
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Fields(&mut self.0.lock().expect("no panic")));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn a_request_is_a_span_without_its_secrets() {
    let handler = |_| async { answer(404, "no") };
    let server = Server::start(Speaks::Http1, 1, handler).await;
    let subscriber = Arc::new(Subscriber::default());
    let _default = tracing::subscriber::set_default(subscriber.clone());
    let url = server.url("/path?secret");
    let client = Client::builder().build();
    client.get(url).send().await.unwrap();
    let said = subscriber.0.lock().unwrap().join("\n");
    for words in [
        "otel.kind=\"client\"",
        "http.request.method=\"GET\"",
        "/path\"",
        "server.address=\"127.0.0.1\"",
        "http.response.status_code=404",
        "network.protocol.version=\"1.1\"",
        "error.type=\"404\"",
        "dialling http://127.0.0.1",
    ] {
        assert!(said.contains(words), "no {words} in {said}");
    }
    assert!(!said.contains("secret"), "{said}");
}
