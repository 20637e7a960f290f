//! Requests whose content waits for a 100, and the interim responses that come.

use super::server::{answer_all, gone, head, say};
use super::{Net, ROUND_TRIP, timeouts};
use portway_http::client::{Body, BoxError, ErrorClass, RequestBuilder};
use portway_http::pool::Version;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncReadExt;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nresponse";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// A server that says `first` to the head, `last` to the content `request`, and tells when that
/// came.
fn serve(
    net: &Net,
    first: impl Into<String>,
    last: &'static str,
) -> (super::Listening, Arc<Mutex<Vec<Duration>>>) {
    let (came, first) = (Arc::new(Mutex::new(Vec::new())), first.into());
    let told = came.clone();
    let listening = net.serve(move |_, mut pipe| {
        let (told, first) = (told.clone(), first.clone());
        async move {
            let environment = pipe.environment.clone();
            if head(&mut pipe).await.is_none() || !say(&mut pipe, first).await {
                return;
            }
            let mut content = [0; 7];
            if pipe.read_exact(&mut content).await.is_ok() {
                assert_eq!(&content, b"request");
                let now = portway_transport::environment::Environment::now(&*environment);
                told.lock().expect("no panic").push(now.since_origin());
                say(&mut pipe, last).await;
            }
            gone(&mut pipe).await;
        }
    });
    (listening, came)
}

fn expecting(net: &Net, patience: Option<Duration>, url: &str) -> RequestBuilder {
    let limits = timeouts(|limits| limits.expect = patience);
    let client = net.client().timeouts(limits).build();
    client.post(url).header("expect", "100-continue")
}

async fn text(request: RequestBuilder) -> String {
    let response = request.body("request").send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    response.text().await.expect("whole")
}

#[test]
fn content_waits_as_long_as_it_was_told_to() {
    Net::run(async |net| {
        let (server, came) = serve(net, "", OK);
        let delay = Duration::from_secs(3);
        let request = expecting(net, Some(delay), &server.url("http"));
        assert_eq!(text(request).await, "response");
        // Half a way for the head, a whole one before, for the connection.
        let expected = ROUND_TRIP + delay + ROUND_TRIP / 2;
        assert_eq!(*came.lock().expect("no panic"), [expected]);
    });
}

#[test]
fn a_hundred_comes_once_or_often_and_the_content_goes_once() {
    for count in [1, 4] {
        Net::run(async |net| {
            let (server, came) = serve(net, CONTINUE.repeat(count), OK);
            let request = expecting(net, None, &server.url("http"));
            assert_eq!(text(request).await, "response");
            assert_eq!(came.lock().expect("no panic").len(), 1);
        });
    }
}

#[test]
fn a_request_without_content_says_what_it_expects_and_waits_for_nothing() {
    Net::run(async |net| {
        let server = net.serve(|_, mut pipe| async move {
            let said = head(&mut pipe).await.expect("a request");
            assert!(said.contains("expect: 100-continue\r\n"), "{said}");
            say(&mut pipe, format!("{CONTINUE}{OK}")).await;
            gone(&mut pipe).await;
        });
        let request = net.client().build().get(server.url("http"));
        let request = request.header("expect", "100-continue").send();
        let (response, took) = net.timed(request).await;
        let text = response.expect("an answer").text().await;
        assert_eq!(
            (text.expect("whole"), took),
            ("response".to_owned(), 2 * ROUND_TRIP)
        );
    });
}

#[test]
fn interim_responses_are_told_apart_from_the_final_one_whether_or_not_they_are_expected() {
    for status in [100, 102, 103, 150, 180, 199] {
        for is_expected in [true, false] {
            Net::run(async |net| {
                let interim = format!(
                    "HTTP/1.1 {status} Wait\r\nset-cookie: hello=world\r\n\
                     content-type: text/xml\r\n\r\n"
                );
                let last = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\
                            content-type: text/html\r\n\r\nresponse";
                let (server, _) = serve(net, interim.repeat(3), last);
                let client = net.client().build();
                let mut request = client.post(server.url("http")).body("request");
                if is_expected {
                    request = request.header("expect", "100-continue");
                }
                let response = request.send().await.expect("an answer");
                assert_eq!(response.status(), 200, "{status}");
                assert_eq!(response.headers()["content-type"], "text/html");
                assert!(!response.headers().contains_key("set-cookie"), "{status}");
                assert_eq!(response.text().await.expect("whole"), "response");
            });
        }
    }
}

/// Content that fails when it is asked for.
struct Failing;

impl futures_core::Stream for Failing {
    type Item = Result<http_body::Frame<bytes::Bytes>, BoxError>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(Some(Err("no such file".into())))
    }
}

#[test]
fn content_that_fails_is_the_failure_of_its_request() {
    Net::run(async |net| {
        let (server, _) = serve(net, CONTINUE, OK);
        let body = Body::stream(http_body_util::StreamBody::new(Failing));
        let request = expecting(net, None, &server.url("http")).body(body);
        let error = request.send().await.expect_err("it cannot be read");
        assert_eq!(error.class(), ErrorClass::Body);
        assert!(error.to_string().contains("no such file"), "{error}");
    });
}

#[test]
fn content_follows_a_response_that_is_no_refusal() {
    for (status, is_sent) in [("200 OK", true), ("403 Forbidden", false)] {
        Net::run(async |net| {
            let first = format!("HTTP/1.1 {status}\r\ncontent-length: 8\r\n\r\n");
            // To a refusal its content is there at once.
            let (first, last) = match is_sent {
                true => (first, "response"),
                false => (first + "response", ""),
            };
            let (server, came) = serve(net, first, last);
            let request = expecting(net, Some(Duration::from_secs(300)), &server.url("http"));
            let response = request.body("request").send().await.expect("an answer");
            assert_eq!(response.text().await.expect("whole"), "response");
            net.sleep(Duration::from_secs(5)).await;
            assert_eq!(came.lock().expect("no panic").len(), usize::from(is_sent));
        });
    }
}

#[test]
fn http2_sends_content_without_waiting() {
    use super::server::{DATA, END_STREAM, first_request};
    for has_hundred in [true, false] {
        Net::run(async |net| {
            let made = net.made.clone();
            let server = net.serve(move |_, pipe| {
                let made = made.clone();
                async move {
                    let Some((mut frames, stream)) = first_request(&made, pipe).await else {
                        return;
                    };
                    if has_hundred {
                        // `:status: 100`, as a literal that nobody keeps.
                        let block = [8, 3, b'1', b'0', b'0'];
                        frames.say(super::server::HEADERS, 4, stream, &block).await;
                    }
                    let mut count = 0;
                    while let Some((kind, flags, _, payload)) = frames.next().await {
                        count += if kind == DATA { payload.len() } else { 0 };
                        if kind == DATA && flags & END_STREAM != 0 {
                            assert_eq!(count, 3000);
                            frames.answer(stream).await;
                        }
                    }
                }
            });
            let request = expecting(net, None, &server.url("https")).versions(Version::Http2);
            let response = request.body(vec![b'*'; 3000]).send().await;
            assert_eq!(response.expect("an answer").status(), 200);
        });
    }
}

#[test]
fn a_101_is_a_response_like_others() {
    Net::run(async |net| {
        let server = net.serve(|_, mut pipe| async move {
            let switching = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                             connection: upgrade\r\n\r\n";
            answer_all(&mut pipe, switching).await;
        });
        let request = net.client().build().get(server.url("http"));
        let request = request
            .header("upgrade", "websocket")
            .header("connection", "upgrade");
        assert_eq!(request.send().await.expect("an answer").status(), 101);
    });
}
