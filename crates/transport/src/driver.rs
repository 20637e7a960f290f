//! The race's driver: carries a pure [`Race`](portway_core::race::Race) out against an environment.
//!
//! Invariant: everything that a race started lives inside its future, so dropping the future
//! cancels the race. Only late DNS answers outlive a win, for a bounded time, in a task.

mod machine;

use crate::environment::{BoxFuture, Environment, Timer};
use machine::Machine;
use portway_core::dns::Answer;
use portway_core::path::Path;
use portway_core::race::{
    Account, AttemptId, Event, History, Input, Leaf, Output, Progress, QueryId, RaceConfig,
    Recording, Report, Walkover,
};
use portway_core::{Failure, Time};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// The winner of a race, with the account of how it came about.
#[derive(Debug)]
pub struct Winner<T> {
    /// What the winning attempt established.
    pub established: T,
    /// The tree, every attempt and every query, and what was learned of addresses.
    pub account: Account,
    /// Everything that went in and came out, when the race was recorded.
    pub recording: Option<Box<Recording>>,
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
    pub terms: Terms,
    /// The paths that it starts with, and how to choose among others.
    pub paths: Arc<dyn RacePaths>,
}

/// What a race is given.
pub enum Terms {
    /// A race of one leaf, which nobody needs to see decided.
    Walkover(Walkover),
    /// Any race.
    Race(Box<RaceConfig>, Record),
}

/// The paths of a race.
pub trait RacePaths: Send + Sync {
    /// All paths that there were when the race was planned.
    fn known(&self) -> &[Path];

    /// Those that may be used among the ones that there are after a change.
    fn choose(&self, paths: Vec<Path>) -> Vec<Path>;
}

/// Who sees the decisions of a race.
pub trait Observer {
    /// Whether decisions are of interest from now on. Until they are, a walkover decides nothing
    /// in so many words.
    fn is_attentive(&self) -> bool;

    /// A decision, as it is made.
    fn on_event(&mut self, event: &Event);

    /// An attempt has come this far, which is told of a walkover too.
    fn on_progress(&mut self, _now: Time, _progress: &Progress) {}
}

/// Runs a race to its decision. `dial` starts the attempt for a leaf.
///
/// Dropping the future cancels every attempt and query.
///
/// # Errors
/// [`Lost`] when no leaf could be established.
pub async fn run_race<T, D, O>(
    environment: &Arc<dyn Environment>,
    request: RaceRequest,
    dial: D,
    observer: O,
) -> Result<Winner<T>, Box<Lost>>
where
    D: Fn(Leaf, ProgressSink) -> BoxFuture<Result<T, Failure>>,
    O: Observer,
{
    let mut runner = Runner::new(environment.clone(), request, dial, observer);
    let outcome = poll_fn(|context| runner.poll_decided(context)).await;
    runner.conclude(outcome)
}

/// What the polled race came to.
enum Outcome<T> {
    Won(T),
    Lost(Failure),
}

struct Runner<T, D, O> {
    environment: Arc<dyn Environment>,
    race: Machine,
    dial: D,
    observer: O,
    attempts: Vec<Attempt<T>>,
    queries: Vec<Query>,
    progressed: Arc<Mutex<Vec<(AttemptId, Progress)>>>,
    /// Made when the race first waits for a moment.
    timer: Option<Box<dyn Timer>>,
    paths: Arc<dyn RacePaths>,
    /// Other paths than those that the race started with, since the network changed.
    changed_paths: Option<Vec<Path>>,
    next_paths: Option<BoxFuture<Vec<Path>>>,
}

struct Attempt<T> {
    id: AttemptId,
    future: BoxFuture<Result<T, Failure>>,
    ready: Option<T>,
}

struct Query {
    id: QueryId,
    future: BoxFuture<Result<Answer, Failure>>,
}

impl<T, D, O> Runner<T, D, O>
where
    D: Fn(Leaf, ProgressSink) -> BoxFuture<Result<T, Failure>>,
    O: Observer,
{
    fn new(environment: Arc<dyn Environment>, request: RaceRequest, dial: D, observer: O) -> Self {
        let mut race = Machine::start(environment.now(), request.terms);
        if observer.is_attentive() {
            race.run();
        }
        Runner {
            race,
            dial,
            observer,
            attempts: Vec::new(),
            queries: Vec::new(),
            progressed: Arc::default(),
            timer: None,
            paths: request.paths,
            changed_paths: None,
            next_paths: None,
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
                    let future = (self.dial)(leaf, sink);
                    // Most races need one attempt.
                    self.attempts.reserve_exact(1);
                    self.attempts.push(Attempt {
                        id,
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
                    return winner.ready.take().map(Outcome::Won);
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
            self.observer.on_event(&event);
        }
    }

    fn input(&mut self, input: Input) {
        if self.observer.is_attentive() {
            self.race.run();
        }
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
            self.observer.on_progress(self.environment.now(), &progress);
            self.input(Input::Progressed(id, progress));
        }
        moved
    }

    fn poll_paths(&mut self, context: &mut Context<'_>) -> bool {
        // Only a race that waits for a route cares, so the monitor is not started before.
        if !self.race.is_waiting() {
            self.next_paths = None;
            return false;
        }
        let future = self.next_paths.get_or_insert_with(|| {
            let known = match &self.changed_paths {
                Some(changed) => changed.clone(),
                None => self.paths.known().to_vec(),
            };
            self.environment.paths_changed(known)
        });
        match future.as_mut().poll(context) {
            Poll::Pending => false,
            Poll::Ready(paths) => {
                self.next_paths = None;
                self.changed_paths = Some(paths.clone());
                let chosen = self.paths.choose(paths);
                self.input(Input::PathsChanged(chosen));
                true
            }
        }
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> bool {
        let deadline = self.race.poll_timeout();
        if deadline.is_none() && self.timer.is_none() {
            return false;
        }
        let timer = self.timer.get_or_insert_with(|| self.environment.timer());
        timer.reset(deadline);
        match timer.poll_expired(context) {
            Poll::Pending => false,
            Poll::Ready(()) => {
                self.input(Input::TimerExpired);
                true
            }
        }
    }

    fn conclude(mut self, outcome: Outcome<T>) -> Result<Winner<T>, Box<Lost>> {
        match outcome {
            Outcome::Won(established) => {
                self.take_late_answers();
                let (account, recording) = self.race.finish();
                Ok(Winner {
                    established,
                    account,
                    recording,
                })
            }
            Outcome::Lost(failure) => {
                let mut learned = History::default();
                let (account, recording) = self.race.finish();
                account.teach(&mut learned);
                Err(Box::new(Lost {
                    failure,
                    report: Box::new(account.report()),
                    recording,
                    learned,
                }))
            }
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
        timer.reset(self.race.poll_timeout());
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
