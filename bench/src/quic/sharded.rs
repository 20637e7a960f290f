//! A server on two threads that share a port, against the same server on one.
//!
//! Invariant: both serve the same connections' worth of requests; only the time of the servers'
//! threads counts.

use super::portway_side::Portway;
use super::work::{self, STREAMS_MAX};
use super::{Identity, Peer, Stack};
use crate::clock::{ThreadClock, unpin};
use crate::pairs::{Comparison, Side, alternate};
use bytes::Bytes;
use portway_transport::environment::UdpBind;
use portway_transport::quic::{Connection, ShardedOptions, ShardedServer};
use std::net::Ipv4Addr;
use std::sync::mpsc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Measures this many pairs: two shards, then one.
pub fn run(pairs: usize) -> Comparison {
    unpin();
    let identity = Identity::new();
    let runtime = work::runtime();
    runtime.block_on(async {
        let mut two = Server::start(&identity, 2).await;
        let mut one = Server::start(&identity, 1).await;
        let found = alternate(pairs, async |side| match side {
            Side::Portway => two.serve().await,
            Side::Other => one.serve().await,
        })
        .await;
        Comparison::of("two shards, one shard", "µs", &found)
    })
}

struct Server {
    /// Closes when dropped.
    _server: ShardedServer,
    clocks: Vec<ThreadClock>,
    connections: Vec<Connection>,
}

impl Server {
    async fn start(identity: &Identity, shards: u16) -> Server {
        let bind = UdpBind::on((Ipv4Addr::LOCALHOST, 0).into());
        let mut options = ShardedOptions::new(bind, Portway::server(identity, STREAMS_MAX));
        options.shards = shards;
        let (sender, receiver) = mpsc::channel();
        let server = ShardedServer::start(&options, move |endpoint| {
            let clock = ThreadClock::of_this_thread();
            sender.send(clock).expect("whoever starts it waits");
            async move {
                while let Some(connection) = endpoint.accept().await {
                    // One that the client does not keep may be gone already.
                    if let Ok(connection) = connection {
                        let body = Bytes::from_static(&[7; work::ANSWER]);
                        tokio::spawn(connection.serve(body));
                    }
                }
            }
        })
        .expect("threads on loopback");
        let clocks = (0..shards).map(|_| receiver.recv().expect("each starts"));
        let clocks = clocks.collect();
        let client = Portway::bind(identity, STREAMS_MAX);
        let mut connections = Vec::new();
        // The client's first identifier is random, so the shards get what is evened out here.
        let share = CONNECTIONS / usize::from(shards);
        let mut kept = vec![0; usize::from(shards)];
        while connections.len() < CONNECTIONS {
            let count = || server.endpoints().iter().map(|it| it.connections());
            let before: Vec<_> = count().collect();
            let connection = client.connect(server.local_address()).await;
            let shard = count().zip(before).position(|(now, before)| now > before);
            match shard {
                Some(shard) if kept[shard] < share => {
                    kept[shard] += 1;
                    connections.push(connection);
                }
                _ => Peer::close(&connection),
            }
        }
        Server {
            _server: server,
            clocks,
            connections,
        }
    }

    /// The servers' processor time for each request in microseconds.
    async fn serve(&mut self) -> f64 {
        let used = || {
            self.clocks
                .iter()
                .map(|clock| clock.read())
                .sum::<Duration>()
        };
        let before = used();
        let mut tasks = JoinSet::new();
        for connection in &self.connections {
            let connection = connection.clone();
            tasks.spawn(async move { work::requests(&connection, IN_FLIGHT, REQUESTS).await });
        }
        tasks.join_all().await;
        let used = used() - before;
        used.as_nanos() as f64 / 1e3 / (REQUESTS * CONNECTIONS) as f64
    }
}

/// Connections, the same number for each shard.
const CONNECTIONS: usize = 8;
/// Requests in flight on each.
const IN_FLIGHT: usize = 32;
/// Requests on each in one go.
const REQUESTS: usize = 640;
