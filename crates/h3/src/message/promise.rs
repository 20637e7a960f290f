//! Promised requests (RFC 9114 §4.6): what a server may push.
//!
//! Invariant: a promise that is not refused here is safe, cacheable, without content and names the
//! authority that must be checked.

use http::Method;

use super::{Expected, RequestHead};

/// Why a promised request cannot be accepted, or `None` when it can, as far as the request itself
/// tells; whether the server speaks for its authority is the caller's to check.
// RFC 9114 §4.6: only cacheable, safe requests without content can be pushed.
pub fn push_refusal(head: &RequestHead) -> Option<&'static str> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Some("a promised request that is not safe and cacheable");
    }
    match Expected::declared(&head.headers) {
        Ok(Expected::Any | Expected::Exactly(0)) => {}
        _ => return Some("a promised request with content"),
    }
    if head.headers.contains_key(http::header::TRAILER) {
        return Some("a promised request with trailers");
    }
    if head.uri.authority().is_none() {
        return Some("a promised request without an authority");
    }
    None
}
