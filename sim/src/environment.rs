//! One host's view of the world, as product code sees it.
//!
//! Invariant: nothing here reads the real clock, the real network or real randomness.

use crate::dns::{self, Dns};
use crate::host::{HostId, ethernet};
use crate::state::Shared;
use crate::tcp;
use crate::timer::SimTimer;
use crate::udp;
use portway_core::dns::{Answer, Question};
use portway_core::path::Path;
use portway_core::{Failure, Time, WireProtocol};
use portway_transport::environment::{
    BoxFuture, Environment, ListenAddress, TcpConnect, TcpListener, TcpStream, Timer, UdpBind,
    UdpSocket,
};
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;

/// The environment of one simulated host.
pub struct SimEnvironment {
    shared: Arc<Shared>,
    host: HostId,
    name: String,
}

impl SimEnvironment {
    pub(crate) fn new(shared: Arc<Shared>, host: HostId) -> Self {
        let name = shared.with(|state| state.host(host).name.clone());
        SimEnvironment { shared, host, name }
    }

    /// The host's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The scripts of this host's name resolution.
    pub fn dns(&self) -> Dns {
        Dns::new(self.shared.clone(), self.host)
    }

    /// Replaces everything by one Ethernet interface with these addresses and, for the families
    /// among them, default routes.
    pub fn set_addresses(&self, addresses: &[IpAddr]) {
        self.set_paths(vec![ethernet(addresses)]);
    }

    /// Replaces the paths; whoever waits for a change is woken.
    pub fn set_paths(&self, paths: Vec<Path>) {
        self.shared.with(|state| state.set_paths(self.host, paths));
    }

    /// The addresses of all paths.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let paths = self.paths();
        let locals = paths.iter().flat_map(|path| &path.addresses);
        locals.map(|local| local.address).collect()
    }

    /// Lets packets to this port vanish without an answer.
    pub fn silence(&self, protocol: WireProtocol, port: u16) {
        self.shared.with(|state| {
            let silent = &mut state.host_mut(self.host).silent_ports;
            silent.insert((protocol, port));
        });
    }

    /// Ends what [`SimEnvironment::silence`] started.
    pub fn unsilence(&self, protocol: WireProtocol, port: u16) {
        self.shared.with(|state| {
            let silent = &mut state.host_mut(self.host).silent_ports;
            silent.remove(&(protocol, port));
        });
    }

    /// Sets the TCP buffers, in bytes, of connections that start from now on.
    pub fn set_tcp_buffers(&self, send: usize, receive: usize) {
        self.shared
            .with(|state| state.host_mut(self.host).buffers = tcp::Buffers { send, receive });
    }

    /// Limits how many sockets may be open at a time; beyond, calls fail with EMFILE.
    pub fn set_descriptors_max(&self, max: Option<usize>) {
        self.shared
            .with(|state| state.host_mut(self.host).descriptors_max = max);
    }

    /// Tasks of this host that have not ended.
    pub fn tasks_alive(&self) -> usize {
        self.shared.executor.alive(Some(&self.name))
    }

    /// Sockets of this host that somebody still holds.
    pub fn sockets_open(&self) -> usize {
        self.shared.with(|state| state.sockets_open(self.host))
    }
}

impl Environment for SimEnvironment {
    fn now(&self) -> Time {
        self.shared.with(|state| state.now)
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(SimTimer::new(self.shared.clone()))
    }

    fn spawn(&self, task: BoxFuture<()>) {
        self.shared.executor.spawn(&self.name, self.now(), task);
    }

    fn fill_random(&self, out: &mut [u8]) {
        self.shared.with(|state| state.random.fill(out));
    }

    fn tcp_connect(&self, request: TcpConnect) -> BoxFuture<io::Result<Box<dyn TcpStream>>> {
        tcp::connect(self.shared.clone(), self.host, request)
    }

    fn tcp_listen(&self, request: ListenAddress) -> io::Result<Box<dyn TcpListener>> {
        tcp::listen(&self.shared, self.host, &request)
    }

    fn udp_bind(&self, request: UdpBind) -> io::Result<Arc<dyn UdpSocket>> {
        udp::bind(&self.shared, self.host, &request)
    }

    fn resolve(&self, question: Question) -> BoxFuture<Result<Answer, Failure>> {
        dns::resolve(self.shared.clone(), self.host, question)
    }

    fn paths(&self) -> Vec<Path> {
        self.shared
            .with(|state| state.host(self.host).paths.clone())
    }

    fn paths_changed(&self, known: Vec<Path>) -> BoxFuture<Vec<Path>> {
        let shared = self.shared.clone();
        let host = self.host;
        Box::pin(poll_fn(move |context| {
            shared.with(|state| {
                let host = state.host_mut(host);
                if host.paths != known {
                    return Poll::Ready(host.paths.clone());
                }
                let waiters = &mut host.path_waiters;
                if !waiters.iter().any(|waker| waker.will_wake(context.waker())) {
                    waiters.push(context.waker().clone());
                }
                Poll::Pending
            })
        }))
    }
}
