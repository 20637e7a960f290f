//! Time limits, each with a server that keeps still in its phase.

use super::server::{raw, read_head};
use portway_http::Client;
use portway_http::client::{Error, ErrorClass, Phase, Timeouts};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A server that says so much and then nothing more.
async fn silent_after(words: &'static str) -> SocketAddr {
    raw(move |_, mut stream| async move {
        if !words.is_empty() {
            read_head(&mut stream).await;
            let _ = stream.write_all(words.as_bytes()).await;
        }
        while read_head(&mut stream).await {}
        std::future::pending::<()>().await;
    })
    .await
}

async fn fails(scheme: &str, words: &'static str, set: impl FnOnce(&mut Timeouts)) -> Error {
    let address = silent_after(words).await;
    let mut timeouts = Timeouts::default();
    set(&mut timeouts);
    let client = Client::builder().timeouts(timeouts).build();
    match client.get(format!("{scheme}://{address}/")).send().await {
        Ok(response) => response.bytes().await.expect_err("nothing more comes"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn each_phase_has_its_limit() {
    const SOON: Option<Duration> = Some(Duration::from_millis(20));
    const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
    type Set = fn(&mut Timeouts);
    let rows: [(&str, &str, Set, Phase); 5] = [
        (
            "https",
            "",
            |limits| limits.handshake = SOON,
            Phase::Handshake,
        ),
        (
            "http",
            "",
            |limits| limits.response_head = SOON,
            Phase::ResponseHead,
        ),
        (
            "http",
            HALF,
            |limits| limits.body_idle = SOON,
            Phase::BodyIdle,
        ),
        ("http", HALF, |limits| limits.total = SOON, Phase::Total),
        ("http", "", |limits| limits.total = SOON, Phase::Total),
    ];
    for (scheme, words, set, phase) in rows {
        let error = fails(scheme, words, set).await;
        assert_eq!(error.class(), ErrorClass::TimedOut(phase));
    }
}

/// A server that waits for the head, says `first`, and answers with what comes then.
async fn hesitant(first: &'static str) -> SocketAddr {
    raw(move |_, mut stream| async move {
        if !read_head(&mut stream).await {
            return;
        }
        let _ = stream.write_all(first.as_bytes()).await;
        let mut content = [0; 7];
        let said = match stream.read_exact(&mut content).await {
            Ok(_) => String::from_utf8_lossy(&content).into_owned(),
            Err(_) => return,
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{said}",
            said.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await
}

fn expecting(patience: Option<Duration>) -> Client {
    let mut timeouts = Timeouts::default();
    timeouts.expect = patience;
    timeouts.drain = Some(Duration::from_millis(20));
    Client::builder().timeouts(timeouts).build()
}

async fn post(client: &Client, address: SocketAddr) -> (u16, String) {
    let request = client.post(format!("http://{address}/")).body("content");
    let response = request
        .header("expect", "100-continue")
        .send()
        .await
        .expect("an answer");
    let status = response.status().as_u16();
    (status, response.text().await.expect("whole"))
}

#[tokio::test]
async fn content_that_is_expected_waits_for_a_100() {
    let address = hesitant("HTTP/1.1 100 Continue\r\n\r\n").await;
    // With no patience of its own the client would wait for ever.
    assert_eq!(
        post(&expecting(None), address).await,
        (200, "content".to_owned())
    );
}

#[tokio::test]
async fn without_a_100_content_follows_when_the_time_for_it_is_up() {
    let address = hesitant("").await;
    let client = expecting(Some(Duration::from_millis(20)));
    assert_eq!(post(&client, address).await, (200, "content".to_owned()));
}

#[tokio::test]
async fn content_is_not_sent_after_an_answer_and_the_connection_ends() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = Arc::new(Mutex::new(Some(tell)));
    let address = raw(move |_, mut stream| {
        let tell = tell.clone();
        async move {
            read_head(&mut stream).await;
            let answer = b"HTTP/1.1 417 No\r\ncontent-length: 2\r\n\r\nno";
            let _ = stream.write_all(answer).await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            if let Some(tell) = tell.lock().expect("no panic").take() {
                let _ = tell.send(rest);
            }
        }
    })
    .await;
    let client = expecting(None);
    assert_eq!(post(&client, address).await, (417, "no".to_owned()));
    assert_eq!(told.await.expect("the server's word"), b"");
}
