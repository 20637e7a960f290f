//! A race with a single contestant, told without running the machine.
//!
//! Invariant: a [`Walkover`] is nothing but the configuration and the inputs of a [`Race`], so
//! whatever it says is what the machine says of them. It stands in for the machine only as long as
//! all that the machine would do is known beforehand: start the one leaf, and win with it.

use super::config::{History, RaceConfig};
use super::io::{AttemptId, Input, Leaf, Output, Progress};
use super::machine::Race;
use super::report::Report;
use super::route::{families, route_to};
use crate::endpoint::RemoteEndpoint;
use crate::path::Path;
use crate::stack::StackId;
use crate::time::Time;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What all races of one leaf have in common: made once, used for every connection that the same
/// plan leads to.
#[derive(Clone, Debug)]
pub struct Course {
    config: Arc<RaceConfig>,
    /// The leaf of the configuration.
    leaf: Arc<Leaf>,
    /// Where it leads, if not where the configuration says, and at which address.
    elsewhere: Option<(RemoteEndpoint, SocketAddr)>,
}

impl Course {
    /// The course of a race with this configuration, if one leaf is all that can come of it:
    /// nothing to resolve, nothing that may follow, nothing left to chance. What the configuration
    /// says of history and deadline does not count.
    pub fn of(config: &RaceConfig) -> Option<Course> {
        let mut config = config.clone();
        config.history = History::default();
        config.timing.deadline = None;
        let mut race = Race::new(Time::ZERO, config.clone());
        let Some(Output::Attempt(ONLY, leaf)) = race.poll_output() else {
            return None;
        };
        let is_all = race.poll_output().is_none()
            && race.poll_timeout().is_none()
            && race.plan.leaves.len() == 1
            && race.resolution.is_literal();
        is_all.then(|| Course {
            config: Arc::new(config),
            leaf: Arc::new(leaf),
            elsewhere: None,
        })
    }

    /// The course to another endpoint, which has an address, over the same stack and paths, without
    /// running the machine for it; `None` where the endpoints differ in more than name, address and
    /// port, or where the machine would not attempt that address at once.
    pub fn toward(&self, remote: RemoteEndpoint) -> Option<Course> {
        let config = &*self.config;
        let (Some(address), Some(port), [known]) = (
            remote.ip_address(),
            remote.resolved_port(),
            config.remotes.as_slice(),
        ) else {
            return None;
        };
        let own = self.leaf.remote.ip();
        let paths: Vec<&Path> = config.paths.iter().collect();
        let route = |address| route_to(address, &paths, true);
        let is_bare =
            |remote: &RemoteEndpoint| remote.stack().is_none() && remote.interface_name().is_none();
        let is_alike = is_bare(known)
            && is_bare(&remote)
            && !config.pin_paths
            && config.locals.is_empty()
            && address.is_ipv4() == own.is_ipv4()
            && route(address) == route(own);
        // A name is not resolved for a family that leads nowhere.
        let families = families(&config.paths, config.families);
        let is_asked_for = match address.is_ipv4() {
            true => families.ipv4,
            false => families.ipv6,
        };
        if !is_alike || !(is_asked_for || remote.host().is_none()) {
            return None;
        }
        let course = Course {
            config: self.config.clone(),
            leaf: self.leaf.clone(),
            elsewhere: Some((remote, SocketAddr::new(address, port))),
        };
        debug_assert_eq!(
            Course::of(&course.config()).map(|course| course.leaf()),
            Some(course.leaf())
        );
        Some(course)
    }

    /// The configuration of its races.
    fn config(&self) -> RaceConfig {
        let mut config = RaceConfig::clone(&self.config);
        if let Some((remote, _)) = &self.elsewhere {
            config.remotes = vec![remote.clone()];
        }
        config
    }

    /// The one leaf.
    pub fn leaf(&self) -> Leaf {
        let own = Leaf::clone(&self.leaf);
        match &self.elsewhere {
            None => own,
            Some((remote, at)) => Leaf {
                remote: *at,
                host_name: remote.host().map(str::to_owned),
                ..own
            },
        }
    }

    /// Its stack.
    pub fn stack(&self) -> &StackId {
        &self.leaf.stack
    }

    /// Its address.
    fn address(&self) -> IpAddr {
        match &self.elsewhere {
            None => self.leaf.remote.ip(),
            Some((_, at)) => at.ip(),
        }
    }
}

/// A race over a [`Course`] in short: its configuration and what has happened.
#[derive(Clone, Debug)]
pub struct Walkover {
    course: Arc<Course>,
    started: Time,
    deadline: Option<Time>,
    /// What the history says of the leaf's address; it decides nothing about any other one.
    rtt: Option<Duration>,
    was_used: bool,
    progress: [Option<(Time, Progress)>; PROGRESS_MAX],
    succeeded: Option<Time>,
}

impl Walkover {
    /// A race that may start.
    pub fn new(course: Arc<Course>, deadline: Option<Time>, history: &History) -> Self {
        let address = course.address();
        Walkover {
            course,
            started: Time::ZERO,
            deadline,
            rtt: history.rtts.get(&address).copied(),
            was_used: history.used.contains(&address),
            progress: [None; PROGRESS_MAX],
            succeeded: None,
        }
    }

    /// Starts the race and says whether it may go on so: the leaf is then to be attempted under
    /// the number zero. Otherwise [`Walkover::race`] has to go on, as its time is up already.
    pub fn start(&mut self, now: Time) -> bool {
        self.started = now;
        self.is_in_time(now)
    }

    /// The one leaf.
    pub fn leaf(&self) -> Leaf {
        self.course.leaf()
    }

    /// When the time is up, if it ever is.
    pub fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// Takes note of an input that leads where it was known to lead, and says whether it was one.
    /// After any other, [`Walkover::race`] has to go on.
    pub fn take(&mut self, now: Time, input: &Input) -> bool {
        match input {
            Input::Progressed(ONLY, progress) if self.is_in_time(now) => {
                let free = self.progress.iter_mut().find(|slot| slot.is_none());
                free.map(|slot| *slot = Some((now, *progress))).is_some()
            }
            Input::Succeeded(ONLY) if self.succeeded.is_none() => {
                self.succeeded = Some(now);
                true
            }
            _ => false,
        }
    }

    fn is_in_time(&self, now: Time) -> bool {
        self.deadline.is_none_or(|deadline| now < deadline)
    }

    /// Whether the leaf has won.
    pub fn is_won(&self) -> bool {
        self.succeeded.is_some()
    }

    /// The machine with everything that has happened, none of its outputs and events polled.
    pub fn race(&self) -> Race {
        let mut config = self.course.config();
        config.timing.deadline = self.deadline;
        let address = self.course.address();
        config
            .history
            .rtts
            .extend(self.rtt.map(|rtt| (address, rtt)));
        config.history.used.extend(self.was_used.then_some(address));
        let mut race = Race::new(self.started, config);
        for (at, progress) in self.progress.iter().flatten() {
            race.handle(*at, Input::Progressed(ONLY, *progress));
        }
        if let Some(at) = self.succeeded {
            race.handle(at, Input::Succeeded(ONLY));
        }
        race
    }

    /// See [`Race::report`].
    pub fn report(&self) -> Report {
        self.race().report()
    }

    /// Adds what was measured to a history, as [`Race::learned`] would.
    pub fn teach(&self, history: &mut History) {
        let address = self.course.address();
        let measured = self
            .progress
            .iter()
            .flatten()
            .find_map(|(_, progress)| match progress {
                Progress::TransportConnected { rtt } => Some(*rtt),
                Progress::PeerAnswered => None,
            });
        if let Some(rtt) = measured.flatten() {
            history.rtts.insert(address, rtt);
        }
        if self.is_won() {
            history.used.insert(address);
        }
    }
}

/// The number of the one attempt.
const ONLY: AttemptId = AttemptId(0);

/// The peer answers once, and the transport is connected once.
const PROGRESS_MAX: usize = 2;
