//! One end of the network in memory.
//!
//! Invariant: what it refuses, a QUIC connection would refuse too.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::half::{ReceiveHalf, SendHalf};
use super::{Options, Piece, Signal};
use crate::error::{Code, ConnectionError};
use crate::event::{Chunk, Written};
use crate::stream::{Direction, Role, StreamId};
use crate::transport::{ReadError, Transport, TransportEvent, WriteError};

/// One end; a [`Transport`].
#[derive(Debug)]
pub struct Endpoint {
    role: Role,
    window: usize,
    streams_max: u64,
    datagram_max: Option<usize>,
    opened: [u64; 2],
    sending: BTreeMap<StreamId, SendHalf>,
    receiving: BTreeMap<StreamId, ReceiveHalf>,
    events: VecDeque<TransportEvent>,
    signals: VecDeque<Signal>,
    datagrams: [VecDeque<Bytes>; 2],
    record: Record,
    now: Option<Duration>,
}

/// What a test looks at.
#[derive(Debug, Default, Clone)]
#[non_exhaustive]
pub struct Record {
    /// How often the transport was written to, and how many pieces each time.
    pub writes: Vec<usize>,
    /// Streams that were reset.
    pub resets: Vec<(StreamId, Code)>,
    /// Streams that were stopped.
    pub stops: Vec<(StreamId, Code)>,
    /// Priorities that were set.
    pub priorities: Vec<(StreamId, i32)>,
    /// What is remembered with the session.
    pub remembered: Option<Bytes>,
    /// Why this end closed the connection.
    pub closed: Option<(Code, String)>,
}

const OUT: usize = 0;
const IN: usize = 1;

impl Endpoint {
    pub(super) fn new(role: Role, options: &Options) -> Self {
        Self {
            role,
            window: options.window,
            streams_max: options.streams_max,
            datagram_max: options.datagram_max,
            opened: [0; 2],
            sending: BTreeMap::new(),
            receiving: BTreeMap::new(),
            events: VecDeque::new(),
            signals: VecDeque::new(),
            datagrams: [VecDeque::new(), VecDeque::new()],
            record: Record::default(),
            now: None,
        }
    }

    /// Tells the time to who asks this end for it.
    pub fn set_time(&mut self, now: Duration) {
        self.now = Some(now);
    }

    /// What this end was asked to do.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// How many bytes arrived on a stream and were not read.
    pub fn unread(&self, stream: StreamId) -> usize {
        self.receiving.get(&stream).map_or(0, ReceiveHalf::unread)
    }

    /// Writes bytes as they are, as a peer that breaks rules does.
    pub fn inject(&mut self, stream: StreamId, bytes: &[u8], fin: bool) {
        let mut chunks = [Bytes::copy_from_slice(bytes)];
        let half = self.sending.entry(stream).or_default();
        half.write(&mut chunks, fin, usize::MAX);
    }

    /// Sends a datagram as it is.
    pub fn inject_datagram(&mut self, datagram: &[u8]) {
        self.datagrams[OUT].push_back(Bytes::copy_from_slice(datagram));
    }

    /// Reports an event as a transport would.
    pub fn inject_event(&mut self, event: TransportEvent) {
        self.events.push_back(event);
    }

    /// Everything that arrived on a stream and was not read.
    pub fn drain(&mut self, stream: StreamId) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Ok(chunk) = self.read(stream) {
            bytes.extend_from_slice(&chunk.bytes);
        }
        bytes
    }

    pub(super) fn streams_to_carry(&self) -> Vec<StreamId> {
        let ready = self.sending.iter().filter(|(_, half)| half.has_piece());
        ready.map(|(stream, _)| *stream).collect()
    }

    pub(super) fn take_piece(&mut self, stream: StreamId, len: usize) -> Piece {
        self.sending.entry(stream).or_default().take_piece(len)
    }

    pub(super) fn deliver(&mut self, stream: StreamId, piece: Piece) {
        self.receiving.entry(stream).or_default().deliver(piece);
        self.events.push_back(TransportEvent::Readable(stream));
    }

    pub(super) fn take_signal(&mut self) -> Option<Signal> {
        self.signals.pop_front()
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        match signal {
            Signal::Reset(stream, code) => {
                self.receiving.entry(stream).or_default().reset = Some(code);
                self.events.push_back(TransportEvent::Readable(stream));
            }
            Signal::Stop(stream, code) => {
                self.sending.entry(stream).or_default().stopped = Some(code);
                self.events.push_back(TransportEvent::Stopped(stream, code));
            }
            Signal::Close(code) => {
                let error = ConnectionError::peer(code, "closed by the peer");
                self.events.push_back(TransportEvent::Closed(error));
            }
        }
    }

    pub(super) fn take_consumed(&mut self) -> Vec<(StreamId, usize)> {
        let consumed = self.receiving.iter_mut();
        consumed
            .map(|(stream, half)| (*stream, half.take_consumed()))
            .collect()
    }

    pub(super) fn credit(&mut self, stream: StreamId, len: usize) {
        if len == 0 {
            return;
        }
        if let Some(half) = self.sending.get_mut(&stream)
            && half.credit(len)
        {
            self.events.push_back(TransportEvent::Writable(stream));
        }
    }

    pub(super) fn take_datagram(&mut self) -> Option<Bytes> {
        self.datagrams[OUT].pop_front()
    }

    pub(super) fn deliver_datagram(&mut self, datagram: Bytes) {
        self.datagrams[IN].push_back(datagram);
        self.events.push_back(TransportEvent::Datagrams);
    }
}

impl Transport for Endpoint {
    fn poll_event(&mut self) -> Option<TransportEvent> {
        self.events.pop_front()
    }

    fn open(&mut self, direction: Direction) -> Option<StreamId> {
        let opened = &mut self.opened[usize::from(direction == Direction::Unidirectional)];
        if *opened >= self.streams_max {
            return None;
        }
        let stream = StreamId::nth(self.role, direction, *opened)?;
        *opened += 1;
        Some(stream)
    }

    fn read(&mut self, stream: StreamId) -> Result<Chunk, ReadError> {
        self.receiving
            .get_mut(&stream)
            .map_or(Err(ReadError::Blocked), ReceiveHalf::read)
    }

    fn take_reset(&mut self, stream: StreamId) -> Option<Code> {
        self.receiving.get_mut(&stream)?.take_reset()
    }

    fn write(
        &mut self,
        stream: StreamId,
        chunks: &mut [Bytes],
        fin: bool,
    ) -> Result<Written, WriteError> {
        self.record.writes.push(chunks.len());
        let half = self.sending.entry(stream).or_default();
        match (half.stopped, half.is_reset) {
            (Some(code), _) => Err(WriteError::Stopped(code)),
            (None, true) => Err(WriteError::Closed),
            (None, false) => Ok(half.write(chunks, fin, self.window)),
        }
    }

    fn reset(&mut self, stream: StreamId, code: Code) {
        self.record.resets.push((stream, code));
        self.sending.entry(stream).or_default().reset();
        self.signals.push_back(Signal::Reset(stream, code));
    }

    fn stop(&mut self, stream: StreamId, code: Code) {
        self.record.stops.push((stream, code));
        self.receiving.entry(stream).or_default().stop();
        self.signals.push_back(Signal::Stop(stream, code));
    }

    fn prioritize(&mut self, stream: StreamId, priority: i32) {
        self.record.priorities.push((stream, priority));
    }

    fn send_datagram(&mut self, datagram: Bytes) -> bool {
        let fits = self.datagram_max.is_some_and(|max| datagram.len() <= max);
        if fits {
            self.datagrams[OUT].push_back(datagram);
        }
        fits
    }

    fn max_datagram_len(&mut self) -> Option<usize> {
        self.datagram_max
    }

    fn peer_streams_max(&self) -> Option<u64> {
        Some(self.streams_max)
    }

    fn receive_datagram(&mut self) -> Option<Bytes> {
        self.datagrams[IN].pop_front()
    }

    fn remember(&mut self, blob: Bytes) {
        self.record.remembered = Some(blob);
    }

    fn close(&mut self, code: Code, reason: &str) {
        if self.record.closed.is_none() {
            self.record.closed = Some((code, reason.to_owned()));
            self.signals.push_back(Signal::Close(code));
        }
    }

    fn now(&mut self) -> Option<Duration> {
        self.now
    }
}
