//! For whom a request is.
//!
//! Invariant: a request that names nobody, or two, or somebody else reaches no service.

use super::identities::{lookup, normal};
use http::header::HOST;
use http::uri::Authority;
use http::{Request, StatusCode, Version};
use std::collections::HashSet;

/// The names that a server answers for.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    pub(super) fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Names(
            names
                .into_iter()
                .map(|name| normal(name.as_ref()))
                .collect(),
        )
    }

    fn contains(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        lookup(host, |name| self.0.get(name)).is_some()
    }
}

/// The status that a request is refused with for the name that it has.
pub(super) fn refusal<B>(request: &Request<B>, names: Option<&Names>) -> Option<StatusCode> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    // RFC 9112 §3.2: a request of HTTP/1.1 has one Host field, and no request has two.
    if another.is_some() || host.is_none() && request.version() == Version::HTTP_11 {
        return Some(StatusCode::BAD_REQUEST);
    }
    let names = names?;
    // RFC 9112 §3.2.2: what a request's target says counts.
    let said = match (request.uri().authority(), host) {
        (Some(authority), _) => Some(authority.clone()),
        (None, Some(host)) => Authority::try_from(host.as_bytes()).ok(),
        // HTTP/1.0 has no names.
        (None, None) => return None,
    };
    match said {
        None => Some(StatusCode::BAD_REQUEST),
        // RFC 9110 §15.5.20: the client may ask again on another connection.
        Some(said) => (!names.contains(said.host())).then_some(StatusCode::MISDIRECTED_REQUEST),
    }
}
