//! The receiving side of a connection: from the carrier to the buffer that messages come from.
//!
//! Invariant: bytes are taken from the carrier only while somebody receives, so a slow
//! application holds its peer back; and what was received before a failure is delivered first.

use super::link::{ByteLink, DatagramLink, Link};
use super::waiters::Place;
use crate::error::ReceiveError;
use bytes::{Bytes, BytesMut};
use portway_core::Failure;
use portway_core::framer::{Demand, Pipeline, Receive, ReceiveBuffer, ReceiveLimits};
use portway_core::message::{ContextEndpoints, Ecn, ReceivedMessage};
use portway_transport::environment::TcpStream;
use portway_transport::failure_map::failure_from_io;
use portway_transport::layer::{ByteLayer, LayerStatus};
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub(super) struct Inbound {
    /// Bytes that the layer has not consumed.
    wire: BytesMut,
    /// Whether the layer is to be asked before the carrier: `wire` holds something that it has
    /// not seen, or it may have decrypted something during its handshake.
    is_layer_due: bool,
    /// Bytes, messages and their end.
    buffer: ReceiveBuffer,
    has_ended: bool,
    /// What the latest read brought: after much, more is expected.
    last_read: usize,
    /// Who waits for the carrier, which tells nobody that it is closed here.
    reader: Option<Waker>,
    /// The place of the receive that waits for the carrier: among what is here is nothing for it.
    awaited_by: Option<u64>,
    /// Messages that were taken out since a receive last asked whether others are due.
    in_a_row: u8,
}

/// What came of asking the carrier for more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// There is more to look at.
    More,
    /// Nothing is there now.
    WouldBlock,
}

impl Inbound {
    /// A side without a carrier, which receives nothing.
    pub(super) fn unconnected() -> Self {
        Inbound::new(ReceiveBuffer::stream(), BytesMut::new())
    }

    fn new(buffer: ReceiveBuffer, wire: BytesMut) -> Self {
        Inbound {
            is_layer_due: false,
            // The handshake's buffer is not kept for nothing.
            wire: match wire.is_empty() {
                true => BytesMut::new(),
                false => wire,
            },
            buffer,
            has_ended: false,
            last_read: 0,
            reader: None,
            awaited_by: None,
            in_a_row: 0,
        }
    }

    /// The side of a fresh carrier: `wire` is what the layer has not consumed, `plain` what the
    /// framers have not.
    pub(super) fn over(link: &Link, wire: BytesMut, plain: BytesMut) -> Self {
        let mut buffer = match link {
            Link::Bytes(_) => ReceiveBuffer::stream(),
            Link::Datagrams(_) => ReceiveBuffer::datagrams(),
        };
        buffer.set_endpoints(Arc::new(ContextEndpoints {
            local: Some(link.local_address()),
            remote: link.peer_address(),
        }));
        if let Link::Bytes(link) = link {
            buffer.set_early_data(link.socket.reads_early_data());
        }
        if !plain.is_empty() {
            *buffer.input_mut() = plain;
        }
        let mut inbound = Inbound::new(buffer, wire);
        inbound.is_layer_due = matches!(link, Link::Bytes(link) if link.layer.is_some());
        inbound
    }

    pub(super) fn set_message_bytes_max(&mut self, whole_max: usize) {
        let mut limits = ReceiveLimits::default();
        limits.whole_max = whole_max;
        let buffer = std::mem::replace(&mut self.buffer, ReceiveBuffer::stream());
        self.buffer = buffer.with_limits(limits);
    }

    /// Bytes that were read and not delivered, for an upgrade to refuse.
    pub(super) fn unread_bytes(&self) -> usize {
        self.wire.len() + self.buffer.waiting_bytes()
    }

    /// Bytes that a new layer has not consumed.
    pub(super) fn put_wire(&mut self, wire: BytesMut) {
        self.is_layer_due = true;
        self.wire = wire;
    }

    /// Whether the peer's direction has ended, delivered or not.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Drops what was received and not delivered.
    pub(super) fn forget(&mut self) {
        self.wire = BytesMut::new();
        self.is_layer_due = false;
        self.buffer = ReceiveBuffer::stream();
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        self.has_ended = true;
        self.buffer.on_failure(failure);
    }

    /// Whether the receive at `place` waits for the carrier, so that what is here need not be
    /// looked at again.
    pub(super) fn is_awaited_by(&mut self, place: &Place) -> bool {
        let awaited_by = self.awaited_by.take();
        awaited_by.is_some() && awaited_by == place.number()
    }

    /// Remembers who waits for the carrier. Meanwhile no memory is kept for what may come.
    pub(super) fn keep_reader(&mut self, place: &Place, waker: &Waker) {
        self.awaited_by = place.number();
        self.buffer.release_memory();
        match &mut self.reader {
            Some(kept) => kept.clone_from(waker),
            None => self.reader = Some(waker.clone()),
        }
    }

    /// Wakes who waits for the carrier: the connection has ended.
    pub(super) fn wake_reader(&mut self) {
        self.awaited_by = None;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn end(&mut self, ended: Result<(), Failure>) {
        self.has_ended = true;
        match ended {
            Ok(()) => self.buffer.on_end(),
            Err(failure) => self.buffer.on_failure(failure),
        }
    }

    /// The next message, when all of it is there and only has to be taken out, and when not so
    /// many were in a row that other tasks must get their turn.
    #[inline]
    pub(super) fn next_whole(
        &mut self,
        pipeline: &Pipeline,
        demand: Demand,
    ) -> Option<ReceivedMessage> {
        if self.in_a_row == IN_A_ROW_MAX {
            self.in_a_row = 0;
            return None;
        }
        let message = self.buffer.next_whole(pipeline, demand)?;
        self.in_a_row += 1;
        if self.last_read < BULK_BYTES_MIN {
            self.buffer.release_memory();
        }
        Some(message)
    }

    /// The next message or part of one among the bytes that are there; `None` when more are
    /// needed.
    pub(super) fn next(
        &mut self,
        pipeline: &mut Pipeline,
        demand: Demand,
    ) -> Result<Option<ReceivedMessage>, ReceiveError> {
        match self.buffer.receive(pipeline, demand) {
            Ok(Receive::Message(message)) => {
                if self.last_read < BULK_BYTES_MIN {
                    self.buffer.release_memory();
                }
                Ok(Some(message))
            }
            Ok(Receive::NeedsMore(_)) => Ok(None),
            Ok(Receive::Ended) => Err(ReceiveError::Finished),
            Err(error) if error.failure.origin == portway_core::Origin::Framing => {
                Err(ReceiveError::Framer(error.failure))
            }
            Err(error) => Err(ReceiveError::Failed(error.failure)),
        }
    }

    /// Ready when the carrier may have more, or the layer itself; an error is told only when the
    /// carrier has nothing more either.
    pub(super) fn poll_carrier(
        &self,
        link: &Link,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        match link {
            Link::Bytes(_) if self.is_layer_due => Poll::Ready(Ok(())),
            Link::Bytes(link) => link.socket.poll_readable(context),
            Link::Datagrams(link) => link.socket.poll_readable(context),
        }
    }

    /// Asks the carrier for more. What the layer answers is appended to `answers`.
    pub(super) fn fill(&mut self, link: &mut Link, answers: &mut BytesMut) -> Fill {
        match link {
            Link::Bytes(link) => self.fill_bytes(link, answers),
            Link::Datagrams(link) => self.fill_datagram(link),
        }
    }

    fn fill_bytes(&mut self, link: &mut ByteLink, answers: &mut BytesMut) -> Fill {
        match &mut link.layer {
            None => self.fill_plain(&*link.socket),
            Some(layer) => self.fill_layered(&*link.socket, &mut **layer, answers),
        }
    }

    fn fill_plain(&mut self, socket: &dyn TcpStream) -> Fill {
        let was_drained = self.buffer.waiting_bytes() == 0;
        let read = if self.last_read >= BULK_BYTES_MIN {
            read(socket, self.buffer.prepare_read())
        } else {
            // Few bytes are copied into memory of their own size, so that neither the connection
            // nor a short message keeps a large buffer alive.
            let mut scratch = take_scratch();
            let read = read(socket, &mut scratch);
            self.buffer.input_mut().extend_from_slice(&scratch);
            put_scratch(scratch);
            read
        };
        // What is left of early data keeps its mark.
        let is_early = socket.reads_early_data();
        if is_early || was_drained {
            self.buffer.set_early_data(is_early);
        }
        self.after_read(read, || Ok(())).unwrap_or(Fill::More)
    }

    fn fill_layered(
        &mut self,
        socket: &dyn TcpStream,
        layer: &mut dyn ByteLayer,
        answers: &mut BytesMut,
    ) -> Fill {
        let is_own = !self.wire.is_empty();
        let mut wire = match is_own {
            true => std::mem::take(&mut self.wire),
            false => take_scratch(),
        };
        if !std::mem::take(&mut self.is_layer_due) {
            if wire.capacity() - wire.len() < WIRE_BYTES_MIN {
                wire.reserve(SCRATCH_BYTES);
            }
            let read = read(socket, &mut wire);
            if let Some(fill) = self.after_read(read, || layer.on_end()) {
                self.keep_wire(wire, is_own);
                return fill;
            }
        }
        let was_drained = self.buffer.waiting_bytes() == 0;
        let outcome = layer.on_wire_into(&mut wire, self.buffer.prepare_append(), answers);
        // What is left of early data keeps its mark.
        let is_early = layer.take_is_early_data();
        if is_early || was_drained {
            self.buffer.set_early_data(is_early);
        }
        self.keep_wire(wire, is_own);
        match outcome {
            Err(failure) => self.end(Err(failure)),
            Ok(()) if layer.status() == LayerStatus::PeerClosed => self.end(Ok(())),
            Ok(()) => {}
        }
        Fill::More
    }

    /// What a read without bytes comes to; `None` when there are bytes.
    fn after_read(
        &mut self,
        read: Result<Option<usize>, Failure>,
        on_end: impl FnOnce() -> Result<(), Failure>,
    ) -> Option<Fill> {
        match read {
            Ok(Some(0)) => self.end(on_end()),
            Ok(Some(bytes)) => {
                self.last_read = bytes;
                return None;
            }
            Ok(None) => {
                self.buffer.release_memory();
                return Some(Fill::WouldBlock);
            }
            Err(failure) => self.end(Err(failure)),
        }
        Some(Fill::More)
    }

    /// Keeps what the layer has not consumed, in memory of its own.
    fn keep_wire(&mut self, wire: BytesMut, is_own: bool) {
        if wire.is_empty() {
            put_scratch(wire);
        } else if is_own {
            self.wire = wire;
        } else {
            self.wire = BytesMut::from(&wire[..]);
            put_scratch(wire);
        }
    }

    fn fill_datagram(&mut self, link: &DatagramLink) -> Fill {
        let received = DATAGRAM_BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(DATAGRAM_BYTES_MAX, 0);
            let received = link.socket.try_receive(buffer)?;
            Ok::<_, io::Error>((
                received.ecn,
                Bytes::copy_from_slice(&buffer[..received.len]),
            ))
        });
        match received {
            Ok((ecn, datagram)) => {
                self.buffer.on_datagram(datagram, ecn.map(Ecn::from_bits));
                Fill::More
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Fill::WouldBlock,
            Err(error) if error.kind() == ErrorKind::Interrupted => Fill::More,
            Err(error) => {
                let failure = failure_from_io(&error, "an earlier datagram was not delivered");
                let is_soft = link.note_if_soft(failure).is_ok();
                if !is_soft && error.kind() != ErrorKind::InvalidData {
                    self.end(Err(failure_from_io(&error, "cannot receive")));
                }
                Fill::More
            }
        }
    }
}

/// Reads once; `None` when nothing is there.
fn read(socket: &dyn TcpStream, buffer: &mut BytesMut) -> Result<Option<usize>, Failure> {
    loop {
        match socket.try_read_buf(buffer) {
            Ok(read) => return Ok(Some(read)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failure_from_io(&error, "cannot receive")),
        }
    }
}

/// An empty buffer with room for a read, lent by the thread.
fn take_scratch() -> BytesMut {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    scratch.reserve(SCRATCH_BYTES);
    scratch
}

fn put_scratch(mut scratch: BytesMut) {
    scratch.clear();
    SCRATCH.set(Some(scratch));
}

thread_local! {
    /// Datagrams are copied out of here, so that a waiting connection holds no buffer.
    static DATAGRAM_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };

    /// What streams are read into, so that a connection without unread bytes holds no buffer.
    static SCRATCH: RefCell<Option<BytesMut>> = const { RefCell::new(None) };
}

/// The longest UDP payload over IPv6 without jumbograms.
const DATAGRAM_BYTES_MAX: usize = 65_527;
/// What a read asks for: two full protected records and a short one, so that of a stream of full
/// ones hardly ever a large part is left behind, which would have to be moved.
const SCRATCH_BYTES: usize = 2 * RECORD_BYTES + 64;
/// A full record of TLS 1.3 with its header, content type and tag.
const RECORD_BYTES: usize = 5 + 16 * 1024 + 1 + 16;
/// After a read of so many bytes the next one goes straight to where messages are taken from.
const BULK_BYTES_MIN: usize = 8 * 1024;
/// Messages that a task takes out before it asks whether it may go on.
const IN_A_ROW_MAX: u8 = 32;
/// Below this a read is not worth its system call.
const WIRE_BYTES_MIN: usize = 2 * 1024;
