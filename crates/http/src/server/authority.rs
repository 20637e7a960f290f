//! For whom a request is.
//!
//! Invariant: a request that names nobody, or two, or somebody else reaches no service; whom the
//! others name is the same in their target and their Host field.

use super::identities::{lookup, normal};
use http::header::{HOST, HeaderValue};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, StatusCode, Version};
use std::collections::HashSet;
use std::net::IpAddr;

/// The names that a server answers for, at whatever port.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    pub(super) fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Names(names.into_iter().map(|name| host(name.as_ref())).collect())
    }

    fn contains(&self, name: &str) -> bool {
        lookup(&host(name), |name| self.0.get(name)).is_some()
    }
}

/// A host that may have brackets and a port without these, in its one spelling.
fn host(name: &str) -> String {
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let host = match (bracketed, name.rsplit_once(':')) {
        (Some((host, _)), _) => host,
        // Of several colons none is that of a port: it is an address of IPv6.
        (None, Some((host, _))) if !host.contains(':') => host,
        (None, _) => name,
    };
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => normal(host),
    }
}

/// The status that a request is refused with for the name that it has.
pub(super) fn refusal<B>(request: &Request<B>, names: Option<&Names>) -> Option<StatusCode> {
    let (field, another) = hosts(request.headers());
    let version = request.version();
    // RFC 9112 §3.2: a request of HTTP/1.1 has one Host field, and no request has two.
    if another.is_some() || field.is_none() && version == Version::HTTP_11 {
        return Some(StatusCode::BAD_REQUEST);
    }
    let by_field;
    let said = match (request.uri().authority(), field) {
        // RFC 9112 §3.2.2: what a request's target says counts.
        (Some(target), _) if version <= Version::HTTP_11 => Some(target),
        (Some(target), Some(field)) => {
            // RFC 9113 §8.3.1: a Host field that names another one than :authority is malformed.
            let scheme = request.uri().scheme();
            let is_same = parsed(field).is_some_and(|field| is_same(target, &field, scheme));
            is_same.then_some(target)
        }
        (Some(target), None) => Some(target),
        // Without names of its own, a server leaves fields of HTTP/1 to the service.
        (None, Some(_)) if names.is_none() && version <= Version::HTTP_11 => return None,
        (None, Some(field)) => {
            by_field = parsed(field);
            by_field.as_ref()
        }
        // HTTP/1.0 has no names; later versions have one always.
        (None, None) if version <= Version::HTTP_10 => return None,
        (None, None) => None,
    };
    match (said, names) {
        (None, _) => Some(StatusCode::BAD_REQUEST),
        // RFC 9110 §15.5.20: the client may ask again on another connection.
        (Some(said), Some(names)) if !names.contains(said.host()) => {
            Some(StatusCode::MISDIRECTED_REQUEST)
        }
        _ => None,
    }
}

/// The first two Host fields.
fn hosts(fields: &HeaderMap) -> (Option<&HeaderValue>, Option<&HeaderValue>) {
    if fields.len() > FEW_FIELDS {
        let mut hosts = fields.get_all(HOST).iter();
        return (hosts.next(), hosts.next());
    }
    // Hashing the name would cost more than looking at the few that there are.
    let hosts = fields.iter().filter(|(name, _)| **name == HOST);
    let mut hosts = hosts.map(|(_, value)| value);
    (hosts.next(), hosts.next())
}

/// Lets the Host field of a request that is not refused say what its target says.
pub(super) fn settle<B>(request: &mut Request<B>) {
    if request.version() > Version::HTTP_11 {
        return;
    }
    let Some(target) = request.uri().authority() else {
        return;
    };
    // RFC 9112 §3.2.2: the field that came with such a target is ignored.
    let named = without_user(target.as_str());
    let is_said = |field: &HeaderValue| field.as_bytes() == named.as_bytes();
    if request.headers().get(HOST).is_some_and(is_said) {
        return;
    }
    let field = HeaderValue::try_from(named).expect("an authority is visible ASCII");
    request.headers_mut().insert(HOST, field);
}

/// RFC 9110 §7.2: a host and perhaps a port, and no user.
fn parsed(field: &HeaderValue) -> Option<Authority> {
    let parsed = Authority::try_from(field.as_bytes()).ok()?;
    (!parsed.as_str().contains('@')).then_some(parsed)
}

fn is_same(one: &Authority, other: &Authority, scheme: Option<&Scheme>) -> bool {
    let default = match scheme.map(Scheme::as_str) {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    };
    let port = |authority: &Authority| authority.port_u16().or(default);
    host(one.host()) == host(other.host()) && port(one) == port(other)
}

fn without_user(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, rest)| rest)
}

/// Clients other than browsers send no more.
const FEW_FIELDS: usize = 6;
