//! The real environment: tokio's sockets and timers, the system's interfaces, DNS.
//!
//! Invariant: every method that opens something is called inside of a tokio runtime with I/O and
//! time enabled, and what it opens belongs to that runtime. Linux is complete; elsewhere what is
//! missing says so at run time.

mod clock;
mod dns;
#[cfg_attr(not(target_os = "linux"), path = "exact_other.rs")]
mod exact;
mod inherited;
mod keeper;
mod paths;
mod system;
mod tasks;
mod tcp;
mod threads;
mod udp;
mod unix;

pub use dns::{DnsConfig, DnsSource};
pub use inherited::Inherited;
pub use threads::{Turns, start_pinned, thread_count};

use crate::environment::{
    BoxFuture, Environment, ListenAddress, TcpConnect, TcpListener, TcpStream, Timer, UdpBind,
    UdpSocket,
};
use clock::Clock;
use dns::Resolver;
use paths::Paths;
use portway_core::dns::{Answer, Question};
use portway_core::path::Path;
use portway_core::{Failure, Time};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tasks::Tasks;

/// The environment of a real process.
///
/// ```
/// use portway_transport::environment::Environment;
/// use portway_transport::real::{Config, RealEnvironment};
///
/// let environment = RealEnvironment::new(Config::default());
/// assert!(environment.now() <= environment.now());
/// ```
#[derive(Clone, Debug)]
pub struct RealEnvironment {
    clock: Clock,
    tasks: Tasks,
    resolver: Resolver,
    paths: Paths,
    inherited: Option<Arc<Inherited>>,
}

/// How a [`RealEnvironment`] works.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Config {
    /// How names are resolved.
    pub dns: DnsConfig,
    /// Sockets that were opened for this process.
    pub inherited: Option<Arc<Inherited>>,
}

impl Config {
    /// The same configuration with other name resolution.
    #[must_use]
    pub fn with_dns(mut self, dns: DnsConfig) -> Self {
        self.dns = dns;
        self
    }

    /// The same configuration with sockets that were opened for this process.
    #[must_use]
    pub fn with_inherited(mut self, inherited: Arc<Inherited>) -> Self {
        self.inherited = Some(inherited);
        self
    }
}

impl RealEnvironment {
    /// An environment with its own clock, task count and resolver cache.
    pub fn new(config: Config) -> Self {
        RealEnvironment {
            clock: Clock::start(),
            tasks: Tasks::new(),
            resolver: Resolver::new(config.dns),
            paths: Paths::new(),
            inherited: config.inherited,
        }
    }

    /// How many tasks that were started with [`Environment::spawn`] have not ended yet.
    pub fn tasks_alive(&self) -> usize {
        self.tasks.alive()
    }

    /// Why the system does not tell its paths or their changes, if it does not. One path named
    /// `any` then stands for whatever the system's routing chooses.
    pub fn paths_unavailable(&self) -> Option<Failure> {
        self.paths.unavailable()
    }
}

impl Environment for RealEnvironment {
    fn now(&self) -> Time {
        self.clock.now()
    }

    fn recently(&self) -> Time {
        self.clock.recently()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.clock.timer()
    }

    fn patient_timer(&self) -> Box<dyn Timer> {
        self.clock.patient_timer()
    }

    fn exact_timer(&self) -> Box<dyn Timer> {
        self.clock.exact_timer()
    }

    fn spawn(&self, task: BoxFuture<()>) {
        self.tasks.spawn(task);
    }

    fn has_workers(&self) -> bool {
        self.tasks.has_workers()
    }

    fn fill_random(&self, out: &mut [u8]) {
        getrandom::fill(out).expect("a system without randomness cannot make a secure connection");
    }

    fn tcp_connect(&self, request: TcpConnect) -> BoxFuture<io::Result<Box<dyn TcpStream>>> {
        Box::pin(tcp::connect(request))
    }

    fn unix_connect(&self, path: PathBuf) -> BoxFuture<io::Result<Box<dyn TcpStream>>> {
        unix::connect(path)
    }

    fn tcp_listen(&self, request: ListenAddress) -> io::Result<Box<dyn TcpListener>> {
        let inherited = self.inherited.as_ref();
        match inherited.and_then(|it| it.listener(request.local)) {
            Some(socket) => tcp::adopt(socket?),
            None => tcp::listen(&request),
        }
    }

    fn udp_bind(&self, request: UdpBind) -> io::Result<Arc<dyn UdpSocket>> {
        let inherited = self.inherited.as_ref();
        let inherited = inherited.and_then(|it| it.datagrams(request.local));
        udp::bind(&request, inherited.transpose()?)
    }

    fn resolve(&self, question: Question) -> BoxFuture<Result<Answer, Failure>> {
        self.resolver.resolve(question)
    }

    fn fixed_addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.resolver.fixed_addresses(name)
    }

    fn paths(&self) -> Vec<Path> {
        self.paths.now()
    }

    fn paths_revision(&self) -> Option<u64> {
        self.paths.revision()
    }

    fn paths_changed(&self, known: Vec<Path>) -> BoxFuture<Vec<Path>> {
        Box::pin(self.paths.clone().changed(known))
    }
}
