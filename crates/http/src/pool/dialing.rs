//! What is dialled, for whom, and how a dial ends.
//!
//! Invariant: while a dial may come to HTTP/2 or 3, no other dial to its key that may come to the
//! same version is started, but for those who do not take HTTP/3 alone; of other dials there are
//! never more than requests that wait.

use super::action::{
    Action, CancelReason, CloseReason, ConnectionId, DialId, Event, FailReason, RequestId,
};
use super::host::{HostId, Nature};
use super::version::{Version, Versions};
use super::{Dial, Pool, RequestState, Timer};
use portway_core::Time;

impl<K: Ord + Clone> Pool<K> {
    /// Ends an event: starts what requests need and the limits allow, for the oldest request of all
    /// keys first, and forgets keys to which nothing belongs any more.
    pub(super) fn settle(&mut self, now: Time) {
        loop {
            while let Some(host) = self.touched.pop() {
                self.review(host);
            }
            let Some((request, host)) = self.wanting.first_key_value() else {
                return;
            };
            let (request, host) = (*request, *host);
            if !self.make_room(host) {
                return;
            }
            self.start_dial(now, host, request);
        }
    }

    /// Notes what a key wants as things stand.
    fn review(&mut self, id: HostId) {
        let host = self.host_mut(id);
        if host.groups.is_empty() && host.wants.is_none() {
            // Nobody waits, as nearly always.
            host.is_touched = false;
            return self.forget_if_empty(id);
        }
        let wants = self.wants_dial(id).filter(|_| self.may_have_another(id));
        let host = self.host_mut(id);
        host.is_touched = false;
        let wanted = std::mem::replace(&mut host.wants, wants);
        if let Some(wanted) = wanted {
            self.wanting.remove(&wanted);
        }
        if let Some(wants) = wants {
            self.wanting.insert(wants, id);
        }
        self.forget_if_empty(id);
    }

    /// The request that is to be dialled for next.
    fn wants_dial(&self, id: HostId) -> Option<RequestId> {
        let host = self.host_of(id);
        let is_shared = |dial: &DialId| host.may_share(self.dials[dial].versions);
        let single_dials = host.dials.iter().filter(|dial| !is_shared(dial)).count();
        let mut singles = 0;
        let mut single: Option<RequestId> = None;
        let mut shared: Option<RequestId> = None;
        for (versions, group) in &host.groups {
            if host.may_share(*versions) {
                if !self.is_awaited(id, *versions) {
                    shared = earlier(shared, group.undialled.first().copied());
                }
            } else {
                singles += group.waiting.len();
                single = earlier(single, group.undialled.first().copied());
            }
        }
        let single = single.filter(|_| singles > single_dials);
        earlier(single, shared)
    }

    /// Whether a connection of these versions is on its way, or one is there whose streams suffice
    /// or must. A dial for HTTP/3 alone is not enough for who takes others too: QUIC may be blocked
    /// where TCP is not.
    fn is_awaited(&self, id: HostId, versions: Versions) -> bool {
        let host = self.host_of(id);
        let is_dialled = host.dials.iter().any(|dial| {
            let dialled = self.dials[dial].versions;
            let common = dialled.intersection(versions).multiplexed();
            let is_enough = dialled != HTTP3_ALONE || versions == HTTP3_ALONE;
            host.may_share(dialled) && is_enough && !common.is_empty()
        });
        let is_there = host.multiplexed.iter().any(|connection| {
            let connection = &self.connections[connection];
            let must_suffice =
                connection.version == Version::Http3 && !self.config.has_further_http3;
            versions.contains(connection.version)
                && (must_suffice || connection.streams.is_provisional())
        });
        is_dialled || is_there
    }

    /// Whether a key has a place left, or one that an idle connection can leave to another.
    fn may_have_another(&self, id: HostId) -> bool {
        !self.is_key_full(id) || self.longest_idle_of(id).is_some()
    }

    fn is_key_full(&self, id: HostId) -> bool {
        let host = self.host_of(id);
        host.connections + host.dials.len() >= self.config.connections_per_key_max
    }

    fn longest_idle_of(&self, id: HostId) -> Option<ConnectionId> {
        let mut idle = self.idle.iter();
        idle.find(|connection| self.connections[connection].host == id)
    }

    /// Whether there is a place for one more connection, after an idle one has given way.
    fn make_room(&mut self, id: HostId) -> bool {
        let is_full = self.connections.len() + self.dials.len() >= self.config.connections_max;
        let gives_way = match self.is_key_full(id) {
            true => self.longest_idle_of(id),
            false if is_full => self.idle.first().map(|(_, connection)| connection),
            false => return true,
        };
        if let Some(connection) = gives_way {
            self.close(connection, CloseReason::Evicted);
        }
        gives_way.is_some()
    }

    fn start_dial(&mut self, now: Time, host: HostId, request: RequestId) {
        let versions = self.record(request).versions;
        let is_dialled = |dial: &DialId| self.dials[dial].versions.contains(Version::Http3);
        let is_dialled = self.host_of(host).dials.iter().any(is_dialled);
        let offered = match versions != HTTP3_ALONE && is_dialled {
            true => versions.without(Version::Http3.into()),
            false => versions,
        };
        let dial = self.add_dial(Dial {
            host,
            versions: offered,
            initiator: Some(request),
            deadline: now + self.config.dial_max,
        });
        self.record_mut(request).state = RequestState::Waiting(Some(dial));
        if let Some(group) = self.host_mut(host).groups.get_mut(&versions) {
            group.undialled.remove(&request);
        }
    }

    /// Starts a dial that is abandoned from the begin.
    pub(super) fn start_dial_ahead(&mut self, now: Time, host: HostId, version: Version) {
        self.add_dial(Dial {
            host,
            versions: version.into(),
            initiator: None,
            deadline: now + self.config.abandoned_dial_max.min(self.config.dial_max),
        });
    }

    /// Whether there is no connection of this version, none on its way, and a place for one.
    pub(super) fn lacks(&self, id: HostId, version: Version) -> bool {
        let host = self.host_of(id);
        let is_dialled = |dial: &DialId| self.dials[dial].versions.contains(version);
        let is_there = |connection: &ConnectionId| self.connections[connection].version == version;
        let is_full = self.connections.len() + self.dials.len() >= self.config.connections_max;
        !is_full
            && !self.is_key_full(id)
            && !host.dials.iter().any(is_dialled)
            && !host.multiplexed.iter().any(is_there)
    }

    fn add_dial(&mut self, dial: Dial) -> DialId {
        let id = DialId(self.new_id());
        let (versions, initiator) = (dial.versions, dial.initiator);
        self.timers.insert((dial.deadline, Timer::Dial(id)));
        let host = self.host_mut(dial.host);
        host.dials.insert(id);
        let key = host.key.clone();
        self.dials.insert(id, dial);
        self.actions.push_back(Action::Dial {
            dial: id,
            key,
            versions,
            initiator,
        });
        id
    }

    /// The initiator went elsewhere: the dial goes on for a bounded time.
    pub(super) fn abandon(&mut self, now: Time, id: DialId) {
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        dial.initiator = None;
        self.timers.remove(&(dial.deadline, Timer::Dial(id)));
        dial.deadline = dial.deadline.min(now + self.config.abandoned_dial_max);
        self.timers.insert((dial.deadline, Timer::Dial(id)));
        self.tell(Event::DialAbandoned(id));
    }

    /// A dial's time is up.
    pub(super) fn time_out(&mut self, now: Time, id: DialId) {
        let Some(dial) = self.end_dial(id) else {
            return;
        };
        let reason = match dial.initiator {
            Some(_) => CancelReason::TimedOut,
            None => CancelReason::Abandoned,
        };
        self.actions
            .push_back(Action::CancelDial { dial: id, reason });
        if let Some(initiator) = dial.initiator {
            self.leave_queue(now, initiator);
            self.fail(initiator, FailReason::DialTimedOut(id));
        }
    }

    /// Takes a dial out; its initiator waits on without it.
    pub(super) fn end_dial(&mut self, id: DialId) -> Option<Dial> {
        let dial = self.dials.remove(&id)?;
        self.timers.remove(&(dial.deadline, Timer::Dial(id)));
        self.host_mut(dial.host).dials.remove(&id);
        Some(dial)
    }

    /// Remembers what a peer speaks that had a choice.
    pub(super) fn learn(&mut self, host: HostId, offered: Versions, chosen: Version) {
        let had_choice = !offered.multiplexed().is_empty();
        self.host_mut(host).nature = match chosen.is_multiplexed() {
            true => Nature::Multiplexed,
            false if had_choice => Nature::Single,
            false => self.host_of(host).nature,
        };
    }
}

const HTTP3_ALONE: Versions = Versions::from_version(Version::Http3);

fn earlier(one: Option<RequestId>, other: Option<RequestId>) -> Option<RequestId> {
    one.into_iter().chain(other).min()
}
