//! One security class per race, and when cleartext may follow.
//!
//! Invariant: a candidate of another class than the first protected one never runs, unless the
//! application asked for opportunistic security; then cleartext follows, never runs beside it.

use super::config::RaceConfig;
use super::event::EventKind;
use super::log::Log;
use crate::failure::FailureKind;
use std::collections::BTreeMap;

/// The candidates that take part, by index, with their tier: zero, or one for later cleartext.
pub(super) fn tiers(config: &RaceConfig, log: &mut Log) -> BTreeMap<usize, u8> {
    let mut by_rank: Vec<usize> = (0..config.candidates.len()).collect();
    by_rank.sort_by_key(|index| config.candidates[*index].rank);
    let class_of = |index: usize| &config.candidates[index].security;
    let is_protected = |index: &usize| class_of(*index).is_protected();
    let Some(reference) = by_rank
        .iter()
        .copied()
        .find(is_protected)
        .or(by_rank.first().copied())
    else {
        return BTreeMap::new();
    };
    let reference = class_of(reference);
    let mut tiers = BTreeMap::new();
    for index in by_rank {
        let class = class_of(index);
        if class == reference {
            tiers.insert(index, 0);
        } else if config.may_mix_security && !class.is_protected() {
            tiers.insert(index, 1);
        } else {
            // RFC 9621 §3.3: stacks of unequal security are not equivalent.
            log.event(EventKind::CandidateExcluded {
                stack: config.candidates[index].stack.clone(),
                reason: format!("its security ({class}) is not that of this race ({reference})"),
            });
        }
    }
    tiers
}

/// What a failed protected attempt says about a peer that may only speak cleartext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The peer does not offer protection.
    Permits,
    /// It says nothing about the peer's protection.
    Neutral,
    /// The peer offers protection, and it was not acceptable, or nothing is known.
    Forbids,
}

/// Judges a failure; `was_connected` tells whether the transport below was connected.
pub(super) fn verdict(kind: FailureKind, was_connected: bool) -> Verdict {
    match kind {
        FailureKind::Refused
        | FailureKind::ProtocolViolation
        | FailureKind::AlpnMismatch
        | FailureKind::Reset
        | FailureKind::Closed
        | FailureKind::Unsupported => Verdict::Permits,
        // A peer that connects and then never answers a client hello waits for a line of text.
        FailureKind::TimedOut if was_connected => Verdict::Permits,
        FailureKind::TimedOut
        | FailureKind::Unreachable
        | FailureKind::ResourceExhausted
        | FailureKind::AddressInUse => Verdict::Neutral,
        _ => Verdict::Forbids,
    }
}
