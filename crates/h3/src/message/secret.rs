//! Fields that are not to be kept beyond their message.
//!
//! Invariant: what was never indexed is secret, whoever has sent it.

use http::{HeaderMap, header};

/// Whether one of these fields is marked as sensitive, which is what comes as never indexed, or is
/// a credential by its name. A `cookie` is so by its mark alone: without one QPACK's tables, whose
/// work a kept head saves, have it as long.
pub(crate) fn has_secret(headers: &HeaderMap) -> bool {
    headers.iter().any(|(name, value)| {
        value.is_sensitive()
            || *name == header::AUTHORIZATION
            || *name == header::PROXY_AUTHORIZATION
            || *name == header::SET_COOKIE
    })
}
