//! DATA (RFC 9114 §7.2.1): content, handed through without copying.

use bytes::BufMut;

use super::{FrameType, encode_header};

/// The longest header of a DATA frame in bytes.
pub const HEADER_LEN_MAX: usize = 1 + crate::varint::LEN_MAX;

/// Writes the header of a DATA frame with `len` bytes of content.
pub fn encode(len: usize, out: &mut impl BufMut) {
    encode_header(FrameType::DATA, len, out);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_header_is_type_and_length() {
        let mut wire = Vec::new();
        super::encode(300, &mut wire);
        assert_eq!(wire, [0, 0x41, 0x2c]);
    }

    #[test]
    fn the_longest_header_has_room() {
        let mut wire = Vec::new();
        super::encode(crate::varint::MAX as usize, &mut wire);
        assert_eq!(wire.len(), super::HEADER_LEN_MAX);
    }
}
