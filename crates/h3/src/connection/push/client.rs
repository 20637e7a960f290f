//! The client's side of push: promises that arrive, and the streams that fulfil them.
//!
//! Invariant: an application sees a push only when its promise is one that a client may accept;
//! a stream without a promise waits within its receive buffer, and not for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Connection;
use super::wrong_id;
use crate::error::{Code, ConnectionError, Fault, StreamError};
use crate::event::{Action, Event};
use crate::exchange::{Answer, Exchange, Receive, SendState, Sender};
use crate::frame;
use crate::message::{RequestHead, Section, SectionFault, push_refusal};
use crate::stream::{Opened, StreamId};

/// The pushes of a client.
#[derive(Debug, Default)]
pub(in crate::connection) struct Promised {
    pushes: BTreeMap<u64, Push>,
    /// Identifiers that a push stream had.
    used: Opened,
    next: u64,
}

/// One push.
///
/// ```text
/// (nothing) ──promise──▶ Promised ──stream──▶ Arriving ──▶ (forgotten)
///     └──stream──▶ Unclaimed ──promise──▶ Arriving
/// any ──cancelled──▶ Cancelled: its stream will be stopped
/// ```
#[derive(Debug)]
enum Push {
    Promised(Box<RequestHead>),
    Unclaimed {
        stream: StreamId,
        until: Duration,
    },
    Arriving {
        stream: StreamId,
        head: Box<RequestHead>,
    },
    Cancelled,
}

impl Promised {
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn next_expiry(&self) -> Option<Duration> {
        let until = self.pushes.values().filter_map(|push| match push {
            Push::Unclaimed { until, .. } => Some(*until),
            _ => None,
        });
        until.min()
    }
}

/// How long a push stream waits for its promise.
const UNCLAIMED: Duration = Duration::from_secs(10);

impl Connection {
    /// Allows `count` pushes more.
    // RFC 9114 §7.2.7: MAX_PUSH_ID, which names the last identifier.
    pub fn allow_pushes(&mut self, count: u64) {
        if count == 0 || self.closed.is_some() || self.role == crate::stream::Role::Server {
            return;
        }
        let max = self
            .pushes
            .max
            .map_or(count - 1, |max| max.saturating_add(count));
        let max = max.min(crate::varint::MAX);
        self.pushes.max = Some(max);
        let mut frame = bytes::BytesMut::new();
        frame::max_push_id::encode(max, &mut frame);
        self.queue_control(frame);
    }

    /// The request that a push answers.
    pub fn promise(&self, push_id: u64) -> Option<&RequestHead> {
        match self.pushes.promised.pushes.get(&push_id)? {
            Push::Promised(head) | Push::Arriving { head, .. } => Some(head),
            Push::Unclaimed { .. } | Push::Cancelled => None,
        }
    }

    /// A promise arrived on a request stream.
    pub(in crate::connection) fn on_promise(
        &mut self,
        stream: StreamId,
        push_id: u64,
        section: Section,
    ) -> Result<(), Fault> {
        let head = section.into_request(false, self.sections.authority_cache());
        let head = head.map_err(|fault| match fault {
            SectionFault::Malformed(reason) => StreamError::malformed(reason),
            SectionFault::TooLarge(_) => StreamError::TOO_LARGE,
        })?;
        self.glitch("promises")?;
        let promised = &mut self.pushes.promised;
        promised.next = promised.next.max(push_id.saturating_add(1));
        match promised.pushes.get(&push_id) {
            Some(Push::Promised(first) | Push::Arriving { head: first, .. }) => {
                // RFC 9114 §7.2.5: the same push is promised with the same fields in the same
                // order.
                if !is_same(first, &head) {
                    let code = Code::H3_GENERAL_PROTOCOL_ERROR;
                    let reason = "a push is promised twice and differently";
                    return Err(ConnectionError::local(code, reason).into());
                }
                self.out
                    .events
                    .push_back(Event::PushPromised { stream, push_id });
                return Ok(());
            }
            Some(Push::Cancelled) => return Ok(()),
            Some(Push::Unclaimed { .. }) => {}
            // RFC 9114 §7.2.5: a promise of what was consumed already is ignored.
            None if promised.used.was_opened(push_id) => return Ok(()),
            None => {}
        }
        let is_authoritative = self
            .exchanges
            .get(stream)
            .is_some_and(|exchange| exchange.request_authority.as_ref() == head.uri.authority());
        // RFC 9114 §4.6: what may not be pushed is cancelled. Another authority than that of the
        // request would need a check of the certificate, which nobody here can do.
        if push_refusal(&head).is_some() || !is_authoritative {
            self.refuse_push(push_id);
            return Ok(());
        }
        self.out
            .events
            .push_back(Event::PushPromised { stream, push_id });
        let head = Box::new(head);
        match self.pushes.promised.pushes.remove(&push_id) {
            Some(Push::Unclaimed { stream, .. }) => {
                self.pushes
                    .promised
                    .pushes
                    .insert(push_id, Push::Arriving { stream, head });
                self.hand_out_push(push_id, stream);
            }
            _ => {
                self.pushes
                    .promised
                    .pushes
                    .insert(push_id, Push::Promised(head));
            }
        }
        Ok(())
    }

    /// A push stream told its identifier.
    pub(in crate::connection) fn on_push_stream(
        &mut self,
        stream: StreamId,
        push_id: u64,
        fin: bool,
    ) -> Result<(), Fault> {
        // RFC 9114 §4.6: within what MAX_PUSH_ID allows; §6.2.2: each identifier once.
        if self.pushes.max.is_none_or(|max| push_id > max) {
            return Err(wrong_id("a push stream above the largest push id").into());
        }
        if !self.pushes.promised.used.open(push_id)? {
            return Err(wrong_id("a push id is used by two streams").into());
        }
        let pushes = &mut self.pushes.promised.pushes;
        let next = match pushes.remove(&push_id) {
            Some(Push::Cancelled) => {
                // RFC 9114 §7.2.3: the stream of a cancelled push is stopped by this code.
                if !fin {
                    self.out
                        .actions
                        .push_back(Action::Stop(stream, Code::H3_REQUEST_CANCELLED));
                }
                return Ok(());
            }
            Some(Push::Promised(head)) => Push::Arriving { stream, head },
            _ => Push::Unclaimed {
                stream,
                until: self.watch.glitches.now() + UNCLAIMED,
            },
        };
        let is_head =
            matches!(&next, Push::Arriving { head, .. } if head.method == http::Method::HEAD);
        let is_claimed = matches!(next, Push::Arriving { .. });
        pushes.insert(push_id, next);
        let answer = Answer::Response {
            to_head: is_head,
            to_connect: false,
            is_pushed: true,
        };
        let exchange = Exchange::new(Receive::new(answer), Sender::new(SendState::Finished));
        self.exchanges.insert(stream, exchange);
        if is_claimed {
            self.hand_out_push(push_id, stream);
        }
        Ok(())
    }

    fn hand_out_push(&mut self, push_id: u64, stream: StreamId) {
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return;
        };
        exchange.is_known = true;
        self.out.events.push_back(Event::Push { push_id, stream });
        Self::notify(&mut self.out, stream, exchange);
    }

    /// The server will not fulfil a promise.
    pub(super) fn on_push_withdrawn(&mut self, push_id: u64) -> Result<(), ConnectionError> {
        if self.pushes.max.is_none_or(|max| push_id > max) {
            return Err(wrong_id("CANCEL_PUSH above the largest push id"));
        }
        let pushes = &mut self.pushes.promised.pushes;
        match pushes.get(&push_id) {
            Some(Push::Promised(_)) => {
                pushes.insert(push_id, Push::Cancelled);
                self.out.events.push_back(Event::PushCancelled(push_id));
            }
            // RFC 9114 §7.2.3: the promise may still be on its way.
            None if !self.pushes.promised.used.was_opened(push_id) => {
                pushes.insert(push_id, Push::Cancelled);
            }
            // A stream that arrived is ended by its own reset.
            _ => {}
        }
        Ok(())
    }

    /// Tells the server that a push is not wanted.
    pub(super) fn refuse_push(&mut self, push_id: u64) {
        let pushes = &mut self.pushes.promised.pushes;
        match pushes.get(&push_id) {
            Some(Push::Arriving { stream, .. } | Push::Unclaimed { stream, .. }) => {
                // RFC 9114 §7.2.3: once the stream is there, stopping it is enough.
                let stream = *stream;
                self.stop(stream, Code::H3_REQUEST_CANCELLED);
                self.pushes.promised.pushes.remove(&push_id);
            }
            Some(Push::Cancelled) => {}
            None if self.pushes.promised.used.was_opened(push_id) => {}
            Some(Push::Promised(_)) | None => {
                pushes.insert(push_id, Push::Cancelled);
                self.send_cancel_push(push_id);
            }
        }
    }

    /// Forgets the push of a stream that is over.
    pub(in crate::connection) fn forget_push_stream(&mut self, over: StreamId) {
        self.pushes.promised.pushes.retain(|_, push| {
            !matches!(push, Push::Arriving { stream, .. } | Push::Unclaimed { stream, .. }
                if *stream == over)
        });
    }

    /// Gives up streams whose promise does not come.
    // RFC 9114 §4.6: reading is aborted if no promise arrives in a reasonable time.
    pub(in crate::connection) fn expire_unclaimed(&mut self) {
        let now = self.watch.glitches.now();
        let expired: Vec<u64> = self
            .pushes
            .promised
            .pushes
            .iter()
            .filter(|(_, push)| matches!(push, Push::Unclaimed { until, .. } if *until <= now))
            .map(|(push_id, _)| *push_id)
            .collect();
        for push_id in expired {
            self.refuse_push(push_id);
        }
    }
}

/// Whether two promised requests have the same fields in the same order.
fn is_same(first: &RequestHead, second: &RequestHead) -> bool {
    first.method == second.method
        && first.uri == second.uri
        && first.headers.iter().eq(second.headers.iter())
}
