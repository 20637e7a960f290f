//! The task that tells a pool the time, for each that owns one.
//!
//! Invariant: an owner has at most one such task; it looks at its deadline again whenever that
//! comes nearer, and ends when the owner is gone.

use portway_core::Time;
use portway_transport::environment::Environment;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// One who owns a pool.
pub(super) trait Timed: Send + Sync + 'static {
    /// Tells the pool the time, and gives what [`Alarm::arm`] gives for it.
    fn pass_time(self: &Arc<Self>) -> Option<Time>;
}

/// What is known of the task under the pool's lock.
#[derive(Default)]
pub(super) struct Alarm {
    is_running: bool,
    armed: Option<Time>,
}

impl Alarm {
    /// Notes when the task wakes next.
    pub(super) fn arm(&mut self, due: Option<Time>) -> Option<Time> {
        self.armed = due;
        due
    }
}

/// Reaches the task. Dropping it, with its owner, ends that.
pub(super) struct PoolTimer {
    environment: Arc<dyn Environment>,
    woken: Arc<Notify>,
}

impl PoolTimer {
    pub(super) fn new(environment: Arc<dyn Environment>) -> Self {
        // Whatever keeps such timers starts with the client rather than with its first request.
        drop(environment.patient_timer());
        PoolTimer {
            environment,
            woken: Arc::default(),
        }
    }

    /// Says whether the task must be woken to look at its deadline again.
    pub(super) fn keep<T: Timed>(
        &self,
        owner: &Arc<T>,
        alarm: &mut Alarm,
        due: Option<Time>,
    ) -> bool {
        let Some(due) = due else {
            return false;
        };
        if !alarm.is_running {
            alarm.is_running = true;
            let (environment, woken) = (self.environment.clone(), self.woken.clone());
            let task = run(Arc::downgrade(owner), environment, woken);
            self.environment.spawn(Box::pin(task));
        }
        alarm.armed.is_none_or(|armed| due < armed)
    }

    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }
}

impl Drop for PoolTimer {
    fn drop(&mut self) {
        self.wake();
    }
}

async fn run<T: Timed>(owner: Weak<T>, environment: Arc<dyn Environment>, woken: Arc<Notify>) {
    let mut timer = environment.patient_timer();
    loop {
        let due = {
            let Some(owner) = owner.upgrade() else {
                return;
            };
            owner.pass_time()
        };
        timer.reset(due);
        tokio::select! {
            () = woken.notified() => {}
            () = poll_fn(|context| timer.poll_expired(context)) => {}
        }
    }
}
