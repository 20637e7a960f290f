//! Reserved frames (RFC 9114 §7.2.8): no meaning, sent so that peers keep ignoring what they do
//! not know, and as padding.

use bytes::BufMut;

use super::{FrameType, encode_header};
use crate::varint;

/// Writes reserved frame number `n` with `len` zero bytes.
pub fn encode(n: u32, len: usize, out: &mut impl BufMut) {
    encode_header(FrameType(varint::reserved(n)), len, out);
    out.put_bytes(0, len);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_type_is_reserved_and_the_length_as_asked() {
        let mut wire = Vec::new();
        super::encode(1, 3, &mut wire);
        assert_eq!(wire, [0x40, 0x40, 3, 0, 0, 0]);
    }
}
