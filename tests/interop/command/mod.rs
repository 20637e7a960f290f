//! Through the `portway` command.
//!
//! Invariant: what is tested is the command as it stands in this tree; it is built first.

mod connect;
mod get;
mod listen;
mod proxies;

use crate::peer::Peer;

/// Starts the command; `None`, after saying why, where it cannot be built.
pub(crate) fn portway(test: &str, arguments: &[&str]) -> Option<Peer> {
    match portway_tests::command() {
        Ok(path) => Peer::start(test, path.to_str()?, arguments),
        Err(reason) => {
            portway_tests::say!("skipped: {test}: the command cannot be built: {reason}");
            None
        }
    }
}

/// A line to the peer and one back, both ways through the command's standard streams.
async fn exchange(portway: &mut Peer, peer: &mut Peer) {
    portway.say("question\n").await;
    peer.after("question").await;
    peer.say("answer\n").await;
    portway.after("answer").await;
}
