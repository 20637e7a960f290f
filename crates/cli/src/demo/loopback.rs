//! The real environment, of which only the loopback interface is shown.
//!
//! Invariant: everything but the list of paths is the real environment's, resolver and sockets
//! included. Without this the demo would look different on every network: a host without an IPv6
//! route is not asked for IPv6 addresses, and rightly so.

use portway::{Failure, RealEnvironment, Time};
use portway_core::dns::{Answer, Question};
use portway_core::path::{InterfaceKind, Path};
use portway_transport::environment::{
    BoxFuture, Environment, ListenAddress, TcpConnect, TcpListener, TcpStream, Timer, UdpBind,
    UdpSocket,
};
use std::io;
use std::sync::Arc;

pub(super) struct LoopbackOnly {
    real: RealEnvironment,
}

impl LoopbackOnly {
    pub(super) fn new(real: RealEnvironment) -> Self {
        LoopbackOnly { real }
    }
}

impl Environment for LoopbackOnly {
    fn now(&self) -> Time {
        self.real.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.real.timer()
    }

    fn spawn(&self, task: BoxFuture<()>) {
        self.real.spawn(task);
    }

    fn fill_random(&self, out: &mut [u8]) {
        self.real.fill_random(out);
    }

    fn tcp_connect(&self, request: TcpConnect) -> BoxFuture<io::Result<Box<dyn TcpStream>>> {
        self.real.tcp_connect(request)
    }

    fn tcp_listen(&self, request: ListenAddress) -> io::Result<Box<dyn TcpListener>> {
        self.real.tcp_listen(request)
    }

    fn udp_bind(&self, request: UdpBind) -> io::Result<Arc<dyn UdpSocket>> {
        self.real.udp_bind(request)
    }

    fn resolve(&self, question: Question) -> BoxFuture<Result<Answer, Failure>> {
        self.real.resolve(question)
    }

    fn paths(&self) -> Vec<Path> {
        let mut paths = self.real.paths();
        paths.retain(|path| path.kind == InterfaceKind::Loopback);
        paths
    }

    /// The loopback interface neither comes nor goes.
    fn paths_changed(&self, _known: Vec<Path>) -> BoxFuture<Vec<Path>> {
        Box::pin(std::future::pending())
    }
}
