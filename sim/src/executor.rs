//! The tasks of a simulation and the queue of those that are ready, first in, first out.
//!
//! Invariant: a task is queued at most once and polled only by the thread that runs the
//! simulation; a woken task is polled after all that were woken before it.

use portway_core::Time;
use portway_transport::environment::BoxFuture;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

/// The future that `block_on` was given; spawned tasks have higher numbers.
pub(crate) const MAIN_TASK: u64 = 0;

/// All spawned tasks.
pub(crate) struct Executor {
    ready: Arc<ReadyQueue>,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    alive: BTreeMap<u64, Task>,
    spawned: u64,
}

struct Task {
    /// `None` while the task is being polled.
    future: Option<BoxFuture<()>>,
    host: String,
    spawned_at: Time,
}

impl Executor {
    pub(crate) fn new() -> Self {
        Executor {
            ready: Arc::default(),
            tasks: Mutex::default(),
        }
    }

    pub(crate) fn spawn(&self, host: &str, now: Time, future: BoxFuture<()>) {
        let mut tasks = lock(&self.tasks);
        tasks.spawned += 1;
        let id = tasks.spawned;
        let task = Task {
            future: Some(future),
            host: host.to_owned(),
            spawned_at: now,
        };
        tasks.alive.insert(id, task);
        drop(tasks);
        self.ready.push(id);
    }

    pub(crate) fn waker(&self, id: u64) -> Waker {
        Waker::from(Arc::new(TaskWaker {
            id,
            ready: self.ready.clone(),
        }))
    }

    pub(crate) fn next_ready(&self) -> Option<u64> {
        self.ready.pop()
    }

    /// Polls a spawned task once; a task that has ended meanwhile is skipped.
    pub(crate) fn poll(&self, id: u64) {
        let taken = lock(&self.tasks)
            .alive
            .get_mut(&id)
            .and_then(|task| task.future.take());
        let mut polling = Polling {
            executor: self,
            id,
            future: taken,
        };
        let Some(future) = &mut polling.future else {
            return;
        };
        let waker = self.waker(id);
        let progress = future.as_mut().poll(&mut Context::from_waker(&waker));
        if progress.is_pending()
            && let Some(task) = lock(&self.tasks).alive.get_mut(&id)
        {
            task.future = polling.future.take();
        }
    }

    pub(crate) fn alive(&self, host: Option<&str>) -> usize {
        lock(&self.tasks)
            .alive
            .values()
            .filter(|task| host.is_none_or(|host| task.host == host))
            .count()
    }

    /// One line for each task that is alive.
    pub(crate) fn describe(&self) -> Vec<String> {
        lock(&self.tasks)
            .alive
            .iter()
            .map(|(id, task)| format!("task {id} of {}, spawned at {}", task.host, task.spawned_at))
            .collect()
    }

    /// Drops every task, also those that dropping others spawns.
    pub(crate) fn clear(&self) {
        loop {
            let taken = std::mem::take(&mut lock(&self.tasks).alive);
            if taken.is_empty() {
                return;
            }
            drop(taken);
        }
    }
}

/// A task while it is being polled; unless its future is given back, it has ended or panicked.
struct Polling<'a> {
    executor: &'a Executor,
    id: u64,
    future: Option<BoxFuture<()>>,
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        if let Some(future) = self.future.take() {
            // What the future owns is dropped while the task still counts and no lock is held.
            drop(future);
            lock(&self.executor.tasks).alive.remove(&self.id);
        }
    }
}

#[derive(Default)]
struct ReadyQueue {
    queue: Mutex<(VecDeque<u64>, BTreeSet<u64>)>,
}

impl ReadyQueue {
    fn push(&self, id: u64) {
        let mut guard = lock(&self.queue);
        let (order, queued) = &mut *guard;
        if queued.insert(id) {
            order.push_back(id);
        }
    }

    fn pop(&self) -> Option<u64> {
        let mut guard = lock(&self.queue);
        let (order, queued) = &mut *guard;
        let id = order.pop_front()?;
        queued.remove(&id);
        Some(id)
    }
}

struct TaskWaker {
    id: u64,
    ready: Arc<ReadyQueue>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.id);
    }
}

/// Locks even after a panic elsewhere, so that the first panic's message is the one that is seen.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
