//! The simulation: runs tasks, then moves the clock to the next event.
//!
//! Invariant: the clock moves only when no task is ready, and one event runs at a time, with
//! the tasks that it woke running before the next.

use crate::events::Event;
use crate::executor::MAIN_TASK;
use crate::state::Shared;
use crate::world::World;
use portway_core::Time;
use std::cell::Cell;
use std::future::Future;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A simulated network and the executor of the code that runs on it.
pub struct Simulation {
    world: World,
    time_limit: Cell<Time>,
    steps_max: Cell<u64>,
    steps: Cell<u64>,
}

impl Simulation {
    /// An empty network. The seed decides all randomness and is printed in every panic.
    pub fn new(seed: u64) -> Self {
        Simulation {
            world: World {
                shared: Arc::new(Shared::new(seed)),
            },
            time_limit: Cell::new(Time::from_origin(DEFAULT_TIME_LIMIT)),
            steps_max: Cell::new(DEFAULT_STEPS_MAX),
            steps: Cell::new(0),
        }
    }

    /// The virtual time that must not be passed; one day at first.
    pub fn set_time_limit(&self, limit: Time) {
        self.time_limit.set(limit);
    }

    /// How many polls and events may happen in total; ten million at first.
    pub fn set_steps_max(&self, steps_max: u64) {
        self.steps_max.set(steps_max);
    }

    /// Runs until `future` is ready. Other tasks stay where they are then.
    ///
    /// # Panics
    /// When nothing can happen any more (deadlock), or a limit of time or steps is passed.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let executor = &self.shared.executor;
        let waker = executor.waker(MAIN_TASK);
        waker.wake_by_ref();
        loop {
            while let Some(id) = executor.next_ready() {
                self.step();
                if id != MAIN_TASK {
                    executor.poll(id);
                    continue;
                }
                let mut context = Context::from_waker(&waker);
                if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                    return output;
                }
            }
            if !self.run_event(None) {
                self.fail("deadlock: no task is ready and no event is to come");
            }
        }
    }

    /// Runs until the virtual time is `time` and all tasks wait.
    ///
    /// # Panics
    /// When a limit of time or steps is passed.
    pub fn run_until(&self, time: Time) {
        self.run_ready();
        while self.run_event(Some(time)) {
            self.run_ready();
        }
        self.shared.with(|state| state.now = state.now.max(time));
    }

    /// Runs for a span of virtual time.
    ///
    /// # Panics
    /// As [`Simulation::run_until`].
    pub fn run_for(&self, span: Duration) {
        self.run_until(self.now() + span);
    }

    /// Runs until no task is ready and no event is to come.
    ///
    /// # Panics
    /// As [`Simulation::run_until`].
    pub fn run_until_idle(&self) {
        self.run_ready();
        while self.run_event(None) {
            self.run_ready();
        }
    }

    fn run_ready(&self) {
        while let Some(id) = self.shared.executor.next_ready() {
            self.step();
            self.shared.executor.poll(id);
        }
    }

    /// Runs the next event, if there is one and it is not after `until`.
    fn run_event(&self, until: Option<Time>) -> bool {
        self.step();
        let event = self.shared.with(|state| {
            let next = state.events.next_time()?;
            if until.is_some_and(|until| next > until) {
                return None;
            }
            let (time, event) = state.events.pop()?;
            state.now = state.now.max(time);
            Some(event)
        });
        if self.now() > self.time_limit.get() {
            self.fail("the limit of virtual time is passed");
        }
        match event {
            None => return false,
            Some(Event::Wake(waker)) => waker.wake(),
            Some(Event::State(change)) => self.shared.with(change),
            Some(Event::World(change)) => change(&self.world),
        }
        true
    }

    fn step(&self) {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > self.steps_max.get() {
            self.fail("the limit of steps is passed");
        }
    }

    fn fail(&self, reason: &str) -> ! {
        let mut pending = self.shared.executor.describe();
        pending.extend(self.shared.with(|state| state.sockets()));
        pending.extend(self.shared.with(|state| state.open_questions()));
        let list = match pending.is_empty() {
            true => "nothing but the main future".to_owned(),
            false => pending.join("\n  "),
        };
        panic!(
            "{reason}\n  at {}, seed {}, pending:\n  {list}",
            self.now(),
            self.seed()
        );
    }
}

impl Deref for Simulation {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Drop for Simulation {
    /// Tasks and scheduled changes may hold environments, and those hold the shared state.
    fn drop(&mut self) {
        self.shared.executor.clear();
        while let Some(event) = self.shared.with(|state| state.events.pop()) {
            drop(event);
        }
        if std::thread::panicking() {
            eprintln!("simulation: seed {} at {}", self.seed(), self.now());
        }
    }
}

const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(24 * 3600);
const DEFAULT_STEPS_MAX: u64 = 10_000_000;
