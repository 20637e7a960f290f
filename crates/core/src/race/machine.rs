//! The race itself: inputs in, outputs and events out.
//!
//! Invariant: after every input the race is settled: whatever may start now has started, and
//! `poll_timeout` names the next moment at which something changes by itself.
//!
//! ```text
//! resolving ─► racing ─► won  ─► late answers ─► finished
//!     │  ▲        │ └──► lost ───────────────────► finished
//!     ▼  │        ▼
//!    waiting (no route yet; paths change)
//! ```

use super::config::{History, RaceConfig, Setback};
use super::event::{CancelReason, Event, EventKind, Exclusion, Group, ReadyReason, StartReason};
use super::io::{AttemptId, Input, Leaf, Output, Progress, QueryId};
use super::log::Log;
use super::plan::{LeafKey, Plan, PlannedLeaf, Planner};
use super::random::Random;
use super::report::Report;
use super::resolution::{Families, Resolution, no_address};
use super::route::{Route, families};
use super::schedule::{Schedule, attempt_delay, estimate};
use super::tier::{self, Verdict};
use crate::failure::{Failure, FailureKind, Origin};
use crate::path::Path;
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One establishment: resolves, attempts and decides, without doing any of it itself.
#[derive(Clone, Debug)]
pub struct Race {
    pub(super) config: RaceConfig,
    pub(super) started: Time,
    pub(super) resolution: Resolution,
    pub(super) plan: Plan,
    pub(super) attempts: Vec<Attempt>,
    pub(super) decision: Option<Decision>,
    pub(super) waiting: Option<String>,
    pub(super) tiers: Tiers,
    gates: Vec<Gate>,
    leaves: LeafStates,
    schedule: Schedule,
    families: Families,
    learned: History,
    random: Random,
    log: Log,
}

/// How a race ended.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    pub(super) at: Time,
    pub(super) result: Result<AttemptId, Failure>,
    is_finished: bool,
}

/// An attempt with everything that became of it.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) leaf: Leaf,
    pub(super) key: LeafKey,
    pub(super) group: Group,
    pub(super) reason: StartReason,
    pub(super) started: Time,
    pub(super) answered: Option<Time>,
    pub(super) connected: Option<Time>,
    pub(super) rtt: Option<Duration>,
    pub(super) end: Option<(Time, End)>,
    route: Route,
}

impl Attempt {
    /// Whether the peer was silent for an attempt delay or showed that it lacks the stack.
    fn was_in_vain(&self, now: Time, config: &RaceConfig) -> bool {
        match &self.end {
            Some((_, End::Failed(failure))) => matches!(
                failure.kind,
                FailureKind::TimedOut
                    | FailureKind::Refused
                    | FailureKind::Unsupported
                    | FailureKind::AlpnMismatch
            ),
            None => {
                self.answered.is_none() && self.started + attempt_delay(config, &self.leaf) <= now
            }
            Some(_) => false,
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    Succeeded,
    Failed(Failure),
    /// Failed for want of a route; the leaf is tried again when the paths change.
    Parked(Failure),
    Cancelled(CancelReason),
}

/// The security tiers and the one that is being raced.
#[derive(Clone, Debug, Default)]
pub(super) struct Tiers {
    pub(super) of_candidate: BTreeMap<usize, u8>,
    current: u8,
}

/// Whether attempts to a remote endpoint may start (Happy Eyeballs v3 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Closed,
    Delayed(Time),
    Open,
}

/// Which leaves have started, and what was already told about the others.
#[derive(Clone, Debug, Default)]
struct LeafStates {
    taken: BTreeSet<LeafKey>,
    parked: BTreeSet<LeafKey>,
    told: BTreeSet<Exclusion>,
    order: Vec<LeafKey>,
    dropped: usize,
    is_plan_stale: bool,
}

impl Race {
    /// Starts a race. Its first questions and attempts are ready to be polled.
    pub fn new(now: Time, config: RaceConfig) -> Race {
        let mut log = Log {
            now,
            ..Log::default()
        };
        let tiers = Tiers {
            of_candidate: tier::tiers(&config, &mut log),
            current: 0,
        };
        let resolution = Resolution::new(&config, &mut log);
        let mut race = Race {
            started: now,
            gates: vec![Gate::Closed; resolution.len()],
            resolution,
            plan: Plan::default(),
            attempts: Vec::new(),
            decision: None,
            waiting: None,
            tiers,
            leaves: LeafStates {
                is_plan_stale: true,
                ..LeafStates::default()
            },
            schedule: Schedule::default(),
            families: families(&config.paths, config.families),
            learned: History::default(),
            random: Random::new(config.seed),
            log,
            config,
        };
        race.settle();
        race
    }

    /// Tells the race what happened. Time never runs backwards: an earlier `now` counts as the
    /// latest one.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.log.now = now.max(self.log.now);
        match input {
            Input::Answered(query, answer) => self.on_answer(query, answer),
            Input::QueryFailed(query, failure) => self.on_query_failed(query, failure),
            Input::Progressed(id, progress) => self.on_progress(id, progress),
            Input::Succeeded(id) => self.on_success(id),
            Input::Failed(id, failure) => self.on_failure(id, failure),
            Input::PathsChanged(paths) => self.on_paths(paths),
            Input::TimerExpired => {}
            Input::Cancelled => self.on_cancelled(),
        }
        self.settle();
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.log.outputs.pop_front()
    }

    /// The next decision, with its reason.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.log.events.pop_front()
    }

    /// When to call [`Race::handle`] with [`Input::TimerExpired`]; always in the future.
    pub fn poll_timeout(&self) -> Option<Time> {
        let now = self.log.now;
        let gates = self.gates.iter().filter_map(|gate| match gate {
            Gate::Delayed(until) => Some(*until),
            _ => None,
        });
        let timers: Vec<Time> = match &self.decision {
            Some(decision) if decision.is_finished => return None,
            Some(decision) => vec![decision.at + self.config.timing.late_answers],
            None => gates
                .chain(self.next_start_at())
                .chain(self.config.timing.deadline)
                .collect(),
        };
        timers.into_iter().filter(|timer| *timer > now).min()
    }

    /// Whether the race is won or lost.
    pub fn is_decided(&self) -> bool {
        self.decision.is_some()
    }

    /// Whether nothing is left to be done, late answers included.
    pub fn is_finished(&self) -> bool {
        let decision = self.decision.as_ref();
        decision.is_some_and(|decision| decision.is_finished)
    }

    /// What the race waits for instead of failing, while there is no route.
    pub fn waiting(&self) -> Option<&str> {
        self.waiting.as_deref()
    }

    /// What this race measured, to be added to the history of later ones.
    pub fn learned(&self) -> &History {
        &self.learned
    }

    /// The tree, every attempt and every question, as they are now.
    pub fn report(&self) -> Report {
        Report::of(self)
    }

    /// The current time of the race: that of its latest input.
    pub(super) fn now(&self) -> Time {
        self.log.now
    }

    /// Whether a leaf has started or was tried.
    pub(super) fn is_taken(&self, leaf: &PlannedLeaf) -> bool {
        self.leaves.taken.contains(&leaf.key) || self.leaves.parked.contains(&leaf.key)
    }

    fn on_answer(&mut self, query: QueryId, answer: crate::dns::Answer) {
        if !self.is_awaited(query) {
            return;
        }
        self.log.event(EventKind::Answered {
            query,
            records: answer.data.len(),
            is_late: self.decision.is_some(),
        });
        self.resolution
            .on_answer(query, answer, &self.config, &mut self.log);
        self.leaves.is_plan_stale = true;
    }

    fn on_query_failed(&mut self, query: QueryId, failure: Failure) {
        if !self.is_awaited(query) {
            return;
        }
        self.resolution.on_failure(query, &failure, self.log.now);
        self.log.event(EventKind::QueryFailed {
            query,
            failure,
            is_late: self.decision.is_some(),
        });
        self.leaves.is_plan_stale = true;
    }

    fn is_awaited(&mut self, query: QueryId) -> bool {
        let is_awaited = self.resolution.is_outstanding(query) && !self.is_finished();
        if !is_awaited {
            self.ignore(format!("query {} is not outstanding", query.0));
        }
        is_awaited
    }

    fn on_progress(&mut self, id: AttemptId, progress: Progress) {
        let now = self.log.now;
        let Some(attempt) = self.running(id) else {
            return;
        };
        let is_news = match progress {
            Progress::PeerAnswered => attempt.answered.is_none(),
            Progress::TransportConnected { .. } => attempt.connected.is_none(),
        };
        if !is_news {
            return self.ignore(format!("attempt {} told this before", id.0));
        }
        let elapsed = now - attempt.started;
        attempt.answered.get_or_insert(now);
        let mut measured = None;
        if let Progress::TransportConnected { rtt } = progress {
            attempt.connected = Some(now);
            attempt.rtt = rtt;
            measured = rtt.map(|rtt| (attempt.leaf.remote.ip(), rtt));
        }
        self.log.event(EventKind::Progressed {
            attempt: id,
            progress,
        });
        self.learned.rtts.extend(measured);
        // Happy Eyeballs v3 §6.1: the handshakes that remain are given their time.
        let rtt = measured.map_or(elapsed, |(_, rtt)| rtt);
        let until = now + estimate(&self.config, rtt);
        if let Some(until) = self.schedule.postpone(until) {
            self.log
                .event(EventKind::NextAttemptPostponed { attempt: id, until });
        }
    }

    fn on_success(&mut self, id: AttemptId) {
        let now = self.log.now;
        let Some(attempt) = self.running(id) else {
            return;
        };
        attempt.end = Some((now, End::Succeeded));
        let address = attempt.leaf.remote.ip();
        self.learned.used.insert(address);
        self.learn_setbacks(id);
        self.cancel_running(CancelReason::AnotherWon);
        self.log.event(EventKind::Won { attempt: id });
        self.log.output(Output::Won(id));
        self.decide(Ok(id));
    }

    /// Remembers which stacks were not answered while `winner` was, and that the winner's works.
    fn learn_setbacks(&mut self, winner: AttemptId) {
        let now = self.log.now;
        let until = now + self.config.timing.setback;
        let won = &self.attempts[winner.0 as usize].leaf;
        let history = &self.config.history;
        let recovered = history.is_set_back(&won.stack, won.remote.ip(), now);
        let setback = |leaf: &Leaf, until| Setback {
            stack: leaf.stack.clone(),
            address: leaf.remote.ip(),
            until,
        };
        let beaten = self.attempts.iter().filter(|attempt| {
            let leaf = &attempt.leaf;
            let is_rival = leaf.stack != won.stack && leaf.security == won.security;
            is_rival && attempt.was_in_vain(now, &self.config)
        });
        let mut setbacks: Vec<Setback> = beaten.map(|it| setback(&it.leaf, until)).collect();
        setbacks.extend(recovered.then(|| setback(won, now)));
        self.learned.setbacks = setbacks;
    }

    fn on_failure(&mut self, id: AttemptId, failure: Failure) {
        let now = self.log.now;
        let Some(attempt) = self.running(id) else {
            return;
        };
        // Without a known route, "unreachable" only confirms that there is none yet.
        let is_parked =
            failure.kind == FailureKind::Unreachable && attempt.route == Route::Possible;
        let key = attempt.key.clone();
        attempt.end = Some(if is_parked {
            (now, End::Parked(failure.clone()))
        } else {
            (now, End::Failed(failure.clone()))
        });
        self.log.event(EventKind::AttemptFailed {
            attempt: id,
            failure,
        });
        if is_parked {
            self.log.event(EventKind::LeafParked { attempt: id });
            self.leaves.taken.remove(&key);
            self.leaves.parked.insert(key);
        }
        self.schedule.failed(now);
    }

    fn on_paths(&mut self, paths: Vec<Path>) {
        if self.decision.is_some() {
            return self.ignore("the race is decided".to_owned());
        }
        let interfaces = paths.iter().map(|path| path.interface.clone()).collect();
        self.log.event(EventKind::PathsChanged { interfaces });
        let had_connectivity = self.families.has_connectivity;
        self.config.paths = paths;
        self.families = families(&self.config.paths, self.config.families);
        if self.families.has_connectivity && !had_connectivity {
            self.resolution.forget_routeless();
        }
        self.leaves.parked.clear();
        self.leaves.is_plan_stale = true;
    }

    fn on_cancelled(&mut self) {
        if self.decision.is_some() {
            return self.ignore("the race is decided".to_owned());
        }
        let failure = Failure::new(
            Origin::Local,
            FailureKind::Cancelled,
            "the application gave up",
        );
        self.lose(failure, CancelReason::Application);
    }

    fn running(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        let index = id.0 as usize;
        let is_running = self
            .attempts
            .get(index)
            .is_some_and(|attempt| attempt.end.is_none());
        if !is_running {
            self.ignore(format!("attempt {} is not running", id.0));
            return None;
        }
        self.attempts.get_mut(index)
    }

    fn ignore(&mut self, reason: String) {
        self.log.event(EventKind::InputIgnored { reason });
    }
}

/// Settling: everything that follows from the state by itself.
impl Race {
    fn settle(&mut self) {
        if self.decision.is_none() {
            self.run();
        }
        if let Some(decision) = &mut self.decision
            && !decision.is_finished
        {
            let is_late = decision.at + self.config.timing.late_answers <= self.log.now;
            let is_lost = decision.result.is_err();
            if is_lost || is_late || !self.resolution.has_outstanding() {
                decision.is_finished = true;
                self.log.event(EventKind::Finished);
            }
        }
    }

    fn run(&mut self) {
        let deadline = self.config.timing.deadline;
        if deadline.is_some_and(|deadline| deadline <= self.log.now) {
            return self.lose(self.deadline_failure(), CancelReason::Deadline);
        }
        self.resolution
            .advance(&self.config, self.families, &mut self.random, &mut self.log);
        self.open_gates();
        self.replan();
        self.start_what_is_due();
        self.conclude();
    }

    fn open_gates(&mut self) {
        for remote in 0..self.gates.len() {
            if self.gates[remote] == Gate::Open {
                continue;
            }
            let ready = self.resolution.readiness(remote, self.families);
            if !ready.has_addresses {
                continue;
            }
            let now = self.log.now;
            if self.gates[remote] == Gate::Closed && !ready.is_complete() {
                let until = now + self.config.timing.resolution_delay;
                self.gates[remote] = Gate::Delayed(until);
                self.log
                    .event(EventKind::ResolutionDelayStarted { remote, until });
            }
            let reason = match self.gates[remote] {
                _ if ready.is_literal => ReadyReason::Literal,
                _ if ready.is_complete() => ReadyReason::PreferredAnswers,
                Gate::Delayed(until) if until <= now => ReadyReason::ResolutionDelay,
                _ => continue,
            };
            self.gates[remote] = Gate::Open;
            self.log.event(EventKind::EndpointsReady { remote, reason });
        }
    }

    fn replan(&mut self) {
        if !std::mem::take(&mut self.leaves.is_plan_stale) {
            return;
        }
        let planner = Planner {
            config: &self.config,
            paths: &self.config.paths,
            resolution: &self.resolution,
            history: &self.config.history,
            now: self.log.now,
            tiers: &self.tiers.of_candidate,
        };
        self.plan = planner.plan();
        for exclusion in &self.plan.excluded {
            if self.leaves.told.insert(exclusion.clone()) {
                self.log.event(EventKind::LeafExcluded(exclusion.clone()));
            }
        }
        if self.plan.dropped > self.leaves.dropped {
            self.log.limit("leaves", self.plan.dropped);
        }
        self.leaves.dropped = self.plan.dropped;
        let waiting: Vec<&PlannedLeaf> = self
            .plan
            .leaves
            .iter()
            .filter(|leaf| !self.is_taken(leaf))
            .collect();
        let order: Vec<LeafKey> = waiting.iter().map(|leaf| leaf.key.clone()).collect();
        if order != self.leaves.order {
            let leaves = waiting.iter().map(|leaf| leaf.leaf.to_string()).collect();
            self.log.event(EventKind::Ordered { leaves });
            self.leaves.order = order;
        }
    }

    fn start_what_is_due(&mut self) {
        while self.running_count() < self.config.limits.concurrent_attempts {
            let Some(reason) = self.schedule.reason(self.log.now, self.running_count()) else {
                return;
            };
            let groups = self.startable().map(|leaf| leaf.group).collect();
            let answering = self.running_attempts();
            let answering = answering
                .filter(|attempt| attempt.answered.is_some())
                .map(|attempt| attempt.group)
                .collect();
            let Some((group, opened)) = self.schedule.turn(self.log.now, &groups, &answering)
            else {
                return;
            };
            if let Some(reason) = opened {
                self.log.event(EventKind::GroupOpened { group, reason });
            }
            let leaf = self.startable().find(|leaf| leaf.group == group).cloned();
            let leaf = leaf.expect("the group was chosen because it has a leaf to start");
            self.start(leaf, reason);
        }
    }

    fn start(&mut self, planned: PlannedLeaf, reason: StartReason) {
        let now = self.log.now;
        let attempt = AttemptId(self.attempts.len() as u32);
        let delay = attempt_delay(&self.config, &planned.leaf);
        self.schedule.started(planned.group, now, delay);
        self.leaves.taken.insert(planned.key.clone());
        self.leaves.order.retain(|key| *key != planned.key);
        self.log.event(EventKind::AttemptStarted {
            attempt,
            leaf: Box::new(planned.leaf.clone()),
            reason,
            next_after: delay,
        });
        self.log
            .output(Output::Attempt(attempt, planned.leaf.clone()));
        self.attempts.push(Attempt {
            leaf: planned.leaf,
            key: planned.key,
            group: planned.group,
            reason,
            started: now,
            answered: None,
            connected: None,
            rtt: None,
            end: None,
            route: planned.route,
        });
    }

    /// Decides what it means when nothing runs and nothing can start.
    fn conclude(&mut self) {
        let is_idle = self.running_count() == 0 && self.startable().next().is_none();
        let mut missing = is_idle.then(|| self.missing_route()).flatten();
        if is_idle && !self.resolution.has_outstanding() && missing.is_none() {
            if self.tiers.current == 0 && self.may_turn_to_cleartext() {
                self.tiers.current = 1;
                self.start_what_is_due();
                missing = None;
            } else {
                return self.lose(self.overall_failure(), CancelReason::Deadline);
            }
        }
        if missing != self.waiting {
            self.log.event(match &missing {
                Some(reason) => EventKind::Waiting {
                    reason: reason.clone(),
                },
                None => EventKind::Resumed,
            });
            self.waiting = missing;
        }
    }

    /// Why the race waits for a route, if it does: nothing was tried, or only without a route.
    fn missing_route(&self) -> Option<String> {
        let is_untried = self
            .attempts
            .iter()
            .all(|attempt| matches!(attempt.end, Some((_, End::Parked(_)))));
        if !is_untried {
            return None;
        }
        if let Some(parked) = self.attempts.last()
            && !self.leaves.parked.is_empty()
        {
            return Some(format!("no route to {}", parked.leaf.remote.ip()));
        }
        let mut excluded = self.plan.excluded.iter();
        let may_come = self.resolution.has_outstanding() && self.families.has_connectivity;
        if !may_come && let Some(exclusion) = excluded.find(|exclusion| exclusion.awaits_path) {
            return Some(exclusion.reason.clone());
        }
        let is_cut_off = !self.families.has_connectivity && self.resolution.lacks_answers();
        is_cut_off.then(|| "no path has a default route".to_owned())
    }

    /// Whether cleartext may follow now that every protected leaf failed.
    fn may_turn_to_cleartext(&mut self) -> bool {
        if !self.tiers.of_candidate.values().any(|tier| *tier == 1) {
            return false;
        }
        let mut permitting = None;
        let mut refusal = None;
        // RFC 9460 §9.5: a name with HTTPS records wants to be reached securely.
        if self.resolution.has_service_records() {
            refusal = Some("the name has service records, which ask for protection".to_owned());
        }
        for attempt in &self.attempts {
            let Some((_, End::Failed(failure) | End::Parked(failure))) = &attempt.end else {
                continue;
            };
            match tier::verdict(failure.kind, attempt.connected.is_some()) {
                Verdict::Permits => permitting = Some(failure.to_string()),
                Verdict::Neutral => {}
                Verdict::Forbids => refusal = Some(failure.to_string()),
            }
        }
        let (kind, may) = match (permitting, refusal) {
            (Some(reason), None) => (EventKind::CleartextPermitted { reason }, true),
            (_, Some(reason)) => (EventKind::CleartextRefused { reason }, false),
            (None, None) => {
                let reason = "no peer showed that it offers no protection".to_owned();
                (EventKind::CleartextRefused { reason }, false)
            }
        };
        self.log.event(kind);
        may
    }

    fn lose(&mut self, failure: Failure, reason: CancelReason) {
        self.cancel_running(reason);
        self.log.event(EventKind::Lost {
            failure: failure.clone(),
        });
        self.log.output(Output::Lost(failure.clone()));
        self.decide(Err(failure));
    }

    fn decide(&mut self, result: Result<AttemptId, Failure>) {
        self.waiting = None;
        self.decision = Some(Decision {
            at: self.log.now,
            result,
            is_finished: false,
        });
    }

    fn cancel_running(&mut self, reason: CancelReason) {
        let now = self.log.now;
        for (index, attempt) in self.attempts.iter_mut().enumerate() {
            if attempt.end.is_none() {
                let id = AttemptId(index as u32);
                attempt.end = Some((now, End::Cancelled(reason)));
                self.log.event(EventKind::AttemptCancelled {
                    attempt: id,
                    reason,
                });
                self.log.output(Output::Cancel(id));
            }
        }
    }

    fn deadline_failure(&self) -> Failure {
        let detail = match (&self.waiting, self.running_count()) {
            (Some(reason), _) => format!("the deadline passed while waiting: {reason}"),
            (None, 0) => match self.resolution.outstanding() {
                Some(question) => {
                    format!("the deadline passed before the resolver answered {question}")
                }
                None => "the deadline passed before any attempt".to_owned(),
            },
            (None, count) => format!("the deadline passed with {count} attempts running"),
        };
        Failure::new(Origin::Local, FailureKind::TimedOut, detail)
    }

    /// The failure that stands for all of them: that of the attempt that came furthest.
    fn overall_failure(&self) -> Failure {
        let failures = self
            .attempts
            .iter()
            .filter_map(|attempt| match &attempt.end {
                Some((_, End::Failed(failure))) => Some((attempt.connected.is_none(), 0, failure)),
                Some((_, End::Parked(failure))) => Some((true, 1, failure)),
                _ => None,
            });
        let furthest =
            failures.min_by_key(|(is_unconnected, parked, _)| (*is_unconnected, *parked));
        if let Some((_, _, failure)) = furthest {
            let mut overall = failure.clone();
            if self.attempts.len() > 1 {
                overall.detail = format!(
                    "all {} attempts failed, one with: {}",
                    self.attempts.len(),
                    failure.detail
                );
            }
            return overall;
        }
        if self.tiers.of_candidate.is_empty() {
            let detail = "there is no candidate to race";
            return Failure::new(Origin::Local, FailureKind::InvalidRequest, detail);
        }
        if let Some(exclusion) = self.plan.excluded.first() {
            let detail = format!("nothing can be attempted: {exclusion}");
            return Failure::new(Origin::Local, FailureKind::Unsupported, detail);
        }
        no_address(&self.resolution)
    }

    fn next_start_at(&self) -> Option<Time> {
        let has_room = self.running_count() < self.config.limits.concurrent_attempts;
        let may_start = has_room && self.startable().next().is_some();
        self.schedule.next_at.filter(|_| may_start)
    }

    fn startable(&self) -> impl Iterator<Item = &PlannedLeaf> {
        self.plan.leaves.iter().filter(|leaf| {
            leaf.group.tier == self.tiers.current
                && self.gates[leaf.leaf.remote_index] == Gate::Open
                && !self.is_taken(leaf)
        })
    }

    fn running_attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(|attempt| attempt.end.is_none())
    }

    fn running_count(&self) -> usize {
        self.running_attempts().count()
    }
}
