//! The matrix with aioquic at either end.
//!
//! Invariant: what a cell's evidence quotes, the peer said in this run.

use super::ours::{self, attach, connect, connector, get, many, options, post};
use super::server::{Server, early_listener};
use super::{PAGE, example, requests, script};
use crate::authority::Authority;
use crate::page::Matrix;
use crate::peer::{Peer, run_for};
use crate::quic::{context, movable, move_on, pattern};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use portway::Context;
use portway::h3::{ClientConnection, Options, Protocol, ServerConnection};
use portway::quic::Connector;
use std::net::SocketAddr;

#[test]
fn every_cell_of_http3_with_aioquic_holds_as_documented() {
    let test = "every_cell_of_http3_with_aioquic_holds_as_documented";
    let authority = Authority::new();
    super::prepare();
    let mut matrix = Matrix::new(&PAGE, "aioquic 1.7.2");
    let mut is_whole = false;
    run_for(super::limit(), async {
        is_whole = as_client(test, &authority, &mut matrix).await.is_some()
    });
    if !is_whole {
        return;
    }
    run_for(super::limit(), async {
        is_whole = as_server(test, &authority, &mut matrix).await.is_some()
    });
    run_for(super::limit(), async {
        is_whole &= content(test, &authority, &mut matrix).await.is_some();
        is_whole &= again(test, &authority, &mut matrix).await.is_some()
    });
    if is_whole {
        matrix.check();
    }
}

/// Python moves an eighth of what other peers are given.
fn large() -> usize {
    super::large() / 8
}

/// Our client with its server.
async fn as_client(test: &str, authority: &Authority, matrix: &mut Matrix) -> Option<()> {
    const ROLE: &str = "client";
    let (mut peer, address) = server(test, authority).await?;
    let context = context();
    let ours = connector(authority, &context);
    let client = connect(&ours, address).await;
    let answer = post(&client, "/a", pattern(1000), None).await;
    assert_eq!(answer.content, pattern(1000));
    assert_eq!(get(&client, "/b").await.head.headers()["x-path"], "/b");
    matrix.pass("GET and POST", ROLE, "it returns the content and the path");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-trailer", "one".parse().expect("a value"));
    let answer = post(&client, "/a", pattern(1000), Some(&trailers)).await;
    assert_eq!(answer.trailers, Some(trailers));
    matrix.pass("trailers", ROLE, "it returns ours");
    let answer = get(&client, "/interim").await;
    assert_eq!(answer.interim, [StatusCode::EARLY_HINTS; 2]);
    assert_eq!(answer.head.status(), StatusCode::OK);
    matrix.pass("interim responses", ROLE, "103 twice, then 200");
    let answer = get(&client, &format!("/bytes/{}", large())).await;
    assert!(answer.content == pattern(large()));
    let answer = post(&client, "/sink", pattern(large()), None).await;
    let counted = String::from_utf8(answer.content).expect("text");
    let digest = digest(&mut peer, large()).await;
    assert_eq!(counted, format!("{} {digest}", large()));
    let evidence = "each side compares all that it gets, or its digest";
    matrix.pass("large content", ROLE, evidence);
    many(&client, "/same", requests()).await;
    matrix.pass("many requests", ROLE, "all are answered on one connection");
    qpack(&mut peer, ROLE, matrix).await;
    push(&client, matrix).await;
    datagrams(&client, &mut peer, matrix).await;
    going_away(&client, &mut peer, matrix).await;
    drop(client);
    early(&ours, address, &mut peer, matrix).await;
    moved(&ours, &context, (&mut peer, address), matrix).await;
    Some(())
}

/// The digest of so many bytes of the pattern.
async fn digest(peer: &mut Peer, bytes: usize) -> String {
    peer.say(&format!("digest {bytes}\n")).await;
    peer.after("digest ").await
}

/// Large content to and from our server in this process, in the order of priorities.
async fn content(test: &str, authority: &Authority, matrix: &mut Matrix) -> Option<()> {
    const ROLE: &str = "server";
    let server = Server::start(authority, &[]);
    let mut peer = client(test, authority, server.address)?;
    peer.say("connect\n").await;
    peer.after("connected ").await;
    let bytes = large();
    let digest = digest(&mut peer, bytes).await;
    peer.say(&format!("get /bytes/{bytes}\n")).await;
    let whole = format!(" 200 interim=0 bytes={bytes} sha={digest}");
    peer.after(&whole).await;
    peer.say(&format!("post /sink {bytes}\n")).await;
    let sunk = format!(" x-sink={bytes},whole");
    peer.after(&sunk).await;
    let evidence = "each side compares all that it gets, or its digest";
    matrix.pass("large content", ROLE, evidence);
    let (background, urgent) = (bytes, bytes + 1);
    peer.say(&format!("get /bytes/{background} u=7\n")).await;
    peer.say(&format!("get /bytes/{urgent} u=0\n")).await;
    let first = peer.after("answer ").await;
    assert!(first.contains(&format!(" bytes={urgent} ")), "{first}");
    peer.after(&format!(" bytes={background} ")).await;
    let evidence =
        "of two large answers that of `u=0` is whole first, asked for after that of `u=7`";
    matrix.pass("priorities", ROLE, evidence);
    Some(())
}

/// What the peer has counted: of its encoder stream and of ours, with the acknowledgements.
async fn qpack(peer: &mut Peer, role: &str, matrix: &mut Matrix) {
    peer.say("qpack\n").await;
    let said = peer.after("qpack ").await;
    let counts = said.split(' ').map(|word| word.parse().expect("a count"));
    let counts: Vec<u64> = counts.collect();
    let &[inserted, acknowledged, came, confirmed] = &counts[..] else {
        panic!("four counts: {said}");
    };
    // An insertion takes two bytes or more, and at most one that confirms it: what else is on the
    // decoder stream are acknowledgements of sections that refer to the table.
    let (evidence, ours) = (
        "it fills our table, and we acknowledge sections that refer to it",
        "we fill its table, and it acknowledges sections that refer to it",
    );
    assert!(inserted > 10 && acknowledged > inserted, "{said}");
    matrix.pass("dynamic QPACK, from the peer", role, evidence);
    assert!(came > 10 && confirmed > came, "{said}");
    matrix.pass("dynamic QPACK, to the peer", role, ours);
}

async fn push(client: &ClientConnection, matrix: &mut Matrix) {
    let (answer, push) = tokio::join!(get(client, "/push"), client.accept_push());
    assert_eq!(answer.head.status(), StatusCode::OK);
    let push = push.expect("a connection").expect("a push");
    assert_eq!(push.request().uri().path(), "/pushed");
    let body = push.response().await.expect("pushed").into_body();
    let (content, _) = body.read_all(100).await.expect("all of it");
    assert_eq!(content, "pushed");
    matrix.pass(
        "push",
        "client",
        "its promise of `/pushed`, and the content",
    );
}

async fn datagrams(client: &ClientConnection, peer: &mut Peer, matrix: &mut Matrix) {
    let protocol = Protocol::new("portway-datagram-echo").expect("a token");
    let request = Request::builder().method(Method::CONNECT);
    let request = request.uri(ours::url("/")).extension(protocol).body(());
    let tunnel = client.connect(request.expect("a request")).await;
    let tunnel = tunnel.expect("connected").into_body();
    let datagrams = tunnel.datagrams();
    datagrams.send(b"hello").expect("sent");
    let datagram = datagrams.receive().await.expect("one");
    assert_eq!(&datagram.payload[..], b"hello");
    let said = peer.after("datagram ").await;
    assert!(said.ends_with(" hello"), "{said}");
    let evidence = "it says `hello`, and one came back beside an extended CONNECT";
    matrix.pass("datagrams", "client", evidence);
}

/// The server says GOAWAY while it holds a request.
async fn going_away(client: &ClientConnection, peer: &mut Peer, matrix: &mut Matrix) {
    let request = Request::get(ours::url("/hold")).body(Bytes::new());
    let pending = client
        .send(request.expect("a request"))
        .await
        .expect("sent");
    let held: u64 = peer.after("held ").await.parse().expect("a stream");
    peer.say(&format!("goaway {}\n", held + 4)).await;
    while !client.is_going_away() {
        tokio::task::yield_now().await;
    }
    let request = Request::get(ours::url("/late")).body(Bytes::new());
    let refused = client.send(request.expect("a request")).await.err();
    let refused = refused.expect("no request is sent any more");
    peer.say("release\n").await;
    assert_eq!(ours::answer(pending).await.head.status(), StatusCode::OK);
    matrix.pass(
        "GOAWAY in mid-flight",
        "client",
        format!("the held request is answered, a later one is not sent: `{refused}`"),
    );
}

/// The second connection asks in its first flight.
async fn early(ours: &Connector, address: SocketAddr, peer: &mut Peer, matrix: &mut Matrix) {
    let client = connect(ours, address).await;
    get(&client, "/a").await;
    let mut again = options();
    again.http.remembered = client.remembered();
    assert!(again.http.remembered.is_some(), "its settings came");
    drop(client);
    // The lines of connections before are read over.
    let connection = ours.connect_early(address).await.expect("connected");
    assert!(connection.may_send_early_data(), "no ticket for early data");
    let client = attach(&connection, &again);
    assert_eq!(get(&client, "/early").await.head.status(), StatusCode::OK);
    connection.handshake_confirmed().await.expect("confirmed");
    assert_eq!(connection.is_early_data_accepted(), Some(true));
    let mut said = peer.after("connected ").await;
    while !said.contains("early=1") {
        said = peer.after("connected ").await;
    }
    let evidence = format!("it says `{said}`, and answers the request");
    matrix.pass("0-RTT", "client", evidence);
}

/// Our socket is another one from now on.
async fn moved(
    ours: &Connector,
    context: &Context,
    (peer, address): (&mut Peer, SocketAddr),
    matrix: &mut Matrix,
) {
    let endpoint = movable(context);
    let client = connect(&ours.clone().endpoint(&endpoint), address).await;
    get(&client, "/a").await;
    move_on(&endpoint);
    assert_eq!(get(&client, "/b").await.head.status(), StatusCode::OK);
    peer.after("path ").await;
    let evidence = "it sees another port, and answers there";
    matrix.pass("migration", "client", evidence);
}

/// Our example with its client.
async fn as_server(test: &str, authority: &Authority, matrix: &mut Matrix) -> Option<()> {
    const ROLE: &str = "server";
    let (server, address) = super::echo_server(test, authority).await;
    let mut peer = client(test, authority, address)?;
    peer.say("connect\n").await;
    peer.after("connected ").await;
    peer.say("post /a 1000\n").await;
    peer.after(" 200 interim=0 bytes=1000 sha=").await;
    peer.say("get /b\n").await;
    peer.after(" 200 interim=0 bytes=0 sha=").await;
    matrix.pass("GET and POST", ROLE, "its content comes back");
    peer.say("post /a 1000 one\n").await;
    peer.after(" 200 interim=0 bytes=1000 sha=").await;
    assert!(peer.output().contains("x-trailer=one"), "{}", peer.output());
    matrix.pass("trailers", ROLE, "it reads its own again");
    peer.say("get /interim\n").await;
    peer.after(" 200 interim=2 ").await;
    matrix.pass("interim responses", ROLE, "it says `interim=2`, then 200");
    peer.say(&format!("many {} /same\n", requests())).await;
    peer.after("all answered").await;
    matrix.pass("many requests", ROLE, "all are answered on one connection");
    qpack(&mut peer, ROLE, matrix).await;
    peer.say("get /push\n").await;
    peer.after("promise /pushed").await;
    peer.after("pushed 200 pushed").await;
    let evidence = "it says `promise /pushed` and `pushed 200 pushed`";
    matrix.pass("push", ROLE, evidence);
    peer.say("rebind\n").await;
    peer.after("ponged").await;
    peer.say("get /moved\n").await;
    peer.after(" 200 interim=0 bytes=0 sha=").await;
    let evidence = "its port changed, and its next request is answered";
    matrix.pass("migration", ROLE, evidence);
    peer.say("open /late\n").await;
    let opened = peer.after("opened ").await;
    // Its answer tells that what was sent before has come, too.
    peer.say("get /b\n").await;
    peer.after(" 200 interim=0 bytes=0 sha=").await;
    server.terminate();
    peer.after("goaway").await;
    peer.after("goaway").await;
    peer.say(&format!("end {opened}\n")).await;
    let answered = format!("answer {opened} 200 interim=0 bytes=7 ");
    peer.after(&answered).await;
    let ended = peer.after("terminated application ").await;
    assert!(ended.ends_with(" shut down"), "{ended}");
    let evidence = "it sees two, the open request is answered, then `shut down` closes it";
    matrix.pass("GOAWAY in mid-flight", ROLE, evidence);
    Some(())
}

/// Datagrams and early data, which the first example does not take.
async fn again(test: &str, authority: &Authority, matrix: &mut Matrix) -> Option<()> {
    let (cert, key) = (&authority.server.cert, &authority.server.key);
    let listen = ["--listen", "127.0.0.1:0", "--cert", cert, "--key", key];
    let mut server = example(test, "h3_datagram", &listen);
    let address = server.address_after("listening ").await;
    let mut peer = client(test, authority, address)?;
    peer.say("connect\n").await;
    peer.after("connected ").await;
    peer.say("tunnel /\n").await;
    let stream = peer.after("opened ").await;
    peer.after(&format!("head {stream} 200")).await;
    peer.say(&format!("send {stream} hello\n")).await;
    peer.after(&format!("datagram {stream} hello")).await;
    let evidence = "it says that `hello` came back beside its extended CONNECT";
    matrix.pass("datagrams", "server", evidence);
    let listener = early_listener(authority);
    let mut peer = client(test, authority, listener.local_address())?;
    peer.say("connect\n").await;
    let connection = crate::quic::accepted(&listener).await;
    peer.after("ticket ").await;
    peer.say("close 256\n").await;
    connection.closed().await;
    peer.say("connect early\n").await;
    let connection = crate::quic::accepted(&listener).await;
    let server = ServerConnection::new(&connection, &Options::default()).expect("free");
    let incoming = server.accept().await.expect("accepted").expect("a request");
    assert_eq!(incoming.request.uri().path(), "/early");
    let response = http::Response::new(Bytes::from_static(b"early"));
    incoming.responder.send(response).expect("sent");
    let said = peer.after("connected ").await;
    assert!(said.contains("early=1"), "{said}");
    peer.after(" 200 interim=0 bytes=5 ").await;
    let evidence = format!("it says `{said}`, and reads the answer");
    matrix.pass("0-RTT", "server", evidence);
    Some(())
}

async fn server(test: &str, authority: &Authority) -> Option<(Peer, SocketAddr)> {
    let (cert, key) = (&authority.server.cert, &authority.server.key);
    let fixed = ["server", "--cert", cert, "--key", key];
    let mut peer = script(test, "script.py", &[&fixed[..], &COMMON].concat())?;
    let address = peer.address_after("LISTEN ").await;
    Some((peer, address))
}

fn client(test: &str, authority: &Authority, address: SocketAddr) -> Option<Peer> {
    let port = address.port().to_string();
    let fixed = ["client", "--ca", &authority.root, "--local", "127.0.0.1"];
    let fixed = [&fixed[..], &["--port", &port]].concat();
    script(test, "script.py", &[&fixed[..], &COMMON].concat())
}

const COMMON: [&str; 5] = ["--alpn", "h3", "--datagrams", "--window", "16777216"];
