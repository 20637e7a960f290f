//! An environment around another one, of which a test alters a part.
//!
//! Invariant: whatever an alteration does not mention is the inner environment's own.

use portway_core::dns::{Answer, Question};
use portway_core::path::Path;
use portway_core::{Failure, Time};
use portway_transport::environment::{
    BoxFuture, Environment, ListenAddress, TcpConnect, TcpListener, TcpStream, Timer, UdpBind,
    UdpSocket,
};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// What is different from the environment inside; each method is that one's unless it is written.
pub trait Alteration: Send + Sync + 'static {
    /// The environment inside.
    type Inner: Environment;

    /// The environment inside.
    fn inner(&self) -> &Self::Inner;

    /// Runs a task to its end.
    fn spawn(&self, task: BoxFuture<()>) {
        self.inner().spawn(task);
    }

    /// Opens a TCP connection.
    fn tcp_connect(&self, request: TcpConnect) -> BoxFuture<io::Result<Box<dyn TcpStream>>> {
        self.inner().tcp_connect(request)
    }

    /// Opens a TCP listener.
    ///
    /// # Errors
    /// Those of the environment inside.
    fn tcp_listen(&self, request: ListenAddress) -> io::Result<Box<dyn TcpListener>> {
        self.inner().tcp_listen(request)
    }

    /// Opens a UDP socket.
    ///
    /// # Errors
    /// Those of the environment inside.
    fn udp_bind(&self, request: UdpBind) -> io::Result<Arc<dyn UdpSocket>> {
        self.inner().udp_bind(request)
    }
}

/// An environment with an alteration.
#[derive(Debug)]
pub struct Altered<A>(pub A);

impl<A: Alteration> Environment for Altered<A> {
    fn now(&self) -> Time {
        self.0.inner().now()
    }

    fn recently(&self) -> Time {
        self.0.inner().recently()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.0.inner().timer()
    }

    fn patient_timer(&self) -> Box<dyn Timer> {
        self.0.inner().patient_timer()
    }

    fn spawn(&self, task: BoxFuture<()>) {
        self.0.spawn(task);
    }

    fn has_workers(&self) -> bool {
        self.0.inner().has_workers()
    }

    fn fill_random(&self, out: &mut [u8]) {
        self.0.inner().fill_random(out);
    }

    fn tcp_connect(&self, request: TcpConnect) -> BoxFuture<io::Result<Box<dyn TcpStream>>> {
        self.0.tcp_connect(request)
    }

    fn unix_connect(&self, path: PathBuf) -> BoxFuture<io::Result<Box<dyn TcpStream>>> {
        self.0.inner().unix_connect(path)
    }

    fn tcp_listen(&self, request: ListenAddress) -> io::Result<Box<dyn TcpListener>> {
        self.0.tcp_listen(request)
    }

    fn udp_bind(&self, request: UdpBind) -> io::Result<Arc<dyn UdpSocket>> {
        self.0.udp_bind(request)
    }

    fn resolve(&self, question: Question) -> BoxFuture<Result<Answer, Failure>> {
        self.0.inner().resolve(question)
    }

    fn paths(&self) -> Vec<Path> {
        self.0.inner().paths()
    }

    fn paths_revision(&self) -> Option<u64> {
        self.0.inner().paths_revision()
    }

    fn paths_changed(&self, known: Vec<Path>) -> BoxFuture<Vec<Path>> {
        self.0.inner().paths_changed(known)
    }
}
