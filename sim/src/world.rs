//! The world: what a test configures and inspects, also while the simulation runs.
//!
//! Invariant: a change takes effect at the virtual time at which it is made, never earlier.

use crate::environment::SimEnvironment;
use crate::events::Event;
use crate::host::{Host, HostId};
use crate::link::{Link, Selector};
use crate::nat::{Nat, NatHandle};
use crate::route::Unreachable;
use crate::state::Shared;
use crate::wire_log::{Flow, WireEvent, flows};
use portway_core::Time;
use std::net::IpAddr;
use std::sync::Arc;

/// A handle to the simulated world. Cloning it gives another handle to the same world.
#[derive(Clone)]
pub struct World {
    pub(crate) shared: Arc<Shared>,
}

impl World {
    /// The host of this name; a new one has one Ethernet interface, one IPv4 and one IPv6
    /// address and default routes for both.
    pub fn host(&self, name: &str) -> Arc<SimEnvironment> {
        let id = self.shared.with(|state| {
            state.host_named(name).unwrap_or_else(|| {
                let number = state.hosts.len();
                state.hosts.push(Host::new(name, number));
                HostId(number)
            })
        });
        Arc::new(SimEnvironment::new(self.shared.clone(), id))
    }

    /// The link between two ends, defined when it is named first. A packet meets the link that
    /// was defined last among those that match; without any, 10 ms and no loss.
    pub fn link(&self, one: impl Into<Selector>, other: impl Into<Selector>) -> Link {
        let ends = [one.into(), other.into()];
        let index = self.shared.with(|state| state.links.define(ends));
        Link::new(self.shared.clone(), index)
    }

    /// Puts hosts, by their names, behind a NAT with this public address; the addresses of its
    /// family that they have are then hidden from everyone else.
    ///
    /// # Panics
    /// When a host does not exist.
    pub fn nat(&self, public: IpAddr, inside: &[&str]) -> NatHandle {
        let index = self.shared.with(|state| {
            let find = |name: &&str| {
                let id = state.host_named(name);
                id.expect("hosts are named before they are put behind a NAT")
            };
            let inside = inside.iter().map(find).collect();
            state.nats.push(Nat::new(public, inside));
            state.nats.len() - 1
        });
        NatHandle::new(self.shared.clone(), index)
    }

    /// Says that the network cannot reach `address`; `None` makes it reachable again. An address
    /// that no host has is silent unless this says otherwise.
    pub fn set_unreachable(&self, address: IpAddr, reason: Option<Unreachable>) {
        self.shared.with(|state| match reason {
            Some(reason) => state.unreachable.insert(address, reason),
            None => state.unreachable.remove(&address),
        });
    }

    /// Runs `change` at a virtual time, or as soon as possible when that has passed.
    pub fn at(&self, time: Time, change: impl FnOnce(&World) + Send + 'static) {
        self.shared.with(|state| {
            let time = time.max(state.now);
            state.events.insert(time, Event::World(Box::new(change)))
        });
    }

    /// The virtual time.
    pub fn now(&self) -> Time {
        self.shared.with(|state| state.now)
    }

    /// The seed of all randomness.
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// Everything that was sent until now, in order.
    pub fn wire_log(&self) -> Vec<WireEvent> {
        self.shared.with(|state| state.log.clone())
    }

    /// Forgets it, with its memory.
    pub fn clear_wire_log(&self) {
        self.shared.with(|state| state.log = Vec::new());
    }

    /// The payload that every socket sent to every other, streams put together again.
    pub fn flows(&self) -> Vec<Flow> {
        self.shared.with(|state| flows(&state.log))
    }

    /// Whether some host sent `needle` in a stream or a datagram, lost packets included.
    pub fn was_sent(&self, needle: &[u8]) -> bool {
        let carries = |bytes: &[u8]| {
            bytes
                .windows(needle.len().max(1))
                .any(|part| part == needle)
        };
        self.flows().iter().any(|flow| carries(&flow.bytes))
    }

    /// Tasks that were spawned and have not ended.
    pub fn tasks_alive(&self) -> usize {
        self.shared.executor.alive(None)
    }

    /// Sockets that somebody still holds, connection attempts included.
    pub fn sockets_open(&self) -> usize {
        self.shared.with(|state| state.sockets().len())
    }
}
