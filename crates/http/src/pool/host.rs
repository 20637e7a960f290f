//! What the pool holds for one key.
//!
//! Invariant: a request stands in exactly one group of its key while it waits, the group of those
//! that take the same versions; the line of a version is the groups that have it, by age.

use super::action::{ConnectionId, DialId, RequestId};
use super::version::{Version, Versions};
use super::{Pool, RequestState};
use portway_core::Time;
use std::collections::{BTreeMap, BTreeSet};

/// A key by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostId(u64);

/// What there is for one key.
#[derive(Debug)]
pub(super) struct Host<K> {
    pub(super) key: K,
    pub(super) groups: BTreeMap<Versions, Group>,
    /// HTTP/1.1 connections that carry nothing, the latest last.
    pub(super) idle: Vec<ConnectionId>,
    /// Multiplexed connections that take requests, the oldest first.
    pub(super) multiplexed: Vec<ConnectionId>,
    pub(super) dials: BTreeSet<DialId>,
    /// Every open connection, also those that drain.
    pub(super) connections: usize,
    /// Every request that is not forgotten, waiting or not.
    pub(super) requests: usize,
    /// Who is to be dialled for as soon as there is a place, as the pool's `wanting` has it.
    pub(super) wants: Option<RequestId>,
    /// Whether it is among the pool's `touched`.
    pub(super) is_touched: bool,
    /// What came of the latest dial that might have come to several versions.
    pub(super) nature: Nature,
}

/// Requests that take the same versions.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) waiting: BTreeSet<RequestId>,
    /// Those of them without a dial of their own.
    pub(super) undialled: BTreeSet<RequestId>,
}

/// What a peer speaks as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// HTTP/2 or 3, or nothing is known.
    Multiplexed,
    /// Asked for HTTP/2 or 3 as well, the peer chose HTTP/1.1.
    Single,
}

impl<K> Host<K> {
    /// Whether a dial with these versions may be shared by several requests.
    pub(super) fn may_share(&self, versions: Versions) -> bool {
        let is_single = self.nature == Nature::Single && versions.contains(Version::Http1);
        !versions.multiplexed().is_empty() && !is_single
    }

    /// The first in the line of a version.
    pub(super) fn first_waiting(&self, version: Version) -> Option<RequestId> {
        let groups = self.groups.iter();
        groups
            .filter(|(versions, _)| versions.contains(version))
            .filter_map(|(_, group)| group.waiting.first())
            .min()
            .copied()
    }

    fn is_empty(&self) -> bool {
        self.requests == 0 && self.dials.is_empty() && self.connections == 0
    }
}

impl<K: Ord + Clone> Pool<K> {
    /// What there is for a key.
    pub(super) fn host(&mut self, key: K) -> HostId {
        if let Some(host) = self.ids.get(&key) {
            return *host;
        }
        let id = HostId(self.new_id());
        let host = Host {
            key: key.clone(),
            groups: BTreeMap::new(),
            idle: Vec::new(),
            multiplexed: Vec::new(),
            dials: BTreeSet::new(),
            connections: 0,
            requests: 0,
            wants: None,
            is_touched: false,
            nature: Nature::Multiplexed,
        };
        self.ids.insert(key, id);
        self.hosts.insert(id, host);
        id
    }

    pub(super) fn host_of(&self, id: HostId) -> &Host<K> {
        let host = self.hosts.get(&id);
        host.expect("a key is kept while anything belongs to it")
    }

    /// What there is for a key, for a change, after which it is reviewed.
    pub(super) fn host_mut(&mut self, id: HostId) -> &mut Host<K> {
        let host = self.hosts.get_mut(&id);
        let host = host.expect("a key is kept while anything belongs to it");
        if !host.is_touched {
            host.is_touched = true;
            self.touched.push(id);
        }
        host
    }

    /// Forgets a key to which nothing belongs any more.
    pub(super) fn forget_if_empty(&mut self, id: HostId) {
        if self.hosts.get(&id).is_some_and(Host::is_empty)
            && let Some(host) = self.hosts.remove(&id)
        {
            self.ids.remove(&host.key);
        }
    }

    /// Forgets a request that stands in no line.
    pub(super) fn forget(&mut self, request: RequestId) {
        if let Some(record) = self.requests.remove(&request) {
            self.host_mut(record.host).requests -= 1;
        }
    }

    /// Puts a request where its age places it.
    pub(super) fn enqueue(&mut self, request: RequestId, host: HostId, versions: Versions) {
        let group = self.host_mut(host).groups.entry(versions).or_default();
        group.waiting.insert(request);
        group.undialled.insert(request);
        self.waiting += 1;
    }

    /// Takes a request out of its lines; a dial of its own is abandoned.
    pub(super) fn leave_queue(&mut self, now: Time, request: RequestId) {
        let record = self.record(request);
        let (host, versions) = (record.host, record.versions);
        if let RequestState::Waiting(Some(dial)) = record.state {
            self.abandon(now, dial);
        }
        self.waiting -= 1;
        let groups = &mut self.host_mut(host).groups;
        if let Some(group) = groups.get_mut(&versions) {
            group.waiting.remove(&request);
            group.undialled.remove(&request);
            if group.waiting.is_empty() {
                groups.remove(&versions);
            }
        }
    }
}
