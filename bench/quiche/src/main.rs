//! tokio-quiche under a load, for another program that measures in alternation with it.
//!
//! `portway-bench-quiche LOAD CERT KEY` says `ready`; then each line `go N` on its input does N
//! requests and is answered by the nanoseconds of processor time that both ends have used, and by
//! those that have passed. `get-32` is HTTP/3, `requests-32` raw QUIC, with so many in flight.
//! Invariant: client and server have a thread, a current-thread runtime and a processor each.

#[path = "../../src/clock.rs"]
#[expect(dead_code, reason = "other programs use more of it")]
mod clock;
mod ends;
mod http3;
mod raw;

use clock::{ThreadClock, pin};
use ends::Certificate;
use std::future::Future;
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [load, cert, key] = &arguments[..] else {
        panic!("it is told a load, a certificate and its key");
    };
    let certificate = Certificate::new(cert, key);
    let (kind, in_flight) = load.split_once('-').expect("a load has a number");
    let in_flight = in_flight.parse().expect("a number");
    pin(0);
    match kind {
        "get" => runtime().block_on(obey::<http3::Client>(certificate, in_flight)),
        _ => runtime().block_on(obey::<raw::Client>(certificate, in_flight)),
    }
}

/// A client's connection.
trait Asks: Clone + Send + Sync + 'static {
    /// The length of an answer.
    const ANSWER: usize;

    /// Starts a server in the runtime that this is called in.
    async fn start(certificate: Certificate) -> SocketAddr;

    /// Connects to it.
    async fn connect(server: SocketAddr) -> Self;

    /// Asks once; how many bytes came.
    fn ask(&self) -> impl Future<Output = usize> + Send;
}

/// Does what the input says, to its end.
async fn obey<A: Asks>(certificate: Certificate, in_flight: usize) {
    let (address, server) = serve::<A>(certificate);
    let here = ThreadClock::of_this_thread();
    let client = A::connect(address).await;
    act(&client, in_flight, (in_flight * 4).max(600)).await;
    say("ready");
    let (sender, mut lines) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    // Meanwhile the connection goes on, as that of the other program does.
    while let Some(line) = lines.recv().await {
        let times = line.strip_prefix("go ").and_then(|it| it.parse().ok());
        let times: usize = times.expect("`go` and a number");
        let (before, started) = (here.read() + server.read(), Instant::now());
        act(&client, in_flight, times).await;
        let used = here.read() + server.read() - before;
        say(&format!(
            "{} {}",
            used.as_nanos(),
            started.elapsed().as_nanos()
        ));
    }
}

/// A server in a thread of its own, for ever.
fn serve<A: Asks>(certificate: Certificate) -> (SocketAddr, ThreadClock) {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        pin(1);
        runtime().block_on(async {
            let address = A::start(certificate).await;
            let told = sender.send((address, ThreadClock::of_this_thread()));
            told.expect("the client waits");
            std::future::pending::<()>().await;
        });
    });
    receiver.recv().expect("the server starts")
}

/// Asks so often.
async fn act<A: Asks>(client: &A, in_flight: usize, times: usize) {
    if in_flight == 1 {
        for _ in 0..times {
            assert_eq!(client.ask().await, A::ANSWER);
        }
        return;
    }
    let mut tasks = JoinSet::new();
    for _ in 0..in_flight {
        let client = client.clone();
        tasks.spawn(async move {
            for _ in 0..times / in_flight {
                assert_eq!(client.ask().await, A::ANSWER);
            }
        });
    }
    tasks.join_all().await;
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

/// One line; a program that has ended reads no more.
fn say(line: &str) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}
