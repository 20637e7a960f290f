//! Contexts of draft-ietf-masque-h3-datagram-01 §2, §4: registered and closed by capsules in
//! CAPSULE frames on the request stream.
//!
//! Invariant: a context is registered once, by the side that its parity names, and closed once.

use std::collections::BTreeMap;
use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::error::{Code, StreamError};
use crate::frame::{FrameType, encode_header};
use crate::message::is_token_char;
use crate::stream::Role;
use crate::varint;

/// The CAPSULE frame of the draft.
pub(crate) const CAPSULE_FRAME: FrameType = FrameType(0xffcab5);

/// How many contexts one request may have had.
const CONTEXTS_MAX: usize = 64;

/// Types of capsules in the draft's own registry.
const REGISTER: u64 = 0x00;
const CLOSE: u64 = 0x01;
const DATAGRAM: u64 = 0x02;

/// What describes a context: comma-separated pairs of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtensionString(String);

impl ExtensionString {
    /// A string of the draft's grammar: `key=value,key=value`, or nothing.
    pub fn new(text: &str) -> Option<Self> {
        let is_pair = |member: &str| {
            member
                .split_once('=')
                .is_some_and(|(key, value)| is_token(key) && is_token(value))
        };
        (text.is_empty() || text.split(',').all(is_pair)).then(|| Self(text.to_owned()))
    }

    /// What a peer sent. A member may lack its value: the draft's own example does.
    fn received(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let is_member = |member: &str| match member.split_once('=') {
            Some((key, value)) => is_token(key) && is_token(value),
            None => is_token(member),
        };
        (text.is_empty() || text.split(',').all(is_member)).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExtensionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_char)
}

/// What the peer did to a context.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContextChange {
    /// It may be used from now on.
    Registered {
        /// Which context.
        context: u64,
        /// What describes it.
        extensions: ExtensionString,
    },
    /// It is over.
    Closed {
        /// Which context.
        context: u64,
        /// What describes the end.
        extensions: ExtensionString,
    },
}

/// What a capsule leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CapsuleOutcome {
    /// The application is to know.
    Change(ContextChange),
    /// The peer is told that a context is not acceptable.
    Refuse(u64),
    /// A datagram that came on the stream.
    Datagram(u64, Bytes),
    /// Nothing.
    Ignored,
}

/// The contexts of one request.
///
/// ```text
/// (unknown) ──REGISTER, sent or received──▶ Open ──CLOSE, sent or received──▶ Closed
/// ```
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    states: BTreeMap<u64, State>,
    allocated: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed,
}

impl Contexts {
    /// Whether datagrams of a context may be sent and are read.
    pub(crate) fn is_open(&self, context: u64) -> bool {
        self.states.get(&context) == Some(&State::Open)
    }

    /// A new context of ours, with the frame that registers it; `None` when there were too many.
    // draft-01 §2.2: clients allocate even numbers, servers odd ones.
    pub(crate) fn register(
        &mut self,
        role: Role,
        extensions: &ExtensionString,
    ) -> Option<(u64, BytesMut)> {
        if self.states.len() >= CONTEXTS_MAX {
            return None;
        }
        let context = self.allocated * 2 + u64::from(role == Role::Server);
        self.allocated += 1;
        self.states.insert(context, State::Open);
        Some((
            context,
            capsule(REGISTER, context, extensions.as_str().as_bytes()),
        ))
    }

    /// The frame that closes a context; `None` when it is not open.
    // draft-01 §4.2: only what was registered is closed, and once.
    pub(crate) fn close(&mut self, context: u64, extensions: &ExtensionString) -> Option<BytesMut> {
        let state = self
            .states
            .get_mut(&context)
            .filter(|state| **state == State::Open)?;
        *state = State::Closed;
        Some(capsule(CLOSE, context, extensions.as_str().as_bytes()))
    }

    /// Takes the payload of a CAPSULE frame.
    ///
    /// # Errors
    /// A stream error for whatever breaks the draft's rules.
    pub(crate) fn on_capsule(
        &mut self,
        role: Role,
        mut payload: Bytes,
    ) -> Result<CapsuleOutcome, StreamError> {
        let Some(ty) = varint::take(&mut payload) else {
            return Err(broken("a capsule without a type"));
        };
        if !matches!(ty, REGISTER | CLOSE | DATAGRAM) {
            // draft-01 §4: unknown types are dropped silently.
            return Ok(CapsuleOutcome::Ignored);
        }
        let Some(context) = varint::take(&mut payload) else {
            return Err(broken("a capsule without its context"));
        };
        match ty {
            REGISTER => self.on_register(role, context, &payload),
            CLOSE => self.on_close(context, &payload),
            _ if self.is_open(context) => Ok(CapsuleOutcome::Datagram(context, payload)),
            // draft-01 §4.1, §4.2: unknown and closed contexts are no error.
            _ => Ok(CapsuleOutcome::Ignored),
        }
    }

    fn on_register(
        &mut self,
        role: Role,
        context: u64,
        extensions: &[u8],
    ) -> Result<CapsuleOutcome, StreamError> {
        let is_peers = (context % 2 == 1) == (role == Role::Client);
        if !is_peers {
            return Err(broken("a context is registered by the wrong side"));
        }
        if self.states.contains_key(&context) {
            return Err(broken("a context is registered twice"));
        }
        if self.states.len() >= CONTEXTS_MAX {
            return Err(broken("too many contexts"));
        }
        self.states.insert(context, State::Open);
        match ExtensionString::received(extensions) {
            Some(extensions) => Ok(CapsuleOutcome::Change(ContextChange::Registered {
                context,
                extensions,
            })),
            // draft-01 §4.2: what cannot be accepted is closed at once.
            None => Ok(CapsuleOutcome::Refuse(context)),
        }
    }

    fn on_close(&mut self, context: u64, extensions: &[u8]) -> Result<CapsuleOutcome, StreamError> {
        match self.states.get_mut(&context) {
            Some(state @ State::Open) => *state = State::Closed,
            Some(State::Closed) => return Err(broken("a context is closed twice")),
            None => return Err(broken("an unknown context is closed")),
        }
        let extensions = ExtensionString::received(extensions).unwrap_or_default();
        Ok(CapsuleOutcome::Change(ContextChange::Closed {
            context,
            extensions,
        }))
    }
}

/// A datagram as a capsule of the draft.
pub(crate) fn datagram_capsule(context: u64, payload: &[u8]) -> BytesMut {
    capsule(DATAGRAM, context, payload)
}

fn capsule(ty: u64, context: u64, rest: &[u8]) -> BytesMut {
    let len = varint::encoded_len(ty) + varint::encoded_len(context) + rest.len();
    let mut out = BytesMut::with_capacity(len + 16);
    encode_header(CAPSULE_FRAME, len, &mut out);
    varint::encode(ty, &mut out);
    varint::encode(context, &mut out);
    out.extend_from_slice(rest);
    out
}

// draft-01 §4.1, §4.2: violations are stream errors of this type.
fn broken(reason: &'static str) -> StreamError {
    StreamError::local(Code::H3_GENERAL_PROTOCOL_ERROR, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The payload of the frame.
    fn payload(frame: BytesMut) -> Bytes {
        let mut frame = frame.freeze();
        assert_eq!(varint::take(&mut frame), Some(0xffcab5));
        let len = varint::take(&mut frame).expect("a length");
        assert_eq!(frame.len() as u64, len);
        frame
    }

    fn text(text: &str) -> ExtensionString {
        ExtensionString::new(text).expect("the grammar")
    }

    #[test]
    fn contexts_are_registered_and_closed_by_either_side() {
        let (mut client, mut server) = (Contexts::default(), Contexts::default());
        let (context, frame) = client.register(Role::Client, &text("a=b")).expect("room");
        assert_eq!(context, 0);
        let change = server.on_capsule(Role::Server, payload(frame));
        let registered = ContextChange::Registered {
            context,
            extensions: text("a=b"),
        };
        assert_eq!(change, Ok(CapsuleOutcome::Change(registered)));
        assert!(server.is_open(0) && client.is_open(0));
        let close = server.close(0, &text("")).expect("open");
        assert!(!server.is_open(0));
        let change = client.on_capsule(Role::Client, payload(close));
        let closed = ContextChange::Closed {
            context,
            extensions: text(""),
        };
        assert_eq!(change, Ok(CapsuleOutcome::Change(closed)));
        assert_eq!(client.close(0, &text("")), None);
        let (odd, _) = server.register(Role::Server, &text("")).expect("room");
        assert_eq!(odd, 1);
        assert_eq!(client.register(Role::Client, &text("")).expect("room").0, 2);
    }

    #[test]
    fn rules_of_registration_and_closing_end_the_stream() {
        let register = |context| payload(capsule(REGISTER, context, b""));
        let close = |context| payload(capsule(CLOSE, context, b""));
        for capsules in [
            vec![register(1)],
            vec![register(0), register(0)],
            vec![register(0), close(0), register(0)],
            vec![close(0)],
            vec![register(0), close(0), close(0)],
            vec![Bytes::from_static(&[0x00])],
            vec![Bytes::from_static(&[0x02])],
            vec![Bytes::new()],
        ] {
            let mut contexts = Contexts::default();
            let last = capsules.len() - 1;
            for (at, capsule) in capsules.into_iter().enumerate() {
                let outcome = contexts.on_capsule(Role::Server, capsule);
                assert_eq!(outcome.is_err(), at == last, "{outcome:?}");
                if let Err(error) = outcome {
                    assert_eq!(error.code, Code::H3_GENERAL_PROTOCOL_ERROR);
                }
            }
        }
    }

    #[test]
    fn unknown_capsules_and_datagrams_of_unknown_contexts_are_dropped() {
        let mut contexts = Contexts::default();
        let unknown = Bytes::from_static(&[0x17, 1, 2]);
        assert_eq!(
            contexts.on_capsule(Role::Server, unknown),
            Ok(CapsuleOutcome::Ignored)
        );
        let early = payload(datagram_capsule(0, b"x"));
        assert_eq!(
            contexts.on_capsule(Role::Server, early.clone()),
            Ok(CapsuleOutcome::Ignored)
        );
        let register = payload(capsule(REGISTER, 0, b""));
        contexts.on_capsule(Role::Server, register).expect("fine");
        let outcome = contexts.on_capsule(Role::Server, early);
        assert_eq!(
            outcome,
            Ok(CapsuleOutcome::Datagram(0, Bytes::from_static(b"x")))
        );
    }

    #[test]
    fn the_grammar_is_strict_in_sending_and_lenient_in_receiving() {
        for right in ["", "a=b", "a=b,c=d"] {
            assert!(ExtensionString::new(right).is_some(), "{right}");
        }
        for wrong in ["timestamp", "a=", "=b", "a=b,", "a=b, c=d", "a=\"b\""] {
            assert!(ExtensionString::new(wrong).is_none(), "{wrong}");
        }
        assert!(ExtensionString::received(b"timestamp").is_some());
        assert!(ExtensionString::received(b"a=b,,").is_none());
    }

    #[test]
    fn an_extension_string_that_cannot_be_is_refused_by_a_close() {
        let mut contexts = Contexts::default();
        let register = payload(capsule(REGISTER, 0, b"a b"));
        let outcome = contexts.on_capsule(Role::Server, register);
        assert_eq!(outcome, Ok(CapsuleOutcome::Refuse(0)));
        assert!(contexts.close(0, &text("")).is_some());
    }

    #[test]
    fn contexts_are_bounded() {
        let mut contexts = Contexts::default();
        for _ in 0..CONTEXTS_MAX {
            assert!(contexts.register(Role::Client, &text("")).is_some());
        }
        assert_eq!(contexts.register(Role::Client, &text("")), None);
        let more = payload(capsule(REGISTER, 1, b""));
        assert!(contexts.on_capsule(Role::Client, more).is_err());
    }
}
