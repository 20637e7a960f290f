//! A race as a recording: what went in and what came out, to be run again anywhere.
//!
//! Invariant: a race draws on nothing but its configuration and its inputs, so the same recording
//! gives the same outputs and events, byte for byte.

use super::config::RaceConfig;
use super::event::Event;
use super::io::{Input, Output};
use super::machine::Race;
use super::report::Report;
use crate::time::Time;
use serde::{Deserialize, Serialize};

/// Everything that went into a race and came out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// When the race started.
    pub started: Time,
    /// What it was given.
    pub config: RaceConfig,
    /// What happened, in order.
    pub inputs: Vec<(Time, Input)>,
    /// What the race wanted done, in order.
    pub outputs: Vec<Output>,
    /// What it decided and why, in order.
    pub events: Vec<Event>,
}

impl Recording {
    /// Runs the race again.
    ///
    /// # Errors
    /// The first output or event that differs from the recorded one.
    pub fn replay(&self) -> Result<Report, Divergence> {
        let mut recorder = Recorder::new(self.started, self.config.clone());
        recorder.drain();
        for (now, input) in &self.inputs {
            recorder.handle(*now, input.clone());
            recorder.drain();
        }
        let replayed = &recorder.recording;
        compare(Diverging::Output, &self.outputs, &replayed.outputs)?;
        compare(Diverging::Event, &self.events, &replayed.events)?;
        Ok(recorder.race.report())
    }
}

/// Where a replay stopped following its recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {index} differs: recorded {recorded}, replayed {replayed}")]
#[non_exhaustive]
pub struct Divergence {
    /// Which list differs.
    pub what: Diverging,
    /// The place in that list.
    pub index: usize,
    /// What was recorded there.
    pub recorded: String,
    /// What the replay gave.
    pub replayed: String,
}

/// Which list of a recording differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Diverging {
    /// The outputs.
    Output,
    /// The events.
    Event,
}

impl std::fmt::Display for Diverging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Diverging::Output => "output",
            Diverging::Event => "event",
        })
    }
}

/// A race that writes down what goes in and what comes out.
#[derive(Clone, Debug)]
pub struct Recorder {
    race: Race,
    recording: Recording,
}

impl Recorder {
    /// Starts a race that is recorded.
    pub fn new(now: Time, config: RaceConfig) -> Self {
        Recorder {
            recording: Recording {
                started: now,
                config: config.clone(),
                ..Recording::default()
            },
            race: Race::new(now, config),
        }
    }

    /// The race, for everything that changes nothing.
    pub fn race(&self) -> &Race {
        &self.race
    }

    /// See [`Race::handle`].
    pub fn handle(&mut self, now: Time, input: Input) {
        self.recording.inputs.push((now, input.clone()));
        self.race.handle(now, input);
    }

    /// See [`Race::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.race.poll_output()?;
        self.recording.outputs.push(output.clone());
        Some(output)
    }

    /// See [`Race::poll_event`].
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.race.poll_event()?;
        self.recording.events.push(event.clone());
        Some(event)
    }

    /// See [`Race::poll_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        self.race.poll_timeout()
    }

    /// The recording so far; what was not polled yet is polled first.
    pub fn finish(mut self) -> Recording {
        self.drain();
        self.recording
    }

    fn drain(&mut self) {
        while self.poll_output().is_some() {}
        while self.poll_event().is_some() {}
    }
}

fn compare<T: Serialize + PartialEq>(
    what: Diverging,
    recorded: &[T],
    replayed: &[T],
) -> Result<(), Divergence> {
    let show = |item: Option<&T>| match item {
        Some(item) => serde_json::to_string(item).unwrap_or_else(|error| error.to_string()),
        None => "nothing".to_owned(),
    };
    for index in 0..recorded.len().max(replayed.len()) {
        if recorded.get(index) != replayed.get(index) {
            return Err(Divergence {
                what,
                index,
                recorded: show(recorded.get(index)),
                replayed: show(replayed.get(index)),
            });
        }
    }
    Ok(())
}
