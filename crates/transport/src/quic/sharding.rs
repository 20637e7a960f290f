//! Endpoints that share one port, each with connections of its own.
//!
//! Invariant: a packet is handled by the endpoint that its connection identifier names, whichever
//! socket it came to, so a connection's state never leaves its endpoint's thread.

use super::endpoint::Shared;
use crate::environment::{Environment, ReceivedMessage, UdpBind, shard_of};
use bytes::BytesMut;
use portway_core::{Failure, FailureKind, Origin};
use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// One of several endpoints that share a port; see [`EndpointOptions::shard`].
///
/// The system gives each packet to the endpoint that its connection identifier names (RFC 9000
/// §5.1 leaves their content to whoever issues them), so a client that moves to another address
/// keeps its endpoint. A packet that goes astray is handed over.
///
/// [`EndpointOptions::shard`]: super::EndpointOptions::shard
#[derive(Clone)]
pub struct Shard {
    group: Arc<Group>,
    index: u16,
}

struct Group {
    inboxes: Vec<Mutex<Inbox>>,
    state: Mutex<State>,
}

/// What the endpoints of a group have in common.
#[derive(Default)]
struct State {
    bound: u16,
    address: Option<SocketAddr>,
    keys: Option<Box<[u8; KEYS_BYTES]>>,
}

/// Packets from other endpoints of the group.
#[derive(Default)]
struct Inbox {
    waiting: VecDeque<Handed>,
    endpoint: Weak<Shared>,
}

/// A packet that came to another endpoint.
pub(super) struct Handed {
    pub(super) remote: SocketAddr,
    pub(super) local: Option<IpAddr>,
    pub(super) ecn: Option<u8>,
    pub(super) packet: BytesMut,
}

impl Shard {
    /// The shards of a group of so many, at least one. Endpoints are bound with them in their
    /// order, all with the same local address; when its port is zero the first one's choice is
    /// everybody's. They have the same keys for tokens and stateless resets unless the options
    /// give others.
    pub fn group(count: u16) -> Vec<Shard> {
        let count = count.max(1);
        let group = Arc::new(Group {
            inboxes: (0..count).map(|_| Mutex::default()).collect(),
            state: Mutex::default(),
        });
        let shard = |index| Shard {
            group: Arc::clone(&group),
            index,
        };
        (0..count).map(shard).collect()
    }

    /// Which one of the group it is, from zero.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// How many there are.
    pub fn count(&self) -> u16 {
        self.group.inboxes.len() as u16
    }

    /// The request for this shard's socket.
    pub(super) fn bind(&self, mut bind: UdpBind) -> Result<UdpBind, Failure> {
        let state = locked(&self.group.state);
        if state.bound != self.index {
            let detail = format!(
                "shard {} cannot be bound now: it is the turn of shard {}",
                self.index, state.bound
            );
            let kind = FailureKind::InvalidRequest;
            return Err(Failure::new(Origin::Local, kind, detail));
        }
        if let (0, Some(address)) = (bind.local.port(), state.address) {
            bind.local.set_port(address.port());
        }
        Ok(bind.sharded(self.count()))
    }

    /// The socket is bound: it is the next one's turn.
    pub(super) fn on_bound(&self, address: SocketAddr) {
        let mut state = locked(&self.group.state);
        state.bound += 1;
        state.address = Some(address);
    }

    /// Random bytes for keys, the same for all of the group.
    pub(super) fn keys(&self, environment: &dyn Environment) -> [u8; KEYS_BYTES] {
        **locked(&self.group.state).keys.get_or_insert_with(|| {
            let mut keys = Box::new([0; KEYS_BYTES]);
            environment.fill_random(&mut keys[..]);
            keys
        })
    }

    /// From now on, packets for this shard are handed to `endpoint`.
    pub(super) fn on_started(&self, endpoint: &Arc<Shared>) {
        locked(&self.group.inboxes[usize::from(self.index)]).endpoint = Arc::downgrade(endpoint);
    }

    /// Hands a packet over if it is for another shard, else gives it back.
    pub(super) fn keep(
        &self,
        received: &ReceivedMessage<'_>,
        packet: BytesMut,
    ) -> Option<BytesMut> {
        let owner = shard_of(&packet, self.count());
        if owner == self.index {
            return Some(packet);
        }
        let mut inbox = locked(&self.group.inboxes[usize::from(owner)]);
        // What nobody takes, and what comes faster than it is taken, is lost as on the way.
        let Some(endpoint) = inbox.endpoint.upgrade() else {
            inbox.waiting.clear();
            return None;
        };
        if inbox.waiting.len() < WAITING_MAX {
            inbox.waiting.push_back(Handed {
                remote: received.remote,
                local: received.local,
                ecn: received.ecn,
                packet,
            });
        }
        let is_first = inbox.waiting.len() == 1;
        drop(inbox);
        if is_first {
            endpoint.call();
        }
        None
    }

    /// Takes the packets that others have handed over.
    pub(super) fn take(&self) -> VecDeque<Handed> {
        std::mem::take(&mut locked(&self.group.inboxes[usize::from(self.index)]).waiting)
    }

    /// Makes random bytes name this shard.
    pub(super) fn mark(&self, identifier: &mut [u8]) {
        if let Some(front) = identifier.first_chunk_mut::<2>() {
            let number = u16::from_be_bytes(*front);
            let base = number - number % self.count();
            let number = match base.checked_add(self.index) {
                Some(number) => number,
                None => base - self.count() + self.index,
            };
            *front = number.to_be_bytes();
        }
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shard({} of {})", self.index, self.count())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while holding the lock leaves at most packets behind, which may be lost.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Two keys of 64 bytes.
const KEYS_BYTES: usize = 128;
/// Packets that may wait for an endpoint that is busy.
const WAITING_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_identifier_names_its_shard_and_stays_random() {
        for count in [1, 2, 3, 7, 256, u16::MAX] {
            let shards = Shard::group(count);
            for shard in [
                &shards[0],
                &shards[usize::from(count) / 2],
                &shards[usize::from(count) - 1],
            ] {
                let mut seen = std::collections::BTreeSet::new();
                for number in (0..=u16::MAX).step_by(97).chain([u16::MAX]) {
                    let [high, low] = number.to_be_bytes();
                    let mut identifier = [high, low, 1, 2, 3, 4, 5, 6];
                    shard.mark(&mut identifier);
                    assert_eq!(identifier[2..], [1, 2, 3, 4, 5, 6]);
                    seen.insert([identifier[0], identifier[1]]);
                    let packet = [&[0x40][..], &identifier].concat();
                    assert_eq!(shard_of(&packet, count), shard.index());
                }
                let possible = usize::from(u16::MAX / count);
                assert!(seen.len() >= possible.min(600), "{count}: {}", seen.len());
            }
        }
    }

    #[test]
    fn what_is_handed_over_without_a_taker_is_dropped() {
        let shards = Shard::group(2);
        let received = ReceivedMessage {
            contents: &[],
            stride: 0,
            remote: SocketAddr::from(([192, 0, 2, 1], 7)),
            local: None,
            ecn: None,
        };
        let packet = |byte: u8| BytesMut::from(&[0x40, 0, byte, 9][..]);
        assert!(shards[0].keep(&received, packet(0)).is_some());
        assert!(shards[0].keep(&received, packet(1)).is_none());
        assert!(shards[1].take().is_empty());
    }
}
