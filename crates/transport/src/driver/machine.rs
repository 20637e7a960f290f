//! The machine of a race as the driver sees it: in full, recorded, or a walkover in short.
//!
//! Invariant: a walkover gives way to the machine, with everything that has happened, at the first
//! input or look that it cannot answer; nobody sees the difference.

use super::{Record, Terms};
use portway_core::Time;
use portway_core::race::{
    Account, AttemptId, Event, Input, Output, Race, Recorder, Recording, Walkover,
};

pub(super) enum Machine {
    Walkover(Walkover, Told),
    Plain(Box<Race>),
    Recorded(Box<Recorder>),
}

/// How much of a walkover was polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    Attempt,
    Everything,
}

impl Machine {
    pub(super) fn start(now: Time, terms: Terms) -> Self {
        match terms {
            Terms::Walkover(mut walkover) => match walkover.start(now) {
                true => Machine::Walkover(walkover, Told::Nothing),
                false => Machine::Plain(Box::new(walkover.race())),
            },
            Terms::Race(config, Record::Yes) => {
                Machine::Recorded(Box::new(Recorder::new(now, *config)))
            }
            Terms::Race(config, Record::No) => Machine::Plain(Box::new(Race::new(now, *config))),
        }
    }

    /// From now on every decision is made in so many words.
    pub(super) fn run(&mut self) {
        if let Machine::Walkover(walkover, told) = self {
            let mut race = Box::new(walkover.race());
            if *told != Told::Nothing {
                while race.poll_output().is_some() {}
                while race.poll_event().is_some() {}
            }
            *self = Machine::Plain(race);
        }
    }

    pub(super) fn handle(&mut self, now: Time, input: Input) {
        if let Machine::Walkover(walkover, _) = self {
            if walkover.take(now, &input) {
                return;
            }
            self.run();
        }
        match self {
            Machine::Walkover(..) => {}
            Machine::Plain(race) => race.handle(now, input),
            Machine::Recorded(recorder) => recorder.handle(now, input),
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        match self {
            Machine::Walkover(walkover, told) => match told {
                Told::Nothing => {
                    *told = Told::Attempt;
                    Some(Output::Attempt(AttemptId(0), walkover.leaf()))
                }
                Told::Attempt if walkover.is_won() => {
                    *told = Told::Everything;
                    Some(Output::Won(AttemptId(0)))
                }
                _ => None,
            },
            Machine::Plain(race) => race.poll_output(),
            Machine::Recorded(recorder) => recorder.poll_output(),
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        match self {
            Machine::Walkover(..) => None,
            Machine::Plain(race) => race.poll_event(),
            Machine::Recorded(recorder) => recorder.poll_event(),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match self {
            Machine::Walkover(walkover, _) => walkover.deadline(),
            Machine::Plain(race) => race.poll_timeout(),
            Machine::Recorded(recorder) => recorder.poll_timeout(),
        }
    }

    /// Whether the race waits for a route.
    pub(super) fn is_waiting(&self) -> bool {
        match self {
            Machine::Walkover(..) => false,
            Machine::Plain(race) => race.waiting().is_some(),
            Machine::Recorded(recorder) => recorder.race().waiting().is_some(),
        }
    }

    /// How the race went, and its recording if there is one.
    pub(super) fn finish(self) -> (Account, Option<Box<Recording>>) {
        match self {
            Machine::Walkover(walkover, _) => (walkover.into(), None),
            Machine::Plain(race) => (race.into(), None),
            Machine::Recorded(recorder) => {
                let account = Account::of(recorder.race());
                (account, Some(Box::new(recorder.finish())))
            }
        }
    }
}
