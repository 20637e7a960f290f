//! Connections that leave HTTP: 101, and tunnels by CONNECT over HTTP/1.1 and 2.

use super::server::{Made, acceptor, raw, read_head};
use super::until;
use bytes::Bytes;
use portway_http::Client;
use portway_http::client::ErrorClass;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Says `answer` to a request, then repeats what comes until its end.
async fn repeating(answer: &'static str) -> std::net::SocketAddr {
    raw(move |_, mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(answer.as_bytes()).await;
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await
}

async fn talks_and_ends(client: &Client, response: portway_http::client::Response, first: &str) {
    let mut stream = response.upgrade().await.expect("it leads out of HTTP");
    let mut begin = vec![0; first.len()];
    stream.read_exact(&mut begin).await.expect("it is there");
    assert_eq!(begin, first.as_bytes());
    stream.write_all(b"not HTTP").await.expect("it is taken");
    stream.flush().await.expect("it is taken");
    let mut said = [0; 8];
    stream.read_exact(&mut said).await.expect("it comes back");
    assert_eq!(&said, b"not HTTP");
    assert_eq!(client.counts().active, 1, "it counts as in use");
    drop(stream);
    until(|| client.counts().active == 0).await;
}

#[tokio::test]
async fn a_101_leaves_the_connection_to_the_application() {
    const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\n\
        connection: upgrade\r\nupgrade: echo\r\n\r\nat once";
    let address = repeating(SWITCH).await;
    let client = Client::builder().build();
    let request = client.get(format!("http://{address}/"));
    let request = request
        .header("connection", "upgrade")
        .header("upgrade", "echo");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 101);
    talks_and_ends(&client, response, "at once").await;
    assert_eq!(client.counts().idle, 0, "it is never used for HTTP again");
}

#[tokio::test]
async fn each_direction_of_a_tunnel_in_tls_ends_by_itself() {
    let made = Made::new();
    let tls = acceptor(&made, &[b"http/1.1"]);
    let address = raw(move |number, stream| {
        let tls = tls.clone();
        async move {
            let mut stream = tls.accept(stream).await.expect("TLS");
            assert!(read_head(&mut stream).await, "a head");
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let mut came = Vec::new();
            stream.read_to_end(&mut came).await.expect("an end");
            // The client has ended its direction only.
            stream.write_all(&came).await.expect("it is taken");
            stream.flush().await.expect("it is taken");
            if number == 0 {
                stream.shutdown().await.expect("it ends");
            }
        }
    })
    .await;
    let client = Client::builder().security(made.security()).build();
    for is_whole in [true, false] {
        let request = client.connect(format!("https://{address}/"), "far.test:80");
        let response = request.send().await.unwrap();
        let mut stream = response.upgrade().await.unwrap();
        stream.write_all(b"question").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer).await;
        assert_eq!(answer, b"question");
        // Without a word of TLS it was cut off.
        assert_eq!(end.is_ok(), is_whole, "{end:?}");
    }
}

#[tokio::test]
async fn connect_opens_a_tunnel_over_http1() {
    let address = repeating("HTTP/1.1 200 OK\r\n\r\nfirst").await;
    let client = Client::builder().build();
    let request = client.connect(format!("http://{address}/"), "far.test:80");
    let response = request.send().await.unwrap();
    talks_and_ends(&client, response, "first").await;
}

#[tokio::test]
async fn connect_opens_a_tunnel_over_http2_beside_other_requests() {
    let made = Made::new();
    let acceptor = acceptor(&made, &[b"h2"]);
    let address = raw(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let stream = acceptor.accept(stream).await.expect("a handshake");
            let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let is_tunnel = request.method() == http::Method::CONNECT;
                assert_eq!(is_tunnel, request.uri().path().is_empty());
                if is_tunnel {
                    assert_eq!(request.uri().to_string(), "far.test:80");
                }
                let answer = http::Response::new(());
                let mut send = respond
                    .send_response(answer, !is_tunnel)
                    .expect("it is open");
                tokio::spawn(async move {
                    let mut body = request.into_body();
                    while let (true, Some(Ok(data))) = (is_tunnel, body.data().await) {
                        let length = data.len();
                        let _ = send.send_data(data, false);
                        let _ = body.flow_control().release_capacity(length);
                    }
                    let _ = send.send_data(Bytes::new(), true);
                });
            }
        }
    })
    .await;
    let client = Client::builder().security(made.security()).build();
    let url = format!("https://{address}/");
    let response = client.connect(&url, "far.test:80").send().await.unwrap();
    let other = client.get(&url).send().await.unwrap();
    assert!(other.is_connection_reused());
    talks_and_ends(&client, response, "").await;
}

#[tokio::test]
async fn a_response_that_stays_with_http_is_no_upgrade() {
    let address = repeating("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno").await;
    let client = Client::builder().build();
    let response = client
        .get(format!("http://{address}/"))
        .send()
        .await
        .unwrap();
    let error = response.upgrade().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidRequest);
    let portless = client.connect(format!("http://{address}/"), "far.test");
    let error = portless.send().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidRequest);
}
