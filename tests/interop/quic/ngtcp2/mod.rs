//! The matrix with ngtcp2's examples, which speak HTTP/3 over GnuTLS.
//!
//! Invariant: what a cell claims of the peer is in the peer's own log.

mod clients;
pub(crate) mod servers;

use super::PAGE;
use super::pattern;
use crate::authority::Authority;
use crate::page::Matrix;
use crate::peer::{Peer, run};
use std::path::Path;
use std::process::Command;

const LARGE: usize = 10_000_000;

/// The peers print what they do, but not the bytes that they move.
pub(crate) const LOGGED: [&str; 2] = ["--no-quic-dump", "--no-http-dump"];

#[test]
fn every_cell_of_the_matrix_with_ngtcp2_holds_as_documented() {
    let test = "every_cell_of_the_matrix_with_ngtcp2_holds_as_documented";
    let Some(version) = version() else {
        portway_tests::say!("skipped: {test}: ngtcp2-server is not installed by dpkg");
        return;
    };
    let authority = Authority::new();
    std::fs::write(authority.path("large"), pattern(LARGE)).expect("a file");
    let mut matrix = Matrix::new(&PAGE, &format!("ngtcp2 {version}, the examples of Debian"));
    let mut is_whole = false;
    run(async {
        if servers::cells(test, &authority, &mut matrix)
            .await
            .is_none()
        {
            return;
        }
        is_whole = clients::cells(test, &authority, &mut matrix)
            .await
            .is_some();
    });
    if is_whole {
        matrix.check();
    }
}

/// The upstream version of the package.
pub(crate) fn version() -> Option<String> {
    let mut command = Command::new("dpkg-query");
    command.args(["-W", "-f", "${source:Upstream-Version}", "ngtcp2-server"]);
    let version = String::from_utf8(command.output().ok()?.stdout).ok()?;
    let (version, _) = version.split_once('+').unwrap_or((&version, ""));
    (!version.is_empty()).then(|| version.to_owned())
}

/// The peer's log: our acknowledgements count its marks, and its own count ours.
async fn marked(peer: &mut Peer, role: &str, matrix: &mut Matrix) {
    line_with(peer, &["path is ECN capable"]).await;
    line_with(peer, &["frm tx", "1RTT ACK", "ect0="]).await;
    let evidence = "it logs `path is ECN capable`, and counts our marks in its acknowledgements";
    matrix.pass("ECN", role, evidence);
}

/// Waits for a line of the peer's log with all of these words.
pub(crate) async fn line_with(peer: &mut Peer, words: &[&str]) -> String {
    loop {
        let line = peer.after("\n").await;
        if words.iter().all(|word| line.contains(word)) {
            return line;
        }
    }
}

/// The bytes of a file.
pub(crate) fn bytes_of(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).expect("a file")
}
