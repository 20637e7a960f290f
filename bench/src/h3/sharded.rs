//! An HTTP/3 server on two threads that share a port, against the same server on one.
//!
//! Invariant: both serve the same connections' worth of requests; only the time of the servers'
//! threads counts; and whatever serves a connection runs on the thread that accepted it.

use super::ours::{options, serve};
use super::web::Load;
use crate::clock::{ThreadClock, unpin};
use crate::pairs::{Comparison, Side, alternate};
use crate::quic::{Identity, Portway, STREAMS_MAX, Stack, runtime};
use portway::h3::{ClientConnection, Code};
use portway_transport::environment::UdpBind;
use portway_transport::quic::{ShardedOptions, ShardedServer};
use std::net::Ipv4Addr;
use std::sync::mpsc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Measures this many pairs: two shards, then one.
pub fn run_sharded(pairs: usize) -> Comparison {
    unpin();
    let identity = Identity::new();
    runtime().block_on(async {
        let two = Server::start(&identity, 2).await;
        let one = Server::start(&identity, 1).await;
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
    /// Whom the connections belong to.
    _client: Portway,
    clocks: Vec<ThreadClock>,
    connections: Vec<ClientConnection>,
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
                        tokio::spawn(serve(connection));
                    }
                }
            }
        })
        .expect("threads on loopback");
        let clocks = (0..shards).map(|_| receiver.recv().expect("each starts"));
        let clocks = clocks.collect();
        let client = Portway::bind(identity, STREAMS_MAX);
        let connections = connect_evenly(&server, &client).await;
        Server {
            _server: server,
            _client: client,
            clocks,
            connections,
        }
    }

    /// The servers' processor time for each request in microseconds.
    async fn serve(&self) -> f64 {
        let clocks = self.clocks.iter();
        let used = || clocks.clone().map(|clock| clock.read()).sum::<Duration>();
        let before = used();
        let mut tasks = JoinSet::new();
        for connection in &self.connections {
            tasks.spawn(LOAD.apply(connection.clone(), REQUESTS));
        }
        tasks.join_all().await;
        let used = used() - before;
        used.as_nanos() as f64 / 1e3 / (REQUESTS * CONNECTIONS) as f64
    }
}

/// As many connections for each shard: the client's first identifier is random, so what comes too
/// often is closed again.
async fn connect_evenly(server: &ShardedServer, client: &Portway) -> Vec<ClientConnection> {
    let shards = server.endpoints().len();
    let mut kept = vec![0; shards];
    let mut connections = Vec::new();
    while connections.len() < CONNECTIONS {
        let count = || server.endpoints().iter().map(|it| it.connections());
        let before: Vec<_> = count().collect();
        let connection = client.connect(server.local_address()).await;
        let shard = count().zip(before).position(|(now, before)| now > before);
        let connection = ClientConnection::new(&connection, &options()).expect("a client");
        match shard {
            Some(shard) if kept[shard] < CONNECTIONS / shards => {
                kept[shard] += 1;
                connections.push(connection);
            }
            _ => connection.close(Code::H3_NO_ERROR, "one too many"),
        }
    }
    connections
}

/// Connections, the same number for each shard.
const CONNECTIONS: usize = 8;
/// Requests in flight on each.
const LOAD: Load = Load::plain(32);
/// Requests on each in one go.
const REQUESTS: usize = 640;
