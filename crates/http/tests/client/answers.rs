//! Responses: content both ways, redirects, ends that are none, errors of the protocol.

use super::client;
use super::server::{Answer, Made, Server, Speaks, acceptor, answer, raw, read_head};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, LOCATION};
use http_body_util::{BodyExt, StreamBody};
use portway_http::Client;
use portway_http::client::{Body, ErrorClass, Scope, VersionPolicy};
use portway_http::pool::Version;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const H2: &[&[u8]] = &[b"h2", b"http/1.1"];

/// A stream of these parts.
fn parts(parts: Vec<&'static str>) -> Body {
    let mut parts = parts.into_iter();
    let frames = std::iter::from_fn(move || parts.next())
        .map(|part| Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(part))));
    Body::stream(StreamBody::new(Frames(frames)))
}

/// An iterator as a stream.
pub(crate) struct Frames<I>(pub(crate) I);

impl<I: Iterator + Unpin> futures_core::Stream for Frames<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

async fn echo(request: http::Request<hyper::body::Incoming>) -> Answer {
    let content = request.into_body().collect().await.expect("it comes whole");
    answer(200, content.to_bytes())
}

#[tokio::test]
async fn content_streams_both_ways_over_both_versions() {
    for speaks in [Speaks::Http1, Speaks::Tls(H2)] {
        let server = Server::start(speaks, 100, echo).await;
        let client = match speaks {
            Speaks::Tls(_) => client(&server),
            _ => Client::builder().build(),
        };
        let long = "x".repeat(300_000);
        let sent = client.post(server.url("/")).body(long.clone()).send().await;
        let mut response = sent.unwrap();
        let mut length = 0;
        while let Some(chunk) = response.chunk().await.unwrap() {
            length += chunk.len();
        }
        assert_eq!(length, long.len());
        let body = parts(vec!["one ", "two ", "three"]);
        let streamed = client.post(server.url("/")).body(body).send().await;
        assert_eq!(streamed.unwrap().text().await.unwrap(), "one two three");
        assert_eq!(server.accepted(), 1, "the connection is used again");
    }
}

#[tokio::test]
async fn json_goes_both_ways() {
    let server = Server::start(Speaks::Http1, 1, |request| async {
        assert_eq!(request.headers()["content-type"], "application/json");
        echo(request).await
    })
    .await;
    let sent = BTreeMap::from([("answer".to_owned(), 42)]);
    let client = Client::builder().build();
    let response = client
        .post(server.url("/"))
        .json(&sent)
        .send()
        .await
        .unwrap();
    let received: BTreeMap<String, i32> = response.json().await.unwrap();
    assert_eq!(received, sent);
    let response = client
        .post(server.url("/"))
        .json("text")
        .send()
        .await
        .unwrap();
    let wrong = response.json::<BTreeMap<String, i32>>().await.unwrap_err();
    assert_eq!(wrong.class(), ErrorClass::Content);
}

#[tokio::test]
async fn a_server_without_http2_gets_http1() {
    let server = Server::start(Speaks::Tls(&[b"http/1.1"]), 1, |request| async move {
        answer(200, request.headers()[HOST].as_bytes().to_vec())
    })
    .await;
    let client = client(&server);
    let response = client.get(server.url("/")).send().await.unwrap();
    assert_eq!(response.version(), Version::Http1);
    assert_eq!(response.text().await.unwrap(), server.address.to_string());
    let exact = client
        .get(server.url("/"))
        .versions(Version::Http2)
        .send()
        .await;
    assert_eq!(exact.unwrap_err().class(), ErrorClass::Version);
}

#[tokio::test]
async fn http2_in_cleartext_is_spoken_when_asked_for() {
    let server = Server::start(Speaks::Http2, 10, |request| async move {
        answer(200, request.uri().to_string())
    })
    .await;
    let client = Client::builder().build();
    let request = client
        .get(server.url("/path?query#fragment"))
        .versions(Version::Http2);
    let text = request.send().await.unwrap().text().await.unwrap();
    assert_eq!(text, server.url("/path?query"));
}

/// Redirects `/N` to `/N-1`, `/see` and `/keep` to `/seen`, and `/away` to another origin.
async fn redirecting(other: String) -> Server {
    Server::start(Speaks::Http1, 1, move |request| {
        let other = other.clone();
        async move {
            let path = request.uri().path().to_owned();
            let (status, location) = match path.trim_start_matches('/') {
                "see" => (303, "/seen".to_owned()),
                "keep" => (307, "/seen".to_owned()),
                "away" => (302, other),
                "mail" => (302, "mailto:a@b.test".to_owned()),
                number => match number.parse::<u32>() {
                    Ok(0) | Err(_) => (200, String::new()),
                    Ok(number) => (301, format!("{}", number - 1)),
                },
            };
            let method = request.method().clone();
            let is_authorized = request.headers().contains_key(AUTHORIZATION);
            let content = request.into_body().collect().await.expect("it comes");
            let length = content.to_bytes().len();
            let mut response = answer(status, format!("{method} {path} {length} {is_authorized}"));
            if !location.is_empty() {
                let location = location.parse().expect("it is valid");
                response.headers_mut().insert(LOCATION, location);
            }
            response
        }
    })
    .await
}

#[tokio::test]
async fn redirects_change_method_and_body_as_their_status_says() {
    let server = redirecting(String::new()).await;
    let client = Client::builder().build();
    for (path, expected) in [("/see", "GET /seen 0 true"), ("/keep", "POST /seen 4 true")] {
        let request = client.post(server.url(path)).body("body");
        let response = request
            .header(AUTHORIZATION, "secret")
            .send()
            .await
            .unwrap();
        assert_eq!(response.redirects(), 1);
        assert_eq!(response.url(), server.url("/seen"));
        assert_eq!(response.text().await.unwrap(), expected);
    }
    let stream = client.post(server.url("/keep")).body(parts(vec!["x"]));
    let error = stream.send().await.unwrap_err();
    assert_eq!(
        error.class(),
        ErrorClass::Redirect,
        "a stream cannot be sent twice"
    );
}

#[tokio::test]
async fn redirects_are_bounded_and_can_be_looked_at() {
    let server = redirecting(String::new()).await;
    let client = Client::builder().build();
    let ten = client.get(server.url("/10")).send().await.unwrap();
    assert_eq!((ten.status().as_u16(), ten.redirects()), (200, 10));
    let eleven = client.get(server.url("/11")).send().await.unwrap_err();
    assert_eq!(eleven.class(), ErrorClass::Redirect);
    let none = client
        .get(server.url("/1"))
        .redirects(0)
        .send()
        .await
        .unwrap();
    assert_eq!(none.status(), 301);
    let mail = client.get(server.url("/mail")).send().await.unwrap_err();
    assert_eq!(mail.class(), ErrorClass::Redirect);
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_origin() {
    let other = redirecting(String::new()).await;
    let server = redirecting(other.url("/0")).await;
    let client = Client::builder().build();
    for (path, expected) in [("/1", "GET /0 0 true"), ("/away", "GET /0 0 false")] {
        let request = client.get(server.url(path)).header(AUTHORIZATION, "secret");
        let response = request.send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_response_that_ends_early_is_never_complete() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10",
    ] {
        let address = raw(move |_, mut stream| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let client = Client::builder().build();
        let error = match client.get(format!("http://{address}/")).send().await {
            Ok(response) => response.bytes().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.class(), ErrorClass::Closed, "{answer}");
        assert_eq!(error.version(), Some(Version::Http1));
        assert_eq!(error.scope(), Some(Scope::Connection));
    }
}

#[tokio::test]
async fn content_that_is_collected_is_bounded() {
    let server = Server::start(Speaks::Http1, 1, |_| async { answer(200, "12345") }).await;
    for (max, fits) in [(5, true), (4, false)] {
        let client = Client::builder().content_max(max).build();
        let response = client.get(server.url("/")).send().await.unwrap();
        let collected = response.bytes().await;
        assert_eq!(collected.is_ok(), fits);
        if let Err(error) = collected {
            assert_eq!(error.class(), ErrorClass::LimitReached);
        }
    }
}

#[tokio::test]
async fn smuggling_shapes_are_errors_of_the_protocol() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        "not HTTP at all\r\n\r\n",
    ] {
        let address = raw(move |_, mut stream| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            read_head(&mut stream).await;
        })
        .await;
        let client = Client::builder().build();
        let error = client
            .get(format!("http://{address}/"))
            .send()
            .await
            .unwrap_err();
        assert_eq!(error.class(), ErrorClass::Protocol, "{answer}");
    }
}

/// An HTTP/2 server that resets the first `count` streams with `reason`, then answers.
pub(crate) async fn resetting(
    count: usize,
    reason: h2::Reason,
    resets: Resets,
) -> std::net::SocketAddr {
    let left = Arc::new(AtomicUsize::new(count));
    raw(move |_, stream: TcpStream| {
        let left = left.clone();
        async move {
            let Ok(mut connection) = h2::server::handshake(stream).await else {
                return;
            };
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let is_last = left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                        left.checked_sub(1)
                    })
                    .is_err();
                if is_last || resets == Resets::Body {
                    let head = http::Response::new(());
                    let Ok(mut body) = respond.send_response(head, is_last) else {
                        return;
                    };
                    if !is_last {
                        body.send_reset(reason);
                    }
                } else {
                    respond.send_reset(reason);
                }
            }
        }
    })
    .await
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resets {
    Request,
    Body,
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_three_times() {
    for (count, is_served) in [(3, true), (4, false)] {
        let address = resetting(count, h2::Reason::REFUSED_STREAM, Resets::Request).await;
        let client = Client::builder().build();
        let request = client
            .post(format!("http://{address}/"))
            .body("twice is no harm");
        match request.versions(Version::Http2).send().await {
            Ok(response) => assert!(is_served && response.status() == 200),
            Err(error) => {
                assert!(!is_served);
                assert_eq!(error.class(), ErrorClass::Reset);
                assert_eq!(error.code(), Some(7));
                assert!(error.is_retryable());
            }
        }
    }
}

#[tokio::test]
async fn a_reset_has_its_code_and_scope_from_request_and_body_alike() {
    for resets in [Resets::Request, Resets::Body] {
        let address = resetting(1, h2::Reason::ENHANCE_YOUR_CALM, resets).await;
        let client = Client::builder().build();
        let request = client
            .get(format!("http://{address}/"))
            .versions(Version::Http2);
        let error = match request.send().await {
            Ok(response) => response.bytes().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.class(), ErrorClass::Reset);
        assert_eq!(error.version(), Some(Version::Http2));
        assert_eq!(error.code(), Some(11));
        assert_eq!(error.scope(), Some(Scope::Request));
        let next = client
            .get(format!("http://{address}/"))
            .versions(Version::Http2);
        assert_eq!(
            next.send().await.unwrap().status(),
            200,
            "the connection goes on"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_told_before_anything_is() {
    let client = Client::builder().build();
    for url in ["nonsense", "ftp://a.test/", "http://"] {
        let error = client.get(url).send().await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::InvalidRequest, "{url}");
    }
    let error = client
        .get("http://a.test/")
        .header("a b", "c")
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidRequest);
    assert_eq!(client.counts(), portway_http::pool::Counts::default());
}

/// A server whose HTTP/2 resets everything with `HTTP_1_1_REQUIRED`.
async fn insisting_on_http1(made: &Made) -> SocketAddr {
    let acceptor = acceptor(made, H2);
    raw(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.expect("a handshake");
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    respond.send_reset(h2::Reason::HTTP_1_1_REQUIRED);
                }
            } else {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let words = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold";
                let _ = stream.write_all(words).await;
                let _ = stream.read(&mut head).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_peer_that_requires_http1_gets_it_where_the_policy_allows() {
    let made = Made::new();
    let url = format!("https://{}/", insisting_on_http1(&made).await);
    let client = Client::builder().security(made.security()).build();
    for policy in [VersionPolicy::OrLower, VersionPolicy::Exact] {
        let request = client
            .post(&url)
            .body("any method")
            .version(Version::Http2, policy);
        match (policy, request.send().await) {
            (VersionPolicy::OrLower, Ok(response)) => {
                assert_eq!(response.version(), Version::Http1);
                assert_eq!(response.text().await.unwrap(), "old");
            }
            (VersionPolicy::Exact, Err(error)) => assert_eq!(error.code(), Some(13)),
            other => panic!("{other:?}"),
        }
    }
}

/// A server that tells the types of the frames that its client begins with, all in one read.
async fn listening_to_http2(made: &Made, types: mpsc::UnboundedSender<Vec<u8>>) -> SocketAddr {
    let acceptor = acceptor(made, H2);
    raw(move |_, stream| {
        let (acceptor, types) = (acceptor.clone(), types.clone());
        async move {
            let mut stream = acceptor.accept(stream).await.expect("a handshake");
            let mut words = [0; 4096];
            let count = stream.read(&mut words).await.expect("the preface");
            let mut frames = words[..count].strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            let mut found = Vec::new();
            while let Some([0, high, low, kind, rest @ ..]) = frames {
                found.push(*kind);
                frames = rest.get(5 + usize::from(u16::from_be_bytes([*high, *low]))..);
            }
            types.send(found).expect("the test waits");
        }
    })
    .await
}

#[tokio::test]
async fn the_first_request_of_http2_goes_along_with_the_preface() {
    let made = Made::new();
    let (types, mut told) = mpsc::unbounded_channel();
    let url = format!("https://{}/", listening_to_http2(&made, types).await);
    let client = Client::builder().security(made.security()).build();
    // First as what the runtime blocks on, then as a task.
    let _ = client.get(&url).send().await;
    const SETTINGS: u8 = 4;
    const WINDOW_UPDATE: u8 = 8;
    const HEADERS: u8 = 1;
    let expected = [SETTINGS, WINDOW_UPDATE, HEADERS];
    assert_eq!(told.recv().await.unwrap(), expected);
    let client = Client::builder().security(made.security()).build();
    let task = tokio::spawn(async move { client.get(&url).send().await.is_err() });
    assert_eq!(told.recv().await.unwrap(), expected);
    assert!(task.await.unwrap());
}
