//! Messages through send and receive with lengths in four bytes: processor time and round trips.
//!
//! Invariant: client and server have a thread, a runtime and a processor each; both sides'
//! connections are open all the time and work in turn.

use crate::carrier::{Carrier, Credentials};
use crate::clock::{ThreadClock, pin};
use crate::pairs::{Comparison, Side, alternate};
use crate::workload::{Bursts, Messenger, begin, ping_pong, send_bursts};
use crate::{portway_side, tokio_side};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use tokio::runtime::{Builder, Runtime};

/// Measures this many pairs of everything.
pub fn run(pairs: usize) -> Vec<Comparison> {
    let credentials = Arc::new(Credentials::generate());
    let mut comparisons = Vec::new();
    for carrier in Carrier::ALL {
        let server = Server::start(carrier, credentials.clone());
        pin(0);
        let runtime = runtime();
        runtime.block_on(compare(
            carrier,
            &credentials,
            &server,
            pairs,
            &mut comparisons,
        ));
    }
    comparisons
}

/// The servers of both sides, in one thread.
struct Server {
    portway: SocketAddr,
    tokio: SocketAddr,
    clock: ThreadClock,
}

impl Server {
    fn start(carrier: Carrier, credentials: Arc<Credentials>) -> Server {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            pin(1);
            runtime().block_on(async {
                let context = portway_side::context();
                let ours = portway_side::listen(&context, carrier, &credentials).await;
                let theirs = tokio::net::TcpListener::bind("127.0.0.1:0")
                    .await
                    .expect("a listener on loopback");
                let server = Server {
                    portway: ours.local_addresses()[0].1,
                    tokio: theirs.local_addr().expect("it is bound"),
                    clock: ThreadClock::of_this_thread(),
                };
                sender.send(server).expect("the client waits");
                tokio::spawn(portway_side::accept_all(ours));
                tokio_side::accept_all(theirs, carrier, credentials).await;
            });
        });
        receiver.recv().expect("the server starts")
    }
}

const SIZES: [(&str, Bursts); 4] = [
    (
        "64 B",
        Bursts {
            message_bytes: 64,
            burst: 64,
            count: 100,
        },
    ),
    (
        "1 KiB",
        Bursts {
            message_bytes: 1024,
            burst: 64,
            count: 60,
        },
    ),
    (
        "64 KiB",
        Bursts {
            message_bytes: 64 * 1024,
            burst: 4,
            count: 60,
        },
    ),
    (
        "1 MiB",
        Bursts {
            message_bytes: 1024 * 1024,
            burst: 1,
            count: 16,
        },
    ),
];

async fn compare(
    carrier: Carrier,
    credentials: &Credentials,
    server: &Server,
    pairs: usize,
    out: &mut Vec<Comparison>,
) {
    let context = portway_side::context();
    for (size, bursts) in SIZES {
        let (mut ours, mut theirs) = open(&context, carrier, credentials, server).await;
        begin(&mut ours, bursts.burst).await;
        begin(&mut theirs, bursts.burst).await;
        let samples = alternate(pairs, async |side| match side {
            Side::Portway => cpu(server, &mut ours, bursts).await,
            Side::Other => cpu(server, &mut theirs, bursts).await,
        })
        .await;
        let is_bulk = bursts.message_bytes >= 64 * 1024;
        let (per, divisor) = match is_bulk {
            true => ("CPU ns a KiB", bursts.message_bytes as f64 / 1024.0),
            false => ("CPU ns a message", 1.0),
        };
        let samples: Vec<_> = samples
            .iter()
            .map(|(ours, theirs)| (ours / divisor, theirs / divisor))
            .collect();
        let name = format!("{}, messages of {size}", carrier.name());
        out.push(Comparison::of(name, per, &samples));
    }
    let (mut ours, mut theirs) = open(&context, carrier, credentials, server).await;
    begin(&mut ours, 0).await;
    begin(&mut theirs, 0).await;
    let samples = alternate(pairs, async |side| match side {
        Side::Portway => trip(&mut ours).await,
        Side::Other => trip(&mut theirs).await,
    })
    .await;
    let name = format!("{}, ping-pong of 64 B", carrier.name());
    out.push(Comparison::of(name, "median µs", &samples));
}

async fn open(
    context: &portway::Context,
    carrier: Carrier,
    credentials: &Credentials,
    server: &Server,
) -> (portway::Connection, tokio_side::Client) {
    let ours = portway_side::to(context, server.portway, carrier, credentials)
        .initiate()
        .await
        .expect("our own server");
    let theirs = tokio_side::connect(server.tokio, carrier, credentials).await;
    (ours, theirs)
}

/// Processor time of both threads for one message, in nanoseconds.
async fn cpu(server: &Server, messenger: &mut impl Messenger, bursts: Bursts) -> f64 {
    let client = ThreadClock::of_this_thread();
    let before = client.read() + server.clock.read();
    send_bursts(messenger, bursts).await;
    let used = client.read() + server.clock.read() - before;
    used.as_nanos() as f64 / f64::from(bursts.burst * bursts.count)
}

async fn trip(messenger: &mut impl Messenger) -> f64 {
    ping_pong(messenger, 64, 500).await.as_nanos() as f64 / 1000.0
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}
