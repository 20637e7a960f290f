//! Which stacks are eligible, and in which order.

use super::score::{Score, ranks};
use super::{Action, PlanRequest, Reason, Side};
use crate::property::{Multipath, Preference, Property, SelectionProperty};
use crate::race::Candidate;
use crate::security::{SecurityClass, SecurityParameters, TlsParameters};
use crate::stack::{CarrierKind, Offer, Provision, StackDescriptor, StackId};
use serde::Serialize;
use std::borrow::Cow;

/// What was decided of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StackVerdict {
    /// The stack.
    pub stack: StackId,
    /// Its place; equal places are tried together, a lower one first. `None` for a stack that is
    /// out.
    pub rank: Option<u32>,
    /// Why it is out; empty for an eligible stack.
    pub exclusions: Vec<Reason>,
    /// The preferred and avoided properties.
    pub wishes: Vec<Wish>,
}

impl StackVerdict {
    /// Whether the stack may be used.
    pub fn is_eligible(&self) -> bool {
        self.exclusions.is_empty()
    }
}

/// A property that is preferred or avoided, and what the stack makes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Wish {
    /// The property.
    pub property: Property,
    /// [`Preference::Prefer`] or [`Preference::Avoid`].
    pub level: Preference,
    /// Whether the application said so; otherwise it is a default.
    pub is_explicit: bool,
    /// Whether the stack fulfils it.
    pub is_met: bool,
    /// Why it is so.
    pub why: Cow<'static, str>,
}

/// Judges every stack of the request.
pub(super) fn judge(request: &PlanRequest) -> Vec<StackVerdict> {
    let levels: Vec<_> = levels(request).collect();
    let mut verdicts: Vec<StackVerdict> = request
        .stacks
        .iter()
        .map(|stack| verdict(request, stack, &levels))
        .collect();
    let keys = request
        .stacks
        .iter()
        .zip(&verdicts)
        .map(|(stack, verdict)| {
            // Opportunistic security: protection is the first wish (RFC 9622 §6.3).
            verdict
                .is_eligible()
                .then(|| (!stack.is_protected(), score(&verdict.wishes)))
        });
    let ranks = ranks(keys);
    for (verdict, rank) in verdicts.iter_mut().zip(ranks) {
        verdict.rank = rank;
    }
    verdicts
}

/// The eligible stacks as the race wants them, in the order of their ranks.
pub(super) fn candidates(request: &PlanRequest, verdicts: &[StackVerdict]) -> Vec<Candidate> {
    let peer_name = peer_name(request);
    let protected = match request.action {
        Action::Listen => SecurityClass::of_server(&request.security),
        Action::Initiate | Action::Rendezvous => {
            SecurityClass::of(&request.security, peer_name.as_deref())
        }
    };
    let mut candidates: Vec<Candidate> = request
        .stacks
        .iter()
        .zip(verdicts)
        .filter_map(|(stack, verdict)| {
            let is_protected = stack.is_protected();
            let tls = request.security.tls_parameters().filter(|_| is_protected);
            Some(Candidate {
                stack: stack.id.clone(),
                wire: stack.wire,
                rank: verdict.rank?,
                security: if is_protected {
                    protected.clone()
                } else {
                    SecurityClass::Cleartext
                },
                alpn: tls.map(|tls| stack.carried(&tls.alpn)).unwrap_or_default(),
                needs_offer: false,
            })
        })
        .collect();
    // Stable: equals stay in the order of the request.
    candidates.sort_by_key(|candidate| candidate.rank);
    candidates
}

/// Judges one stack by what is asked for, the same for all of them.
fn verdict(
    request: &PlanRequest,
    stack: &StackDescriptor,
    levels: &[(SelectionProperty, Preference)],
) -> StackVerdict {
    let mut exclusions = Vec::new();
    exclusions.extend(security_exclusion(request, stack));
    exclusions.extend(endpoint_exclusions(request, stack));
    if !stack.rejects_duplicates && !request.all_messages_are_replayable() {
        exclusions.push(Reason::NotReplayable);
    }
    let mut wishes = Vec::new();
    for &(property, level) in levels {
        let offer = offer(request, stack, property);
        let why = offer.reason;
        let is_met = match level {
            Preference::Prefer => offer.provision != Provision::Never,
            Preference::Avoid => offer.provision != Provision::Always,
            level => {
                if !offer.provision.allows(level) {
                    exclusions.push(match level {
                        Preference::Require => Reason::Required { property, why },
                        _ => Reason::Prohibited { property, why },
                    });
                }
                continue;
            }
        };
        wishes.push(Wish {
            property: property.property(),
            level,
            is_explicit: request.properties.is_explicit(property),
            is_met,
            why,
        });
    }
    wishes.extend(multipath_wish(request, stack));
    StackVerdict {
        stack: stack.id.clone(),
        rank: None,
        exclusions,
        wishes,
    }
}

fn security_exclusion(request: &PlanRequest, stack: &StackDescriptor) -> Option<Reason> {
    match (&request.security, stack.is_protected()) {
        // RFC 9622 §6.3: disabled security is not added on the quiet.
        (SecurityParameters::Disabled, true) => Some(Reason::ProtectionDisabled),
        (SecurityParameters::Required(_), false) => Some(Reason::NoProtection),
        (SecurityParameters::Disabled | SecurityParameters::Opportunistic(_), false) => None,
        (SecurityParameters::Required(tls) | SecurityParameters::Opportunistic(tls), true) => {
            tls_exclusion(request.action, tls, stack)
        }
    }
}

fn tls_exclusion(action: Action, tls: &TlsParameters, stack: &StackDescriptor) -> Option<Reason> {
    let bounds = tls.min_version..=tls.max_version;
    if !stack.tls_versions.iter().any(|v| bounds.contains(v)) {
        return Some(Reason::TlsVersion {
            min: tls.min_version,
            max: tls.max_version,
        });
    }
    // RFC 9622 §6.3: the choice of algorithms may rule protocols out.
    if !tls
        .usable_versions()
        .any(|v| stack.tls_versions.contains(&v))
    {
        return Some(Reason::TlsAlgorithms);
    }
    if tls.alpn.is_empty() && stack.needs_application_protocol() {
        return Some(Reason::NoApplicationProtocol);
    }
    if !tls.alpn.is_empty() && stack.carried(&tls.alpn).is_empty() {
        return Some(Reason::ApplicationProtocols);
    }
    let is_nameless = tls.identity.is_none() && tls.challenge_callback.is_none();
    (action == Action::Listen && is_nameless).then_some(Reason::NoIdentity)
}

fn endpoint_exclusions(
    request: &PlanRequest,
    stack: &StackDescriptor,
) -> impl Iterator<Item = Reason> {
    let locals = &request.locals;
    let remotes = &request.remotes;
    let is_local_out = !locals.is_empty() && !locals.iter().any(|local| local.serves(&stack.id));
    let is_remote_out = !remotes.is_empty()
        && !remotes.iter().any(|remote| {
            // RFC 2782: an SRV name says itself over which transport the service is offered.
            let is_wire = remote.srv_wire().is_none_or(|wire| wire == stack.wire);
            is_wire && remote.serves(&stack.id)
        });
    let local = is_local_out.then_some(Reason::NoEndpoint { side: Side::Local });
    let remote = is_remote_out.then_some(Reason::NoEndpoint { side: Side::Remote });
    local.into_iter().chain(remote)
}

/// RFC 9622 §6.2.14: any value but Disabled is a preference for stacks with several paths.
fn multipath_wish(request: &PlanRequest, stack: &StackDescriptor) -> Option<Wish> {
    let is_wanted = request.properties.multipath(request.action) != Multipath::Disabled;
    is_wanted.then(|| Wish {
        property: Property::Multipath,
        level: Preference::Prefer,
        is_explicit: request.properties.is_explicit(Property::Multipath),
        is_met: stack.has_multipath,
        why: Cow::Borrowed(match stack.has_multipath {
            true => "it can use several paths",
            false => "it uses a single path",
        }),
    })
}

fn score(wishes: &[Wish]) -> Score {
    let mut score = Score::default();
    for wish in wishes.iter().filter(|wish| !wish.is_met) {
        match wish.level {
            Preference::Prefer => score.miss(wish.is_explicit),
            _ => score.suffer(wish.is_explicit),
        }
    }
    score
}

/// The properties that choose protocols for this action, as far as anything is asked of them.
fn levels(request: &PlanRequest) -> impl Iterator<Item = (SelectionProperty, Preference)> {
    let action = request.action;
    let judged = SelectionProperty::ALL
        .iter()
        .copied()
        .filter(move |property| {
            // RFC 9622 §6.2.18: a rendezvous has no active side, so the property is ignored.
            let is_ignored = action == Action::Rendezvous
                && *property == SelectionProperty::ActiveReadBeforeSend;
            !property.is_about_paths() && !is_ignored
        });
    judged
        .map(move |property| (property, request.properties.preference(property, action)))
        .filter(|(_, level)| *level != Preference::NoPreference)
}

/// What the stack offers together with the application's framer.
fn offer(request: &PlanRequest, stack: &StackDescriptor, property: SelectionProperty) -> Offer {
    let offer = stack.offer(property);
    let is_framed = request.has_framer
        && property == SelectionProperty::PreserveMsgBoundaries
        && offer.provision == Provision::Never;
    if is_framed && stack.carrier != CarrierKind::Datagrams {
        return Offer {
            property,
            provision: Provision::Optional,
            reason: Cow::Borrowed("the framer keeps message boundaries"),
        };
    }
    offer
}

/// What the peers must prove: their host names, or addresses where there is no name.
fn peer_name(request: &PlanRequest) -> Option<String> {
    let mut names: Vec<String> = Vec::new();
    for remote in &request.remotes {
        let name = match (remote.host(), remote.ip_address()) {
            (Some(host), _) => host.trim_end_matches('.').to_ascii_lowercase(),
            (None, Some(address)) => address.to_string(),
            (None, None) => continue,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| names.join(" or "))
}
