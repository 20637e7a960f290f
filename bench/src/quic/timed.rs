//! Processor time of both ends, in alternating pairs.
//!
//! Invariant: client and server have a thread, a current-thread runtime and a processor each.

use super::work::{self, Doing, STREAMS_MAX, WORK, WORKERS, Work};
use super::{Identity, Portway, Quinn, S2n, Stack};
use crate::clock::{ThreadClock, pin, process_time, this_thread, unpin};
use crate::pairs::{Comparison, Side, alternate};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;

/// Measures this many pairs of everything, or of the work of one name.
pub fn run(pairs: usize, only: Option<&str>) -> Vec<(Comparison, f64)> {
    pin(0);
    let mut found = Vec::new();
    for (name, work, gate, times) in WORK {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let runtime = work::runtime();
        let identity = Arc::new(work.identity());
        let comparison = runtime.block_on(compare::<Portway, Quinn>(
            name, work, times, pairs, &identity,
        ));
        found.push((comparison, gate));
    }
    found
}

/// Measures so many pairs of one work with s2n-quic instead of quinn.
pub fn run_beside(pairs: usize, name: &str) -> Option<Comparison> {
    let (name, work, _, times) = WORK.into_iter().find(|it| it.0 == name)?;
    Some(compare_with::<Portway, S2n>(name, work, times, pairs))
}

/// Whether s2n-quic can do it as well.
pub fn is_done_beside(work: Work) -> bool {
    matches!(
        work,
        Work::Requests(_) | Work::Upload | Work::Download | Work::Handshakes
    )
}

/// Measures so many pairs of one work with any two stacks.
pub fn compare_with<A: Stack, B: Stack>(
    name: &str,
    work: Work,
    times: usize,
    pairs: usize,
) -> Comparison {
    pin(0);
    let identity = Arc::new(work.identity());
    work::runtime().block_on(compare::<A, B>(name, work, times, pairs, &identity))
}

async fn compare<A: Stack, B: Stack>(
    name: &str,
    work: Work,
    times: usize,
    pairs: usize,
    identity: &Arc<Identity>,
) -> Comparison {
    let ours = Server::start::<A>(identity, work);
    let theirs = Server::start::<B>(identity, work);
    let mut portway = Doing::start(A::bind(identity, STREAMS_MAX), ours.address, work).await;
    let mut quinn = Doing::start(B::bind(identity, STREAMS_MAX), theirs.address, work).await;
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

/// The same with both ends on one runtime of two workers, whose processor time is taken.
pub fn run_on_two_workers(pairs: usize, only: Option<&str>) -> Vec<(Comparison, f64)> {
    unpin();
    let mut found = Vec::new();
    for (name, work, gate, times) in WORKERS {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let runtime = two_workers();
        let comparison = runtime.block_on(async {
            let (mut portway, mut quinn) = (
                Workers::<Portway>::start(work).await,
                Workers::<Quinn>::start(work).await,
            );
            let found = alternate(pairs, async |side| match side {
                Side::Portway => portway.act(times).await,
                Side::Other => quinn.act(times).await,
            })
            .await;
            Comparison::of(name, "µs", &found)
        });
        found.push((comparison, gate));
        runtime.shutdown_background();
    }
    found
}

/// Does the work on a runtime of two workers, for tools that count. What they count begins with
/// the process.
pub fn count_on_two_workers<S: Stack>(work: Work, times: usize) {
    let runtime = two_workers();
    let mut workers = runtime.block_on(Workers::<S>::start(work));
    runtime.block_on(workers.act(times));
    runtime.shutdown_background();
}

/// A runtime of two threads.
pub fn two_workers() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Both ends in tasks of the workers.
struct Workers<S: Stack>(Option<Doing<S>>);

impl<S: Stack> Workers<S> {
    async fn start(work: Work) -> Self {
        let starting = tokio::spawn(async move {
            let identity = work.identity();
            let server = S::bind(&identity, STREAMS_MAX);
            let remote = server.address();
            tokio::spawn(work::serve(server, work));
            let mut doing = Doing::start(S::bind(&identity, STREAMS_MAX), remote, work).await;
            doing.act(work::warm_up(work)).await;
            doing
        });
        Workers(Some(starting.await.expect("it does not panic")))
    }

    /// The processor time of one unit in microseconds.
    async fn act(&mut self, times: usize) -> f64 {
        let mut doing = self.0.take().expect("it comes back each time");
        let before = process_time();
        let acting = tokio::spawn(async move {
            doing.act(times).await;
            doing
        });
        self.0 = Some(acting.await.expect("it does not panic"));
        let used = process_time() - before;
        used.as_nanos() as f64 / times as f64 / 1e3
    }
}

/// A server in a thread of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) clock: ThreadClock,
    /// What the system calls its thread.
    pub(crate) thread: u32,
}

impl Server {
    pub(crate) fn start<S: Stack>(identity: &Arc<Identity>, work: Work) -> Server {
        let (sender, receiver) = mpsc::channel();
        let identity = Arc::clone(identity);
        std::thread::spawn(move || {
            pin(1);
            work::runtime().block_on(async {
                let stack = S::bind(&identity, STREAMS_MAX);
                let server = Server {
                    address: stack.address(),
                    clock: ThreadClock::of_this_thread(),
                    thread: this_thread(),
                };
                sender.send(server).expect("the client waits");
                work::serve(stack, work).await;
            });
        });
        receiver.recv().expect("the server starts")
    }
}
