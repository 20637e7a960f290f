//! What a connection's path is, and when that changes.
//!
//! Invariant: nothing is queued: whoever watches compares with what it saw last, so that a slow one
//! misses steps in between and never the last one.

use super::{Connection, ConnectionState, Phase};
use crate::quic::ConnectionError;
use crate::quic::waiting::{Place, WaitList};
use quinn_proto::{ConnectionEvent, Transmit};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A path as it is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathState {
    /// The peer's address.
    pub remote: SocketAddr,
    /// The local address that the peer sends to, where the system tells.
    pub local: Option<IpAddr>,
    /// The largest UDP payload in bytes that the path is known to carry.
    pub mtu: u16,
    /// How often the path has stopped to carry large packets.
    pub black_holes: u64,
    /// Whether the peer has shown that it receives at its address. A client's server has.
    pub is_validated: bool,
    /// How often an address that the peer seemed to have moved to was given up for the one before.
    pub moves_taken_back: u64,
}

/// A change of a connection's path.
///
/// A move is told when packets come from the new address. It may turn out not to be the peer's, so
/// that either [`PathEvent::AddressValidated`] or [`PathEvent::MoveTakenBack`] follows, unless the
/// peer moves again before. Addresses that the peer only tries are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathEvent {
    /// The peer has moved, or a NAT on the way has.
    PeerMoved {
        /// Its address before.
        from: SocketAddr,
        /// Its address now.
        to: SocketAddr,
    },
    /// The peer has shown that it receives at its address.
    AddressValidated {
        /// The address.
        remote: SocketAddr,
    },
    /// The peer did not show that it receives at its address, and is believed to be where it was
    /// before.
    MoveTakenBack {
        /// The address that was given up.
        from: SocketAddr,
        /// Its address now.
        to: SocketAddr,
    },
    /// The peer sends to another local address.
    LocalAddressChanged {
        /// The address before.
        from: Option<IpAddr>,
        /// The address now.
        to: Option<IpAddr>,
    },
    /// The path stopped to carry large packets, and smaller ones are sent.
    BlackHole {
        /// The largest UDP payload in bytes now.
        mtu: u16,
    },
    /// Another size of packets was found to be carried.
    MtuChanged {
        /// The largest UDP payload in bytes before.
        from: u16,
        /// The largest UDP payload in bytes now.
        to: u16,
    },
}

/// Who watches the path of a connection.
#[derive(Default)]
pub(in crate::quic) struct PathWaiters {
    list: WaitList,
    /// The state that everybody who waits has seen.
    seen: Option<PathState>,
    /// Where the peer's packets come to since it has changed to another local address.
    local: Option<IpAddr>,
    /// Whether the peer has yet to show that it receives where it has moved to.
    is_in_question: bool,
    moves_taken_back: u64,
}

/// What was sent before a packet to an address that is in question.
pub(in crate::quic) struct Question {
    challenges: u64,
    probes: u64,
}

impl ConnectionState {
    /// Notes that the peer's packets come from another address.
    pub(in crate::quic) fn on_moved(&mut self) {
        self.paths.is_in_question = true;
    }

    /// Notes that the protocol has given the peer's last address up.
    pub(in crate::quic) fn on_moved_back(&mut self) {
        self.paths.is_in_question = false;
        self.paths.moves_taken_back += 1;
    }

    /// Whether the protocol may give the peer's path up. It may know better already: see
    /// [`answer`](Self::answer).
    pub(in crate::quic) fn is_in_question(&self) -> bool {
        self.paths.is_in_question
    }

    /// What was sent so far, while the peer's address is in question.
    pub(in crate::quic) fn question(&self) -> Option<Question> {
        if !self.paths.is_in_question || self.error().is_some() {
            return None;
        }
        let statistics = self.proto.stats();
        Some(Question {
            challenges: statistics.frame_tx.path_challenge,
            probes: statistics.path.sent_plpmtud_probes,
        })
    }

    /// Looks at what was sent then. quinn-proto puts a challenge into each packet that goes to the
    /// peer's address as long as none was answered, but for probes of the size that the path
    /// carries, and tells nobody when one is.
    pub(in crate::quic) fn answer(&mut self, question: &Question, transmit: &Transmit) {
        let statistics = self.proto.stats();
        if transmit.destination == self.proto.remote_address()
            && statistics.path.sent_plpmtud_probes == question.probes
        {
            self.paths.is_in_question = statistics.frame_tx.path_challenge != question.challenges;
        }
    }

    /// Takes a packet that came to this local address.
    ///
    /// quinn-proto keeps the address of the first packet for good, but a client that goes to the
    /// server's preferred address, or to another address of its, is answered from there (RFC 9000
    /// §9.6). What is not authentic moves nothing.
    pub(in crate::quic) fn receive(&mut self, event: ConnectionEvent, local: Option<IpAddr>) {
        if local.is_none() || local == self.local_ip() || self.proto.side().is_client() {
            self.proto.handle_event(event);
            return;
        }
        let before = self.frames_received();
        self.proto.handle_event(event);
        if self.frames_received() != before {
            self.paths.local = local;
        }
    }

    /// Lets what goes to the peer's address come from where the peer sends to.
    pub(in crate::quic) fn direct(&self, transmit: &mut Transmit) {
        if self.paths.local.is_some() && transmit.destination == self.proto.remote_address() {
            transmit.src_ip = self.paths.local;
        }
    }

    /// The local address that the peer sends to, where it is known.
    pub(in crate::quic) fn local_ip(&self) -> Option<IpAddr> {
        self.paths.local.or_else(|| self.proto.local_ip())
    }

    /// Frames of authentic packets, of the kinds of which each packet on a new path has one.
    fn frames_received(&self) -> u64 {
        let frames = self.proto.stats().frame_rx;
        frames.acks + frames.ping + frames.path_challenge + frames.stream + frames.datagram
    }

    fn path(&self) -> PathState {
        PathState {
            remote: self.proto.remote_address(),
            local: self.local_ip(),
            mtu: self.proto.current_mtu(),
            black_holes: self.proto.stats().path.black_holes_detected,
            is_validated: !self.paths.is_in_question
                && (self.is_address_shown || self.phase != Phase::Handshaking),
            moves_taken_back: self.paths.moves_taken_back,
        }
    }

    /// Wakes those who watch when something has changed. It costs nothing when nobody does.
    pub(in crate::quic) fn look_at_path(&mut self, wakers: &mut Vec<Waker>) {
        if let Some(seen) = self.paths.seen
            && seen != self.path()
        {
            self.wake_path_watchers(wakers);
        }
    }

    pub(super) fn wake_path_watchers(&mut self, wakers: &mut Vec<Waker>) {
        self.paths.seen = None;
        self.paths.list.drain(wakers);
    }
}

impl Connection {
    /// The path as it is now.
    pub fn path(&self) -> PathState {
        self.shared().lock().path()
    }

    /// The changes of the path from now on.
    pub fn path_events(&self) -> PathEvents {
        PathEvents {
            seen: self.path(),
            connection: self.clone(),
        }
    }
}

/// The changes of a connection's path. It holds the connection.
#[derive(Debug)]
pub struct PathEvents {
    connection: Connection,
    seen: PathState,
}

impl PathEvents {
    /// The next change.
    ///
    /// Cancel safety: no change is lost when the future is dropped.
    ///
    /// # Errors
    /// Why the connection has ended.
    pub async fn next(&mut self) -> Result<PathEvent, ConnectionError> {
        PathChanged {
            events: self,
            place: None,
        }
        .await
    }

    /// The difference that comes first.
    fn step(&mut self, now: PathState) -> Option<PathEvent> {
        let seen = &mut self.seen;
        let before = std::mem::replace(&mut seen.moves_taken_back, now.moves_taken_back);
        if seen.remote != now.remote {
            let from = std::mem::replace(&mut seen.remote, now.remote);
            let to = now.remote;
            if before != now.moves_taken_back && now.is_validated {
                seen.is_validated = true;
                return Some(PathEvent::MoveTakenBack { from, to });
            }
            seen.is_validated = false;
            return Some(PathEvent::PeerMoved { from, to });
        }
        if std::mem::replace(&mut seen.is_validated, now.is_validated) != now.is_validated
            && now.is_validated
        {
            let remote = now.remote;
            return Some(PathEvent::AddressValidated { remote });
        }
        if seen.local != now.local {
            let from = std::mem::replace(&mut seen.local, now.local);
            let to = now.local;
            return Some(PathEvent::LocalAddressChanged { from, to });
        }
        if seen.black_holes != now.black_holes {
            seen.black_holes = now.black_holes;
            seen.mtu = now.mtu;
            return Some(PathEvent::BlackHole { mtu: now.mtu });
        }
        let from = std::mem::replace(&mut seen.mtu, now.mtu);
        let to = now.mtu;
        (from != to).then_some(PathEvent::MtuChanged { from, to })
    }
}

/// Waits for a change.
struct PathChanged<'a> {
    events: &'a mut PathEvents,
    place: Place,
}

impl Future for PathChanged<'_> {
    type Output = Result<PathEvent, ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let shared = this.events.connection.shared().clone();
        shared.act(|state| {
            let now = state.path();
            if let Some(event) = this.events.step(now) {
                return Poll::Ready(Ok(event));
            }
            if let Some(error) = state.error() {
                return Poll::Ready(Err(error.clone()));
            }
            state.paths.seen = Some(now);
            state.paths.list.keep(&mut this.place, context.waker());
            Poll::Pending
        })
    }
}

impl Drop for PathChanged<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            let place = self.place;
            let shared = self.events.connection.shared();
            shared.act(|state| state.paths.list.forget(place));
        }
    }
}
