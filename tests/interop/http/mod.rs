//! HTTP/1.1, 2 and 3 through the command, with clients and servers that we did not write, and the
//! page that says what was tried with each.
//!
//! Invariant: a peer that is not there is named with the test that it skips; one of another version
//! than the page names is tried all the same, and the page stays as it is.

mod browser;
mod clients;
mod servers;

use crate::authority::Authority;
use crate::command::portway;
use crate::page::{Matrix, Page};
use crate::peer::Peer;
use crate::quic::pattern;
use std::net::SocketAddr;
use std::process::Command;

pub(crate) const PAGE: Page = Page {
    path: "docs/interop-http.md",
    head: "\
# Interoperability of HTTP/1.1, 2 and 3

Made by `tests/interop/http`, which tries every cell and fails when one does not hold as it stands
here; frames of HTTP/3 have a page of their own, `interop-h3.md`. The role is ours: as a server it
is `portway serve`, as a client `portway get`. All is over loopback and TLS, where nothing else is
said.
Envoy and Chromium are large: `cargo xtask full` tries them. Behind a proxy is Apache.
",
    sections: &[
        "curl",
        "nghttp ",
        "h2load",
        "wrk",
        "libcurl",
        "niquests",
        "Chromium",
        "nginx",
        "Apache",
        "Caddy",
        "HAProxy",
        "Envoy",
        "squid",
        "microsocks",
        "nghttpx",
    ],
};

/// The bytes of the file that everybody gets.
const FILE_BYTES: usize = 3000;

/// The bytes of the large one.
const LARGE_BYTES: usize = 16 << 20;

/// What a test of one peer has.
struct Place {
    authority: Authority,
    /// A directory with the files that are served.
    site: String,
}

impl Place {
    fn new() -> Place {
        let authority = Authority::new();
        let site = authority.path("site");
        // Servers that drop their rights read it, too.
        std::fs::create_dir_all(&site).expect("a directory");
        for (name, bytes) in [("file", FILE_BYTES), ("large", LARGE_BYTES)] {
            std::fs::write(format!("{site}/{name}"), pattern(bytes)).expect("a file");
        }
        let text = "all work and no play ".repeat(500);
        std::fs::write(format!("{site}/text.html"), text).expect("a file");
        Place { authority, site }
    }

    /// `portway serve` with TLS.
    async fn serve(&self, test: &str, more: &[&str]) -> Option<Ours> {
        let files = &self.authority.server;
        let tls = ["--cert", &files.cert, "--key", &files.key];
        Ours::start(test, &self.site, &[&tls, more].concat()).await
    }

    /// `portway serve` in cleartext.
    async fn serve_cleartext(&self, test: &str) -> Option<Ours> {
        Ours::start(test, &self.site, &[]).await
    }
}

/// A running `portway serve`.
struct Ours {
    _peer: Peer,
    address: SocketAddr,
}

impl Ours {
    async fn start(test: &str, site: &str, more: &[&str]) -> Option<Ours> {
        let fixed = ["serve", site, "--listen", "127.0.0.1:0", "--echo"];
        let mut peer = portway(test, &[&fixed, more].concat())?;
        let line = peer.after("listening ").await;
        let address = line.rsplit("//").next().expect("a URL");
        let address = address.trim_end_matches('/').parse().expect("an address");
        Some(Ours {
            _peer: peer,
            address,
        })
    }

    /// The URL of a path, by the name in its certificate.
    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }
}

/// Runs a program to its end, which must be a good one, and gives what it has written.
async fn said(test: &str, program: &str, arguments: &[&str]) -> Option<String> {
    let mut peer = Peer::start(test, program, arguments)?;
    let status = peer.end().await;
    let output = peer.output().to_owned();
    assert!(
        status.success(),
        "{program} {arguments:?}: {status}\n{output}"
    );
    Some(output)
}

/// The version that a program tells, as the first word that begins with a digit.
pub(crate) fn version(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let words = text.split([' ', '/', '\n', '(']);
    let mut numbers = words.filter(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let version = numbers.find(|word| word.contains('.'))?;
    Some(version.split(['-', ',']).next()?.to_owned())
}

/// Checks a section, if the peer is the one that the page is about.
pub(crate) fn check(matrix: &Matrix, test: &str, peer: (&str, &str), installed: Option<&str>) {
    let (name, documented) = peer;
    match installed {
        Some(installed) if installed != documented => portway_tests::say!(
            "{test}: {name} is {installed}, and the page is about {documented}: not compared"
        ),
        _ => matrix.check(),
    }
}
