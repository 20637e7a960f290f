//! Field lines: a name and a value as a peer sent them or as we will send them.
//!
//! Invariant: a name or value that is not `Malformed` has passed the checks of RFC 9114 §4.2 on
//! its characters, so that nobody downstream checks it again.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// A field's name: a pseudo-header field of HTTP/3, a header field, or neither.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldName {
    /// `:method`
    Method,
    /// `:scheme`
    Scheme,
    /// `:authority`
    Authority,
    /// `:path`
    Path,
    /// `:status`
    Status,
    /// `:protocol` of extended CONNECT (RFC 9220).
    Protocol,
    /// A header or trailer field.
    Header(HeaderName),
    /// Bytes that name no field: empty, with an upper-case letter or another character that a
    /// name may not have, or an unknown pseudo-header field.
    Malformed(Bytes),
}

impl FieldName {
    /// Parses a name as it came from the wire.
    pub fn parse(name: &[u8]) -> Self {
        if let Some(pseudo) = Self::pseudo(name) {
            return pseudo;
        }
        // RFC 9114 §4.2: a name with upper-case letters is malformed, so that it is not folded.
        // `from_lowercase` refuses those, and every other byte that is not of a token.
        match HeaderName::from_lowercase(name) {
            Ok(name) => FieldName::Header(name),
            Err(_) => FieldName::Malformed(Bytes::copy_from_slice(name)),
        }
    }

    /// The bytes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            FieldName::Method => b":method",
            FieldName::Scheme => b":scheme",
            FieldName::Authority => b":authority",
            FieldName::Path => b":path",
            FieldName::Status => b":status",
            FieldName::Protocol => b":protocol",
            FieldName::Header(name) => name.as_str().as_bytes(),
            FieldName::Malformed(bytes) => bytes,
        }
    }

    /// Whether this is one of the pseudo-header fields.
    pub fn is_pseudo(&self) -> bool {
        !matches!(self, FieldName::Header(_) | FieldName::Malformed(_))
    }

    fn pseudo(name: &[u8]) -> Option<Self> {
        Some(match name {
            b":method" => FieldName::Method,
            b":scheme" => FieldName::Scheme,
            b":authority" => FieldName::Authority,
            b":path" => FieldName::Path,
            b":status" => FieldName::Status,
            b":protocol" => FieldName::Protocol,
            _ => return None,
        })
    }
}

/// A field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldValue {
    /// A value that HTTP allows.
    Valid(HeaderValue),
    /// The value of a pseudo-header field, of characters that HTTP allows.
    Pseudo(Bytes),
    /// A value with a control character.
    Malformed(Bytes),
}

impl FieldValue {
    /// Checks a value as it came from the wire; it keeps the bytes that it is given.
    pub fn parse(value: Bytes) -> Self {
        if has_control(&value) {
            return FieldValue::Malformed(value);
        }
        let value = HeaderValue::from_maybe_shared(value);
        FieldValue::Valid(value.expect("control characters are all that a value may not have"))
    }

    /// The same for a field of this name: what goes into the target of a request stays as it is.
    pub fn parse_for(name: &FieldName, value: Bytes) -> Self {
        match name.is_pseudo() {
            true if has_control(&value) => FieldValue::Malformed(value),
            true => FieldValue::Pseudo(value),
            false => Self::parse(value),
        }
    }

    /// The bytes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            FieldValue::Valid(value) => value.as_bytes(),
            FieldValue::Pseudo(bytes) | FieldValue::Malformed(bytes) => bytes,
        }
    }
}

/// Whether a value has a character that HTTP does not allow in it.
#[inline]
fn has_control(value: &[u8]) -> bool {
    // Without an early end this is done many bytes at a time.
    value.iter().fold(false, |found, &byte| {
        found | ((byte < b' ') & (byte != b'\t')) | (byte == DELETE)
    })
}

const DELETE: u8 = 0x7f;

#[cfg(test)]
mod tests {
    use super::{FieldName, FieldValue};
    use bytes::Bytes;

    #[test]
    fn names_are_parsed_once_and_keep_their_bytes() {
        for name in [
            ":method",
            ":scheme",
            ":authority",
            ":path",
            ":status",
            ":protocol",
        ] {
            let parsed = FieldName::parse(name.as_bytes());
            assert!(parsed.is_pseudo(), "{name}");
            assert_eq!(parsed.as_bytes(), name.as_bytes());
        }
        for name in ["accept", "x-own", "a"] {
            let parsed = FieldName::parse(name.as_bytes());
            assert!(matches!(parsed, FieldName::Header(_)), "{name}");
            assert!(!parsed.is_pseudo());
            assert_eq!(parsed.as_bytes(), name.as_bytes());
        }
    }

    #[test]
    fn what_names_no_field_is_malformed() {
        let long = vec![b'a'; 1 << 17];
        let names: [&[u8]; 8] = [
            b"",
            b"Accept",
            b":unknown",
            b":",
            b"a b",
            b"a\0",
            b"\xff",
            &long,
        ];
        for name in names {
            let parsed = FieldName::parse(name);
            assert!(matches!(parsed, FieldName::Malformed(_)), "{parsed:?}");
            assert!(!parsed.is_pseudo());
            assert_eq!(parsed.as_bytes(), name);
        }
    }

    #[test]
    fn control_characters_make_a_value_malformed() {
        for byte in 0..=u8::MAX {
            let value = Bytes::from(vec![b'a', byte, b'b']);
            let is_legal = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            let parsed = FieldValue::parse(value.clone());
            assert_eq!(matches!(parsed, FieldValue::Valid(_)), is_legal, "{byte}");
            assert_eq!(parsed.as_bytes(), value);
            let parsed = FieldValue::parse_for(&FieldName::Path, value.clone());
            assert_eq!(matches!(parsed, FieldValue::Pseudo(_)), is_legal, "{byte}");
            assert_eq!(parsed.as_bytes(), value);
            let parsed = FieldValue::parse_for(&FieldName::parse(b"a"), value.clone());
            assert_eq!(matches!(parsed, FieldValue::Valid(_)), is_legal, "{byte}");
        }
        // Neither makes up for the other.
        for two in [b"\0\0", b"\x7f\x7f", b"\0\x7f", b"\x7f\0"] {
            let parsed = FieldValue::parse(Bytes::from_static(two));
            assert!(matches!(parsed, FieldValue::Malformed(_)), "{two:?}");
        }
        assert!(matches!(
            FieldValue::parse(Bytes::new()),
            FieldValue::Valid(_)
        ));
    }
}
