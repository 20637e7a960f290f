//! portway's HTTP/3 as the benchmarks use it.

use super::web::{self, Asks, Web, accept_all, content};
use crate::quic::{Identity, Peer, Portway, STREAMS_MAX, Stack};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use portway::h3::{
    ClientConnection, ClientStream, Code, Datagrams, Incoming, Options, Profiles, ReceiveBody,
    Responder, SendBody, ServerConnection,
};
use portway_transport::quic::Connection;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// An endpoint that speaks HTTP/3.
pub struct Http3(Portway);

/// A client's connection with its endpoint.
#[derive(Clone)]
pub struct Client {
    connection: ClientConnection,
    _endpoint: Arc<Portway>,
}

impl Web for Http3 {
    type Client = Client;

    fn start(identity: &Identity, at: IpAddr) -> SocketAddr {
        let endpoint = Portway::bind_at(identity, STREAMS_MAX, at);
        accept_all(endpoint, serve)
    }

    async fn connect(identity: &Identity, from: IpAddr, to: SocketAddr) -> Client {
        let endpoint = Portway::bind_at(identity, STREAMS_MAX, from);
        let connection = endpoint.connect(to).await;
        let connection = ClientConnection::new(&connection, &options());
        Client {
            connection: connection.expect("a client"),
            _endpoint: Arc::new(endpoint),
        }
    }
}

impl Asks for Client {
    async fn get(&self, fields: &HeaderMap) -> usize {
        get(&self.connection, fields).await
    }
}

impl Asks for ClientConnection {
    async fn get(&self, fields: &HeaderMap) -> usize {
        get(self, fields).await
    }
}

async fn get(connection: &ClientConnection, fields: &HeaderMap) -> usize {
    let pending = connection.send(web::request(fields, Bytes::new())).await;
    let response = pending.expect("it is read").response().await;
    let response = response.expect("an answer");
    assert!(response.status().is_success());
    let answer = response.into_body().read_all(1 << 20).await;
    answer.expect("an answer").0.len()
}

/// Answers every request of a connection, each in a task of its own.
pub async fn serve(connection: Connection) {
    let server = ServerConnection::new(&connection, &options()).expect("a server");
    while let Ok(Some(incoming)) = server.accept().await {
        let request = incoming.request.into_body();
        tokio::spawn(answer(request, incoming.responder));
    }
}

async fn answer(request: ReceiveBody, responder: Responder) {
    let received = request.read_all(1 << 20).await.expect("a request").0;
    assert!(received.is_empty(), "it has no content");
    let response = web::response(content());
    responder.send(response).expect("it is read");
}

/// As many requests at a time as the raw driver takes.
pub(super) fn options() -> Options {
    let mut options = Options::default();
    options.http.limits.requests = STREAMS_MAX as usize;
    options.http.datagrams = Profiles::rfc9297();
    options
}

/// Either end of a connection.
#[derive(Clone)]
pub enum End {
    /// The one that asks.
    Client(ClientConnection, Arc<OnceCell<Session>>),
    /// The one that answers.
    Server(Arc<ServerConnection>, Arc<OnceCell<Session>>),
}

/// A request that stays open for its datagrams.
pub struct Session {
    datagrams: Datagrams,
    _open: (ReceiveBody, SendBody),
}

impl Stack for Http3 {
    type Connection = End;

    fn bind(identity: &Identity, streams_max: u32) -> Self {
        Http3(Portway::bind(identity, streams_max))
    }

    fn address(&self) -> SocketAddr {
        self.0.address()
    }

    async fn connect(&self, remote: SocketAddr) -> End {
        let connection = self.0.connect(remote).await;
        let client = ClientConnection::new(&connection, &options());
        End::Client(client.expect("a client"), Arc::default())
    }

    async fn accept(&self) -> End {
        let connection = self.0.accept().await;
        let server = ServerConnection::new(&connection, &options());
        End::Server(Arc::new(server.expect("a server")), Arc::default())
    }

    async fn connect_early(&self, remote: SocketAddr, body: Bytes) {
        let _ = (remote, body);
        panic!("early data of HTTP/3 is not measured");
    }

    fn connections(&self) -> usize {
        self.0.connections()
    }
}

impl End {
    fn client(&self) -> &ClientConnection {
        match self {
            End::Client(client, _) => client,
            End::Server(..) => panic!("a server asks nothing"),
        }
    }

    fn server(&self) -> &ServerConnection {
        match self {
            End::Server(server, _) => server,
            End::Client(..) => panic!("a client answers nothing"),
        }
    }

    /// The request for datagrams, the first of its connection.
    async fn session(&self) -> &Session {
        let (End::Client(_, opened) | End::Server(_, opened)) = self;
        if let Some(opened) = opened.get() {
            return opened;
        }
        match self {
            End::Client(client, session) => session.get_or_init(|| open_session(client)).await,
            End::Server(server, session) => session.get_or_init(|| accept_session(server)).await,
        }
    }
}

async fn open_session(client: &ClientConnection) -> Session {
    client.settings().await.expect("our own server");
    let (send, pending) = post(client).await.split();
    let response = pending.response().await.expect("an answer");
    Session {
        datagrams: send.datagrams(),
        _open: (response.into_body(), send),
    }
}

async fn accept_session(server: &ServerConnection) -> Session {
    let Incoming { request, responder } = accept(server).await;
    let send = responder.send_response(Response::new(()));
    let send = send.expect("it is read");
    Session {
        datagrams: send.datagrams(),
        _open: (request.into_body(), send),
    }
}

async fn post(client: &ClientConnection) -> ClientStream {
    let request = Request::post(web::TARGET.clone())
        .body(())
        .expect("a request");
    client.send_request(request).await.expect("it is read")
}

async fn accept(server: &ServerConnection) -> Incoming {
    let incoming = server.accept().await.expect("a client");
    incoming.expect("it is open")
}

async fn send(mut body: SendBody, bytes: usize) {
    let chunk = Bytes::from(vec![7; CHUNK]);
    for _ in 0..bytes / CHUNK {
        body.send_data(chunk.clone()).await.expect("it is read");
    }
    body.finish().expect("it is open");
}

async fn receive(mut body: ReceiveBody) -> usize {
    let mut count = 0;
    while let Some(piece) = body.data().await {
        count += piece.expect("it is sent").len();
    }
    count
}

impl Peer for End {
    async fn request(&self, body: Bytes) -> usize {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = web::TARGET.clone();
        let pending = self.client().send(request).await.expect("it is read");
        let response = pending.response().await.expect("an answer");
        let answer = response.into_body().read_all(1 << 20).await;
        answer.expect("an answer").0.len()
    }

    async fn serve(self, body: Bytes) {
        while let Ok(Some(incoming)) = self.server().accept().await {
            let body = body.clone();
            tokio::spawn(async move {
                let request = incoming.request.into_body().read_all(1 << 20).await;
                request.expect("a request");
                let response = Response::new(body);
                incoming.responder.send(response).expect("it is read");
            });
        }
    }

    /// A client uploads, a server answers the next request by so much.
    async fn send_bulk(&self, bytes: usize) {
        match self {
            End::Client(client, _) => {
                let (body, pending) = post(client).await.split();
                send(body, bytes).await;
                let response = pending.response().await.expect("an answer");
                receive(response.into_body()).await;
            }
            End::Server(server, _) => {
                let responder = accept(server).await.responder;
                let body = responder.send_response(Response::new(()));
                send(body.expect("it is read"), bytes).await;
            }
        }
    }

    /// A client downloads, a server reads the next request.
    async fn receive_bulk(&self) -> usize {
        match self {
            End::Client(client, _) => {
                let request = web::request(&HeaderMap::new(), Bytes::new());
                let pending = client.send(request).await.expect("it is read");
                let response = pending.response().await.expect("an answer");
                receive(response.into_body()).await
            }
            End::Server(server, _) => {
                let Incoming { request, responder } = accept(server).await;
                let count = receive(request.into_body()).await;
                let sent = responder.send(Response::new(Bytes::new()));
                sent.expect("it is read");
                count
            }
        }
    }

    async fn send_datagram(&self, data: Bytes) {
        let sent = self.session().await.datagrams.send(&data);
        sent.expect("it fits");
    }

    async fn receive_datagram(&self) -> Bytes {
        let received = self.session().await.datagrams.receive().await;
        received.expect("one is sent").payload
    }

    fn close(&self) {
        match self {
            End::Client(client, _) => client.close(Code::H3_NO_ERROR, "done"),
            End::Server(server, _) => server.close(Code::H3_NO_ERROR, "done"),
        }
    }

    async fn closed(&self) {
        let quic = match self {
            End::Client(client, _) => client.quic(),
            End::Server(server, _) => server.quic(),
        };
        quic.closed().await;
    }
}

/// What bulk is written in, as by the raw driver.
const CHUNK: usize = 64 << 10;
