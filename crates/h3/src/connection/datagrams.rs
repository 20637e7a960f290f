//! Datagrams between the transport and requests, in whichever profile was negotiated.
//!
//! Invariant: nothing is sent before both sides have said that they take datagrams; what comes too
//! early is kept within a limit, what comes too late is dropped.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::{Connection, Outbox};
use crate::datagram::{
    CapsuleOutcome, Contexts, Datagram, ExtensionString, FlowId, Flows, Profile, Queue,
};
use crate::error::{Code, ConnectionError, Fault, StreamError};
use crate::event::{Action, Event};
use crate::exchange::{Exchange, Incoming, SendError, SendState};
use crate::settings::Settings;
use crate::stream::{Direction, Role, StreamId};
use crate::transport::Transport;
use crate::varint;

/// What the connection knows of datagrams.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    /// The longest datagram of the transport; the outer `None` is "not told".
    transport_len: Option<Option<usize>>,
    /// Those that came before the settings, or before what they belong to.
    early: VecDeque<Bytes>,
    flows: Flows,
    unsent: Unsent,
    /// Memory for the next ones that are sent.
    block: BytesMut,
    /// Whether any request may have datagrams, so that their length matters.
    are_of_use: bool,
}

/// Datagrams for the transport; those of one flow or request are side by side and in order.
#[derive(Debug, Default)]
struct Unsent(VecDeque<(u64, Bytes)>);

impl Unsent {
    /// Adds a datagram behind the others of its group; the oldest of all makes room.
    // draft-00 §2: those of one flow stay in order and go into packets together.
    fn push(&mut self, group: u64, datagram: Bytes, limit: usize) {
        if self.0.len() >= limit.max(1) {
            self.0.pop_front();
        }
        let last = self.0.iter().rposition(|(other, _)| *other == group);
        let at = last.map_or(self.0.len(), |last| last + 1);
        self.0.insert(at, (group, datagram));
    }
}

impl Datagrams {
    #[inline]
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.0.is_empty()
    }

    pub(super) fn poll_unsent(&mut self) -> Option<Action> {
        let (_, datagram) = self.unsent.0.pop_front()?;
        Some(Action::Datagram(datagram))
    }

    pub(super) fn forget(&mut self, stream: StreamId) {
        self.flows.forget(stream);
    }

    /// Takes note that a request may have datagrams.
    #[inline]
    pub(super) fn become_of_use(&mut self) {
        self.are_of_use = true;
    }

    /// Gives memory back that only the next datagrams would use.
    pub(super) fn release(&mut self) {
        self.block = BytesMut::new();
    }

    /// Learns the flows that a message names.
    // draft-00 §6: a header field that is not such a list makes the message malformed.
    pub(crate) fn on_headers(
        &mut self,
        stream: StreamId,
        headers: &HeaderMap,
    ) -> Result<(), StreamError> {
        let malformed = StreamError::malformed("a datagram-flow-id that is not a list of flows");
        let flows = FlowId::of(headers).ok_or(malformed)?;
        self.become_of_use();
        self.flows.associate(stream, &flows);
        Ok(())
    }
}

/// The datagrams of one request.
#[derive(Debug, Default)]
pub(crate) struct RequestDatagrams {
    queue: Queue,
    contexts: Contexts,
}

impl Connection {
    /// Which document both sides follow for datagrams; `None` while or because there is none.
    #[inline]
    pub fn datagram_profile(&self) -> Option<Profile> {
        if self.control.peer_settings().is_some() {
            return self.control.datagram_profile();
        }
        self.remembered_datagram_profile()
    }

    fn remembered_datagram_profile(&self) -> Option<Profile> {
        let ours = self.config.settings(self.role);
        Profile::negotiated(&ours, self.control.effective_settings()?)
    }

    /// Whether [`set_datagram_len`](Self::set_datagram_len) is to be called whenever the transport
    /// was at work: settings are checked against it, and datagrams once a request may have some.
    #[inline]
    pub(crate) fn needs_datagram_len(&self) -> bool {
        self.datagrams.are_of_use || self.control.peer_settings().is_none()
    }

    /// The transport says how long a datagram can be; `None` when the peer takes none.
    pub fn set_datagram_len(&mut self, len: Option<usize>) {
        self.datagrams.transport_len = Some(len);
    }

    /// How long a payload for a request can be, as far as the transport has told.
    pub fn max_datagram_payload(&self, stream: StreamId, context: u64) -> Option<usize> {
        let header = self.datagram_profile()?;
        let len = self.datagrams.transport_len??;
        len.checked_sub(header_len(header, stream, context))
    }

    /// Says that the meaning of a request includes datagrams. Extended CONNECT needs no such word.
    pub fn accept_datagrams(&mut self, stream: StreamId) {
        if let Some(exchange) = self.exchanges.get_mut(stream) {
            exchange.takes_datagrams = !exchange.is_extension;
            self.datagrams.become_of_use();
        }
    }

    /// Sends a datagram that belongs to a request, in a context (draft-01) or a flow (draft-00) or
    /// neither (0). It may be lost; the oldest is dropped when too many wait.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn send_datagram(
        &mut self,
        stream: StreamId,
        context: u64,
        payload: &[u8],
    ) -> Result<(), SendError> {
        let (group, datagram) = self.datagram(stream, context, payload)?;
        self.check_datagram_len(datagram.len(), payload.len())?;
        let limit = self.config.limits.datagrams.queued;
        self.datagrams.unsent.push(group, datagram, limit);
        Ok(())
    }

    /// As [`send_datagram`](Self::send_datagram), but gives it to the transport at once, behind
    /// whatever waits.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn send_datagram_over(
        &mut self,
        transport: &mut impl Transport,
        stream: StreamId,
        context: u64,
        payload: &[u8],
    ) -> Result<(), SendError> {
        self.act_on(transport);
        let (_, datagram) = self.datagram(stream, context, payload)?;
        let len = datagram.len();
        if transport.send_datagram(datagram) {
            return Ok(());
        }
        // There is no room now, or never for one of this length.
        self.set_datagram_len(transport.max_datagram_len());
        self.check_datagram_len(len, payload.len())
    }

    /// Checks that the transport takes a datagram of this length, with so much payload.
    fn check_datagram_len(&self, len: usize, payload_len: usize) -> Result<(), SendError> {
        match self.datagrams.transport_len.flatten() {
            Some(max) if len > max => Err(SendError::DatagramTooLarge {
                max: max.saturating_sub(len - payload_len),
            }),
            _ => Ok(()),
        }
    }

    /// A datagram for the transport, with the group that it belongs to; its length is not checked.
    fn datagram(
        &mut self,
        stream: StreamId,
        context: u64,
        payload: &[u8],
    ) -> Result<(u64, Bytes), SendError> {
        self.check_open()?;
        // RFC 9297 §2.1.1: only after the setting was sent and received.
        let profile = self
            .datagram_profile()
            .ok_or(SendError::NotOffered("datagrams"))?;
        let exchange = self.exchanges.get(stream).ok_or(SendError::UnknownStream)?;
        if !exchange.takes_datagrams && profile != Profile::Draft00 {
            return Err(SendError::OutOfOrder(
                "the request has no use for datagrams",
            ));
        }
        // RFC 9297 §2.1: not after our side of the stream is over.
        match exchange.send.state() {
            SendState::Head | SendState::Body => {}
            SendState::Aborted(error) => return Err(SendError::Stream(error)),
            _ => return Err(SendError::OutOfOrder("a datagram after the end")),
        }
        self.check_context(profile, stream, context)?;
        let header = header_len(profile, stream, context);
        let block = &mut self.datagrams.block;
        let len = header + payload.len();
        if block.capacity() < len {
            match block.capacity() {
                0 => *block = BytesMut::with_capacity(len.max(BLOCK_BYTES)),
                // What was sent meanwhile is used again.
                _ => block.reserve(len),
            }
        }
        match profile {
            Profile::Rfc9297 => varint::encode(stream.index(), block),
            Profile::Draft01 => {
                varint::encode(stream.index(), block);
                varint::encode(context, block);
            }
            Profile::Draft00 => varint::encode(context, block),
        }
        block.extend_from_slice(payload);
        let datagram = block.split().freeze();
        let group = match profile {
            Profile::Draft00 => context,
            Profile::Rfc9297 | Profile::Draft01 => stream.value(),
        };
        Ok((group, datagram))
    }

    /// The next datagram for a request.
    pub fn receive_datagram(&mut self, stream: StreamId) -> Option<Datagram> {
        self.exchanges
            .get_mut(stream)?
            .datagrams
            .as_mut()?
            .queue
            .pop()
    }

    /// Registers a context of draft-01 for a request, and gives its number.
    ///
    /// # Errors
    /// When the profile has no contexts, or too many were registered.
    pub fn open_context(
        &mut self,
        stream: StreamId,
        extensions: &ExtensionString,
    ) -> Result<u64, SendError> {
        let role = self.role;
        let contexts = self.contexts(stream)?;
        let registered = contexts.register(role, extensions);
        let (context, frame) = registered.ok_or(SendError::OutOfOrder("too many contexts"))?;
        self.queue_capsule(stream, frame);
        Ok(context)
    }

    /// Closes a context of draft-01, whoever registered it.
    ///
    /// # Errors
    /// When it is not open.
    pub fn close_context(
        &mut self,
        stream: StreamId,
        context: u64,
        extensions: &ExtensionString,
    ) -> Result<(), SendError> {
        let closed = self.contexts(stream)?.close(context, extensions);
        let frame = closed.ok_or(SendError::OutOfOrder("a context that is not open"))?;
        self.queue_capsule(stream, frame);
        Ok(())
    }

    /// Sends a datagram of draft-01 reliably, on the request stream.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn send_datagram_on_stream(
        &mut self,
        stream: StreamId,
        context: u64,
        payload: &[u8],
    ) -> Result<(), SendError> {
        if !self.contexts(stream)?.is_open(context) {
            return Err(SendError::OutOfOrder("a context that is not open"));
        }
        let frame = crate::datagram::datagram_capsule(context, payload);
        self.queue_capsule(stream, frame);
        Ok(())
    }

    /// A flow of draft-00 of our own, to be named in a request; `None` when there is no more.
    pub fn allocate_flow(&mut self) -> Option<u64> {
        self.datagrams.flows.allocate(self.role)
    }

    /// Gives a flow back, once the peer is known not to use it any more.
    pub fn retire_flow(&mut self, flow: u64) {
        self.datagrams.flows.retire(self.role, flow);
    }

    /// A datagram arrived.
    pub fn on_datagram(&mut self, datagram: Bytes) {
        let ours = &self.config.datagrams;
        let is_offered = ours.rfc9297 || ours.draft_01 || ours.draft_00;
        if self.closed.is_some() || !is_offered {
            return;
        }
        if self.peer_settings().is_none() {
            return self.keep_early(datagram);
        }
        let Some(profile) = self.datagram_profile() else {
            return;
        };
        if let Err(error) = self.deliver(profile, datagram) {
            self.fail(error, true);
        }
    }

    /// Takes the peer's word on datagrams, and what came before it.
    pub(super) fn on_datagram_settings(
        &mut self,
        settings: &Settings,
    ) -> Result<(), ConnectionError> {
        // draft-01 §5, draft-00 §5: the setting needs the transport parameter.
        if (settings.datagram_01 || settings.datagram_00)
            && self.datagrams.transport_len == Some(None)
        {
            let reason = "the setting of datagrams without the transport parameter";
            return Err(ConnectionError::local(Code::H3_SETTINGS_ERROR, reason));
        }
        Ok(())
    }

    /// Delivers what was kept, as far as that is possible now.
    pub(super) fn deliver_early(&mut self) {
        if self.datagrams.early.is_empty() {
            return;
        }
        for datagram in std::mem::take(&mut self.datagrams.early) {
            self.on_datagram(datagram);
        }
    }

    /// A CAPSULE frame of draft-01.
    pub(super) fn on_draft_capsule(
        &mut self,
        stream: StreamId,
        payload: Bytes,
    ) -> Result<(), Fault> {
        let role = self.role;
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return Ok(());
        };
        exchange.takes_datagrams = true;
        self.datagrams.become_of_use();
        let datagrams = exchange.datagrams.get_or_insert_default();
        match datagrams.contexts.on_capsule(role, payload)? {
            CapsuleOutcome::Ignored => {}
            CapsuleOutcome::Change(change) => exchange.receive.tell(Incoming::Context(change)),
            CapsuleOutcome::Refuse(context) => {
                let refusal = datagrams
                    .contexts
                    .close(context, &ExtensionString::default());
                if let Some(frame) = refusal {
                    self.queue_capsule(stream, frame);
                }
            }
            CapsuleOutcome::Datagram(context, payload) => {
                self.queue_datagram(stream, Datagram { context, payload });
            }
        }
        Ok(())
    }

    fn check_context(
        &self,
        profile: Profile,
        stream: StreamId,
        context: u64,
    ) -> Result<(), SendError> {
        let is_right = match profile {
            Profile::Rfc9297 => context == 0,
            // draft-01 §4.1, §4.2: only between the registration and the end of a context.
            Profile::Draft01 => self.is_context_open(stream, context),
            Profile::Draft00 => self.datagrams.flows.is_of(context, stream),
        };
        if is_right {
            Ok(())
        } else {
            Err(SendError::OutOfOrder("a context that is not open"))
        }
    }

    fn is_context_open(&self, stream: StreamId, context: u64) -> bool {
        let datagrams = self.exchanges.get(stream);
        let datagrams = datagrams.and_then(|exchange| exchange.datagrams.as_ref());
        datagrams.is_some_and(|datagrams| datagrams.contexts.is_open(context))
    }

    fn contexts(&mut self, stream: StreamId) -> Result<&mut Contexts, SendError> {
        self.check_open()?;
        if self.datagram_profile() != Some(Profile::Draft01) {
            return Err(SendError::NotOffered("contexts of datagrams"));
        }
        let exchange = self
            .exchanges
            .get_mut(stream)
            .ok_or(SendError::UnknownStream)?;
        match exchange.send.state() {
            _ if exchange.is_extension => {
                return Err(SendError::OutOfOrder("a stream without frames"));
            }
            SendState::Head | SendState::Body => {}
            SendState::Aborted(error) => return Err(SendError::Stream(error)),
            _ => return Err(SendError::OutOfOrder("a capsule after the end")),
        }
        exchange.takes_datagrams = true;
        self.datagrams.become_of_use();
        Ok(&mut exchange.datagrams.get_or_insert_default().contexts)
    }

    fn queue_capsule(&mut self, stream: StreamId, frame: BytesMut) {
        if let Some(exchange) = self.exchanges.get_mut(stream)
            && matches!(exchange.send.state(), SendState::Head | SendState::Body)
        {
            exchange.send.queue_frame(frame);
            self.schedule(stream);
        }
    }

    fn keep_early(&mut self, datagram: Bytes) {
        let limit = self.config.limits.datagrams.early;
        if limit == 0 {
            return;
        }
        if self.datagrams.early.len() >= limit {
            self.datagrams.early.pop_front();
        }
        self.datagrams.early.push_back(datagram);
    }

    fn deliver(&mut self, profile: Profile, mut datagram: Bytes) -> Result<(), ConnectionError> {
        let broken = |reason| Err(ConnectionError::local(profile.error_code(), reason));
        // RFC 9297 §2.1, draft-01 §3, draft-00 §4: too short for its identifier.
        let Some((identifier, len)) = varint::decode(&datagram) else {
            return broken("a datagram without its identifier");
        };
        let stream = match profile {
            Profile::Draft00 => self.datagrams.flows.request(identifier),
            // RFC 9297 §2.1: a quarter of an identifier has 60 bits at most.
            _ => match StreamId::nth(Role::Client, Direction::Bidirectional, identifier) {
                None => return broken("a datagram for a stream that cannot be"),
                stream => stream,
            },
        };
        let Some(stream) = stream else {
            // draft-00 §6: the header field may still be on its way.
            self.keep_early(datagram);
            return Ok(());
        };
        match self.exchanges.get_mut(stream) {
            None => {
                self.check_reachable(stream)?;
                let opened = &self.peer.bidirectional;
                // RFC 9297 §2.1: kept for a request that is on its way, dropped for one that is
                // over.
                if self.role == Role::Server && !opened.was_opened(stream.index()) {
                    self.keep_early(datagram);
                }
            }
            Some(exchange) if !exchange.is_known => self.keep_early(datagram),
            Some(exchange) if !exchange.receive.is_open() => {}
            Some(exchange) if exchange.takes_datagrams || profile == Profile::Draft00 => {
                datagram.advance(len);
                self.deliver_to(profile, stream, identifier, datagram);
            }
            Some(_) if profile == Profile::Rfc9297 => {
                // RFC 9297 §2: a request without a use for datagrams is ended by this code.
                let reason = "a datagram for a request that has no use for it";
                self.abort(stream, StreamError::local(Code::H3_DATAGRAM_ERROR, reason));
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn deliver_to(
        &mut self,
        profile: Profile,
        stream: StreamId,
        identifier: u64,
        mut payload: Bytes,
    ) {
        let context = match profile {
            Profile::Rfc9297 => 0,
            Profile::Draft00 => identifier,
            Profile::Draft01 => match varint::decode(&payload) {
                Some((context, len)) => {
                    payload.advance(len);
                    context
                }
                None => {
                    // draft-01 §3: too short for its context ends the stream.
                    let reason = "a datagram without its context";
                    let code = Code::H3_GENERAL_PROTOCOL_ERROR;
                    return self.abort(stream, StreamError::local(code, reason));
                }
            },
        };
        // draft-01 §4.1, §4.2: unknown and closed contexts are no error, and nothing is kept.
        if profile == Profile::Draft01 && !self.is_context_open(stream, context) {
            return;
        }
        self.queue_datagram(stream, Datagram { context, payload });
    }

    #[inline]
    fn queue_datagram(&mut self, stream: StreamId, datagram: Datagram) {
        let limit = self.config.limits.datagrams.queued;
        if let Some(exchange) = self.exchanges.get_mut(stream) {
            let datagrams = exchange.datagrams.get_or_insert_default();
            datagrams.queue.push(datagram, limit);
            Self::tell_of_datagrams(&mut self.out, stream, exchange);
        }
    }

    /// Tells the application once that a request that it knows has datagrams.
    pub(super) fn tell_datagrams(&mut self, stream: StreamId) {
        if let Some(exchange) = self.exchanges.get_mut(stream) {
            Self::tell_of_datagrams(&mut self.out, stream, exchange);
        }
    }

    /// The same when the exchange is at hand.
    fn tell_of_datagrams(out: &mut Outbox, stream: StreamId, exchange: &mut Exchange) {
        if let Some(datagrams) = exchange.datagrams.as_mut().filter(|_| exchange.is_known)
            && !datagrams.queue.is_told
            && !datagrams.queue.is_empty()
        {
            datagrams.queue.is_told = true;
            out.events.push_back(Event::Datagram(stream));
        }
    }
}

/// What is allocated for several datagrams, which come in bursts: as much as eleven packets carry.
const BLOCK_BYTES: usize = 16 << 10;

/// How long the header of a datagram is.
fn header_len(profile: Profile, stream: StreamId, context: u64) -> usize {
    match profile {
        Profile::Rfc9297 => varint::encoded_len(stream.index()),
        Profile::Draft01 => varint::encoded_len(stream.index()) + varint::encoded_len(context),
        Profile::Draft00 => varint::encoded_len(context),
    }
}
