//! What is measured, whoever does it.
//!
//! Invariant: a unit of work is the same for both sides, and what is set up once does not count.

use super::{Identity, Peer, Stack, Traffic};
use bytes::Bytes;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Requests on fresh bidirectional streams, so many in flight.
    Requests(usize),
    /// The client sends, a mebibyte at a time.
    Upload,
    /// The server sends, a mebibyte at a time.
    Download,
    /// Handshakes, one after the other.
    Handshakes,
    /// Handshakes with a request as early data and another one, one after the other.
    Early,
    /// Datagrams of a kilobyte, as fast as they go.
    Datagrams,
}

/// Everything that is measured, by name, with the gate of issue 3 and how often it is done.
pub const WORK: [(&str, Work, f64, usize); 8] = [
    ("requests-1", Work::Requests(1), 1.0, 2_000),
    ("requests-32", Work::Requests(32), 0.9, 6_400),
    ("requests-256", Work::Requests(256), 0.88, 12_800),
    ("upload", Work::Upload, 0.95, 64),
    ("download", Work::Download, 0.95, 64),
    ("handshakes", Work::Handshakes, 1.0, 60),
    ("0-rtt", Work::Early, 1.0, 60),
    ("datagrams", Work::Datagrams, 0.9, 20_000),
];

/// What is measured on a runtime of two workers, in the same manner.
pub const WORKERS: [(&str, Work, f64, usize); 3] = [
    ("requests-1", Work::Requests(1), 0.7, 600),
    ("requests-32", Work::Requests(32), 0.7, 3_200),
    ("requests-256", Work::Requests(256), 0.7, 6_400),
];

impl Work {
    /// The work of a name.
    pub fn named(name: &str) -> Option<Work> {
        let found = WORK.iter().find(|(other, ..)| *other == name);
        found.map(|(_, work, ..)| *work)
    }

    /// An identity for it.
    pub fn identity(self) -> Identity {
        match self {
            Work::Early => Identity::resuming(),
            _ => Identity::new(),
        }
    }
}

/// Does the work in one thread, for tools that count.
pub fn count<S: Stack>(work: Work, times: usize) {
    let runtime = runtime();
    let (client, server) = runtime.block_on(async {
        let identity = work.identity();
        let bind = || S::bind(&identity, STREAMS_MAX);
        (bind(), bind())
    });
    let remote = server.address();
    runtime.spawn(serve(server, work));
    let mut doing = runtime.block_on(Doing::start(client, remote, work));
    runtime.block_on(doing.act(warm_up(work)));
    measured(|| runtime.block_on(doing.act(times)));
}

/// How much is done before it counts: until windows and path MTU are found.
pub fn warm_up(work: Work) -> usize {
    match work {
        Work::Requests(_) => 600,
        Work::Upload | Work::Download => 16,
        Work::Handshakes | Work::Early => 3,
        Work::Datagrams => 500,
    }
}

/// A client in the middle of its work.
pub struct Doing<S: Stack> {
    work: Work,
    client: S,
    remote: SocketAddr,
    connection: Option<S::Connection>,
}

impl<S: Stack> Doing<S> {
    /// Connects to a server that does the same work.
    pub async fn start(client: S, remote: SocketAddr, work: Work) -> Self {
        let connection = match work {
            Work::Handshakes => None,
            Work::Early => {
                // The ticket for the first one; it has come when the answer has.
                let connection = client.connect(remote).await;
                connection.request(Bytes::from_static(&[7; REQUEST])).await;
                connection.close();
                None
            }
            _ => Some(client.connect(remote).await),
        };
        Doing {
            work,
            client,
            remote,
            connection,
        }
    }

    /// What its connection has put on the wire and taken from there.
    pub fn traffic(&self) -> Option<Traffic> {
        self.connection.as_ref()?.traffic()
    }

    /// Does the work so often.
    pub async fn act(&mut self, times: usize) {
        let Some(connection) = &self.connection else {
            for _ in 0..times {
                match self.work {
                    Work::Early => {
                        let body = Bytes::from_static(&[7; REQUEST]);
                        self.client.connect_early(self.remote, body).await;
                    }
                    _ => self.client.connect(self.remote).await.close(),
                }
            }
            return;
        };
        match self.work {
            Work::Requests(in_flight) => requests(connection, in_flight, times).await,
            Work::Upload => connection.send_bulk(times * MEBIBYTE).await,
            Work::Download => {
                let amount = Bytes::copy_from_slice(&(times as u64).to_be_bytes());
                connection.send_datagram(amount).await;
                assert_eq!(connection.receive_bulk().await, times * MEBIBYTE);
            }
            Work::Datagrams => datagrams(connection, times).await,
            Work::Handshakes | Work::Early => {}
        }
    }
}

/// Serves every connection, for ever.
pub async fn serve<S: Stack>(server: S, work: Work) {
    serve_shared(Arc::new(server), work).await;
}

/// The same with a server that others look at.
pub async fn serve_shared<S: Stack>(server: Arc<S>, work: Work) {
    loop {
        let connection = server.accept().await;
        if let Work::Requests(_) | Work::Early = work {
            tokio::spawn(connection.serve(Bytes::from_static(&[7; ANSWER])));
            continue;
        }
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = connection.closed() => {}
                () = answer(&connection, work) => {}
            }
        });
    }
}

/// Does a server's part until it is dropped.
async fn answer<P: Peer>(connection: &P, work: Work) {
    loop {
        match work {
            Work::Upload => {
                black_box(connection.receive_bulk().await);
            }
            Work::Download => {
                let amount = connection.receive_datagram().await;
                let amount = u64::from_be_bytes(amount[..].try_into().expect("a number"));
                connection.send_bulk(amount as usize * MEBIBYTE).await;
            }
            Work::Datagrams => {
                // The first byte asks for a word back, which paces the sender.
                if connection.receive_datagram().await[0] == 1 {
                    connection.send_datagram(Bytes::from_static(b"on")).await;
                }
            }
            _ => connection.closed().await,
        }
    }
}

/// Requests, so many in flight.
pub async fn requests<P: Peer>(connection: &P, in_flight: usize, times: usize) {
    let body = Bytes::from_static(&[7; REQUEST]);
    if in_flight == 1 {
        for _ in 0..times {
            assert_eq!(connection.request(body.clone()).await, ANSWER);
        }
        return;
    }
    let mut tasks = JoinSet::new();
    for _ in 0..in_flight {
        let (connection, body) = (connection.clone(), body.clone());
        tasks.spawn(async move {
            for _ in 0..times / in_flight {
                assert_eq!(connection.request(body.clone()).await, ANSWER);
            }
        });
    }
    tasks.join_all().await;
}

/// Bursts that the receive buffers hold, so that none is lost.
async fn datagrams<P: Peer>(connection: &P, times: usize) {
    let data = Bytes::from_static(&[0; DATAGRAM]);
    let last = Bytes::from_static(&[1; DATAGRAM]);
    for _ in 0..times / BURST {
        for _ in 1..BURST {
            connection.send_datagram(data.clone()).await;
        }
        connection.send_datagram(last.clone()).await;
        connection.receive_datagram().await;
    }
}

/// What callgrind counts: it starts and stops at this function.
#[inline(never)]
pub(super) fn measured<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

/// A runtime of one thread.
pub fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// How long connections may be idle: on a busy machine ten thousand handshakes take a while.
pub const IDLE: Option<Duration> = Some(Duration::from_secs(300));
/// Bidirectional streams that a client may have open.
pub const STREAMS_MAX: u32 = 1024;
/// Unidirectional streams that a peer may have open.
pub const UNI_STREAMS_MAX: u32 = 10;
/// What bulk is written in.
pub const CHUNK: usize = 64 << 10;
const MEBIBYTE: usize = 1 << 20;
/// The length of a request.
pub const REQUEST: usize = 100;
/// The length of an answer.
pub const ANSWER: usize = 1000;
const DATAGRAM: usize = 1000;
const BURST: usize = 20;
