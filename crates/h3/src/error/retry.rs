//! Whether a request that failed may be sent again, and where.
//!
//! Invariant: advice other than [`Retry::Unknown`] is given only when the peer said, or the
//! transport shows, that no part of the request was processed.

use super::Code;

/// Advice about sending a failed request again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// The request was not processed; it may be sent again, on this connection too.
    Safe,
    /// The request was not processed, and this connection takes no more requests.
    SafeOnNewConnection,
    /// The server wants the request over HTTP/1.1.
    LowerVersion,
    /// It may have been processed: only an idempotent request may be sent again.
    Unknown,
}

impl Retry {
    /// What a client may conclude from the code with which the server ended its request.
    pub(crate) const fn from_peer_code(code: Code) -> Self {
        match code {
            // RFC 9114 §4.1.1: a rejected request counts as never sent.
            Code::H3_REQUEST_REJECTED => Self::Safe,
            // RFC 9114 §8.1: the peer asks for HTTP/1.1.
            Code::H3_VERSION_FALLBACK => Self::LowerVersion,
            _ => Self::Unknown,
        }
    }

    /// Whether even a request that is not idempotent may be sent again.
    pub const fn is_safe(self) -> bool {
        !matches!(self, Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_rejection_or_a_version_fallback_makes_a_retry_safe() {
        for code in Code::REGISTERED {
            let safe = matches!(*code, Code::H3_REQUEST_REJECTED | Code::H3_VERSION_FALLBACK);
            assert_eq!(Retry::from_peer_code(*code).is_safe(), safe, "{code}");
        }
    }
}
