//! The system's own resolution (getaddrinfo), which knows nsswitch, `/etc/hosts` and `.local`.
//!
//! Invariant: it gives addresses only; other record types are refused with the reason.

use portway_core::Failure;
use portway_core::dns::{Answer, AnswerData, Question, RecordKind};
use portway_core::failure::{FailureKind, Origin};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Resolves `question` on a thread of its own; dropping the future leaves that thread to finish.
pub(super) async fn resolve(question: Question) -> Result<Answer, Failure> {
    let wants_ipv4 = match question.kind {
        RecordKind::A => true,
        RecordKind::Aaaa => false,
        kind => {
            return Err(Failure::new(
                Origin::Dns,
                FailureKind::Unsupported,
                format!("the system's resolution gives addresses only, not {kind:?} records"),
            ));
        }
    };
    let found = tokio::net::lookup_host((question.name.as_str(), 0))
        .await
        .map_err(|error| failure(&question.name, &error))?;
    let addresses: Vec<IpAddr> = found
        .map(|address: SocketAddr| address.ip())
        .filter(|address| address.is_ipv4() == wants_ipv4)
        .collect();
    Ok(Answer {
        data: AnswerData::Addresses(addresses),
        // The system does not tell a time to live; a short one lets its own cache decide.
        ttl: TTL,
    })
}

/// What getaddrinfo says has no errno; its words are all that the standard library passes on.
fn failure(name: &str, error: &std::io::Error) -> Failure {
    let text = error.to_string();
    let kind = if text.contains("not known") || text.contains("No address") {
        FailureKind::NameNotFound
    } else {
        FailureKind::ResolverFailed
    };
    Failure::new(Origin::Dns, kind, format!("resolving {name}: {text}"))
}

const TTL: Duration = Duration::from_secs(5);
