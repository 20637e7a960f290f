//! Time limits, each with a server that keeps still in its phase.

use super::server::{raw, read_head};
use portway_http::Client;
use portway_http::client::{Error, ErrorClass, Phase, Timeouts};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

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
