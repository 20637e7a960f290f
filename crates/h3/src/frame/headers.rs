//! HEADERS (RFC 9114 §7.2.2): an encoded field section, written in place.

use std::cmp::Ordering;

use bytes::{BufMut, BytesMut};

use super::{FrameType, encode_header};
use crate::varint;

/// Reserves room for a frame header in `out`, lets `write` append the payload, and puts the header
/// right before it, so that a field section is encoded once and never moved far.
///
/// The two-byte length covers almost every section; a longer one is moved by two bytes.
pub fn encode_with<R>(
    ty: FrameType,
    out: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut) -> R,
) -> R {
    let start = out.len();
    let room = varint::encoded_len(ty.value()) + 2;
    out.put_bytes(0, room);
    let result = write(out);
    let len = out.len() - start - room;
    let header_len = varint::encoded_len(ty.value()) + varint::encoded_len(len as u64);
    match header_len.cmp(&room) {
        Ordering::Greater => {
            out.put_bytes(0, header_len - room);
            out.copy_within(start + room..start + room + len, start + header_len);
        }
        Ordering::Equal => {}
        Ordering::Less => {
            // RFC 9000 §16: a length need not have its shortest encoding, so one byte of length is
            // written in two rather than moving the section.
            varint::encode(ty.value(), &mut &mut out[start..start + room - 2]);
            (&mut out[start + room - 2..start + room]).put_u16(len as u16 | 0x4000);
            return result;
        }
    }
    encode_header(ty, len, &mut &mut out[start..start + header_len]);
    result
}

/// Writes a HEADERS frame around the encoded `section`.
pub fn encode(section: &[u8], out: &mut impl BufMut) {
    encode_header(FrameType::HEADERS, section.len(), out);
    out.put_slice(section);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_framed(ty: FrameType, before: &'static [u8], len: usize) {
        let section: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let mut out = BytesMut::from(before);
        encode_with(ty, &mut out, |out| out.put_slice(&section));
        let frame = out.strip_prefix(before).expect("untouched");
        let (value, ty_len) = varint::decode(frame).expect("type");
        let (payload, len_len) = varint::decode(&frame[ty_len..]).expect("length");
        assert_eq!((value, payload), (ty.value(), len as u64));
        assert_eq!(&frame[ty_len + len_len..], section);
    }

    #[test]
    fn a_section_of_any_size_is_framed_in_place() {
        for len in [0, 1, 63, 64, 16_383, 16_384, 70_000] {
            assert_framed(FrameType::HEADERS, b"before", len);
            assert_framed(FrameType::HEADERS, b"", len);
            assert_framed(FrameType::PRIORITY_UPDATE_REQUEST, b"before", len);
        }
    }

    #[test]
    fn a_ready_section_is_framed_with_the_shortest_length() {
        let mut wire = Vec::new();
        encode(b"abc", &mut wire);
        assert_eq!(wire, b"\x01\x03abc");
    }
}
