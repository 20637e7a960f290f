//! One call serves an axum router by every version.

use crate::support::{app, client, fetch, fetch3, get3, http3, identity, loopback, protected};
use bytes::Bytes;
use http::Request;
use portway_core::security::TlsVersion;
use portway_http::Client;
use portway_http::pool::Version;
use portway_http::server::{Server, Serving, Versions};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a client of any version sees.
async fn every_version_is_served(serving: &Serving) {
    let address = serving.address();
    let url = format!("https://{address}/info");
    let client = client();
    for (version, expected) in [
        (Version::Http1, "HTTP/1.1 http/1.1 [] TLS 1.3 127.0.0.1"),
        (Version::Http2, "HTTP/2.0 h2 [] TLS 1.3 127.0.0.1"),
    ] {
        let said = fetch(&client, &url, version).await;
        assert_eq!(said, format!("{expected} {address}"));
        let response = client
            .get(&url)
            .versions(version)
            .send()
            .await
            .expect("an answer");
        let alt_svc = &response.headers()["alt-svc"];
        assert_eq!(*alt_svc, format!("h3=\":{}\"; ma=86400", address.port()));
        let long = "x".repeat(200_000);
        let echo = format!("https://{address}/echo");
        let request = client.post(&echo).versions(version).body(long.clone());
        let echoed = request
            .send()
            .await
            .expect("an answer")
            .text()
            .await
            .expect("it is whole");
        assert_eq!(echoed, long);
    }
    let client = http3(address).await;
    let said = fetch3(&client, get3("/info")).await;
    let expected = format!(
        "HTTP/3.0 h3 [localhost] {} 127.0.0.1 {address}",
        TlsVersion::Tls13
    );
    assert_eq!(said.body(), expected.as_bytes());
    assert!(said.headers().contains_key("date"));
    assert!(!said.headers().contains_key("alt-svc"));
    let long = Bytes::from(vec![7; 200_000]);
    let request = Request::post("https://localhost/echo").body(long.clone());
    let echoed = fetch3(&client, request.expect("a request")).await;
    assert_eq!(echoed.body(), &long);
    assert_eq!(fetch3(&client, get3("/nowhere")).await.status(), 404);
    client.close(portway_http::h3::Code::H3_NO_ERROR, "");
}

#[tokio::test]
async fn one_call_serves_a_router_by_all_versions_on_one_port() {
    let serving = protected().serve(app()).unwrap();
    every_version_is_served(&serving).await;
    let left = serving.drain(Duration::from_secs(10)).await;
    assert!(left.is_clean(), "{left:?}");
    let refused = client()
        .get(format!("https://{}/", serving.address()))
        .send();
    assert!(refused.await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn threads_of_its_own_serve_the_same() {
    let serving = protected().serve_sharded(2, app()).unwrap();
    every_version_is_served(&serving).await;
    let left = serving.drain(Duration::from_secs(10)).await;
    assert!(left.is_clean(), "{left:?}");
}

/// By which policy the system gives this thread its turns, as proc(5) has it.
#[cfg(target_os = "linux")]
fn policy_of_this_thread() -> String {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("it is there");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    let policy = fields.split(' ').nth(41 - 3);
    policy.expect("it has more fields").to_owned()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn patient_threads_wait_for_their_turn() {
    let app = || {
        let policy = axum::routing::get(async || policy_of_this_thread());
        axum::Router::new().route("/", policy).with_state(())
    };
    let prompt = Server::new(loopback()).serve_sharded(1, app()).unwrap();
    let patient = Server::new(loopback()).patient_threads();
    let patient = patient.serve_sharded(1, app()).unwrap();
    // SCHED_BATCH, sched(7).
    let batch = "3".to_owned();
    for (serving, expected) in [(prompt, policy_of_this_thread()), (patient, batch)] {
        let url = format!("http://{}/", serving.address());
        let said = fetch(&Client::builder().build(), &url, Version::Http1).await;
        assert_eq!(said, expected);
    }
}

/// A server that tells on which processors the thread is kept that answers, with a thread for each
/// processor; none, with the reason, where threads do not follow processors.
#[cfg(target_os = "linux")]
fn telling_processors() -> Option<Serving> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("it is there");
    let mut numbers = release
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next(), numbers.next());
    if version < (Some(6), Some(2)) {
        eprintln!(
            "skipped: Linux {} takes no notice of processors",
            release.trim()
        );
        return None;
    }
    let kept_on = on_processor(0, processors_of_this_thread);
    if kept_on.parse::<u32>().is_err() {
        eprintln!("skipped: threads are kept on no processor, but on {kept_on}");
        return None;
    }
    let told = axum::routing::get(async || processors_of_this_thread());
    let app = axum::Router::new().route("/", told).with_state(());
    let serving = Server::new(loopback()).serve_sharded(0, app);
    Some(serving.expect("a server"))
}

/// As proc(5) has them, such as `0` or `0-1`.
#[cfg(target_os = "linux")]
fn processors_of_this_thread() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("it is there");
    let field = status
        .lines()
        .find_map(|it| it.strip_prefix("Cpus_allowed_list:"));
    field.expect("it has one").trim().to_owned()
}

/// Asks on a connection of its own, from the calling thread, and gives the content.
#[cfg(target_os = "linux")]
fn ask(serving: &Serving) -> String {
    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect(serving.address()).expect("it listens");
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).expect("it is read");
    let mut said = String::new();
    socket.read_to_string(&mut said).expect("an answer");
    let (_, content) = said.split_once("\r\n\r\n").expect("a head");
    content.to_owned()
}

/// Does this on a thread that is kept on the processor with this index, of all there are.
#[cfg(target_os = "linux")]
fn on_processor<T: Send + 'static>(index: u16, act: impl FnOnce() -> T + Send + 'static) -> T {
    use portway_transport::real::{Turns, start_pinned, thread_count};
    let act = async move || Ok((act(), async {}));
    let started = start_pinned("client", index, thread_count(0), Turns::Prompt, act);
    let (thread, found) = started.expect("a thread");
    thread.join().expect("no panic");
    found
}

#[cfg(target_os = "linux")]
#[test]
fn a_connection_is_served_on_the_processor_where_its_packets_arrive() {
    let Some(serving) = telling_processors() else {
        return;
    };
    let serving = std::sync::Arc::new(serving);
    // Each has its part in turn, so that none gets too much.
    for _ in 0..20 {
        for index in 0..portway_transport::real::thread_count(0) {
            let serving = serving.clone();
            let (served, asked) =
                on_processor(index, move || (ask(&serving), processors_of_this_thread()));
            assert_eq!(served, asked);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_thread_that_gets_all_of_them_lets_chance_decide() {
    let Some(serving) = telling_processors() else {
        return;
    };
    if portway_transport::real::thread_count(0) < 2 {
        eprintln!("skipped: there is one processor");
        return;
    }
    let (served, asked) = on_processor(0, move || {
        let served: Vec<_> = (0..256 + 64).map(|_| ask(&serving)).collect();
        (served, processors_of_this_thread())
    });
    let (before, after) = served.split_at(256);
    assert!(before.iter().all(|served| *served == asked));
    assert!(after.iter().any(|served| *served != asked));
}

#[tokio::test]
async fn cleartext_is_http1_and_http2_by_prior_knowledge() {
    let serving = Server::new(loopback()).serve(app()).unwrap();
    let url = format!("http://{}/info", serving.address());
    let client = Client::builder().build();
    for (version, name) in [(Version::Http1, "HTTP/1.1"), (Version::Http2, "HTTP/2.0")] {
        let response = client
            .get(&url)
            .versions(version)
            .send()
            .await
            .expect("an answer");
        assert!(!response.headers().contains_key("alt-svc"));
        let said = response.text().await.expect("it is whole");
        let address = serving.address();
        assert_eq!(said, format!("{name}  []  127.0.0.1 {address}"));
    }
}

#[tokio::test]
async fn versions_that_are_off_are_not_spoken() {
    let server = protected().versions(Versions::new(true, false, false));
    let serving = server.serve(app()).unwrap();
    let url = format!("https://{}/", serving.address());
    let client = client();
    let response = client.get(&url).send().await.expect("an answer");
    assert_eq!(response.version(), Version::Http1);
    assert!(!response.headers().contains_key("alt-svc"));
    let only3 = Server::new(loopback()).versions(Versions::new(false, false, true));
    assert!(only3.serve(app()).is_err(), "HTTP/3 needs an identity");
}

/// A client of TLS that offers these application protocols, or none.
async fn tls(
    serving: &Serving,
    alpn: &[&[u8]],
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(identity().chain[0].clone())
        .expect("a certificate");
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(serving.address()).await?;
    let name = "localhost".try_into().expect("a name");
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    connector.connect(name, stream).await
}

#[tokio::test]
async fn a_client_that_names_no_protocol_is_served_http1() {
    let serving = protected().serve(app()).unwrap();
    let mut stream = tls(&serving, &[]).await.expect("a handshake");
    let request = b"GET /info HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.expect("it is taken");
    let mut said = String::new();
    stream.read_to_string(&mut said).await.expect("an answer");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert!(said.contains("HTTP/1.1  [localhost] TLS 1.3"), "{said}");
    // RFC 7301 §3.2: to name others only is another matter.
    assert!(tls(&serving, &[b"spdy/1"]).await.is_err());
    let only2 = protected().versions(Versions::new(false, true, false));
    let serving = only2.serve(app()).unwrap();
    let mut lost = match tls(&serving, &[]).await {
        Ok(stream) => stream,
        Err(_) => return,
    };
    let end = lost.read_to_string(&mut said).await;
    assert!(end.is_err(), "HTTP/2 is agreed upon or not spoken");
}
