//! The network's state under its one lock.
//!
//! Invariant: no waker runs while the lock is held: they are collected and woken after it, so
//! that whatever a waker does may use the environment again.

use crate::events::{Event, EventKey, EventQueue};
use crate::executor::{Executor, lock};
use crate::host::{Host, HostId};
use crate::link::Links;
use crate::nat::Nat;
use crate::random::Random;
use crate::route::Unreachable;
use crate::tcp::TcpTable;
use crate::udp::UdpTable;
use crate::wire_log::WireEvent;
use portway_core::Time;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::task::Waker;

/// What a simulation, its world and its environments share.
pub(crate) struct Shared {
    pub(crate) executor: Executor,
    pub(crate) seed: u64,
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn new(seed: u64) -> Self {
        Shared {
            executor: Executor::new(),
            seed,
            state: Mutex::new(State {
                now: Time::ZERO,
                random: Random::new(seed),
                events: EventQueue::default(),
                wakes: Vec::new(),
                hosts: Vec::new(),
                links: Links::default(),
                tcp: TcpTable::default(),
                udp: UdpTable::default(),
                nats: Vec::new(),
                log: Vec::new(),
                unreachable: BTreeMap::new(),
            }),
        }
    }

    /// Runs `change` under the lock, then wakes what it made ready.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = lock(&self.state);
        let result = change(&mut state);
        let wakes = std::mem::take(&mut state.wakes);
        drop(state);
        for waker in wakes {
            waker.wake();
        }
        result
    }
}

/// Everything that exists outside of the tasks.
pub(crate) struct State {
    pub(crate) now: Time,
    pub(crate) random: Random,
    pub(crate) events: EventQueue,
    /// Wakers to be woken when the lock is released.
    pub(crate) wakes: Vec<Waker>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) links: Links,
    pub(crate) tcp: TcpTable,
    pub(crate) udp: UdpTable,
    pub(crate) nats: Vec<Nat>,
    pub(crate) log: Vec<WireEvent>,
    pub(crate) unreachable: BTreeMap<IpAddr, Unreachable>,
}

impl State {
    pub(crate) fn schedule(
        &mut self,
        at: Time,
        change: impl FnOnce(&mut State) + Send + 'static,
    ) -> EventKey {
        self.events.insert(at, Event::State(Box::new(change)))
    }

    /// Has `waker`, if there is one, woken after the lock.
    pub(crate) fn wake(&mut self, waker: Option<Waker>) {
        self.wakes.extend(waker);
    }

    pub(crate) fn host(&self, id: HostId) -> &Host {
        &self.hosts[id.0]
    }

    /// One line for each socket that somebody holds.
    pub(crate) fn sockets(&self) -> Vec<String> {
        let mut lines = self.tcp_sockets();
        lines.extend(self.udp_sockets());
        lines
    }

    /// How many sockets of a host somebody holds.
    pub(crate) fn sockets_open(&self, host: HostId) -> usize {
        self.tcp.open(host) + self.udp.open(host)
    }

    /// One line for each question to a resolver that has no answer yet.
    pub(crate) fn open_questions(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for host in &self.hosts {
            let name = &host.name;
            let questions = host.resolver.open_questions();
            lines.extend(
                questions.map(|asked| format!("{name}: {:?} of {}", asked.kind, asked.name)),
            );
        }
        lines
    }

    pub(crate) fn host_mut(&mut self, id: HostId) -> &mut Host {
        &mut self.hosts[id.0]
    }
}

/// Keeps the waker of the current poll.
pub(crate) fn keep_waker(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(kept) => kept.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}
