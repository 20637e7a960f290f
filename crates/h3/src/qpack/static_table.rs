//! The static table of RFC 9204 Appendix A, ready-made for both directions.
//!
//! Invariant: an index means the same line for ever; entries of one name need not be neighbours.

use crate::field::{FieldName, FieldValue};
use http::{HeaderName, HeaderValue};

/// How many entries there are.
pub(super) const LENGTH: usize = 99;

/// The entry at `index`.
#[inline]
pub(super) fn get(index: u64) -> Option<&'static (FieldName, FieldValue)> {
    ENTRIES.get(usize::try_from(index).ok()?)
}

static ENTRIES: [(FieldName, FieldValue); LENGTH] = [
    pseudo(FieldName::Authority, ""),
    pseudo(FieldName::Path, "/"),
    header("age", "0"),
    header("content-disposition", ""),
    header("content-length", "0"),
    header("cookie", ""),
    header("date", ""),
    header("etag", ""),
    header("if-modified-since", ""),
    header("if-none-match", ""),
    header("last-modified", ""),
    header("link", ""),
    header("location", ""),
    header("referer", ""),
    header("set-cookie", ""),
    pseudo(FieldName::Method, "CONNECT"),
    pseudo(FieldName::Method, "DELETE"),
    pseudo(FieldName::Method, "GET"),
    pseudo(FieldName::Method, "HEAD"),
    pseudo(FieldName::Method, "OPTIONS"),
    pseudo(FieldName::Method, "POST"),
    pseudo(FieldName::Method, "PUT"),
    pseudo(FieldName::Scheme, "http"),
    pseudo(FieldName::Scheme, "https"),
    pseudo(FieldName::Status, "103"),
    pseudo(FieldName::Status, "200"),
    pseudo(FieldName::Status, "304"),
    pseudo(FieldName::Status, "404"),
    pseudo(FieldName::Status, "503"),
    header("accept", "*/*"),
    header("accept", "application/dns-message"),
    header("accept-encoding", "gzip, deflate, br"),
    header("accept-ranges", "bytes"),
    header("access-control-allow-headers", "cache-control"),
    header("access-control-allow-headers", "content-type"),
    header("access-control-allow-origin", "*"),
    header("cache-control", "max-age=0"),
    header("cache-control", "max-age=2592000"),
    header("cache-control", "max-age=604800"),
    header("cache-control", "no-cache"),
    header("cache-control", "no-store"),
    header("cache-control", "public, max-age=31536000"),
    header("content-encoding", "br"),
    header("content-encoding", "gzip"),
    header("content-type", "application/dns-message"),
    header("content-type", "application/javascript"),
    header("content-type", "application/json"),
    header("content-type", "application/x-www-form-urlencoded"),
    header("content-type", "image/gif"),
    header("content-type", "image/jpeg"),
    header("content-type", "image/png"),
    header("content-type", "text/css"),
    header("content-type", "text/html; charset=utf-8"),
    header("content-type", "text/plain"),
    header("content-type", "text/plain;charset=utf-8"),
    header("range", "bytes=0-"),
    header("strict-transport-security", "max-age=31536000"),
    header(
        "strict-transport-security",
        "max-age=31536000; includesubdomains",
    ),
    header(
        "strict-transport-security",
        "max-age=31536000; includesubdomains; preload",
    ),
    header("vary", "accept-encoding"),
    header("vary", "origin"),
    header("x-content-type-options", "nosniff"),
    header("x-xss-protection", "1; mode=block"),
    pseudo(FieldName::Status, "100"),
    pseudo(FieldName::Status, "204"),
    pseudo(FieldName::Status, "206"),
    pseudo(FieldName::Status, "302"),
    pseudo(FieldName::Status, "400"),
    pseudo(FieldName::Status, "403"),
    pseudo(FieldName::Status, "421"),
    pseudo(FieldName::Status, "425"),
    pseudo(FieldName::Status, "500"),
    header("accept-language", ""),
    header("access-control-allow-credentials", "FALSE"),
    header("access-control-allow-credentials", "TRUE"),
    header("access-control-allow-headers", "*"),
    header("access-control-allow-methods", "get"),
    header("access-control-allow-methods", "get, post, options"),
    header("access-control-allow-methods", "options"),
    header("access-control-expose-headers", "content-length"),
    header("access-control-request-headers", "content-type"),
    header("access-control-request-method", "get"),
    header("access-control-request-method", "post"),
    header("alt-svc", "clear"),
    header("authorization", ""),
    header(
        "content-security-policy",
        "script-src 'none'; object-src 'none'; base-uri 'none'",
    ),
    header("early-data", "1"),
    header("expect-ct", ""),
    header("forwarded", ""),
    header("if-range", ""),
    header("origin", ""),
    header("purpose", "prefetch"),
    header("server", ""),
    header("timing-allow-origin", "*"),
    header("upgrade-insecure-requests", "1"),
    header("user-agent", ""),
    header("x-forwarded-for", ""),
    header("x-frame-options", "deny"),
    header("x-frame-options", "sameorigin"),
];

const fn header(name: &'static str, value: &'static str) -> (FieldName, FieldValue) {
    pseudo(FieldName::Header(HeaderName::from_static(name)), value)
}

const fn pseudo(name: FieldName, value: &'static str) -> (FieldName, FieldValue) {
    (name, FieldValue::Valid(HeaderValue::from_static(value)))
}

#[cfg(test)]
mod tests {
    use super::{LENGTH, get};

    #[test]
    fn the_first_and_last_entries_are_those_of_the_specification() {
        let entry = |index| {
            let (name, value) = get(index).unwrap();
            (name.as_bytes(), value.as_bytes())
        };
        assert_eq!(entry(0), (&b":authority"[..], &b""[..]));
        assert_eq!(entry(1), (&b":path"[..], &b"/"[..]));
        assert_eq!(entry(25), (&b":status"[..], &b"200"[..]));
        let csp = &b"script-src 'none'; object-src 'none'; base-uri 'none'"[..];
        assert_eq!(entry(85), (&b"content-security-policy"[..], csp));
        assert_eq!(entry(98), (&b"x-frame-options"[..], &b"sameorigin"[..]));
    }

    #[test]
    fn there_is_nothing_behind_the_last_entry() {
        assert!(get(LENGTH as u64 - 1).is_some());
        assert!(get(LENGTH as u64).is_none());
        assert!(get(u64::MAX).is_none());
    }
}
