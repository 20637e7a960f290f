//! One end of a TCP connection, and how it ends.
//!
//! Invariant: a connection that nobody holds ends by itself, in bounded virtual time.

use super::table::{ConnectionId, ListenerId};
use crate::events::EventKey;
use crate::host::HostId;
use crate::packet::{Body, Packet, Segment, SegmentKind};
use crate::state::State;
use bytes::Bytes;
use portway_core::Time;
use portway_transport::environment::TcpOptions;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::task::Waker;
use std::time::Duration;

/// One end of a connection.
pub(crate) struct Connection {
    pub(crate) host: HostId,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) phase: Phase,
    pub(crate) tie: Tie,
    /// The listener that waits for it, until it is accepted.
    pub(crate) listener: Option<ListenerId>,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    pub(crate) wakers: Wakers,
    /// An error that no call has reported yet.
    pub(crate) error: Option<i32>,
    /// What ended the connection, told or not.
    pub(crate) ended_by: Option<i32>,
    pub(crate) options: TcpOptions,
    pub(crate) mss: usize,
    pub(crate) ending: Option<EventKey>,
    pub(crate) keep_alive: KeepAlive,
}

/// The sizes of a connection's buffers in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffers {
    pub(crate) send: usize,
    pub(crate) receive: usize,
}

impl Default for Buffers {
    fn default() -> Self {
        Buffers {
            send: 128 * 1024,
            receive: 128 * 1024,
        }
    }
}

/// Where a connection stands. Closing is told by the FINs in [`Sender`] and [`Receiver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    SynSent,
    SynReceived(ListenerId),
    Established,
    Closed,
}

/// Who holds the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tie {
    /// The listener, until it is accepted.
    Listener,
    /// A connection attempt or a stream.
    Held,
    /// Nobody: what was written is still sent, what arrives is refused.
    Orphan,
}

/// What was written and is not acknowledged.
#[derive(Default)]
pub(crate) struct Sender {
    /// The first byte that is not acknowledged; the buffer starts there.
    pub(crate) una: u64,
    /// The next byte to be sent.
    pub(crate) next: u64,
    pub(crate) buffer: VecDeque<u8>,
    pub(crate) capacity: usize,
    /// The number of the FIN, once the writing end is closed.
    pub(crate) fin: Option<u64>,
    /// The end of the last segment that was not full.
    pub(crate) small_end: u64,
    /// The peer's window.
    pub(crate) window: u64,
    pub(crate) duplicate_acks: u32,
    /// Up to here, an acknowledgement that leaves a hole has the hole sent again.
    pub(crate) recover: u64,
    pub(crate) retransmission: Retransmission,
    /// Set while the sender waits for room on the link.
    pub(crate) resume: Option<EventKey>,
}

/// The retransmission timer and what it is computed from.
#[derive(Default)]
pub(crate) struct Retransmission {
    pub(crate) timer: Option<EventKey>,
    pub(crate) retries: u32,
    pub(crate) srtt: Option<Duration>,
    pub(crate) variation: Duration,
    /// The end of the byte range that is being timed, and since when.
    pub(crate) sample: Option<(u64, Time)>,
    /// Since when data has waited without progress.
    pub(crate) since: Option<Time>,
}

/// What has arrived and was not read.
#[derive(Default)]
pub(crate) struct Receiver {
    /// The next byte that is expected; one more than the last when the FIN has come.
    pub(crate) next: u64,
    pub(crate) buffer: VecDeque<u8>,
    pub(crate) capacity: usize,
    pub(crate) out_of_order: BTreeMap<u64, Bytes>,
    /// The number of the peer's FIN, once it is known.
    pub(crate) fin: Option<u64>,
    /// The window that the peer was told last.
    pub(crate) advertised: u64,
}

#[derive(Default)]
pub(crate) struct Wakers {
    pub(crate) read: Option<Waker>,
    pub(crate) write: Option<Waker>,
    pub(crate) connect: Option<Waker>,
}

/// The keep-alive timer.
#[derive(Default)]
pub(crate) struct KeepAlive {
    pub(crate) timer: Option<EventKey>,
    pub(crate) unanswered: u32,
    /// When the peer was last heard of.
    pub(crate) heard_at: Time,
}

impl Connection {
    pub(crate) fn new(
        (host, local, remote): (HostId, SocketAddr, SocketAddr),
        phase: Phase,
        buffers: Buffers,
        mss: usize,
    ) -> Self {
        let (tie, listener) = match phase {
            Phase::SynReceived(listener) => (Tie::Listener, Some(listener)),
            _ => (Tie::Held, None),
        };
        Connection {
            host,
            local,
            remote,
            phase,
            tie,
            listener,
            sender: Sender {
                capacity: buffers.send,
                ..Sender::default()
            },
            receiver: Receiver {
                capacity: buffers.receive,
                advertised: buffers.receive as u64,
                ..Receiver::default()
            },
            wakers: Wakers::default(),
            error: None,
            ended_by: None,
            options: TcpOptions::default(),
            mss,
            ending: None,
            keep_alive: KeepAlive::default(),
        }
    }

    pub(crate) fn key(&self) -> (HostId, SocketAddr, SocketAddr) {
        (self.host, self.local, self.remote)
    }

    /// Takes every timer that may be queued.
    pub(crate) fn timers(&mut self) -> impl Iterator<Item = EventKey> + use<> {
        [
            self.sender.retransmission.timer.take(),
            self.sender.resume.take(),
            self.ending.take(),
            self.keep_alive.timer.take(),
        ]
        .into_iter()
        .flatten()
    }

    pub(crate) fn segment(&mut self, kind: SegmentKind, seq: u64, data: Bytes) -> Packet {
        let window = self.receiver.window();
        self.receiver.advertised = window;
        Packet {
            source: self.local,
            destination: self.remote,
            dscp: self.options.dscp.unwrap_or(0),
            body: Body::Tcp(Segment {
                kind,
                seq,
                ack: self.receiver.next,
                window,
                data,
                has_fin: false,
                mss: self.mss,
            }),
        }
    }
}

impl State {
    /// Sends a segment without data.
    pub(crate) fn send_bare(&mut self, id: ConnectionId, kind: SegmentKind) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        let seq = connection.sender.next;
        let host = connection.host;
        let packet = connection.segment(kind, seq, Bytes::new());
        self.transmit(host, packet);
    }

    /// Ends a connection with an error that its holder will see.
    pub(crate) fn fail_connection(&mut self, id: ConnectionId, errno: Option<i32>) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        connection.phase = Phase::Closed;
        connection.error = errno;
        connection.ended_by = connection.ended_by.or(errno);
        connection.sender.buffer.clear();
        let Wakers {
            read,
            write,
            connect,
        } = std::mem::take(&mut connection.wakers);
        let key = connection.key();
        let tie = connection.tie;
        let timers: Vec<_> = connection.timers().collect();
        for timer in timers {
            self.events.remove(timer);
        }
        for waker in [read, write, connect] {
            self.wake(waker);
        }
        match tie {
            Tie::Held => {
                self.tcp.index.remove(&key);
            }
            Tie::Orphan | Tie::Listener => self.remove_connection(id),
        }
    }

    /// Ends both directions at once with a reset.
    pub(crate) fn abort_connection(&mut self, id: ConnectionId, errno: Option<i32>) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        if matches!(connection.phase, Phase::Established | Phase::SynReceived(_)) {
            self.send_bare(id, SegmentKind::Rst);
        }
        self.fail_connection(id, errno);
    }

    /// What the system does when the last handle of a socket is dropped.
    pub(crate) fn release_connection(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        connection.tie = Tie::Orphan;
        connection.wakers = Wakers::default();
        if let Some(timer) = connection.keep_alive.timer.take() {
            self.events.remove(timer);
        }
        let Some(connection) = self.connection(id) else {
            return;
        };
        match connection.phase {
            Phase::SynSent | Phase::Closed => self.remove_connection(id),
            // RFC 9293 §3.10.4, RFC 1122 §4.2.2.13: unread data is lost, so the peer gets a reset.
            _ if !connection.receiver.buffer.is_empty() => self.abort_connection(id, None),
            _ => {
                self.close_writing(id);
                self.maybe_finish(id);
            }
        }
    }

    /// Starts the last wait of an orphan whose data is acknowledged: for the peer's FIN, or for
    /// a repetition of it.
    pub(crate) fn maybe_finish(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        let is_waiting = connection.tie == Tie::Orphan
            && connection.sender.is_finished()
            && connection.ending.is_none();
        if is_waiting {
            let key = self.schedule(now + ORPHAN_WAIT, move |state| state.remove_connection(id));
            if let Some(connection) = self.connection(id) {
                connection.ending = Some(key);
            }
        }
    }
}

/// How long an orphan waits for the peer's end, and how long its addresses stay in use.
const ORPHAN_WAIT: Duration = Duration::from_secs(60);
