//! What a connection's lock protects: the protocol's state and who waits for it.
//!
//! Invariant: wakers leave here in a list and are woken after the lock is released. An entry of
//! `senders` exists exactly as long as its handle, one of `receivers` until its stream was read to
//! the end at most.

use super::awaited::Awaited;
use super::early_window::Confirmed;
use super::linger::Linger;
use super::path::PathWaiters;
use super::unsent::Unsent;
use super::window::Window;
use crate::quic::options::{DefaultCodes, TransportOptions};
use crate::quic::resident::{HostEvent, Residence};
use crate::quic::waiting::{Arrived, End, OpenQueue, Receiver, Sender, StreamTable, WaitList};
use crate::quic::{ConnectionError, StreamError, VarInt};
use crate::tls::QuicHandshake;
use bytes::Bytes;
use quinn_proto::{Connection, ConnectionHandle, Dir, Event, StreamEvent, StreamId, Transmit};
use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

/// The state of one connection.
pub(in crate::quic) struct ConnectionState {
    pub(in crate::quic) proto: Connection,
    pub(in crate::quic) handle: ConnectionHandle,
    pub(in crate::quic) phase: Phase,
    pub(in crate::quic) early: EarlyData,
    /// Whether any packet of the peer has come.
    pub(in crate::quic) is_answered: bool,
    /// Whether the peer need not show any more that it receives at its address.
    pub(in crate::quic) is_address_shown: bool,
    /// Whether the driver is to look at this connection, and whether it knows.
    pub(in crate::quic) dirty: Dirty,
    pub(in crate::quic) streams: StreamWaiters,
    /// Waits for the handshake's end or the connection's end.
    pub(in crate::quic) lifecycle: WaitList,
    pub(in crate::quic) datagrams: DatagramWaiters,
    pub(in crate::quic) window: Window,
    pub(in crate::quic) defaults: DefaultCodes,
    pub(in crate::quic) held_back: HeldBack,
    /// The protocol that resides here, if one does: then nobody waits on streams and datagrams.
    pub(in crate::quic) residence: Residence,
    pub(super) paths: PathWaiters,
}

/// What a client is held to until its handshake has ended.
pub(in crate::quic) struct HeldBack {
    /// Bytes of all streams that may wait to be acknowledged then.
    send_window_bytes: u64,
    /// To be told that the handshake is confirmed, where early data is allowed.
    pub(in crate::quic) unconfirmed: Option<Confirmed>,
}

/// Where a connection is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::quic) enum Phase {
    Handshaking,
    Established,
    Closed(ConnectionError),
}

/// What became of early data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::quic) enum EarlyData {
    /// Not used, or not decided yet.
    Open,
    Accepted,
    Rejected,
}

/// Whether the driver is to look at a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::quic) enum Dirty {
    Clean,
    /// Something was done that the driver does not know of.
    Touched,
    /// The connection is on the driver's list.
    Listed,
}

/// Who waits on streams, and what waits on them; arrays are by [`Dir`].
#[derive(Default)]
pub(in crate::quic) struct StreamWaiters {
    pub(in crate::quic) senders: StreamTable<Sender>,
    pub(in crate::quic) receivers: StreamTable<Receiver>,
    pub(in crate::quic) write_ends: StreamTable<End>,
    pub(in crate::quic) read_ends: StreamTable<End>,
    pub(in crate::quic) opening: [OpenQueue<StreamId>; 2],
    pub(in crate::quic) accepting: [WaitList; 2],
    /// Streams of the peer that were taken from the protocol before anybody has accepted them.
    pub(in crate::quic) arrived: [VecDeque<Arrived>; 2],
    pub(in crate::quic) capacity: WaitList,
    /// Whether the peer may open streams, or might once; otherwise waiting for one makes no sense.
    pub(in crate::quic) may_come: bool,
    pub(in crate::quic) linger: Linger,
    pub(in crate::quic) awaited: Awaited,
    /// What was written, for which the driver may have to send before its turn.
    pub(in crate::quic) unsent: Unsent,
}

/// Who waits on datagrams, and how they are sent.
#[derive(Default)]
pub(in crate::quic) struct DatagramWaiters {
    pub(in crate::quic) receiving: WaitList,
    pub(in crate::quic) sending: WaitList,
    /// How many were queued since none waited.
    pub(in crate::quic) queued: usize,
    /// Whether packets have come since something was sent.
    pub(in crate::quic) follows_packets: bool,
    /// The room for datagrams when none waits.
    room_max: usize,
}

impl DatagramWaiters {
    /// Whether the next packet shall be a batch of its own. An acknowledgement makes it longer than
    /// those behind it, where datagrams fill no packet, and in a batch all are padded to the length
    /// of the first one: the peer takes every byte of that as a frame.
    pub(in crate::quic) fn splits_batch(&self) -> bool {
        self.follows_packets && self.queued > 1
    }

    /// Notes that nothing can be sent any more, with so much room for datagrams. Those that the
    /// window or the pace holds back still wait.
    fn on_sent(&mut self, room: usize) {
        if room >= self.room_max {
            self.queued = 0;
        }
    }
}

impl ConnectionState {
    pub(in crate::quic) fn new(
        mut proto: Connection,
        handle: ConnectionHandle,
        options: &TransportOptions,
    ) -> Self {
        let limits = &options.streams;
        let send_window_bytes = limits.send_window_bytes;
        if proto.side().is_client() && proto.has_0rtt() {
            // Early data that fills the congestion window would keep back the end of the
            // handshake: its acknowledgements cannot be read before that, and come once.
            proto.set_send_window(send_window_bytes.min(EARLY_DATA_BYTES_MAX));
        }
        let room_max = proto.datagrams().send_buffer_space();
        ConnectionState {
            proto,
            handle,
            phase: Phase::Handshaking,
            early: EarlyData::Open,
            is_answered: false,
            is_address_shown: true,
            dirty: Dirty::Clean,
            streams: StreamWaiters {
                may_come: limits.bidirectional_max > 0 || limits.unidirectional_max > 0,
                linger: Linger {
                    bound: options.times.linger,
                    until: None,
                },
                ..StreamWaiters::default()
            },
            lifecycle: WaitList::default(),
            datagrams: DatagramWaiters {
                room_max,
                ..DatagramWaiters::default()
            },
            window: Window::new(&options.streams),
            defaults: options.defaults,
            held_back: HeldBack {
                send_window_bytes,
                unconfirmed: None,
            },
            residence: Residence::default(),
            paths: PathWaiters::default(),
        }
    }

    /// The error that ended the connection, if it has ended.
    pub(in crate::quic) fn error(&self) -> Option<&ConnectionError> {
        match &self.phase {
            Phase::Closed(error) => Some(error),
            _ => None,
        }
    }

    /// Notes that the driver has something to do, such as to send.
    #[inline]
    pub(in crate::quic) fn touch(&mut self) {
        if self.dirty == Dirty::Clean {
            self.dirty = Dirty::Touched;
        }
    }

    /// Whether the driver is to be called. One that waits for those whom it has woken is called
    /// by the last of them.
    #[inline]
    pub(in crate::quic) fn calls_driver(&self) -> bool {
        let is_touched = self.dirty == Dirty::Touched;
        match self.streams.awaited.is_driver_waiting {
            false => is_touched,
            true if self.dirty == Dirty::Listed => false,
            true => self.streams.awaited.count() == 0 || (is_touched && self.error().is_some()),
        }
    }

    /// Notes that nothing can be sent any more.
    pub(in crate::quic) fn on_sent(&mut self) {
        self.streams.unsent.on_sent();
        if self.datagrams.queued > 0 {
            let room = self.proto.datagrams().send_buffer_space();
            self.datagrams.on_sent(room);
        }
    }

    /// Takes the protocol's events and collects whom to wake.
    pub(in crate::quic) fn poll_events(&mut self, wakers: &mut Vec<Waker>) {
        if !self.is_answered && self.proto.stats().udp_rx.datagrams > 0 {
            self.is_answered = true;
            self.lifecycle.drain(wakers);
        }
        if let Some(confirmed) = &self.held_back.unconfirmed
            && self.proto.stats().frame_rx.handshake_done > 0
        {
            // RFC 9001 §4.1.2: a client's handshake is confirmed by the server.
            confirmed.set();
            self.held_back.unconfirmed = None;
        }
        while let Some(event) = self.proto.poll() {
            match event {
                Event::Stream(event) => self.on_stream_event(event, wakers),
                Event::Connected => self.on_connected(wakers),
                Event::ConnectionLost { reason } => {
                    let error = self.explained(reason.into());
                    self.end(error, wakers);
                }
                Event::DatagramReceived => {
                    if !self.residence.tell(HostEvent::Datagram) {
                        self.datagrams.receiving.drain(wakers);
                    }
                }
                Event::DatagramsUnblocked => {
                    if !self.residence.tell(HostEvent::DatagramRoom) {
                        self.datagrams.sending.drain(wakers);
                    }
                }
                Event::HandshakeDataReady => {}
            }
        }
    }

    /// RFC 9000 §8.1: cuts off what would be more than three times what came from an address that
    /// nobody has shown to be its own; false when nothing is left. quinn-proto stops only behind
    /// the datagram that exceeds that. What is cut off is as good as lost, and sent again later.
    pub(in crate::quic) fn may_send(&mut self, transmit: &mut Transmit) -> bool {
        if self.is_address_shown || self.phase != Phase::Handshaking {
            return true;
        }
        let statistics = self.proto.stats();
        // The statistics leave the first datagram out, which has at least so many bytes.
        let received = statistics.udp_rx.bytes + FIRST_DATAGRAM_BYTES;
        let most = received.saturating_mul(3);
        let excess = statistics.udp_tx.bytes.saturating_sub(most);
        let excess = usize::try_from(excess).unwrap_or(usize::MAX);
        if excess == 0 {
            return true;
        }
        // RFC 9000 §8.1: a Handshake packet shows the address; the handshake may take longer.
        let handshake = QuicHandshake::of(self.proto.crypto_session());
        if handshake.is_some_and(|handshake| handshake.is_client_reached()) {
            self.is_address_shown = true;
            return true;
        }
        let segment = transmit.segment_size.unwrap_or(transmit.size).max(1);
        transmit.size = transmit.size.saturating_sub(excess) / segment * segment;
        transmit.size > 0
    }

    /// The same error with TLS's own words, which the protocol does not carry.
    fn explained(&self, mut error: ConnectionError) -> ConnectionError {
        if let ConnectionError::TransportClosedLocally { reason, .. } = &mut error
            && let Some(handshake) = QuicHandshake::of(self.proto.crypto_session())
            && let Some(failure) = handshake.failure
        {
            *reason = failure.detail;
        }
        error
    }

    fn on_connected(&mut self, wakers: &mut Vec<Waker>) {
        if self.phase == Phase::Handshaking {
            self.phase = Phase::Established;
        }
        self.lifecycle.drain(wakers);
        if self.proto.side().is_server() {
            for receiver in self.streams.receivers.values_mut() {
                receiver.has_caught_up = !receiver.may_be_ready;
            }
            if self.proto.has_0rtt() {
                self.early = EarlyData::Accepted;
                self.mark_early_streams();
            }
        } else if self.proto.has_0rtt() {
            self.proto.set_send_window(self.held_back.send_window_bytes);
            match self.proto.accepted_0rtt() {
                true => self.early = EarlyData::Accepted,
                false => self.reject_early_data(wakers),
            }
        }
        if self.residence.is_taken() {
            for kind in [Dir::Bi, Dir::Uni] {
                self.tell_opened(kind);
            }
            let decided = self.decided_early_data();
            self.residence.tell(HostEvent::Established(decided));
            return;
        }
        for kind in [Dir::Bi, Dir::Uni] {
            self.grant_streams(kind, wakers);
        }
    }

    /// Notes which streams began before the handshake ended: all that are known now. A stream whose
    /// first packet came together with the handshake's last one is among them, which errs to the
    /// safe side.
    fn mark_early_streams(&mut self) {
        for kind in [Dir::Bi, Dir::Uni] {
            self.take_arrived(kind, true);
        }
    }

    fn take_arrived(&mut self, kind: Dir, is_early: bool) {
        while let Some(id) = self.proto.streams().accept(kind) {
            self.streams.arrived[kind as usize].push_back(Arrived {
                id,
                is_early,
                stopped: None,
            });
        }
    }

    /// Forgets the streams that were opened before the server decided; the protocol gives their
    /// identifiers to new ones.
    fn reject_early_data(&mut self, wakers: &mut Vec<Waker>) {
        self.early = EarlyData::Rejected;
        let streams = &mut self.streams;
        wakers.extend(streams.senders.drain().filter_map(|(_, it)| it.waker));
        wakers.extend(streams.receivers.drain().filter_map(|(_, it)| it.waker));
        streams.awaited = Awaited::default();
        for end in streams
            .write_ends
            .values_mut()
            .chain(streams.read_ends.values_mut())
        {
            end.conclude(Err(StreamError::EarlyDataRejected), wakers);
        }
        for queue in &mut streams.opening {
            queue.forget_streams(wakers);
        }
    }

    fn on_stream_event(&mut self, event: StreamEvent, wakers: &mut Vec<Waker>) {
        if self.residence.is_taken() {
            return self.tell_stream_event(event);
        }
        let streams = &mut self.streams;
        match event {
            StreamEvent::Opened { dir } => {
                let woken_before = wakers.len();
                streams.accepting[dir as usize].drain(wakers);
                if wakers.len() > woken_before {
                    streams.awaited.set_accepting(dir, true);
                }
            }
            StreamEvent::Readable { id } => {
                if let Some(receiver) = streams.receivers.get_mut(&id) {
                    receiver.may_be_ready = true;
                    if let Some(waker) = receiver.waker.take() {
                        wakers.push(waker);
                        streams.awaited.on_told(receiver);
                    }
                }
                if streams.read_ends.contains_key(&id) {
                    self.look_for_reset(id, wakers);
                }
            }
            StreamEvent::Writable { id } => {
                if let Some(sender) = streams.senders.get_mut(&id) {
                    wakers.extend(sender.waker.take());
                }
            }
            StreamEvent::Finished { id } => {
                if let Some(end) = streams.write_ends.get_mut(&id) {
                    end.conclude(Ok(()), wakers);
                }
            }
            StreamEvent::Stopped { id, error_code } => {
                self.on_stopped(id, error_code.into(), wakers);
            }
            StreamEvent::Available { dir } => {
                self.grant_streams(dir, wakers);
                self.streams.capacity.drain(wakers);
            }
        }
    }

    /// Tells the resident what happened on streams.
    fn tell_stream_event(&mut self, event: StreamEvent) {
        let event = match event {
            StreamEvent::Opened { dir } => return self.tell_opened(dir),
            StreamEvent::Readable { id } => return self.residence.tell_readable(id.into()),
            StreamEvent::Writable { id } => HostEvent::Writable(id.into()),
            StreamEvent::Finished { id } => HostEvent::Finished(id.into()),
            StreamEvent::Stopped { id, error_code } => {
                // RFC 9000 §3.5: the answer is a reset with the peer's code.
                let _ = self.proto.send_stream(id).reset(error_code);
                HostEvent::Stopped(id.into(), error_code.into())
            }
            StreamEvent::Available { dir } => HostEvent::Available(dir.into()),
        };
        self.residence.tell(event);
    }

    fn on_stopped(&mut self, id: StreamId, code: VarInt, wakers: &mut Vec<Waker>) {
        if let Some(sender) = self.streams.senders.get_mut(&id) {
            sender.stopped = Some(code);
            wakers.extend(sender.waker.take());
        }
        if let Some(end) = self.streams.write_ends.get_mut(&id) {
            end.conclude(Err(StreamError::Stopped(code)), wakers);
        }
        if id.initiator() != self.proto.side() {
            // The protocol counts a stream from its accepting on, so that one which is reset before
            // would count less than nothing.
            let is_early = self.phase == Phase::Handshaking && self.proto.side().is_server();
            self.take_arrived(Dir::Bi, is_early);
            let mut arrived = self.streams.arrived[Dir::Bi as usize].iter_mut();
            if let Some(arrived) = arrived.find(|it| it.id == id) {
                arrived.stopped = Some(code);
            }
        }
        // RFC 9000 §3.5: who is asked to stop answers with a reset, and the code is the peer's. A
        // stream that is gone already needs none.
        let _ = self.proto.send_stream(id).reset(code.proto());
    }

    /// Tells those who wait for the end of reading that the peer has reset the stream. The
    /// protocol tells the code once, so it is kept for the reader.
    pub(in crate::quic) fn look_for_reset(&mut self, id: StreamId, wakers: &mut Vec<Waker>) {
        let Ok(Some(code)) = self.proto.recv_stream(id).received_reset() else {
            return;
        };
        let code = VarInt::from(code);
        if let Some(receiver) = self.streams.receivers.get_mut(&id) {
            receiver.reset = Some(code);
            receiver.may_be_ready = true;
        }
        if let Some(end) = self.streams.read_ends.get_mut(&id) {
            end.conclude(Err(StreamError::Reset(code)), wakers);
        }
    }

    /// Opens streams for those who wait, as far as the peer allows.
    pub(in crate::quic) fn grant_streams(&mut self, kind: Dir, wakers: &mut Vec<Waker>) {
        let mut streams = self.proto.streams();
        self.streams.opening[kind as usize].grant(wakers, || streams.open(kind));
    }

    /// Closes the connection as the application asks.
    pub(in crate::quic) fn close(
        &mut self,
        now: Instant,
        code: VarInt,
        reason: Bytes,
        wakers: &mut Vec<Waker>,
    ) {
        if self.error().is_none() {
            self.proto.close(now, code.proto(), reason);
            self.end(ConnectionError::ClosedLocally { code }, wakers);
            self.touch();
        }
    }

    /// Notes why the connection ended and wakes everybody.
    pub(in crate::quic) fn end(&mut self, error: ConnectionError, wakers: &mut Vec<Waker>) {
        if self.error().is_some() {
            return;
        }
        let error = match (&self.phase, error) {
            (Phase::Handshaking, ConnectionError::IdleTimedOut) => {
                ConnectionError::HandshakeTimedOut
            }
            (_, error) => error,
        };
        self.phase = Phase::Closed(error.clone());
        self.residence.tell(HostEvent::Closed(error.clone()));
        self.lifecycle.drain(wakers);
        self.datagrams.receiving.drain(wakers);
        self.datagrams.sending.drain(wakers);
        self.wake_path_watchers(wakers);
        let streams = &mut self.streams;
        let senders = streams.senders.values_mut();
        wakers.extend(senders.filter_map(|it| it.waker.take()));
        let receivers = streams.receivers.values_mut();
        wakers.extend(receivers.filter_map(|it| it.waker.take()));
        for end in streams
            .write_ends
            .values_mut()
            .chain(streams.read_ends.values_mut())
        {
            end.conclude(Err(StreamError::Connection(error.clone())), wakers);
        }
        for kind in 0..2 {
            streams.opening[kind].drain(wakers);
            streams.accepting[kind].drain(wakers);
        }
        streams.capacity.drain(wakers);
    }
}

/// What a client sends before the handshake has ended: about a half of the first congestion
/// window (RFC 9002 §7.2).
const EARLY_DATA_BYTES_MAX: u64 = 6 * 1024;
/// RFC 9000 §14.1: a first datagram that is shorter is not taken.
const FIRST_DATAGRAM_BYTES: u64 = 1200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_several_datagrams_behind_packets_of_the_peer_split_a_batch() {
        let splits = |queued, follows_packets| {
            let datagrams = DatagramWaiters {
                queued,
                follows_packets,
                ..DatagramWaiters::default()
            };
            datagrams.splits_batch()
        };
        assert!(splits(2, true));
        assert!(!splits(1, true));
        assert!(!splits(2, false));
    }

    #[test]
    fn datagrams_that_are_held_back_still_count_as_queued() {
        let mut datagrams = DatagramWaiters {
            queued: 3,
            follows_packets: true,
            room_max: 1000,
            ..DatagramWaiters::default()
        };
        datagrams.on_sent(600);
        assert!(datagrams.splits_batch());
        datagrams.on_sent(1000);
        assert!(!datagrams.splits_batch());
    }
}
