//! Processor time of both ends, in alternating pairs.
//!
//! Invariant: client and server have a thread, a current-thread runtime and a processor each.

use super::work::{self, Doing, WORK, Work};
use super::{Identity, Portway, Quinn, Stack};
use crate::clock::{ThreadClock, pin};
use crate::pairs::{Comparison, Side, alternate};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;

/// Measures this many pairs of everything, or of the work of one name.
pub fn run(pairs: usize, only: Option<&str>) -> Vec<(Comparison, f64)> {
    let identity = Arc::new(Identity::new());
    pin(0);
    let mut found = Vec::new();
    for (name, work, gate, times) in WORK {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let runtime = work::runtime();
        let comparison = runtime.block_on(compare(name, work, times, pairs, &identity));
        found.push((comparison, gate));
    }
    found
}

async fn compare(
    name: &str,
    work: Work,
    times: usize,
    pairs: usize,
    identity: &Arc<Identity>,
) -> Comparison {
    let ours = Server::start::<Portway>(identity, work);
    let theirs = Server::start::<Quinn>(identity, work);
    let mut portway = Doing::start(Portway::bind(identity), ours.address, work).await;
    let mut quinn = Doing::start(Quinn::bind(identity), theirs.address, work).await;
    portway.act(work::warm_up(work)).await;
    quinn.act(work::warm_up(work)).await;
    let here = ThreadClock::of_this_thread();
    let found = alternate(pairs, async |side| {
        let there = match side {
            Side::Portway => ours.clock,
            Side::Other => theirs.clock,
        };
        let before = here.read() + there.read();
        match side {
            Side::Portway => portway.act(times).await,
            Side::Other => quinn.act(times).await,
        }
        let used = here.read() + there.read() - before;
        used.as_nanos() as f64 / times as f64 / 1e3
    })
    .await;
    Comparison::of(name, "µs", &found)
}

/// A server in a thread of its own.
struct Server {
    address: SocketAddr,
    clock: ThreadClock,
}

impl Server {
    fn start<S: Stack>(identity: &Arc<Identity>, work: Work) -> Server {
        let (sender, receiver) = mpsc::channel();
        let identity = Arc::clone(identity);
        std::thread::spawn(move || {
            pin(1);
            work::runtime().block_on(async {
                let stack = S::bind(&identity);
                let server = Server {
                    address: stack.address(),
                    clock: ThreadClock::of_this_thread(),
                };
                sender.send(server).expect("the client waits");
                work::serve(stack, work).await;
            });
        });
        receiver.recv().expect("the server starts")
    }
}
