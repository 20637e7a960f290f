//! Paths of the real environment: a snapshot that a monitor keeps fresh.
//!
//! Invariant: the monitor lives as long as the environment and its runtime; while there is none,
//! each look takes a new snapshot. Where the system tells nothing, one path stands for the choice
//! of its routing, and [`Paths::unavailable`] says why.

#[cfg(target_os = "linux")]
mod message;
#[cfg(target_os = "linux")]
mod netlink;
#[cfg(not(target_os = "linux"))]
#[path = "other.rs"]
mod netlink;

use crate::failure_map::failure_from_io;
#[cfg(target_os = "linux")]
use message::News;
use portway_core::Failure;
use portway_core::path::{InterfaceKind, Path, PathId};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
#[cfg(target_os = "linux")]
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

/// The paths of this host.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    snapshot: watch::Sender<Vec<Path>>,
    /// Counts the snapshots that differed from the one before.
    revision: AtomicU64,
    /// Counts news of routes that paths do not tell.
    routes: AtomicU64,
    is_monitored: AtomicBool,
    unavailable: Mutex<Option<Failure>>,
    /// Its other end is the monitor's sign that the environment is gone.
    _alive: watch::Sender<()>,
}

impl Paths {
    pub(super) fn new() -> Self {
        Paths {
            shared: Arc::new(Shared {
                snapshot: watch::Sender::new(Vec::new()),
                revision: AtomicU64::new(0),
                routes: AtomicU64::new(0),
                is_monitored: AtomicBool::new(false),
                unavailable: Mutex::new(None),
                _alive: watch::Sender::new(()),
            }),
        }
    }

    pub(super) fn now(&self) -> Vec<Path> {
        if !self.is_monitored() {
            self.shared.refresh();
            self.start_monitor();
        }
        self.shared.snapshot.borrow().clone()
    }

    /// The number of the snapshot, while a monitor keeps it fresh.
    pub(super) fn revision(&self) -> Option<u64> {
        self.is_monitored()
            .then(|| self.shared.revision.load(Ordering::Acquire))
    }

    /// Resolves when the paths differ from `known`, or when another route was added.
    pub(super) async fn changed(self, known: Vec<Path>) -> Vec<Path> {
        let mut snapshot = self.shared.snapshot.subscribe();
        let routes = self.shared.routes.load(Ordering::Acquire);
        loop {
            let paths = self.now();
            if paths != known || self.shared.routes.load(Ordering::Acquire) != routes {
                return paths;
            }
            // The sender is in `self`, so that the channel cannot close.
            let _ = snapshot.changed().await;
        }
    }

    /// Why the system does not tell its paths, or their changes, if it does not.
    pub(super) fn unavailable(&self) -> Option<Failure> {
        let _ = self.now();
        let unavailable = self.shared.unavailable.lock();
        unavailable.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_monitored(&self) -> bool {
        self.shared.is_monitored.load(Ordering::Acquire)
    }

    #[cfg(target_os = "linux")]
    fn start_monitor(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.shared.is_monitored.swap(true, Ordering::AcqRel) {
            return;
        }
        let running = Running(Arc::downgrade(&self.shared));
        match netlink::subscribe().and_then(watched) {
            Ok(socket) => {
                let environment = self.shared._alive.subscribe();
                runtime.spawn(monitor(socket, running, environment));
                // What changed between the snapshot and the subscription is not told.
                self.shared.refresh();
            }
            Err(error) => self.shared.failed(&error),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn start_monitor(&self) {}
}

impl Shared {
    fn refresh(&self) {
        let paths = match netlink::dump() {
            Ok(paths) => paths,
            Err(error) => {
                self.failed(&error);
                vec![any_path()]
            }
        };
        self.snapshot.send_if_modified(|known| {
            let is_new = *known != paths;
            *known = paths;
            if is_new {
                self.revision.fetch_add(1, Ordering::AcqRel);
            }
            is_new
        });
    }

    fn failed(&self, error: &std::io::Error) {
        let failure = failure_from_io(error, "watching the system's paths");
        let mut unavailable = self
            .unavailable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *unavailable = Some(failure);
    }
}

/// Says that no monitor runs any more when the monitor ends in any way, so that the next look
/// starts another one.
#[cfg(target_os = "linux")]
struct Running(std::sync::Weak<Shared>);

#[cfg(target_os = "linux")]
impl Drop for Running {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.is_monitored.store(false, Ordering::Release);
        }
    }
}

#[cfg(target_os = "linux")]
fn watched(socket: socket2::Socket) -> std::io::Result<AsyncFd<socket2::Socket>> {
    // SAFETY: the socket owns its descriptor, and nothing replaces or closes it while the
    // `AsyncFd` owns the socket.
    let socket = unsafe { AsyncFd::register_with_interest(socket, tokio::io::Interest::READABLE) };
    Ok(socket?)
}

/// Refreshes the snapshot upon notifications until the environment is gone.
#[cfg(target_os = "linux")]
async fn monitor(
    socket: AsyncFd<socket2::Socket>,
    running: Running,
    mut environment: watch::Receiver<()>,
) {
    loop {
        let mut ready = tokio::select! {
            ready = socket.readable() => match ready {
                Ok(ready) => ready,
                Err(_) => return,
            },
            _ = environment.changed() => return,
        };
        let mut news = News::default();
        let drained = ready.try_io(|socket| netlink::drain(socket.get_ref(), &mut news));
        let Some(shared) = running.0.upgrade() else {
            return;
        };
        if news.paths {
            shared.refresh();
        }
        if news.routes {
            shared.routes.fetch_add(1, Ordering::AcqRel);
            // Wakes who waits, although the paths are the same.
            shared.snapshot.send_modify(|_| {});
        }
        if let Ok(Err(error)) = drained {
            return shared.failed(&error);
        }
    }
}

/// What stands for all paths where the system does not tell them: the choice of its routing.
fn any_path() -> Path {
    Path {
        id: PathId(0),
        interface: "any".to_owned(),
        kind: InterfaceKind::Other,
        addresses: Vec::new(),
        has_ipv4_default: true,
        has_ipv6_default: true,
        mtu: 1280,
        is_metered: None,
    }
}
