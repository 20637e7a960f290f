//! What ends a connection because of QPACK (RFC 9204 §6).
//!
//! Invariant: each error has the code that the section of the specification names for it.

use std::error::Error;
use std::fmt;

/// A failure of QPACK for which the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QpackError {
    kind: QpackErrorKind,
    reason: &'static str,
}

impl QpackError {
    /// What failed.
    pub fn kind(&self) -> QpackErrorKind {
        self.kind
    }

    /// The registered error code for the close of the connection.
    pub fn code(&self) -> u64 {
        match self.kind {
            QpackErrorKind::DecompressionFailed => 0x0200,
            QpackErrorKind::EncoderStream => 0x0201,
            QpackErrorKind::DecoderStream => 0x0202,
            QpackErrorKind::ExcessiveLoad => 0x0107,
        }
    }

    /// What the peer did, in a few words.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    pub(super) const fn decompression_failed(reason: &'static str) -> Self {
        let kind = QpackErrorKind::DecompressionFailed;
        QpackError { kind, reason }
    }

    pub(super) const fn encoder_stream(reason: &'static str) -> Self {
        let kind = QpackErrorKind::EncoderStream;
        QpackError { kind, reason }
    }

    pub(super) const fn decoder_stream(reason: &'static str) -> Self {
        let kind = QpackErrorKind::DecoderStream;
        QpackError { kind, reason }
    }

    pub(super) const fn excessive_load(reason: &'static str) -> Self {
        let kind = QpackErrorKind::ExcessiveLoad;
        QpackError { kind, reason }
    }
}

impl fmt::Display for QpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            QpackErrorKind::DecompressionFailed => "field section cannot be decoded",
            QpackErrorKind::EncoderStream => "encoder stream is in error",
            QpackErrorKind::DecoderStream => "decoder stream is in error",
            QpackErrorKind::ExcessiveLoad => "field sections are too great a load",
        };
        write!(f, "{what}: {}", self.reason)
    }
}

impl Error for QpackError {}

/// What part of QPACK failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QpackErrorKind {
    /// A field section cannot be decoded: QPACK_DECOMPRESSION_FAILED.
    DecompressionFailed,
    /// An instruction on the encoder stream cannot be followed: QPACK_ENCODER_STREAM_ERROR.
    EncoderStream,
    /// An instruction on the decoder stream cannot be followed: QPACK_DECODER_STREAM_ERROR.
    DecoderStream,
    /// The peer makes us hold more than our limits: H3_EXCESSIVE_LOAD.
    ExcessiveLoad,
}

/// Why a field section was not decoded to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError<E> {
    /// The connection cannot go on.
    Connection(QpackError),
    /// A value is larger than what QPACK decodes. Only the stream fails, with
    /// QPACK_DECOMPRESSION_FAILED; the decoder is to be told by
    /// [`Decoder::cancel_stream`](super::Decoder::cancel_stream).
    Stream(QpackError),
    /// The section exceeds a limit of ours. Nothing else is affected: the peer's encoder is told
    /// that the section needs no table entry any more.
    TooLarge(SectionLimit),
    /// The visitor refused a line. Nothing else is affected, as with `TooLarge`.
    Refused(E),
}

impl<E> From<QpackError> for DecodeError<E> {
    fn from(error: QpackError) -> Self {
        DecodeError::Connection(error)
    }
}

impl<E: fmt::Display> fmt::Display for DecodeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Connection(error) | DecodeError::Stream(error) => error.fmt(f),
            DecodeError::TooLarge(SectionLimit::Bytes) => f.write_str("field section is too large"),
            DecodeError::TooLarge(SectionLimit::Fields) => {
                f.write_str("field section has too many lines")
            }
            DecodeError::Refused(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for DecodeError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            DecodeError::Connection(error) | DecodeError::Stream(error) => Some(error),
            DecodeError::TooLarge(_) => None,
            DecodeError::Refused(error) => Some(error),
        }
    }
}

/// Which limit a field section exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SectionLimit {
    /// The bytes of all names and values and 32 more a line (RFC 9114 §4.2.2).
    Bytes,
    /// The number of lines.
    Fields,
}
