//! DATA (RFC 9114 §7.2.1): content, handed through without copying.

use bytes::BufMut;

use super::{FrameType, encode_header};
use crate::varint;

/// The longest header of a DATA frame in bytes.
pub const HEADER_LEN_MAX: usize = 1 + varint::LEN_MAX;

/// Writes the header of a DATA frame with `len` bytes of content.
pub fn encode(len: usize, out: &mut impl BufMut) {
    encode_header(FrameType::DATA, len, out);
}

/// How long the header of a DATA frame with `len` bytes of content is.
pub(crate) fn header_len(len: usize) -> usize {
    1 + varint::encoded_len(len as u64)
}

/// How long the header is, if these bytes are one whole DATA frame with content and nothing else.
#[inline]
pub(crate) fn header_of_whole(bytes: &[u8]) -> Option<usize> {
    let (ty, rest) = bytes.split_first()?;
    let (len, len_len) = varint::decode(rest)?;
    let is_whole = FrameType::DATA.value() == u64::from(*ty)
        && len > 0
        && len == (rest.len() - len_len) as u64;
    is_whole.then_some(1 + len_len)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_header_is_type_and_length() {
        let mut wire = Vec::new();
        super::encode(300, &mut wire);
        assert_eq!(wire, [0, 0x41, 0x2c]);
        assert_eq!(super::header_len(300), 3);
    }

    #[test]
    fn the_longest_header_has_room() {
        let mut wire = Vec::new();
        super::encode(crate::varint::MAX as usize, &mut wire);
        assert_eq!(wire.len(), super::HEADER_LEN_MAX);
        let len = crate::varint::MAX as usize;
        assert_eq!(super::header_len(len), super::HEADER_LEN_MAX);
    }

    #[test]
    fn only_one_whole_frame_with_content_is_one() {
        let mut wire = Vec::new();
        super::encode(300, &mut wire);
        wire.resize(3 + 300, 7);
        assert_eq!(super::header_of_whole(&wire), Some(3));
        for end in 0..wire.len() {
            assert_eq!(super::header_of_whole(&wire[..end]), None, "{end}");
        }
        wire.push(7);
        assert_eq!(super::header_of_whole(&wire), None, "more behind it");
        assert_eq!(super::header_of_whole(&[0, 0]), None, "no content");
        assert_eq!(super::header_of_whole(&[1, 1, 7]), None, "HEADERS");
        // A length may be longer than it has to be.
        assert_eq!(super::header_of_whole(&[0, 0x40, 1, 7]), Some(3));
    }
}
