//! Who gets which connection, and how a connection ends.
//!
//! Invariant: while somebody waits in the line of a version, no connection of that version has
//! room; so a new request that finds room overtakes nobody.

use super::action::{Action, After, CloseReason, ConnectionId, RequestId};
use super::host::HostId;
use super::version::{Version, Versions};
use super::{Connection, Pool, RequestState, Timer};
use portway_core::Time;

/// How many requests a connection carries at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streams {
    /// One, until the peer has said how many.
    Provisional,
    Known(u32),
}

impl Streams {
    pub(super) fn is_provisional(self) -> bool {
        self == Streams::Provisional
    }

    fn max(self) -> u32 {
        match self {
            Streams::Provisional => 1,
            Streams::Known(max) => max,
        }
    }
}

impl Connection {
    fn has_room(&self) -> bool {
        self.is_draining.is_none() && self.active < self.streams.max()
    }
}

impl<K: Ord + Clone> Pool<K> {
    /// A new connection, which carries nothing yet.
    pub(super) fn open(&mut self, now: Time, host: HostId, version: Version) -> ConnectionId {
        let id = ConnectionId(self.new_id());
        let expires = self.config.lifetime_max.map(|lifetime| now + lifetime);
        if let Some(expires) = expires {
            self.timers.insert((expires, Timer::Lifetime(id)));
        }
        let streams = match version.is_multiplexed() {
            true => Streams::Provisional,
            false => Streams::Known(1),
        };
        self.connections.insert(
            id,
            Connection {
                host,
                version,
                streams,
                active: 0,
                has_served: false,
                is_draining: None,
                idle_since: None,
                expires,
            },
        );
        let host = self.host_mut(host);
        host.connections += 1;
        if version.is_multiplexed() {
            host.multiplexed.push(id);
        }
        id
    }

    /// A connection with room, of the newest version: of multiplexed ones the oldest, so that
    /// others can become idle; of HTTP/1.1 the one that was used last.
    pub(super) fn available(&self, id: HostId, versions: Versions) -> Option<ConnectionId> {
        let host = self.host_of(id);
        versions
            .newest_first()
            .find_map(|version| match version.is_multiplexed() {
                false => host.idle.last().copied(),
                true => host.multiplexed.iter().copied().find(|connection| {
                    let connection = &self.connections[connection];
                    connection.version == version && connection.has_room()
                }),
            })
    }

    /// Gives a connection to a request that stands in no line.
    pub(super) fn assign(&mut self, now: Time, request: RequestId, connection: ConnectionId) {
        self.unidle(connection);
        let record = self.connection_mut(connection);
        let is_reused = record.has_served;
        record.active += 1;
        record.has_served = true;
        let record = self.record_mut(request);
        record.state = RequestState::Assigned(connection);
        let waited = now - record.since;
        self.actions.push_back(Action::Assign {
            request,
            connection,
            is_reused,
            waited,
        });
    }

    /// Gives the room of a connection to those who wait for it; one that carries nothing then is
    /// idle.
    pub(super) fn serve(&mut self, now: Time, id: ConnectionId) {
        loop {
            let connection = self.connection_mut(id);
            let (host, version) = (connection.host, connection.version);
            if !connection.has_room() {
                break;
            }
            let Some(request) = self.host_of(host).first_waiting(version) else {
                break;
            };
            self.leave_queue(now, request);
            self.assign(now, request, id);
        }
        if self.connection_mut(id).active == 0 {
            self.make_idle(now, id);
        }
    }

    /// A request has left a connection.
    pub(super) fn release(&mut self, now: Time, id: ConnectionId, after: After) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.active -= 1;
        if !connection.version.is_multiplexed() && after == After::Discard {
            return self.close(id, CloseReason::NotReusable);
        }
        match connection.is_draining {
            Some(reason) if connection.active == 0 => self.close(id, reason),
            Some(_) => {}
            None => self.serve(now, id),
        }
    }

    fn make_idle(&mut self, now: Time, id: ConnectionId) {
        let connection = self.connection_mut(id);
        if connection.idle_since.is_some() {
            return;
        }
        connection.idle_since = Some(now);
        let (host, version) = (connection.host, connection.version);
        self.idle.insert(now, id);
        let host = self.host_mut(host);
        if !version.is_multiplexed() {
            host.idle.push(id);
        }
    }

    fn unidle(&mut self, id: ConnectionId) {
        let connection = self.connection_mut(id);
        let host = connection.host;
        if let Some(since) = connection.idle_since.take() {
            self.idle.remove(since, id);
            self.host_mut(host).idle.retain(|idle| *idle != id);
        }
    }

    /// A connection gets no further request.
    pub(super) fn drain(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.active == 0 {
            return self.close(id, reason);
        }
        connection.is_draining.get_or_insert(reason);
        let host = connection.host;
        self.host_mut(host).multiplexed.retain(|open| *open != id);
    }

    pub(super) fn close(&mut self, connection: ConnectionId, reason: CloseReason) {
        self.actions.push_back(Action::Close { connection, reason });
        self.remove(connection);
    }

    /// Takes a connection out.
    pub(super) fn remove(&mut self, id: ConnectionId) {
        if !self.connections.contains_key(&id) {
            return;
        }
        self.unidle(id);
        if let Some(connection) = self.connections.remove(&id) {
            if let Some(expires) = connection.expires {
                self.timers.remove(&(expires, Timer::Lifetime(id)));
            }
            let host = self.host_mut(connection.host);
            host.connections -= 1;
            host.multiplexed.retain(|open| *open != id);
        }
    }

    fn connection_mut(&mut self, id: ConnectionId) -> &mut Connection {
        let connection = self.connections.get_mut(&id);
        connection.expect("a connection is kept until it is removed")
    }
}
