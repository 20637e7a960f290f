//! HTTP/3 on the sharded server: shared nothing, although what applications hold is `Send`.
//!
//! The protocol runs wherever it wakes whoever waits for it, so wakers tell the threads.

use crate::support::loopback;
use bytes::Bytes;
use http::{Request, Response};
use portway::h3::{ClientConnection, Incoming, Options, ReceiveBody, Responder, ServerConnection};
use portway::quic::{Connector, Endpoint, ServerConfig};
use portway::security::{Identity, TlsParameters};
use portway::{Security, self_signed};
use portway_transport::environment::UdpBind;
use portway_transport::quic::{Connection, ServerCrypto, ShardedOptions, ShardedServer};
use portway_transport::tls::{EarlyData, TlsEngine};
use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread::ThreadId;

/// The threads on which one connection of the server was served and woken.
type Seen = Arc<Mutex<HashSet<ThreadId>>>;

/// Notes the thread that wakes, and passes it on.
struct Noting {
    seen: Seen,
    inner: Waker,
}

impl Wake for Noting {
    fn wake(self: Arc<Self>) {
        note(&self.seen);
        self.inner.wake_by_ref();
    }
}

fn note(seen: &Seen) {
    let here = std::thread::current().id();
    seen.lock().expect("no panic").insert(here);
}

/// Notes where a future is polled and where it is woken.
async fn noted<F: Future>(seen: &Seen, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        note(seen);
        let waker = Waker::from(Arc::new(Noting {
            seen: Arc::clone(seen),
            inner: context.waker().clone(),
        }));
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

async fn serve(connection: Connection, seen: Seen) {
    let server = ServerConnection::new(&connection, &Options::default()).expect("a server");
    while let Ok(Some(Incoming { request, responder })) = noted(&seen, server.accept()).await {
        let seen = Arc::clone(&seen);
        // The runtime has one thread; the future must be `Send` all the same.
        tokio::spawn(async move {
            let body = noted(&seen, request.into_body().read_all(BODY)).await;
            let (body, _) = body.expect("a request");
            responder.send(Response::new(body)).expect("it is read");
        });
    }
}

fn options(identity: Identity) -> ShardedOptions {
    let tls = TlsParameters::default().with_identity(Arc::new(identity));
    let crypto = TlsEngine::new()
        .quic_server(&tls, &[b"h3".to_vec()], EarlyData::Refused)
        .expect("an identity");
    let bind = UdpBind::on((loopback(), 0).into());
    let mut options = ShardedOptions::new(bind, ServerConfig::new(ServerCrypto::new(crypto)));
    options.shards = 2;
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_connection_crosses_threads() {
    let identity = self_signed(&["localhost".to_owned()]).expect("an identity");
    let client = Security::tls()
        .with_roots([identity.chain[0].clone()])
        .with_server_name("localhost")
        .with_alpn(["h3"]);
    let all: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let kept = Arc::clone(&all);
    let server = ShardedServer::start(&options(identity), move |endpoint: Endpoint| {
        let all = Arc::clone(&kept);
        async move {
            while let Some(accepted) = endpoint.accept().await {
                let seen = Seen::default();
                all.lock().expect("no panic").push(Arc::clone(&seen));
                tokio::spawn(serve(accepted.expect("our own client"), seen));
            }
        }
    })
    .expect("threads on loopback");
    let connector = Connector::new(client);
    let mut connections = Vec::new();
    // Each connection is on either shard with the same probability.
    while distinct(&all) < 2 {
        assert!(connections.len() < 64, "all connections are on one shard");
        let connection = connector.connect(server.local_address()).await;
        let connection = connection.expect("our own server");
        let client = ClientConnection::new(&connection, &Options::default()).expect("a client");
        exchange(&client).await;
        connections.push(client);
    }
    // All at once, so that the client's threads disturb the server's as much as they can.
    let exchanges: Vec<_> = connections
        .iter()
        .map(|client| {
            let client = client.clone();
            tokio::spawn(async move { exchange(&client).await })
        })
        .collect();
    for exchange in exchanges {
        exchange.await.expect("no panic");
    }
    for seen in all.lock().expect("no panic").iter() {
        assert_eq!(seen.lock().expect("no panic").len(), 1);
    }
    server.close(0u32.into(), b"");
    let joined = tokio::task::spawn_blocking(|| server.join()).await;
    joined.expect("no panic").expect("no panic");
}

/// On how many threads connections were served.
fn distinct(all: &Mutex<Vec<Seen>>) -> usize {
    let all = all.lock().expect("no panic");
    let threads = all.iter().flat_map(|seen| {
        let seen = seen.lock().expect("no panic");
        seen.iter().copied().collect::<Vec<_>>()
    });
    threads.collect::<HashSet<_>>().len()
}

/// Requests that wait for the peer's window in the middle.
async fn exchange(client: &ClientConnection) {
    for _ in 0..4 {
        let body = Bytes::from(vec![7; BODY]);
        let request = Request::post("https://localhost/").body(body.clone());
        let pending = client.send(request.expect("a request")).await;
        let response = pending.expect("it is read").response().await;
        let answer = response.expect("an answer").into_body().read_all(BODY);
        assert_eq!(answer.await.expect("an answer").0, body);
    }
}

#[test]
fn what_applications_hold_may_move_between_threads() {
    fn is_send<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    is_shared::<ClientConnection>();
    is_shared::<ServerConnection>();
    is_send::<Incoming>();
    is_send::<Responder>();
    is_send::<ReceiveBody>();
}

const BODY: usize = 100_000;
