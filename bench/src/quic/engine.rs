//! A connect by the engine with QUIC as its only stack, against the driver's own.
//!
//! Invariant: both bind a socket, connect to the same server and open a stream; what they leave to
//! be done at their end is not measured.

use super::portway_side::Portway;
use super::timed::Server;
use super::work::{self, Work};
use super::{ALPN, Identity, Stack};
use crate::carrier::{HOST, endpoint};
use crate::clock::{ThreadClock, pin};
use crate::pairs::{Comparison, Side, alternate};
use crate::portway_side::context;
use portway::{Preconnection, Security, StackId, TransportProperties};
use portway_transport::RealEnvironment;
use portway_transport::environment::{Environment, UdpBind};
use portway_transport::quic::{
    ClientConfig, Connection, Endpoint, EndpointOptions, ReceiveStream, SendStream,
};
use std::net::SocketAddr;
use std::sync::Arc;

/// Measures this many pairs.
pub fn run(pairs: usize) -> Comparison {
    let identity = Arc::new(Identity::new());
    let server = Server::start::<Portway>(&identity, Work::Handshakes).address;
    pin(0);
    work::runtime().block_on(async {
        let engine = preconnection(&identity, server);
        let driver = Driver::new(&identity, server);
        let found = alternate(pairs, async |side| match side {
            Side::Portway => {
                measure(async || engine.initiate().await.expect("our own server")).await
            }
            Side::Other => measure(async || driver.connect().await).await,
        })
        .await;
        Comparison::of("connect by the engine, by the driver", "µs", &found)
    })
}

/// Connects so often by `side` with the server in the same thread, for tools that count.
pub fn count(side: &str, times: usize) {
    let identity = Identity::new();
    let runtime = work::runtime();
    let server = runtime.block_on(async { Portway::bind(&identity, work::STREAMS_MAX) });
    let address = server.address();
    runtime.spawn(work::serve(server, Work::Handshakes));
    let (engine, driver) = runtime.block_on(async {
        (
            preconnection(&identity, address),
            Driver::new(&identity, address),
        )
    });
    // What is open stays so until it no longer counts.
    let connect = async |times: usize| {
        let (mut by_engine, mut by_driver) = (Vec::new(), Vec::new());
        for _ in 0..times {
            match side {
                "engine" => by_engine.push(engine.initiate().await.expect("our own server")),
                _ => by_driver.push(driver.connect().await),
            }
        }
        (by_engine, by_driver)
    };
    let warm = runtime.block_on(connect(WARM_UP));
    let open = work::measured(|| runtime.block_on(connect(times)));
    drop((warm, open));
}

fn preconnection(identity: &Identity, server: SocketAddr) -> Preconnection {
    let security = Security::tls()
        .with_roots([identity.credentials.certificate()])
        .with_server_name(HOST)
        .with_alpn([ALPN])
        .with_tls(|tls| tls.with_resumption(identity.resumption()));
    Preconnection::new(security)
        .context(&context())
        .remote(endpoint(server).for_stack(StackId::QUIC))
        .properties(TransportProperties::reliable_inorder_stream())
}

/// The driver with a socket of its own for each connection.
struct Driver {
    environment: Arc<dyn Environment>,
    client: ClientConfig,
    server: SocketAddr,
}

impl Driver {
    fn new(identity: &Identity, server: SocketAddr) -> Self {
        Driver {
            environment: Arc::new(RealEnvironment::new(Default::default())),
            client: Portway::client(identity),
            server,
        }
    }

    async fn connect(&self) -> (Endpoint, Connection, (SendStream, ReceiveStream)) {
        let bind = UdpBind::to(self.server);
        let options = EndpointOptions::default();
        let endpoint = Endpoint::bind(self.environment.clone(), bind, &options, None);
        let endpoint = endpoint.expect("a socket on loopback");
        let connecting = endpoint.connect(&self.client, self.server, HOST);
        let connecting = connecting.expect("an address on loopback");
        let connection = connecting.await.expect("our own server");
        let stream = connection.open_bi().await.expect("a stream");
        (endpoint, connection, stream)
    }
}

/// The processor time of one connect in microseconds, of the client's thread.
async fn measure<C>(connect: impl AsyncFn() -> C) -> f64 {
    let clock = ThreadClock::of_this_thread();
    let mut open = Vec::with_capacity(CONNECTS);
    let before = clock.read();
    for _ in 0..CONNECTS {
        open.push(connect().await);
    }
    let used = clock.read() - before;
    drop(open);
    // What connections leave to be done after their end is not the next round's cost.
    for _ in 0..SETTLING_TURNS {
        tokio::task::yield_now().await;
    }
    used.as_nanos() as f64 / 1000.0 / CONNECTS as f64
}

const CONNECTS: usize = 16;
const SETTLING_TURNS: usize = 200;
const WARM_UP: usize = 4;
