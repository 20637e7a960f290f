//! From HTTP/1.1 and 2 to HTTP/3, by each way in which a server tells of it, and back.

use super::super::http3_server::Http3Server;
use super::server::{ALTSVC, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, STATUS_200};
use super::server::{answer_all, protected};
use super::{Listening, Net};
use bytes::Bytes;
use http::Response;
use portway_http::Client;
use portway_http::pool::Version;
use portway_transport::quic::TransportOptions;
use std::sync::Arc;
use std::time::Duration;

/// HTTP/3 that returns `alt-used`, and says this of alternatives.
fn alternative(net: &Net, says: &'static str) -> Http3Server {
    let (address, made) = (net.free_address(), &net.made);
    let options = TransportOptions::default();
    Http3Server::start_in(
        net.far.clone(),
        made,
        address,
        options,
        move |incoming| async move {
            let used = incoming.request.headers().get("alt-used").cloned();
            let mut response = Response::new(Bytes::from_static(b"alternative"));
            let fields = response.headers_mut();
            if let Some(used) = used {
                fields.insert("x-used", used);
            }
            if !says.is_empty() {
                fields.insert("alt-svc", says.parse().expect("a value"));
            }
            let _ = incoming.responder.send(response);
        },
    )
}

/// How an origin tells of an alternative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    FieldOfHttp1,
    FieldOfHttp2,
    /// ALTSVC about the connection's origin.
    FrameOfConnection,
    /// ALTSVC on the stream of a request.
    FrameOfStream,
}

fn origin(net: &Net, way: Way, says: String) -> Listening {
    let (made, says) = (net.made.clone(), Arc::<str>::from(says));
    let own = format!("https://10.0.0.2:{}", net.port.get());
    net.serve(move |_, pipe| {
        let (made, says, own) = (made.clone(), says.clone(), own.clone());
        async move {
            if way == Way::FieldOfHttp1 {
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nalt-svc: ";
                let answer = format!("{head}{says}\r\n\r\norigin");
                if let Some(mut stream) = protected(&made, pipe, b"http/1.1").await {
                    answer_all(&mut stream, &answer).await;
                }
                return;
            }
            let Some(stream) = protected(&made, pipe, b"h2").await else {
                return;
            };
            let mut frames = Frames::begin(stream).await;
            while let Some(stream) = frames.request().await {
                let told = |origin: &str| {
                    let length = u16::try_from(origin.len()).expect("it is short");
                    [
                        &length.to_be_bytes()[..],
                        origin.as_bytes(),
                        says.as_bytes(),
                    ]
                    .concat()
                };
                let mut fields = vec![STATUS_200];
                match way {
                    Way::FrameOfConnection => frames.say(ALTSVC, 0, 0, &told(&own)).await,
                    Way::FieldOfHttp2 => {
                        // A literal that nobody keeps, of a new name.
                        for text in ["", "alt-svc", &says] {
                            let length = u8::try_from(text.len()).expect("it is short");
                            fields.push(length);
                            fields.extend_from_slice(text.as_bytes());
                        }
                    }
                    _ => {}
                }
                frames.say(HEADERS, END_HEADERS, stream, &fields).await;
                if way == Way::FrameOfStream {
                    frames.say(ALTSVC, 0, stream, &told("")).await;
                }
                frames.say(DATA, END_STREAM, stream, b"origin").await;
            }
        }
    })
}

/// What is got, and by which version.
async fn got(client: &Client, url: &str) -> (Version, String, Option<String>) {
    let response = client.get(url).send().await.expect("an answer");
    let used = response.headers().get("x-used");
    let used = used.map(|used| used.to_str().expect("ASCII").to_owned());
    (
        response.version(),
        response.text().await.expect("whole"),
        used,
    )
}

/// The first request at the origin; then what it told of has been dialled.
async fn first(net: &Net, client: &Client, url: &str) {
    assert_eq!(got(client, url).await.1, "origin");
    net.sleep(Duration::from_secs(1)).await;
}

async fn is_told_of(net: &Net, way: Way, host: &str) {
    let quic = alternative(net, "");
    let says = format!("h3=\"{host}:{}\"", quic.address.port());
    let origin = origin(net, way, says);
    let (client, url) = (net.client().build(), origin.url("https"));
    first(net, &client, &url).await;
    if way == Way::FrameOfStream {
        // It may come when its request has its answer: then the next one has the dial begun.
        first(net, &client, &url).await;
    }
    let (version, text, used) = got(&client, &url).await;
    assert_eq!(
        (version, &*text),
        (Version::Http3, "alternative"),
        "{way:?}"
    );
    assert_eq!(used, Some(quic.address.to_string()), "{way:?}");
    assert_eq!((origin.accepted(), quic.connections().len()), (1, 1));
}

#[test]
fn an_alternative_is_used_by_whichever_way_it_was_told_of() {
    for way in [
        Way::FieldOfHttp1,
        Way::FieldOfHttp2,
        Way::FrameOfConnection,
        Way::FrameOfStream,
    ] {
        for host in ["", "10.0.0.2"] {
            Net::run(async |net| is_told_of(net, way, host).await);
        }
    }
}

#[test]
fn an_alternative_that_takes_itself_back_is_left_for_the_origin() {
    Net::run(async |net| {
        let quic = alternative(net, "clear");
        let says = format!("h3=\":{}\"", quic.address.port());
        // Without memory of its own the origin would tell of it again and again.
        let origin = origin(net, Way::FieldOfHttp2, says);
        let (client, url) = (net.client().build(), origin.url("https"));
        first(net, &client, &url).await;
        assert_eq!(got(&client, &url).await.0, Version::Http3);
        assert_eq!(client.alternatives().len(), 0);
        assert_eq!(got(&client, &url).await.0, Version::Http2);
    });
}

#[test]
fn an_alternative_that_tells_of_another_one_is_left_with_its_connection() {
    Net::run(async |net| {
        let second = alternative(net, "");
        let says: &'static str = match second.address.port() {
            443 => "h3=\":443\"",
            port => panic!("the first port is {port}"),
        };
        let quic = alternative(net, says);
        let told = format!("h3=\":{}\"", quic.address.port());
        let origin = origin(net, Way::FieldOfHttp1, told);
        let (client, url) = (net.client().build(), origin.url("https"));
        first(net, &client, &url).await;
        let leads_to = async || {
            let response = client.get(&url).send().await.expect("an answer");
            let led = response.connection().alternative.clone();
            response.bytes().await.expect("whole");
            led
        };
        let [first, second] = [quic.address, second.address].map(|it| Some(it.to_string()));
        assert_eq!(leads_to().await, first);
        net.sleep(Duration::from_secs(1)).await;
        // RFC 7838 §2.4: a connection that is there may be used on.
        assert_eq!(leads_to().await, first);
        net.sleep(Duration::from_secs(100)).await;
        assert_eq!(leads_to().await, second, "a new connection");
    });
}
