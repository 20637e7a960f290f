//! The versions of HTTP/3 that ALPN can choose: the final one and draft-32.
//!
//! Invariant: every difference between the two is a method here, named after what differs.

use crate::error::Code;

/// A version of HTTP/3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Version {
    /// RFC 9114, ALPN `h3`.
    #[default]
    H3,
    /// draft-ietf-quic-http-32, ALPN `h3-32`.
    Draft32,
}

impl Version {
    /// The protocol's name in ALPN.
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::H3 => b"h3",
            Self::Draft32 => b"h3-32",
        }
    }

    /// The version that ALPN chose.
    pub fn from_alpn(alpn: &[u8]) -> Option<Self> {
        [Self::H3, Self::Draft32]
            .into_iter()
            .find(|version| version.alpn() == alpn)
    }

    /// The code that goes on the wire where RFC 9114 says `code`.
    // draft-32 §4.1.3: malformed messages are H3_GENERAL_PROTOCOL_ERROR; the code of their own,
    // 0x10e, came later.
    pub const fn wire_code(self, code: Code) -> Code {
        match (self, code) {
            (Self::Draft32, Code::H3_MESSAGE_ERROR) => Code::H3_GENERAL_PROTOCOL_ERROR,
            _ => code,
        }
    }

    /// Whether setting 0 is fatal.
    pub const fn reserves_setting_zero(self) -> bool {
        matches!(self, Self::H3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpn_names_the_version() {
        assert_eq!(Version::from_alpn(b"h3"), Some(Version::H3));
        assert_eq!(Version::from_alpn(b"h3-32"), Some(Version::Draft32));
        assert_eq!(Version::from_alpn(b"h3-29"), None);
    }

    #[test]
    fn draft_32_has_no_code_for_malformed_messages() {
        let code = Code::H3_MESSAGE_ERROR;
        assert_eq!(Version::H3.wire_code(code), code);
        assert_eq!(
            Version::Draft32.wire_code(code),
            Code::H3_GENERAL_PROTOCOL_ERROR
        );
        assert_eq!(
            Version::Draft32.wire_code(Code::H3_FRAME_ERROR),
            Code::H3_FRAME_ERROR
        );
    }
}
