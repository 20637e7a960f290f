//! The section that begins a message: a request, or a response.
//!
//! Invariant: what a head that came again leads to is what its section led to before.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode};

use super::{Answer, Context, Receive, ReceiveState, Wait, stream_fault};
use crate::capsule;
use crate::error::{Code, Fault, StreamError};
use crate::exchange::Incoming;
use crate::message::{Expected, RequestHead, ResponseHead, Section};

/// What a section makes that begins a message.
#[derive(Debug, Clone)]
pub(crate) struct DecodedHead {
    pub(crate) kind: Kind,
    /// What it declares of the content.
    declared: Result<Expected, &'static str>,
}

/// Whose head it is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Request(Arc<RequestHead>),
    Response(Arc<ResponseHead>),
}

impl DecodedHead {
    /// Its header fields.
    pub(crate) fn headers(&self) -> &HeaderMap {
        match &self.kind {
            Kind::Request(head) => &head.headers,
            Kind::Response(head) => &head.headers,
        }
    }

    /// A response that declares nothing.
    #[cfg(test)]
    pub(crate) fn response(head: ResponseHead) -> Self {
        Self {
            kind: Kind::Response(Arc::new(head)),
            declared: Ok(Expected::Any),
        }
    }

    fn declared(&self) -> Result<Expected, StreamError> {
        self.declared.map_err(StreamError::malformed)
    }
}

impl Receive {
    /// Takes the section of a HEADERS frame, whose bytes are `encoded` if they are still there.
    pub(super) fn on_headers(
        &mut self,
        section: &mut Section,
        encoded: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        if self.state == ReceiveState::Body {
            let trailers = section.take_trailers().map_err(stream_fault)?;
            self.state = ReceiveState::Trailers;
            self.inbox.push_back(Incoming::Trailers(Box::new(trailers)));
            return Ok(());
        }
        let kind = match self.answer {
            Answer::Request => {
                let cache = context.sections.authority_cache();
                let head = section.take_request(context.extended_connect, cache);
                Kind::Request(Arc::new(head.map_err(stream_fault)?))
            }
            Answer::Response { .. } => {
                let head = section.take_response();
                Kind::Response(Arc::new(head.map_err(stream_fault)?))
            }
            Answer::Extension => {
                debug_assert!(false, "an extension has no messages");
                return Ok(());
            }
        };
        let declared = section.declared();
        let head = DecodedHead { kind, declared };
        context.sections.keep(encoded, &head);
        self.on_head(head, context)
    }

    /// Takes a message that has come as a whole: a head that has come before, and content in one
    /// piece, which begins so far behind in `bytes`. False for all others, and for what is a fault,
    /// which [`Receive::arrive`] takes.
    #[inline]
    pub(crate) fn take_whole(
        &mut self,
        head: &DecodedHead,
        bytes: &mut Bytes,
        content_at: usize,
    ) -> bool {
        let may_begin = self.state == ReceiveState::Head
            && self.blocked.is_none()
            && self.unread.bytes.is_empty()
            && self.inbox.is_empty()
            && self.decoder.is_between_frames();
        let Ok(mut expected) = head.declared else {
            return false;
        };
        let counted = expected.take((bytes.len() - content_at) as u64);
        if !may_begin || counted.and_then(|()| expected.finish()).is_err() {
            return false;
        }
        self.inbox.push_back(match (&head.kind, self.answer) {
            (Kind::Request(head), Answer::Request) if !head.is_connect() => {
                Incoming::Request(Arc::clone(head))
            }
            (Kind::Response(head), answer) if answer.is_plain() && has_content(head.status) => {
                Incoming::Response(Arc::clone(head))
            }
            _ => return false,
        });
        if content_at < bytes.len() {
            bytes.advance(content_at);
            self.keep_content(std::mem::take(bytes));
        }
        self.expected = expected;
        self.unread.fin = true;
        self.wait = Wait::Nothing;
        self.end();
        true
    }

    /// Begins the message.
    pub(super) fn on_head(
        &mut self,
        head: DecodedHead,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        let declared = head.declared();
        match (head.kind, self.answer) {
            (Kind::Request(head), _) => {
                self.state = match head.is_connect() {
                    true => ReceiveState::Tunnel,
                    false => {
                        self.expected = declared?;
                        ReceiveState::Body
                    }
                };
                context.learn_flows(&head.headers)?;
                self.inbox.push_back(Incoming::Request(head));
            }
            (Kind::Response(head), answer) => {
                if head.status.is_informational() {
                    self.interim += 1;
                    if self.interim > context.limits.interim_responses {
                        let reason = "too many interim responses";
                        return Err(StreamError::local(Code::H3_EXCESSIVE_LOAD, reason).into());
                    }
                    self.inbox.push_back(Incoming::Interim(head));
                    return Ok(());
                }
                self.begin_response(&head, declared, answer)?;
                context.learn_flows(&head.headers)?;
                self.inbox.push_back(Incoming::Response(head));
            }
        }
        Ok(())
    }

    /// Begins a final response.
    fn begin_response(
        &mut self,
        head: &ResponseHead,
        declared: Result<Expected, StreamError>,
        answer: Answer,
    ) -> Result<(), StreamError> {
        let (to_head, to_connect) = match answer {
            Answer::Response {
                to_head,
                to_connect,
                ..
            } => (to_head, to_connect),
            Answer::Request | Answer::Extension => (false, false),
        };
        self.state = ReceiveState::Body;
        if to_connect && head.status.is_success() {
            check_capsules(head)?;
            self.state = ReceiveState::Tunnel;
        } else if to_head || has_no_content(head.status) {
            // RFC 9114 §4.1.2: such a response may declare content that does not come.
            declared?;
            self.expected = Expected::Nothing;
        } else {
            self.expected = declared?;
        }
        Ok(())
    }
}

// RFC 9297 §3.2: a message that uses capsules has no content of another kind.
fn check_capsules(head: &ResponseHead) -> Result<(), StreamError> {
    match capsule::is_announced(&head.headers) {
        true => capsule::check_message(&head.headers, Some(head.status)),
        false => Ok(()),
    }
}

/// Whether the content of a final response with this status is what it declares.
fn has_content(status: StatusCode) -> bool {
    !status.is_informational() && !has_no_content(status)
}

/// Whether responses with this status never have content (RFC 9110 §6.4.1).
pub(crate) fn has_no_content(status: StatusCode) -> bool {
    status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}
