//! The environment: the only place with sockets, clock, tasks, randomness, DNS and interfaces.
//!
//! Invariant: product code reaches the world only through this trait, so it runs unchanged on
//! the real system and in simulation.

mod udp;

pub use udp::{
    DatagramBatch, ReceivedDatagram, ReceivedMessage, Transmit, UdpBind, UdpProfile, UdpSocket,
    shard_of,
};
pub(crate) use udp::{MESSAGE_BYTES_MAX, Slot, shard_offset};

use bytes::BytesMut;
use portway_core::dns::{Answer, Question};
use portway_core::path::{Path, PathId};
use portway_core::{Failure, Time};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A boxed future that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Everything outside of the process that portway needs.
pub trait Environment: Send + Sync + 'static {
    /// The current time on a monotone clock.
    fn now(&self) -> Time;

    /// As [`Environment::now`], but it may be the time of some milliseconds ago, where that one is
    /// had for less.
    fn recently(&self) -> Time {
        self.now()
    }

    /// A timer that is not armed.
    fn timer(&self) -> Box<dyn Timer>;

    /// The same for what hardly ever expires: it may be late by some milliseconds, and costs less
    /// each time that whoever waits beside it goes to sleep.
    fn patient_timer(&self) -> Box<dyn Timer> {
        self.timer()
    }

    /// The same for what expires often and is set again more often still: setting it nearer wakes
    /// no thread, and none is woken before its time.
    fn exact_timer(&self) -> Box<dyn Timer> {
        self.timer()
    }

    /// Runs a task to its end. The environment counts the tasks that are alive.
    fn spawn(&self, task: BoxFuture<()>);

    /// Whether several threads run the tasks that are started here now, so that a task that is
    /// woken may run beside the one that wakes it.
    fn has_workers(&self) -> bool {
        false
    }

    /// Fills `out` with unpredictable bytes (simulated: seeded ones).
    fn fill_random(&self, out: &mut [u8]);

    /// Opens a TCP connection. Dropping the future abandons the attempt.
    fn tcp_connect(&self, request: TcpConnect) -> BoxFuture<io::Result<Box<dyn TcpStream>>>;

    /// Connects to a socket of the file system (AF_UNIX), or to an abstract one of Linux, whose
    /// path begins with a zero byte. Its ends have no addresses: both are told as `0.0.0.0:0`.
    /// Dropping the future abandons the attempt.
    fn unix_connect(&self, _path: PathBuf) -> BoxFuture<io::Result<Box<dyn TcpStream>>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }

    /// Opens a TCP listener.
    ///
    /// # Errors
    /// The system's error, such as an address in use.
    fn tcp_listen(&self, request: ListenAddress) -> io::Result<Box<dyn TcpListener>>;

    /// Opens a UDP socket, connected when `remote` is given.
    ///
    /// # Errors
    /// The system's error.
    fn udp_bind(&self, request: UdpBind) -> io::Result<Arc<dyn UdpSocket>>;

    /// Asks the resolver. A positive answer without records is `Ok` with an empty list; a name
    /// that does not exist is a failure of kind `NameNotFound`.
    fn resolve(&self, question: Question) -> BoxFuture<Result<Answer, Failure>>;

    /// All addresses of a name that [`Environment::resolve`] would not ask anybody about, and of
    /// which it knows no records of services; `None` for every other name.
    fn fixed_addresses(&self, _name: &str) -> Option<Vec<IpAddr>> {
        None
    }

    /// The paths as they are now: interfaces that are up. Where the system tells nothing, one path
    /// of id zero stands for the choice of its routing; binding to that one has no effect.
    fn paths(&self) -> Vec<Path>;

    /// A number that is another one whenever [`Environment::paths`] may give another answer, so
    /// that what was derived from the answer can be kept; `None` where nobody counts.
    fn paths_revision(&self) -> Option<u64> {
        None
    }

    /// Resolves when the paths differ from `known`, at once if they already do, or when a route
    /// was added meanwhile that paths do not tell of: a host beyond it may be reachable now.
    fn paths_changed(&self, known: Vec<Path>) -> BoxFuture<Vec<Path>>;
}

/// A timer that can be set again without a new allocation.
pub trait Timer: Send {
    /// Arms the timer for `deadline`, or disarms it. Poll again afterwards: a waker that was given
    /// for another deadline need not be woken.
    fn reset(&mut self, deadline: Option<Time>);

    /// As [`Timer::reset`], for a deadline that seldom moves: what was armed before wakes nobody,
    /// where `reset` may leave an earlier time armed so that moving back costs nothing.
    fn reset_exactly(&mut self, deadline: Option<Time>) {
        self.reset(deadline);
    }

    /// Ready once when the deadline has come; pending while not armed.
    fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

/// A request for a TCP connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TcpConnect {
    /// Where to.
    pub remote: SocketAddr,
    /// The address to bind first.
    pub local: Option<SocketAddr>,
    /// The path to be bound to.
    pub path: Option<PathId>,
    /// Options that must hold from the first packet on.
    pub options: TcpOptions,
}

impl TcpConnect {
    /// A connection from wherever the system likes.
    pub fn to(remote: SocketAddr) -> Self {
        TcpConnect {
            remote,
            local: None,
            path: None,
            options: TcpOptions::default(),
        }
    }
}

/// TCP options that portway sets; `None` leaves the system's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpOptions {
    /// Nagle's algorithm off.
    pub no_delay: Option<bool>,
    /// Keep-alive probes after this idle time; `Some(None)` switches them off.
    pub keep_alive: Option<Option<Duration>>,
    /// Unacknowledged data ends the connection after this time (TCP_USER_TIMEOUT).
    pub user_timeout: Option<Option<Duration>>,
    /// The differentiated services code point, 0 to 63.
    pub dscp: Option<u8>,
}

/// Where to listen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenAddress {
    /// The local address; port zero lets the system choose.
    pub local: SocketAddr,
    /// The path whose interface alone is listened on.
    pub path: Option<PathId>,
    /// Connections that the system may hold before they are accepted.
    pub backlog: u32,
    /// Whether other listeners that say so, too, may have the same address; the system gives each
    /// connection to one of them.
    pub is_shared: bool,
}

impl ListenAddress {
    /// Listens on `local` with the default backlog.
    pub fn on(local: SocketAddr) -> Self {
        ListenAddress {
            local,
            path: None,
            backlog: 1024,
            is_shared: false,
        }
    }
}

/// A connected TCP socket. The `try_` methods never block and never register a waker.
pub trait TcpStream: Send + Sync {
    /// Reads into `out`; zero is the peer's end of stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there yet; otherwise the connection's end.
    fn try_read(&self, out: &mut [u8]) -> io::Result<usize>;

    /// Reads into the spare capacity of `out`, which must not be empty; zero is the peer's end
    /// of stream.
    ///
    /// # Errors
    /// As [`TcpStream::try_read`].
    fn try_read_buf(&self, out: &mut BytesMut) -> io::Result<usize> {
        let len = out.len();
        let spare = (out.capacity() - len).min(READ_BUF_BYTES);
        out.resize(len + spare, 0);
        let read = self.try_read(&mut out[len..]);
        out.truncate(len + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Writes as much as the system takes.
    ///
    /// # Errors
    /// `WouldBlock` when the send buffer is full; otherwise the connection's end.
    fn try_write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize>;

    /// Ready when `try_read` may give something. Only the last waker is kept.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ready when `try_write_vectored` may take something. Only the last waker is kept.
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the sending direction in an orderly way (FIN).
    ///
    /// # Errors
    /// The system's error.
    fn shutdown_write(&self) -> io::Result<()>;

    /// Ends both directions at once (RST); whatever is queued is lost.
    fn abort(&self);

    /// Bytes, the FIN included, that the peer has not acknowledged yet.
    ///
    /// # Errors
    /// The connection's end.
    fn unacknowledged(&self) -> io::Result<usize>;

    /// Ready when [`TcpStream::unacknowledged`] may have become zero or an error. A carrier whose
    /// system does not tell is pending for ever and registers nothing.
    fn poll_acknowledged(&self, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Takes an error that arrived without a read or write, such as a reset.
    fn take_error(&self) -> Option<io::Error>;

    /// Changes options of the live connection; `None` fields stay as they are.
    ///
    /// # Errors
    /// The system's error for the first option that it refuses.
    fn set_options(&self, options: &TcpOptions) -> io::Result<()>;

    /// Sends before other streams of the same transport that have a lower number; all start at
    /// zero.
    ///
    /// # Errors
    /// The carrier has its transport to itself, or the stream has ended.
    fn set_precedence(&self, _precedence: i32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether what was read last may be early data, which an attacker can replay.
    fn reads_early_data(&self) -> bool {
        false
    }

    /// The measured smoothed round-trip time, if there is one yet.
    fn rtt(&self) -> Option<Duration>;

    /// The maximum segment size in bytes, if known.
    fn max_segment_size(&self) -> Option<usize>;

    /// The local address.
    fn local_address(&self) -> SocketAddr;

    /// The peer's address.
    fn peer_address(&self) -> SocketAddr;
}

/// A listening TCP socket.
pub trait TcpListener: Send + Sync {
    /// Takes the next connection.
    ///
    /// # Errors
    /// The system's error; after one, the listener can still be used.
    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Box<dyn TcpStream>>>;

    /// The address that it listens on, with the port that the system chose.
    fn local_address(&self) -> SocketAddr;

    /// Of the listeners that share a port, prefers this one from now on for connections whose
    /// packets arrive on the processor that the calling thread is kept on; or not any more, so that
    /// chance decides, as from the beginning. On Linux.
    ///
    /// # Errors
    /// The system cannot, or the thread is not kept on one processor.
    fn prefer_own_processor(&self, _prefer: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What the provided `try_read_buf` clears and reads at a time.
const READ_BUF_BYTES: usize = 16 * 1024;
