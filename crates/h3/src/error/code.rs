//! The error codes that HTTP/3, QPACK and HTTP datagrams register.
//!
//! Invariant: a code is kept as it was sent; [`Code::effective`] is what rules look at.

use std::fmt;

use crate::varint;

/// An application error code of QUIC, as HTTP/3 uses it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(u64);

/// Defines the constants and the table of names in one go.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The registered name, if there is one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// Every registered code.
            pub const REGISTERED: &'static [Self] = &[$(Self($value)),*];
        }
    };
}

codes! {
    /// A datagram or a capsule broke the rules of HTTP datagrams (RFC 9297).
    H3_DATAGRAM_ERROR = 0x33;
    /// Nothing is wrong; something merely ends.
    H3_NO_ERROR = 0x100;
    /// A violation that no other code describes.
    H3_GENERAL_PROTOCOL_ERROR = 0x101;
    /// Our own failure.
    H3_INTERNAL_ERROR = 0x102;
    /// A stream that is not accepted.
    H3_STREAM_CREATION_ERROR = 0x103;
    /// The control stream or a QPACK stream ended.
    H3_CLOSED_CRITICAL_STREAM = 0x104;
    /// A frame in the wrong place.
    H3_FRAME_UNEXPECTED = 0x105;
    /// A frame whose layout or size is wrong.
    H3_FRAME_ERROR = 0x106;
    /// A peer that makes us work too much.
    H3_EXCESSIVE_LOAD = 0x107;
    /// A stream or push identifier used wrongly.
    H3_ID_ERROR = 0x108;
    /// A SETTINGS payload that breaks the rules.
    H3_SETTINGS_ERROR = 0x109;
    /// The control stream did not start with SETTINGS.
    H3_MISSING_SETTINGS = 0x10a;
    /// The request was not processed at all.
    H3_REQUEST_REJECTED = 0x10b;
    /// The request or its response is no longer wanted.
    H3_REQUEST_CANCELLED = 0x10c;
    /// The request ended before it was complete.
    H3_REQUEST_INCOMPLETE = 0x10d;
    /// A malformed message.
    H3_MESSAGE_ERROR = 0x10e;
    /// The connection behind a CONNECT failed.
    H3_CONNECT_ERROR = 0x10f;
    /// HTTP/3 cannot serve this; HTTP/1.1 can.
    H3_VERSION_FALLBACK = 0x110;
    /// A field section could not be decompressed.
    QPACK_DECOMPRESSION_FAILED = 0x200;
    /// A wrong instruction on the encoder stream.
    QPACK_ENCODER_STREAM_ERROR = 0x201;
    /// A wrong instruction on the decoder stream.
    QPACK_DECODER_STREAM_ERROR = 0x202;
}

impl Code {
    /// The code with this value; values beyond 62 bits cannot be sent and become the largest one.
    pub const fn new(value: u64) -> Self {
        Self(if value > varint::MAX {
            varint::MAX
        } else {
            value
        })
    }

    /// The value on the wire.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The code that rules look at.
    // RFC 9114 §8: an unknown code means no more than H3_NO_ERROR.
    pub const fn effective(self) -> Self {
        if self.name().is_some() {
            self
        } else {
            Self::H3_NO_ERROR
        }
    }

    /// H3_NO_ERROR or, to exercise the peer, a reserved code that means the same.
    // RFC 9114 §8.1: with some probability a code from the reserved space stands for no error.
    pub(crate) const fn no_error(grease: Option<u32>) -> Self {
        match grease {
            Some(n) => Self(varint::reserved(n)),
            None => Self::H3_NO_ERROR,
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name}, {:#x}", self.0),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_codes_stand_for_themselves_and_others_for_no_error() {
        for code in Code::REGISTERED {
            assert_eq!(code.effective(), *code);
            assert!(
                !varint::is_reserved(code.value()),
                "{code} is in the reserved space"
            );
        }
        for value in [0, 0x21, 0xff, 0x111, 0x203, varint::MAX] {
            assert_eq!(Code::new(value).effective(), Code::H3_NO_ERROR);
            assert_eq!(Code::new(value).value(), value);
        }
    }

    #[test]
    fn there_are_no_gaps_in_the_range_of_http3() {
        let of_http3 = Code::REGISTERED
            .iter()
            .filter(|code| code.value() & !0xff == 0x100);
        assert_eq!(of_http3.count(), 17);
    }

    #[test]
    fn greased_no_error_is_reserved() {
        assert_eq!(Code::no_error(None), Code::H3_NO_ERROR);
        let greased = Code::no_error(Some(7));
        assert!(varint::is_reserved(greased.value()));
        assert_eq!(greased.effective(), Code::H3_NO_ERROR);
    }

    #[test]
    fn a_value_beyond_62_bits_becomes_the_largest() {
        assert_eq!(Code::new(u64::MAX).value(), varint::MAX);
    }
}
