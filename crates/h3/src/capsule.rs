//! Capsules (RFC 9297 §3): typed values on the data stream of an extended CONNECT or an upgrade,
//! over whichever version of HTTP.
//!
//! Invariant: a capsule is handed through, collected within a limit that the caller sets, or
//! skipped as it arrives; a declared length is never allocated.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::error::StreamError;
use crate::frame::{self, FrameType, Treatment};
use crate::structured::{self, BareItem};
use crate::varint;

/// The header field that says that capsules are in use.
pub const HEADER: &str = "capsule-protocol";

/// The same, parsed: it is looked for in every response.
pub(crate) static NAME: HeaderName = HeaderName::from_static(HEADER);

/// The type of a capsule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CapsuleType(u64);

impl CapsuleType {
    /// A datagram (RFC 9297 §3.5).
    pub const DATAGRAM: Self = Self(0x00);

    /// The type with this value, or `None` beyond 62 bits.
    pub const fn new(value: u64) -> Option<Self> {
        if value > varint::MAX {
            None
        } else {
            Some(Self(value))
        }
    }

    /// The value on the wire.
    pub const fn value(self) -> u64 {
        self.0
    }
}

/// What the decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capsule {
    /// A piece of a value that is handed through.
    Piece {
        /// The type of the capsule.
        ty: CapsuleType,
        /// The bytes, a slice of the input.
        bytes: Bytes,
        /// Whether the capsule ends with this piece.
        is_last: bool,
    },
    /// A whole value.
    Whole {
        /// The type of the capsule.
        ty: CapsuleType,
        /// The value.
        value: Bytes,
    },
}

/// Splits a data stream into capsules. They have the layout of frames, which decides the states.
#[derive(Debug, Default)]
pub struct Decoder(frame::Decoder);

impl Decoder {
    /// Takes the next thing from `input`; `None` when `input` is used up. `treat` is asked once a
    /// capsule, with its length; a type that it does not know it skips.
    // RFC 9297 §3.2: unknown types are dropped silently; a datagram that is too long to be of use
    // is skipped without buffering (§3.5).
    pub fn decode(
        &mut self,
        input: &mut Bytes,
        mut treat: impl FnMut(CapsuleType, u64) -> Treatment,
    ) -> Option<Capsule> {
        loop {
            let decoded = self.0.decode(input, |ty, len| {
                Ok::<_, std::convert::Infallible>(treat(CapsuleType(ty.value()), len))
            });
            match decoded {
                Ok(None) => return None,
                Ok(Some(frame::Decoded::Skipped { .. })) => {}
                Ok(Some(frame::Decoded::Whole { ty, payload })) => {
                    return Some(Capsule::Whole {
                        ty: CapsuleType(ty.value()),
                        value: payload,
                    });
                }
                Ok(Some(frame::Decoded::Piece { ty, bytes, is_last })) => {
                    return Some(Capsule::Piece {
                        ty: CapsuleType(ty.value()),
                        bytes,
                        is_last,
                    });
                }
                Err(never) => match never {},
            }
        }
    }

    /// Whether the stream may end here.
    ///
    /// # Errors
    /// A malformed message within a capsule.
    // RFC 9297 §3.3: a stream that ends within a capsule is a malformed message.
    pub fn finish(&self) -> Result<(), StreamError> {
        match self.0.is_between_frames() {
            true => Ok(()),
            false => Err(StreamError::malformed("the stream ends within a capsule")),
        }
    }

    /// How many bytes of an unfinished value are held.
    pub fn held_bytes(&self) -> usize {
        self.0.held_bytes()
    }
}

/// Writes the type and length of a capsule whose value follows.
pub fn encode_header(ty: CapsuleType, len: usize, out: &mut impl BufMut) {
    frame::encode_header(FrameType(ty.0), len, out);
}

/// A whole capsule.
pub fn encode(ty: CapsuleType, value: &[u8]) -> Bytes {
    let header = varint::encoded_len(ty.0) + varint::encoded_len(value.len() as u64);
    let mut out = BytesMut::with_capacity(header + value.len());
    encode_header(ty, value.len(), &mut out);
    out.put_slice(value);
    out.freeze()
}

/// Whether a message says that it uses capsules.
// RFC 9297 §3.4: a boolean; anything else, a second line included, counts as absent.
pub fn is_announced(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(&NAME).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => {
            structured::parse_item(value.as_bytes()) == Some(BareItem::Boolean(true))
        }
        _ => false,
    }
}

/// Checks that a message may use capsules; `status` is that of a response.
///
/// # Errors
/// A malformed message.
// RFC 9297 §3.2: no content-length, content-type or transfer-encoding, and no 204, 205 or 206.
pub fn check_message(headers: &HeaderMap, status: Option<StatusCode>) -> Result<(), StreamError> {
    let forbidden = [
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::TRANSFER_ENCODING,
    ];
    if forbidden.iter().any(|name| headers.contains_key(name)) {
        return Err(StreamError::malformed(
            "a field for content beside capsules",
        ));
    }
    match status.map(|status| status.as_u16()) {
        Some(204..=206) => Err(StreamError::malformed("a status without room for capsules")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const OWN: CapsuleType = CapsuleType(0x1234);

    fn treat(ty: CapsuleType, len: u64) -> Treatment {
        match ty {
            CapsuleType::DATAGRAM if len <= 10 => Treatment::Collect,
            OWN => Treatment::Stream,
            _ => Treatment::Skip,
        }
    }

    fn decode(pieces: &[&[u8]]) -> Vec<(u64, Vec<u8>)> {
        let mut decoder = Decoder::default();
        let mut capsules: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut is_open = false;
        for piece in pieces {
            let mut input = Bytes::copy_from_slice(piece);
            while let Some(capsule) = decoder.decode(&mut input, treat) {
                match capsule {
                    Capsule::Whole { ty, value } => capsules.push((ty.0, value.to_vec())),
                    Capsule::Piece { ty, bytes, is_last } => {
                        if !is_open {
                            capsules.push((ty.0, Vec::new()));
                        }
                        capsules
                            .last_mut()
                            .expect("pushed")
                            .1
                            .extend_from_slice(&bytes);
                        is_open = !is_last;
                    }
                }
            }
            assert!(decoder.held_bytes() <= 10);
        }
        decoder.finish().expect("between capsules");
        capsules
    }

    #[test]
    fn a_stream_of_capsules_split_anywhere_is_the_same() {
        let wire = [
            encode(CapsuleType::DATAGRAM, b"small"),
            encode(CapsuleType::DATAGRAM, &[7; 100]),
            encode(CapsuleType(0x17), b"unknown"),
            encode(OWN, &[8; 70]),
            encode(CapsuleType::DATAGRAM, b""),
        ]
        .concat();
        let expected = [(0, b"small".to_vec()), (0x1234, vec![8; 70]), (0, vec![])];
        for cut in 0..=wire.len() {
            assert_eq!(
                decode(&[&wire[..cut], &wire[cut..]]),
                expected,
                "cut at {cut}"
            );
        }
        assert_eq!(decode(&wire.chunks(1).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn only_an_unfinished_value_is_held() {
        let wire = encode(CapsuleType::DATAGRAM, b"small");
        let mut decoder = Decoder::default();
        assert_eq!(decoder.decode(&mut wire.slice(..5), treat), None);
        assert_eq!(decoder.held_bytes(), 3);
        assert!(decoder.decode(&mut wire.slice(5..), treat).is_some());
        assert_eq!(decoder.held_bytes(), 0);
    }

    #[test]
    fn a_stream_does_not_end_within_a_capsule() {
        let wire = encode(CapsuleType(0x17), b"unknown");
        for cut in 1..wire.len() {
            let mut decoder = Decoder::default();
            assert_eq!(decoder.decode(&mut wire.slice(..cut), treat), None);
            let error = decoder.finish().expect_err("cut off");
            assert_eq!(error.code, crate::error::Code::H3_MESSAGE_ERROR);
        }
    }

    #[test]
    fn capsules_are_announced_by_one_true_boolean() {
        for (values, expected) in [
            (&[][..], false),
            (&["?1"][..], true),
            (&["?1;x=1"], true),
            (&["?0"], false),
            (&["1"], false),
            (&["?1", "?1"], false),
            (&["?1, ?1"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, HeaderValue::from_static(value));
            }
            assert_eq!(is_announced(&headers), expected, "{values:?}");
        }
    }

    #[test]
    fn messages_with_content_have_no_capsules() {
        let empty = HeaderMap::new();
        assert!(check_message(&empty, Some(StatusCode::OK)).is_ok());
        assert!(check_message(&empty, None).is_ok());
        for status in [204, 205, 206] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert!(check_message(&empty, Some(status)).is_err());
        }
        for name in ["content-length", "content-type", "transfer-encoding"] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static("1"));
            assert!(check_message(&headers, None).is_err(), "{name}");
        }
    }

    #[test]
    fn a_type_has_62_bits() {
        assert_eq!(
            CapsuleType::new(varint::MAX).map(CapsuleType::value),
            Some(varint::MAX)
        );
        assert_eq!(CapsuleType::new(varint::MAX + 1), None);
    }
}
