//! What ends a connection, a stream or a datagram, and who caused it.
//!
//! Invariant: the code and the words of whoever closed are kept as they came.

use super::VarInt;
use bytes::Bytes;
use portway_core::Failure;
use portway_core::failure::{Advice, FailureKind, Origin};
use std::io;

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// This side's application closed it, or dropped its last handle.
    #[error("closed by this side with code {code}")]
    ClosedLocally {
        /// The application's code.
        code: VarInt,
    },
    /// The peer's application closed it.
    #[error("closed by the peer's application with code {code}{}", words(.reason))]
    ClosedByPeer {
        /// The application's code.
        code: VarInt,
        /// The application's words, UTF-8 by custom.
        reason: Bytes,
    },
    /// The peer's QUIC or TLS closed it.
    #[error("closed by the peer's transport with code {code:#x}{}", words(.reason))]
    TransportClosedByPeer {
        /// The code of RFC 9000 §20.1; from 0x100 on a TLS alert is added.
        code: u64,
        /// The peer's words.
        reason: Bytes,
    },
    /// This side's QUIC or TLS closed it, since the peer broke a rule or was not accepted.
    #[error("closed by this side's transport: {reason}")]
    TransportClosedLocally {
        /// The code of RFC 9000 §20.1; from 0x100 on a TLS alert is added.
        code: u64,
        /// What was wrong.
        reason: String,
    },
    /// The server refused the connection before the handshake.
    #[error("refused by the server")]
    Refused,
    /// No common QUIC version.
    #[error("the peer speaks no common version of QUIC")]
    VersionMismatch,
    /// The handshake did not end in time.
    #[error("the handshake timed out")]
    HandshakeTimedOut,
    /// Nothing was heard for the idle time.
    #[error("idle for too long")]
    IdleTimedOut,
    /// The peer lost the connection's state and said so with a stateless reset.
    #[error("reset by the peer, which no longer knows the connection")]
    Reset,
    /// The local end ran out of something, such as connection identifiers.
    #[error("out of local resources")]
    ResourceExhausted,
    /// A stream was waited for although the limits of both kinds allow the peer none; the
    /// connection goes on.
    #[error("the peer may open no streams, since both limits are zero")]
    NoIncomingStreams,
    /// The socket failed, or the system told that the peer cannot be reached.
    #[error("{0}")]
    System(Failure),
}

/// The words of a close, if there are any.
fn words(reason: &Bytes) -> String {
    match reason.is_empty() {
        true => String::new(),
        false => format!(": {}", String::from_utf8_lossy(reason)),
    }
}

impl ConnectionError {
    /// The TLS alert, when the handshake failed with one.
    pub fn tls_alert(&self) -> Option<u8> {
        // RFC 9000 §20.1: the 256 codes from 0x100 on carry an alert.
        let (ConnectionError::TransportClosedByPeer { code, .. }
        | ConnectionError::TransportClosedLocally { code, .. }) = self
        else {
            return None;
        };
        (0x100..0x200)
            .contains(code)
            .then_some((*code & 0xff) as u8)
    }

    /// The error as every layer classifies it.
    pub fn failure(&self) -> Failure {
        use ConnectionError as E;
        let (origin, kind) = match self {
            E::System(failure) => return failure.clone(),
            E::ClosedLocally { .. } => (Origin::Local, FailureKind::Cancelled),
            E::ClosedByPeer { .. } => (Origin::Quic, FailureKind::Closed),
            E::TransportClosedByPeer { code, .. } | E::TransportClosedLocally { code, .. } => {
                match self.tls_alert() {
                    Some(alert) => (Origin::Tls, kind_of_alert(alert)),
                    None => (Origin::Quic, kind_of_code(*code)),
                }
            }
            E::Refused => (Origin::Quic, FailureKind::Refused),
            E::VersionMismatch => (Origin::Quic, FailureKind::Unsupported),
            E::HandshakeTimedOut | E::IdleTimedOut => (Origin::Local, FailureKind::TimedOut),
            E::Reset => (Origin::Quic, FailureKind::Reset),
            E::ResourceExhausted => (Origin::Local, FailureKind::ResourceExhausted),
            E::NoIncomingStreams => (Origin::Local, FailureKind::InvalidRequest),
        };
        let mut failure = Failure::new(origin, kind, self.to_string());
        failure.code = match (self, self.tls_alert()) {
            (_, Some(alert)) => Some(i64::from(alert)),
            (E::ClosedByPeer { code, .. }, None) => i64::try_from(code.get()).ok(),
            (E::TransportClosedByPeer { code, .. } | E::TransportClosedLocally { code, .. }, _) => {
                i64::try_from(*code).ok()
            }
            _ => None,
        };
        if matches!(self, E::VersionMismatch) {
            // Another protocol, such as TLS over TCP, may well be spoken there.
            failure.advice = Advice::RetryElsewhere;
        }
        failure
    }
}

/// The class of a TLS alert.
fn kind_of_alert(alert: u8) -> FailureKind {
    match alert {
        // bad_certificate to unknown_ca, access_denied apart.
        42..=46 | 48 => FailureKind::CertificateRejected,
        49 | 116 => FailureKind::CredentialRequired,
        70 | 71 => FailureKind::Unsupported,
        120 => FailureKind::AlpnMismatch,
        112 => FailureKind::Refused,
        _ => FailureKind::ProtocolViolation,
    }
}

/// The class of a transport error code.
fn kind_of_code(code: u64) -> FailureKind {
    match code {
        0x0 => FailureKind::Closed,
        0x1 => FailureKind::Other,
        0x2 => FailureKind::Refused,
        0xc => FailureKind::Closed,
        0x10 => FailureKind::Unreachable,
        _ => FailureKind::ProtocolViolation,
    }
}

impl From<quinn_proto::ConnectionError> for ConnectionError {
    fn from(error: quinn_proto::ConnectionError) -> Self {
        use quinn_proto::ConnectionError as E;
        match error {
            E::VersionMismatch => ConnectionError::VersionMismatch,
            E::TransportError(error) => ConnectionError::TransportClosedLocally {
                code: error.code.into(),
                reason: error.to_string(),
            },
            E::ConnectionClosed(close) => {
                let code = u64::from(close.error_code);
                // RFC 9000 §20.1: CONNECTION_REFUSED.
                if code == 0x2 {
                    return ConnectionError::Refused;
                }
                ConnectionError::TransportClosedByPeer {
                    code,
                    reason: close.reason,
                }
            }
            E::ApplicationClosed(close) => ConnectionError::ClosedByPeer {
                code: close.error_code.into(),
                reason: close.reason,
            },
            E::Reset => ConnectionError::Reset,
            E::TimedOut => ConnectionError::IdleTimedOut,
            E::LocallyClosed => ConnectionError::ClosedLocally { code: VarInt::ZERO },
            E::CidsExhausted => ConnectionError::ResourceExhausted,
        }
    }
}

impl From<ConnectionError> for io::Error {
    fn from(error: ConnectionError) -> Self {
        let kind = match error {
            ConnectionError::HandshakeTimedOut | ConnectionError::IdleTimedOut => {
                io::ErrorKind::TimedOut
            }
            ConnectionError::Refused => io::ErrorKind::ConnectionRefused,
            ConnectionError::Reset => io::ErrorKind::ConnectionReset,
            ConnectionError::ClosedByPeer { .. }
            | ConnectionError::TransportClosedByPeer { .. } => io::ErrorKind::ConnectionAborted,
            ConnectionError::ClosedLocally { .. } => io::ErrorKind::NotConnected,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// Why a connection was not even started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The endpoint was closed.
    #[error("the endpoint is closed")]
    EndpointClosed,
    /// The server name cannot be one.
    #[error("not a server name: {0}")]
    InvalidServerName(String),
    /// The address cannot be one to connect to, or is of another family than the socket.
    #[error("not an address to connect to: {0}")]
    InvalidRemote(std::net::SocketAddr),
    /// The connection identifiers are used up.
    #[error("no connection identifier is free")]
    ResourceExhausted,
    /// An option is beyond its limits.
    #[error("{0}")]
    InvalidOptions(String),
}

impl ConnectError {
    /// The error as every layer classifies it.
    pub fn failure(&self) -> Failure {
        let kind = match self {
            ConnectError::EndpointClosed => FailureKind::Closed,
            ConnectError::ResourceExhausted => FailureKind::ResourceExhausted,
            _ => FailureKind::InvalidRequest,
        };
        Failure::new(Origin::Local, kind, self.to_string())
    }
}

impl From<quinn_proto::ConnectError> for ConnectError {
    fn from(error: quinn_proto::ConnectError) -> Self {
        use quinn_proto::ConnectError as E;
        match error {
            E::EndpointStopping => ConnectError::EndpointClosed,
            E::CidsExhausted => ConnectError::ResourceExhausted,
            E::InvalidServerName(name) => ConnectError::InvalidServerName(name),
            E::InvalidRemoteAddress(remote) => ConnectError::InvalidRemote(remote),
            other => ConnectError::InvalidOptions(other.to_string()),
        }
    }
}

/// Why a stream, or one direction of it, ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer reset the stream that was being read.
    #[error("the peer reset the stream with code {0}")]
    Reset(VarInt),
    /// The peer asked to stop the stream that was being written.
    #[error("the peer stopped the stream with code {0}")]
    Stopped(VarInt),
    /// This side has finished, reset or stopped this direction before.
    #[error("this side has ended the stream")]
    Ended,
    /// The peer has sent more than the caller takes.
    #[error("the stream is longer than {bytes_max} bytes")]
    TooLong {
        /// What the caller takes, in bytes.
        bytes_max: usize,
    },
    /// The stream was opened with early data, which the server did not take. What was written is
    /// lost and can be sent again on a new stream.
    #[error("the server did not take early data")]
    EarlyDataRejected,
    /// The connection ended.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

impl StreamError {
    /// The error as every layer classifies it.
    pub fn failure(&self) -> Failure {
        let (origin, kind, code) = match self {
            StreamError::Connection(error) => return error.failure(),
            StreamError::Reset(code) | StreamError::Stopped(code) => {
                (Origin::Quic, FailureKind::Reset, Some(*code))
            }
            StreamError::Ended => (Origin::Local, FailureKind::Cancelled, None),
            StreamError::TooLong { .. } => (Origin::Local, FailureKind::LimitReached, None),
            StreamError::EarlyDataRejected => (Origin::Quic, FailureKind::Refused, None),
        };
        let mut failure = Failure::new(origin, kind, self.to_string());
        failure.code = code.and_then(|code| i64::try_from(code.get()).ok());
        failure
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            StreamError::Connection(error) => return error.into(),
            StreamError::Reset(_) | StreamError::Stopped(_) => io::ErrorKind::ConnectionReset,
            StreamError::Ended => io::ErrorKind::NotConnected,
            StreamError::TooLong { .. } => io::ErrorKind::QuotaExceeded,
            StreamError::EarlyDataRejected => io::ErrorKind::ConnectionRefused,
        };
        io::Error::new(kind, error)
    }
}

/// Why a datagram could not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// The peer takes no datagrams.
    #[error("the peer takes no datagrams")]
    UnsupportedByPeer,
    /// This side has switched datagrams off.
    #[error("datagrams are switched off")]
    Disabled,
    /// Longer than what the path or the peer allows now.
    #[error("the datagram is longer than {max} bytes")]
    TooLarge {
        /// The most that can be sent now, in bytes.
        max: usize,
    },
    /// The send buffer is full.
    #[error("the buffer for datagrams is full")]
    Blocked,
    /// The connection ended.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}
