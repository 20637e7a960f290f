//! What a client does by habit: content codings, cookies, strict hosts, and its retry budget.

use super::answers::{Resets, resetting};
use super::client;
use super::server::{Answer, Made, Server, Speaks, answer, raw, read_head};
use async_compression::Level;
use async_compression::tokio::write::{
    BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder,
};
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, COOKIE, LOCATION, RANGE, SET_COOKIE,
    STRICT_TRANSPORT_SECURITY,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, StreamBody};
use portway_http::Client;
use portway_http::client::{
    ClientBuilder, CookieJar, Cookies, Decompression, Error, ErrorClass, RetryBudget, StrictHost,
};
use portway_http::pool::Version;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::AsyncWriteExt;

const H2: &[&[u8]] = &[b"h2", b"http/1.1"];
const ASKED: &str = "zstd, br, gzip, deflate";

/// Content in a coding; `bare` is deflate without zlib's frame.
async fn coded(coding: &str, content: &[u8]) -> Vec<u8> {
    macro_rules! with {
        ($encoder:ident) => {{
            let mut encoder = $encoder::with_quality(Vec::new(), Level::Fastest);
            encoder.write_all(content).await.expect("memory takes it");
            encoder.shutdown().await.expect("memory takes it");
            encoder.into_inner()
        }};
    }
    match coding {
        "gzip" => with!(GzipEncoder),
        "deflate" => with!(ZlibEncoder),
        "bare" => with!(DeflateEncoder),
        "br" => with!(BrotliEncoder),
        "zstd" => with!(ZstdEncoder),
        other => panic!("{other} is no coding"),
    }
}

/// Serves this content, said to be in this coding, and tells in `asked` what was asked for.
async fn serving(speaks: Speaks, coding: &'static str, content: Vec<u8>) -> Server {
    Server::start(speaks, 10, move |request| {
        let content = content.clone();
        async move {
            let asked = request.headers().get(ACCEPT_ENCODING).cloned();
            let mut response = answer(200, content);
            let headers = response.headers_mut();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
            if let Some(asked) = asked {
                headers.insert("asked", asked);
            }
            response
        }
    })
    .await
}

fn decompressing() -> ClientBuilder {
    Client::builder().decompression(Decompression::default())
}

#[tokio::test]
async fn each_coding_is_asked_for_and_undone() {
    let content = "the same words again and again. ".repeat(10_000);
    for (coding, name) in [
        ("gzip", "gzip"),
        ("gzip", "X-GZIP"),
        ("deflate", "deflate"),
        ("bare", "deflate"),
        ("br", "br"),
        ("zstd", "zstd"),
    ] {
        let bytes = coded(coding, content.as_bytes()).await;
        assert!(bytes.len() < content.len() / 10);
        for speaks in [Speaks::Http1, Speaks::Tls(H2)] {
            let server = serving(speaks, name, bytes.clone()).await;
            let client = match speaks {
                Speaks::Tls(_) => decompressing().security(server.security()).build(),
                _ => decompressing().build(),
            };
            let response = client.get(server.url("/")).send().await.unwrap();
            assert_eq!(response.headers()["asked"], ASKED);
            assert!(!response.headers().contains_key(CONTENT_ENCODING));
            assert!(!response.headers().contains_key(CONTENT_LENGTH));
            assert!(response.text().await.unwrap() == content, "{coding}");
            let again = client.get(server.url("/")).send().await.unwrap();
            assert!(again.is_connection_reused(), "{coding} was read to its end");
        }
    }
}

#[tokio::test]
async fn codings_upon_each_other_are_undone_from_the_last_one() {
    let inner = coded("br", b"twice").await;
    let server = serving(Speaks::Http1, "br, gzip", coded("gzip", &inner).await).await;
    let response = decompressing().build().get(server.url("/")).send().await;
    assert_eq!(response.unwrap().text().await.unwrap(), "twice");
}

#[tokio::test]
async fn what_the_application_asks_for_itself_comes_as_it_was_sent() {
    let bytes = coded("gzip", b"content").await;
    let server = serving(Speaks::Http1, "gzip", bytes.clone()).await;
    let plain = Client::builder().build().get(server.url("/"));
    let own = decompressing().build().get(server.url("/"));
    let own = own.header(ACCEPT_ENCODING, "gzip");
    let part = decompressing().build().get(server.url("/"));
    let part = part.header(RANGE, "bytes=0-99");
    for (request, asked) in [(plain, None), (own, Some("gzip")), (part, None)] {
        let response = request.send().await.unwrap();
        let told = response.headers().get("asked");
        assert_eq!(told.map(|asked| asked.to_str().unwrap()), asked);
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        assert!(response.headers().contains_key(CONTENT_LENGTH));
        assert_eq!(response.bytes().await.unwrap(), bytes);
    }
    let unknown = serving(Speaks::Http1, "gzip, unheard-of", bytes.clone()).await;
    let response = decompressing().build().get(unknown.url("/")).send().await;
    assert_eq!(response.unwrap().bytes().await.unwrap(), bytes);
}

#[tokio::test]
async fn without_content_there_is_nothing_to_undo() {
    let server = serving(Speaks::Http1, "gzip", Vec::new()).await;
    let client = decompressing().build();
    let empty = client.get(server.url("/")).send().await.unwrap();
    assert_eq!(empty.bytes().await.unwrap(), "");
    let head = client.head(server.url("/")).send().await.unwrap();
    assert_eq!(head.headers()[CONTENT_ENCODING], "gzip");
    let chunked = raw(|_, mut stream| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\ncontent-encoding: br\r\n\
            transfer-encoding: chunked\r\n\r\n0\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let empty = client.get(format!("http://{chunked}/")).send().await;
    assert_eq!(empty.unwrap().bytes().await.unwrap(), "");
}

#[tokio::test]
async fn trailers_follow_the_content_that_was_decompressed() {
    let bytes = coded("gzip", b"content").await;
    let server = Server::start(Speaks::Http2, 10, move |_| {
        let bytes = Bytes::from(bytes.clone());
        async move {
            let mut trailers = HeaderMap::new();
            trailers.insert("sum", HeaderValue::from_static("42"));
            let frames = [
                Ok::<_, Infallible>(http_body::Frame::data(bytes)),
                Ok(http_body::Frame::trailers(trailers)),
            ];
            let body = StreamBody::new(super::answers::Frames(frames.into_iter()));
            let mut response = http::Response::new(BodyExt::boxed(body));
            let coding = HeaderValue::from_static("gzip");
            response.headers_mut().insert(CONTENT_ENCODING, coding);
            response
        }
    })
    .await;
    let request = decompressing().build().get(server.url("/"));
    let response = request.versions(Version::Http2).send().await.unwrap();
    let whole = response.into_body().collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["sum"], "42");
    assert_eq!(whole.to_bytes(), "content");
}

async fn failing(client: ClientBuilder, coding: &'static str, content: Vec<u8>) -> Error {
    let server = serving(Speaks::Http1, coding, content).await;
    let response = client.build().get(server.url("/")).send().await;
    let response = response.expect("the head is whole");
    response.bytes().await.expect_err("the content is not")
}

#[tokio::test]
async fn broken_and_cut_off_content_is_an_error() {
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let bytes = coded(coding, &b"some words that are to be compressed ".repeat(99)).await;
        let half = bytes[..bytes.len() / 2].to_vec();
        let error = failing(decompressing(), coding, half).await;
        assert_eq!(error.class(), ErrorClass::Encoding, "{coding} cut off");
        let error = failing(decompressing(), coding, b"no such thing".to_vec()).await;
        assert_eq!(error.class(), ErrorClass::Encoding, "{coding} broken");
    }
    for coding in ["deflate", "br"] {
        let mut more = coded(coding, b"content").await;
        more.extend_from_slice(&[0; 40_000]);
        let error = failing(decompressing(), coding, more).await;
        assert_eq!(error.class(), ErrorClass::Encoding, "{coding} with more");
    }
}

#[tokio::test]
async fn a_bomb_is_an_error_before_it_goes_off() {
    let mut small = Decompression::default();
    small.content_max = 100_000;
    let mut tight = Decompression::default();
    (tight.ratio_max, tight.ratio_from) = (50, 100_000);
    let zeros = vec![0; 1_000_000];
    for limits in [small, tight] {
        for coding in ["gzip", "deflate", "br", "zstd"] {
            let bytes = coded(coding, &zeros).await;
            let client = Client::builder().decompression(limits.clone());
            let error = failing(client, coding, bytes).await;
            assert_eq!(error.class(), ErrorClass::LimitReached, "{coding}");
        }
    }
    // Coded twice, a few bytes become gigabytes.
    let huge = vec![0; 64 * 1024 * 1024];
    let twice = coded("gzip", &coded("gzip", &huge).await).await;
    assert!(twice.len() < 10_000);
    let error = failing(decompressing(), "gzip, gzip", twice).await;
    assert_eq!(error.class(), ErrorClass::LimitReached);
}

#[tokio::test]
async fn what_makes_no_content_is_an_error_however_it_is_coded() {
    let nothing = coded("gzip", b"").await.repeat(200_000);
    let nested = coded("zstd", &nothing).await;
    assert!(nested.len() < nothing.len() / 100);
    for (coding, bytes) in [("gzip", nothing), ("gzip, zstd", nested)] {
        let error = failing(decompressing(), coding, bytes).await;
        assert_eq!(error.class(), ErrorClass::LimitReached, "{coding}");
    }
    // A coding within another one that shrinks again is bounded as what comes out is.
    let mut tight = Decompression::default();
    tight.ratio_from = 100_000;
    let members = coded("gzip", b"x").await.repeat(30_000);
    let nested = coded("zstd", &members).await;
    assert!(members.len() / nested.len() > 200);
    let tight = Client::builder().decompression(tight);
    let error = failing(tight, "gzip, zstd", nested).await;
    assert_eq!(error.class(), ErrorClass::LimitReached);
}

#[tokio::test]
async fn a_window_beyond_what_is_allowed_is_refused() {
    // An empty stream in the extension of brotli for large windows that declares 2^30.
    let error = failing(decompressing(), "br", vec![0x11, 0xde]).await;
    assert_eq!(error.class(), ErrorClass::Encoding);
    // A frame of zstd that declares a window of 128 MiB (RFC 8878 §3.1.1.1.2), and nothing in it.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 0x01, 0x00, 0x00];
    let error = failing(decompressing(), "zstd", frame.to_vec()).await;
    assert_eq!(error.class(), ErrorClass::Encoding);
}

/// Sets a cookie at `/set`, leads from `/away` to another server, and says what cookies came.
async fn with_cookies(other: String) -> Server {
    Server::start(Speaks::Http1, 10, move |request| {
        let other = other.clone();
        async move {
            let came = request.headers().get(COOKIE).cloned();
            let came = came.map(|came| Bytes::copy_from_slice(came.as_bytes()));
            let set = |answer: Answer, name: HeaderName, value: &str| {
                let mut answer = answer;
                let value = value.parse().expect("it is valid");
                answer.headers_mut().append(name, value);
                answer
            };
            match request.uri().path() {
                "/set" => {
                    let answer = set(answer(302, ""), SET_COOKIE, "one=1; Path=/");
                    let answer = set(answer, SET_COOKIE, "two=2; Path=/; HttpOnly");
                    set(answer, LOCATION, "/seen")
                }
                "/away" => set(answer(302, ""), LOCATION, &other),
                _ => answer(200, came.unwrap_or_default()),
            }
        }
    })
    .await
}

#[tokio::test]
async fn cookies_are_kept_from_redirects_on_and_never_told_to_another_host() {
    let other = with_cookies(String::new()).await;
    // The same server under another name: another host, whatever the address is.
    let away = format!("http://localhost:{}/", other.address.port());
    let server = with_cookies(away).await;
    let jar = Arc::new(Cookies::new());
    let client = Client::builder().cookies(jar.clone()).build();
    let text = |path: &str| {
        let request = client.get(server.url(path));
        async { request.send().await.unwrap().text().await.unwrap() }
    };
    assert_eq!(text("/seen").await, "");
    assert_eq!(text("/set").await, "one=1; two=2");
    assert_eq!(text("/seen").await, "one=1; two=2");
    assert_eq!(text("/away").await, "", "it leads elsewhere");
    let own = client.get(server.url("/seen")).header(COOKIE, "own=0");
    let own = own.send().await.unwrap().text().await.unwrap();
    assert_eq!(own, "own=0", "what the application says stays");
    assert!(jar.to_netscape().contains("\ttwo\t2"));
    let later = Client::builder().cookies(Arc::new(Cookies::from_netscape(&jar.to_netscape())));
    let seen = later.build().get(server.url("/seen")).send().await.unwrap();
    assert_eq!(seen.text().await.unwrap(), "one=1; two=2");
}

#[tokio::test]
async fn a_jar_of_the_application_is_asked_and_told() {
    struct Fixed;
    impl CookieJar for Fixed {
        fn store(&self, _: &str, set_cookies: &mut dyn Iterator<Item = &HeaderValue>) {
            assert_eq!(set_cookies.count(), 2);
        }
        fn cookies(&self, url: &str) -> Option<HeaderValue> {
            url.ends_with("/seen")
                .then(|| HeaderValue::from_static("fixed=yes"))
        }
    }
    let server = with_cookies(String::new()).await;
    let client = Client::builder().cookies(Arc::new(Fixed)).build();
    let seen = client.get(server.url("/set")).send().await.unwrap();
    assert_eq!(seen.text().await.unwrap(), "fixed=yes");
}

/// A server of https at the name `localhost` and its address, which wants to be that for ever.
async fn strict() -> Server {
    let made = Made::for_names(&["localhost", "127.0.0.1"]);
    Server::start_with(&made, Speaks::Tls(&[b"http/1.1"]), 10, |_| async {
        let mut answer = answer(200, "protected");
        let value = HeaderValue::from_static("max-age=1000");
        answer
            .headers_mut()
            .insert(STRICT_TRANSPORT_SECURITY, value);
        answer
    })
    .await
}

#[tokio::test]
async fn a_host_that_wants_tls_gets_nothing_else_any_more() {
    let server = strict().await;
    let port = server.address.port();
    let (plain, safe) = ("http://localhost", "https://localhost");
    let client = client(&server);
    assert!(client.get(format!("{plain}:{port}/")).send().await.is_err());
    client.get(format!("{safe}:{port}/")).send().await.unwrap();
    let upgraded = client
        .get(format!("{plain}:{port}/a"))
        .send()
        .await
        .unwrap();
    assert_eq!(upgraded.url(), format!("{safe}:{port}/a"));
    // An address is never strict.
    client.get(server.url("/")).send().await.unwrap();
    let address = format!("http://127.0.0.1:{port}/");
    assert!(client.get(&address).send().await.is_err());
    let stored = client.strict_hosts();
    assert_eq!(stored.len(), 1);
    let later = Client::builder().security(server.security());
    let later = later.strict_hosts(stored).build();
    assert!(later.get(format!("{plain}:{port}/")).send().await.is_ok());
    let deaf = Client::builder().security(server.security()).ignore_hsts();
    let soon = SystemTime::now() + Duration::from_secs(1000);
    let listed = [StrictHost::new("localhost", false, soon)];
    let deaf = deaf.strict_hosts(listed).build();
    assert!(deaf.get(format!("{plain}:{port}/")).send().await.is_err());
}

#[tokio::test]
async fn what_a_request_shows_goes_along_when_its_host_wants_tls() {
    let made = Made::for_names(&["localhost"]);
    let server = Server::start_with(
        &made,
        Speaks::Tls(&[b"http/1.1"]),
        10,
        |request| async move {
            let shown = request.headers().get("authorization");
            answer(
                200,
                Bytes::copy_from_slice(shown.map_or(b"", |it| it.as_bytes())),
            )
        },
    )
    .await;
    let soon = SystemTime::now() + Duration::from_secs(1000);
    let client = Client::builder()
        .security(server.security())
        .strict_hosts([StrictHost::new("localhost", false, soon)])
        .build();
    let port = server.address.port();
    let by_url = client.get(format!("http://me:secret@localhost:{port}/"));
    let by_call = client.get(format!("http://localhost:{port}/"));
    for request in [by_url, by_call.basic_auth("me", "secret")] {
        let response = request.send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "Basic bWU6c2VjcmV0");
    }
}

#[tokio::test]
async fn a_server_that_anybody_could_be_is_not_believed() {
    let server = strict().await;
    let security = portway_core::SecurityParameters::tls()
        .with_trust(portway_core::security::Trust::DangerousAnyone);
    let client = Client::builder().security(security).build();
    let url = format!("https://localhost:{}/", server.address.port());
    client.get(url).send().await.unwrap();
    assert_eq!(client.strict_hosts(), []);
}

#[tokio::test]
async fn no_more_is_sent_again_than_the_budget_of_the_client_allows() {
    let address = resetting(3, h2::Reason::REFUSED_STREAM, Resets::Request).await;
    let client = Client::builder()
        .retry_budget(RetryBudget::new(0.0, 1))
        .build();
    let send = || {
        let request = client.get(format!("http://{address}/"));
        request.versions(Version::Http2).send()
    };
    // The first request has the one retry, and both are refused; the second has none left.
    for _ in 0..2 {
        let error = send().await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Reset);
        assert!(
            error.is_retryable(),
            "it can be sent again by the application"
        );
    }
    assert_eq!(send().await.unwrap().status(), 200);
    assert_eq!(client.counts().active, 0, "what was given up is forgotten");
}
