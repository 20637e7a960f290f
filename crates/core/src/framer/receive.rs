//! From arriving bytes or datagrams to receives (RFC 9622 §9.3).
//!
//! Invariant: what was received before an end or a failure is delivered before it is reported,
//! and the parts of a message come in order, without gaps, under one [`MessageId`].

use super::{Deframed, Demand, Frame, Pipeline};
use crate::Failure;
use crate::message::{ContextEndpoints, Ecn, MessageContext, MessageId, ReceivedMessage};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::Arc;
use thiserror::Error;

/// What has arrived on a connection and was not received yet.
///
/// ```
/// use portway_core::framer::{Demand, LengthPrefixed, Pipeline, Receive, ReceiveBuffer};
///
/// let mut framers = Pipeline::new([Box::new(LengthPrefixed::u8()) as _]);
/// let mut arrived = ReceiveBuffer::stream();
/// arrived.prepare_read().extend_from_slice(b"\x02hi\x03th");
/// let Receive::Message(message) = arrived.receive(&mut framers, Demand::WHOLE)? else {
///     panic!("the first message is there");
/// };
/// assert_eq!(&message[..], b"hi");
/// assert_eq!(arrived.receive(&mut framers, Demand::WHOLE)?, Receive::NeedsMore(1));
/// # Ok::<(), portway_core::framer::ReceiveFailure>(())
/// ```
#[derive(Debug)]
pub struct ReceiveBuffer {
    /// The stream's bytes, or those of the datagram that is being taken apart.
    input: BytesMut,
    /// Datagrams that wait; `None` for a stream.
    datagrams: Option<Datagrams>,
    limits: ReceiveLimits,
    /// What follows after everything that is here.
    end: Option<End>,
    /// The message of which a part was delivered.
    current: Option<MessageContext>,
    /// What a framer delivered beyond what the receive allowed.
    rest: Option<Frame>,
    next_id: u64,
    /// How many bytes must be here for the last receive, if it lacked some.
    wanted: usize,
    /// The room that the latest message took, if it was much: the next one is likely to be alike.
    likely: usize,
    endpoints: Option<Arc<ContextEndpoints>>,
    /// Whether what arrives is early data.
    is_early_data: bool,
    /// Whether a framer has taken the begin of the next message as early data.
    begins_early: bool,
}

/// Bounds of what waits to be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiveLimits {
    /// What is read ahead of the application's receives, in bytes. A message for which a
    /// receive waits may be longer.
    pub read_ahead_max: usize,
    /// Messages above this come in parts, even when whole ones were asked for.
    pub whole_max: usize,
}

impl Default for ReceiveLimits {
    fn default() -> Self {
        ReceiveLimits {
            read_ahead_max: 256 * 1024,
            whole_max: 16 * 1024 * 1024,
        }
    }
}

/// What a receive finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receive {
    /// A message or a part of one.
    Message(ReceivedMessage),
    /// At least so many more bytes, or another datagram, must come first.
    NeedsMore(usize),
    /// The peer has ended its direction and everything was received.
    Ended,
}

/// A receive that failed (RFC 9622 §9.3.2.3).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{failure}")]
pub struct ReceiveFailure {
    /// What went wrong.
    pub failure: Failure,
    /// The message of which parts were received and which will not be completed.
    pub message: Option<MessageId>,
    /// Whether the connection can receive nothing more. A broken datagram only loses itself.
    pub is_fatal: bool,
}

#[derive(Debug)]
struct Datagrams {
    waiting: VecDeque<(Bytes, Option<Ecn>)>,
    waiting_bytes: usize,
    /// Whether `input` is a datagram of which the end was not reported to the framers.
    is_within: bool,
    ecn: Option<Ecn>,
}

#[derive(Debug)]
enum End {
    Orderly,
    Failed(Failure),
}

impl ReceiveBuffer {
    /// For a byte stream.
    pub fn stream() -> Self {
        ReceiveBuffer::new(None)
    }

    /// For a carrier that keeps boundaries: framers, if any, see one datagram at a time.
    pub fn datagrams() -> Self {
        ReceiveBuffer::new(Some(Datagrams {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            is_within: false,
            ecn: None,
        }))
    }

    fn new(datagrams: Option<Datagrams>) -> Self {
        ReceiveBuffer {
            input: BytesMut::new(),
            datagrams,
            limits: ReceiveLimits::default(),
            end: None,
            current: None,
            rest: None,
            next_id: 0,
            wanted: 0,
            likely: 0,
            endpoints: None,
            is_early_data: false,
            begins_early: false,
        }
    }

    /// Sets the bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: ReceiveLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Gives every message from now on the connection's addresses.
    pub fn set_endpoints(&mut self, endpoints: Arc<ContextEndpoints>) {
        self.endpoints = Some(endpoints);
    }

    /// Says whether what arrives from now on is early data. A message that begins in early data
    /// is marked.
    pub fn set_early_data(&mut self, is_early_data: bool) {
        self.is_early_data = is_early_data;
    }

    /// The stream's buffer with room for a read at its end: as much as the pending receive
    /// lacks, as far as that is in proportion to what has come.
    // A declared length is no reason to allocate: at most three times of what has arrived.
    pub fn prepare_read(&mut self) -> &mut BytesMut {
        self.prepare_likely();
        let spare = self.input.capacity() - self.input.len();
        let missing = self.wanted.saturating_sub(self.input.len());
        if spare < READ_BYTES_MIN || spare < missing {
            let in_proportion = (3 * self.input.len()).max(READ_BYTES);
            self.input.reserve(missing.clamp(READ_BYTES, in_proportion));
        }
        &mut self.input
    }

    /// The stream's buffer for a layer that appends what it decrypts: with room for what the
    /// pending receive lacks, in the same proportion.
    pub fn prepare_append(&mut self) -> &mut BytesMut {
        self.prepare_likely();
        let spare = self.input.capacity() - self.input.len();
        let missing = self.wanted.saturating_sub(self.input.len());
        if spare < missing {
            self.input.reserve(missing.min(3 * self.input.len()));
        }
        &mut self.input
    }

    /// Before the first bytes of a message: room for one like the latest, so that they need not
    /// be moved when the rest comes. What did come is the measure, not what is declared.
    fn prepare_likely(&mut self) {
        if self.input.is_empty() && self.input.capacity() < self.likely {
            self.input.reserve(self.likely);
        }
    }

    /// The stream's bytes that wait, for framers that are still shaking hands.
    pub fn input_mut(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Bytes of a stream have arrived, from a layer that owns them.
    pub fn on_bytes(&mut self, bytes: Bytes) {
        if self.input.is_empty() {
            // Without a copy when the layer keeps no other part of the same memory.
            self.input = BytesMut::from(bytes);
        } else {
            self.input.extend_from_slice(&bytes);
        }
    }

    /// A datagram has arrived. `false` when it was dropped because too much waits already.
    pub fn on_datagram(&mut self, datagram: Bytes, ecn: Option<Ecn>) -> bool {
        let is_wanted = self.wants_input();
        let Some(datagrams) = &mut self.datagrams else {
            self.on_bytes(datagram);
            return true;
        };
        if is_wanted {
            datagrams.waiting_bytes += datagram.len() + DATAGRAM_OVERHEAD_BYTES;
            datagrams.waiting.push_back((datagram, ecn));
        }
        is_wanted
    }

    /// The peer has ended its direction in an orderly way.
    pub fn on_end(&mut self) {
        self.end.get_or_insert(End::Orderly);
    }

    /// The connection has failed. What has arrived can still be received.
    pub fn on_failure(&mut self, failure: Failure) {
        self.end.get_or_insert(End::Failed(failure));
    }

    /// Whether more should be read: a receive waits, or the read-ahead is not used up.
    pub fn wants_input(&self) -> bool {
        let bound = self.limits.read_ahead_max.max(self.wanted);
        self.end.is_none() && self.waiting_bytes() < bound
    }

    /// The bytes that wait.
    pub fn waiting_bytes(&self) -> usize {
        let datagrams = self.datagrams.as_ref().map_or(0, |d| d.waiting_bytes);
        let rest = self.rest.as_ref().map_or(0, |rest| rest.data.len());
        self.input.len() + datagrams + rest
    }

    /// The bytes that wait and were not looked at, taken out; for an upgrade, which must know
    /// them.
    pub fn take_input(&mut self) -> BytesMut {
        std::mem::take(&mut self.input)
    }

    /// Gives back the memory that is kept for the next read.
    #[inline]
    pub fn release_memory(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }

    /// The next message, or the part of it that `demand` asks for.
    ///
    /// Dropping what came of it loses that message; not calling it loses nothing.
    ///
    /// # Errors
    /// A framer's rules are broken, or the connection failed and everything before that was
    /// received. A fatal failure is reported again by every later call.
    pub fn receive(
        &mut self,
        framers: &mut Pipeline,
        demand: Demand,
    ) -> Result<Receive, ReceiveFailure> {
        if let Some(message) = self.next_whole(framers, demand) {
            return Ok(Receive::Message(message));
        }
        self.wanted = 0;
        let demand = Demand::new(demand.min_incomplete, demand.max.min(self.limits.whole_max));
        if let Some(rest) = self.rest.take() {
            return Ok(self.deliver(rest, demand, framers));
        }
        loop {
            let waiting = self.input.len();
            let found = match framers.deframe(&mut self.input, demand) {
                Ok(Deframed::Frame(frame)) => return Ok(self.deliver(frame, demand, framers)),
                Ok(Deframed::NeedsMore(missing)) => {
                    // A head without its body is a begin, too.
                    let has_begun = self.current.is_none() && self.input.len() < waiting;
                    self.begins_early |= self.is_early_data && has_begun;
                    if self.is_waiting() {
                        return Ok(self.needs_more(missing));
                    }
                    self.end_input(framers)?
                }
                Ok(Deframed::Passthrough) => self.take_unframed(demand),
                Err(failure) => return Err(self.fail(failure, framers)),
            };
            match found {
                Some(frame) => return Ok(self.deliver(frame, demand, framers)),
                None if self.next_datagram() => {}
                None => return self.nothing_left(),
            }
        }
    }

    /// The next message, when all of it is in a stream that goes on and nothing has to be done
    /// but to take it out; `None` leaves it to [`ReceiveBuffer::receive`].
    #[inline]
    pub fn next_whole(&mut self, framers: &Pipeline, demand: Demand) -> Option<ReceivedMessage> {
        let is_plain = self.datagrams.is_none() && self.end.is_none();
        if !is_plain || self.rest.is_some() || self.current.is_some() {
            return None;
        }
        let whole = framers.peek(&self.input)?;
        if whole.bytes > demand.max.min(self.limits.whole_max) {
            return None;
        }
        let count = whole.header_bytes + whole.bytes;
        let mut data = match count == self.input.capacity() {
            // Memory of its own, which need not be shared with what follows.
            true => std::mem::take(&mut self.input),
            false => self.input.split_to(count),
        }
        .freeze();
        bytes::Buf::advance(&mut data, whole.header_bytes);
        self.wanted = 0;
        self.likely = likely(whole.bytes);
        let context = self.start_message(MessageContext::new());
        Some(ReceivedMessage::whole(data, context))
    }

    /// Whether the input goes on: a stream without an end.
    fn is_waiting(&self) -> bool {
        self.datagrams.is_none() && self.end.is_none()
    }

    /// The framers want more, and the stream or the datagram has no more.
    fn end_input(&mut self, framers: &mut Pipeline) -> Result<Option<Frame>, ReceiveFailure> {
        let has_end = match (&mut self.datagrams, &self.end) {
            (Some(datagrams), _) => std::mem::take(&mut datagrams.is_within),
            (None, end) => matches!(end, Some(End::Orderly)),
        };
        if !has_end {
            return Ok(None);
        }
        let last = framers.end_of_input(&mut self.input);
        let last = last.map_err(|failure| self.fail(failure, framers))?;
        if let (Some(_), Some(datagrams)) = (&last, &mut self.datagrams) {
            datagrams.is_within = true;
        }
        Ok(last)
    }

    fn take_unframed(&mut self, demand: Demand) -> Option<Frame> {
        if let Some(datagrams) = &mut self.datagrams {
            // The carrier keeps boundaries: a datagram is a message, an empty one too.
            return std::mem::take(&mut datagrams.is_within)
                .then(|| Frame::new(self.input.split(), true));
        }
        // RFC 9622 §9.3.2.2: without framers the stream is one message, so parts are delivered
        // even when whole messages were asked for.
        let demand = match demand.min_incomplete {
            usize::MAX => Demand::new(1, demand.max),
            _ => demand,
        };
        let has_ended = matches!(self.end, Some(End::Orderly));
        let count = match (&self.end, self.input.len()) {
            (None, available) => demand.take(available, None)?,
            (Some(_), 0) if !(has_ended && self.current.is_some()) => return None,
            (Some(_), available) => available.min(demand.max),
        };
        let data = self.input.split_to(count);
        Some(Frame::new(data, has_ended && self.input.is_empty()))
    }

    /// Takes the next datagram apart.
    fn next_datagram(&mut self) -> bool {
        let Some(datagrams) = &mut self.datagrams else {
            return false;
        };
        let Some((data, ecn)) = datagrams.waiting.pop_front() else {
            return false;
        };
        datagrams.waiting_bytes -= data.len() + DATAGRAM_OVERHEAD_BYTES;
        datagrams.is_within = true;
        datagrams.ecn = ecn;
        self.input = BytesMut::from(data);
        true
    }

    fn nothing_left(&mut self) -> Result<Receive, ReceiveFailure> {
        match &self.end {
            None => Ok(self.needs_more(1)),
            Some(End::Orderly) => Ok(Receive::Ended),
            Some(End::Failed(failure)) => Err(ReceiveFailure {
                failure: failure.clone(),
                message: self.current.as_ref().and_then(MessageContext::id),
                is_fatal: true,
            }),
        }
    }

    fn needs_more(&mut self, missing: usize) -> Receive {
        let missing = missing.max(1);
        self.wanted = self.input.len().saturating_add(missing);
        Receive::NeedsMore(missing)
    }

    fn fail(&mut self, failure: Failure, framers: &mut Pipeline) -> ReceiveFailure {
        let message = self.current.take().and_then(|context| context.id());
        self.input.clear();
        framers.reset_input();
        if let Some(datagrams) = &mut self.datagrams {
            datagrams.is_within = false;
            return ReceiveFailure {
                failure,
                message,
                is_fatal: false,
            };
        }
        self.end = Some(End::Failed(failure.clone()));
        ReceiveFailure {
            failure,
            message,
            is_fatal: true,
        }
    }

    #[inline]
    fn deliver(&mut self, mut frame: Frame, demand: Demand, framers: &Pipeline) -> Receive {
        if frame.data.len() > demand.max {
            let behind = frame.data.split_off(demand.max);
            self.rest = Some(Frame::new(behind, std::mem::take(&mut frame.is_end)));
        }
        self.likely = likely(frame.data.len());
        let (is_start, mut context) = match self.current.take() {
            Some(context) => (false, context),
            None => (true, self.start_message(frame.context)),
        };
        if !frame.is_end {
            self.current = Some(context.clone());
        } else if self.end.is_some() && self.is_drained(framers) {
            context.set_received_final();
        }
        Receive::Message(ReceivedMessage {
            data: frame.data.freeze(),
            context,
            is_start,
            is_end: frame.is_end,
        })
    }

    #[inline]
    fn start_message(&mut self, mut context: MessageContext) -> MessageContext {
        context.set_id(MessageId(self.next_id));
        self.next_id += 1;
        if let Some(endpoints) = &self.endpoints {
            context.set_endpoints(endpoints.clone());
        }
        if let Some(ecn) = self.datagrams.as_ref().and_then(|d| d.ecn) {
            context.set_ecn(ecn);
        }
        if self.is_early_data || self.begins_early {
            self.begins_early = false;
            context.set_early_data();
        }
        context
    }

    /// Whether an orderly end follows and nothing is left before it.
    fn is_drained(&self, framers: &Pipeline) -> bool {
        matches!(self.end, Some(End::Orderly))
            && self.waiting_bytes() == 0
            && self.datagrams.is_none()
            && framers.is_drained()
    }
}

/// The room for a message like one of `bytes`, if they are many.
#[inline]
fn likely(bytes: usize) -> usize {
    match bytes {
        short if short < READ_BYTES_MIN => 0,
        long => (long + HEADER_BYTES_MAX).min(LIKELY_BYTES_MAX),
    }
}

/// How much to read at once when nothing says how much will come.
const READ_BYTES: usize = 32 * 1024;

/// Below this a read is not worth its system call.
const READ_BYTES_MIN: usize = 2 * 1024;

/// The most that is kept ready for a message like the latest: one of a mebibyte with its header.
const LIKELY_BYTES_MAX: usize = 1024 * 1024 + HEADER_BYTES_MAX;

/// What may stand before a message's bytes.
const HEADER_BYTES_MAX: usize = 64;

/// What a waiting datagram costs besides its bytes, so that empty ones are bounded too.
const DATAGRAM_OVERHEAD_BYTES: usize = 64;
