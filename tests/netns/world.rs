//! Two namespaces with a cable between them: `near`, where the product runs, and `far`.
//!
//! ```text
//! near 192.0.2.1, 2001:db8::1 ───── far 192.0.2.2, 2001:db8::2, and what a test adds
//! ```
//! Invariant: addresses are usable at once (no duplicate detection), so that paths change only
//! when a test changes them.

use crate::log::Log;
use crate::namespace::Namespace;
use portway::{
    Connection, Context, EstablishmentError, Preconnection, RealConfig, RealEnvironment,
    RemoteEndpoint, Security,
};
use portway_transport::real::DnsConfig;
use std::future::{Future, IntoFuture};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const FAR_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub(crate) const FAR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// An address of `far` that no prefix of `near` holds.
pub(crate) const BEYOND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// The two namespaces.
pub(crate) struct World {
    pub(crate) near: Namespace,
    pub(crate) far: Namespace,
}

impl World {
    /// A world in which `near` has neither address nor route. `None`, after saying why, where no
    /// world can be made.
    pub(crate) fn unconnected(test: &str) -> Option<World> {
        match try_world() {
            Ok(world) => Some(world),
            Err(reason) => {
                portway_tests::say!("skipped: {test}: {reason}");
                None
            }
        }
    }

    /// A world in which `near` has addresses and default routes of both families.
    pub(crate) fn new(test: &str) -> Option<World> {
        let world = World::unconnected(test)?;
        world.near.command("ip addr add 192.0.2.1/24 dev near");
        world
            .near
            .command("ip addr add 2001:db8::1/64 dev near nodad");
        world.near.command("ip route add default via 192.0.2.2");
        world
            .near
            .command("ip -6 route add default via 2001:db8::2");
        Some(world)
    }

    /// A world with a second cable, `near2` to `far2`, that a worse default route leads over, and
    /// with [`BEYOND`] behind both.
    pub(crate) fn with_two_cables(test: &str) -> Option<World> {
        let world = World::new(test)?;
        world.near.command(&format!(
            "ip link add near2 type veth peer name far2 netns {}",
            world.far.path()
        ));
        world.far.command("ip addr add 203.0.113.2/24 dev far2");
        world.far.command("ip link set far2 up");
        world.far.command("ip addr add 198.51.100.1/32 dev lo");
        world.near.command("ip addr add 203.0.113.1/24 dev near2");
        world.near.command("ip link set near2 up");
        world
            .near
            .command("ip route add default via 203.0.113.2 metric 200");
        // The kernel says that the second link runs up to a second after the first.
        while !world
            .near
            .command("ip link show dev near2")
            .contains("state UP")
        {}
        Some(world)
    }

    /// Runs a test inside of `near`.
    pub(crate) fn run<F: Future<Output = ()>>(&self, test: impl FnOnce() -> F + Send) {
        self.near.run(|| block_on(test()));
    }

    /// A listening socket of `far`.
    pub(crate) fn far_listener(&self, address: impl Into<IpAddr>) -> TcpListener {
        let address = SocketAddr::new(address.into(), 0);
        self.far
            .run(|| TcpListener::bind(address).expect("a port of the namespace"))
    }

    /// A UDP socket of `far`.
    pub(crate) fn far_udp(&self, address: SocketAddr) -> std::net::UdpSocket {
        self.far
            .run(|| std::net::UdpSocket::bind(address).expect("a port of the namespace"))
    }
}

/// Runs a future to its end on this thread, within a limit.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime
        .block_on(async { tokio::time::timeout(TEST_MAX, future).await })
        .expect("the test ends in time")
}

/// A context that asks this DNS server.
pub(crate) fn context_with_dns(server: SocketAddr) -> Context {
    Context::new(environment(DnsConfig::servers([server])))
}

/// An environment of its own with this name resolution.
pub(crate) fn environment(dns: DnsConfig) -> Arc<RealEnvironment> {
    Arc::new(RealEnvironment::new(RealConfig::default().with_dns(dns)))
}

/// A request in cleartext, with a context of its own.
pub(crate) fn plain(remote: impl Into<RemoteEndpoint>) -> Preconnection {
    let context = Context::new(environment(DnsConfig::default()));
    Preconnection::new(Security::disabled())
        .context(&context)
        .remote(remote)
}

/// Connects and writes every decision into `log`.
pub(crate) async fn initiate(
    preconnection: &Preconnection,
    log: &Log,
) -> Result<Connection, EstablishmentError> {
    let initiate = preconnection.initiate().on_event(log.sink());
    initiate.into_future().await
}

fn try_world() -> Result<World, String> {
    for (program, flag) in [("ip", "-V"), ("nft", "-v")] {
        let mut command = Command::new(program);
        command
            .arg(flag)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if command.status().is_err() {
            return Err(format!("there is no {program} command"));
        }
    }
    let namespace = || Namespace::new().map_err(|error| format!("no network namespace: {error}"));
    let (near, far) = (namespace()?, namespace()?);
    for namespace in [&near, &far] {
        namespace.run(without_duplicate_detection)?;
        namespace.command("ip link set lo up");
    }
    near.command(&format!(
        "ip link add near type veth peer name far netns {}",
        far.path()
    ));
    far.command("ip addr add 192.0.2.2/24 dev far");
    far.command("ip addr add 2001:db8::2/64 dev far nodad");
    far.command("ip link set far up");
    near.command("ip link set near up");
    Ok(World { near, far })
}

/// For interfaces that are made from now on in the namespace of this thread.
fn without_duplicate_detection() -> Result<(), String> {
    for scope in ["all", "default"] {
        let path = format!("/proc/sys/net/ipv6/conf/{scope}/accept_dad");
        std::fs::write(&path, "0").map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(())
}

/// For what hangs: no test needs more than a few seconds of a machine that has nothing else to do.
const TEST_MAX: Duration = Duration::from_secs(120);
