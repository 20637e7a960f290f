//! A connect by the engine with QUIC as its only stack, against the driver's own.
//!
//! Invariant: both bind a socket, connect to the same server and open a stream; what they leave to
//! be done at their end is not measured.

use super::portway_side::Portway;
use super::timed::Server;
use super::work::{self, Work};
use super::{ALPN, Identity};
use crate::carrier::{HOST, endpoint};
use crate::clock::{ThreadClock, pin};
use crate::pairs::{Comparison, Side, alternate};
use crate::portway_side::context;
use portway::{Preconnection, Security, StackId, TransportProperties};
use portway_transport::RealEnvironment;
use portway_transport::environment::UdpBind;
use portway_transport::quic::{Endpoint, EndpointOptions};
use std::sync::Arc;

/// Measures this many pairs.
pub fn run(pairs: usize) -> Comparison {
    let identity = Arc::new(Identity::new());
    let server = Server::start::<Portway>(&identity, Work::Handshakes).address;
    pin(0);
    let security = Security::tls()
        .with_roots([identity.credentials.certificate()])
        .with_server_name(HOST)
        .with_alpn([ALPN])
        .with_tls(|tls| tls.with_resumption(identity.resumption()));
    work::runtime().block_on(async {
        let preconnection = Preconnection::new(security)
            .context(&context())
            .remote(endpoint(server).for_stack(StackId::QUIC))
            .properties(TransportProperties::reliable_inorder_stream());
        let client = Portway::client(&identity);
        let environment = Arc::new(RealEnvironment::new(Default::default()));
        let found = alternate(pairs, async |side| match side {
            Side::Portway => {
                measure(async || preconnection.initiate().await.expect("our own server")).await
            }
            Side::Other => {
                measure(async || {
                    let endpoint = Endpoint::bind(
                        environment.clone(),
                        UdpBind::to(server),
                        &EndpointOptions::default(),
                        None,
                    );
                    let endpoint = endpoint.expect("a socket on loopback");
                    let connecting = endpoint.connect(&client, server, HOST);
                    let connecting = connecting.expect("an address on loopback");
                    let connection = connecting.await.expect("our own server");
                    let stream = connection.open_bi().await.expect("a stream");
                    (endpoint, connection, stream)
                })
                .await
            }
        })
        .await;
        Comparison::of("connect by the engine, by the driver", "µs", &found)
    })
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
