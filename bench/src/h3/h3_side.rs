//! The crate `h3` over quinn, as its examples use it.

use super::web::{self, Asks, Web, accept_all, content};
use crate::quic::{Identity, Quinn, STREAMS_MAX, Stack};
use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use h3_quinn::{Connection, OpenStreams};
use http::HeaderMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The crate `h3` with `h3-quinn`.
pub struct H3;

/// A connection with its endpoint.
#[derive(Clone)]
pub struct Client {
    sender: SendRequest<OpenStreams, Bytes>,
    _endpoint: Arc<Quinn>,
}

impl Web for H3 {
    type Client = Client;

    fn start(identity: &Identity, at: IpAddr) -> SocketAddr {
        let endpoint = Quinn::bind_at(identity, STREAMS_MAX, at);
        accept_all(endpoint, serve)
    }

    async fn connect(identity: &Identity, from: IpAddr, to: SocketAddr) -> Client {
        let endpoint = Quinn::bind_at(identity, STREAMS_MAX, from);
        let connection = Connection::new(endpoint.connect(to).await);
        let mut builder = h3::client::builder();
        builder.send_grease(false);
        let (mut driver, sender) = builder.build(connection).await.expect("our own server");
        tokio::spawn(async move {
            std::future::poll_fn(|context| driver.poll_close(context)).await;
        });
        Client {
            sender,
            _endpoint: Arc::new(endpoint),
        }
    }
}

async fn serve(connection: quinn::Connection) {
    let mut builder = h3::server::builder();
    builder.send_grease(false);
    let connection = builder.build(Connection::new(connection)).await;
    let mut connection = connection.expect("our own client");
    while let Ok(Some(resolver)) = connection.accept().await {
        tokio::spawn(async move {
            let resolved = resolver.resolve_request().await;
            let (request, mut stream) = resolved.expect("a request");
            let mut received = 0;
            while let Some(piece) = stream.recv_data().await.expect("a request") {
                received += piece.remaining();
            }
            assert_eq!(received, 0, "{} has no content", request.method());
            let sent = stream.send_response(web::response(())).await;
            sent.expect("it is read");
            stream.send_data(content()).await.expect("it is read");
            stream.finish().await.expect("it is read");
        });
    }
}

impl Asks for Client {
    async fn get(&self, fields: &HeaderMap) -> usize {
        let mut sender = self.sender.clone();
        let sent = sender.send_request(web::request(fields, ())).await;
        let mut stream = sent.expect("it is read");
        stream.finish().await.expect("it is read");
        let response = stream.recv_response().await.expect("an answer");
        assert!(response.status().is_success());
        let mut received = 0;
        while let Some(piece) = stream.recv_data().await.expect("an answer") {
            received += piece.remaining();
        }
        received
    }
}
