//! Two namespaces and the link between them, for one scenario.
//!
//! Invariant: scenarios share nothing, so that they may run at the same time.

use crate::peer::{Peer, run};
use portway_tests::link::{Impairments, Link};
use portway_tests::namespace::Namespace;
use std::fmt::Display;
use std::future::Future;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Handle;

/// `near` and `far`, and what is between them.
pub(super) struct Scene {
    /// Names the scenario in what is said when it fails.
    pub(super) name: String,
    near: Namespace,
    pub(super) far: Namespace,
    pub(super) link: Link,
}

impl Scene {
    /// A link with a delay, a rate and a queue, as most scenarios of the runner have.
    pub(super) fn new(name: &str, seed: u64) -> Result<Scene, String> {
        let of = |what: &'static str| move |error: std::io::Error| says(what, &error);
        let ip = Command::new("ip").arg("-V").stdout(Stdio::null()).status();
        ip.map_err(of("no ip command"))?;
        let near = Namespace::new().map_err(of("no network namespace"))?;
        let far = Namespace::new().map_err(of("no network namespace"))?;
        let link = Link::new(&near, &far, seed).map_err(of("no TUN device"))?;
        link.impair_both(&plain());
        Ok(Scene {
            name: format!("{name} with seed {seed}"),
            near,
            far,
            link,
        })
    }

    /// Runs a future in `near`.
    pub(super) fn run<T: Send, F: Future<Output = T>>(&self, work: impl FnOnce() -> F + Send) -> T {
        self.near.run(|| {
            let mut result = None;
            run(async { result = Some(work().await) });
            result.expect("it ran")
        })
    }

    /// Starts a program in `far`.
    pub(super) fn start_far(&self, program: &str, arguments: &[&str]) -> Option<Peer> {
        self.start(&self.far, program, arguments)
    }

    /// Starts a program in `near`.
    pub(super) fn start_near(&self, program: &str, arguments: &[&str]) -> Option<Peer> {
        self.start(&self.near, program, arguments)
    }

    /// Runs `work` on a thread of its own in `near`.
    pub(super) fn near_spawn<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> JoinHandle<R> {
        self.near.spawn(work)
    }

    fn start(&self, place: &Namespace, program: &str, arguments: &[&str]) -> Option<Peer> {
        let runtime = Handle::current();
        place.run(|| {
            let _entered = runtime.enter();
            Peer::start(&self.name, program, arguments)
        })
    }
}

/// The runner's simple link: 15 ms, 10 Mbit/s, 25 packets.
pub(super) fn plain() -> Impairments {
    Impairments {
        delay: Duration::from_millis(15),
        bytes_per_second: Some(10_000_000 / 8),
        queue_packets: 25,
        ..Impairments::default()
    }
}

fn says(what: &str, error: &dyn Display) -> String {
    format!("{what}: {error}")
}
