//! HTTP/3 with peers that we did not write, and the page that says what was tried with each.
//!
//! Invariant: examples are tested as they stand in this tree; they are built first. A peer that is
//! not there is named with the test that it skips.

mod aioquic;
pub(crate) mod caddy;
pub(crate) mod chromium;
mod clients;
mod envoy;
mod ngtcp2;
mod ours;
mod server;

use crate::authority::Authority;
use crate::page::Page;
use crate::peer::{Peer, TEST_MAX, run};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// The Python that has the peers, or why there is none. Made once, outside of any time limit.
pub(crate) fn python() -> &'static Result<String, String> {
    static PYTHON: OnceLock<Result<String, String>> = OnceLock::new();
    PYTHON.get_or_init(|| environment("http3", "requirements.txt"))
}

/// The Python of an environment with what a file of this directory names.
pub(crate) fn environment(name: &str, requirements: &str) -> Result<String, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
    let peers = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../peers");
    let made = Command::new(here.join("quic/environment"))
        .arg(peers.join(name))
        .arg(here.join("h3").join(requirements))
        .output()
        .map_err(|error| error.to_string())?;
    match made.status.success() {
        true => Ok(String::from_utf8_lossy(&made.stdout).trim().to_owned()),
        false => Err(String::from_utf8_lossy(&made.stderr).into_owned()),
    }
}

/// The same, or says why the test is skipped.
fn python_of(test: &str) -> Option<&'static str> {
    found(test, python())
}

/// Whether large peers are tried, or says that this test is skipped.
pub(crate) fn is_full(test: &str, peer: &str) -> bool {
    let is_full = ["PORTWAY_FULL", "PORTWAY_LONG"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    if !is_full {
        portway_tests::say!("skipped: {test}: {peer} is large, `cargo xtask full` tries it");
    }
    is_full
}

/// The Python that has the peers which only a full run tries, or says why the test is skipped.
fn python_of_full(test: &str, peer: &str) -> Option<&'static str> {
    static PYTHON: OnceLock<Result<String, String>> = OnceLock::new();
    if !is_full(test, peer) {
        return None;
    }
    let made = PYTHON.get_or_init(|| environment("http3-full", "requirements-full.txt"));
    found(test, made)
}

fn found(test: &str, made: &'static Result<String, String>) -> Option<&'static str> {
    match made {
        Ok(python) => Some(python),
        Err(error) => {
            let reason = error.trim().lines().last().unwrap_or("no reason given");
            portway_tests::say!("skipped: {test}: the peers of HTTP/3: {reason}");
            None
        }
    }
}

/// Builds the examples and makes the peers' environment, outside of any test's time limit.
fn prepare() {
    let _ = python();
    let _ = portway_tests::example("h3_get");
    let _ = portway_tests::example("h3_echo_server");
}

const PAGE: Page = Page {
    path: "docs/interop-h3.md",
    head: "\
# Interoperability of HTTP/3

Made by `tests/interop/h3`, which tries every cell and fails when one does not hold as it stands
here. The role is ours; all is over loopback. Large content is 64 MiB, many requests are 1,000;
with `PORTWAY_LONG=1` they are 1 GiB and 10,000. aioquic and niquests move an eighth of the content.

Envoy stands between our client and our server, which is why it has both roles. It and Chromium are
large: `cargo xtask full` tries them. Early data that was sent and that a server refuses ends our
connection with the advice to send again, and has no cell yet.
",
    sections: &[
        "aioquic", "ngtcp2", "libcurl", "niquests", "Caddy", "Envoy", "Chromium",
    ],
};

/// Whether everything has its full size.
fn is_long() -> bool {
    std::env::var_os("PORTWAY_LONG").is_some()
}

/// How many bytes a body has that is large.
fn large() -> usize {
    if is_long() { 1 << 30 } else { 64 << 20 }
}

/// How long the matrix with one peer may take.
fn limit() -> Duration {
    TEST_MAX * if is_long() { 6 } else { 1 }
}

/// How many requests a connection is to bear.
fn requests() -> usize {
    if is_long() { 10_000 } else { 1000 }
}

/// Starts the script of requests, or says why the test is skipped.
fn peer(test: &str, arguments: &[&str]) -> Option<Peer> {
    script(test, "peer.py", arguments)
}

/// Starts a script, or says why the test is skipped.
fn script(test: &str, name: &str, arguments: &[&str]) -> Option<Peer> {
    let python = python_of(test)?;
    let script = format!("{}/interop/h3/{name}", env!("CARGO_MANIFEST_DIR"));
    Peer::start(test, python, &[&[&script[..]], arguments].concat())
}

/// Starts one of our examples.
fn example(test: &str, name: &str, arguments: &[&str]) -> Peer {
    let path = portway_tests::example(name).expect("the examples can be built");
    let path = path.to_str().expect("a path of text");
    Peer::start(test, path, arguments).expect("it was built a moment ago")
}

/// Our echo server and its address.
async fn echo_server(test: &str, authority: &Authority) -> (Peer, SocketAddr) {
    let (cert, key) = (&authority.server.cert, &authority.server.key);
    let listen = ["--listen", "127.0.0.1:0", "--cert", cert, "--key", key];
    let mut server = example(test, "h3_echo_server", &listen);
    let address = server.address_after("listening ").await;
    (server, address)
}

/// What both clients ask, and what the answers have in common.
const ASKED: [(&str, &str); 6] = [
    (
        "GET:/hello?x=1",
        "200 3 x-method=GET x-path=/hello?x=1 bytes=0",
    ),
    (
        "POST:/up:300000",
        "200 3 x-method=POST x-path=/up bytes=300000",
    ),
    ("GET:/bytes/1000000", "200 3 bytes=1000000"),
    ("POST:/sink:2000000", "200 3 bytes=7"),
    ("GET:/interim", "200 3 x-method=GET x-path=/interim bytes=0"),
    ("HEAD:/head", "200 3 x-method=HEAD x-path=/head bytes=0"),
];

#[test]
fn the_echo_server_answers_libcurl_and_aioquic() {
    let test = "the_echo_server_answers_libcurl_and_aioquic";
    let authority = Authority::new();
    prepare();
    for client in ["curl", "aioquic"] {
        run(async {
            let (mut server, address) = echo_server(test, &authority).await;
            let port = address.port().to_string();
            let fixed = [client, "--ca", &authority.root, "--port", &port];
            let requests = ASKED.map(|(request, _)| request);
            let Some(mut peer) = peer(test, &[&fixed[..], &requests].concat()) else {
                return;
            };
            peer.wait_for("done").await;
            for (request, expected) in ASKED {
                let (method, path) = request.split_once(':').expect("a method and a path");
                let path = path.split(':').next().unwrap_or_default();
                let line = format!("response {method} {path} {expected}");
                let output = peer.output();
                assert!(output.contains(&line), "{client}: no {line:?} in\n{output}");
            }
            server.terminate();
            let status = server.end().await;
            assert!(status.success(), "{client}: {}", server.output());
        });
    }
}

#[test]
fn the_echo_server_returns_the_content_and_trailers_of_aioquic() {
    let test = "the_echo_server_returns_the_content_and_trailers_of_aioquic";
    let authority = Authority::new();
    prepare();
    run(async {
        let (_server, address) = echo_server(test, &authority).await;
        let port = address.port().to_string();
        let fixed = ["aioquic", "--ca", &authority.root, "--port", &port];
        let requests = ["POST:/a:100000:one", "POST:/b:0:two", "POST:/c:251"];
        let Some(mut peer) = peer(test, &[&fixed[..], &requests].concat()) else {
            return;
        };
        peer.wait_for("done").await;
        let output = peer.output();
        for expected in [
            "/a 200 3 x-method=POST x-path=/a bytes=100000 sha=cd2df694e424bc79 x-trailer=one",
            "/b 200 3 x-method=POST x-path=/b bytes=0 sha=e3b0c44298fc1c14 x-trailer=two",
            "/c 200 3 x-method=POST x-path=/c bytes=251 sha=",
        ] {
            assert!(output.contains(expected), "no {expected:?} in\n{output}");
        }
    });
}

#[test]
fn h3_get_fetches_from_aioquic() {
    let test = "h3_get_fetches_from_aioquic";
    let authority = Authority::new();
    prepare();
    run(async {
        let (cert, key) = (&authority.server.cert, &authority.server.key);
        let Some(mut server) = peer(test, &["server", "--cert", cert, "--key", key]) else {
            return;
        };
        let port = server.address_after("LISTEN ").await.port();
        let url = |path: &str| format!("https://localhost:{port}{path}");
        let urls = [url("/bytes/300000"), url("/trailers"), url("/bytes/0")];
        let [first, second, third] = urls.each_ref().map(String::as_str);
        let fixed = ["--ca", &authority.root, "--parallel", "3"];
        let arguments = [&fixed[..], &[first, second, third]].concat();
        let mut client = example(test, "h3_get", &arguments);
        let status = client.end().await;
        let output = client.output();
        assert!(status.success(), "{output}");
        for expected in [
            format!("{first}: 200 OK, 300000 bytes"),
            format!("{second}: 200 OK, 0 bytes"),
            "trailer x-trailer: /trailers".to_owned(),
            format!("{third}: 200 OK, 0 bytes"),
        ] {
            assert!(output.contains(&expected), "no {expected:?} in\n{output}");
        }
        server.wait_for("request GET /trailers 0").await;
    });
}
