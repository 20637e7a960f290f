//! One classification of network failures: where it came from, what it was, what to do next.
//!
//! Every layer maps its own errors here once; the raw code is kept, and what is unknown is fatal.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What went wrong, in a form that every layer shares and that a recording can hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The layer whose error this was.
    pub origin: Origin,
    /// The failure's class.
    pub kind: FailureKind,
    /// The code as the layer gave it: an errno, a TLS alert, a DNS response code.
    pub code: Option<i64>,
    /// One lower-case line that names what was wrong, without a full stop.
    pub detail: String,
    /// What a caller can usefully do next.
    pub advice: Advice,
}

impl Failure {
    /// A failure with the advice that its kind usually deserves.
    pub fn new(origin: Origin, kind: FailureKind, detail: impl Into<String>) -> Self {
        Failure {
            origin,
            kind,
            code: None,
            detail: detail.into(),
            advice: kind.usual_advice(),
        }
    }

    /// The same failure with the layer's own code.
    #[must_use]
    pub fn with_code(mut self, code: i64) -> Self {
        self.code = Some(code);
        self
    }

    /// The same failure with other advice.
    #[must_use]
    pub fn with_advice(mut self, advice: Advice) -> Self {
        self.advice = advice;
        self
    }

    /// Whether the same request may succeed later or elsewhere without a change by the caller.
    pub fn is_transient(&self) -> bool {
        !matches!(self.advice, Advice::Fatal | Advice::NeedsCredential)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.detail)?;
        match self.code {
            Some(code) => write!(f, " ({} code {code})", self.origin),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// The layer that reported a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Origin {
    /// The operating system; the code is an errno.
    System,
    /// Name resolution; the code is a DNS response code.
    Dns,
    /// TLS; the code is an alert description.
    Tls,
    /// QUIC; the code is the transport's or the application's error code.
    Quic,
    /// HTTP; the code is that of a reset or of a GOAWAY, or the status where that is the failure.
    Http,
    /// The peer's application data, such as a frame that breaks its framer's rules.
    Framing,
    /// portway itself: a limit, a timeout, a rule, a request by the application.
    Local,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::System => "system",
            Origin::Dns => "dns",
            Origin::Tls => "tls",
            Origin::Quic => "quic",
            Origin::Http => "http",
            Origin::Framing => "framing",
            Origin::Local => "local",
        })
    }
}

/// The class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The name does not exist or has no usable address.
    NameNotFound,
    /// The resolver failed, refused or answered nonsense.
    ResolverFailed,
    /// The peer or a host on the way refused the connection.
    Refused,
    /// The network, host or port cannot be reached.
    Unreachable,
    /// Nothing answered in time.
    TimedOut,
    /// The peer reset the connection or it was cut in mid-message.
    Reset,
    /// The peer ended the connection in an orderly way.
    Closed,
    /// The certificate was not acceptable: name, time, authority or purpose.
    CertificateRejected,
    /// The peer wants a certificate or another credential that was not given or not accepted.
    CredentialRequired,
    /// No common application protocol.
    AlpnMismatch,
    /// The peer broke a protocol's rules or speaks another protocol.
    ProtocolViolation,
    /// A local limit was reached: message size, queue, descriptors.
    LimitReached,
    /// The system lacks a resource: descriptors, memory, ports.
    ResourceExhausted,
    /// The system or a policy forbids it.
    PermissionDenied,
    /// Not possible on this system or with this stack.
    Unsupported,
    /// The application cancelled or aborted it.
    Cancelled,
    /// An address or port is in use.
    AddressInUse,
    /// The request contradicts itself or cannot be satisfied.
    InvalidRequest,
    /// Anything else.
    Other,
}

impl FailureKind {
    /// The advice for this kind when nothing more is known. What is unknown is fatal.
    pub fn usual_advice(self) -> Advice {
        match self {
            FailureKind::Refused | FailureKind::TimedOut => Advice::RetryElsewhere,
            FailureKind::ResolverFailed | FailureKind::ResourceExhausted => Advice::BackOff,
            FailureKind::Unreachable => Advice::OnPathChange,
            FailureKind::Reset | FailureKind::Closed => Advice::IfReplayable,
            FailureKind::CredentialRequired => Advice::NeedsCredential,
            _ => Advice::Fatal,
        }
    }
}

/// What a caller can usefully do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Advice {
    /// Try again now, at another address or over another protocol.
    RetryElsewhere,
    /// Try again with increasing delays.
    BackOff,
    /// Try again after this time.
    After(Duration),
    /// Try again when the network has changed.
    OnPathChange,
    /// Try again if the data may be delivered twice.
    IfReplayable,
    /// Ask for a credential first.
    NeedsCredential,
    /// Do not try again unchanged.
    Fatal,
}
