//! Requests over HTTP/3: content both ways, failures and whom they touch.

use super::http3_server::{Http3Server, say};
use super::server::Made;
use super::{begin, until};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use portway_http::Client;
use portway_http::client::{Body, BoxError, ErrorClass, Scope, Timeouts, VersionPolicy};
use portway_http::h3::{Code, Incoming};
use portway_http::pool::{Config, Version};
use portway_transport::quic::TransportOptions;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Barrier, Notify};
use tokio::task::JoinSet;

fn serve<F, R>(handler: F) -> (Http3Server, Client)
where
    F: Fn(Incoming) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let made = Made::new();
    let server = Http3Server::start(&made, "127.0.0.1:0".parse().expect("it works"), handler);
    (server, client(&made, Config::default()))
}

fn client(made: &Made, pool: Config) -> Client {
    let builder = Client::builder().security(made.security()).pool(pool);
    builder
        .version(Version::Http3, VersionPolicy::Exact)
        .build()
}

async fn echo(incoming: Incoming) {
    let Ok(send) = incoming.responder.send_response(Response::new(())) else {
        return;
    };
    let _ = send.send_body(incoming.request.into_body()).await;
}

async fn post(
    client: &Client,
    server: &Http3Server,
    body: impl Into<Body>,
) -> portway_http::client::Response {
    let request = client.post(server.url("/")).body(body);
    request.send().await.expect("an answer")
}

/// A body whose parts come when they are sent; the other end closes it.
fn piped() -> (
    tokio::sync::mpsc::UnboundedSender<Result<Bytes, BoxError>>,
    Body,
) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let frames = Polled(move |context: &mut std::task::Context<'_>| receiver.poll_recv(context));
    (sender, Body::stream(StreamBody::new(frames)))
}

struct Polled<F>(F);

impl<F> futures_core::Stream for Polled<F>
where
    F: FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<Result<Bytes, BoxError>>>
        + Unpin,
{
    type Item = Result<http_body::Frame<Bytes>, BoxError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let part = (self.0)(context);
        part.map(|part| part.map(|part| part.map(http_body::Frame::data)))
    }
}

#[tokio::test]
async fn content_goes_both_ways_at_the_same_time() {
    let (server, client) = serve(echo);
    let long = "x".repeat(300_000);
    let sent = client.post(server.url("/")).body(long.clone()).send().await;
    assert_eq!(sent.unwrap().text().await.unwrap(), long);
    let (parts, body) = piped();
    let mut response = post(&client, &server, body).await;
    for part in ["one", "two"] {
        parts.send(Ok(part.into())).unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), part);
    }
    drop(parts);
    assert_eq!(response.chunk().await.unwrap(), None);
    assert_eq!(
        server.connections().len(),
        1,
        "the connection is used again"
    );
}

#[tokio::test]
async fn the_length_of_content_is_told_where_it_is_known() {
    let (server, client) = serve(|incoming| async move {
        let length = incoming.request.headers().get("content-length").cloned();
        let mut response = Response::new(Bytes::new());
        if let Some(length) = length {
            response.headers_mut().insert("x-length", length);
        }
        let _ = incoming.responder.send(response);
    });
    let post = client
        .post(server.url("/"))
        .body("four")
        .send()
        .await
        .unwrap();
    assert_eq!(post.headers()["x-length"], "4");
    let empty = client.post(server.url("/")).send().await.unwrap();
    assert_eq!(empty.headers()["x-length"], "0");
    let get = client.get(server.url("/")).send().await.unwrap();
    assert!(!get.headers().contains_key("x-length"));
}

#[tokio::test]
async fn trailers_and_interim_responses_arrive() {
    let (server, client) = serve(|incoming| async move {
        let Incoming { mut responder, .. } = incoming;
        let early = Response::builder()
            .status(103)
            .header("link", "</a>")
            .body(());
        responder.send_interim(early.unwrap()).unwrap();
        let mut send = responder.send_response(Response::new(())).unwrap();
        send.send_data("content".into()).await.unwrap();
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]);
        send.send_trailers(&trailers).unwrap();
    });
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink = heard.clone();
    let request = client.get(server.url("/")).on_interim(move |interim| {
        sink.lock()
            .unwrap()
            .push((interim.status(), interim.headers()["link"].clone()));
    });
    let response = request.send().await.unwrap();
    assert_eq!(
        *heard.lock().unwrap(),
        [(StatusCode::EARLY_HINTS, "</a>".parse().unwrap())]
    );
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "7");
    assert_eq!(body.to_bytes(), "content");
}

#[tokio::test]
async fn twenty_first_requests_share_one_connection() {
    let (server, client) = serve(|incoming| async move { say(incoming, "yes") });
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        requests.spawn(client.get(server.url("/")).send());
    }
    for response in requests.join_all().await {
        assert_eq!(response.unwrap().text().await.unwrap(), "yes");
    }
    assert_eq!(server.connections().len(), 1);
}

#[tokio::test]
async fn a_cancelled_request_fails_no_other() {
    let (arrived, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let state = (arrived.clone(), go_on.clone());
    let (server, client) = serve(move |incoming| {
        let (arrived, go_on) = state.clone();
        async move {
            arrived.fetch_add(1, Ordering::SeqCst);
            go_on.notified().await;
            say(incoming, "still there");
        }
    });
    let mut waiting = Box::pin(client.get(server.url("/")).send());
    let mut dialling = Box::pin(client.get(server.url("/")).send());
    begin(&mut waiting).await;
    begin(&mut dialling).await;
    drop(waiting);
    let cancelled = tokio::spawn(client.get(server.url("/")).send());
    let kept = tokio::spawn(dialling);
    until(|| arrived.load(Ordering::SeqCst) == 2).await;
    cancelled.abort();
    assert!(cancelled.await.is_err());
    go_on.notify_waiters();
    let kept = kept.await.unwrap().unwrap();
    assert_eq!(kept.text().await.unwrap(), "still there");
    assert_eq!(server.connections().len(), 1);
}

#[tokio::test]
async fn a_rejected_request_is_sent_again_three_times() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let (server, client) = serve(move |incoming| {
        let count = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match count {
                0 | 3.. => incoming.responder.reject().unwrap(),
                _ => say(incoming, "now"),
            }
        }
    });
    // Even a POST: a request that was rejected counts as never sent.
    let response = client
        .post(server.url("/"))
        .body("once")
        .send()
        .await
        .unwrap();
    assert_eq!(response.text().await.unwrap(), "now");
    assert_eq!(count.swap(3, Ordering::SeqCst), 2);
    let error = client.get(server.url("/")).send().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Reset);
    assert_eq!(error.scope(), Some(Scope::Request));
    assert_eq!(error.code(), Some(Code::H3_REQUEST_REJECTED.value()));
    assert_eq!(error.version(), Some(Version::Http3));
    assert_eq!(count.load(Ordering::SeqCst), 3 + 4);
}

#[tokio::test]
async fn a_connection_that_goes_away_ends_what_it_carries_and_gets_nothing_more() {
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let state = (arrived.clone(), go_on.clone());
    let (server, client) = serve(move |incoming| {
        let (arrived, go_on) = state.clone();
        async move {
            if incoming.request.uri().path() == "/slow" {
                arrived.notify_one();
                go_on.notified().await;
            }
            say(incoming, "whole");
        }
    });
    let slow = tokio::spawn(client.get(server.url("/slow")).send());
    arrived.notified().await;
    let leaving = server.connections()[0].clone();
    let leave = tokio::spawn(async move { leaving.shutdown().await });
    // Those that come while the server says so are safe to send again.
    while server.connections().len() == 1 {
        let response = client.get(server.url("/")).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "whole");
    }
    go_on.notify_one();
    assert_eq!(slow.await.unwrap().unwrap().text().await.unwrap(), "whole");
    leave.await.unwrap();
    until(|| client.counts().idle == 1).await;
    assert_eq!(server.connections().len(), 2);
}

#[tokio::test]
async fn a_reset_and_a_lost_connection_have_their_code_and_scope() {
    let has_begun = Arc::new(Notify::new());
    let begun = has_begun.clone();
    let (server, client) = serve(move |incoming| {
        let begun = begun.clone();
        async move {
            let path = incoming.request.uri().path().to_owned();
            let response = Response::builder().header("content-length", "9").body(());
            let mut send = incoming.responder.send_response(response.unwrap()).unwrap();
            send.send_data("part".into()).await.unwrap();
            if path == "/reset" {
                begun.notified().await;
                send.reset(Code::H3_INTERNAL_ERROR);
            } else {
                // The rest comes never.
                std::future::pending::<()>().await;
            }
        }
    });
    let mut response = client.get(server.url("/reset")).send().await.unwrap();
    has_begun.notify_one();
    let error = loop {
        if let Err(error) = response.chunk().await {
            break error;
        }
    };
    assert_eq!(error.class(), ErrorClass::Reset);
    assert_eq!(error.code(), Some(Code::H3_INTERNAL_ERROR.value()));
    assert_eq!(error.scope(), Some(Scope::Request));
    let mut response = client.get(server.url("/")).send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "part");
    server.connections()[0].close(Code::H3_EXCESSIVE_LOAD, "enough");
    let error = response.chunk().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Closed);
    assert_eq!(error.code(), Some(Code::H3_EXCESSIVE_LOAD.value()));
    assert_eq!(error.scope(), Some(Scope::Connection));
    assert_eq!(error.version(), Some(Version::Http3));
    until(|| client.counts() == Default::default()).await;
}

#[tokio::test]
async fn a_body_that_fails_is_its_own_requests_failure() {
    let (server, client) = serve(echo);
    let (parts, body) = piped();
    let mut response = post(&client, &server, body).await;
    parts.send(Ok("part".into())).unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "part");
    parts.send(Err("out of ink".into())).unwrap();
    let error = response.chunk().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Body, "{error}");
    assert!(error.to_string().contains("out of ink"));
    let next = post(&client, &server, "next").await;
    assert_eq!(next.text().await.unwrap(), "next");
    assert_eq!(server.connections().len(), 1);
}

#[tokio::test]
async fn what_is_left_of_a_request_after_its_response_has_a_bounded_time() {
    let stopped = Arc::new(Notify::new());
    let told = stopped.clone();
    let made = Made::new();
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Http3Server::start(&made, address, move |incoming| {
        let stopped = told.clone();
        async move {
            let mut body = incoming.request.into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), "part");
            let _ = incoming.responder.send(Response::new("early".into()));
            assert!(body.data().await.unwrap().is_err(), "the rest is cut off");
            stopped.notify_one();
        }
    });
    let mut timeouts = Timeouts::default();
    timeouts.drain = Some(Duration::from_millis(20));
    let builder = Client::builder()
        .security(made.security())
        .timeouts(timeouts);
    let client = builder
        .version(Version::Http3, VersionPolicy::Exact)
        .build();
    let (parts, body) = piped();
    parts.send(Ok("part".into())).unwrap();
    let response = post(&client, &server, body).await;
    assert_eq!(response.text().await.unwrap(), "early");
    stopped.notified().await;
    drop(parts);
}

#[tokio::test]
async fn further_connections_are_made_only_when_asked_for() {
    for (has_further_http3, at_once) in [(true, 4), (false, 2)] {
        let made = Made::new();
        // Whoever sends fewer at a time never gets past this.
        let together = Arc::new(Barrier::new(at_once));
        let mut transport = TransportOptions::default();
        transport.streams.bidirectional_max = 2;
        let address = "127.0.0.1:0".parse().unwrap();
        let server = Http3Server::start_with(&made, address, transport, move |incoming| {
            let together = together.clone();
            async move {
                together.wait().await;
                say(incoming, "yes");
            }
        });
        let mut config = Config::default();
        config.has_further_http3 = has_further_http3;
        let client = client(&made, config);
        let mut requests = JoinSet::new();
        for _ in 0..4 {
            requests.spawn(client.get(server.url("/")).send());
        }
        for response in requests.join_all().await {
            assert_eq!(response.unwrap().text().await.unwrap(), "yes");
        }
        assert_eq!(server.connections().len(), at_once / 2);
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_both_ends() {
    let made = Made::new();
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Http3Server::start(&made, address, |i| async move { say(i, "yes") });
    let mut config = Config::default();
    config.idle_max = Duration::from_millis(20);
    let client = client(&made, config);
    let body = Full::new(Bytes::from_static(b"x"));
    let request = client.post(server.url("/")).body(Body::stream(body));
    request.send().await.unwrap().bytes().await.unwrap();
    let connection = server.connections()[0].clone();
    connection.quic().closed().await;
    assert!(connection.error().unwrap().is_graceful());
    assert_eq!(client.counts(), Default::default());
}

#[tokio::test]
async fn content_that_is_expected_waits_for_a_100_over_http3_too() {
    let (server, client) = serve(|incoming| async move {
        let Incoming {
            mut responder,
            request,
        } = incoming;
        if request.uri().path() == "/wanted" {
            let wanted = Response::builder().status(100).body(()).unwrap();
            responder.send_interim(wanted).unwrap();
            let (content, _) = request.into_body().read_all(100).await.unwrap();
            let _ = responder.send(Response::new(content));
        } else {
            let _ = responder.send(Response::new(Bytes::from_static(b"no need")));
        }
    });
    for (path, expected) in [("/wanted", "content"), ("/unwanted", "no need")] {
        let request = client.post(server.url(path)).body("content");
        let request = request.header("expect", "100-continue");
        let response = request.send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), expected);
    }
    assert_eq!(server.connections().len(), 1);
}
