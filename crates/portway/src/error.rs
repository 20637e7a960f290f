//! The errors of the interface: one enum per operation, classified alike.
//!
//! Each has `kind()` and `is_retryable()` from the failure below it, and that failure as source.

use crate::receipt::Receipt;
use portway_core::message::Message;
use portway_core::race::{Recording, Report};
use portway_core::{Advice, Failure, FailureKind, Origin};
use std::fmt;

/// Why a connection, listener or rendezvous could not be established (RFC 9622 §7).
#[derive(Debug)]
#[non_exhaustive]
pub enum EstablishmentError {
    /// The request contradicts itself or cannot be satisfied; nothing was sent.
    Plan(portway_core::plan::PlanError),
    /// Every attempt failed; the report lists them all.
    Race {
        /// Why the race as a whole failed.
        failure: Failure,
        /// Every query and attempt.
        report: Box<Report>,
        /// Everything that went in and came out, if the race was recorded.
        recording: Option<Box<Recording>>,
    },
    /// Something other than a race failed: a local socket, a framer, a time limit.
    Failed(Failure),
}

impl EstablishmentError {
    /// The race's report, when there was a race.
    pub fn report(&self) -> Option<&Report> {
        match self {
            EstablishmentError::Race { report, .. } => Some(report),
            _ => None,
        }
    }

    /// What replays the race, when there was one and it was recorded.
    pub fn recording(&self) -> Option<&Recording> {
        match self {
            EstablishmentError::Race { recording, .. } => recording.as_deref(),
            _ => None,
        }
    }

    /// The failure in the shared classification.
    pub fn failure(&self) -> Failure {
        match self {
            EstablishmentError::Plan(error) => Failure::new(
                Origin::Local,
                FailureKind::InvalidRequest,
                error.to_string(),
            ),
            EstablishmentError::Race { failure, .. } | EstablishmentError::Failed(failure) => {
                failure.clone()
            }
        }
    }
}

impl fmt::Display for EstablishmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EstablishmentError::Plan(error) => write!(f, "cannot be planned: {error}"),
            EstablishmentError::Race { failure, .. } => write!(f, "cannot connect: {failure}"),
            EstablishmentError::Failed(failure) => write!(f, "cannot be established: {failure}"),
        }
    }
}

impl std::error::Error for EstablishmentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EstablishmentError::Plan(error) => Some(error),
            EstablishmentError::Race { failure, .. } | EstablishmentError::Failed(failure) => {
                Some(failure)
            }
        }
    }
}

impl From<Failure> for EstablishmentError {
    fn from(failure: Failure) -> Self {
        EstablishmentError::Failed(failure)
    }
}

/// Why a message was not sent (RFC 9622 §9.2.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or closed, or its sending direction has ended.
    Closed(Failure),
    /// The message is larger than the connection can carry.
    TooLarge {
        /// The message's size in bytes.
        size: usize,
        /// The largest size in bytes.
        max: usize,
    },
    /// The message's properties contradict each other or the connection (RFC 9622 §9.1.3).
    InconsistentProperties(String),
    /// The framer refused the message.
    Framer(Failure),
    /// The connection failed before the message was out.
    Failed(Failure),
}

impl SendError {
    /// The failure in the shared classification.
    pub fn failure(&self) -> Failure {
        let local = |kind, detail: String| Failure::new(Origin::Local, kind, detail);
        match self {
            SendError::Closed(failure)
            | SendError::Framer(failure)
            | SendError::Failed(failure) => failure.clone(),
            SendError::TooLarge { .. } => local(FailureKind::LimitReached, self.to_string()),
            SendError::InconsistentProperties(_) => {
                local(FailureKind::InvalidRequest, self.to_string())
            }
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Closed(failure) => write!(f, "the connection takes no more: {failure}"),
            SendError::TooLarge { size, max } => {
                write!(
                    f,
                    "a message of {size} bytes exceeds the {max} that can be carried"
                )
            }
            SendError::InconsistentProperties(why) => write!(f, "inconsistent properties: {why}"),
            SendError::Framer(failure) => write!(f, "the framer refused the message: {failure}"),
            SendError::Failed(failure) => write!(f, "not sent: {failure}"),
        }
    }
}

/// Why a message was not accepted at once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TrySendError {
    /// There is no room for this message now, or others wait for room.
    Full(Message),
    /// The message was refused.
    Refused {
        /// Why.
        error: Box<SendError>,
        /// The message, unless a framer has consumed it.
        message: Option<Message>,
    },
}

impl TrySendError {
    /// What came of a send that leaves its message behind when there is no room.
    pub(crate) fn unless_sent(
        sent: Option<Result<Receipt, SendError>>,
        message: Option<Message>,
    ) -> Result<Receipt, TrySendError> {
        match (sent, message) {
            (Some(Ok(receipt)), _) => Ok(receipt),
            (Some(Err(error)), message) => Err(TrySendError::Refused {
                error: Box::new(error),
                message,
            }),
            (None, Some(message)) => Err(TrySendError::Full(message)),
            (None, None) => unreachable!("a message is taken only when something comes of it"),
        }
    }

    /// Whether the same message may be accepted later.
    pub fn is_full(&self) -> bool {
        matches!(self, TrySendError::Full(_))
    }

    /// Gives the message back.
    pub fn into_message(self) -> Option<Message> {
        match self {
            TrySendError::Full(message) => Some(message),
            TrySendError::Refused { message, .. } => message,
        }
    }

    /// The failure in the shared classification.
    pub fn failure(&self) -> Failure {
        match self {
            TrySendError::Full(_) => {
                Failure::new(Origin::Local, FailureKind::LimitReached, self.to_string())
            }
            TrySendError::Refused { error, .. } => error.failure(),
        }
    }
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrySendError::Full(_) => f.write_str("there is no room for the message now"),
            TrySendError::Refused { error, .. } => error.fmt(f),
        }
    }
}

impl std::error::Error for TrySendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TrySendError::Full(_) => None,
            TrySendError::Refused { error, .. } => Some(error),
        }
    }
}

/// Why nothing more can be received, or why a message could not be (RFC 9622 §9.3.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The peer ended its direction in an orderly way and everything before was delivered.
    Finished,
    /// The connection was closed or aborted here.
    Closed(Failure),
    /// The peer broke the framer's rules.
    Framer(Failure),
    /// The connection failed.
    Failed(Failure),
}

impl ReceiveError {
    /// The failure in the shared classification.
    pub fn failure(&self) -> Failure {
        match self {
            ReceiveError::Finished => {
                Failure::new(Origin::Local, FailureKind::Closed, self.to_string())
            }
            ReceiveError::Closed(failure)
            | ReceiveError::Framer(failure)
            | ReceiveError::Failed(failure) => failure.clone(),
        }
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiveError::Finished => f.write_str("the peer sends nothing more"),
            ReceiveError::Closed(failure) => write!(f, "the connection is closed: {failure}"),
            ReceiveError::Framer(failure) => write!(f, "the peer's framing is wrong: {failure}"),
            ReceiveError::Failed(failure) => write!(f, "the connection failed: {failure}"),
        }
    }
}

/// Why a close did not end with everything delivered (RFC 9622 §10).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseError {
    /// The peer did not acknowledge everything within `connTimeout`.
    TimedOut {
        /// Bytes, the end of the stream included, that are not acknowledged.
        unacknowledged: usize,
    },
    /// The connection was aborted, here or by the peer, or failed, before all was acknowledged.
    Failed(Failure),
}

impl CloseError {
    /// The failure in the shared classification.
    pub fn failure(&self) -> Failure {
        match self {
            CloseError::TimedOut { .. } => {
                Failure::new(Origin::Local, FailureKind::TimedOut, self.to_string())
            }
            CloseError::Failed(failure) => failure.clone(),
        }
    }
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseError::TimedOut { unacknowledged } => {
                write!(
                    f,
                    "the peer did not acknowledge the last {unacknowledged} bytes in time"
                )
            }
            CloseError::Failed(failure) => write!(f, "not everything was delivered: {failure}"),
        }
    }
}

/// Why a live connection could not be upgraded to TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeError {
    /// Plaintext was waiting when the upgrade began; accepting it would let anybody on the way
    /// inject it into the protected stream.
    BufferedPlaintext {
        /// How many bytes were waiting; at least so many when framers had begun to read them.
        bytes: usize,
    },
    /// The connection cannot be upgraded: not a byte stream, already protected, or busy.
    NotPossible(String),
    /// The handshake failed; the connection is unusable.
    Failed(Failure),
}

impl UpgradeError {
    /// The failure in the shared classification.
    pub fn failure(&self) -> Failure {
        match self {
            UpgradeError::BufferedPlaintext { .. } => Failure::new(
                Origin::Local,
                FailureKind::ProtocolViolation,
                self.to_string(),
            ),
            UpgradeError::NotPossible(_) => {
                Failure::new(Origin::Local, FailureKind::InvalidRequest, self.to_string())
            }
            UpgradeError::Failed(failure) => failure.clone(),
        }
    }
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpgradeError::BufferedPlaintext { bytes } => {
                write!(
                    f,
                    "{bytes} bytes of plaintext arrived before the upgrade and are refused"
                )
            }
            UpgradeError::NotPossible(why) => write!(f, "cannot be upgraded: {why}"),
            UpgradeError::Failed(failure) => write!(f, "the upgrade failed: {failure}"),
        }
    }
}

macro_rules! classified {
    ($($error:ty),*) => {$(
        impl $error {
            /// The class of the failure.
            pub fn kind(&self) -> FailureKind {
                self.failure().kind
            }

            /// What to do next.
            pub fn advice(&self) -> Advice {
                self.failure().advice
            }

            /// Whether the same operation may succeed later or elsewhere without a change.
            pub fn is_retryable(&self) -> bool {
                self.failure().is_transient()
            }
        }
    )*};
}

macro_rules! sourced {
    ($($error:ident: $($variant:ident)|*;)*) => {$(
        impl std::error::Error for $error {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                match self {
                    $($error::$variant(failure))|* => Some(failure),
                    _ => None,
                }
            }
        }
    )*};
}

classified!(
    EstablishmentError,
    SendError,
    TrySendError,
    ReceiveError,
    CloseError,
    UpgradeError
);
sourced! {
    SendError: Closed | Framer | Failed;
    ReceiveError: Closed | Framer | Failed;
    CloseError: Failed;
    UpgradeError: Failed;
}

pub(crate) use classified;
