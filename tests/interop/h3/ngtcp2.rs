//! The matrix with ngtcp2's examples, which speak HTTP/3 by nghttp3.
//!
//! Invariant: what a cell claims of the peer is in the peer's own log, or in its program.

use super::ours::{answer, attach, connect, connector, get, many, options, post, url};
use super::server::Server;
use super::{PAGE, echo_server, large, requests};
use crate::authority::Authority;
use crate::page::Matrix;
use crate::peer::{Peer, run_for};
use crate::quic::ngtcp2::servers::server;
use crate::quic::ngtcp2::{LOGGED, bytes_of, line_with, version};
use crate::quic::{context, loopback, pattern};
use bytes::Bytes;
use http::Request;
use portway::h3::{ClientConnection, Options, PendingResponse, Priority, ReceiveBody};
use portway::quic::{Connector, Endpoint, EndpointOptions};
use portway_transport::environment::UdpBind;
use std::cell::Cell;
use std::net::SocketAddr;

#[test]
fn every_cell_of_http3_with_ngtcp2_holds_as_documented() {
    let test = "every_cell_of_http3_with_ngtcp2_holds_as_documented";
    let Some(version) = version() else {
        portway_tests::say!("skipped: {test}: ngtcp2-server is not installed by dpkg");
        return;
    };
    let authority = Authority::new();
    super::prepare();
    let heading = format!("ngtcp2 {version}, the examples of Debian");
    let mut matrix = Matrix::new(&PAGE, &heading);
    let mut is_whole = false;
    run_for(super::limit(), async {
        is_whole = as_client(test, &authority, &mut matrix).await.is_some();
    });
    run_for(super::limit(), async {
        is_whole &= as_server(test, &authority, &mut matrix).await.is_some();
    });
    if is_whole {
        matrix.check();
    }
}

/// Our client with its server.
async fn as_client(test: &str, authority: &Authority, matrix: &mut Matrix) -> Option<()> {
    const ROLE: &str = "client";
    const PROGRAM: &str = "/usr/sbin/gtlsserver";
    std::fs::write(authority.path("large"), pattern(large())).expect("a file");
    let context = context();
    let ours = connector(authority, &context);
    let root = authority.path("");
    let quiet = ["-q", "-d", &root, "--send-trailers"];
    let (peer, address) = server(test, authority, "127.0.0.1", &quiet)?;
    let client = connect(&ours, address).await;
    assert_eq!(get(&client, "/3000").await.content.len(), 3000);
    assert_eq!(
        post(&client, "/20", pattern(1000), None)
            .await
            .content
            .len(),
        20
    );
    matrix.pass(
        "GET and POST",
        ROLE,
        "it answers both; it returns no content",
    );
    let trailers = get(&client, "/3000").await.trailers.expect("trailers");
    let (name, value) = trailers.iter().next().expect("one");
    let evidence = format!(
        "`{name}: {}` of its `--send-trailers`",
        value.to_str().expect("text")
    );
    matrix.pass("trailers", ROLE, evidence);
    assert!(get(&client, "/large").await.content == pattern(large()));
    let answer = post(&client, "/20", pattern(large()), None).await;
    assert_eq!(answer.content.len(), 20);
    let evidence = "its file; it takes as much before it answers";
    matrix.pass("large content", ROLE, evidence);
    many(&client, "/20", requests()).await;
    matrix.pass("many requests", ROLE, "all are answered on one connection");
    priorities(&client, matrix).await;
    drop((client, peer));
    // Another server: it could not take what the first has given to remember.
    let ours = connector(authority, &crate::quic::context());
    let (mut peer, address) = server(test, authority, "127.0.0.1", &LOGGED)?;
    let client = connect(&ours, address).await;
    many(&client, "/20", 200).await;
    let mut again = options();
    again.http.remembered = client.remembered();
    drop(client);
    line_with(&mut peer, &["CONNECTION_CLOSE"]).await;
    qpack(&peer, ROLE, ("tx", 7, 10), ("rx", 6, 11), matrix);
    early(&ours, address, &again).await;
    line_with(&mut peer, &["frm rx", "0RTT STREAM"]).await;
    matrix.pass("0-RTT", ROLE, "it logs `0RTT STREAM`, and answers");
    let bind = || UdpBind::on(loopback());
    let environment = context.environment().clone();
    let endpoint = Endpoint::bind(environment, bind(), &EndpointOptions::default(), None);
    let endpoint = endpoint.expect("a socket");
    let client = connect(&ours.clone().endpoint(&endpoint), address).await;
    get(&client, "/20").await;
    endpoint.rebind(bind()).expect("another socket");
    assert_eq!(get(&client, "/20").await.content.len(), 20);
    line_with(&mut peer, &["Path validation", "succeeded"]).await;
    let evidence = "it logs `path has been validated`, and answers";
    matrix.pass("migration", ROLE, evidence);
    for (what, call) in [
        ("interim responses", "nghttp3_conn_submit_info"),
        ("GOAWAY in mid-flight", "nghttp3_conn_shutdown"),
    ] {
        let program = bytes_of(PROGRAM);
        let mut named = program.windows(call.len() + 1);
        // Names end with a zero: others begin like this one.
        assert!(!named.any(|part| part.starts_with(call.as_bytes()) && part.ends_with(&[0])));
        let evidence = format!("its program does not name `{call}`");
        matrix.lacks_as(what, ROLE, &evidence);
    }
    Some(())
}

/// Asks in the first flight. The server guards against replays by the time that has passed, and may
/// refuse early data when that is long.
async fn early(ours: &Connector, address: SocketAddr, again: &Options) {
    for tries in 1.. {
        let connection = ours.connect_early(address).await.expect("connected");
        assert!(connection.may_send_early_data(), "no ticket for early data");
        let client = attach(&connection, again);
        let request = Request::get(url("/20")).body(Bytes::new());
        let pending = client.send(request.expect("a request")).await;
        let _ = connection.handshake_confirmed().await;
        if connection.is_early_data_accepted() == Some(true) {
            let answer = answer(pending.expect("sent")).await;
            assert_eq!(answer.content.len(), 20);
            return;
        }
        assert!(tries < 5, "early data is refused again and again");
        get(&connect(ours, address).await, "/20").await;
    }
}

/// The server tells the priority that a response has when the request's query changes a part of
/// it: the rest is what we asked for.
async fn priorities(client: &ClientConnection, matrix: &mut Matrix) {
    let request = Request::get(url("/20?i=1")).header("priority", "u=6");
    let request = request.body(Bytes::new()).expect("a request");
    let answer = answer(client.send(request).await.expect("sent")).await;
    assert_eq!(answer.head.headers()["priority"], "u=6,i");
    let evidence = "our field `u=6` and a query for `i` make its answer say `priority: u=6,i`";
    matrix.pass("priorities, by the field", "client", evidence);
    let request = Request::post(url("/20?i=1")).body(()).expect("a request");
    let stream = client.send_request(request).await.expect("sent");
    let (send, mut pending) = stream.split();
    let background = Priority::new(5, false).expect("below 8");
    pending.set_priority(background).expect("sent");
    // Its answer tells that what was sent before has come, too.
    get(client, "/20").await;
    send.finish().expect("taken");
    let answer = self::answer(pending).await;
    assert_eq!(answer.head.headers()["priority"], "u=5,i");
    let evidence = "our PRIORITY_UPDATE `u=5` makes its answer say `priority: u=5,i`";
    matrix.pass("priorities, by the frame", "client", evidence);
    let [background, urgent] = [("u=7", "/large"), ("u=0", "/large")].map(|(priority, path)| {
        let request = Request::get(url(path)).header("priority", priority);
        request.body(Bytes::new()).expect("a request")
    });
    let background = client.send(background).await.expect("sent");
    let urgent = client.send(urgent).await.expect("sent");
    let first = Cell::new("");
    let take = async |pending, name| {
        let (_, body) = PendingResponse::response(pending)
            .await
            .expect("one")
            .into_parts();
        read_over(body).await;
        if first.get().is_empty() {
            first.set(name);
        }
    };
    tokio::join!(take(background, "background"), take(urgent, "urgent"));
    assert_eq!(first.get(), "urgent");
    let evidence =
        "of two large files the one of `u=0` is whole first, asked for after that of `u=7`";
    matrix.pass("priorities, obeyed", "client", evidence);
}

async fn read_over(mut body: ReceiveBody) {
    while let Some(piece) = body.data().await {
        piece.expect("all of it");
    }
}

/// The bytes on the encoder stream of one side and on the decoder stream that answers it, first
/// for its table and then for ours: direction, encoder, decoder.
fn qpack(
    peer: &Peer,
    role: &str,
    its: (&str, u32, u32),
    ours: (&str, u32, u32),
    matrix: &mut Matrix,
) {
    for (what, (direction, encoder, decoder)) in [
        ("dynamic QPACK, from the peer", its),
        ("dynamic QPACK, to the peer", ours),
    ] {
        let back = if direction == "tx" { "rx" } else { "tx" };
        let inserted = logged(peer, direction, encoder);
        let acknowledged = logged(peer, back, decoder);
        // An insertion takes two bytes or more, and at most one that confirms it: what else is on
        // the decoder stream are acknowledgements of sections that refer to the table.
        assert!(
            inserted > 10,
            "{what} as {role}: {inserted} bytes of insertions"
        );
        assert!(
            acknowledged > inserted,
            "{what} as {role}: {acknowledged} bytes"
        );
        let evidence = "its log has insertions on the encoder stream, and more bytes of the \
                        decoder stream than confirm them: sections that refer to the table";
        matrix.pass(what, role, evidence);
    }
}

/// How many bytes of a stream the peer's log has.
fn logged(peer: &Peer, direction: &str, stream: u32) -> u64 {
    let (frame, id) = (format!("frm {direction} "), format!(" id={stream:#x} "));
    let lines = peer.output().lines();
    let lines = lines.filter(|line| line.contains(&frame) && line.contains(&id));
    let length = |line: &str| -> Option<u64> {
        let (_, rest) = line.split_once(" len=")?;
        rest.split(' ').next()?.parse().ok()
    };
    lines.filter_map(length).sum()
}

/// Our example with its client.
async fn as_server(test: &str, authority: &Authority, matrix: &mut Matrix) -> Option<()> {
    const ROLE: &str = "server";
    let (_example, address) = echo_server(test, authority).await;
    let directory = authority.path("downloads");
    std::fs::create_dir_all(&directory).expect("a directory");
    let (small, file) = (authority.path("small"), authority.path("large"));
    std::fs::write(&small, pattern(100_000)).expect("a file");
    let post = ["-q", "--download", &directory, "-m", "POST", "-d"];
    let mut peer = client(test, address, &[&post[..], &[&small]].concat(), "/echoed")?;
    assert!(peer.end().await.success());
    assert!(bytes_of(format!("{directory}/echoed")) == pattern(100_000));
    matrix.pass("GET and POST", ROLE, "its file comes back");
    // The example holds no more than 64 MiB of what it sends back.
    let mut peer = client(test, address, &[&post[..], &[&file]].concat(), "/sink")?;
    assert!(peer.end().await.success());
    let counted = bytes_of(format!("{directory}/sink"));
    assert_eq!(
        String::from_utf8_lossy(&counted).trim(),
        large().to_string()
    );
    let get = ["-q", "--download", &directory];
    let mut peer = client(test, address, &get, &format!("/bytes/{}", large()))?;
    assert!(peer.end().await.success());
    let came = bytes_of(format!("{directory}/{}", large()));
    assert!(came.len() == large() && came.iter().all(|byte| *byte == b'x'));
    let evidence = "we counted all bytes of its file; as many are in the file that it wrote";
    matrix.pass("large content", ROLE, evidence);
    let mut peer = client(test, address, &LOGGED, "/interim")?;
    line_with(&mut peer, &["[:status: 103]"]).await;
    line_with(&mut peer, &["[:status: 103]"]).await;
    line_with(&mut peer, &["[:status: 200]"]).await;
    matrix.pass(
        "interim responses",
        ROLE,
        "it logs `:status: 103` twice, then 200",
    );
    sessions(test, authority, matrix).await?;
    let count = requests().to_string();
    let arguments = [&LOGGED[..], &["-n", &count]].concat();
    let mut peer = client(test, address, &arguments, "/same")?;
    peer.end().await;
    let answered = peer.output().matches("[:status: 200]").count();
    assert_eq!(answered, requests());
    matrix.pass(
        "many requests",
        ROLE,
        "it logs as many times `:status: 200`",
    );
    qpack(&peer, ROLE, ("tx", 6, 11), ("rx", 7, 10), matrix);
    let moving = [
        "--delay-stream=30ms",
        "--change-local-addr=1ms",
        "--nat-rebinding",
    ];
    let mut peer = client(test, address, &[&LOGGED[..], &moving].concat(), "/moved")?;
    line_with(&mut peer, &["frm rx", "PATH_CHALLENGE"]).await;
    line_with(&mut peer, &["[:status: 200]"]).await;
    matrix.pass(
        "migration",
        ROLE,
        "it logs our PATH_CHALLENGE, then `:status: 200`",
    );
    Some(())
}

/// Our server in this process, with its client.
async fn sessions(test: &str, authority: &Authority, matrix: &mut Matrix) -> Option<()> {
    const ROLE: &str = "server";
    let mut server = Server::start(authority, &[]);
    let address = server.address;
    let mut peer = client(test, address, &LOGGED, "/trailers")?;
    line_with(&mut peer, &["[:status: 200]"]).await;
    line_with(&mut peer, &["[x-trailer: one]"]).await;
    matrix.pass("trailers", ROLE, "it logs ours: `x-trailer: one`");
    let served = server.connection().await;
    assert_eq!(served.http.pushes_available(), 0);
    matrix.lacks_as("push", ROLE, "it never sends MAX_PUSH_ID");
    let settings = served.http.peer_settings().expect("its settings");
    assert!(!settings.datagram);
    matrix.lacks_as("datagrams", ROLE, "its settings offer none");
    assert_eq!(served.seen(), ["GET /trailers default"]);
    matrix.lacks_as(
        "priorities",
        ROLE,
        "its requests have none, and no option adds one",
    );
    peer.end().await;
    let mut peer = client(test, address, &LOGGED, "/hold")?;
    server.held().await;
    let served = server.connection().await;
    served.shut_down();
    // Two frames on our control stream: for all that may come, then for what has come.
    line_with(&mut peer, &["frm rx", " id=0x3 ", " len=10 "]).await;
    line_with(&mut peer, &["frm rx", " id=0x3 ", " len=3 "]).await;
    server.release();
    line_with(&mut peer, &["[:status: 200]"]).await;
    peer.end().await;
    let evidence = "it logs 10 and 3 bytes of our control stream, which are the two GOAWAY, then \
                    `:status: 200` of the held request";
    matrix.pass("GOAWAY in mid-flight", ROLE, evidence);
    let session = format!("--session-file={}", authority.path("session"));
    let parameters = format!("--tp-file={}", authority.path("parameters"));
    let both = [&LOGGED[..], &[&session, &parameters]].concat();
    client(test, address, &both, "/first")?.end().await;
    let mut peer = client(test, address, &both, "/early")?;
    line_with(&mut peer, &["frm tx", "0RTT STREAM"]).await;
    line_with(&mut peer, &["[:status: 200]"]).await;
    assert!(peer.end().await.success());
    let refusal = "Early data was rejected by server";
    assert!(!peer.output().contains(refusal), "{}", peer.output());
    let evidence = "it logs `0RTT STREAM` and `:status: 200`, and not the refusal that it knows";
    matrix.pass("0-RTT", ROLE, evidence);
    Some(())
}

fn client(test: &str, address: SocketAddr, arguments: &[&str], path: &str) -> Option<Peer> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let url = format!("https://localhost{path}");
    let at = ["--exit-on-all-streams-close", &host, &port, &url];
    Peer::start(test, "gtlsclient", &[arguments, &at].concat())
}
