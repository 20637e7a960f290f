//! The scripted peers: aioquic (`peer.py`) and quiche (`tests/peers/quiche`) behind lines of text.
//!
//! Invariant: what a test knows of the peer, the peer itself has said.

use crate::authority::{Authority, NAME};
use crate::peer::{Peer, run};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// The Python that has aioquic, or why there is none. Made once, outside of any time limit.
fn python() -> &'static Result<String, String> {
    static PYTHON: OnceLock<Result<String, String>> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../peers/aioquic");
        let made = Command::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/interop/quic/environment"
        ))
        .arg(directory)
        .output()
        .map_err(|error| format!("aioquic: {error}"))?;
        if made.status.success() {
            return Ok(String::from_utf8_lossy(&made.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&made.stderr);
        let reason = said.trim().lines().last().unwrap_or("no reason given");
        Err(format!("aioquic: {reason}"))
    })
}

/// The program with quiche, or why there is none.
fn quiche() -> &'static Result<String, String> {
    static QUICHE: OnceLock<Result<String, String>> = OnceLock::new();
    QUICHE.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../peers/quiche/debug");
        let program = directory.join("portway-peer-quiche");
        match program.to_str() {
            Some(text) if program.exists() => Ok(text.to_owned()),
            _ => Err("quiche is not built; `cargo xtask full` does that".to_owned()),
        }
    })
}

/// Makes the peer's environment, outside of any test's time limit.
pub(super) fn prepare() {
    let _ = python();
}

/// Which peer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Aioquic,
    Quiche,
}

impl Script {
    /// Its program and the first words behind it, or says why the test is skipped.
    pub(super) fn program(self, test: &str) -> Option<(&'static str, &'static [&'static str])> {
        let (program, words) = match self {
            Script::Aioquic => (python().as_deref(), PEER),
            Script::Quiche => (quiche().as_deref(), &[][..]),
        };
        match program {
            Ok(program) => Some((program, words)),
            Err(reason) => {
                portway_tests::say!("skipped: {test}: {reason}");
                None
            }
        }
    }
}

const PEER: &[&str] = &[concat!(env!("CARGO_MANIFEST_DIR"), "/interop/quic/peer.py")];

/// Starts it, or says why the test is skipped.
fn start(script: Script, test: &str, arguments: &[&str]) -> Option<Peer> {
    let (program, words) = script.program(test)?;
    Peer::start(test, program, &[words, arguments].concat())
}

/// aioquic's server, see [`server_of`].
pub(super) async fn server(
    test: &str,
    authority: &Authority,
    arguments: &[&str],
) -> Option<(Peer, SocketAddr)> {
    server_of(Script::Aioquic, test, authority, arguments).await
}

/// A server with the authority's certificate on a free port of loopback.
pub(super) async fn server_of(
    script: Script,
    test: &str,
    authority: &Authority,
    arguments: &[&str],
) -> Option<(Peer, SocketAddr)> {
    let (cert, key) = (&authority.server.cert, &authority.server.key);
    let fixed = ["server", "--cert", cert, "--key", key];
    let mut peer = start(script, test, &[&fixed, arguments].concat())?;
    let address = peer.address_after("LISTEN ").await;
    Some((peer, address))
}

/// aioquic's client, see [`client_of`].
pub(super) fn client(
    test: &str,
    authority: &Authority,
    server: SocketAddr,
    arguments: &[&str],
) -> Option<Peer> {
    client_of(Script::Aioquic, test, authority, server, arguments)
}

/// A client that believes the authority; it connects when it is told to.
pub(super) fn client_of(
    script: Script,
    test: &str,
    authority: &Authority,
    server: SocketAddr,
    arguments: &[&str],
) -> Option<Peer> {
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    let fixed = ["client", "--ca", &authority.root, "--name", NAME];
    let local = if server.is_ipv6() { "::1" } else { "127.0.0.1" };
    let at = ["--host", &host, "--port", &port, "--local", local];
    start(script, test, &[&fixed[..], &at, arguments].concat())
}

/// The instrument itself: what the tests rely on works when the script talks to the script.
#[test]
fn the_script_at_both_ends_does_what_the_tests_rely_on() {
    let test = "the_script_at_both_ends_does_what_the_tests_rely_on";
    let authority = Authority::new();
    prepare();
    run(async {
        let arguments = ["--mode", "echo", "--datagrams"];
        let Some((mut server, address)) = server(test, &authority, &arguments).await else {
            return;
        };
        let Some(mut client) = client(test, &authority, address, &["--datagrams"]) else {
            return;
        };
        client.say("connect\n").await;
        let agreed = "alpn=portway resumed=0 early=0";
        assert_eq!(client.after("connected ").await, agreed);
        client.after("ticket ").await;
        client.say("open bidi\nwrite 0 hello\nfinish 0\n").await;
        client.after("data 0 5 hello").await;
        client.after("finished 0 5 ").await;
        client.say("datagram hi\n").await;
        client.after("datagram 2 hi").await;
        client
            .say("open bidi\nwrite 4 more\nreset 4 7\nstop 4 8\n")
            .await;
        server.after("reset 4 7").await;
        server.after("stopped 4 8").await;
        client.say("key-update\nping\n").await;
        server.after("key-phase 1").await;
        client.say("rebind\n").await;
        server.after("path ").await;
        client.say("close 9 bye\n").await;
        server.after("terminated application 9 bye").await;
        client.say("connect early\n").await;
        let agreed = "alpn=portway resumed=1 early=1";
        assert_eq!(client.after("connected ").await, agreed);
        server.after("finished 0 5 ").await;
    });
}
