//! Our client, as the matrix uses it.
//!
//! Invariant: an answer is whole, or the cell fails.

use crate::authority::{Authority, NAME};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use portway::h3::{ClientConnection, Options, PendingResponse};
use portway::quic::{Connection, Connector};
use portway::{Context, Security};
use std::cell::Cell;
use std::net::SocketAddr;

pub(super) fn connector(authority: &Authority, context: &Context) -> Connector {
    let security = Security::tls()
        .with_trust(authority.trust())
        .with_alpn(["h3"]);
    Connector::new(security)
        .context(context)
        .server_name(NAME)
        .early_data()
}

pub(super) async fn connect(connector: &Connector, address: SocketAddr) -> ClientConnection {
    let connection = connector.connect(address).await.expect("connected");
    attach(&connection, &options())
}

pub(super) fn attach(connection: &Connection, options: &Options) -> ClientConnection {
    ClientConnection::new(connection, options).expect("nothing runs there yet")
}

/// Everything that peers may have is offered.
pub(super) fn options() -> Options {
    let mut options = Options::default().with_grease(7);
    options.http.pushes = 10;
    options.http.datagrams.rfc9297 = true;
    options
}

/// A response with all that came before and after it.
pub(super) struct Answer {
    pub(super) interim: Vec<StatusCode>,
    pub(super) head: Response<()>,
    pub(super) content: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
}

pub(super) fn url(path: &str) -> String {
    format!("https://{NAME}{path}")
}

pub(super) async fn get(client: &ClientConnection, path: &str) -> Answer {
    let request = Request::get(url(path))
        .header("x-same", "same".repeat(9))
        .body(Bytes::new());
    let pending = client.send(request.expect("a request")).await;
    answer(pending.expect("sent")).await
}

/// Sends content and trailers, while the answer is read.
pub(super) async fn post(
    client: &ClientConnection,
    path: &str,
    content: Vec<u8>,
    trailers: Option<&HeaderMap>,
) -> Answer {
    let request = Request::post(url(path)).body(()).expect("a request");
    let stream = client.send_request(request).await.expect("sent");
    let (mut send, pending) = stream.split();
    let sending = async {
        send.send_data(content.into()).await.expect("taken");
        match trailers {
            Some(trailers) => send.send_trailers(trailers).expect("taken"),
            None => send.finish().expect("taken"),
        }
    };
    tokio::join!(answer(pending), sending).0
}

pub(super) async fn answer(mut pending: PendingResponse) -> Answer {
    let mut interim = Vec::new();
    while let Some(head) = pending.interim().await.expect("a head") {
        interim.push(head.status());
    }
    let (head, mut body) = pending.response().await.expect("a response").into_parts();
    let (mut content, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.expect("all of it").into_data() {
            Ok(data) => content.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Answer {
        interim,
        head: Response::from_parts(head, ()),
        content,
        trailers,
    }
}

/// Asks twice for the same, by `u=7` and then by `u=0`, and reads both: how much of the first one
/// has come, in percent, when the second one is whole. A server that obeys had sent little of it.
pub(super) async fn background_share(client: &ClientConnection, path: &str) -> usize {
    let [background, urgent] = ["u=7", "u=0"].map(|priority| {
        let request = Request::get(url(path)).header("priority", priority);
        request.body(Bytes::new()).expect("a request")
    });
    let background = client.send(background).await.expect("sent");
    let urgent = client.send(urgent).await.expect("sent");
    let come = Cell::new(0);
    let take = async |pending, counted: bool| {
        let response = PendingResponse::response(pending).await;
        let (mut body, mut count) = (response.expect("one").into_body(), 0);
        while let Some(piece) = body.data().await {
            let bytes = piece.expect("all of it").len();
            count += bytes;
            come.set(come.get() + if counted { bytes } else { 0 });
        }
        (come.get(), count)
    };
    let (_, (come, whole)) = tokio::join!(take(background, true), take(urgent, false));
    come * 100 / whole
}

/// Gets the same path many times, some at a time; all must be successes.
pub(super) async fn many(client: &ClientConnection, path: &str, count: usize) {
    for _ in 0..count / 50 {
        let all = (0..50).map(|_| async {
            let answer = get(client, path).await;
            assert_eq!(answer.head.status(), StatusCode::OK);
        });
        crate::quic::all_of(all).await;
    }
}
