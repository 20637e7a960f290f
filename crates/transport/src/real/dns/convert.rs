//! From hickory's records and errors to ours.
//!
//! Invariant: only records of the asked type that belong to the asked name, or to the end of its
//! alias chain, become part of an answer.

use crate::failure_map::failure_from_io;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::SVCB;
use hickory_resolver::proto::rr::rdata::svcb::{SvcParamKey, SvcParamValue};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use portway_core::Failure;
use portway_core::dns::{Answer, AnswerData, Question, RecordKind, ServerRecord, ServiceBinding};
use portway_core::failure::{Advice, FailureKind, Origin};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

pub(super) fn record_type(kind: RecordKind) -> Option<RecordType> {
    Some(match kind {
        RecordKind::Https => RecordType::HTTPS,
        RecordKind::Svcb => RecordType::SVCB,
        RecordKind::Aaaa => RecordType::AAAA,
        RecordKind::A => RecordType::A,
        RecordKind::Srv => RecordType::SRV,
        _ => return None,
    })
}

/// The answer in `records` to a question of `kind` about `name`.
///
/// # Errors
/// The records are about other names.
pub(super) fn answer(
    records: &[Record],
    name: &Name,
    question: &Question,
    records_max: usize,
) -> Result<Answer, Failure> {
    let (owner, mut ttl) = end_of_chain(records, name, question)?;
    let mut data = empty(question.kind);
    let mut taken = 0;
    for record in records.iter().filter(|record| record.name == owner) {
        if taken < records_max && push(&mut data, &record.data) {
            taken += 1;
            ttl = ttl.min(record.ttl);
        }
    }
    if taken == 0 && !records.is_empty() && owner == *name {
        return Err(failed(question, "the answer is about another name"));
    }
    Ok(Answer {
        data,
        ttl: Duration::from_secs(ttl.into()),
    })
}

/// Follows the aliases from `name` and says where they end, with their smallest time to live.
fn end_of_chain(
    records: &[Record],
    name: &Name,
    question: &Question,
) -> Result<(Name, u32), Failure> {
    let (mut owner, mut ttl) = (name.clone(), u32::MAX);
    for _ in 0..=ALIASES_MAX {
        let alias = records.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == owner => Some((target.0.clone(), record.ttl)),
            _ => None,
        });
        match alias {
            None => return Ok((owner, ttl)),
            Some((target, alias_ttl)) => {
                owner = target;
                ttl = ttl.min(alias_ttl);
            }
        }
    }
    Err(failed(question, "the aliases form a loop or are too many"))
}

/// The answer "no such data".
pub(super) fn empty(kind: RecordKind) -> AnswerData {
    match kind {
        RecordKind::A | RecordKind::Aaaa => AnswerData::Addresses(Vec::new()),
        RecordKind::Srv => AnswerData::Servers(Vec::new()),
        _ => AnswerData::Services(Vec::new()),
    }
}

/// Adds `record` when it is of the kind that `data` holds.
fn push(data: &mut AnswerData, record: &RData) -> bool {
    match (data, record) {
        (AnswerData::Addresses(list), RData::A(address)) => list.push(IpAddr::V4(address.0)),
        (AnswerData::Addresses(list), RData::AAAA(address)) => list.push(IpAddr::V6(address.0)),
        (AnswerData::Services(list), RData::HTTPS(https)) => list.push(service(&https.0)),
        (AnswerData::Services(list), RData::SVCB(svcb)) => list.push(service(svcb)),
        (AnswerData::Servers(list), RData::SRV(server)) => list.push(ServerRecord {
            priority: server.priority,
            weight: server.weight,
            port: server.port,
            target: text(&server.target),
        }),
        _ => return false,
    }
    true
}

fn service(record: &SVCB) -> ServiceBinding {
    let mut service = ServiceBinding {
        priority: record.svc_priority,
        target: text(&record.target_name),
        ..ServiceBinding::default()
    };
    for (key, value) in &record.svc_params {
        match value {
            SvcParamValue::Mandatory(keys) => {
                service.mandatory = keys.0.iter().map(|key| u16::from(*key)).collect();
            }
            SvcParamValue::Alpn(names) => {
                service.alpn = names
                    .0
                    .iter()
                    .map(|name| name.clone().into_bytes())
                    .collect();
            }
            SvcParamValue::NoDefaultAlpn => service.no_default_alpn = true,
            SvcParamValue::Port(port) => service.port = Some(*port),
            SvcParamValue::Ipv4Hint(hints) => {
                service.ipv4_hints = hints.0.iter().map(|hint| hint.0).collect::<Vec<Ipv4Addr>>();
            }
            SvcParamValue::Ipv6Hint(hints) => {
                service.ipv6_hints = hints.0.iter().map(|hint| hint.0).collect::<Vec<Ipv6Addr>>();
            }
            SvcParamValue::EchConfigList(list) => service.ech = Some(list.0.clone()),
            SvcParamValue::Unknown(_) => service.unknown_keys.push(key_number(*key)),
        }
    }
    service
}

fn key_number(key: SvcParamKey) -> u16 {
    u16::from(key)
}

/// A name without its final dot; the root stays `.`.
fn text(name: &Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some("") | None => text,
        Some(name) => name.to_owned(),
    }
}

/// What an error of the resolver means: absence is an answer, anything else is a failure.
pub(super) fn outcome(error: &NetError, question: &Question) -> Result<Answer, Failure> {
    let (code, ttl) = match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords {
            response_code,
            negative_ttl,
            ..
        })) => (*response_code, negative_ttl.unwrap_or(0)),
        NetError::Dns(DnsError::ResponseCode(code)) => (*code, 0),
        NetError::Timeout => return Err(timed_out(question)),
        NetError::Io(error) => return Err(from_io(error, question)),
        NetError::Busy => {
            let detail = detail(question, "too many questions at once");
            return Err(Failure::new(
                Origin::Dns,
                FailureKind::ResourceExhausted,
                detail,
            ));
        }
        other => return Err(failed(question, &other.to_string())),
    };
    let number = i64::from(u16::from(code));
    match code {
        ResponseCode::NoError => Ok(Answer {
            data: empty(question.kind),
            ttl: Duration::from_secs(ttl.into()),
        }),
        ResponseCode::NXDomain => Err(Failure::new(
            Origin::Dns,
            FailureKind::NameNotFound,
            detail(question, "no such name"),
        )
        .with_code(number)),
        code => Err(failed(question, &code.to_string().to_lowercase()).with_code(number)),
    }
}

/// The name at which a search ended without data and without the record (SOA) that a server adds
/// to vouch for it.
pub(super) fn end_without_proof(error: &NetError) -> Option<Name> {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(found))
            if found.response_code == ResponseCode::NoError && found.soa.is_none() =>
        {
            Some(found.query.name().clone())
        }
        _ => None,
    }
}

fn from_io(error: &std::io::Error, question: &Question) -> Failure {
    if error.kind() == std::io::ErrorKind::TimedOut {
        return timed_out(question);
    }
    let mut failure = failure_from_io(error, &detail(question, "asking the resolver"));
    if failure.kind != FailureKind::Unreachable {
        failure.advice = Advice::BackOff;
    }
    failure.kind = FailureKind::ResolverFailed;
    failure
}

pub(super) fn timed_out(question: &Question) -> Failure {
    Failure::new(
        Origin::Dns,
        FailureKind::TimedOut,
        detail(question, "the resolver did not answer in time"),
    )
    .with_advice(Advice::BackOff)
}

pub(super) fn failed(question: &Question, reason: &str) -> Failure {
    Failure::new(
        Origin::Dns,
        FailureKind::ResolverFailed,
        detail(question, reason),
    )
}

fn detail(question: &Question, reason: &str) -> String {
    format!(
        "resolving {} ({:?}): {reason}",
        question.name, question.kind
    )
}

/// As many aliases as hickory follows.
const ALIASES_MAX: usize = 8;
