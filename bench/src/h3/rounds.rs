//! Several stacks under the same load, one after the other, again and again.
//!
//! Invariant: every stack has its turn in each round, and whose turn comes first rotates, so that
//! what else the machine does weighs on all of them; the first round does not count.

use super::web::{Load, Web};
use super::{H3, Http2, Http3, Raw};
use crate::clock::{ThreadClock, pin, process_time, unpin};
use crate::pairs::Comparison;
use crate::quic::{Identity, runtime};
use portway_tests::link::Link;
use portway_tests::namespace::Namespace;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// The names of the stacks, portway's HTTP/3 first.
pub const STACKS: [&str; 4] = ["HTTP/3", "raw QUIC", "h3", "HTTP/2"];

/// Where client and server run.
#[derive(Clone)]
pub enum Place {
    /// A thread, a current-thread runtime and a processor each, over loopback.
    Pinned,
    /// One runtime of two workers, over loopback.
    Workers,
    /// As pinned, with the server in a network namespace of its own; the calling thread is in the
    /// client's. The whole process counts: the kernel receives on the thread that carries packets.
    Link {
        /// What carries them. In each round all stacks meet the same losses.
        link: Arc<Link>,
        /// The server's namespace.
        far: Namespace,
        /// The client's address.
        from: IpAddr,
        /// The server's.
        to: IpAddr,
        /// The pattern of losses before the first.
        seed: u64,
    },
}

/// What one stack needed in each round.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Processor time of both ends for one request, in microseconds.
    pub processor: Vec<f64>,
    /// Requests a second.
    pub rate: Vec<f64>,
}

/// The stacks under one load, in the order of [`STACKS`].
pub struct Rounds {
    /// The load.
    pub load: Load,
    /// What each needed.
    pub measured: Vec<Measured>,
}

impl Rounds {
    /// portway's HTTP/3 against another stack: processor time a request.
    pub fn processor(&self, other: usize) -> Comparison {
        self.compare(other, "CPU µs a request", |it| &it.processor)
    }

    /// portway's HTTP/3 against another stack: requests a second.
    pub fn rate(&self, other: usize) -> Comparison {
        self.compare(other, "requests a second", |it| &it.rate)
    }

    fn compare(&self, other: usize, unit: &str, of: fn(&Measured) -> &Vec<f64>) -> Comparison {
        let (ours, theirs) = (of(&self.measured[0]), of(&self.measured[other]));
        let pairs = ours.iter().copied().zip(theirs.iter().copied());
        Comparison::of(self.load.name(), unit, &pairs.collect::<Vec<_>>())
    }
}

/// A runtime of two workers.
fn workers() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Puts the stacks under a load, so often, for so many requests each time.
pub fn run(place: &Place, load: Load, times: usize, rounds: usize) -> Rounds {
    let runtime = match place {
        Place::Workers => {
            unpin();
            workers()
        }
        Place::Pinned | Place::Link { .. } => {
            pin(0);
            runtime()
        }
    };
    let found = runtime.block_on(async {
        let identity = Identity::new();
        let sides = [
            Side::start::<Http3>(&identity, place, load).await,
            Side::start::<Raw>(&identity, place, load).await,
            Side::start::<H3>(&identity, place, load).await,
            Side::start::<Http2>(&identity, place, load).await,
        ];
        let mut measured = vec![Measured::default(); sides.len()];
        for round in 0..=rounds {
            for turn in 0..sides.len() {
                let stack = (round + turn) % sides.len();
                if let Place::Link { link, seed, .. } = place {
                    // The windows of this stack are those of this load when it counts.
                    link.repeat_losses(LEAD_IN + seed + round as u64);
                    sides[stack].act(lead_in(load)).await;
                    link.repeat_losses(seed + round as u64);
                }
                let (processor, rate) = sides[stack].act(times).await;
                if round > 0 {
                    measured[stack].processor.push(processor);
                    measured[stack].rate.push(rate);
                }
            }
        }
        Rounds { load, measured }
    });
    runtime.shutdown_background();
    found
}

/// Does the work of one stack in this thread, both ends, for tools that count.
pub fn count(stack: &str, load: Load, times: usize) {
    let runtime = runtime();
    let acting = runtime.block_on(here(stack, load));
    runtime.block_on(acting(warm_up(load)));
    super::measured(|| runtime.block_on(acting(times)));
}

/// The same on two workers, for a tool that counts what wakes threads.
pub fn count_on_workers(stack: &str, load: Load, times: usize) {
    let stack = stack.to_owned();
    workers().block_on(async move {
        let working = tokio::spawn(async move {
            let acting = here(&stack, load).await;
            acting(warm_up(load)).await;
            acting(times).await;
        });
        working.await.expect("no panic");
    });
}

/// Does the work of HTTP/3 with a thread for each end, of which one counts.
pub fn count_one_end(end: &str, load: Load, times: usize) {
    let identity = Identity::new();
    let (address, _) = server::<Http3>(identity.clone(), LOOPBACK, end == "server");
    let runtime = runtime();
    let client = runtime.block_on(Http3::connect(&identity, LOOPBACK, address));
    runtime.block_on(load.apply(client.clone(), warm_up(load)));
    match end {
        "client" => super::measured(|| runtime.block_on(load.apply(client, times))),
        _ => runtime.block_on(load.apply(client, times)),
    }
}

async fn here(stack: &str, load: Load) -> Act {
    let identity = Identity::new();
    match stack {
        "HTTP/3" => acting::<Http3>(&identity, load).await,
        "raw QUIC" => acting::<Raw>(&identity, load).await,
        "h3" => acting::<H3>(&identity, load).await,
        _ => acting::<Http2>(&identity, load).await,
    }
}

async fn acting<W: Web>(identity: &Identity, load: Load) -> Act {
    let address = W::start(identity, LOOPBACK);
    let client = W::connect(identity, LOOPBACK, address).await;
    Box::new(move |times| Box::pin(load.apply(client.clone(), times)))
}

/// Sends so many requests.
type Act = Box<dyn Fn(usize) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A stack with its connection.
pub(super) struct Side {
    act: Act,
    clock: Clock,
}

/// What processor time counts.
enum Clock {
    /// That of the client's thread and of the server's.
    Threads(ThreadClock, ThreadClock),
    /// That of the process, in which nothing but this stack is at work.
    Process,
}

impl Side {
    pub(super) async fn start<W: Web>(identity: &Identity, place: &Place, load: Load) -> Side {
        let (from, to) = match place {
            Place::Link { from, to, .. } => (*from, *to),
            Place::Pinned | Place::Workers => (LOOPBACK, LOOPBACK),
        };
        let (address, server) = match place {
            Place::Workers => (W::start(identity, to), None),
            Place::Pinned => server::<W>(identity.clone(), to, false),
            Place::Link { far, .. } => far.run(|| server::<W>(identity.clone(), to, false)),
        };
        let clock = match (place, server) {
            (Place::Pinned, Some(server)) => Clock::Threads(ThreadClock::of_this_thread(), server),
            _ => Clock::Process,
        };
        let connecting = {
            let identity = identity.clone();
            async move { W::connect(&identity, from, address).await }
        };
        let client = match place {
            Place::Workers => tokio::spawn(connecting).await.expect("no panic"),
            Place::Pinned | Place::Link { .. } => connecting.await,
        };
        let act: Act = Box::new(move |times| Box::pin(load.apply(client.clone(), times)));
        let side = Side { act, clock };
        side.act(warm_up(load)).await;
        side
    }

    /// The processor time of one request in microseconds, and requests a second.
    pub(super) async fn act(&self, times: usize) -> (f64, f64) {
        let (before, started) = (self.clock.read(), Instant::now());
        let acting = (self.act)(times);
        match self.clock {
            // The thread that blocks on a runtime is none of its workers.
            Clock::Process => tokio::spawn(acting).await.expect("no panic"),
            Clock::Threads(..) => acting.await,
        }
        let (used, took) = (self.clock.read() - before, started.elapsed());
        let processor = used.as_nanos() as f64 / times as f64 / 1e3;
        (processor, times as f64 / took.as_secs_f64())
    }
}

impl Clock {
    fn read(&self) -> Duration {
        match self {
            Clock::Threads(client, server) => client.read() + server.read(),
            Clock::Process => process_time(),
        }
    }
}

/// A server in a thread of its own, for ever.
fn server<W: Web>(
    identity: Identity,
    at: IpAddr,
    counts: bool,
) -> (SocketAddr, Option<ThreadClock>) {
    let (sender, receiver) = mpsc::channel();
    let serve = move || {
        pin(1);
        runtime().block_on(async {
            let address = W::start(&identity, at);
            let told = sender.send((address, ThreadClock::of_this_thread()));
            told.expect("the client waits");
            std::future::pending::<()>().await;
        });
    };
    let thread = std::thread::Builder::new().name(SERVER.to_owned());
    let spawned = thread.spawn(move || match counts {
        true => super::measured(serve),
        false => serve(),
    });
    spawned.expect("a thread");
    let (address, server) = receiver.recv().expect("the server starts");
    (address, Some(server))
}

/// Requests until windows, path MTU and tables are found.
fn warm_up(load: Load) -> usize {
    (load.in_flight * 4).max(400)
}

/// Requests before those that count over a link: some twenty losses.
fn lead_in(load: Load) -> usize {
    (load.in_flight * 6).max(512)
}

/// The first pattern of losses of requests that do not count.
const LEAD_IN: u64 = 1 << 32;
/// What a server's thread is called.
const SERVER: &str = "server";
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
