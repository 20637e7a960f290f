//! What a connection's path is, and when that changes.
//!
//! Invariant: nothing is queued: whoever watches compares with what it saw last, so that a slow one
//! misses steps in between and never the last one.

use super::{Connection, ConnectionState};
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
}

/// A change of a connection's path.
///
/// The protocol library tells neither when a new address of the peer was validated nor which
/// addresses were tried in vain, so that there are no events for that: a move is told when packets
/// come from the new address, which may turn out not to be the peer's and be taken back.
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
}

impl ConnectionState {
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
        }
    }

    /// Wakes those who watch when something has changed. It costs nothing when nobody does.
    pub(super) fn look_at_path(&mut self, wakers: &mut Vec<Waker>) {
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
        if seen.remote != now.remote {
            let from = std::mem::replace(&mut seen.remote, now.remote);
            let to = now.remote;
            return Some(PathEvent::PeerMoved { from, to });
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
