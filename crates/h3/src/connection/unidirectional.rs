//! Unidirectional streams of the peer: what type they are and who reads them.
//!
//! Invariant: each critical stream exists once and never ends; a stream of unknown type costs an
//! entry until its type is read and nothing after.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Connection;
use super::critical::stream_type;
use crate::error::{Code, ConnectionError, Fault};
use crate::event::Action;
use crate::priority::Priority;
use crate::stream::{Opened, Role, StreamId};
use crate::varint::Reader;

/// The unidirectional streams of the peer.
#[derive(Debug, Default)]
pub(super) struct PeerStreams {
    streams: Streams,
    opened: Opened,
    has_control: bool,
    has_encoder: bool,
    has_decoder: bool,
    /// The bidirectional streams that the peer has opened: requests, if it is a client.
    pub(super) bidirectional: Opened,
    /// How many of them the transport lets the peer have open, as far as it said.
    pub(super) open_max: Option<u64>,
    /// Priorities of requests that have not arrived.
    early_priorities: BTreeMap<StreamId, Priority>,
}

/// The streams whose bytes are the connection's. They are a handful: the critical ones, and those
/// whose header is still to come, which the transport's limit of streams bounds.
#[derive(Debug, Default)]
struct Streams(Vec<(StreamId, PeerStream)>);

impl Streams {
    fn get_mut(&mut self, stream: StreamId) -> Option<&mut PeerStream> {
        let mut streams = self.0.iter_mut();
        let found = streams.find(|(id, _)| *id == stream);
        found.map(|(_, peer_stream)| peer_stream)
    }

    fn contains(&self, stream: StreamId) -> bool {
        self.0.iter().any(|(id, _)| *id == stream)
    }

    /// Sets what a stream is, whether it was there or not.
    fn insert(&mut self, stream: StreamId, peer_stream: PeerStream) {
        match self.get_mut(stream) {
            Some(place) => *place = peer_stream,
            None => self.0.push((stream, peer_stream)),
        }
    }

    fn remove(&mut self, stream: StreamId) -> Option<PeerStream> {
        let at = self.0.iter().position(|(id, _)| *id == stream)?;
        Some(self.0.swap_remove(at).1)
    }
}

/// What a stream is.
///
/// ```text
/// Untyped ──type──▶ Control │ QpackEncoder │ QpackDecoder │ (unknown: stopped and forgotten)
///            ├────▶ Push ──push id──▶ (an exchange)
///            └────▶ (an exchange of an extension)
/// ```
#[derive(Debug)]
enum PeerStream {
    Untyped(Reader),
    Control,
    QpackEncoder,
    QpackDecoder,
    Push(Reader),
}

impl PeerStreams {
    /// Keeps the priority of a request that has not arrived.
    ///
    /// # Errors
    /// H3_ID_ERROR for more requests than the client may have open.
    // RFC 9218 §7.2: streams beyond the limit; the number of updates kept is bounded by it.
    pub(super) fn keep_early_priority(
        &mut self,
        stream: StreamId,
        priority: Priority,
        limit: usize,
    ) -> Result<(), ConnectionError> {
        self.early_priorities.insert(stream, priority);
        if self.early_priorities.len() > limit {
            let reason = "priority updates for more requests than may be open";
            return Err(ConnectionError::local(Code::H3_ID_ERROR, reason));
        }
        Ok(())
    }

    /// The priority that came before its request.
    pub(super) fn take_early_priority(&mut self, stream: StreamId) -> Option<Priority> {
        if self.early_priorities.is_empty() {
            return None;
        }
        self.early_priorities.remove(&stream)
    }

    fn claim(&mut self, ty: u64) -> Result<Option<PeerStream>, ConnectionError> {
        let (claimed, stream) = match ty {
            stream_type::CONTROL => (&mut self.has_control, PeerStream::Control),
            stream_type::QPACK_ENCODER => (&mut self.has_encoder, PeerStream::QpackEncoder),
            stream_type::QPACK_DECODER => (&mut self.has_decoder, PeerStream::QpackDecoder),
            _ => return Ok(None),
        };
        // RFC 9114 §6.2.1, RFC 9204 §4.2: one of each.
        if std::mem::replace(claimed, true) {
            let reason = "a second control or QPACK stream";
            return Err(ConnectionError::local(
                Code::H3_STREAM_CREATION_ERROR,
                reason,
            ));
        }
        Ok(Some(stream))
    }
}

impl Connection {
    /// Takes bytes of a unidirectional stream of the peer.
    pub(super) fn on_unidirectional_data(
        &mut self,
        stream: StreamId,
        mut bytes: Bytes,
        fin: bool,
    ) -> Result<(), Fault> {
        if self.exchanges.contains(stream) {
            return self.on_exchange_data(stream, bytes, fin);
        }
        if self.peer.opened.open(stream.index())? {
            self.peer
                .streams
                .insert(stream, PeerStream::Untyped(Reader::default()));
        }
        let Some(peer_stream) = self.peer.streams.get_mut(stream) else {
            return Ok(());
        };
        if let PeerStream::Untyped(reader) = peer_stream {
            match reader.read(&mut bytes) {
                Some(ty) => {
                    if !self.on_stream_type(stream, ty, fin)? {
                        return Ok(());
                    }
                }
                None => {
                    // RFC 9114 §6.2: a stream may end before its type.
                    if fin {
                        self.peer.streams.remove(stream);
                        self.glitch("streams without a type")?;
                    }
                    return Ok(());
                }
            }
        }
        match self.peer.streams.get_mut(stream) {
            Some(PeerStream::Push(reader)) => {
                let Some(push_id) = reader.read(&mut bytes) else {
                    // RFC 9114 §6.2: a stream may end before its header.
                    if fin {
                        self.peer.streams.remove(stream);
                        self.glitch("push streams without an identifier")?;
                    }
                    return Ok(());
                };
                self.peer.streams.remove(stream);
                self.on_push_stream(stream, push_id, fin)?;
                return self.on_exchange_data(stream, bytes, fin);
            }
            Some(PeerStream::Control) => self.on_control_data(bytes)?,
            Some(PeerStream::QpackEncoder) => {
                self.sections.on_encoder_stream(&bytes)?;
                self.resume_blocked()?;
            }
            Some(PeerStream::QpackDecoder) => self.sections.on_decoder_stream(&bytes)?,
            Some(PeerStream::Untyped(_)) => return Ok(()),
            None => return self.on_exchange_data(stream, bytes, fin),
        }
        if fin {
            Err(CLOSED_CRITICAL.into())
        } else {
            Ok(())
        }
    }

    /// Whether a stream of the peer is one that is read as it comes.
    pub(super) fn reads_unidirectional(&self, stream: StreamId) -> bool {
        self.peer.streams.contains(stream) || !self.peer.opened.was_opened(stream.index())
    }

    /// Finds a reader for a stream; `false` when there is none.
    fn on_stream_type(&mut self, stream: StreamId, ty: u64, fin: bool) -> Result<bool, Fault> {
        if let Some(claimed) = self.peer.claim(ty)? {
            self.peer.streams.insert(stream, claimed);
            return Ok(true);
        }
        // RFC 9114 §6.2.2: only servers push.
        if ty == stream_type::PUSH && self.role == Role::Server {
            let reason = "a push stream from a client";
            return Err(ConnectionError::local(Code::H3_STREAM_CREATION_ERROR, reason).into());
        }
        if ty == stream_type::PUSH {
            // RFC 9114 §4.6: a push stream before any MAX_PUSH_ID is an error already.
            if self.pushes.max().is_none() {
                let reason = "a push stream although push is off";
                return Err(ConnectionError::local(Code::H3_ID_ERROR, reason).into());
            }
            self.peer
                .streams
                .insert(stream, PeerStream::Push(Reader::default()));
            return Ok(true);
        }
        self.peer.streams.remove(stream);
        if self.config.extension_streams.contains(&ty) {
            self.on_extension_unidirectional(stream, ty)?;
            return Ok(true);
        }
        // RFC 9114 §6.2: reading is aborted, and nothing else happens.
        if !fin {
            self.out
                .actions
                .push_back(Action::Stop(stream, Code::H3_STREAM_CREATION_ERROR));
        }
        self.glitch("streams of unknown type")?;
        Ok(false)
    }

    /// A unidirectional stream of the peer was reset.
    pub(super) fn on_unidirectional_reset(&mut self, stream: StreamId) -> Result<(), Fault> {
        self.peer.opened.open(stream.index())?;
        match self.peer.streams.remove(stream) {
            // RFC 9114 §6.2: a stream may be reset before its type.
            None | Some(PeerStream::Untyped(_) | PeerStream::Push(_)) => {
                Ok(self.glitch("reset streams")?)
            }
            Some(_) => Err(CLOSED_CRITICAL.into()),
        }
    }
}

// RFC 9114 §6.2.1, RFC 9204 §4.2: critical streams never end.
pub(super) const CLOSED_CRITICAL: ConnectionError =
    ConnectionError::local(Code::H3_CLOSED_CRITICAL_STREAM, "a critical stream ended");
