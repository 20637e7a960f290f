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
use std::io;
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
    dump: fn() -> io::Result<Vec<Path>>,
    snapshot: watch::Sender<Vec<Path>>,
    /// Counts the snapshots that differed from the one before.
    revision: AtomicU64,
    /// Counts news of routes that paths do not tell.
    routes: AtomicU64,
    is_monitored: AtomicBool,
    /// Held by who takes the first snapshot, for which the others wait.
    starting: Mutex<()>,
    unavailable: Mutex<Option<Failure>>,
    /// Its other end is the monitor's sign that the environment is gone.
    _alive: watch::Sender<()>,
}

impl Paths {
    pub(super) fn new() -> Self {
        Paths::of(netlink::dump)
    }

    fn of(dump: fn() -> io::Result<Vec<Path>>) -> Self {
        Paths {
            shared: Arc::new(Shared {
                dump,
                snapshot: watch::Sender::new(Vec::new()),
                revision: AtomicU64::new(0),
                routes: AtomicU64::new(0),
                is_monitored: AtomicBool::new(false),
                starting: Mutex::default(),
                unavailable: Mutex::new(None),
                _alive: watch::Sender::new(()),
            }),
        }
    }

    pub(super) fn now(&self) -> Vec<Path> {
        if !self.is_monitored() {
            let starting = self.shared.starting.lock();
            let _starting = starting.unwrap_or_else(PoisonError::into_inner);
            if !self.is_monitored() {
                self.start();
            }
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

    /// Takes a snapshot, and has a monitor keep it fresh where there is a runtime for it.
    #[cfg(target_os = "linux")]
    fn start(&self) {
        let runtime = tokio::runtime::Handle::try_current().ok();
        // Before the snapshot, so that one is enough: what changes meanwhile is told.
        let news = runtime.map(|runtime| (runtime, netlink::subscribe().and_then(watched)));
        self.shared.refresh();
        match news {
            None => {}
            Some((_, Err(error))) => self.shared.failed(&error),
            Some((runtime, Ok(socket))) => {
                let running = Running::new(&self.shared);
                let environment = self.shared._alive.subscribe();
                runtime.spawn(monitor(socket, running, environment));
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn start(&self) {
        self.shared.refresh();
    }
}

impl Shared {
    fn refresh(&self) {
        let paths = match (self.dump)() {
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

    fn failed(&self, error: &io::Error) {
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
impl Running {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.is_monitored.store(true, Ordering::Release);
        Running(Arc::downgrade(shared))
    }
}

#[cfg(target_os = "linux")]
impl Drop for Running {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.is_monitored.store(false, Ordering::Release);
        }
    }
}

#[cfg(target_os = "linux")]
fn watched(socket: socket2::Socket) -> io::Result<AsyncFd<socket2::Socket>> {
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::process::Command;

    thread_local! {
        static DUMPS: Cell<u32> = const { Cell::new(0) };
    }

    fn counted() -> io::Result<Vec<Path>> {
        DUMPS.set(DUMPS.get() + 1);
        netlink::dump()
    }

    /// Loopback comes up right after the first snapshot was taken.
    fn overtaken() -> io::Result<Vec<Path>> {
        let paths = counted();
        if DUMPS.get() == 1 {
            let status = Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status();
            assert!(status.expect("ip is installed").success());
        }
        paths
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    }

    #[test]
    fn one_dump_serves_the_first_look_and_the_monitor() {
        let paths = Paths::of(counted);
        runtime().block_on(async {
            assert!(!paths.now().is_empty());
            paths.now();
            assert!(paths.revision().is_some());
            assert_eq!(paths.unavailable(), None);
        });
        assert_eq!(DUMPS.get(), 1);
    }

    #[test]
    fn without_a_runtime_each_look_takes_a_dump() {
        let paths = Paths::of(counted);
        paths.now();
        paths.now();
        assert_eq!((DUMPS.get(), paths.revision()), (2, None));
    }

    #[test]
    fn what_changes_after_the_dump_is_told_by_the_monitor() {
        let thread = std::thread::spawn(|| {
            // SAFETY: unshare changes the namespace of this thread only.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                let reason = io::Error::last_os_error();
                println!("not run: no network namespace of its own: {reason}");
                return;
            }
            let paths = Paths::of(overtaken);
            let (first, next) = runtime().block_on(async {
                let first = paths.now();
                (first.clone(), paths.changed(first).await)
            });
            assert_eq!(first, []);
            assert_eq!(next[0].interface, "lo");
        });
        thread.join().unwrap();
    }
}
