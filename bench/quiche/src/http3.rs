//! HTTP/3 by tokio-quiche's driver, with tasks around it as its example has them.
//!
//! Invariant: a server reads each request to its end in a task of its own before it answers.

use crate::Asks;
use crate::ends::{Certificate, bind, connect};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio_quiche::http3::driver::{
    ClientEventStream, ClientH3Event, ClientRequestSender, H3Event, InboundFrame,
    InboundFrameStream, IncomingH3Headers, NewClientRequest, OutboundFrame, ServerH3Event,
};
use tokio_quiche::http3::settings::Http3Settings;
use tokio_quiche::quiche::h3::{Header, NameValue};
use tokio_quiche::{ClientH3Driver, ServerH3Controller, ServerH3Driver};

/// A connection.
#[derive(Clone)]
pub(crate) struct Client {
    sender: ClientRequestSender,
    next: Arc<AtomicU64>,
    waiting: Arc<Waiting>,
}

/// Who waits for a response, by the number that its request was given.
#[derive(Default)]
struct Waiting(Mutex<HashMap<u64, oneshot::Sender<IncomingH3Headers>>>);

impl Asks for Client {
    const ANSWER: usize = CONTENT.len();

    async fn start(certificate: Certificate) -> SocketAddr {
        let (address, mut connections) = bind(&certificate, ALPN).await;
        tokio::spawn(async move {
            while let Some(connection) = connections.next().await {
                let (driver, controller) = ServerH3Driver::new(Http3Settings::default());
                connection.expect("our own client").start(driver);
                tokio::spawn(answer(controller));
            }
        });
        address
    }

    async fn connect(server: SocketAddr) -> Client {
        let (driver, mut controller) = ClientH3Driver::new(Http3Settings::default());
        connect(server, ALPN, driver).await;
        let waiting = Arc::<Waiting>::default();
        let events = controller.take_event_receiver();
        tokio::spawn(distribute(events, waiting.clone()));
        Client {
            sender: controller.request_sender(),
            next: Arc::default(),
            waiting,
        }
    }

    async fn ask(&self) -> usize {
        let request_id = self.next.fetch_add(1, Ordering::Relaxed);
        let (waits, response) = oneshot::channel();
        self.waiting.lock().insert(request_id, waits);
        let sent = self.sender.send(NewClientRequest {
            request_id,
            headers: request(),
            body_writer: None,
        });
        sent.expect("it is open");
        let response = response.await.expect("an answer");
        let mut headers = response.headers.iter();
        let status = headers.find(|header| header.name() == b":status");
        assert_eq!(status.expect("a status").value(), b"200");
        read(response.recv, response.read_fin).await
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<IncomingH3Headers>>> {
        self.0.lock().expect("nobody panics with it")
    }
}

/// Gives each response to who waits for it.
async fn distribute(mut events: ClientEventStream, waiting: Arc<Waiting>) {
    let mut streams = HashMap::new();
    while let Some(event) = events.recv().await {
        match event {
            ClientH3Event::NewOutboundRequest {
                stream_id,
                request_id,
            } => {
                streams.insert(stream_id, request_id);
            }
            ClientH3Event::Core(H3Event::IncomingHeaders(headers)) => {
                let request = streams.remove(&headers.stream_id).expect("it was sent");
                let waits = waiting.lock().remove(&request).expect("it was asked for");
                waits.send(headers).expect("nobody stops waiting");
            }
            ClientH3Event::Core(_) => {}
        }
    }
}

/// Answers every request of a connection.
async fn answer(mut controller: ServerH3Controller) {
    while let Some(event) = controller.event_receiver_mut().recv().await {
        let ServerH3Event::Headers {
            incoming_headers, ..
        } = event
        else {
            continue;
        };
        tokio::spawn(async move {
            let IncomingH3Headers {
                recv,
                read_fin,
                mut send,
                ..
            } = incoming_headers;
            assert_eq!(read(recv, read_fin).await, 0, "it has no content");
            let head = OutboundFrame::Headers(response(), None);
            send.send(head).await.expect("it is read");
            let content = OutboundFrame::Body(Bytes::from_static(CONTENT), true);
            send.send(content).await.expect("it is read");
        });
    }
}

/// Reads a message to its end.
async fn read(mut frames: InboundFrameStream, is_end: bool) -> usize {
    let (mut count, mut is_end) = (0, is_end);
    while !is_end {
        match frames.recv().await {
            Some(InboundFrame::Body(piece, is_last)) => {
                count += piece.len();
                is_end = is_last;
            }
            Some(InboundFrame::Datagram(_)) => {}
            None => return count,
        }
    }
    count
}

fn request() -> Vec<Header> {
    vec![
        Header::new(b":method", b"GET"),
        Header::new(b":scheme", b"https"),
        Header::new(b":authority", b"localhost"),
        Header::new(b":path", b"/resource"),
    ]
}

fn response() -> Vec<Header> {
    vec![
        Header::new(b":status", b"200"),
        Header::new(b"content-type", b"application/octet-stream"),
        Header::new(b"content-length", b"1024"),
    ]
}

const ALPN: &[u8] = b"h3";
static CONTENT: &[u8] = &[7; 1024];
