//! What is not a small request: a large download and upload, and datagrams, against the raw driver.
//!
//! Invariant: client and server have a thread, a current-thread runtime and a processor each, and
//! both sides use pieces of the same size.

use super::Http3;
use crate::clock::{ThreadClock, pin};
use crate::pairs::{Comparison, Side, alternate};
use crate::quic::{Doing, Portway, STREAMS_MAX, Server, Stack, Work, runtime, warm_up};
use crate::verdict::Gate;
use std::sync::Arc;
use std::time::Instant;

/// A kind of work against the raw driver.
pub struct Bulk {
    /// Its name.
    pub name: &'static str,
    /// The work.
    pub work: Work,
    /// How often it is done in one go: mebibytes, datagrams.
    pub times: usize,
    /// The gate of issue 4.
    pub gate: Gate,
    unit: &'static str,
}

/// All of it.
pub const BULK: [Bulk; 3] = [
    Bulk {
        name: "download",
        work: Work::Download,
        times: 256,
        gate: Gate::AtMost(1.05),
        unit: "CPU µs a MiB",
    },
    Bulk {
        name: "upload",
        work: Work::Upload,
        times: 256,
        gate: Gate::AtMost(1.05),
        unit: "CPU µs a MiB",
    },
    Bulk {
        name: "datagrams",
        work: Work::Datagrams,
        times: 20_000,
        gate: Gate::AtLeast(0.95),
        unit: "datagrams a second",
    },
];

impl Bulk {
    /// Measures so many pairs.
    pub fn run(&self, pairs: usize) -> Comparison {
        pin(0);
        runtime().block_on(async {
            let identity = Arc::new(self.work.identity());
            let servers = [
                Server::start::<Http3>(&identity, self.work),
                Server::start::<Portway>(&identity, self.work),
            ];
            let [over_http, raw] = &servers;
            let client = Http3::bind(&identity, STREAMS_MAX);
            let mut ours = Doing::start(client, over_http.address, self.work).await;
            let client = Portway::bind(&identity, STREAMS_MAX);
            let mut theirs = Doing::start(client, raw.address, self.work).await;
            ours.act(warm_up(self.work)).await;
            theirs.act(warm_up(self.work)).await;
            let here = ThreadClock::of_this_thread();
            let found = alternate(pairs, async |side| {
                let there = match side {
                    Side::Portway => over_http.clock,
                    Side::Other => raw.clock,
                };
                let (before, started) = (here.read() + there.read(), Instant::now());
                match side {
                    Side::Portway => ours.act(self.times).await,
                    Side::Other => theirs.act(self.times).await,
                }
                let used = here.read() + there.read() - before;
                match self.gate {
                    Gate::AtMost(_) => used.as_secs_f64() * 1e6 / self.times as f64,
                    Gate::AtLeast(_) => self.times as f64 / started.elapsed().as_secs_f64(),
                }
            });
            Comparison::of(self.name, self.unit, &found.await)
        })
    }
}
