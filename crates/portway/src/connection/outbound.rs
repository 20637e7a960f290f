//! The sending side of a connection: from accepted messages to the carrier.
//!
//! Invariant: a message completes as sent when the carrier has taken its last byte, as sealed by
//! the layer; every accepted message completes once, in order.

use super::link::{ByteLink, DatagramLink, Link, is_soft};
use crate::error::SendError;
use crate::options::code_point;
use crate::receipt::{Completion, Receipt, ReceiptCell};
use bytes::{Buf, Bytes, BytesMut};
use portway_core::framer::{Header, Pipeline};
use portway_core::message::{Message, MessageContext};
use portway_core::send_queue::{
    ConnectionId, Outcome, PartialSends, Policy, QueueError, QueueLimits, SendQueue, WireBuffer,
};
use portway_core::{Failure, FailureKind, Time};
use portway_transport::environment::Transmit;
use portway_transport::failure_map::failure_from_io;
use portway_transport::layer::{ByteLayer, Sealed};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;

pub(super) struct Outbound {
    pub(super) queue: SendQueue<Arc<ReceiptCell>>,
    /// Framed bytes, before the layer.
    wire: WireBuffer,
    /// Bytes that the layer has sealed and the system has not taken.
    pub(super) sealed: BytesMut,
    /// How many sends end where in the sealed bytes, counted from the connection's beginning.
    sealed_sends: VecDeque<(u64, usize)>,
    sealed_taken: u64,
    /// Framed datagrams that the socket has not taken.
    datagrams: VecDeque<Datagram>,
    /// The application asked for the end of the direction after what it had sent.
    pub(super) is_end_asked: bool,
}

/// A framed message, with the number of sends that it was made of.
struct Datagram {
    bytes: Bytes,
    sends: usize,
    /// The code point, where it is not that of the socket.
    dscp: Option<u8>,
}

/// How far a flush came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// Everything is with the system.
    Done,
    /// The system takes no more for now.
    Blocked,
}

impl Outbound {
    pub(super) fn new(limits: QueueLimits) -> Self {
        let mut queue = SendQueue::new(Policy::FirstComeFirstServed, limits);
        queue.add_connection(ONLY, DEFAULT_PRIORITY);
        Outbound {
            queue,
            wire: WireBuffer::new(),
            sealed: BytesMut::new(),
            sealed_sends: VecDeque::new(),
            sealed_taken: 0,
            datagrams: VecDeque::new(),
            is_end_asked: false,
        }
    }

    /// The framers are known, and with them how partial sends go.
    pub(super) fn set_pipeline(&mut self, pipeline: &Pipeline, link: &Link) {
        let partial = match link {
            Link::Datagrams(_) => PartialSends::Whole,
            Link::Bytes(_) if pipeline.needs_length() => PartialSends::Assemble,
            Link::Bytes(_) => PartialSends::Stream,
        };
        self.queue
            .set_partial_sends(ONLY, partial)
            .expect("the queue's only connection");
    }

    /// Lets urgent messages overtake others where that leaves them whole: datagrams keep them
    /// apart, and so do framers. Without either, bytes in another order would mean nothing.
    pub(super) fn set_reorders(&mut self, pipeline: &Pipeline, link: &Link) {
        let keeps_messages = keeps_messages(pipeline, link);
        self.queue
            .set_reorders(ONLY, keeps_messages)
            .expect("the queue's only connection");
    }

    /// Whether the sending direction ends with what was accepted so far.
    pub(super) fn ends(&self) -> bool {
        self.is_end_asked || self.queue.has_final(ONLY)
    }

    /// Bytes that the system has not taken, as far as a comparison with earlier needs to know.
    pub(super) fn left_bytes(&self) -> usize {
        self.queue.queued_bytes() + self.wire.len() + self.sealed.len()
    }

    /// Whether everything accepted is with the system.
    pub(super) fn is_flushed(&self) -> bool {
        self.queue.is_idle()
            && self.wire.is_empty()
            && self.sealed.is_empty()
            && self.datagrams.is_empty()
    }

    pub(super) fn enqueue(&mut self, now: Time, message: Message) -> Result<Receipt, QueueError> {
        let (receipt, cell) = Receipt::waiting();
        self.queue.push(now, ONLY, message, cell)?;
        Ok(receipt)
    }

    /// Sends a message without queueing it when nothing is before it; otherwise `None`, and the
    /// message is still there.
    pub(super) fn send_directly(
        &mut self,
        message: &mut Option<Message>,
        link: &mut Link,
        pipeline: &mut Pipeline,
    ) -> Option<Result<(Receipt, Flush), SendFailure>> {
        let may_send = self.wire.is_empty() && self.sealed.is_empty() && self.datagrams.is_empty();
        let context = &message.as_ref()?.context;
        match self.queue.may_send_directly(ONLY, context) {
            Ok(true) if may_send => {}
            Ok(_) => return None,
            Err(error) => return Some(Err(SendFailure::Refused(refused(error)))),
        }
        let dscp = match link {
            Link::Datagrams(link) => own_code_point(link, context),
            Link::Bytes(_) => None,
        };
        let message = message.take()?;
        let bytes = message.data.len();
        if let Err(error) = pipeline.frame(message, &mut self.wire) {
            if error.is_stream_broken {
                return Some(Err(SendFailure::Broken(error.failure)));
            }
            return Some(Err(SendFailure::Refused(SendError::Framer(error.failure))));
        }
        let flushed = match link {
            Link::Bytes(link) => self.flush_bytes(link),
            Link::Datagrams(link) => {
                let datagram = self.take_datagram();
                match send_datagram(link, &datagram, dscp) {
                    Ok(true) => Ok(Flush::Done),
                    Ok(false) => {
                        self.datagrams.push_back(Datagram {
                            bytes: datagram,
                            sends: 1,
                            dscp,
                        });
                        Ok(Flush::Blocked)
                    }
                    Err(failure) if failure.kind == FailureKind::LimitReached => {
                        let max = link.socket.payload_max(link.peer, true);
                        let error = SendError::TooLarge {
                            size: datagram.len(),
                            max,
                        };
                        return Some(Err(SendFailure::Refused(error)));
                    }
                    Err(failure) if is_soft(&failure) => {
                        return Some(Err(SendFailure::Refused(SendError::Failed(failure))));
                    }
                    Err(failure) => Err(failure),
                }
            }
        };
        Some(self.after_flush(flushed, bytes))
    }

    /// Sends a short message that may be sent directly.
    #[inline]
    pub(super) fn send_short(
        &mut self,
        header: &Header,
        bytes: &[u8],
        link: &mut ByteLink,
    ) -> Result<Flush, Failure> {
        self.wire.put_copy(header, bytes);
        let all = self.wire.len();
        if let Some(layer) = &mut link.layer {
            let mut lent = SEALED.take();
            lent.clear();
            let sealed = layer.seal(&[self.wire.first_slice()], &mut lent);
            self.wire.advance(all);
            let written = sealed.and_then(|()| write(link, &[IoSlice::new(lent.bytes())]));
            let flushed = self.after_sealing(written, &lent);
            SEALED.set(lent);
            return flushed;
        }
        match write(link, &[IoSlice::new(self.wire.first_slice())])? {
            Some(written) if written == all => {
                self.wire.advance(all);
                Ok(Flush::Done)
            }
            Some(written) => {
                self.wire.advance(written);
                self.flush_bytes(link)
            }
            None => Ok(Flush::Blocked),
        }
    }

    /// Keeps what the system did not take of `lent`, which nothing was sealed before.
    #[inline]
    fn after_sealing(
        &mut self,
        written: Result<Option<usize>, Failure>,
        lent: &Sealed,
    ) -> Result<Flush, Failure> {
        let written = written?.unwrap_or(0);
        self.sealed_taken += written as u64;
        let rest = &lent.bytes()[written..];
        if rest.is_empty() {
            return Ok(Flush::Done);
        }
        self.sealed.extend_from_slice(rest);
        Ok(Flush::Blocked)
    }

    /// What became of a message of so many bytes that went to the wire directly.
    pub(super) fn after_flush(
        &mut self,
        flushed: Result<Flush, Failure>,
        bytes: usize,
    ) -> Result<(Receipt, Flush), SendFailure> {
        match flushed {
            Ok(Flush::Done) => Ok((Receipt::sent(), Flush::Done)),
            Ok(Flush::Blocked) => {
                let (receipt, cell) = Receipt::waiting();
                self.mark_end();
                self.queue
                    .track(ONLY, bytes, cell)
                    .expect("the queue's only connection");
                Ok((receipt, Flush::Blocked))
            }
            Err(failure) => Err(SendFailure::Broken(failure)),
        }
    }

    /// Whether a plain message may go to the wire at once: nothing is before it, and the
    /// direction has not ended.
    #[inline]
    pub(super) fn may_send_at_once(&self) -> bool {
        self.wire.is_empty()
            && self.sealed.is_empty()
            && !self.is_end_asked
            && self.queue.is_idle_for(ONLY)
    }

    /// The first message has left as early data, but for `rest`.
    pub(super) fn on_sent_early(&mut self, now: Time, rest: Bytes) {
        // Nothing was taken out of the queue before, and the order is that of the sends.
        if self.queue.pop(now).is_none() {
            return;
        }
        self.wire.put_bytes(rest);
        self.wire.mark();
        let due = self.wire.take_due_marks();
        self.queue.on_sent(ONLY, due);
        self.complete();
    }

    /// Marks the end of a message whose bytes are partly out.
    fn mark_end(&mut self) {
        if !self.wire.is_empty() {
            self.wire.mark();
        } else if !self.sealed.is_empty() {
            self.sealed_sends
                .push_back((self.sealed_taken + self.sealed.len() as u64, 1));
        }
    }

    /// Moves messages to the carrier until it blocks or nothing is left.
    pub(super) fn pump(
        &mut self,
        now: Time,
        link: &mut Link,
        pipeline: &mut Pipeline,
    ) -> Result<Flush, Failure> {
        let flushed = match link {
            Link::Bytes(link) => self.pump_bytes(now, link, pipeline),
            Link::Datagrams(link) => self.pump_datagrams(now, link, pipeline),
        };
        self.complete();
        flushed
    }

    fn pump_bytes(
        &mut self,
        now: Time,
        link: &mut ByteLink,
        pipeline: &mut Pipeline,
    ) -> Result<Flush, Failure> {
        loop {
            // A buffer that is full already says nothing about the queue.
            let mut is_queue_drained = false;
            while self.wire.len() < WIRE_BYTES {
                let Some(mut next) = self.queue.pop(now) else {
                    is_queue_drained = true;
                    break;
                };
                match pipeline.frame_part(next.part(), &mut self.wire) {
                    Ok(()) => self.wire.mark(),
                    Err(error) => {
                        self.queue
                            .refuse(&next, &error.failure, error.is_stream_broken);
                        if error.is_stream_broken {
                            return Err(error.failure);
                        }
                    }
                }
            }
            let due = self.wire.take_due_marks();
            self.queue.on_sent(ONLY, due);
            if self.flush_bytes(link)? == Flush::Blocked {
                return Ok(Flush::Blocked);
            }
            if is_queue_drained {
                return Ok(Flush::Done);
            }
        }
    }

    /// Gives the system what is framed.
    fn flush_bytes(&mut self, link: &mut ByteLink) -> Result<Flush, Failure> {
        if link.layer.is_some() {
            return self.flush_sealed(link);
        }
        while !self.wire.is_empty() {
            let first = self.wire.first_slice();
            let written = if first.len() == self.wire.len() {
                write(link, &[IoSlice::new(first)])?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = self.wire.slices(&mut slices);
                write(link, &slices[..count])?
            };
            let Some(written) = written else {
                return Ok(Flush::Blocked);
            };
            let sends = self.wire.advance(written);
            if sends > 0 {
                self.queue.on_sent(ONLY, sends);
            }
        }
        Ok(Flush::Done)
    }

    fn flush_sealed(&mut self, link: &mut ByteLink) -> Result<Flush, Failure> {
        loop {
            if !self.sealed.is_empty() {
                let Some(written) = write(link, &[IoSlice::new(&self.sealed)])? else {
                    return Ok(Flush::Blocked);
                };
                self.after_sealed_write(written);
            } else if self.wire.is_empty() {
                return Ok(Flush::Done);
            } else {
                self.seal_and_write(link)?;
            }
        }
    }

    fn after_sealed_write(&mut self, written: usize) {
        if written == self.sealed.len() {
            // Between writes a connection keeps no memory for them.
            self.sealed = BytesMut::new();
        } else {
            self.sealed.advance(written);
        }
        self.sealed_taken += written as u64;
        while let Some((end, sends)) = self.sealed_sends.front().copied() {
            if end > self.sealed_taken {
                break;
            }
            self.sealed_sends.pop_front();
            self.queue.on_sent(ONLY, sends);
        }
    }

    /// Seals a part of what is framed in memory that the thread lends, writes it, and keeps what
    /// the system did not take.
    fn seal_and_write(&mut self, link: &mut ByteLink) -> Result<(), Failure> {
        let mut lent = SEALED.take();
        lent.clear();
        let sealed = self.seal(link, |layer, slices| layer.seal(slices, &mut lent));
        let done = sealed.and_then(|sends| {
            let bytes = lent.bytes();
            let written = write(link, &[IoSlice::new(bytes)])?.unwrap_or(0);
            self.sealed_taken += written as u64;
            if written < bytes.len() {
                self.sealed.extend_from_slice(&bytes[written..]);
                self.mark_sealed(sends);
            } else if sends > 0 {
                self.queue.on_sent(ONLY, sends);
            }
            Ok(())
        });
        SEALED.set(lent);
        done
    }

    /// Seals a bounded part of what is framed by `into`; how many sends end with it.
    fn seal(
        &mut self,
        link: &mut ByteLink,
        into: impl FnOnce(&mut dyn ByteLayer, &[&[u8]]) -> Result<(), Failure>,
    ) -> Result<usize, Failure> {
        let Some(layer) = &mut link.layer else {
            return Ok(0);
        };
        // A short rest goes along: a record and a write of its own would cost more.
        let bytes_max = match self.wire.len() {
            all if all <= SEALED_BYTES + SEALED_REST_BYTES_MAX => all,
            _ => SEALED_BYTES,
        };
        let first = self.wire.first_slice();
        if first.len() == self.wire.len() && first.len() <= bytes_max {
            into(&mut **layer, &[first])?;
            let bytes = first.len();
            return Ok(self.wire.advance(bytes));
        }
        let mut slices: [&[u8]; SLICES_MAX] = [&[]; SLICES_MAX];
        let (mut count, mut bytes) = (0, 0);
        for (slot, slice) in slices.iter_mut().zip(self.wire.iter()) {
            *slot = &slice[..slice.len().min(bytes_max - bytes)];
            bytes += slot.len();
            count += 1;
            if bytes == bytes_max {
                break;
            }
        }
        into(&mut **layer, &slices[..count])?;
        Ok(self.wire.advance(bytes))
    }

    /// So many sends end with what is sealed.
    fn mark_sealed(&mut self, sends: usize) {
        if sends > 0 {
            let end = self.sealed_taken + self.sealed.len() as u64;
            self.sealed_sends.push_back((end, sends));
        }
    }

    fn take_datagram(&mut self) -> Bytes {
        self.wire.take_chunks().into_bytes()
    }

    fn pump_datagrams(
        &mut self,
        now: Time,
        link: &DatagramLink,
        pipeline: &mut Pipeline,
    ) -> Result<Flush, Failure> {
        loop {
            let mut sends = 0;
            while self.datagrams.len() < DATAGRAMS_MAX {
                let Some(mut next) = self.queue.pop(now) else {
                    break;
                };
                sends += 1;
                let framed = pipeline.frame_part(next.part(), &mut self.wire);
                // The parts of a message come in a row, and leave as one datagram.
                if framed.is_ok() && !next.is_end {
                    continue;
                }
                let datagram = self.take_datagram();
                let max = link.socket.payload_max(link.peer, true);
                let failure = match framed {
                    Err(error) => Some(error.failure),
                    Ok(()) if datagram.len() > max => Some(
                        SendError::TooLarge {
                            size: datagram.len(),
                            max,
                        }
                        .failure(),
                    ),
                    Ok(()) => None,
                };
                let sends = std::mem::take(&mut sends);
                match failure {
                    Some(failure) => {
                        for _ in 0..sends {
                            self.queue.refuse(&next, &failure, false);
                        }
                    }
                    None => self.datagrams.push_back(Datagram {
                        bytes: datagram,
                        sends,
                        dscp: own_code_point(link, &next.context),
                    }),
                }
            }
            if self.datagrams.is_empty() {
                return Ok(Flush::Done);
            }
            if !self.flush_datagrams(link)? {
                return Ok(Flush::Blocked);
            }
        }
    }

    /// Sends what is framed; false when the socket takes no more for now.
    fn flush_datagrams(&mut self, link: &DatagramLink) -> Result<bool, Failure> {
        let dscp = self.datagrams.front().and_then(|first| first.dscp);
        let alike = self.datagrams.iter().take_while(|next| next.dscp.is_none());
        let batch: Vec<&[u8]> = alike.map(|datagram| &datagram.bytes[..]).collect();
        // Something that keeps the first one from leaving, such as a route that is gone, loses it
        // as the network might have.
        let mut sent = 1;
        for _ in 0..SOFT_ERRORS_MAX {
            let taken = match (dscp, self.datagrams.front()) {
                (Some(_), Some(first)) => transmit(link, &first.bytes, dscp).map(|()| 1),
                _ => link.socket.try_send_batch(&batch, None),
            };
            match taken {
                Ok(taken) => {
                    sent = taken;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => match after_error(link, &error) {
                    Aftermath::Soft => {}
                    // What is too large for the path is lost like any datagram; its size was
                    // checked against the limit that was known.
                    Aftermath::TooLarge => break,
                    Aftermath::Fatal(failure) => return Err(failure),
                },
            }
        }
        let sends = self.datagrams.drain(..sent).map(|datagram| datagram.sends);
        self.queue.on_sent(ONLY, sends.sum());
        Ok(true)
    }

    /// Hands completions to their receipts.
    pub(super) fn complete(&mut self) -> bool {
        let mut any = false;
        while let Some(completion) = self.queue.poll_completion() {
            any = true;
            completion.receipt.complete(match completion.outcome {
                Outcome::Sent => Completion::Sent,
                Outcome::Expired => Completion::Expired,
                Outcome::Failed(failure) => Completion::Failed(SendError::Failed(failure)),
            });
        }
        any
    }

    /// Fails everything that is not with the system.
    pub(super) fn fail(&mut self, failure: &Failure) {
        self.queue.fail_all(failure);
        self.wire.clear();
        self.sealed = BytesMut::new();
        self.sealed_sends.clear();
        self.datagrams.clear();
        self.complete();
    }

    /// The last words of framers and layer before the end of the sending direction.
    pub(super) fn say_goodbye(
        &mut self,
        link: &mut Link,
        pipeline: &mut Pipeline,
    ) -> Result<(), Failure> {
        let Link::Bytes(link) = link else {
            return Ok(());
        };
        pipeline.stop(&mut self.wire)?;
        while link.layer.is_some() && !self.wire.is_empty() {
            let mut sealed = std::mem::take(&mut self.sealed);
            let sends = self.seal(link, |layer, slices| layer.write(slices, &mut sealed));
            self.sealed = sealed;
            self.mark_sealed(sends?);
        }
        if let Some(layer) = &mut link.layer {
            layer.close(&mut self.sealed);
        }
        Ok(())
    }
}

/// Why a message was not taken by [`Outbound::send_directly`].
pub(super) enum SendFailure {
    /// Only this message is refused.
    Refused(SendError),
    /// The connection is broken.
    Broken(Failure),
}

/// Writes once; `None` when the system takes no more for now.
#[inline]
fn write(link: &ByteLink, slices: &[IoSlice<'_>]) -> Result<Option<usize>, Failure> {
    match link.socket.try_write_vectored(slices) {
        Ok(written) => Ok(Some(written)),
        Err(error) => write_again(link, slices, error),
    }
}

/// Goes on after a write that took nothing.
#[cold]
fn write_again(
    link: &ByteLink,
    slices: &[IoSlice<'_>],
    mut error: std::io::Error,
) -> Result<Option<usize>, Failure> {
    loop {
        match error.kind() {
            ErrorKind::WouldBlock => return Ok(None),
            ErrorKind::Interrupted => {}
            _ => return Err(failure_from_io(&error, "cannot send")),
        }
        match link.socket.try_write_vectored(slices) {
            Ok(written) => return Ok(Some(written)),
            Err(next) => error = next,
        }
    }
}

/// Sends one datagram; false when the socket takes no more for now. An error that persists is
/// this datagram's own.
fn send_datagram(link: &DatagramLink, datagram: &[u8], dscp: Option<u8>) -> Result<bool, Failure> {
    let mut soft = None;
    for _ in 0..SOFT_ERRORS_MAX {
        match transmit(link, datagram, dscp) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => match after_error(link, &error) {
                Aftermath::Soft => soft = Some(failure_from_io(&error, "cannot send")),
                Aftermath::TooLarge => return Err(failure_from_io(&error, "cannot send")),
                Aftermath::Fatal(failure) => return Err(failure),
            },
        }
    }
    soft.map_or(Ok(false), Err)
}

/// Sends one datagram once, with a code point of its own if there is one.
fn transmit(link: &DatagramLink, datagram: &[u8], dscp: Option<u8>) -> std::io::Result<()> {
    match dscp {
        None => link.socket.try_send(datagram, None),
        Some(_) => link.socket.try_transmit(&Transmit {
            dscp,
            ..Transmit::to(link.peer, datagram)
        }),
    }
}

/// The code point that a message asks for, where its datagram can have it and would have another.
// RFC 9622 §9.1.3.8: the profile of a message overrides that of its connection.
fn own_code_point(link: &DatagramLink, context: &MessageContext) -> Option<u8> {
    let usual = link.socket.code_point()?;
    let wanted = code_point(context.properties()?.capacity_profile()?);
    (wanted != usual).then_some(wanted)
}

/// Whether messages can be told apart by whoever receives them, in whatever order they leave.
pub(super) fn keeps_messages(pipeline: &Pipeline, link: &Link) -> bool {
    let are_apart = matches!(link, Link::Datagrams(_)) || !pipeline.is_empty();
    are_apart && !pipeline.keeps_order()
}

enum Aftermath {
    /// An error about an earlier datagram; this one was not sent.
    Soft,
    /// The datagram does not fit.
    TooLarge,
    /// The socket is of no more use.
    Fatal(Failure),
}

fn after_error(link: &DatagramLink, error: &std::io::Error) -> Aftermath {
    let failure = failure_from_io(error, "an earlier datagram was not delivered");
    match link.note_if_soft(failure) {
        Ok(()) => Aftermath::Soft,
        Err(failure) if failure.kind == FailureKind::LimitReached => Aftermath::TooLarge,
        Err(_) => Aftermath::Fatal(failure_from_io(error, "cannot send")),
    }
}

/// The error of a send that the queue did not accept for other reasons than its bounds.
pub(super) fn refused(error: QueueError) -> SendError {
    let detail = error.to_string();
    let failure = |kind| Failure::new(portway_core::Origin::Local, kind, detail.clone());
    match error {
        QueueError::AfterFinal | QueueError::StreamBroken => {
            SendError::Closed(failure(FailureKind::Closed))
        }
        QueueError::TooLongToAssemble { bytes, limit } => SendError::TooLarge {
            size: bytes,
            max: limit,
        },
        _ => SendError::InconsistentProperties(detail),
    }
}

/// The queue serves one connection.
pub(super) const ONLY: ConnectionId = ConnectionId(0);
const DEFAULT_PRIORITY: u32 = 100;
/// Framed bytes beyond which messages stay in the queue, where they can still expire.
const WIRE_BYTES: usize = 64 * 1024;
/// What is sealed and written at once. Two full records were the cheapest of all sizes from there
/// to 256 KiB: with 128 KiB the peer reads faster than the next write comes and sleeps more often.
/// A connection whose peer reads slowly holds as much.
const SEALED_BYTES: usize = 32 * 1024;
/// What is sealed beyond that rather than on its own.
const SEALED_REST_BYTES_MAX: usize = 4 * 1024;
const SLICES_MAX: usize = 64;
const DATAGRAMS_MAX: usize = 64;
/// Pending ICMP errors that one send steps over.
const SOFT_ERRORS_MAX: usize = 4;

thread_local! {
    /// What records are sealed in, so that a connection holds only those that the system did not
    /// take.
    static SEALED: RefCell<Sealed> = const { RefCell::new(Sealed::new()) };
}
