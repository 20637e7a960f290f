//! The queue of what happens later, in order of time, then of insertion.
//!
//! Invariant: two events of the same time run in the order in which they were scheduled.

use crate::state::State;
use crate::world::World;
use portway_core::Time;
use std::collections::BTreeMap;
use std::task::Waker;

/// Identifies a scheduled event; it sorts by time.
pub(crate) type EventKey = (Time, u64);

/// What an event does when its time has come.
pub(crate) enum Event {
    /// Wakes a timer's owner.
    Wake(Waker),
    /// Changes the network's state.
    State(Box<dyn FnOnce(&mut State) + Send>),
    /// Runs what a test has scheduled, without a lock.
    World(Box<dyn FnOnce(&World) + Send>),
}

/// The events that are still to come.
#[derive(Default)]
pub(crate) struct EventQueue {
    events: BTreeMap<EventKey, Event>,
    inserted: u64,
}

impl EventQueue {
    pub(crate) fn insert(&mut self, at: Time, event: Event) -> EventKey {
        let key = (at, self.inserted);
        self.inserted += 1;
        self.events.insert(key, event);
        key
    }

    /// Replaces the waker of a timer that is still queued, keeping its place.
    pub(crate) fn set_waker(&mut self, key: EventKey, waker: &Waker) -> bool {
        match self.events.get_mut(&key) {
            Some(Event::Wake(old)) => {
                old.clone_from(waker);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn remove(&mut self, key: EventKey) -> Option<Event> {
        self.events.remove(&key)
    }

    pub(crate) fn next_time(&self) -> Option<Time> {
        self.events.keys().next().map(|key| key.0)
    }

    pub(crate) fn pop(&mut self) -> Option<(Time, Event)> {
        let (key, event) = self.events.pop_first()?;
        Some((key.0, event))
    }
}
