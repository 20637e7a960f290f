//! The receiving side of a connection: from the carrier to the buffer that messages come from.
//!
//! Invariant: bytes are taken from the carrier only while somebody receives, so a slow
//! application holds its peer back; and what was received before a failure is delivered first.

use super::link::{ByteLink, DatagramLink, Link};
use crate::error::ReceiveError;
use bytes::{Bytes, BytesMut};
use portway_core::Failure;
use portway_core::framer::{Demand, Pipeline, Receive, ReceiveBuffer, ReceiveLimits};
use portway_core::message::{ContextEndpoints, Ecn, ReceivedMessage};
use portway_transport::environment::TcpStream;
use portway_transport::failure_map::failure_from_io;
use portway_transport::layer::LayerStatus;
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::task::Waker;

pub(super) struct Inbound {
    /// Bytes that the layer has not consumed.
    wire: BytesMut,
    /// Whether the layer is to be asked before the carrier: `wire` holds something that it has
    /// not seen, or it may have decrypted something during its handshake.
    is_layer_due: bool,
    /// Bytes, messages and their end.
    buffer: ReceiveBuffer,
    has_ended: bool,
    /// Who waits for the carrier, which tells nobody that it is closed here.
    reader: Option<Waker>,
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
            wire,
            buffer,
            has_ended: false,
            reader: None,
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

    /// Remembers who waits for the carrier.
    pub(super) fn keep_reader(&mut self, waker: &Waker) {
        match &mut self.reader {
            Some(kept) => kept.clone_from(waker),
            None => self.reader = Some(waker.clone()),
        }
    }

    /// Wakes who waits for the carrier: the connection has ended.
    pub(super) fn wake_reader(&mut self) {
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

    /// The next message or part of one among the bytes that are there; `None` when more are
    /// needed.
    pub(super) fn next(
        &mut self,
        pipeline: &mut Pipeline,
        demand: Demand,
    ) -> Result<Option<ReceivedMessage>, ReceiveError> {
        match self.buffer.receive(pipeline, demand) {
            Ok(Receive::Message(message)) => Ok(Some(message)),
            Ok(Receive::NeedsMore(_)) => Ok(None),
            Ok(Receive::Ended) => Err(ReceiveError::Finished),
            Err(error) if error.failure.origin == portway_core::Origin::Framing => {
                Err(ReceiveError::Framer(error.failure))
            }
            Err(error) => Err(ReceiveError::Failed(error.failure)),
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
        if !self.is_layer_due {
            let buffer = match &link.layer {
                None => self.buffer.prepare_read(),
                Some(_) => {
                    if self.wire.capacity() - self.wire.len() < WIRE_BYTES_MIN {
                        self.wire.reserve(WIRE_BYTES);
                    }
                    &mut self.wire
                }
            };
            match read(&*link.socket, buffer) {
                Ok(Some(0)) => {
                    let ended = link.layer.as_mut().map_or(Ok(()), |layer| layer.on_end());
                    self.end(ended);
                    return Fill::More;
                }
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.release_memory();
                    return Fill::WouldBlock;
                }
                Err(failure) => {
                    self.end(Err(failure));
                    return Fill::More;
                }
            }
        }
        self.is_layer_due = false;
        let Some(layer) = &mut link.layer else {
            return Fill::More;
        };
        let outcome = layer.on_wire(&mut self.wire, answers);
        while let Some(plaintext) = layer.read(usize::MAX) {
            self.buffer.on_bytes(plaintext);
        }
        match outcome {
            Err(failure) => self.end(Err(failure)),
            Ok(()) if layer.status() == LayerStatus::PeerClosed => self.end(Ok(())),
            Ok(()) => {}
        }
        Fill::More
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

    fn release_memory(&mut self) {
        self.buffer.release_memory();
        if self.wire.is_empty() {
            self.wire = BytesMut::new();
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

thread_local! {
    /// Datagrams are copied out of here, so that a waiting connection holds no buffer.
    static DATAGRAM_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The longest UDP payload over IPv6 without jumbograms.
const DATAGRAM_BYTES_MAX: usize = 65_527;
/// What a read of protected bytes asks for: two records.
const WIRE_BYTES: usize = 32 * 1024;
/// Below this a read is not worth its system call.
const WIRE_BYTES_MIN: usize = 2 * 1024;
