//! What goes wrong, with its scope as a type: a [`StreamError`] ends one request or push, a
//! [`ConnectionError`] ends everything.
//!
//! Invariant: whatever a peer sends becomes one of the two, with a registered code; nothing panics.

mod code;
mod retry;

use std::fmt;

pub use code::Code;
pub use retry::Retry;

/// Which side found the failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// We did, in what the peer sent or because the application asked.
    Local,
    /// The peer did and told us.
    Peer,
}

/// The end of one stream; all others go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamError {
    /// The code on the wire, as it was sent.
    pub code: Code,
    /// Who ended the stream.
    pub origin: Origin,
    /// What was wrong, in a few words.
    pub reason: &'static str,
    /// Whether the request may be sent again.
    pub retry: Retry,
}

impl StreamError {
    /// A failure that we found.
    pub(crate) const fn local(code: Code, reason: &'static str) -> Self {
        Self {
            code,
            origin: Origin::Local,
            reason,
            retry: Retry::Unknown,
        }
    }

    /// A malformed message.
    // RFC 9114 §4.1.2: malformed messages are stream errors of this type.
    pub(crate) const fn malformed(reason: &'static str) -> Self {
        Self::local(Code::H3_MESSAGE_ERROR, reason)
    }

    /// A field section beyond our limits.
    pub(crate) const TOO_LARGE: Self =
        Self::local(Code::H3_EXCESSIVE_LOAD, "a field section above the limits");

    /// A reset or a stop from the peer; `retry` is what the client may conclude.
    pub(crate) const fn peer(code: Code, reason: &'static str, retry: Retry) -> Self {
        Self {
            code,
            origin: Origin::Peer,
            reason,
            retry,
        }
    }

    /// The same failure with another advice.
    pub(crate) const fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.origin {
            Origin::Local => "stream ended",
            Origin::Peer => "stream ended by the peer",
        };
        write!(f, "{side}: {} ({})", self.reason, self.code)
    }
}

impl std::error::Error for StreamError {}

/// The end of the connection and of every stream on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionError {
    /// The code on the wire, as it was sent.
    pub code: Code,
    /// Who ended the connection.
    pub origin: Origin,
    /// What was wrong, in a few words; goes into the reason phrase of the close.
    pub reason: &'static str,
}

impl ConnectionError {
    /// A failure that we found.
    pub(crate) const fn local(code: Code, reason: &'static str) -> Self {
        Self {
            code,
            origin: Origin::Local,
            reason,
        }
    }

    /// The peer, or the transport, closed the connection.
    pub const fn peer(code: Code, reason: &'static str) -> Self {
        Self {
            code,
            origin: Origin::Peer,
            reason,
        }
    }

    /// Whether this is an orderly end rather than a failure.
    pub fn is_graceful(&self) -> bool {
        self.code.effective() == Code::H3_NO_ERROR
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.origin {
            Origin::Local => "connection closed",
            Origin::Peer => "connection closed by the peer",
        };
        write!(f, "{side}: {} ({})", self.reason, self.code)
    }
}

impl std::error::Error for ConnectionError {}

/// A failure of either scope, while it travels to the place that acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Ends the stream at hand.
    Stream(StreamError),
    /// Ends the connection.
    Connection(ConnectionError),
}

impl From<StreamError> for Fault {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl From<ConnectionError> for Fault {
    fn from(error: ConnectionError) -> Self {
        Self::Connection(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_who_what_and_which_code() {
        let malformed = StreamError::malformed("two :path fields");
        assert_eq!(
            malformed.to_string(),
            "stream ended: two :path fields (H3_MESSAGE_ERROR, 0x10e)"
        );
        let closed = ConnectionError::peer(Code::new(0x4242), "closed");
        assert_eq!(
            closed.to_string(),
            "connection closed by the peer: closed (0x4242)"
        );
    }

    #[test]
    fn unknown_codes_count_as_an_orderly_end() {
        assert!(ConnectionError::peer(Code::new(0x4242), "").is_graceful());
        assert!(ConnectionError::peer(Code::H3_NO_ERROR, "").is_graceful());
        assert!(!ConnectionError::peer(Code::H3_INTERNAL_ERROR, "").is_graceful());
    }
}
