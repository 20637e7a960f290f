//! The matrix with clients of HTTP that speak HTTP/3: libcurl (ngtcp2) and niquests (qh3).
//!
//! Invariant: a client is told to use HTTP/3 only, and what a cell claims was said by the client or
//! seen by our server in this run.

use super::server::{Served, Server};
use super::{PAGE, requests, script};
use crate::authority::Authority;
use crate::page::Matrix;
use crate::peer::{Peer, run_for};
use std::sync::Arc;

const ROLE: &str = "server";

#[test]
fn every_cell_of_http3_with_libcurl_holds_as_documented() {
    let test = "every_cell_of_http3_with_libcurl_holds_as_documented";
    cells(
        test,
        "curl",
        "libcurl 8.21.0 with ngtcp2 (PyPI's curl_cffi)",
        1,
    );
}

#[test]
fn every_cell_of_http3_with_niquests_holds_as_documented() {
    let test = "every_cell_of_http3_with_niquests_holds_as_documented";
    cells(test, "niquests", "niquests 3.21.2 with qh3", 8);
}

/// All cells of a client, which moves a part of the large content.
fn cells(test: &str, client: &str, heading: &str, divisor: usize) {
    let authority = Authority::new();
    let _ = super::python();
    let mut matrix = Matrix::new(&PAGE, heading);
    let mut is_whole = false;
    run_for(super::limit(), async {
        let mut server = Server::start(&authority, &[]);
        let port = server.address.port().to_string();
        let arguments = [client, "--ca", &authority.root, "--port", &port];
        let Some(mut peer) = script(test, "clients.py", &arguments) else {
            return;
        };
        let large = super::large() / divisor;
        messages(&mut peer, large, &mut matrix).await;
        let served = server.connection().await;
        many(&mut peer, &mut server, &served, &mut matrix).await;
        going_away(&mut peer, &mut server, &mut matrix).await;
        sessions(&mut peer, &mut server, &mut matrix).await;
        is_whole = true;
    });
    if is_whole {
        matrix.check();
    }
}

/// Asks, and gives the client's line about the answer.
async fn ask(peer: &mut Peer, command: &str) -> String {
    peer.say(&format!("{command}\n")).await;
    let line = peer.after("answer ").await;
    assert!(line.starts_with("200 HTTP/3 "), "{command}: {line}");
    line
}

async fn messages(peer: &mut Peer, large: usize, matrix: &mut Matrix) {
    let line = ask(peer, "get /a").await;
    assert!(line.contains(" interim=0 bytes=0 whole=1 "), "{line}");
    let line = ask(peer, "post /a 1000").await;
    assert!(line.contains(" bytes=1000 whole=1 "), "{line}");
    matrix.pass("GET and POST", ROLE, "HTTP/3 only; its content comes back");
    let line = ask(peer, "get /trailers").await;
    assert!(line.contains(" x-trailer=one"), "{line}");
    matrix.pass("trailers", ROLE, "it reads ours: `x-trailer=one`");
    let line = ask(peer, "get /interim").await;
    assert!(line.contains(" interim=2 "), "{line}");
    matrix.pass("interim responses", ROLE, "it reads 103 twice, then 200");
    let line = ask(peer, &format!("get /bytes/{large}")).await;
    assert!(line.contains(&format!(" bytes={large} whole=1")), "{line}");
    let line = ask(peer, &format!("post /sink {large}")).await;
    assert!(line.contains(&format!(" x-sink={large},whole")), "{line}");
    let evidence = "each side compares all that it gets";
    matrix.pass("large content", ROLE, evidence);
    let line = ask(peer, "get /a priority: u=1, i").await;
    assert!(line.contains(" x-priority=u=1,i"), "{line}");
    let evidence = "a field that it was told to send is what our server schedules by";
    matrix.pass("priorities", ROLE, evidence);
}

/// Many requests on one connection, and what the tables of QPACK were used for there.
async fn many(peer: &mut Peer, server: &mut Server, served: &Arc<Served>, matrix: &mut Matrix) {
    assert!(!server.has_another(), "everything came on one connection");
    let before = served.seen().len();
    peer.say(&format!("many {} /same\n", requests())).await;
    peer.after("all answered").await;
    let served = match served.seen().len() - before {
        0 => &server.connection().await,
        _ => served,
    };
    assert!(!server.has_another(), "one connection");
    let asked = served.seen();
    let asked = asked.iter().filter(|line| line.contains(" /same "));
    assert_eq!(asked.count(), requests());
    matrix.pass("many requests", ROLE, "all are answered on one connection");
    let counted = served.http.statistics();
    let settings = served.http.peer_settings().expect("its settings");
    let what = "dynamic QPACK, from the peer";
    match counted.own_table.sections {
        0 => {
            let evidence = "it is offered a table of 4,096 bytes, and puts nothing in";
            assert_eq!(counted.own_table.entries, 0);
            matrix.lacks_as(what, ROLE, evidence);
        }
        _ => matrix.pass(what, ROLE, "its sections refer to entries in our table"),
    }
    let what = "dynamic QPACK, to the peer";
    match settings.qpack_table_bytes {
        0 => matrix.lacks_as(what, ROLE, "its settings give a table of 0 bytes"),
        _ => {
            assert!(counted.peer_table.sections > 10, "{counted:?}");
            let evidence = "it acknowledges sections that refer to our entries in its table";
            matrix.pass(what, ROLE, evidence);
        }
    }
}

/// Our server goes away while it holds a request; the client asks again elsewhere.
async fn going_away(peer: &mut Peer, server: &mut Server, matrix: &mut Matrix) {
    peer.say("get /hold\n").await;
    server.held().await;
    let served = server.serving("/hold");
    served.shut_down();
    tokio::task::yield_now().await;
    server.release();
    let line = peer.after("answer ").await;
    assert!(line.starts_with("200 HTTP/3 "), "{line}");
    ask(peer, "get /after").await;
    assert!(!Arc::ptr_eq(&served, &server.serving("/after")));
    let evidence = "the held request is answered, the next one comes on another connection";
    matrix.pass("GOAWAY in mid-flight", ROLE, evidence);
}

/// A new connection with the session of the one before.
async fn sessions(peer: &mut Peer, server: &mut Server, matrix: &mut Matrix) {
    peer.say("fresh\n").await;
    let line = ask(peer, "get /again").await;
    let served = server.serving("/again");
    let is_resumed = served.quic.protection().is_some_and(|it| it.is_resumed);
    match is_resumed {
        true => matrix.pass("resumption", ROLE, "our server resumes its session"),
        false => matrix.lacks_as("resumption", ROLE, "a new connection brings no ticket"),
    }
    let what = "0-RTT";
    match is_resumed {
        true => {
            assert!(line.contains(" x-early=0"), "{line}");
            let evidence = "it resumes with early data switched on, and tells that it sent none";
            matrix.lacks_as(what, ROLE, evidence);
        }
        false => matrix.lacks_as(what, ROLE, "it resumes no session"),
    }
}
