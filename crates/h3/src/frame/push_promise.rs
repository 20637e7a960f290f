//! PUSH_PROMISE (RFC 9114 §7.2.5): a push identifier and the encoded request that is answered.

use bytes::{Bytes, BytesMut};

use super::headers::encode_with;
use super::{FrameType, wrong_layout};
use crate::error::ConnectionError;
use crate::varint;

/// Writes the frame; `write` appends the encoded field section.
pub fn encode<R>(push_id: u64, out: &mut BytesMut, write: impl FnOnce(&mut BytesMut) -> R) -> R {
    encode_with(FrameType::PUSH_PROMISE, out, |out| {
        varint::encode(push_id, out);
        write(out)
    })
}

/// Reads the push identifier and leaves the encoded field section.
///
/// # Errors
/// H3_FRAME_ERROR when there is no whole identifier.
pub fn decode(mut payload: Bytes) -> Result<(u64, Bytes), ConnectionError> {
    match varint::take(&mut payload) {
        Some(push_id) => Ok((push_id, payload)),
        None => Err(wrong_layout("a promise without its push identifier")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_round_trips() {
        let mut wire = BytesMut::new();
        encode(300, &mut wire, |out| out.extend_from_slice(b"fields"));
        assert_eq!(wire[0], 0x05);
        let (push_id, section) = decode(wire.freeze().slice(3..)).expect("a promise");
        assert_eq!((push_id, &section[..]), (300, &b"fields"[..]));
    }

    #[test]
    fn a_cut_identifier_is_a_frame_error() {
        assert!(decode(Bytes::from_static(&[0x40])).is_err());
        assert!(decode(Bytes::new()).is_err());
    }
}
