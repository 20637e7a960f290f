//! The decisions of a race, as they are made.

use portway::race::{Event, EventKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A description of an event that must come, and its name for people.
pub(crate) type Wanted<'a> = (&'a str, &'a dyn Fn(&EventKind) -> bool);

/// Collects the events of one race.
#[derive(Clone, Default)]
pub(crate) struct Log {
    events: Arc<Mutex<Vec<Event>>>,
    changed: Arc<Notify>,
}

impl Log {
    pub(crate) fn sink(&self) -> impl FnMut(&Event) + Send + 'static {
        let log = self.clone();
        move |event: &Event| {
            log.lock().push(event.clone());
            log.changed.notify_waiters();
        }
    }

    /// Waits for the first event that `wanted` accepts.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(&EventKind) -> bool) {
        loop {
            let changed = self.changed.notified();
            if self.position(&wanted).is_some() {
                return;
            }
            changed.await;
        }
    }

    /// The place of the first event that `wanted` accepts.
    pub(crate) fn position(&self, wanted: impl Fn(&EventKind) -> bool) -> Option<usize> {
        self.lock().iter().position(|event| wanted(&event.kind))
    }

    /// What `wanted` makes of each event, where it makes something of it.
    pub(crate) fn find_map<T>(&self, wanted: impl Fn(&EventKind) -> Option<T>) -> Vec<T> {
        let events = self.lock();
        events
            .iter()
            .filter_map(|event| wanted(&event.kind))
            .collect()
    }

    /// Where the attempts went, in their order.
    pub(crate) fn attempts(&self) -> Vec<SocketAddr> {
        self.find_map(|event| match event {
            EventKind::AttemptStarted { leaf, .. } => Some(leaf.remote),
            _ => None,
        })
    }

    /// Fails unless events as `wanted` describes them came in this order, others between them.
    pub(crate) fn assert_order(&self, wanted: &[Wanted<'_>]) {
        let events = self.lock();
        let mut rest = events.iter();
        for (name, is_wanted) in wanted {
            if !rest.any(|event| is_wanted(&event.kind)) {
                panic!("no event {name:?} at its place in\n{}", text(&events));
            }
        }
    }

    /// The log for people. Times are told and never checked.
    pub(crate) fn text(&self) -> String {
        text(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text(events: &[Event]) -> String {
    let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
