//! The faults that are usual among clients, which this one must not have.

use super::server::{Server, Speaks, answer, raw, read_head};
use super::{begin, client, until};
use http_body_util::StreamBody;
use portway_core::SecurityParameters;
use portway_http::Client;
use portway_http::client::{Body, ErrorClass, Timeouts};
use portway_http::pool::{Config, Counts, Version};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Barrier, Notify};
use tokio::task::JoinSet;

const H2: &[&[u8]] = &[b"h2", b"http/1.1"];

#[tokio::test]
async fn twenty_first_requests_to_an_http2_server_share_one_connection() {
    let server = Server::start(Speaks::Tls(H2), 100, |_| async { answer(200, "yes") }).await;
    let client = client(&server);
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        requests.spawn(client.get(server.url("/")).send());
    }
    for response in requests.join_all().await {
        let response = response.unwrap();
        assert_eq!(response.version(), Version::Http2);
        assert_eq!(response.text().await.unwrap(), "yes");
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_stream_limit_of_one_opens_further_connections() {
    let together = Arc::new(Barrier::new(3));
    let server = Server::start(Speaks::Tls(H2), 1, move |_| {
        let together = together.clone();
        // Whoever sends them one after another never gets past this.
        async move {
            together.wait().await;
            answer(200, "together")
        }
    })
    .await;
    let client = client(&server);
    let mut requests = JoinSet::new();
    for _ in 0..3 {
        requests.spawn(client.get(server.url("/")).send());
    }
    for response in requests.join_all().await {
        assert_eq!(response.unwrap().text().await.unwrap(), "together");
    }
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn an_abandoned_connect_ends_and_its_socket_with_it() {
    let (accepted, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (accepted.clone(), gone.clone());
    let address = raw(move |_, mut stream| {
        let (accepted, gone) = told.clone();
        async move {
            accepted.notify_one();
            // The client hello comes, and is not answered.
            let mut hello = Vec::new();
            let _ = stream.read_to_end(&mut hello).await;
            gone.notify_one();
        }
    })
    .await;
    let mut config = Config::default();
    config.abandoned_dial_max = Duration::from_millis(50);
    let client = Client::builder().pool(config).build();
    let mut request = Box::pin(client.get(format!("https://{address}/")).send());
    tokio::select! {
        _ = &mut request => panic!("nobody answers"),
        () = accepted.notified() => {}
    }
    drop(request);
    assert_eq!(client.counts().dials, 1, "the dial goes on for a while");
    gone.notified().await;
    assert_eq!(client.counts().dials, 0);
}

#[tokio::test]
async fn a_cancelled_request_fails_no_other_while_the_connection_is_made() {
    let server = Server::start(Speaks::Tls(H2), 100, |_| async { answer(200, "yes") }).await;
    let client = client(&server);
    let mut first = Box::pin(client.get(server.url("/")).send());
    let mut second = Box::pin(client.get(server.url("/")).send());
    begin(&mut first).await;
    begin(&mut second).await;
    drop(first);
    assert_eq!(second.await.unwrap().text().await.unwrap(), "yes");
    assert_eq!(
        server.accepted(),
        1,
        "the dial of the first one served the second"
    );
}

#[tokio::test]
async fn a_cancelled_request_fails_no_other_on_its_connection() {
    let (arrived, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let state = (arrived.clone(), go_on.clone());
    let server = Server::start(Speaks::Tls(H2), 100, move |_| {
        let (arrived, go_on) = state.clone();
        async move {
            arrived.fetch_add(1, Ordering::SeqCst);
            go_on.notified().await;
            answer(200, "still there")
        }
    })
    .await;
    let client = client(&server);
    let cancelled = tokio::spawn(client.get(server.url("/")).send());
    let kept = tokio::spawn(client.get(server.url("/")).send());
    until(|| arrived.load(Ordering::SeqCst) == 2).await;
    cancelled.abort();
    assert!(cancelled.await.is_err());
    go_on.notify_waiters();
    assert_eq!(
        kept.await.unwrap().unwrap().text().await.unwrap(),
        "still there"
    );
    let next = tokio::spawn(client.get(server.url("/")).send());
    until(|| arrived.load(Ordering::SeqCst) == 3).await;
    go_on.notify_waiters();
    assert_eq!(next.await.unwrap().unwrap().status(), 200);
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn connections_are_limited_and_grow_old() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let state = (now.clone(), most.clone());
    let server = Server::start(Speaks::Http1, 1, move |_| {
        let (now, most) = state.clone();
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
            answer(200, "yes")
        }
    })
    .await;
    let mut config = Config::default();
    config.connections_per_key_max = 2;
    config.lifetime_max = Some(Duration::from_millis(50));
    let client = Client::builder().pool(config).build();
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let request = client.get(server.url("/")).send();
        requests.spawn(async move { request.await.unwrap().bytes().await.unwrap() });
    }
    requests.join_all().await;
    assert!(most.load(Ordering::SeqCst) <= 2);
    server.all_closed().await;
    assert_eq!(
        client.counts().idle,
        0,
        "what has reached its age is closed"
    );
}

#[tokio::test]
async fn a_request_may_name_its_version_and_the_server() {
    let server = Server::start(Speaks::Tls(H2), 100, |_| async { answer(200, "yes") }).await;
    let client = client(&server);
    for (version, name) in [
        (Version::Http2, "one.test"),
        (Version::Http1, "one.test"),
        (Version::Http2, "two.test"),
        (Version::Http2, "one.test"),
    ] {
        let request = client
            .get(server.url("/"))
            .versions(version)
            .server_name(name);
        let response = request.send().await.unwrap();
        assert_eq!(response.version(), version);
        let protection = response.connection().protection.as_ref().unwrap();
        assert_eq!(protection.server_name.as_deref(), Some(name));
        response.bytes().await.unwrap();
    }
    assert_eq!(
        server.accepted(),
        3,
        "only what agrees in everything shares a connection"
    );
    let wrong = client
        .get(server.url("/"))
        .server_name("three.test")
        .send()
        .await;
    assert_eq!(wrong.unwrap_err().class(), ErrorClass::Certificate);
}

#[tokio::test]
async fn a_refused_connection_fails_its_request_with_every_attempt() {
    let address = raw(|_, _| async {}).await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = free.local_addr().unwrap();
    drop(free);
    let client = Client::builder().build();
    let error = client
        .get(format!("http://{refused}/"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Connect);
    assert_eq!(error.report().unwrap().attempts.len(), 1);
    assert!(error.is_retryable());
    let closed = client
        .get(format!("http://{address}/"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(closed.class(), ErrorClass::Closed);
    assert_eq!(closed.version(), Some(Version::Http1));
}

#[tokio::test]
async fn an_idle_connection_that_closes_as_the_request_leaves_costs_no_request() {
    let address = raw(|count, mut stream| async move {
        read_head(&mut stream).await;
        let body = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{count}");
        let _ = stream.write_all(body.as_bytes()).await;
        // The next request is read, and the connection closed without an answer.
        read_head(&mut stream).await;
    })
    .await;
    let client = Client::builder().build();
    let url = format!("http://{address}/");
    let first = client.get(&url).send().await.unwrap();
    assert_eq!(first.text().await.unwrap(), "0");
    let again = client.get(&url).send().await.unwrap();
    assert_eq!(again.text().await.unwrap(), "1");
    let unsafe_one = client.post(&url).body("x").send().await.unwrap_err();
    assert_eq!(
        unsafe_one.class(),
        ErrorClass::Closed,
        "a POST is not sent twice"
    );
}

#[tokio::test]
async fn https_without_tls_cannot_be_asked_for() {
    let client = Client::builder()
        .security(SecurityParameters::disabled())
        .build();
    let error = client.get("https://127.0.0.1:1/").send().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidRequest);
}

/// A server that answers a request so and then waits for the client to go: its address, and what
/// tells when it has answered and when the client is gone.
async fn stalling(response: &'static [u8]) -> (SocketAddr, Arc<Notify>, Arc<Notify>) {
    let (answered, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (answered.clone(), gone.clone());
    let address = raw(move |_, mut stream| {
        let (answered, gone) = told.clone();
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(response).await;
            answered.notify_one();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            gone.notify_one();
        }
    })
    .await;
    (address, answered, gone)
}

/// A client that does not wait long for a rest.
fn impatient() -> Client {
    let mut timeouts = Timeouts::default();
    timeouts.drain = Some(Duration::from_millis(20));
    Client::builder().timeouts(timeouts).build()
}

#[tokio::test]
async fn a_request_that_stalls_after_its_response_loses_its_connection() {
    let (address, answered, gone) = stalling(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let client = impatient();
    let body = Body::stream(StreamBody::new(Never));
    let request = client.post(format!("http://{address}/")).body(body).send();
    let response = request.await.unwrap();
    answered.notified().await;
    assert_eq!(response.bytes().await.unwrap(), "");
    gone.notified().await;
    assert_eq!(client.counts(), Counts::default());
}

/// A body that never has anything to say.
struct Never;

impl futures_core::Stream for Never {
    type Item = Result<http_body::Frame<bytes::Bytes>, std::convert::Infallible>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn a_short_rest_that_nobody_wants_costs_no_connection_and_a_long_one_does() {
    let server = Server::start(Speaks::Http1, 1, |request| async move {
        let length = request.uri().path()[1..].parse().unwrap();
        answer(200, vec![b'x'; length])
    })
    .await;
    let client = Client::builder().drain_max(100_000).build();
    for (length, accepted) in [(100_000, 1), (0, 1), (100_001, 1), (0, 2)] {
        let response = client.get(server.url(&format!("/{length}"))).send().await;
        drop(response.unwrap());
        until(|| client.counts().active == 0).await;
        assert_eq!(server.accepted(), accepted, "{length}");
    }
    let strict = Client::builder().drain_max(0).build();
    drop(strict.get(server.url("/10000000")).send().await.unwrap());
    assert_eq!(strict.counts(), Counts::default());
}

#[tokio::test]
async fn a_rest_that_does_not_come_is_waited_for_in_bounds() {
    let (address, _, gone) = stalling(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart").await;
    let client = impatient();
    drop(
        client
            .get(format!("http://{address}/"))
            .send()
            .await
            .unwrap(),
    );
    gone.notified().await;
    until(|| client.counts() == Counts::default()).await;
}

#[tokio::test]
async fn the_host_field_names_the_server_that_must_prove_itself() {
    let server = Server::start(Speaks::Tls(H2), 100, |request| async move {
        let authority = request.uri().authority().map(ToString::to_string);
        answer(200, authority.unwrap_or_default())
    })
    .await;
    let client = client(&server);
    let request = client.get(server.url("/")).header("host", "one.test:99");
    let response = request.send().await.unwrap();
    let protection = response.connection().protection.clone().unwrap();
    assert_eq!(protection.server_name.as_deref(), Some("one.test"));
    assert_eq!(response.text().await.unwrap(), "one.test:99");
    let both = client.get(server.url("/")).header("host", "one.test");
    let both = both.server_name("two.test").send().await.unwrap();
    let protection = both.connection().protection.clone().unwrap();
    assert_eq!(protection.server_name.as_deref(), Some("two.test"));
    both.bytes().await.unwrap();
    client.get(server.url("/")).send().await.unwrap();
    assert_eq!(server.accepted(), 3, "the name is part of the key");
    let wrong = client.get(server.url("/")).header("host", "three.test");
    let wrong = wrong.send().await.unwrap_err();
    assert_eq!(wrong.class(), ErrorClass::Certificate);
}
