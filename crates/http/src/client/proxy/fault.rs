//! What goes wrong with proxies, and whose fault it is.

use crate::client::error::{Error, ErrorClass};
use http::StatusCode;
use portway_core::{Failure, FailureKind, Origin};
use std::fmt;

/// What a proxy has to do with a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyFault {
    /// The proxy's name could not be resolved.
    Unresolved,
    /// No connection to the proxy could be established.
    Unreachable,
    /// TLS with the proxy failed, or its certificate was not accepted.
    Insecure,
    /// The proxy answered with this status instead of opening a tunnel.
    Refused(StatusCode),
    /// The proxy wants credentials (407), and those that there are, if any, were not accepted.
    NeedsCredentials,
    /// There is no connection by SOCKS5.
    Socks(SocksFailure),
    /// What the proxy said is no answer.
    Lied(ProxyLie),
    /// The proxy broke a tunnel off that was open, most often together with the connection that
    /// carried it beside others.
    Broken,
}

/// Why there is no connection by SOCKS5: its replies (RFC 1928 §6), and what else goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocksFailure {
    /// 1: general failure.
    General,
    /// 2: its rules do not allow the connection.
    NotAllowed,
    /// 3: the target's network is unreachable.
    NetworkUnreachable,
    /// 4: the target is unreachable.
    HostUnreachable,
    /// 5: the target refused the connection.
    ConnectionRefused,
    /// 6: the time to live has expired on the way to the target.
    TtlExpired,
    /// 7: the command is not supported.
    CommandNotSupported,
    /// 8: the kind of address is not supported.
    AddressNotSupported,
    /// A reply without a meaning.
    Unassigned(u8),
    /// The proxy takes none of the methods that we have; most often it wants credentials.
    NoMethod,
    /// User and password were not accepted (RFC 1929).
    CredentialsRejected,
    /// What the proxy said is no answer.
    Lied(ProxyLie),
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyLie {
    /// It ended before its end.
    Truncated,
    /// It is not of the protocol.
    Garbled,
    /// Its head is longer than 64 KiB.
    Oversized,
    /// Bytes came behind it before the target can have sent any.
    EarlyBytes,
}

/// One of the two ends behind a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// The proxy itself.
    Proxy,
    /// The target, as the proxy tells.
    Target,
}

impl ProxyFault {
    /// Whether it is the proxy that failed, or the target beyond it, as the proxy tells.
    pub fn party(self) -> Party {
        match self {
            // RFC 9110 §15.6.3, §15.6.5: what the proxy got from there, or did not.
            ProxyFault::Refused(StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) => {
                Party::Target
            }
            ProxyFault::Socks(
                SocksFailure::NetworkUnreachable
                | SocksFailure::HostUnreachable
                | SocksFailure::ConnectionRefused
                | SocksFailure::TtlExpired,
            ) => Party::Target,
            _ => Party::Proxy,
        }
    }

    pub(super) fn error(self, proxy: &super::Proxy) -> Error {
        let kind = match self {
            ProxyFault::NeedsCredentials => FailureKind::CredentialRequired,
            ProxyFault::Lied(ProxyLie::Truncated) => FailureKind::Reset,
            ProxyFault::Lied(_) => FailureKind::ProtocolViolation,
            ProxyFault::Refused(StatusCode::GATEWAY_TIMEOUT) => FailureKind::TimedOut,
            ProxyFault::Refused(status) if status.is_server_error() => FailureKind::Unreachable,
            ProxyFault::Refused(_) => FailureKind::PermissionDenied,
            ProxyFault::Socks(failure) => failure.kind(),
            _ => FailureKind::Other,
        };
        let failure = Failure::new(Origin::Http, kind, format!("the proxy {proxy} {self}"));
        Error::new(ErrorClass::Proxy, failure).with_proxy(self)
    }
}

impl SocksFailure {
    pub(super) fn of(reply: u8) -> Self {
        match reply {
            1 => SocksFailure::General,
            2 => SocksFailure::NotAllowed,
            3 => SocksFailure::NetworkUnreachable,
            4 => SocksFailure::HostUnreachable,
            5 => SocksFailure::ConnectionRefused,
            6 => SocksFailure::TtlExpired,
            7 => SocksFailure::CommandNotSupported,
            8 => SocksFailure::AddressNotSupported,
            other => SocksFailure::Unassigned(other),
        }
    }

    fn kind(self) -> FailureKind {
        match self {
            SocksFailure::NotAllowed => FailureKind::PermissionDenied,
            SocksFailure::NetworkUnreachable | SocksFailure::HostUnreachable => {
                FailureKind::Unreachable
            }
            SocksFailure::ConnectionRefused => FailureKind::Refused,
            SocksFailure::TtlExpired => FailureKind::TimedOut,
            SocksFailure::CommandNotSupported | SocksFailure::AddressNotSupported => {
                FailureKind::Unsupported
            }
            SocksFailure::NoMethod | SocksFailure::CredentialsRejected => {
                FailureKind::CredentialRequired
            }
            SocksFailure::Lied(ProxyLie::Truncated) => FailureKind::Reset,
            SocksFailure::Lied(_) => FailureKind::ProtocolViolation,
            _ => FailureKind::Other,
        }
    }
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyFault::Unresolved => f.write_str("has a name that was not resolved"),
            ProxyFault::Unreachable => f.write_str("cannot be reached"),
            ProxyFault::Insecure => f.write_str("did not prove who it is"),
            ProxyFault::Refused(status) => write!(f, "answered {status} instead of a tunnel"),
            ProxyFault::NeedsCredentials => f.write_str("wants credentials that it accepts"),
            ProxyFault::Socks(SocksFailure::Lied(lie)) | ProxyFault::Lied(lie) => {
                write!(f, "gave no proper answer: {lie}")
            }
            ProxyFault::Socks(failure) => write!(f, "says: {failure}"),
            ProxyFault::Broken => f.write_str("broke the tunnel off"),
        }
    }
}

impl fmt::Display for SocksFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SocksFailure::General => "general failure",
            SocksFailure::NotAllowed => "the connection is not allowed",
            SocksFailure::NetworkUnreachable => "the target's network is unreachable",
            SocksFailure::HostUnreachable => "the target is unreachable",
            SocksFailure::ConnectionRefused => "the target refused the connection",
            SocksFailure::TtlExpired => "the time to live has expired",
            SocksFailure::CommandNotSupported => "the command is not supported",
            SocksFailure::AddressNotSupported => "the kind of address is not supported",
            SocksFailure::NoMethod => "none of the methods is accepted",
            SocksFailure::CredentialsRejected => "user and password are not accepted",
            SocksFailure::Lied(lie) => return lie.fmt(f),
            SocksFailure::Unassigned(code) => return write!(f, "failure {code}"),
        })
    }
}

impl fmt::Display for ProxyLie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProxyLie::Truncated => "it broke off",
            ProxyLie::Garbled => "it is not of the protocol",
            ProxyLie::Oversized => "its head is too long",
            ProxyLie::EarlyBytes => "bytes came behind it before anybody had asked the target",
        })
    }
}
