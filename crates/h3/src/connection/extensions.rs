//! Streams of extensions: types that the application asked for, whose bytes it gets as they come.
//!
//! Invariant: a stream of an extension has no frames, moves within the same bounds as a message
//! and counts until the application is done with it.

use bytes::{Bytes, BytesMut};

use super::Connection;
use crate::error::{Code, ConnectionError, Fault, StreamError};
use crate::event::{Action, Event};
use crate::exchange::{Answer, Exchange, Receive, SendError, SendState, Sender};
use crate::stream::{Direction, StreamId};
use crate::varint;

impl Connection {
    /// Begins a stream of an extension on `stream`, which the transport has just opened. `ty` is
    /// the type of a unidirectional stream, or the frame type that a bidirectional one begins
    /// with. Bytes follow by [`send_data`](Self::send_data), without frames around them, and
    /// come by [`receive`](Self::receive).
    ///
    /// That the peer knows the extension must have been negotiated, and so must be that a server
    /// opens bidirectional streams.
    ///
    /// # Errors
    /// When the type belongs to HTTP/3 itself, or the stream is in use or not ours.
    // RFC 9114 §6.2, §9: extensions define stream types; those of HTTP/3 have their rules.
    pub fn open_extension_stream(&mut self, stream: StreamId, ty: u64) -> Result<(), SendError> {
        self.check_open()?;
        let is_defined = match stream.direction() {
            Direction::Unidirectional => ty <= LAST_DEFINED_STREAM,
            Direction::Bidirectional => crate::frame::FrameType::new(ty)
                .is_none_or(|ty| ty.name().is_some() || ty.is_http2_only()),
        };
        if is_defined || ty > varint::MAX {
            return Err(SendError::OutOfOrder(
                "a stream type that HTTP/3 defines or reserves",
            ));
        }
        let is_free = stream.initiator() == self.role
            && self.local.find(stream).is_none()
            && !self.exchanges.contains(stream);
        if !is_free {
            return Err(SendError::UnknownStream);
        }
        let mut sender = Sender::raw();
        let mut first = BytesMut::with_capacity(varint::LEN_MAX);
        varint::encode(ty, &mut first);
        sender.queue_frame(first);
        let receive = match stream.direction() {
            Direction::Unidirectional => Receive::none(),
            Direction::Bidirectional => Receive::raw(),
        };
        let mut exchange = Exchange::new(receive, sender);
        exchange.is_extension = true;
        exchange.is_known = true;
        self.exchanges.insert(stream, exchange);
        self.schedule(stream);
        Ok(())
    }

    /// Bytes of a bidirectional stream that is no request: one of ours, or one of a server.
    pub(super) fn on_server_stream_data(
        &mut self,
        stream: StreamId,
        bytes: Bytes,
        fin: bool,
    ) -> Result<(), Fault> {
        if !self.exchanges.contains(stream) {
            if stream.initiator() == self.role {
                return Ok(());
            }
            // RFC 9114 §6.1: servers open no bidirectional streams unless an extension says so.
            if self.config.extension_bidirectional.is_empty() {
                let reason = "a bidirectional stream from a server";
                return Err(ConnectionError::local(Code::H3_STREAM_CREATION_ERROR, reason).into());
            }
            if !self.peer.bidirectional.open(stream.index())? {
                return Ok(());
            }
            let receive = Receive::untyped(Answer::Extension);
            let exchange = Exchange::new(receive, Sender::new(SendState::Head));
            self.exchanges.insert(stream, exchange);
        }
        self.on_exchange_data(stream, bytes, fin)
    }

    /// A server reset a bidirectional stream that nothing is known of.
    pub(super) fn on_server_stream_reset(&mut self, stream: StreamId) -> Result<(), Fault> {
        if !self.config.extension_bidirectional.is_empty()
            && self.peer.bidirectional.open(stream.index())?
        {
            self.glitch("reset streams")?;
            let code = Code::H3_REQUEST_CANCELLED;
            self.out.actions.push_back(Action::Reset(stream, code));
        }
        Ok(())
    }

    /// A unidirectional stream of the peer told a type that the application asked for.
    pub(super) fn on_extension_unidirectional(
        &mut self,
        stream: StreamId,
        ty: u64,
    ) -> Result<(), Fault> {
        let exchange = Exchange::new(Receive::raw(), Sender::new(SendState::Finished));
        self.exchanges.insert(stream, exchange);
        self.on_extension_stream(stream, ty)
    }

    /// A stream of the peer turned out to be one of an extension.
    pub(super) fn on_extension_stream(&mut self, stream: StreamId, ty: u64) -> Result<(), Fault> {
        if self.handed_out.extension_streams >= self.config.limits.extension_streams {
            self.glitch("too many streams of extensions")?;
            let reason = "too many streams of extensions are open";
            return Err(StreamError::local(Code::H3_REQUEST_REJECTED, reason).into());
        }
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return Ok(());
        };
        exchange.is_extension = true;
        exchange.is_known = true;
        if exchange.send.state() == SendState::Head {
            exchange.send = Sender::raw();
        }
        self.handed_out.extension_streams += 1;
        self.out
            .events
            .push_back(Event::ExtensionStream { stream, ty });
        Ok(())
    }
}

/// The largest type of a unidirectional stream that HTTP/3 and QPACK define.
const LAST_DEFINED_STREAM: u64 = super::critical::stream_type::QPACK_DECODER;
