//! The race's driver: carries a pure [`Race`] out against an environment.
//!
//! Invariant: everything that a race started lives inside its future, so dropping the future
//! cancels the race. Only late DNS answers outlive a win, for a bounded time, in a task.

use crate::environment::{BoxFuture, Environment, Timer};
use portway_core::dns::Answer;
use portway_core::path::Path;
use portway_core::race::{
    AttemptId, Event, History, Input, Leaf, Output, Progress, QueryId, Race, RaceConfig, Recorder,
    Recording, Report,
};
use portway_core::{Failure, Time};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// The winner of a race, with the report of how it came about.
#[derive(Debug)]
pub struct Winner<T> {
    /// What the winning attempt established.
    pub established: T,
    /// The leaf that won.
    pub leaf: Leaf,
    /// The tree, every attempt and every query.
    pub report: Box<Report>,
    /// Everything that went in and came out, when the race was recorded.
    pub recording: Option<Box<Recording>>,
    /// What the race learned of addresses.
    pub learned: History,
}

/// A race that was lost, with every attempt and why it failed.
#[derive(Debug)]
pub struct Lost {
    /// Why the race as a whole failed.
    pub failure: Failure,
    /// The tree, every attempt and every query.
    pub report: Box<Report>,
    /// Everything that went in and came out, when the race was recorded.
    pub recording: Option<Box<Recording>>,
    /// What the race learned of addresses.
    pub learned: History,
}

/// Where an attempt tells how far it has come.
#[derive(Clone)]
pub struct ProgressSink {
    attempt: AttemptId,
    progressed: Arc<Mutex<Vec<(AttemptId, Progress)>>>,
}

impl ProgressSink {
    /// Tells the race; it learns of it as soon as the attempt's future returns.
    pub fn report(&self, progress: Progress) {
        self.progressed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((self.attempt, progress));
    }
}

/// Whether a race is recorded for replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Only the report is kept.
    No,
    /// Every input and output is kept.
    Yes,
}

/// A race to be run.
pub struct RaceRequest {
    /// What the race is given.
    pub config: RaceConfig,
    /// Whether it is recorded.
    pub record: Record,
    /// Chooses the paths that may be used among those that there are after a change.
    pub choose_paths: Box<dyn Fn(Vec<Path>) -> Vec<Path> + Send>,
}

/// Runs a race to its decision. `dial` starts the attempt for a leaf; `on_event` sees every
/// decision as it is made.
///
/// Dropping the future cancels every attempt and query.
///
/// # Errors
/// [`Lost`] when no leaf could be established.
pub async fn run_race<T, D, E>(
    environment: &Arc<dyn Environment>,
    request: RaceRequest,
    dial: D,
    on_event: E,
) -> Result<Winner<T>, Box<Lost>>
where
    D: Fn(Leaf, ProgressSink) -> BoxFuture<Result<T, Failure>>,
    E: FnMut(&Event),
{
    let mut runner = Runner::new(environment.clone(), request, dial, on_event);
    let outcome = poll_fn(|context| runner.poll_decided(context)).await;
    runner.conclude(outcome)
}

/// What the polled race came to.
enum Outcome<T> {
    Won(Leaf, T),
    Lost(Failure),
}

/// A race, recorded or not.
enum Machine {
    Plain(Box<Race>),
    Recorded(Box<Recorder>),
}

impl Machine {
    fn race(&self) -> &Race {
        match self {
            Machine::Plain(race) => race,
            Machine::Recorded(recorder) => recorder.race(),
        }
    }

    fn handle(&mut self, now: Time, input: Input) {
        match self {
            Machine::Plain(race) => race.handle(now, input),
            Machine::Recorded(recorder) => recorder.handle(now, input),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        match self {
            Machine::Plain(race) => race.poll_output(),
            Machine::Recorded(recorder) => recorder.poll_output(),
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        match self {
            Machine::Plain(race) => race.poll_event(),
            Machine::Recorded(recorder) => recorder.poll_event(),
        }
    }
}

struct Runner<T, D, E> {
    environment: Arc<dyn Environment>,
    race: Machine,
    dial: D,
    on_event: E,
    attempts: Vec<Attempt<T>>,
    queries: Vec<Query>,
    progressed: Arc<Mutex<Vec<(AttemptId, Progress)>>>,
    timer: Box<dyn Timer>,
    known_paths: Vec<Path>,
    choose_paths: Box<dyn Fn(Vec<Path>) -> Vec<Path> + Send>,
    paths: Option<BoxFuture<Vec<Path>>>,
}

struct Attempt<T> {
    id: AttemptId,
    leaf: Leaf,
    future: BoxFuture<Result<T, Failure>>,
    ready: Option<T>,
}

struct Query {
    id: QueryId,
    future: BoxFuture<Result<Answer, Failure>>,
}

impl<T, D, E> Runner<T, D, E>
where
    D: Fn(Leaf, ProgressSink) -> BoxFuture<Result<T, Failure>>,
    E: FnMut(&Event),
{
    fn new(environment: Arc<dyn Environment>, request: RaceRequest, dial: D, on_event: E) -> Self {
        let RaceRequest {
            config,
            record,
            choose_paths,
        } = request;
        let timer = environment.timer();
        let known_paths = environment.paths();
        let race = match record {
            Record::Yes => Machine::Recorded(Box::new(Recorder::new(environment.now(), config))),
            Record::No => Machine::Plain(Box::new(Race::new(environment.now(), config))),
        };
        Runner {
            race,
            dial,
            on_event,
            attempts: Vec::new(),
            queries: Vec::new(),
            progressed: Arc::default(),
            timer,
            known_paths,
            choose_paths,
            paths: None,
            environment,
        }
    }

    fn poll_decided(&mut self, context: &mut Context<'_>) -> Poll<Outcome<T>> {
        loop {
            if let Some(outcome) = self.carry_out() {
                return Poll::Ready(outcome);
            }
            let moved = self.poll_queries(context)
                | self.poll_attempts(context)
                | self.poll_paths(context)
                | self.poll_timer(context);
            if !moved {
                return Poll::Pending;
            }
        }
    }

    /// Does what the race asks for until it asks for nothing more.
    fn carry_out(&mut self) -> Option<Outcome<T>> {
        while let Some(output) = self.race.poll_output() {
            match output {
                Output::Resolve(id, question) => {
                    let future = self.environment.resolve(question);
                    self.queries.push(Query { id, future });
                }
                Output::Attempt(id, leaf) => {
                    let sink = ProgressSink {
                        attempt: id,
                        progressed: self.progressed.clone(),
                    };
                    let future = (self.dial)(leaf.clone(), sink);
                    self.attempts.push(Attempt {
                        id,
                        leaf,
                        future,
                        ready: None,
                    });
                }
                Output::Cancel(id) => self.attempts.retain(|attempt| attempt.id != id),
                Output::Won(id) => {
                    self.tell_events();
                    let index = self.attempts.iter().position(|attempt| attempt.id == id)?;
                    let mut winner = self.attempts.swap_remove(index);
                    self.attempts.clear();
                    return winner
                        .ready
                        .take()
                        .map(|ready| Outcome::Won(winner.leaf, ready));
                }
                Output::Lost(failure) => {
                    self.tell_events();
                    return Some(Outcome::Lost(failure));
                }
                other => debug_assert!(false, "an output without a meaning here: {other:?}"),
            }
        }
        self.tell_events();
        None
    }

    fn tell_events(&mut self) {
        while let Some(event) = self.race.poll_event() {
            (self.on_event)(&event);
        }
    }

    fn input(&mut self, input: Input) {
        let now = self.environment.now();
        self.race.handle(now, input);
    }

    fn poll_queries(&mut self, context: &mut Context<'_>) -> bool {
        let mut moved = false;
        let mut index = 0;
        while index < self.queries.len() {
            match self.queries[index].future.as_mut().poll(context) {
                Poll::Pending => index += 1,
                Poll::Ready(result) => {
                    let id = self.queries.remove(index).id;
                    self.input(match result {
                        Ok(answer) => Input::Answered(id, answer),
                        Err(failure) => Input::QueryFailed(id, failure),
                    });
                    moved = true;
                }
            }
        }
        moved
    }

    fn poll_attempts(&mut self, context: &mut Context<'_>) -> bool {
        let mut moved = false;
        let mut index = 0;
        while index < self.attempts.len() {
            if self.attempts[index].ready.is_some() {
                index += 1;
                continue;
            }
            let polled = self.attempts[index].future.as_mut().poll(context);
            moved |= self.take_progress();
            match polled {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(established)) => {
                    let attempt = &mut self.attempts[index];
                    attempt.ready = Some(established);
                    let id = attempt.id;
                    self.input(Input::Succeeded(id));
                    // The race decides on the first success; what else is ready loses.
                    return true;
                }
                Poll::Ready(Err(failure)) => {
                    let id = self.attempts.remove(index).id;
                    self.input(Input::Failed(id, failure));
                    moved = true;
                }
            }
        }
        moved
    }

    fn take_progress(&mut self) -> bool {
        let progressed = std::mem::take(
            &mut *self
                .progressed
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let moved = !progressed.is_empty();
        for (id, progress) in progressed {
            self.input(Input::Progressed(id, progress));
        }
        moved
    }

    fn poll_paths(&mut self, context: &mut Context<'_>) -> bool {
        // Only a race that waits for a route cares, so the monitor is not started before.
        if self.race.race().waiting().is_none() {
            self.paths = None;
            return false;
        }
        let (environment, known) = (&self.environment, &self.known_paths);
        let future = self
            .paths
            .get_or_insert_with(|| environment.paths_changed(known.clone()));
        match future.as_mut().poll(context) {
            Poll::Pending => false,
            Poll::Ready(paths) => {
                self.paths = None;
                self.known_paths.clone_from(&paths);
                let chosen = (self.choose_paths)(paths);
                self.input(Input::PathsChanged(chosen));
                true
            }
        }
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> bool {
        self.timer.reset(self.race.race().poll_timeout());
        match self.timer.poll_expired(context) {
            Poll::Pending => false,
            Poll::Ready(()) => {
                self.input(Input::TimerExpired);
                true
            }
        }
    }

    fn conclude(mut self, outcome: Outcome<T>) -> Result<Winner<T>, Box<Lost>> {
        let report = Box::new(self.race.race().report());
        let learned = self.race.race().learned().clone();
        if matches!(outcome, Outcome::Won(..)) {
            self.take_late_answers();
        }
        let recording = match self.race {
            Machine::Recorded(recorder) => Some(Box::new(recorder.finish())),
            Machine::Plain(_) => None,
        };
        match outcome {
            Outcome::Won(leaf, established) => Ok(Winner {
                established,
                leaf,
                report,
                recording,
                learned,
            }),
            Outcome::Lost(failure) => Err(Box::new(Lost {
                failure,
                report,
                recording,
                learned,
            })),
        }
    }

    /// Happy Eyeballs v3: answers are still taken for a while after the win, so that the
    /// resolver's cache has them next time.
    fn take_late_answers(&mut self) {
        let queries = std::mem::take(&mut self.queries);
        if queries.is_empty() {
            return;
        }
        let mut timer = self.environment.timer();
        timer.reset(self.race.race().poll_timeout());
        self.environment
            .spawn(Box::pin(LateAnswers { queries, timer }));
    }
}

/// Keeps unanswered queries alive until all are answered or the time is up.
struct LateAnswers {
    queries: Vec<Query>,
    timer: Box<dyn Timer>,
}

impl Future for LateAnswers {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.queries
            .retain_mut(|query| query.future.as_mut().poll(context).is_pending());
        if self.queries.is_empty() {
            return Poll::Ready(());
        }
        self.timer.poll_expired(context)
    }
}
