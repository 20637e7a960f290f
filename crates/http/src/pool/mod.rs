//! The pool of connections of a client, as a machine without I/O.
//!
//! Invariant: events come in through methods with the time as an argument, decisions go out
//! through [`Pool::poll_action`]; nothing else reaches the machine, so the same events lead to the
//! same decisions. `dialing.rs` decides what is dialled, `serving.rs` who gets which connection.
//!
//! # A request
//!
//! ```text
//!              request()                  a connection is there
//!                 │                              │
//!                 ▼          Assign              ▼          on_finished()
//!             ┌─────────┐ ──────────────► ┌──────────┐ ─────────────────► gone
//!             │ waiting │                 │ assigned │
//!             └─────────┘ ◄────────────── └──────────┘
//!               │     │      retry(), three times
//!      cancel() │     │ Fail
//!               ▼     ▼
//!                 gone
//! ```
//!
//! Who waits for a key stands in one line for each version, first in, first out; a request that
//! takes several versions stands in each of their lines. One that is queued again keeps the place
//! that its age gives it.
//!
//! # A dial
//!
//! | state | event | next | action |
//! |---|---|---|---|
//! | owned | connected | gone | `Assign` to the initiator, then to the next who wait |
//! | owned | failed | gone | `Fail` of the initiator, nobody else |
//! | owned | takes longer than `dial_max` | gone | `CancelDial`, `Fail` of the initiator |
//! | owned | initiator served elsewhere, cancelled | abandoned | `Tell` |
//! | – | `dial_ahead()` | abandoned | `Dial` |
//! | abandoned | connected | gone | `Assign` to the next who wait, else the connection is idle |
//! | abandoned | failed | gone | `Tell` |
//! | abandoned | `abandoned_dial_max` has passed | gone | `CancelDial` |
//!
//! Where HTTP/2 or 3 may come of a dial, others wait for it instead of dialling too. Once a key
//! has come to HTTP/1.1, each who waits has a dial.
//!
//! # A connection
//!
//! | state | event | next |
//! |---|---|---|
//! | serving | its last request has ended | idle; of HTTP/1.1 the latest is used first |
//! | idle | a request | serving |
//! | idle | `idle_max`, `lifetime_max`, or its place is needed | gone, `Close` |
//! | serving | `lifetime_max`, `on_draining` | draining: no further request |
//! | draining | its last request has ended | gone, `Close` |
//! | any | `on_closed` | gone |

mod action;
mod config;
mod dialing;
mod host;
mod idle;
mod serving;
mod version;

#[cfg(test)]
mod tests;

pub use action::{
    Action, After, Assignment, CancelReason, CloseReason, ConnectionId, DialId, Event, FailReason,
    RequestId,
};
pub use config::Config;
pub use version::{Version, Versions};

use host::{Host, HostId};
use idle::Idle;
use portway_core::Time;
use serving::Streams;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The pool. `K` is all that connections must have in common to serve the same requests.
///
/// ```
/// use portway_core::Time;
/// use portway_http::pool::{Action, Config, Pool, Version};
///
/// let mut pool = Pool::new(Config::default());
/// let request = pool.request(Time::ZERO, "https://example.com", Version::Http2.into());
/// let Some(Action::Dial { dial, .. }) = pool.poll_action() else {
///     panic!("nothing is there yet")
/// };
/// let connection = pool.on_connected(Time::ZERO, dial, Version::Http2).unwrap();
/// let assigned = pool.poll_action();
/// assert!(matches!(assigned, Some(Action::Assign { request: r, connection: c, .. })
///     if r == request && c == connection));
/// ```
#[derive(Debug)]
pub struct Pool<K> {
    config: Config,
    ids: BTreeMap<K, HostId>,
    hosts: BTreeMap<HostId, Host<K>>,
    requests: BTreeMap<RequestId, Request>,
    dials: BTreeMap<DialId, Dial>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Connections that carry nothing, the longest idle first.
    idle: Idle,
    /// Who is to be dialled for when there is a place, one for each key that allows it.
    wanting: BTreeMap<RequestId, HostId>,
    /// Keys that the present event has changed.
    touched: Vec<HostId>,
    timers: BTreeSet<(Time, Timer)>,
    actions: VecDeque<Action<K>>,
    waiting: usize,
    next_id: u64,
}

/// How much a pool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// Dials that have not ended, the abandoned ones included.
    pub dials: usize,
    /// Connections that carry something.
    pub active: usize,
    /// Connections that carry nothing.
    pub idle: usize,
}

#[derive(Debug)]
struct Request {
    host: HostId,
    versions: Versions,
    since: Time,
    retries: u32,
    state: RequestState,
}

#[derive(Debug)]
enum RequestState {
    /// In the lines of its key, perhaps with a dial of its own.
    Waiting(Option<DialId>),
    Assigned(ConnectionId),
}

#[derive(Debug)]
struct Dial {
    host: HostId,
    versions: Versions,
    /// None once the dial is abandoned.
    initiator: Option<RequestId>,
    deadline: Time,
}

#[derive(Debug)]
struct Connection {
    host: HostId,
    version: Version,
    streams: Streams,
    active: u32,
    has_served: bool,
    is_draining: Option<CloseReason>,
    idle_since: Option<Time>,
    expires: Option<Time>,
}

/// What happens by itself; of connections that are idle, the pool's `idle` knows when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Dial(DialId),
    Idle(ConnectionId),
    Lifetime(ConnectionId),
}

impl<K: Ord + Clone> Pool<K> {
    /// An empty pool.
    pub fn new(config: Config) -> Self {
        Pool {
            config,
            ids: BTreeMap::new(),
            hosts: BTreeMap::new(),
            requests: BTreeMap::new(),
            dials: BTreeMap::new(),
            connections: BTreeMap::new(),
            idle: Idle::default(),
            wanting: BTreeMap::new(),
            touched: Vec::new(),
            timers: BTreeSet::new(),
            actions: VecDeque::new(),
            waiting: 0,
            next_id: 0,
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action<K>> {
        self.actions.pop_front()
    }

    /// Takes the next thing to do out if it is to send this request.
    pub fn take_assignment(&mut self, request: RequestId) -> Option<Assignment> {
        let assignment = match self.actions.front() {
            Some(Action::Assign {
                request: of,
                connection,
                is_reused,
                ..
            }) if *of == request => Assignment {
                connection: *connection,
                is_reused: *is_reused,
            },
            _ => return None,
        };
        self.actions.pop_front();
        Some(assignment)
    }

    /// When [`Pool::on_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.next_timer().map(|(at, _)| at)
    }

    /// How much there is.
    pub fn counts(&self) -> Counts {
        Counts {
            waiting: self.waiting,
            dials: self.dials.len(),
            active: self.connections.len() - self.idle.len(),
            idle: self.idle.len(),
        }
    }

    /// A request for a key, over any of these versions.
    pub fn request(&mut self, now: Time, key: K, versions: Versions) -> RequestId {
        self.advance(now);
        let request = RequestId(self.new_id());
        let host = self.host(key);
        let record = Request {
            host,
            versions,
            since: now,
            retries: 0,
            state: RequestState::Waiting(None),
        };
        self.requests.insert(request, record);
        self.host_mut(host).requests += 1;
        self.place(now, request);
        self.settle(now);
        request
    }

    /// Gives a request up that waits; what is sent already is ended by [`Pool::on_finished`].
    pub fn cancel(&mut self, now: Time, request: RequestId) {
        self.advance(now);
        let waits = |record: &Request| matches!(record.state, RequestState::Waiting(_));
        if self.requests.get(&request).is_some_and(waits) {
            self.leave_queue(now, request);
            self.forget(request);
        }
        self.settle(now);
    }

    /// A request that was assigned has ended, with what is left of its connection.
    pub fn on_finished(&mut self, now: Time, request: RequestId, after: After) {
        self.advance(now);
        if let Some(connection) = self.assigned(request) {
            self.forget(request);
            self.release(now, connection, after);
        }
        self.settle(now);
    }

    /// A request that was assigned was not answered, in a way that makes it safe to send it again.
    /// Says whether it waits again, over these versions; otherwise its retries are spent and the
    /// pool has forgotten it.
    pub fn retry(&mut self, now: Time, request: RequestId, versions: Versions) -> bool {
        self.advance(now);
        let Some(connection) = self.assigned(request) else {
            self.settle(now);
            return false;
        };
        let may_retry = self.record(request).retries < self.config.retries_max;
        if may_retry {
            let record = self.record_mut(request);
            record.retries += 1;
            record.versions = versions;
            record.since = now;
            record.state = RequestState::Waiting(None);
            self.place(now, request);
        } else {
            self.forget(request);
        }
        self.release(now, connection, After::Discard);
        self.settle(now);
        may_retry
    }

    /// Dials for a version that carries several requests although nobody waits for it, such as one
    /// that the peer has come to offer; says whether it does. It does not where such a connection
    /// is there or on its way, or no place is free. Nobody is failed by the dial, and it has the
    /// time of an abandoned one.
    pub fn dial_ahead(&mut self, now: Time, key: K, version: Version) -> bool {
        self.advance(now);
        let host = self.host(key);
        let is_wanted = version.is_multiplexed() && self.lacks(host, version);
        if is_wanted {
            self.start_dial_ahead(now, host, version);
        }
        self.host_mut(host);
        self.settle(now);
        is_wanted
    }

    /// A dial has led to a connection; `None` when it is not wanted any more and must be closed.
    pub fn on_connected(
        &mut self,
        now: Time,
        dial: DialId,
        version: Version,
    ) -> Option<ConnectionId> {
        self.advance(now);
        let Some(ended) = self.end_dial(dial) else {
            self.settle(now);
            return None;
        };
        let connection = self.open(now, ended.host, version);
        self.learn(ended.host, ended.versions, version);
        if let Some(initiator) = ended.initiator {
            self.leave_queue(now, initiator);
            match self.record(initiator).versions.contains(version) {
                true => self.assign(now, initiator, connection),
                false => self.fail(initiator, FailReason::WrongVersion(version)),
            }
        }
        self.serve(now, connection);
        self.settle(now);
        Some(connection)
    }

    /// A dial has failed.
    pub fn on_dial_failed(&mut self, now: Time, dial: DialId) {
        self.advance(now);
        if let Some(ended) = self.end_dial(dial) {
            match ended.initiator {
                Some(initiator) => {
                    self.leave_queue(now, initiator);
                    self.fail(initiator, FailReason::DialFailed(dial));
                }
                None => self.tell(Event::AbandonedDialFailed(dial)),
            }
        }
        self.settle(now);
    }

    /// The peer has said how many requests a connection carries at the same time. Before, a
    /// multiplexed connection gets one.
    pub fn on_streams_max(&mut self, now: Time, connection: ConnectionId, max: u32) {
        self.advance(now);
        if let Some(record) = self.connections.get_mut(&connection) {
            record.streams = Streams::Known(max);
            let host = record.host;
            self.host_mut(host);
            self.serve(now, connection);
        }
        self.settle(now);
    }

    /// A connection takes no further request; what it carries goes on.
    pub fn on_draining(&mut self, now: Time, connection: ConnectionId) {
        self.advance(now);
        self.drain(connection, CloseReason::Drained);
        self.settle(now);
    }

    /// A connection has ended. What it carried is told of by [`Pool::on_finished`] or
    /// [`Pool::retry`] as usual.
    pub fn on_closed(&mut self, now: Time, connection: ConnectionId) {
        self.advance(now);
        self.remove(connection);
        self.settle(now);
    }

    /// Does what is due. Every other event does so first.
    pub fn on_timeout(&mut self, now: Time) {
        self.advance(now);
        self.settle(now);
    }
}

impl<K: Ord + Clone> Pool<K> {
    /// What happens by itself next.
    fn next_timer(&self) -> Option<(Time, Timer)> {
        let idle_max = self.config.idle_max;
        let idle = self.idle.first();
        let idle = idle.map(|(since, connection)| (since + idle_max, Timer::Idle(connection)));
        self.timers.first().copied().into_iter().chain(idle).min()
    }

    /// Ends what is due to end.
    fn advance(&mut self, now: Time) {
        while let Some((at, timer)) = self.next_timer().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Dial(dial) => self.time_out(now, dial),
                Timer::Idle(connection) => self.close(connection, CloseReason::Idle),
                Timer::Lifetime(connection) => self.drain(connection, CloseReason::Lifetime),
            }
        }
    }

    /// Gives a request a connection that has room, else a place in its lines.
    fn place(&mut self, now: Time, request: RequestId) {
        let record = self.record(request);
        let (host, versions) = (record.host, record.versions);
        if let Some(connection) = self.available(host, versions) {
            self.assign(now, request, connection);
        } else if self.waiting >= self.config.waiting_max {
            self.fail(request, FailReason::QueueFull);
        } else {
            self.enqueue(request, host, versions);
        }
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn tell(&mut self, event: Event) {
        self.actions.push_back(Action::Tell(event));
    }

    /// Forgets a request that waits in no line any more.
    fn fail(&mut self, request: RequestId, reason: FailReason) {
        self.forget(request);
        self.actions.push_back(Action::Fail { request, reason });
    }

    fn assigned(&self, request: RequestId) -> Option<ConnectionId> {
        match self.requests.get(&request)?.state {
            RequestState::Assigned(connection) => Some(connection),
            RequestState::Waiting(_) => None,
        }
    }

    fn record(&self, request: RequestId) -> &Request {
        let record = self.requests.get(&request);
        record.expect("lines, dials and connections name requests that are there")
    }

    fn record_mut(&mut self, request: RequestId) -> &mut Request {
        let record = self.requests.get_mut(&request);
        record.expect("lines, dials and connections name requests that are there")
    }
}
