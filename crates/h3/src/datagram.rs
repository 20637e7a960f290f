//! HTTP datagrams: RFC 9297 and the drafts -01 and -00 before it, behind one interface.
//!
//! Invariant: a datagram reaches only a request that can have datagrams, and what is not fetched is
//! bounded; the oldest is dropped.

mod context;
mod flow;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::error::Code;
use crate::settings::Settings;

pub(crate) use context::{CAPSULE_FRAME, CapsuleOutcome, Contexts, datagram_capsule};
pub use context::{ContextChange, ExtensionString};
pub(crate) use flow::Flows;
pub use flow::{FLOW_HEADER, FLOW_MAX, FlowId};

/// Which document the two sides follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// RFC 9297: a datagram belongs to a request.
    Rfc9297,
    /// draft-ietf-masque-h3-datagram-01: to a context of a request.
    Draft01,
    /// draft-ietf-masque-h3-datagram-00: to a flow, which requests name in a header field.
    Draft00,
}

impl Profile {
    /// What both sides offer, the newest first.
    pub(crate) fn negotiated(ours: &Settings, theirs: &Settings) -> Option<Self> {
        [
            (ours.datagram && theirs.datagram, Self::Rfc9297),
            (ours.datagram_01 && theirs.datagram_01, Self::Draft01),
            (ours.datagram_00 && theirs.datagram_00, Self::Draft00),
        ]
        .into_iter()
        .find_map(|(is_common, profile)| is_common.then_some(profile))
    }

    /// The code for datagrams that break rules.
    pub(crate) const fn error_code(self) -> Code {
        match self {
            Self::Rfc9297 => Code::H3_DATAGRAM_ERROR,
            // The drafts had no code of their own.
            Self::Draft01 | Self::Draft00 => Code::H3_GENERAL_PROTOCOL_ERROR,
        }
    }
}

/// Which profiles are offered; none unless asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Profiles {
    /// RFC 9297.
    pub rfc9297: bool,
    /// draft-01.
    pub draft_01: bool,
    /// draft-00.
    pub draft_00: bool,
}

impl Profiles {
    /// RFC 9297 alone.
    pub const fn rfc9297() -> Self {
        Self {
            rfc9297: true,
            draft_01: false,
            draft_00: false,
        }
    }

    /// Whatever is known.
    pub const fn all() -> Self {
        Self {
            rfc9297: true,
            draft_01: true,
            draft_00: true,
        }
    }
}

/// A datagram for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Datagram {
    /// The context (draft-01) or the flow (draft-00) that it belongs to; 0 otherwise.
    pub context: u64,
    /// The payload, which may be empty.
    pub payload: Bytes,
}

/// The datagrams that wait for the application of a request.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Datagram>,
    /// Whether the application was told.
    pub(crate) is_told: bool,
}

impl Queue {
    /// Adds a datagram; the oldest makes room.
    pub(crate) fn push(&mut self, datagram: Datagram, limit: usize) {
        if limit == 0 {
            return;
        }
        if self.waiting.len() >= limit {
            self.waiting.pop_front();
        }
        self.waiting.push_back(datagram);
    }

    pub(crate) fn pop(&mut self) -> Option<Datagram> {
        let datagram = self.waiting.pop_front();
        if datagram.is_none() {
            self.is_told = false;
        }
        datagram
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(rfc: bool, one: bool, zero: bool) -> Settings {
        Settings {
            datagram: rfc,
            datagram_01: one,
            datagram_00: zero,
            ..Settings::default()
        }
    }

    #[test]
    fn the_newest_profile_of_both_is_used() {
        let all = settings(true, true, true);
        let negotiated = |theirs| Profile::negotiated(&all, &theirs);
        assert_eq!(
            negotiated(settings(true, true, true)),
            Some(Profile::Rfc9297)
        );
        assert_eq!(
            negotiated(settings(false, true, true)),
            Some(Profile::Draft01)
        );
        assert_eq!(
            negotiated(settings(false, false, true)),
            Some(Profile::Draft00)
        );
        assert_eq!(negotiated(settings(false, false, false)), None);
        let mixed =
            Profile::negotiated(&settings(true, false, false), &settings(false, true, true));
        assert_eq!(mixed, None);
    }

    #[test]
    fn the_oldest_datagram_makes_room() {
        let datagram = |context| Datagram {
            context,
            payload: Bytes::new(),
        };
        let mut queue = Queue::default();
        for context in 0..5 {
            queue.push(datagram(context), 3);
        }
        let kept: Vec<u64> = std::iter::from_fn(|| queue.pop())
            .map(|datagram| datagram.context)
            .collect();
        assert_eq!(kept, [2, 3, 4]);
        queue.push(datagram(9), 0);
        assert!(queue.is_empty());
    }
}
