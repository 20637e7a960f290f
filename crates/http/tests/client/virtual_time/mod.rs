//! The client in virtual time: what happens when, to the millisecond, and what is left at the end.
//! `docs/dotnet-cases.md` says which cases of .NET's handler are tried here.
//!
//! Invariant: when a test is over and its client gone, nothing is left of either on the two hosts.

mod alternatives;
mod dials;
mod downgrades;
mod expectations;
mod rests;
mod retries;
mod server;
mod trunks;

use super::server::Made;
use portway_core::Time;
use portway_http::client::{ClientBuilder, Timeouts};
use portway_http::pool::Version;
use portway_http::{Client, pool};
use portway_sim::{SimEnvironment, Simulation};
use portway_transport::context::Context;
use portway_transport::environment::{Environment, UdpBind};
use server::Pipe;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Two simulated hosts, 10 ms from each other.
struct Net {
    sim: Simulation,
    near: Arc<SimEnvironment>,
    far: Arc<SimEnvironment>,
    made: Made,
    /// The next port that is free.
    port: Cell<u16>,
}

/// Where a server listens, and how many connections it has accepted.
struct Listening {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Listening {
    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/", self.address)
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Net {
    fn run(test: impl AsyncFnOnce(&Net)) {
        let sim = Simulation::new(1);
        let (near, far) = (sim.host("client"), sim.host("server"));
        near.set_addresses(&[IpAddr::from([10, 0, 0, 1])]);
        far.set_addresses(&[IpAddr::from(FAR)]);
        sim.set_time_limit(Time::ZERO + Duration::from_secs(3600));
        let net = Net {
            sim,
            near,
            far,
            made: Made::for_names(&["10.0.0.2"]),
            port: Cell::new(443),
        };
        net.sim.block_on(test(&net));
        // Listeners have no end; what came of them has.
        net.sim.run_for(Duration::from_secs(60));
        let listeners = usize::from(net.port.get() - 443);
        assert_eq!(net.near.tasks_alive(), 0, "tasks of the client");
        assert_eq!(net.near.sockets_open(), 0, "sockets of the client");
        assert!(net.far.sockets_open() <= listeners, "sockets of the server");
    }

    fn client(&self) -> ClientBuilder {
        let context = Context::new(self.near.clone());
        let builder = Client::builder().context(&context);
        builder.security(self.made.security())
    }

    fn free_address(&self) -> SocketAddr {
        let port = self.port.get();
        self.port.set(port + 1);
        SocketAddr::from((FAR, port))
    }

    /// A server that does to each connection what `talk` says; it is told which one it is.
    fn serve<F, R>(&self, talk: F) -> Listening
    where
        F: Fn(usize, Pipe) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        server::serve(&self.far, self.free_address(), talk)
    }

    /// A socket that takes datagrams and says nothing.
    fn silent_udp(&self) -> SocketAddr {
        let address = self.free_address();
        let socket = self.far.udp_bind(UdpBind::on(address)).expect("it is free");
        self.far.spawn(Box::pin(async move {
            let _socket = socket;
            std::future::pending::<()>().await;
        }));
        address
    }

    async fn sleep(&self, time: Duration) {
        sleep(&*self.near, time).await;
    }

    fn now(&self) -> Duration {
        self.sim.now().since_origin()
    }

    /// Runs something and tells how long it took.
    async fn timed<T>(&self, work: impl Future<Output = T>) -> (T, Duration) {
        let start = self.now();
        (work.await, self.now() - start)
    }

    /// Runs something for this time, and drops it then; it must not be done before.
    async fn cut<T>(&self, time: Duration, work: impl Future<Output = T>) {
        let mut work = std::pin::pin!(work);
        let mut timer = self.near.timer();
        timer.reset(Some(self.sim.now() + time));
        poll_fn(|context| {
            assert!(work.as_mut().poll(context).is_pending(), "it is not done");
            timer.poll_expired(context)
        })
        .await;
    }
}

async fn sleep(environment: &dyn Environment, time: Duration) {
    let mut timer = environment.timer();
    timer.reset(Some(environment.now() + time));
    poll_fn(|context| timer.poll_expired(context)).await;
}

/// The text of what is got by one version exactly.
async fn text(client: &Client, url: &str, version: Version) -> String {
    let response = client.get(url).versions(version).send().await;
    response.expect("an answer").text().await.expect("whole")
}

fn timeouts(set: impl FnOnce(&mut Timeouts)) -> Timeouts {
    let mut timeouts = Timeouts::default();
    set(&mut timeouts);
    timeouts
}

fn config(set: impl FnOnce(&mut pool::Config)) -> pool::Config {
    let mut config = pool::Config::default();
    set(&mut config);
    config
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

const FAR: [u8; 4] = [10, 0, 0, 2];
/// There and back.
const ROUND_TRIP: Duration = millis(20);
