//! A pool with an auditor: its own books of requests, dials and connections, and the rules.

use crate::pool::{
    Action, After, CancelReason, CloseReason, Config, ConnectionId, DialId, Event, FailReason,
    Pool, RequestId, Version, Versions,
};
use portway_core::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) const H1: Version = Version::Http1;
pub(super) const H2: Version = Version::Http2;
pub(super) const H3: Version = Version::Http3;

pub(super) fn either() -> Versions {
    Versions::of([H1, H2])
}

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) key: u8,
    pub(super) versions: Versions,
    since: Time,
}

#[derive(Debug)]
pub(super) struct Dialled {
    pub(super) key: u8,
    pub(super) versions: Versions,
    pub(super) initiator: Option<RequestId>,
    deadline: Time,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) key: u8,
    pub(super) version: Version,
    pub(super) carries: BTreeSet<RequestId>,
    /// One, until the peer has spoken.
    pub(super) max: Option<usize>,
    is_draining: bool,
    has_served: bool,
    idle: Option<(Time, u64)>,
    expires: Option<Time>,
}

impl Open {
    fn has_room(&self) -> bool {
        !self.is_draining && self.carries.len() < self.max.unwrap_or(1)
    }
}

/// What the present event allows the pool to do.
#[derive(Default)]
struct Asked {
    /// To refuse a request that came when the queue was full.
    may_refuse: Option<RequestId>,
    /// To dial for nobody.
    ahead: Option<(u8, Versions)>,
}

pub(super) struct World {
    pub(super) pool: Pool<u8>,
    pub(super) config: Config,
    pub(super) now: Time,
    pub(super) waiting: BTreeMap<RequestId, Waiting>,
    pub(super) assigned: BTreeMap<RequestId, ConnectionId>,
    pub(super) dials: BTreeMap<DialId, Dialled>,
    pub(super) open: BTreeMap<ConnectionId, Open>,
    /// What happened, for a test to look at.
    pub(super) log: Vec<Action<u8>>,
    /// What each request is for, and how often it was queued again.
    keys: BTreeMap<RequestId, (u8, Versions, u32)>,
    singles: BTreeSet<u8>,
    idled: u64,
    fresh: Option<(ConnectionId, Option<RequestId>)>,
    failing: Option<(RequestId, FailReason)>,
    discarded: Option<ConnectionId>,
    asked: Asked,
}

impl World {
    pub(super) fn new(config: Config) -> Self {
        World {
            pool: Pool::new(config.clone()),
            config,
            now: Time::ZERO,
            waiting: BTreeMap::new(),
            assigned: BTreeMap::new(),
            dials: BTreeMap::new(),
            open: BTreeMap::new(),
            log: Vec::new(),
            keys: BTreeMap::new(),
            singles: BTreeSet::new(),
            idled: 0,
            fresh: None,
            failing: None,
            discarded: None,
            asked: Asked::default(),
        }
    }

    /// Whether it is dialled.
    pub(super) fn dial_ahead(&mut self, key: u8, version: Version) -> bool {
        let mut dials = self.dials.values().filter(|dial| dial.key == key);
        let is_dialled = dials.any(|dial| dial.versions.contains(version));
        let mut open = self.open.values().filter(|open| open.key == key);
        let is_there = open.any(|open| open.version == version && !open.is_draining);
        let has_place = self.places() < self.config.connections_max
            && self.places_of(key) < self.config.connections_per_key_max;
        let is_wanted = version != H1 && has_place && !is_dialled && !is_there;
        self.asked.ahead = is_wanted.then_some((key, version.into()));
        assert_eq!(self.pool.dial_ahead(self.now, key, version), is_wanted);
        self.drain();
        assert_eq!(self.asked.ahead, None, "what is wanted is dialled at once");
        is_wanted
    }

    pub(super) fn request(&mut self, key: u8, versions: impl Into<Versions>) -> RequestId {
        let versions = versions.into();
        let is_full = self.waiting.len() >= self.config.waiting_max;
        let request = self.pool.request(self.now, key, versions);
        self.keys.insert(request, (key, versions, 0));
        self.wait(request);
        self.asked.may_refuse = is_full.then_some(request);
        self.drain();
        request
    }

    fn wait(&mut self, request: RequestId) {
        let (key, versions, _) = self.keys[&request];
        let since = self.now;
        self.waiting.insert(
            request,
            Waiting {
                key,
                versions,
                since,
            },
        );
    }

    pub(super) fn cancel(&mut self, request: RequestId) {
        self.pool.cancel(self.now, request);
        self.waiting.remove(&request);
        self.drain();
    }

    pub(super) fn connect(&mut self, dial: DialId, version: Version) -> ConnectionId {
        let connection = self.pool.on_connected(self.now, dial, version);
        let connection = connection.expect("the dial is wanted");
        let ended = self.dials.remove(&dial).expect("the dial is in the books");
        if version != H1 {
            self.singles.remove(&ended.key);
        } else if !ended.versions.multiplexed().is_empty() {
            self.singles.insert(ended.key);
        }
        let initiator = ended.initiator;
        let takes = |request: &RequestId| self.keys[request].1.contains(version);
        self.fresh = Some((connection, initiator.filter(takes)));
        self.failing = initiator
            .filter(|request| !takes(request))
            .map(|request| (request, FailReason::WrongVersion(version)));
        self.open.insert(
            connection,
            Open {
                key: ended.key,
                version,
                carries: BTreeSet::new(),
                max: (version == H1).then_some(1),
                is_draining: false,
                has_served: false,
                idle: None,
                expires: self.config.lifetime_max.map(|lifetime| self.now + lifetime),
            },
        );
        self.drain();
        connection
    }

    pub(super) fn fail(&mut self, dial: DialId) {
        let ended = self.dials.remove(&dial).expect("the dial is in the books");
        self.failing = ended
            .initiator
            .map(|request| (request, FailReason::DialFailed(dial)));
        let before = self.log.len();
        self.pool.on_dial_failed(self.now, dial);
        self.drain();
        let told = Action::Tell(Event::AbandonedDialFailed(dial));
        let is_told = self.log[before..].contains(&told);
        assert_eq!(
            is_told,
            ended.initiator.is_none(),
            "only telemetry hears of it"
        );
    }

    pub(super) fn finish(&mut self, request: RequestId, after: After) {
        self.pool.on_finished(self.now, request, after);
        self.leave(request, after);
        self.drain();
    }

    /// Whether the request waits again.
    pub(super) fn retry(&mut self, request: RequestId) -> bool {
        let versions = self.keys[&request].1;
        let is_full = self.waiting.len() >= self.config.waiting_max;
        let waits = self.pool.retry(self.now, request, versions);
        let retries = &mut self.keys.get_mut(&request).expect("it is known").2;
        assert_eq!(waits, *retries < self.config.retries_max, "{request:?}");
        *retries += u32::from(waits);
        self.leave(request, After::Discard);
        if waits {
            self.wait(request);
            self.asked.may_refuse = is_full.then_some(request);
        }
        self.drain();
        waits
    }

    fn leave(&mut self, request: RequestId, after: After) {
        let connection = self.assigned.remove(&request).expect("it is assigned");
        let Some(open) = self.open.get_mut(&connection) else {
            return;
        };
        assert!(open.carries.remove(&request));
        if open.version == H1 && after == After::Discard {
            self.discarded = Some(connection);
        } else {
            self.note_idle(connection);
        }
    }

    fn note_idle(&mut self, connection: ConnectionId) {
        let open = self.open.get_mut(&connection).expect("it is open");
        if open.carries.is_empty() && open.idle.is_none() && !open.is_draining {
            self.idled += 1;
            open.idle = Some((self.now, self.idled));
        }
    }

    pub(super) fn streams(&mut self, connection: ConnectionId, max: u32) {
        self.pool.on_streams_max(self.now, connection, max);
        let open = self.open.get_mut(&connection).expect("it is open");
        open.max = Some(max as usize);
        self.drain();
    }

    pub(super) fn go_away(&mut self, connection: ConnectionId) {
        self.pool.on_draining(self.now, connection);
        let open = self.open.get_mut(&connection).expect("it is open");
        open.is_draining = true;
        self.drain();
    }

    pub(super) fn closed(&mut self, connection: ConnectionId) {
        self.pool.on_closed(self.now, connection);
        self.open.remove(&connection);
        self.drain();
    }

    /// Lets time pass, stopping wherever something is due.
    pub(super) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.pool.poll_timeout().filter(|at| *at <= until) {
            assert!(at > self.now, "what is due has been done");
            self.now = at;
            self.pool.on_timeout(at);
            self.expire();
            self.drain();
        }
        self.now = until;
        self.drain();
    }

    fn expire(&mut self) {
        let now = self.now;
        for open in self.open.values_mut() {
            open.is_draining |= open.expires.is_some_and(|expires| expires <= now);
        }
    }

    pub(super) fn only_dial(&self) -> DialId {
        assert_eq!(self.dials.len(), 1, "there is one dial");
        *self.dials.keys().next().unwrap()
    }

    pub(super) fn dial_of(&self, request: RequestId) -> DialId {
        let mut dials = self.dials.iter();
        let own = dials.find(|(_, dial)| dial.initiator == Some(request));
        *own.expect("the request has a dial").0
    }

    fn may_share(&self, key: u8, versions: Versions) -> bool {
        let is_single = self.singles.contains(&key) && versions.contains(H1);
        !versions.multiplexed().is_empty() && !is_single
    }
}

/// The rules.
impl World {
    fn drain(&mut self) {
        while let Some(action) = self.pool.poll_action() {
            self.log.push(action.clone());
            match action {
                Action::Dial {
                    dial,
                    key,
                    versions,
                    initiator,
                } => {
                    self.check_dial(dial, key, versions, initiator);
                }
                Action::CancelDial { dial, reason } => self.check_cancelled(dial, reason),
                Action::Assign {
                    request,
                    connection,
                    is_reused,
                    waited,
                } => {
                    self.check_assigned(request, connection);
                    let open = self.open.get_mut(&connection).expect("it is open");
                    assert_eq!(is_reused, open.has_served, "{connection:?}");
                    open.has_served = true;
                    open.idle = None;
                    open.carries.insert(request);
                    let left = self.waiting.remove(&request).expect("it waits");
                    assert_eq!(waited, self.now - left.since);
                    self.assigned.insert(request, connection);
                }
                Action::Fail { request, reason } => {
                    match reason {
                        FailReason::QueueFull => assert_eq!(self.asked.may_refuse, Some(request)),
                        _ => assert_eq!(self.failing.take(), Some((request, reason))),
                    }
                    assert!(self.waiting.remove(&request).is_some(), "it still waits");
                }
                Action::Close { connection, reason } => self.check_closed(connection, reason),
                Action::Tell(Event::DialAbandoned(dial)) => {
                    let deadline = self.now + self.config.abandoned_dial_max;
                    let dial = self.dials.get_mut(&dial).expect("it is in the books");
                    assert!(dial.initiator.take().is_some(), "it is abandoned once");
                    dial.deadline = dial.deadline.min(deadline);
                }
                Action::Tell(_) => {}
            }
        }
        if let Some((connection, _)) = self.fresh.take()
            && self.open.contains_key(&connection)
        {
            self.note_idle(connection);
        }
        assert_eq!(self.failing.take(), None, "who must fail has failed");
        assert_eq!(self.discarded.take(), None, "what cannot be used is closed");
        // What a peer speaks is remembered for as long as anything belongs to its key.
        self.singles.retain(|key| self.pool.ids.contains_key(key));
        self.check_rest();
    }

    fn check_dial(
        &mut self,
        dial: DialId,
        key: u8,
        versions: Versions,
        initiator: Option<RequestId>,
    ) {
        if let Some(initiator) = initiator {
            let waiting = self.waiting.get(&initiator).expect("the initiator waits");
            let mut others = self.dials.values().filter(|dial| dial.key == key);
            let is_elsewhere = others.any(|dial| dial.versions.contains(H3));
            let expected = match is_elsewhere && waiting.versions != H3.into() {
                true => waiting.versions.without(H3.into()),
                false => waiting.versions,
            };
            assert_eq!((key, versions), (waiting.key, expected));
            let mut dials = self.dials.values();
            assert!(!dials.any(|dial| dial.initiator == Some(initiator)));
        } else {
            assert_eq!(
                self.asked.ahead.take(),
                Some((key, versions)),
                "it was asked for"
            );
        }
        if self.may_share(key, versions) {
            let clash = self.dials.values().any(|other| {
                let common = other.versions.intersection(versions).multiplexed();
                other.key == key && self.may_share(key, other.versions) && !common.is_empty()
            });
            assert!(!clash, "one pending dial of HTTP/2 or 3 at a time");
        }
        let dialled = Dialled {
            key,
            versions,
            initiator,
            deadline: self.now
                + match initiator {
                    Some(_) => self.config.dial_max,
                    None => self.config.abandoned_dial_max.min(self.config.dial_max),
                },
        };
        self.dials.insert(dial, dialled);
        let (singles, dials) = self.singles_of(key);
        assert!(
            dials <= singles || self.may_share(key, versions),
            "a dial for each who waits"
        );
        assert!(self.places_of(key) <= self.config.connections_per_key_max);
        assert!(self.places() <= self.config.connections_max);
    }

    /// Those who wait for a connection each, and the dials for them.
    fn singles_of(&self, key: u8) -> (usize, usize) {
        let waiting = self.waiting.values().filter(|waiting| waiting.key == key);
        let dials = self.dials.values().filter(|dial| dial.key == key);
        (
            waiting
                .filter(|waiting| !self.may_share(key, waiting.versions))
                .count(),
            dials
                .filter(|dial| !self.may_share(key, dial.versions))
                .count(),
        )
    }

    fn places_of(&self, key: u8) -> usize {
        let open = self.open.values().filter(|open| open.key == key).count();
        open + self.dials.values().filter(|dial| dial.key == key).count()
    }

    fn places(&self) -> usize {
        self.open.len() + self.dials.len()
    }

    fn check_cancelled(&mut self, dial: DialId, reason: CancelReason) {
        let ended = self.dials.remove(&dial).expect("it is in the books");
        assert_eq!(ended.deadline, self.now, "{dial:?} ends in time");
        match ended.initiator {
            Some(request) => {
                assert_eq!(reason, CancelReason::TimedOut);
                self.failing = Some((request, FailReason::DialTimedOut(dial)));
            }
            None => assert_eq!(reason, CancelReason::Abandoned),
        }
    }

    fn check_assigned(&mut self, request: RequestId, connection: ConnectionId) {
        let waiting = self.waiting.get(&request).expect("it waits");
        let open = self.open.get(&connection).expect("it is open");
        assert_eq!(waiting.key, open.key);
        assert!(waiting.versions.contains(open.version));
        assert!(open.has_room(), "{connection:?} has room");
        assert!(open.expires.is_none_or(|expires| self.now < expires));
        let fresh = self
            .fresh
            .as_mut()
            .filter(|(fresh, _)| *fresh == connection);
        if let Some((_, initiator)) = fresh
            && let Some(initiator) = initiator.take()
        {
            assert_eq!(
                request, initiator,
                "a new connection serves its initiator first"
            );
            return;
        }
        let overtaken = self
            .waiting
            .range(..request)
            .find(|(_, other)| other.key == open.key && other.versions.contains(open.version));
        assert!(
            overtaken.is_none(),
            "{request:?} overtakes {:?}",
            overtaken.map(|o| o.0)
        );
        if open.version == H1 && open.idle.is_some() {
            let mut others = self.open.values().filter(|other| other.key == open.key);
            let is_latest = others.all(|other| other.version != H1 || other.idle <= open.idle);
            assert!(
                is_latest,
                "the HTTP/1.1 connection that was idle last is used first"
            );
        }
    }

    fn check_closed(&mut self, connection: ConnectionId, reason: CloseReason) {
        let places = self.places();
        let closed = self.open.remove(&connection).expect("it is open");
        assert!(closed.carries.is_empty(), "nothing is cut off");
        let key = closed.key;
        match reason {
            CloseReason::Idle => {
                let (since, _) = closed.idle.expect("it is idle");
                assert_eq!(since + self.config.idle_max, self.now);
            }
            CloseReason::Lifetime => assert!(closed.expires.expect("it ages") <= self.now),
            CloseReason::Drained => assert!(closed.is_draining),
            CloseReason::NotReusable => assert_eq!(self.discarded.take(), Some(connection)),
            CloseReason::Evicted => {
                let of_key = self.places_of(key) + 1;
                let is_key_full = of_key >= self.config.connections_per_key_max;
                let is_full = places >= self.config.connections_max;
                assert!(
                    is_key_full || is_full,
                    "an idle connection gives way to need only"
                );
                let longest = |other: &Open| {
                    other
                        .idle
                        .is_none_or(|(since, _)| closed.idle.is_some_and(|own| own.0 <= since))
                };
                let mut rivals = self.open.values();
                assert!(rivals.all(|other| other.key != key || longest(other)));
            }
        }
    }

    /// What holds whenever nothing is left to be done.
    fn check_rest(&self) {
        let counts = self.pool.counts();
        let idle = self
            .open
            .values()
            .filter(|open| open.carries.is_empty())
            .count();
        assert_eq!(counts.waiting, self.waiting.len());
        assert!(self.waiting.len() <= self.config.waiting_max);
        assert_eq!(counts.dials, self.dials.len());
        assert_eq!((counts.active, counts.idle), (self.open.len() - idle, idle));
        for dial in self.dials.values() {
            let owner = dial.initiator;
            assert!(owner.is_none_or(|owner| self.waiting.contains_key(&owner)));
            assert!(
                self.pool
                    .poll_timeout()
                    .is_some_and(|at| at <= dial.deadline)
            );
        }
        for open in self.open.values() {
            if let Some((since, _)) = open.idle {
                let due = since + self.config.idle_max;
                assert!(self.pool.poll_timeout().is_some_and(|at| at <= due));
            }
        }
        for (request, waiting) in &self.waiting {
            let serves =
                |open: &&Open| open.key == waiting.key && waiting.versions.contains(open.version);
            let mut serving = self.open.values().filter(serves);
            assert!(
                !serving.any(Open::has_room),
                "{request:?} waits beside a connection"
            );
            assert!(
                self.is_looked_after(waiting),
                "{request:?} waits for nothing: {:?}",
                self.pool
            );
        }
    }

    fn is_looked_after(&self, waiting: &Waiting) -> bool {
        let key = waiting.key;
        let is_idle = |open: &Open| open.carries.is_empty();
        let key_is_full = self.places_of(key) >= self.config.connections_per_key_max
            && !self
                .open
                .values()
                .any(|open| open.key == key && is_idle(open));
        let is_full =
            self.places() >= self.config.connections_max && !self.open.values().any(is_idle);
        if key_is_full || is_full {
            return true;
        }
        if !self.may_share(key, waiting.versions) {
            let (singles, dials) = self.singles_of(key);
            return singles <= dials;
        }
        let shared = waiting.versions.multiplexed();
        let mut dials = self.dials.values().filter(|dial| dial.key == key);
        let mut open = self
            .open
            .values()
            .filter(|open| open.key == key && !open.is_draining);
        let alone = Versions::from(H3);
        dials.any(|dial| {
            let is_enough = dial.versions != alone || waiting.versions == alone;
            let common = dial.versions.intersection(shared);
            self.may_share(key, dial.versions) && is_enough && !common.is_empty()
        }) || open.any(|open| {
            let must_suffice = open.version == H3 && !self.config.has_further_http3;
            shared.contains(open.version) && (open.max.is_none() || must_suffice)
        })
    }
}
