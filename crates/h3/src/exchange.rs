//! One request and its response, or one push: both directions of its stream.
//!
//! Invariant: each direction is a state machine of its own; the exchange is over when both are.

mod receive;
mod send;

pub(crate) use receive::{
    Answer, Context, DecodedHead, FrameOutcome, Receive, Wait, has_no_content,
};
pub use send::SendError;
pub(crate) use send::{Content, Encoded, Head, Message, SendState, Sender};

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, Method};

use crate::connection::RequestDatagrams;
use crate::datagram::ContextChange;
use crate::frame::FrameType;
use crate::message::{RequestHead, ResponseHead};

/// What comes in on a stream, in its order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Incoming {
    /// The header section of a request; the first thing a server gets. The connection may keep it,
    /// too, for when it comes again.
    Request(Arc<RequestHead>),
    /// An interim response; several may precede the final one.
    Interim(Arc<ResponseHead>),
    /// The header section of the final response.
    Response(Arc<ResponseHead>),
    /// Content, in pieces that say nothing about frames, or bytes of an extension's stream. Never
    /// empty.
    Data(Bytes),
    /// The trailer section.
    Trailers(Box<HeaderMap>),
    /// A frame of an extension that the application asked for.
    Extension(FrameType, Bytes),
    /// The peer registered or closed a context of datagrams (draft-01).
    Context(ContextChange),
    /// The message is complete.
    End,
}

/// What a request asks for, as far as its response depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// HEAD: the response has no content.
    Head,
    /// CONNECT: a success opens a tunnel.
    Connect,
    /// Anything else, or nothing that is known.
    Other,
}

impl From<&Method> for Asked {
    fn from(method: &Method) -> Self {
        match *method {
            Method::HEAD => Self::Head,
            Method::CONNECT => Self::Connect,
            _ => Self::Other,
        }
    }
}

/// Both directions of one stream.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) receive: Receive,
    pub(crate) send: Sender,
    /// The priority that the response is scheduled by.
    pub(crate) priority: crate::priority::Priority,
    /// Whether the stream is an extension's.
    pub(crate) is_extension: bool,
    /// Whether the application knows the exchange.
    pub(crate) is_known: bool,
    /// Whether the application was told of news that it has not fetched.
    pub(crate) is_told: bool,
    /// Whether the stream waits in the scheduler.
    pub(crate) is_scheduled: bool,
    /// Whether the transport takes nothing more for now.
    pub(crate) is_blocked: bool,
    /// Since when the transport has taken nothing of what waits.
    pub(crate) stalled_since: Option<Duration>,
    /// Whether the priority came by PRIORITY_UPDATE.
    pub(crate) has_priority_update: bool,
    /// What was asked for, for a server: it says what the response may have.
    pub(crate) asked: Asked,
    /// Whether the meaning of the request includes datagrams.
    pub(crate) takes_datagrams: bool,
    pub(crate) datagrams: Option<Box<RequestDatagrams>>,
    /// The authority of the request, for a client that takes pushes.
    pub(crate) request_authority: Option<Authority>,
}

impl Exchange {
    pub(crate) fn new(receive: Receive, send: Sender) -> Self {
        Self {
            receive,
            send,
            priority: crate::priority::Priority::default(),
            is_extension: false,
            is_known: false,
            is_told: false,
            is_scheduled: false,
            is_blocked: false,
            stalled_since: None,
            has_priority_update: false,
            asked: Asked::Other,
            takes_datagrams: false,
            datagrams: None,
            request_authority: None,
        }
    }

    /// Makes it one that has just begun, for the next stream: all of it is written where it is,
    /// since it is too large to be moved for every request.
    pub(crate) fn renew(&mut self) {
        // Every field by its name, so that none is forgotten.
        let Self {
            receive,
            send,
            priority,
            is_extension,
            is_known,
            is_told,
            is_scheduled,
            is_blocked,
            stalled_since,
            has_priority_update,
            asked,
            takes_datagrams,
            datagrams,
            request_authority,
        } = self;
        receive.renew();
        send.renew();
        *priority = crate::priority::Priority::default();
        *is_extension = false;
        *is_known = false;
        *is_told = false;
        *is_scheduled = false;
        *is_blocked = false;
        *stalled_since = None;
        *has_priority_update = false;
        *asked = Asked::Other;
        *takes_datagrams = false;
        *datagrams = None;
        *request_authority = None;
    }

    /// Whether nothing is left to do or to tell.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.send.is_over() && self.receive.is_over()
    }
}

impl Default for Exchange {
    /// One that has just begun: a request to a server.
    fn default() -> Self {
        Self::new(Receive::new(Answer::Request), Sender::new(SendState::Head))
    }
}
