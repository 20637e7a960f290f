//! Where the parts of a race put what they decide: events with their time, and outputs.

use super::event::{Event, EventKind};
use super::io::Output;
use crate::time::Time;
use std::collections::VecDeque;

/// The two queues that leave the race.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub(super) now: Time,
    pub(super) events: VecDeque<Event>,
    pub(super) outputs: VecDeque<Output>,
}

impl Log {
    pub(super) fn event(&mut self, kind: EventKind) {
        self.events.push_back(Event { at: self.now, kind });
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Notes that a limit cut something off, if it did.
    pub(super) fn limit(&mut self, limit: &str, dropped: usize) {
        if dropped > 0 {
            self.event(EventKind::LimitReached {
                limit: limit.to_owned(),
                dropped,
            });
        }
    }
}
