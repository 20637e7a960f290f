//! Service records: which are usable, in which order, and what their leaves may be.
//!
//! Invariant: a record that this client does not fully understand never yields a leaf.

use super::config::{Limits, RaceConfig};
use super::event::EventKind;
use super::io::Candidate;
use super::log::Log;
use super::random::Random;
use crate::dns::{RecordKind, ServerRecord, ServiceBinding};
use std::net::IpAddr;

/// A usable ServiceMode or SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    /// The effective TargetName.
    pub(super) target: String,
    pub(super) port: Option<u16>,
    /// SvcPriority; `None` for SRV.
    pub(super) priority: Option<u16>,
    pub(super) ech: Option<Vec<u8>>,
    pub(super) hints: Vec<IpAddr>,
    /// Indexes of the candidates that the record allows.
    pub(super) candidates: Vec<usize>,
}

/// Sorts ServiceMode records by priority and drops those that cannot be used.
pub(super) fn bindings(
    owner: &str,
    kind: RecordKind,
    records: &[ServiceBinding],
    config: &RaceConfig,
    random: &mut Random,
    log: &mut Log,
) -> Vec<Binding> {
    let mut records: Vec<&ServiceBinding> = records.iter().collect();
    // RFC 9460 §2.4.1: equal priorities are shuffled, then the sort keeps them in that order.
    random.shuffle(&mut records);
    records.sort_by_key(|record| record.priority);
    let mut usable = Vec::new();
    for record in records {
        if let Some(reason) = refusal(record, config.uses_ech) {
            ignore(owner, record, reason, log);
            continue;
        }
        let candidates = compatible(record, kind, &config.candidates);
        if candidates.is_empty() {
            // Happy Eyeballs v3 §6.2: not attempted, though its name stays associated with it.
            let reason = "it offers none of our application protocols";
            ignore(owner, record, reason.to_owned(), log);
        }
        usable.push(Binding {
            target: effective_target(owner, &record.target),
            port: record.port,
            priority: Some(record.priority),
            ech: record.ech.clone(),
            hints: hints(record, &config.limits, log),
            candidates,
        });
    }
    let kept = usable.len().min(config.limits.services_per_answer);
    log.limit("services_per_answer", usable.len() - kept);
    usable.truncate(kept);
    usable
}

/// Orders SRV records (RFC 2782): priorities ascending, weights at random within one.
pub(super) fn servers(
    records: &[ServerRecord],
    candidates: Vec<usize>,
    limits: &Limits,
    random: &mut Random,
    log: &mut Log,
) -> Vec<Binding> {
    let mut waiting: Vec<&ServerRecord> = records.iter().collect();
    // Weight zero first within its priority, as the selection wants it; otherwise as answered.
    waiting.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut ordered = Vec::new();
    while let Some(first) = waiting.first() {
        let level = first.priority;
        let peers = waiting.iter().take_while(|record| record.priority == level);
        let sum: u64 = peers.clone().map(|record| u64::from(record.weight)).sum();
        let draw = random.up_to(sum);
        let chosen = peers
            .scan(0, |running, record| {
                *running += u64::from(record.weight);
                Some(*running)
            })
            .position(|running| running >= draw)
            .expect("the last running sum is the sum, which no draw exceeds");
        ordered.push(waiting.remove(chosen));
    }
    let kept = ordered.len().min(limits.services_per_answer);
    log.limit("services_per_answer", ordered.len() - kept);
    ordered
        .into_iter()
        .take(kept)
        .map(|record| Binding {
            target: without_final_dot(&record.target).to_owned(),
            port: Some(record.port),
            priority: None,
            ech: None,
            hints: Vec::new(),
            candidates: candidates.clone(),
        })
        .collect()
}

/// A name as it is compared and asked for: a final dot only marks it as fully qualified.
pub(super) fn without_final_dot(name: &str) -> &str {
    match name.strip_suffix('.') {
        Some("") | None => name,
        Some(rest) => rest,
    }
}

/// RFC 9460 §2.5.2: a ServiceMode record with the target `.` speaks of its owner.
fn effective_target(owner: &str, target: &str) -> String {
    match target {
        "." | "" => owner.to_owned(),
        target => without_final_dot(target).to_owned(),
    }
}

/// Why a record must be ignored, if it must.
fn refusal(record: &ServiceBinding, uses_ech: bool) -> Option<String> {
    for key in &record.mandatory {
        let is_present = match *key {
            // RFC 9460 §8: `mandatory` must not list itself.
            KEY_MANDATORY => return Some("its mandatory keys list themselves".to_owned()),
            KEY_ALPN => !record.alpn.is_empty(),
            KEY_NO_DEFAULT_ALPN => record.no_default_alpn,
            KEY_PORT => record.port.is_some(),
            KEY_IPV4_HINT => !record.ipv4_hints.is_empty(),
            KEY_ECH if !uses_ech => {
                return Some(
                    "it demands an encrypted client hello, which is not in use".to_owned(),
                );
            }
            KEY_ECH => record.ech.is_some(),
            KEY_IPV6_HINT => !record.ipv6_hints.is_empty(),
            key => return Some(format!("its mandatory key {key} is unknown")),
        };
        if !is_present {
            return Some(format!("its mandatory key {key} is absent"));
        }
    }
    // RFC 9460 §7.1.1: without `alpn`, `no-default-alpn` leaves no protocol at all.
    (record.no_default_alpn && record.alpn.is_empty())
        .then(|| "it has no-default-alpn without alpn".to_owned())
}

/// The candidates that the record's ALPN set allows (RFC 9460 §7.1.2).
fn compatible(record: &ServiceBinding, kind: RecordKind, candidates: &[Candidate]) -> Vec<usize> {
    let default = (kind == RecordKind::Https && !record.no_default_alpn).then_some(HTTP_1_1);
    let knows_protocols = default.is_some() || !record.alpn.is_empty();
    let offers = |protocol: &[u8]| {
        default == Some(protocol) || record.alpn.iter().any(|offered| offered == protocol)
    };
    candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| {
            // A SVCB mapping without a default set and a record without `alpn` say nothing; a
            // candidate without ALPN is what answers to the mapping's default.
            !knows_protocols
                || candidate.alpn.iter().any(|protocol| offers(protocol))
                || (candidate.alpn.is_empty() && default.is_some())
        })
        .map(|(index, _)| index)
        .collect()
}

fn hints(record: &ServiceBinding, limits: &Limits, log: &mut Log) -> Vec<IpAddr> {
    let mut hints = Vec::new();
    let most = limits.addresses_per_answer;
    hints.extend(record.ipv6_hints.iter().take(most).copied().map(IpAddr::V6));
    hints.extend(record.ipv4_hints.iter().take(most).copied().map(IpAddr::V4));
    let given = record.ipv6_hints.len() + record.ipv4_hints.len();
    log.limit("addresses_per_answer", given - hints.len());
    hints
}

fn ignore(owner: &str, record: &ServiceBinding, reason: String, log: &mut Log) {
    log.event(EventKind::RecordIgnored {
        owner: owner.to_owned(),
        target: record.target.clone(),
        priority: record.priority,
        reason,
    });
}

const HTTP_1_1: &[u8] = b"http/1.1";
const KEY_MANDATORY: u16 = 0;
const KEY_ALPN: u16 = 1;
const KEY_NO_DEFAULT_ALPN: u16 = 2;
const KEY_PORT: u16 = 3;
const KEY_IPV4_HINT: u16 = 4;
const KEY_ECH: u16 = 5;
const KEY_IPV6_HINT: u16 = 6;
