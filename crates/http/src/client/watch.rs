//! Sees how far the race of a dial has come, tells it, and keeps the time limits of its phases.
//!
//! Invariant: it only looks on; the race decides without it.

use super::error::{Error, Phase};
use super::event::{ClientEvent, Phases};
use super::settings::Settings;
use super::timeouts::{Deadline, Timeouts};
use crate::pool::DialId;
use portway_core::race::{AttemptId, Event, EventKind, Progress, QueryId};
use portway_core::{Failure, StackId, Time};
use portway_transport::driver::Observer;
use portway_transport::environment::Environment;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// Sees how far a race has come, tells it, and keeps its time limits.
#[derive(Clone)]
pub(super) struct Watch {
    settings: Arc<Settings>,
    id: DialId,
    marks: Arc<Mutex<Marks>>,
}

struct Marks {
    started: Time,
    /// When the race began: later where a place at a proxy was waited for before.
    dialled: Time,
    /// Since when a place at a proxy is waited for, until a dial is made for it.
    waiting: Option<Time>,
    attempted: Option<Time>,
    connected: Option<Time>,
    /// Questions to the resolver that are not answered yet.
    asked: Vec<(QueryId, Time, String)>,
    /// Attempts over QUIC.
    quic: Vec<Tried>,
}

/// An attempt over QUIC.
struct Tried {
    attempt: AttemptId,
    remote: usize,
    is_answered: bool,
    failure: Option<Failure>,
}

impl Watch {
    pub(super) fn new(settings: Arc<Settings>, id: DialId, started: Time) -> Self {
        let marks = Marks {
            started,
            dialled: started,
            waiting: None,
            attempted: None,
            connected: None,
            asked: Vec::new(),
            quic: Vec::new(),
        };
        Watch {
            settings,
            id,
            marks: Arc::new(Mutex::new(marks)),
        }
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The remote endpoints that QUIC got nothing from so far, though it was tried.
    pub(super) fn silent_over_quic(&self) -> Vec<usize> {
        let marks = self.marks();
        let is_silent = |remote: usize| {
            let mut tried = marks.quic.iter().filter(|tried| tried.remote == remote);
            tried.all(|tried| !tried.is_answered)
        };
        let remotes = marks.quic.iter().map(|tried| tried.remote);
        remotes.filter(|remote| is_silent(*remote)).collect()
    }

    /// What became of HTTP/3 where another version won.
    pub(super) fn quic_outcome(&self) -> Option<String> {
        let marks = self.marks();
        let last = marks.quic.last()?;
        Some(match (&last.failure, last.is_answered) {
            (Some(failure), _) => format!("HTTP/3 failed: {}", failure.detail),
            (None, true) => "HTTP/3 was answered and slower".to_owned(),
            (None, false) => "HTTP/3 was not answered in time".to_owned(),
        })
    }

    pub(super) fn phases(&self, ready: Time) -> Phases {
        let marks = self.marks();
        let attempted = marks.attempted.unwrap_or(ready);
        Phases {
            resolved: attempted - marks.started,
            connected: marks.connected.unwrap_or(ready) - marks.started,
            ready: ready - marks.started,
        }
    }

    /// An attempt begins that is no race's.
    pub(super) fn on_attempt(&self, now: Time) {
        self.marks().attempted = Some(now);
    }

    /// That attempt has its transport.
    pub(super) fn on_transport(&self, now: Time) {
        self.marks().connected = Some(now);
    }

    /// An attempt of the race begins.
    pub(super) fn on_started(&self) {
        let now = self.settings.context.environment().now();
        self.marks().attempted.get_or_insert(now);
    }

    /// What the race was to lead to is there already.
    pub(super) fn on_reached(&self, now: Time) {
        let mut marks = self.marks();
        marks.attempted.get_or_insert(now);
        marks.connected.get_or_insert(now);
    }

    /// Runs the race unless one of its phases takes too long.
    pub(super) async fn bounded<T>(
        &self,
        race: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.within(Marks::due, race).await
    }

    /// Waits for a place at a proxy, for no longer than connecting may take. A dial that is made
    /// for it meanwhile has its own limits.
    pub(super) async fn waiting<T>(
        &self,
        place: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let now = self.settings.context.environment().now();
        self.marks().waiting = Some(now);
        self.within(Marks::place_due, place).await
    }

    /// What waits for a place is dialled for, from now on.
    pub(super) fn on_dial(&self, now: Time) {
        let mut marks = self.marks();
        (marks.waiting, marks.dialled) = (None, now);
    }

    async fn within<T>(
        &self,
        due: impl Fn(&Marks, &Timeouts) -> Option<(Time, Phase)>,
        race: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let environment = &**self.settings.context.environment();
        let mut race = pin!(race);
        let mut deadline = None;
        poll_fn(|context| {
            if let Poll::Ready(done) = race.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            let due = due(&self.marks(), &self.settings.timeouts);
            self.poll_due(due, &mut deadline, environment, context)
                .map(Err)
        })
        .await
    }

    fn poll_due(
        &self,
        due: Option<(Time, Phase)>,
        deadline: &mut Option<Deadline>,
        environment: &dyn Environment,
        context: &mut Context<'_>,
    ) -> Poll<Error> {
        let Some((at, phase)) = due else {
            return Poll::Pending;
        };
        let deadline = deadline.get_or_insert_with(|| Deadline::patient(environment, at, phase));
        deadline.turn_to(at, phase);
        deadline.poll(context)
    }
}

impl Marks {
    fn tried(&mut self, attempt: AttemptId) -> Option<&mut Tried> {
        self.quic.iter_mut().find(|tried| tried.attempt == attempt)
    }

    /// When a question was asked that now has its answer, and for which name.
    fn answered(&mut self, query: QueryId) -> Option<(Time, String)> {
        let at = self.asked.iter().position(|(asked, ..)| *asked == query)?;
        let (_, since, name) = self.asked.swap_remove(at);
        Some((since, name))
    }

    /// When a place at a proxy must have been found, unless a dial is under way for it.
    fn place_due(&self, limits: &Timeouts) -> Option<(Time, Phase)> {
        Some((self.waiting? + limits.connect?, Phase::Connect))
    }

    /// When the present phase must have ended.
    fn due(&self, limits: &Timeouts) -> Option<(Time, Phase)> {
        let (since, limit, phase) = match (self.attempted, self.connected) {
            (None, _) => (self.dialled, limits.resolve, Phase::Resolve),
            (Some(since), None) => (since, limits.connect, Phase::Connect),
            (_, Some(since)) => (since, limits.handshake, Phase::Handshake),
        };
        limit.map(|limit| (since + limit, phase))
    }
}

impl Observer for Watch {
    fn is_attentive(&self) -> bool {
        self.settings.is_watched()
    }

    fn on_progress(&mut self, now: Time, progress: &Progress) {
        if let Progress::TransportConnected { .. } = progress {
            self.marks().connected.get_or_insert(now);
        }
    }

    fn on_event(&mut self, event: &Event) {
        let mut answered = None;
        {
            let mut marks = self.marks();
            match &event.kind {
                EventKind::Asked { query, question } => {
                    let name = question.name.clone();
                    marks.asked.push((*query, event.at, name));
                }
                EventKind::Answered { query, .. } => {
                    answered = marks.answered(*query).map(|asked| (asked, false));
                }
                EventKind::QueryFailed { query, .. } => {
                    answered = marks.answered(*query).map(|asked| (asked, true));
                }
                EventKind::AttemptStarted { attempt, leaf, .. } if leaf.stack == StackId::QUIC => {
                    marks.quic.push(Tried {
                        attempt: *attempt,
                        remote: leaf.remote_index,
                        is_answered: false,
                        failure: None,
                    });
                }
                EventKind::Progressed { attempt, .. } => {
                    if let Some(tried) = marks.tried(*attempt) {
                        tried.is_answered = true;
                    }
                }
                EventKind::AttemptFailed { attempt, failure } => {
                    if let Some(tried) = marks.tried(*attempt) {
                        tried.is_answered = false;
                        tried.failure = Some(failure.clone());
                    }
                }
                EventKind::Won { attempt } => {
                    // Of its endpoint nothing more is to be said, whatever its other addresses did.
                    if let Some(won) = marks.tried(*attempt).map(|tried| tried.remote) {
                        marks.quic.retain(|tried| tried.remote != won);
                    }
                }
                _ => {}
            }
        }
        if let Some(((since, name), is_failed)) = answered {
            let took = event.at.saturating_since(since);
            self.settings.telemetry.on_lookup(&name, took, is_failed);
        }
        self.settings
            .tell(|| ClientEvent::Race(self.id, event.clone()));
    }
}
