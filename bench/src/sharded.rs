//! A server on two threads that share a port, against the same server on one.
//!
//! Invariant: both serve the same connections' worth of requests, as many connections on each
//! thread; only the time of the servers' threads counts; whatever serves a connection runs on the
//! thread that accepted it; and there are as many clients as processors, since a single one would
//! leave two shards idle, who then find less each time that they wake.

use crate::clock::{ThreadClock, unpin};
use crate::pairs::{Comparison, Side, alternate};
use crate::quic::{Identity, Portway, STREAMS_MAX, Stack, two_workers};
use portway_transport::environment::UdpBind;
use portway_transport::quic::{Connection, ShardedOptions, ShardedServer};
use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::mpsc;
use std::time::Duration;
use tokio::task::JoinSet;

/// What is spoken on the connections.
pub trait Spoken {
    /// A client's connection.
    type Client: Clone + Send + 'static;

    /// Serves one connection to its end.
    fn serve(connection: Connection) -> impl Future<Output = ()> + Send + 'static;

    /// Speaks on a client's connection.
    fn client(connection: Connection) -> Self::Client;

    /// Ends a connection.
    fn close(client: &Self::Client);

    /// Sends so many requests, so many of them at a time.
    fn requests(
        client: Self::Client,
        in_flight: usize,
        times: usize,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// Measures this many pairs: two shards, then one.
pub fn run<S: Spoken>(pairs: usize) -> Comparison {
    unpin();
    let identity = Identity::new();
    two_workers().block_on(async {
        let two = Server::<S>::start(&identity, 2).await;
        let one = Server::<S>::start(&identity, 1).await;
        let found = alternate(pairs, async |side| match side {
            Side::Portway => two.serve().await,
            Side::Other => one.serve().await,
        })
        .await;
        Comparison::of("two shards, one shard", "µs", &found)
    })
}

struct Server<S: Spoken> {
    /// Closes when dropped.
    _server: ShardedServer,
    /// Whom the connections belong to.
    _clients: [Portway; CLIENTS],
    clocks: Vec<ThreadClock>,
    connections: Vec<S::Client>,
}

impl<S: Spoken> Server<S> {
    async fn start(identity: &Identity, shards: u16) -> Self {
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
                        tokio::spawn(S::serve(connection));
                    }
                }
            }
        })
        .expect("threads on loopback");
        let clocks = (0..shards).map(|_| receiver.recv().expect("each starts"));
        let clocks = clocks.collect();
        let clients: [_; CLIENTS] = std::array::from_fn(|_| Portway::bind(identity, STREAMS_MAX));
        let mut connections = Vec::new();
        for client in &clients {
            connections.append(&mut connect_evenly::<S>(&server, client).await);
        }
        Server {
            _server: server,
            _clients: clients,
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
            tasks.spawn(S::requests(connection.clone(), IN_FLIGHT, REQUESTS));
        }
        tasks.join_all().await;
        let used = used() - before;
        used.as_nanos() as f64 / 1e3 / (REQUESTS * CONNECTIONS) as f64
    }
}

/// As many connections of a client for each shard: the client's first identifier is random, so what
/// comes too often is closed again.
async fn connect_evenly<S: Spoken>(server: &ShardedServer, client: &Portway) -> Vec<S::Client> {
    let shards = server.endpoints().len();
    let mut kept = vec![0; shards];
    let mut connections = Vec::new();
    while connections.len() < CONNECTIONS / CLIENTS {
        let count = || server.endpoints().iter().map(|it| it.connections());
        let before: Vec<_> = count().collect();
        let connection = client.connect(server.local_address()).await;
        let shard = count().zip(before).position(|(now, before)| now > before);
        let connection = S::client(connection);
        match shard {
            Some(shard) if kept[shard] < CONNECTIONS / CLIENTS / shards => {
                kept[shard] += 1;
                connections.push(connection);
            }
            _ => S::close(&connection),
        }
    }
    connections
}

/// Clients, each in a task of a worker of its own.
const CLIENTS: usize = 2;
/// Connections, the same number for each client, and of each for each shard.
const CONNECTIONS: usize = 8;
/// Requests in flight on each.
const IN_FLIGHT: usize = 32;
/// Requests on each in one go: so many that what the other server has left in the caches, and the
/// first requests after a rest, do not count.
const REQUESTS: usize = 2_560;
