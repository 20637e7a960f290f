//! Requests put together in all ways: forms, streams, tower, blocking; and heads that are shared.

use super::answers::Frames;
use super::client;
use super::server::{Answer, Server, Speaks, answer, raw, read_head};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http_body_util::{BodyExt, Full};
use portway_core::{Advice, Origin};
use portway_http::Client;
use portway_http::blocking;
use portway_http::client::{Body, ConnectionInfo, Credentials, ErrorClass, Form, Part};
use portway_http::pool::Version;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tower_service::Service;

const H2: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Says what came: the path with its query, the type, the length, and the content.
async fn telling(request: http::Request<hyper::body::Incoming>) -> Answer {
    let field = |name| {
        let value = request.headers().get(name);
        let value = value.map(|value: &http::HeaderValue| value.to_str().expect("it is text"));
        value.unwrap_or("-").to_owned()
    };
    let head = format!(
        "{} {} {} {}\n",
        request.method(),
        request.uri().path_and_query().expect("there is a path"),
        field(CONTENT_TYPE),
        field(CONTENT_LENGTH)
    );
    if request.uri().path() == "/keep" {
        let mut response = answer(307, "");
        let location = "/kept".parse().expect("it is valid");
        response.headers_mut().insert(LOCATION, location);
        return response;
    }
    let content = request.into_body().collect().await.expect("it comes whole");
    answer(200, [head.as_bytes(), &content.to_bytes()].concat())
}

#[tokio::test]
async fn forms_and_queries_are_written_as_urls_have_them() {
    let server = Server::start(Speaks::Http1, 1, telling).await;
    let client = Client::builder().build();
    let pairs = [("a b", "c&d"), ("e", "é")];
    let request = client.post(server.url("/p?x=1")).query(&pairs).form(&pairs);
    let text = request.send().await.unwrap().text().await.unwrap();
    let coded = "a+b=c%26d&e=%C3%A9";
    let kind = "application/x-www-form-urlencoded";
    let length = coded.len();
    assert_eq!(
        text,
        format!("POST /p?x=1&{coded} {kind} {length}\n{coded}")
    );
    let none: [(&str, &str); 0] = [];
    let request = client.get(server.url("/p")).query(&none);
    let text = request.send().await.unwrap().text().await.unwrap();
    assert_eq!(text, "GET /p - -\n");
    let request = client.get(server.url("/p")).query("no pairs");
    let error = request.send().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidRequest);
}

#[tokio::test]
async fn a_form_of_several_parts_has_its_boundary_and_escapes_names() {
    let server = Server::start(Speaks::Http1, 1, telling).await;
    let client = Client::builder().build();
    let form = || {
        let file = Part::new("<p>")
            .file_name("a\"b.html")
            .content_type("text/html\r\nx: y");
        Form::new().text("name\r\n", "value").part("file", file)
    };
    // It goes on with the redirect, since all of it can be sent again.
    let request = client.post(server.url("/keep")).multipart(form());
    let text = request.send().await.unwrap().text().await.unwrap();
    let (head, content) = text.split_once('\n').unwrap();
    let boundary = head.split_once("boundary=").unwrap().1;
    let (boundary, length) = boundary.split_once(' ').unwrap();
    assert_eq!(length.parse(), Ok(content.len()));
    let expected = "--B\r\ncontent-disposition: form-data; name=\"name%0D%0A\"\r\n\r\nvalue\r\n\
        --B\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a%22b.html\"\r\n\
        content-type: text/html  x: y\r\n\r\n<p>\r\n--B--\r\n";
    assert_eq!(content, expected.replace('B', boundary));
    let streamed = Body::from_stream(Frames(["one ", "two"].map(Ok::<_, Infallible>).into_iter()));
    let form = form().part("stream", Part::new(streamed));
    let request = client.post(server.url("/")).multipart(form);
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(
        text.contains("name=\"stream\"\r\n\r\none two\r\n--portway-"),
        "{text}"
    );
    assert!(
        text.lines().next().unwrap().ends_with(" -"),
        "its length is not known"
    );
}

#[tokio::test]
async fn streams_and_readers_are_bodies_and_contents_are_streams() {
    let server = Server::start(Speaks::Http1, 1, telling).await;
    let client = Client::builder().build();
    let long = vec![b'x'; 100_000];
    let reader = Body::from_reader(std::io::Cursor::new(long.clone()));
    let response = client.put(server.url("/")).body(reader).send().await;
    let mut stream = response.unwrap().into_body().into_stream();
    let mut content = Vec::new();
    while let Some(part) = std::future::poll_fn(|context| {
        futures_core::Stream::poll_next(std::pin::Pin::new(&mut stream), context)
    })
    .await
    {
        content.extend_from_slice(&part.unwrap());
    }
    assert!(content.ends_with(&long));
    let failing = Body::from_stream(Frames([Err::<Bytes, _>("broken")].into_iter()));
    let error = client.put(server.url("/")).body(failing).send().await;
    assert_eq!(error.unwrap_err().class(), ErrorClass::Body);
}

#[tokio::test]
async fn the_client_is_a_tower_service() {
    let server = Server::start(Speaks::Tls(H2), 10, telling).await;
    let mut service = client(&server);
    let request = http::Request::post(server.url("/one"))
        .header(CONTENT_TYPE, "text/plain")
        .body(Full::new(Bytes::from("content")))
        .unwrap();
    std::future::poll_fn(|context| {
        Service::<http::Request<Full<Bytes>>>::poll_ready(&mut service, context)
    })
    .await
    .unwrap();
    let response = service.call(request).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    let info = response.extensions().get::<Arc<ConnectionInfo>>().unwrap();
    assert_eq!(info.remote, server.address);
    let content = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(content, "POST /one text/plain 7\ncontent");
}

#[tokio::test]
async fn a_request_of_http2_to_the_service_is_sent_as_such_in_cleartext_too() {
    let server = Server::start(Speaks::Http2, 10, telling).await;
    let mut service = Client::builder().build();
    let mut request = http::Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = server.url("/two").parse().unwrap();
    *request.version_mut() = http::Version::HTTP_2;
    let response = service.call(request).await.unwrap();
    let content = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(content, "GET /two - -\n");
}

/// A server in a runtime of its own, for calls that wait.
fn served_elsewhere(speaks: Speaks) -> (SocketAddr, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let server = runtime.block_on(Server::start(speaks, 10, telling));
    (server.address, runtime)
}

#[test]
fn without_a_runtime_calls_wait_for_their_end() {
    let (address, _runtime) = served_elsewhere(Speaks::Http1);
    let url = format!("http://{address}/wait");
    let client = blocking::Client::new().unwrap();
    let response = client.post(&url).body("content").send().unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().unwrap(), "POST /wait - 7\ncontent");
    let sent = BTreeMap::from([("a", 1)]);
    let response = client.put(&url).json(&sent).send().unwrap();
    assert!(response.head().is_connection_reused());
    assert!(response.text().unwrap().ends_with("{\"a\":1}"));
    let long = vec![b'x'; 100_000];
    let mut response = client.post(&url).body(long.clone()).send().unwrap();
    let mut content = Vec::new();
    response.read_to_end(&mut content).unwrap();
    assert!(content.ends_with(&long));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (client, url) = (client.clone(), url.clone());
            std::thread::spawn(move || client.get(url).send().unwrap().bytes().unwrap())
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), "GET /wait - -\n");
    }
    let wrong = client.get("no-url").send().unwrap_err();
    assert_eq!(wrong.class(), ErrorClass::InvalidRequest);
}

#[tokio::test]
async fn a_call_that_waits_is_refused_inside_of_a_runtime() {
    let client = blocking::Client::new().unwrap();
    let error = client.get("http://127.0.0.1:1/").send().unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidRequest);
    assert!(error.to_string().contains("runtime"), "{error}");
}

#[tokio::test]
async fn calls_that_wait_work_where_a_runtime_lets_code_block() {
    let server = Server::start(Speaks::Http1, 10, telling).await;
    let url = server.url("/wait");
    let told = tokio::task::spawn_blocking(move || {
        let client = blocking::Client::new()?;
        client.get(url).send()?.text()
    });
    assert_eq!(told.await.unwrap().unwrap(), "GET /wait - -\n");
}

#[tokio::test]
async fn a_head_is_read_by_many_threads_while_its_content_comes() {
    let address = raw(|_, mut stream| async move {
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\
            x-good: yes\r\nx-bad: caf\xe9\r\nx-bad: second\r\n\r\nabc";
        let _ = stream.write_all(head).await;
        let _ = stream.write_all(b"def").await;
    })
    .await;
    let response = Client::builder().build().get(format!("http://{address}/"));
    let (head, mut body) = response.send().await.unwrap().into_parts();
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let head = head.clone();
            std::thread::spawn(move || {
                for _ in 0..1000 {
                    assert_eq!(head.header_text("x-good").unwrap(), Some("yes"));
                    assert_eq!(head.header_text("x-none").unwrap(), None);
                    let invalid = head.header_text("x-bad").unwrap_err();
                    assert_eq!(invalid.class(), ErrorClass::Content);
                    // Asking did not take it away, nor the one behind it.
                    let all: Vec<_> = head.headers().get_all("x-bad").iter().collect();
                    assert_eq!(all[0].as_bytes(), b"caf\xe9");
                    assert_eq!(all[1], "second");
                }
            })
        })
        .collect();
    let mut content = Vec::new();
    while let Some(chunk) = body.chunk().await.unwrap() {
        content.extend_from_slice(&chunk);
    }
    assert_eq!(content, b"abcdef");
    for reader in readers {
        reader.join().unwrap();
    }
    assert_eq!(
        (head.status().as_u16(), head.version()),
        (200, Version::Http1)
    );
}

#[tokio::test]
async fn a_status_of_a_failure_is_an_error_where_it_is_asked_for() {
    let server = Server::start(Speaks::Http1, 1, async |request| {
        let status = request.uri().path()[1..].parse().expect("a status");
        let mut response = answer(status, "why");
        response
            .headers_mut()
            .insert(RETRY_AFTER, "120".parse().expect("it is valid"));
        response
    })
    .await;
    let client = Client::builder().build();
    let wait = Advice::After(Duration::from_secs(120));
    let cases = [
        (401, Some(Advice::NeedsCredential)),
        (404, Some(Advice::Fatal)),
        (429, Some(wait)),
        (500, Some(Advice::Fatal)),
        (503, Some(wait)),
        (204, None),
        (304, None),
    ];
    for (status, advice) in cases {
        let url = server.url(&format!("/{status}"));
        let response = client.get(&url).send().await.expect("an answer");
        match (response.error_for_status(), advice) {
            (Ok(response), None) => assert_eq!(response.status(), status),
            (Err(error), Some(advice)) => {
                assert_eq!(error.class(), ErrorClass::Status);
                assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
                assert_eq!((error.advice(), error.code()), (advice, None), "{status}");
                assert_eq!(error.failure().origin, Origin::Http);
                let told = format!("the answer of {url} (http code {status})");
                assert_eq!(error.to_string(), told);
            }
            (came, _) => panic!("{status}: {came:?}"),
        }
    }
    // Its content is there for who looks at the head alone.
    let response = client
        .get(server.url("/404"))
        .send()
        .await
        .expect("an answer");
    response.head().error_for_status().expect_err("a failure");
    assert_eq!(response.text().await.expect("content"), "why");
}

/// What a request hears of interim responses by a server that says this after each head, one list
/// for each connection.
async fn interim_heard(says: &'static [&'static [&'static str]]) -> Vec<String> {
    let address = raw(move |count, mut stream| async move {
        for said in says.get(count).copied().unwrap_or_default() {
            if !read_head(&mut stream).await || stream.write_all(said.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = heard.clone();
    let client = Client::builder().build();
    let request = client.get(format!("http://{address}/"));
    let request = request.credentials(Credentials::password("me", "secret"));
    let request = request.on_interim(move |interim| {
        let link = interim.headers()["link"].to_str().expect("text");
        told.lock().expect("no panic").push(link.to_owned());
    });
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let heard = heard.lock().expect("no panic");
    heard.clone()
}

#[tokio::test]
async fn an_interim_response_is_told_once_where_a_challenge_repeats_the_request() {
    let says: &[&[&str]] = &[&[
        "HTTP/1.1 103 Early\r\nlink: </a>\r\n\r\nHTTP/1.1 401 No\r\n\
         www-authenticate: Basic realm=here\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 103 Early\r\nlink: </a>\r\n\r\nHTTP/1.1 103 Early\r\nlink: </b>\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ]];
    assert_eq!(interim_heard(says).await, ["</a>", "</b>"]);
}

#[tokio::test]
async fn an_interim_response_after_a_redirect_is_anothers() {
    // The first try is lost, so that the same would be known again.
    let says: &[&[&str]] = &[
        &["HTTP/1.1 103 Early\r\nlink: </a>\r\n\r\n"],
        &[
            "HTTP/1.1 302 There\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 103 Early\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\
             content-length: 0\r\n\r\n",
        ],
    ];
    assert_eq!(interim_heard(says).await, ["</a>", "</a>"]);
}
