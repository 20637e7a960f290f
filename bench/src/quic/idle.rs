//! The heap of a server whose connections are idle.
//!
//! Invariant: what a thread allocates and gives back stays on that thread, so the server's part is
//! that of its thread. Each connection has served a request.

use super::work::{self, Work};
use super::{Identity, Peer, Stack};
use crate::heap;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::mpsc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// What was found for one implementation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Idle {
    /// Connections at a time.
    pub connections: usize,
    /// Bytes for each of them, in each round.
    pub bytes_each: Vec<isize>,
    /// Bytes that are left when they have closed, after each round.
    pub bytes_left: Vec<isize>,
}

/// Opens so many connections to one port, lets them rest, closes them, and does it again.
pub fn run<S: Stack>(connections: usize, rounds: usize) -> Idle {
    heap::start_counting();
    let identity = Identity::new();
    let (tell, told) = mpsc::channel();
    let (ask, mut asked) = tokio::sync::mpsc::unbounded_channel::<mpsc::Sender<(isize, usize)>>();
    let server_identity = identity.clone();
    std::thread::spawn(move || {
        work::runtime().block_on(async {
            let server = S::bind(&server_identity, STREAMS_MAX);
            tell.send(server.address()).expect("the client waits");
            let server = std::sync::Arc::new(server);
            tokio::spawn(work::serve_shared(server.clone(), Work::Requests(1)));
            while let Some(answer) = asked.recv().await {
                let found = (heap::live_bytes_here(), server.connections());
                // Whoever asked may have gone.
                let _ = answer.send(found);
            }
        });
    });
    let address = told.recv().expect("the server starts");
    let look = || {
        let (sender, receiver) = mpsc::channel();
        ask.send(sender).expect("the server runs");
        receiver.recv().expect("the server runs")
    };
    work::runtime().block_on(async {
        let client = S::bind(&identity, STREAMS_MAX);
        // What is made once is not a connection's.
        let first = open(&client, address, WARM_UP).await;
        close(first, &look).await;
        let before = look().0;
        let mut found = Idle {
            connections,
            bytes_each: Vec::new(),
            bytes_left: Vec::new(),
        };
        for _ in 0..rounds {
            let open = open(&client, address, connections).await;
            sleep(SETTLING).await;
            let (bytes, count) = look();
            assert!(count >= connections, "{count} of {connections} are there");
            found
                .bytes_each
                .push((bytes - before) / connections as isize);
            close(open, &look).await;
            found.bytes_left.push(look().0 - before);
        }
        found
    })
}

async fn open<S: Stack>(
    client: &S,
    address: std::net::SocketAddr,
    count: usize,
) -> Vec<S::Connection> {
    let mut connections = Vec::with_capacity(count);
    while connections.len() < count {
        let next = AT_A_TIME.min(count - connections.len());
        let opening = (0..next).map(|_| async {
            let connection = client.connect(address).await;
            let body = Bytes::from_static(&[7; work::REQUEST]);
            connection.request(body).await;
            connection
        });
        connections.extend(futures_util::future::join_all(opening).await);
    }
    connections
}

/// Closes all, no more at a time than a socket holds, and waits until the server has forgotten
/// them.
async fn close<P: Peer>(mut connections: Vec<P>, look: &impl Fn() -> (isize, usize)) {
    while !connections.is_empty() {
        let rest = connections.len().saturating_sub(AT_A_TIME);
        for connection in connections.drain(rest..) {
            connection.close();
        }
        sleep(LOOKING).await;
    }
    let forgotten = timeout(FORGETTING_MAX, async {
        while look().1 > 0 {
            sleep(LOOKING).await;
        }
    });
    forgotten.await.expect("closed connections are forgotten");
    sleep(SETTLING).await;
}

/// What the issue asks for.
const STREAMS_MAX: u32 = 100;
const WARM_UP: usize = 100;
/// Handshakes at a time.
const AT_A_TIME: usize = 50;
const SETTLING: Duration = Duration::from_millis(500);
const LOOKING: Duration = Duration::from_millis(10);
const FORGETTING_MAX: Duration = Duration::from_secs(60);
