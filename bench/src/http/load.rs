//! Processor time of a client's requests.
//!
//! Invariant: the client and its server have a thread, a current-thread runtime and a processor
//! each; only the client's thread counts, since both have the same server.

use super::clients::{Gets, Ours, Reqwest, Settings};
use super::first::{ALIVE_ONES, of_clients};
use super::http3::H3;
use super::server::{Behaviour, Server, Version};
use crate::clock::{ThreadClock, pin};
use crate::pairs::{Comparison, Side, alternate};
use crate::quic::runtime;
use crate::verdict::Gate;
use std::hint::black_box;
use std::sync::Arc;
use tokio::task::JoinSet;

/// What is measured: a name, the version, requests in flight and in one go.
pub const LOADS: [(&str, Version, usize, usize); 9] = [
    ("http1-1", Version::Http1, 1, 400),
    ("http1-32", Version::Http1, 32, 1_600),
    ("http1-256", Version::Http1, 256, 2_560),
    ("http2-1", Version::Http2, 1, 400),
    ("http2-32", Version::Http2, 32, 3_200),
    ("http2-256", Version::Http2, 256, 5_120),
    ("http3-1", Version::Http3, 1, 400),
    ("http3-32", Version::Http3, 32, 3_200),
    ("http3-256", Version::Http3, 256, 5_120),
];

const REQWEST_HAS_HTTP3: bool = cfg!(feature = "reqwest-http3");

/// portway's client by name.
pub const OURS: &str = "portway";

/// The client that portway's is compared with, by name, and what portway's may cost of it.
pub fn other(version: Version) -> (&'static str, Gate) {
    match version {
        Version::Http1 | Version::Http2 => ("reqwest", Gate::AtMost(1.0)),
        Version::Http3 if REQWEST_HAS_HTTP3 => ("reqwest", Gate::AtMost(0.65)),
        Version::Http3 => ("h3", Gate::AtMost(0.65)),
    }
}

/// Measures so many pairs.
pub fn run(load: &(&str, Version, usize, usize), pairs: usize) -> Comparison {
    match load.1 {
        Version::Http3 if !REQWEST_HAS_HTTP3 => compare::<H3>(load, pairs),
        _ => compare::<Reqwest>(load, pairs),
    }
}

fn compare<C: Gets>(load: &(&str, Version, usize, usize), pairs: usize) -> Comparison {
    let (name, version, in_flight, times) = *load;
    pin(0);
    let server = Server::start(Behaviour::prompt(version));
    runtime().block_on(async {
        let ours = Doing::<Ours>::start(&server, in_flight).await;
        let theirs = Doing::<C>::start(&server, in_flight).await;
        let here = ThreadClock::of_this_thread();
        let found = alternate(pairs, async |side| {
            let before = here.read();
            match side {
                Side::Portway => ours.act(times).await,
                Side::Other => theirs.act(times).await,
            }
            (here.read() - before).as_secs_f64() * 1e6 / times as f64
        });
        Comparison::of(name, "CPU µs a request", &found.await)
    })
}

/// Does the work of one client, for tools that count: its thread's instructions, and both ends'
/// system calls.
pub fn count(client: &str, name: &str, times: usize) {
    if let Some((_, version)) = ALIVE_ONES.iter().find(|it| it.0 == name) {
        let server = Server::start(Behaviour::prompt(*version));
        let counted = |work: &dyn Fn()| measured(work);
        return match client {
            OURS => of_clients::<Ours>(&server, times, counted),
            _ => of_clients::<Reqwest>(&server, times, counted),
        };
    }
    let load = LOADS.iter().find(|load| load.0 == name);
    let (_, version, in_flight, _) = *load.expect("the name of a load");
    let server = Server::start(Behaviour::prompt(version));
    match client {
        OURS => count_of::<Ours>(&server, in_flight, times),
        "h3" => count_of::<H3>(&server, in_flight, times),
        _ => count_of::<Reqwest>(&server, in_flight, times),
    }
}

fn count_of<C: Gets>(server: &Server, in_flight: usize, times: usize) {
    let runtime = runtime();
    let doing = runtime.block_on(Doing::<C>::start(server, in_flight));
    measured(|| runtime.block_on(doing.act(times)));
}

/// A client with its connections.
struct Doing<C> {
    client: C,
    url: Arc<str>,
    in_flight: usize,
}

impl<C: Gets> Doing<C> {
    async fn start(server: &Server, in_flight: usize) -> Self {
        let settings = Settings {
            knows_http3: server.version == Version::Http3,
            ..Settings::default()
        };
        let client = C::new(server, &settings);
        let url = server.url().into();
        let doing = Doing {
            client,
            url,
            in_flight,
        };
        // The first request alone, so that nobody waits for what it finds out.
        doing.client.get(&doing.url).await.expect("an answer");
        doing.act(in_flight * 4).await;
        doing
    }

    async fn act(&self, times: usize) {
        let mut tasks = JoinSet::new();
        for _ in 0..self.in_flight {
            let (client, url) = (self.client.clone(), Arc::clone(&self.url));
            let each = times / self.in_flight;
            tasks.spawn(async move {
                for _ in 0..each {
                    client.get(&url).await.expect("an answer");
                }
            });
        }
        tasks.join_all().await;
    }
}

/// What callgrind counts: it starts and stops at this function.
#[inline(never)]
fn measured<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}
