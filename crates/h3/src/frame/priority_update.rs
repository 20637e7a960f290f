//! PRIORITY_UPDATE (RFC 9218 §7.2): a new priority for a response or a push.

use bytes::{BufMut, Bytes};

use super::{FrameType, encode_header, wrong_layout};
use crate::error::ConnectionError;
use crate::varint;

/// Whose priority changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// The response on this request stream.
    Request(u64),
    /// This push.
    Push(u64),
}

/// Writes the frame with a priority field value.
pub fn encode(element: Element, value: &[u8], out: &mut impl BufMut) {
    let (ty, identifier) = match element {
        Element::Request(stream) => (FrameType::PRIORITY_UPDATE_REQUEST, stream),
        Element::Push(push_id) => (FrameType::PRIORITY_UPDATE_PUSH, push_id),
    };
    encode_header(ty, varint::encoded_len(identifier) + value.len(), out);
    varint::encode(identifier, out);
    out.put_slice(value);
}

/// Reads the identifier and leaves the priority field value.
///
/// # Errors
/// H3_FRAME_ERROR when there is no whole identifier.
pub fn decode(mut payload: Bytes) -> Result<(u64, Bytes), ConnectionError> {
    match varint::take(&mut payload) {
        Some(identifier) => Ok((identifier, payload)),
        None => Err(wrong_layout("a priority update without its identifier")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_variants_round_trip() {
        for (element, last) in [(Element::Request(4), 0x00), (Element::Push(4), 0x01)] {
            let mut wire = Vec::new();
            encode(element, b"u=1", &mut wire);
            assert_eq!(wire[..5], [0x80, 0x0f, 0x07, last, 4]);
            let payload = Bytes::from(wire).slice(5..);
            assert_eq!(decode(payload), Ok((4, Bytes::from_static(b"u=1"))));
        }
        assert!(decode(Bytes::new()).is_err());
    }
}
