//! Connects with a single candidate against tokio's connect, with tokio-rustls's handshake on TLS.
//!
//! Invariant: the server is the same for both, an acceptor in a thread of its own; connections
//! are closed outside of what is measured.

use crate::carrier::{Carrier, Credentials};
use crate::clock::{ThreadClock, pin};
use crate::pairs::{Comparison, Side, alternate, median};
use crate::{portway_side, tokio_side};
use portway::Preconnection;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Measures this many pairs of everything.
pub fn run(pairs: usize) -> Vec<Comparison> {
    let credentials = Arc::new(Credentials::generate());
    let mut comparisons = Vec::new();
    for carrier in Carrier::ALL {
        let server = start_server(carrier, credentials.clone());
        pin(0);
        let context = portway_side::context();
        let known = portway_side::bare(&context, server, carrier, &credentials);
        let unknown = portway_side::without_memory(&context, server, carrier, &credentials);
        let mut sides = vec![(format!("{}, connect", carrier.name()), known)];
        if carrier == Carrier::Tls {
            sides.push(("TLS, connect, chain verified each time".to_owned(), unknown));
        }
        for (name, preconnection) in sides {
            let connector = TlsConnector::from(credentials.client());
            let pairs = compare(&name, carrier, &preconnection, (server, &connector), pairs);
            comparisons.extend(runtime().block_on(pairs));
        }
    }
    comparisons
}

/// Connects so often on one side only, for a profiler.
pub fn run_side(carrier: &str, is_portway: bool, rounds: usize) {
    let carrier = Carrier::named(carrier).expect("tcp or tls");
    let credentials = Arc::new(Credentials::generate());
    let server = start_server(carrier, credentials.clone());
    pin(0);
    runtime().block_on(async {
        let context = portway_side::context();
        let preconnection = portway_side::bare(&context, server, carrier, &credentials);
        let connector = TlsConnector::from(credentials.client());
        let mut latencies = Vec::new();
        let mut used = Vec::new();
        for _ in 0..rounds {
            used.push(match (is_portway, carrier) {
                (true, _) => {
                    measure(&mut latencies, async || {
                        preconnection.initiate().await.expect("our own server")
                    })
                    .await
                }
                (false, Carrier::Tcp) => {
                    measure(&mut latencies, async || {
                        tokio_side::connect_tcp(server).await
                    })
                    .await
                }
                (false, Carrier::Tls) => {
                    measure(&mut latencies, async || {
                        tokio_side::connect_tls(server, &connector).await
                    })
                    .await
                }
            });
        }
        println!("{:.1} µs of CPU, {:.1} µs", median(used), median(latencies));
    });
}

async fn compare(
    name: &str,
    carrier: Carrier,
    preconnection: &Preconnection,
    (server, connector): (SocketAddr, &TlsConnector),
    pairs: usize,
) -> [Comparison; 2] {
    let mut latencies = Latencies::default();
    let samples = alternate(pairs, async |side| match (side, carrier) {
        (Side::Portway, _) => {
            measure(&mut latencies.ours, async || {
                preconnection.initiate().await.expect("our own server")
            })
            .await
        }
        (Side::Other, Carrier::Tcp) => {
            measure(&mut latencies.theirs, async || {
                tokio_side::connect_tcp(server).await
            })
            .await
        }
        (Side::Other, Carrier::Tls) => {
            measure(&mut latencies.theirs, async || {
                tokio_side::connect_tls(server, connector).await
            })
            .await
        }
    })
    .await;
    let trips: Vec<_> = std::iter::zip(latencies.ours, latencies.theirs)
        .skip(1)
        .collect();
    [
        Comparison::of(name.to_owned(), "CPU µs a connect", &samples),
        Comparison::of(name.to_owned(), "median µs", &trips),
    ]
}

/// The median latencies of each round.
#[derive(Default)]
struct Latencies {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

/// The processor time of one connect in microseconds, of the client's thread.
async fn measure<C>(latencies: &mut Vec<f64>, connect: impl AsyncFn() -> C) -> f64 {
    let clock = ThreadClock::of_this_thread();
    let mut trips = Vec::with_capacity(CONNECTS);
    let mut open = Vec::with_capacity(CONNECTS);
    let before = clock.read();
    for _ in 0..CONNECTS {
        let start = Instant::now();
        open.push(connect().await);
        trips.push(start.elapsed().as_nanos() as f64 / 1000.0);
    }
    let used = clock.read() - before;
    latencies.push(median(trips));
    drop(open);
    // What connections leave to be done after their end is not the next round's cost.
    for _ in 0..SETTLING_TURNS {
        tokio::task::yield_now().await;
    }
    used.as_nanos() as f64 / 1000.0 / CONNECTS as f64
}

fn start_server(carrier: Carrier, credentials: Arc<Credentials>) -> SocketAddr {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        pin(1);
        runtime().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a listener on loopback");
            sender
                .send(listener.local_addr().expect("it is bound"))
                .expect("the client waits");
            let acceptor = TlsAcceptor::from(credentials.server());
            while let Ok((mut stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut end = [0; 64];
                    // A client that is gone is the expected end.
                    let _ = match carrier {
                        Carrier::Tcp => stream.read(&mut end).await,
                        Carrier::Tls => match acceptor.accept(stream).await {
                            Ok(mut stream) => stream.read(&mut end).await,
                            Err(error) => Err(error),
                        },
                    };
                });
            }
        });
    });
    receiver.recv().expect("the server starts")
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Connects of one measurement.
const CONNECTS: usize = 50;
/// Turns that tasks get after the connections of a round are dropped.
const SETTLING_TURNS: usize = 200;
