//! The authority of a request, which :authority and Host may carry (RFC 9114 §4.3.1).
//!
//! Invariant: what is returned is not empty, has no user information, and both fields agree.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

/// The one authority that a request names, or `None` when it names none.
pub(super) fn agreed<'a>(
    authority: Option<&'a Bytes>,
    headers: &'a HeaderMap,
) -> Result<Option<&'a [u8]>, &'static str> {
    let authority = authority.map(|authority| &authority[..]);
    if headers.is_empty() {
        return Ok(authority);
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    // RFC 9110 §7.2: a request has one Host field at most.
    if hosts.next().is_some() {
        return Err("several host fields");
    }
    // RFC 9114 §4.3.1: if both are there, they have the same value.
    if let (Some(authority), Some(host)) = (authority, host)
        && authority != host
    {
        return Err("host and :authority differ");
    }
    Ok(authority.or(host))
}

/// Checks the authority of a scheme that needs one.
pub(super) fn check_web(authority: Option<&[u8]>) -> Result<&[u8], &'static str> {
    // RFC 9114 §4.3.1: schemes with a mandatory authority need :authority or Host, not empty.
    let authority = authority.ok_or("neither :authority nor host")?;
    if authority.is_empty() {
        return Err("an empty authority");
    }
    // RFC 9114 §4.3.1: no user information for "http" and "https".
    if authority.contains(&b'@') {
        return Err("user information in the authority");
    }
    Ok(authority)
}

/// Checks the target of a CONNECT: a host and a port that is not 0.
// RFC 9114 §4.4, RFC 9110 §9.3.6: the target is host and port; an empty or invalid port is refused.
pub(super) fn check_connect(authority: &[u8]) -> Result<(), &'static str> {
    let colon = authority.iter().rposition(|byte| *byte == b':');
    let (host, port) = match colon {
        Some(at) => (&authority[..at], &authority[at + 1..]),
        None => return Err("a CONNECT target without a port"),
    };
    let is_bracketed = host.first() == Some(&b'[') && host.last() == Some(&b']');
    if host.is_empty() || (host.contains(&b':') && !is_bracketed) || host.contains(&b'@') {
        return Err("a CONNECT target without a host");
    }
    let port = std::str::from_utf8(port)
        .ok()
        .filter(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    match port.and_then(|port| port.parse::<u16>().ok()) {
        Some(port) if port != 0 => Ok(()),
        _ => Err("a CONNECT target without a port"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_targets_need_host_and_port() {
        for right in ["example.com:443", "[::1]:1", "192.0.2.1:65535"] {
            assert_eq!(check_connect(right.as_bytes()), Ok(()), "{right}");
        }
        let wrong = [
            "",
            ":",
            ":443",
            "example.com",
            "example.com:",
            "example.com:0",
            "example.com:65536",
            "example.com:+1",
            "::1",
            "::1:443",
            "user@example.com:443",
            "[::1]",
            "[::1:1",
            "::1]:1",
        ];
        for wrong in wrong {
            assert!(check_connect(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
