//! portway's HTTP/3 as the benchmarks use it.

use crate::quic::{Identity, Peer, Portway, Stack};
use bytes::Bytes;
use http::{Request, Response};
use portway::h3::{ClientConnection, Code, Options, ServerConnection};
use std::net::SocketAddr;
use std::sync::Arc;

/// An endpoint that speaks HTTP/3.
pub struct Http3(Portway);

/// Either end of a connection.
#[derive(Clone)]
pub enum End {
    /// The one that asks.
    Client(ClientConnection),
    /// The one that answers.
    Server(Arc<ServerConnection>),
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
        End::Client(client.expect("a client"))
    }

    async fn accept(&self) -> End {
        let connection = self.0.accept().await;
        let server = ServerConnection::new(&connection, &options());
        End::Server(Arc::new(server.expect("a server")))
    }

    async fn connect_early(&self, remote: SocketAddr, body: Bytes) {
        let _ = (remote, body);
        panic!("early data of HTTP/3 is not measured");
    }

    fn connections(&self) -> usize {
        self.0.connections()
    }
}

/// As many requests at a time as the raw driver takes.
fn options() -> Options {
    let mut options = Options::default();
    options.http.limits.requests = crate::quic::STREAMS_MAX as usize;
    options
}

impl End {
    fn client(&self) -> &ClientConnection {
        match self {
            End::Client(client) => client,
            End::Server(_) => panic!("a server asks nothing"),
        }
    }

    fn server(&self) -> &ServerConnection {
        match self {
            End::Server(server) => server,
            End::Client(_) => panic!("a client answers nothing"),
        }
    }
}

impl Peer for End {
    async fn request(&self, body: Bytes) -> usize {
        let request = Request::post(URL).body(body).expect("a request");
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

    async fn send_bulk(&self, bytes: usize) {
        let _ = bytes;
        panic!("bulk of HTTP/3 is not measured");
    }

    async fn receive_bulk(&self) -> usize {
        panic!("bulk of HTTP/3 is not measured");
    }

    async fn send_datagram(&self, _: Bytes) {
        panic!("datagrams of HTTP/3 are not measured");
    }

    async fn receive_datagram(&self) -> Bytes {
        panic!("datagrams of HTTP/3 are not measured");
    }

    fn close(&self) {
        match self {
            End::Client(client) => client.close(Code::H3_NO_ERROR, "done"),
            End::Server(server) => server.close(Code::H3_NO_ERROR, "done"),
        }
    }

    async fn closed(&self) {
        let quic = match self {
            End::Client(client) => client.quic(),
            End::Server(server) => server.quic(),
        };
        quic.closed().await;
    }
}

const URL: &str = "https://localhost/resource";
