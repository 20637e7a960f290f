//! Tasks of the real environment, counted.
//!
//! Invariant: the count falls when a task ends in any way: done, panicked or dropped by its
//! runtime.

use crate::environment::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Handle, RuntimeFlavor};

/// Starts tasks and knows how many are alive.
#[derive(Clone, Debug)]
pub(super) struct Tasks {
    alive: Arc<AtomicUsize>,
    /// Where to run what is spawned outside of a runtime, such as from a destructor.
    home: Option<Handle>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        Tasks {
            alive: Arc::new(AtomicUsize::new(0)),
            home: Handle::try_current().ok(),
        }
    }

    pub(super) fn alive(&self) -> usize {
        self.alive.load(Ordering::Acquire)
    }

    /// Whether the runtime where a task would run now has several threads.
    pub(super) fn has_workers(&self) -> bool {
        let runtime = self.runtime();
        runtime.is_some_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread)
    }

    pub(super) fn spawn(&self, task: BoxFuture<()>) {
        let alive = Alive::new(&self.alive);
        let task = async move {
            let _alive = alive;
            task.await;
        };
        match self.runtime() {
            Some(runtime) => drop(runtime.spawn(task)),
            // Without any runtime nothing can run, and the task is dropped like one whose
            // runtime has shut down.
            None => drop(task),
        }
    }

    /// Where a task runs that is spawned now.
    fn runtime(&self) -> Option<Handle> {
        Handle::try_current().ok().or_else(|| self.home.clone())
    }
}

/// Counts one task while it exists.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Alive(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
