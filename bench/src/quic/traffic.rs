//! One stack alone, at work as it is timed: what its threads and the wire have seen of it.
//!
//! Invariant: both threads run as in [`super::run`], and nothing else of this process does.

use super::Stack;
use super::timed::Server;
use super::work::{self, Doing, STREAMS_MAX, Work};
use crate::clock::{ThreadClock, pin};
use std::fmt;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a connection has put on the wire and taken from there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Datagrams and their bytes.
    pub sent: (u64, u64),
    /// Datagrams and their bytes.
    pub received: (u64, u64),
    /// Packets that were lost.
    pub lost: u64,
}

/// What was seen, a unit of work.
pub struct Watched {
    times: usize,
    /// How long it took.
    wall: Duration,
    client: Seen,
    server: Seen,
    traffic: Option<Traffic>,
}

/// What one thread has used.
#[derive(Clone, Copy)]
struct Seen {
    time: Duration,
    /// How often it went to sleep.
    sleeps: u64,
    /// How often another one took its processor.
    losses: u64,
}

/// Does the work so often and looks.
pub fn watch<S: Stack>(work: Work, times: usize) -> Watched {
    pin(0);
    let identity = Arc::new(work.identity());
    work::runtime().block_on(async {
        let server = Server::start::<S>(&identity, work);
        let client = S::bind(&identity, STREAMS_MAX);
        let mut doing = Doing::start(client, server.address, work).await;
        doing.act(work::warm_up(work)).await;
        let here = ThreadClock::of_this_thread();
        let look = |doing: &Doing<S>| {
            let client = Seen::of(here, std::process::id());
            let server = Seen::of(server.clock, server.thread);
            (client, server, doing.traffic())
        };
        let before = look(&doing);
        let start = Instant::now();
        doing.act(times).await;
        let wall = start.elapsed();
        let after = look(&doing);
        Watched {
            times,
            wall,
            client: after.0.since(before.0),
            server: after.1.since(before.1),
            traffic: after.2.zip(before.2).map(|(it, before)| it.since(before)),
        }
    })
}

impl Seen {
    fn of(clock: ThreadClock, thread: u32) -> Self {
        let path = format!("/proc/self/task/{thread}/status");
        let status = fs::read_to_string(path).unwrap_or_default();
        let count = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|it| it.trim().parse().ok()).unwrap_or(0)
        };
        Seen {
            time: clock.read(),
            sleeps: count("voluntary_ctxt_switches:"),
            losses: count("nonvoluntary_ctxt_switches:"),
        }
    }

    fn since(self, before: Seen) -> Self {
        Seen {
            time: self.time.saturating_sub(before.time),
            sleeps: self.sleeps - before.sleeps,
            losses: self.losses - before.losses,
        }
    }
}

impl Traffic {
    fn since(self, before: Traffic) -> Self {
        let less = |it: (u64, u64), before: (u64, u64)| (it.0 - before.0, it.1 - before.1);
        Traffic {
            sent: less(self.sent, before.sent),
            received: less(self.received, before.received),
            lost: self.lost - before.lost,
        }
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |count: u64| count as f64 / self.times as f64;
        for (name, seen) in [("client", self.client), ("server", self.server)] {
            writeln!(
                f,
                "{name}: {:.3} µs, busy for {:.0} %, asleep {:.4} times, ousted {:.4} times",
                seen.time.as_nanos() as f64 / 1e3 / self.times as f64,
                100.0 * seen.time.as_secs_f64() / self.wall.as_secs_f64(),
                each(seen.sleeps),
                each(seen.losses),
            )?;
        }
        let Some(traffic) = self.traffic else {
            return Ok(());
        };
        for (name, (datagrams, bytes)) in [("up", traffic.sent), ("down", traffic.received)] {
            let (datagrams, bytes) = (each(datagrams), each(bytes));
            writeln!(f, "{name}: {datagrams:.4} datagrams, {bytes:.1} bytes")?;
        }
        write!(f, "lost: {} packets in all", traffic.lost)
    }
}
