//! The peer's control stream: SETTINGS first, then frames that concern the whole connection.
//!
//! Invariant: nothing is obeyed before SETTINGS, and no frame larger than the limit is held.

use bytes::{Bytes, BytesMut};

use super::critical::Purpose;
use super::{Config, Connection};
use crate::datagram::Profile;
use crate::error::{Code, ConnectionError};
use crate::event::{Action, Event};
use crate::exchange::SendError;
use crate::frame::priority_update::Element;
use crate::frame::{self, Decoded, Decoder, FrameType, Treatment};
use crate::priority::Priority;
use crate::settings::Settings;
use crate::stream::{Role, StreamId};

/// What we know from the peer's control stream.
#[derive(Debug)]
pub(super) struct Control {
    decoder: Decoder,
    /// The peer's settings: remembered ones until they arrive.
    settings: Option<Settings>,
    remembered: Option<Box<Settings>>,
    has_settings: bool,
    profile: Option<Profile>,
    /// The origins that a server told of.
    pub(super) origins: Option<Vec<String>>,
}

impl Control {
    pub(super) fn new(role: Role, config: &Config) -> Self {
        let known: Vec<u64> = config
            .extension_settings
            .iter()
            .map(|(id, _)| *id)
            .collect();
        // RFC 9114 §7.2.4.2: a client keeps to what it remembers; a server starts with defaults.
        let remembered = config
            .remembered
            .as_deref()
            .filter(|_| role == Role::Client)
            .and_then(|blob| Settings::from_remembered(blob, config.version, &known))
            .map(Box::new);
        Self {
            decoder: Decoder::default(),
            settings: None,
            remembered,
            has_settings: false,
            profile: None,
            origins: None,
        }
    }

    pub(super) fn peer_settings(&self) -> Option<&Settings> {
        self.settings.as_ref()
    }

    /// What both sides said about datagrams.
    pub(super) fn datagram_profile(&self) -> Option<Profile> {
        self.profile
    }

    /// What may be expected of the peer now: its settings, remembered ones, or none.
    pub(super) fn effective_settings(&self) -> Option<&Settings> {
        self.settings.as_ref().or(self.remembered.as_deref())
    }
}

impl Connection {
    /// Takes bytes of the peer's control stream.
    pub(super) fn on_control_data(&mut self, mut bytes: Bytes) -> Result<(), ConnectionError> {
        loop {
            let role = self.role;
            let has_settings = self.control.has_settings;
            let limit = self.config.limits.control_frame_bytes;
            let decoded = self.control.decoder.decode(&mut bytes, |ty, len| {
                // RFC 9114 §6.2.1: whatever comes before SETTINGS is H3_MISSING_SETTINGS.
                if !has_settings && ty != FrameType::SETTINGS {
                    return Err(ConnectionError::local(
                        Code::H3_MISSING_SETTINGS,
                        "the control stream does not start with SETTINGS",
                    ));
                }
                treat(role, has_settings, limit, ty, len)
            })?;
            match decoded {
                None => return Ok(()),
                Some(Decoded::Whole { ty, payload }) => self.on_control_frame(ty, payload)?,
                Some(Decoded::Skipped { .. }) => self.glitch("unknown frames")?,
                Some(Decoded::Piece { .. }) => debug_assert!(false, "nothing is streamed here"),
            }
        }
    }

    fn on_control_frame(&mut self, ty: FrameType, payload: Bytes) -> Result<(), ConnectionError> {
        match ty {
            FrameType::SETTINGS => self.on_settings(&payload),
            FrameType::GOAWAY => self.on_goaway(frame::goaway::decode(&payload)?),
            FrameType::MAX_PUSH_ID => self.on_max_push_id(frame::max_push_id::decode(&payload)?),
            FrameType::CANCEL_PUSH => self.on_cancel_push(frame::cancel_push::decode(&payload)?),
            FrameType::PRIORITY_UPDATE_REQUEST => {
                let (identifier, value) = frame::priority_update::decode(payload)?;
                self.on_priority_update(identifier, &value)
            }
            FrameType::PRIORITY_UPDATE_PUSH => {
                let (identifier, value) = frame::priority_update::decode(payload)?;
                self.on_push_priority_update(identifier, &value)
            }
            FrameType::ORIGIN => self.on_origin(&payload),
            _ => Ok(()),
        }
    }

    fn on_settings(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        let known: Vec<u64> = self
            .config
            .extension_settings
            .iter()
            .map(|(id, _)| *id)
            .collect();
        let settings = Settings::decode(payload, self.config.version, &known)?;
        if let Some(remembered) = self.control.remembered.take()
            && self.shutdown.early_data_was_accepted()
        {
            settings.check_against_remembered(&remembered)?;
        }
        self.sections
            .on_settings(settings.qpack_table_bytes, settings.qpack_blocked_streams)?;
        if self.role == Role::Client {
            self.out
                .actions
                .push_back(Action::Remember(settings.to_remember()));
        }
        self.on_datagram_settings(&settings)?;
        let ours = self.config.settings(self.role);
        self.control.profile = Profile::negotiated(&ours, &settings);
        self.control.has_settings = true;
        self.control.settings = Some(settings);
        self.out.events.push_back(Event::Settings);
        self.deliver_early();
        Ok(())
    }

    // RFC 9218 §7.2: the request must be one that the client may send; the latest word counts,
    // also if it comes before the request.
    fn on_priority_update(&mut self, identifier: u64, value: &[u8]) -> Result<(), ConnectionError> {
        self.glitch("priority updates")?;
        let stream = StreamId::new(identifier).filter(|stream| stream.is_request());
        let Some(stream) = stream else {
            let reason = "a priority update for a stream that is no request";
            return Err(ConnectionError::local(Code::H3_ID_ERROR, reason));
        };
        // A text that cannot be parsed asks for nothing (the specification leaves this to us).
        let priority = Priority::parse(value).unwrap_or_default();
        if self.exchanges.contains(stream) {
            self.set_priority(stream, priority);
        } else if stream.index() >= self.peer.bidirectional.next() {
            self.check_reachable(stream)?;
            self.peer
                .keep_early_priority(stream, priority, self.config.limits.requests)?;
        }
        Ok(())
    }

    /// Asks the server to send the response to a request by another priority. Where the text has
    /// no room for what else the application wants to say, the header field does.
    ///
    /// # Errors
    /// Nothing was sent.
    // RFC 9218 §7.2: clients send the frame, for requests that they sent.
    pub fn send_priority(&mut self, stream: StreamId, priority: Priority) -> Result<(), SendError> {
        let exchange = self.exchanges.get(stream);
        let is_request = stream.is_request() && exchange.is_some_and(|one| !one.is_extension);
        self.queue_priority(is_request, Element::Request(stream.value()), priority)
    }

    /// Asks the server to send a push that it promised by another priority.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn send_push_priority(
        &mut self,
        push_id: u64,
        priority: Priority,
    ) -> Result<(), SendError> {
        let is_promised = self.promise(push_id).is_some();
        self.queue_priority(is_promised, Element::Push(push_id), priority)
    }

    fn queue_priority(
        &mut self,
        is_known: bool,
        element: Element,
        priority: Priority,
    ) -> Result<(), SendError> {
        self.check_open()?;
        if self.role != Role::Client {
            return Err(SendError::OutOfOrder("a server updates no priorities"));
        }
        if !is_known {
            return Err(SendError::UnknownStream);
        }
        let mut frame = BytesMut::new();
        let text = priority.to_string();
        frame::priority_update::encode(element, text.as_bytes(), &mut frame);
        let limit = self.config.limits.control_send_bytes;
        if frame.len() > self.local.room(Purpose::Control, limit) {
            return Err(SendError::WouldBlock);
        }
        self.queue_control(frame);
        Ok(())
    }

    /// Refuses what names a request that the transport does not let the client open yet.
    // RFC 9297 §2.1, RFC 9218 §7.2: beyond the stream limit is H3_ID_ERROR.
    pub(super) fn check_reachable(&self, stream: StreamId) -> Result<(), ConnectionError> {
        let end = self
            .peer
            .open_max
            .map(|max| self.peer.bidirectional.next().saturating_add(max));
        if self.role == Role::Server && end.is_some_and(|end| stream.index() >= end) {
            let reason = "a stream beyond the stream limit";
            return Err(ConnectionError::local(Code::H3_ID_ERROR, reason));
        }
        Ok(())
    }

    /// The transport says how many bidirectional streams the peer may have open at a time, so that
    /// what names one that cannot be is found.
    pub fn set_peer_streams_max(&mut self, max: Option<u64>) {
        self.peer.open_max = max;
    }

    /// Schedules a response by another priority than the client asked for; a server's word.
    ///
    /// # Errors
    /// There is no such stream.
    // RFC 9218 §10: the server decides in the end.
    pub fn override_priority(
        &mut self,
        stream: StreamId,
        priority: Priority,
    ) -> Result<(), SendError> {
        self.check_open()?;
        if self.role == Role::Client || !self.exchanges.contains(stream) {
            return Err(SendError::UnknownStream);
        }
        self.set_priority(stream, priority);
        Ok(())
    }

    /// The priority that a stream is scheduled by now.
    pub fn priority(&self, stream: StreamId) -> Option<Priority> {
        Some(self.exchanges.get(stream)?.priority)
    }

    /// Schedules a stream by another priority.
    pub(super) fn set_priority(&mut self, stream: StreamId, priority: Priority) {
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return;
        };
        if exchange.priority == priority {
            return;
        }
        if exchange.is_scheduled {
            self.out.scheduler.remove(stream, exchange.priority);
            self.out.scheduler.add(stream, priority);
        }
        exchange.priority = priority;
        self.out
            .actions
            .push_back(Action::Prioritize(stream, priority.for_transport()));
    }
}

// RFC 9114 §7.2: which frames a control stream may have, by the role of the receiver.
fn treat(
    role: Role,
    has_settings: bool,
    limit: usize,
    ty: FrameType,
    len: u64,
) -> Result<Treatment, ConnectionError> {
    let unexpected = |reason| Err(ConnectionError::local(Code::H3_FRAME_UNEXPECTED, reason));
    match (ty, role) {
        (FrameType::SETTINGS, _) if has_settings => return unexpected("SETTINGS twice"),
        (FrameType::DATA | FrameType::HEADERS | FrameType::PUSH_PROMISE, _) => {
            return unexpected("a frame of a request on the control stream");
        }
        (FrameType::MAX_PUSH_ID, Role::Client) => return unexpected("MAX_PUSH_ID from a server"),
        (FrameType::PRIORITY_UPDATE_REQUEST | FrameType::PRIORITY_UPDATE_PUSH, Role::Client) => {
            return unexpected("PRIORITY_UPDATE from a server");
        }
        _ if ty.is_http2_only() => return unexpected("a frame of HTTP/2"),
        (
            FrameType::SETTINGS
            | FrameType::PRIORITY_UPDATE_REQUEST
            | FrameType::PRIORITY_UPDATE_PUSH,
            _,
        ) => {}
        (FrameType::GOAWAY | FrameType::MAX_PUSH_ID | FrameType::CANCEL_PUSH, _) => {
            // RFC 9114 §7.1: longer than any identifier cannot have the right layout.
            if len > crate::varint::LEN_MAX as u64 {
                let reason = "a payload that is not one identifier";
                return Err(ConnectionError::local(Code::H3_FRAME_ERROR, reason));
            }
        }
        // RFC 8336 §2: servers ignore the frame; so does a client if it is larger than we keep.
        (FrameType::ORIGIN, Role::Client) if len <= limit as u64 => {}
        _ => return Ok(Treatment::Skip),
    }
    if len > limit as u64 {
        let reason = "a control frame above the size limit";
        return Err(ConnectionError::local(Code::H3_EXCESSIVE_LOAD, reason));
    }
    Ok(Treatment::Collect)
}
