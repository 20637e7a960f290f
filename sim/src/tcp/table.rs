//! Every TCP connection and listener of the simulation.
//!
//! Invariant: a connection that can still receive is in the index under its two addresses.

use super::connection::{Connection, Phase, Tie};
use super::listener::Listener;
use crate::host::{HostId, takes};
use crate::state::State;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Identifies a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// Identifies a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListenerId(pub(crate) u64);

/// All connections and listeners.
#[derive(Default)]
pub(crate) struct TcpTable {
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    pub(crate) index: BTreeMap<(HostId, SocketAddr, SocketAddr), ConnectionId>,
    pub(crate) listeners: BTreeMap<ListenerId, Listener>,
    created: u64,
}

impl TcpTable {
    pub(crate) fn insert(&mut self, connection: Connection) -> ConnectionId {
        self.created += 1;
        let id = ConnectionId(self.created);
        self.index.insert(connection.key(), id);
        self.connections.insert(id, connection);
        id
    }

    pub(crate) fn insert_listener(&mut self, listener: Listener) -> ListenerId {
        self.created += 1;
        let id = ListenerId(self.created);
        self.listeners.insert(id, listener);
        id
    }

    pub(crate) fn listener_for(&self, host: HostId, destination: SocketAddr) -> Option<ListenerId> {
        let matching = |(_, listener): &(&ListenerId, &Listener)| {
            listener.host == host && takes(listener.local, destination)
        };
        let exact = |(_, listener): &(&ListenerId, &Listener)| listener.local == destination;
        let mut found = self.listeners.iter().filter(matching);
        let any = found.clone().next();
        found.find(exact).or(any).map(|(id, _)| *id)
    }

    pub(crate) fn open(&self, host: HostId) -> usize {
        let listeners = self.listeners.values();
        let listening = listeners.filter(|listener| listener.host == host).count();
        let connections = self.connections.values();
        let is_held = |end: &&Connection| end.host == host && end.tie == Tie::Held;
        listening + connections.filter(is_held).count()
    }

    pub(crate) fn is_port_used(&self, host: HostId, port: u16) -> bool {
        let mut listeners = self.listeners.values();
        listeners.any(|listener| listener.host == host && listener.local.port() == port)
            || self
                .index
                .keys()
                .any(|key| key.0 == host && key.1.port() == port)
    }
}

impl State {
    pub(crate) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.tcp.connections.get_mut(&id)
    }

    /// Forgets a connection and its timers.
    pub(crate) fn remove_connection(&mut self, id: ConnectionId) {
        let Some(mut connection) = self.tcp.connections.remove(&id) else {
            return;
        };
        for timer in connection.timers() {
            self.events.remove(timer);
        }
        let key = connection.key();
        if self.tcp.index.get(&key) == Some(&id) {
            self.tcp.index.remove(&key);
        }
    }

    /// One line for each socket that somebody holds.
    pub(crate) fn tcp_sockets(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for listener in self.tcp.listeners.values() {
            let name = &self.host(listener.host).name;
            lines.push(format!("{name}: tcp listener on {}", listener.local));
        }
        for connection in self.tcp.connections.values() {
            if connection.tie != Tie::Held {
                continue;
            }
            let name = &self.host(connection.host).name;
            let (local, remote) = (connection.local, connection.remote);
            let phase = match connection.phase {
                Phase::SynSent => "connecting",
                Phase::SynReceived(_) => "being accepted",
                Phase::Established => "open",
                Phase::Closed => "dead",
            };
            lines.push(format!("{name}: tcp {local} to {remote}, {phase}"));
        }
        lines
    }
}
