//! The clients: bytes on sockets for HTTP/1.1, the crate `h2` for HTTP/2, portway's HTTP/3.
//!
//! Invariant: a load opens all its connections before it begins, and each answer is read whole.

use super::super::server::CONTENT;
use super::process::Place;
use crate::carrier::HOST;
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use portway::h3::{ClientConnection, Options};
use portway_core::security::{TlsParameters, Trust};
use portway_transport::RealEnvironment;
use portway_transport::environment::UdpBind;
use portway_transport::quic::{ClientConfig, ClientCrypto, Endpoint, EndpointOptions};
use portway_transport::tls::{EarlyData, TlsEngine};
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 in cleartext.
    Http1,
    /// HTTP/2 in cleartext, by prior knowledge.
    Http2,
    /// HTTP/3.
    Http3,
}

/// What is asked for at a time.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Its name.
    pub name: &'static str,
    /// What is spoken.
    pub protocol: Protocol,
    /// How many connections there are.
    pub connections: usize,
    /// Requests in flight on each.
    pub in_flight: usize,
    /// Requests in one go.
    pub times: usize,
}

/// All of them.
pub const LOADS: [Load; 8] = [
    load("http1-1", Protocol::Http1, 1, 1, 1_000),
    load("http1-32", Protocol::Http1, 32, 1, 6_400),
    load("http1-256", Protocol::Http1, 256, 1, 10_240),
    load("http2-1", Protocol::Http2, 1, 1, 1_000),
    load("http2-32", Protocol::Http2, 4, 8, 6_400),
    load("http2-256", Protocol::Http2, 4, 64, 10_240),
    load("http3-32", Protocol::Http3, 4, 8, 6_400),
    load("http3-256", Protocol::Http3, 4, 64, 10_240),
];

const fn load(
    name: &'static str,
    protocol: Protocol,
    connections: usize,
    in_flight: usize,
    times: usize,
) -> Load {
    Load {
        name,
        protocol,
        connections,
        in_flight,
        times,
    }
}

/// Clients with their connections.
pub struct Clients {
    load: Load,
    connections: Vec<Option<Client>>,
    /// Whom connections of HTTP/3 belong to.
    _endpoint: Option<Endpoint>,
}

enum Client {
    Http1(TcpStream),
    Http2(SendRequest<Bytes>),
    Http3(ClientConnection),
}

impl Clients {
    /// Connects.
    pub async fn start(load: Load, server: &Place) -> Clients {
        let mut endpoint = None;
        let mut connections = Vec::new();
        for _ in 0..load.connections {
            let client = match load.protocol {
                Protocol::Http1 => Client::Http1(connect(server).await),
                Protocol::Http2 => {
                    let shaken = h2::client::handshake(connect(server).await).await;
                    let (sender, connection) = shaken.expect("our own server");
                    tokio::spawn(async { connection.await.expect("it is open") });
                    Client::Http2(sender)
                }
                Protocol::Http3 => {
                    let endpoint = endpoint.get_or_insert_with(bind);
                    Client::Http3(connect3(endpoint, server).await)
                }
            };
            connections.push(Some(client));
        }
        let mut clients = Clients {
            load,
            connections,
            _endpoint: endpoint,
        };
        clients.act(load.connections * load.in_flight * 8).await;
        clients
    }

    /// Sends so many requests and reads the answers.
    pub async fn act(&mut self, times: usize) {
        let each = times / (self.load.connections * self.load.in_flight);
        let in_flight = self.load.in_flight;
        let mut tasks = JoinSet::new();
        for (index, client) in self.connections.iter_mut().enumerate() {
            let client = client.take().expect("nobody has it");
            tasks.spawn(async move { (index, client.act(in_flight, each).await) });
        }
        for (index, client) in tasks.join_all().await {
            self.connections[index] = Some(client);
        }
    }
}

impl Client {
    async fn act(self, in_flight: usize, each: usize) -> Client {
        match self {
            Client::Http1(mut socket) => {
                for _ in 0..each {
                    get(&mut socket).await;
                }
                Client::Http1(socket)
            }
            Client::Http2(sender) => {
                let mut tasks = JoinSet::new();
                for _ in 0..in_flight {
                    let mut sender = sender.clone();
                    tasks.spawn(async move {
                        for _ in 0..each {
                            get2(&mut sender).await;
                        }
                    });
                }
                tasks.join_all().await;
                Client::Http2(sender)
            }
            Client::Http3(connection) => {
                let mut tasks = JoinSet::new();
                for _ in 0..in_flight {
                    let connection = connection.clone();
                    tasks.spawn(async move {
                        for _ in 0..each {
                            get3(&connection).await;
                        }
                    });
                }
                tasks.join_all().await;
                Client::Http3(connection)
            }
        }
    }
}

async fn connect(server: &Place) -> TcpStream {
    let socket = TcpStream::connect(server.address).await;
    let socket = socket.expect("our own server");
    socket.set_nodelay(true).expect("a TCP socket");
    socket
}

async fn get(socket: &mut TcpStream) {
    socket.write_all(REQUEST).await.expect("it is open");
    let mut answer = [0; 4096];
    let (mut filled, mut whole) = (0, usize::MAX);
    while filled < whole {
        let read = socket.read(&mut answer[filled..]).await;
        filled += read.expect("it is open");
        if whole == usize::MAX {
            let head = answer[..filled].windows(4).position(|it| it == b"\r\n\r\n");
            whole = head.map_or(whole, |head| head + 4 + CONTENT.len());
        }
    }
    assert!(filled == whole && answer.starts_with(b"HTTP/1.1 200 "));
}

async fn get2(sender: &mut SendRequest<Bytes>) {
    let mut ready = sender.clone().ready().await.expect("it is open");
    let request = Request::get("http://localhost/resource").body(());
    let sent = ready.send_request(request.expect("a request"), true);
    let response = sent.expect("it is open").0.await.expect("an answer");
    assert!(response.status().is_success());
    let mut body = response.into_body();
    let mut received = 0;
    while let Some(data) = body.data().await {
        let count = data.expect("an answer").len();
        received += count;
        let released = body.flow_control().release_capacity(count);
        released.expect("so much came");
    }
    assert_eq!(received, CONTENT.len());
}

async fn get3(connection: &ClientConnection) {
    let request = Request::get("https://localhost/resource").body(Bytes::new());
    let pending = connection.send(request.expect("a request")).await;
    let response = pending.expect("it is read").response().await;
    let response = response.expect("an answer");
    assert!(response.status().is_success());
    let content = response.into_body().read_all(1 << 20).await;
    assert_eq!(content.expect("an answer").0.len(), CONTENT.len());
}

fn bind() -> Endpoint {
    let environment = Arc::new(RealEnvironment::new(Default::default()));
    let bind = UdpBind::on((Ipv4Addr::LOCALHOST, 0).into());
    let endpoint = Endpoint::bind(environment, bind, &EndpointOptions::default(), None);
    endpoint.expect("a socket on loopback")
}

async fn connect3(endpoint: &Endpoint, server: &Place) -> ClientConnection {
    let trust = Trust::Roots(vec![server.certificate.clone()].into());
    let parameters = TlsParameters::default().with_trust(trust);
    let (alpn, remote) = ([b"h3".to_vec()], server.address.ip());
    let crypto = TlsEngine::new();
    let crypto = crypto.quic_client(&parameters, Some(HOST), remote, &alpn, EarlyData::Refused);
    let config = ClientConfig::new(ClientCrypto::new(crypto.expect("a root of ours")));
    let connecting = endpoint.connect(&config, server.address, HOST);
    let connection = connecting.expect("an address").await;
    let connection = connection.expect("our own server");
    ClientConnection::new(&connection, &Options::default()).expect("a client")
}

const REQUEST: &[u8] = b"GET /resource HTTP/1.1\r\nhost: localhost\r\n\r\n";
