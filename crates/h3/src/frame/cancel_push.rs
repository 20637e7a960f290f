//! CANCEL_PUSH (RFC 9114 §7.2.3): a push that is not wanted or will not come.

use bytes::BufMut;

use super::{FrameType, decode_identifier, encode_identifier};
use crate::error::ConnectionError;

/// Writes the frame.
pub fn encode(push_id: u64, out: &mut impl BufMut) {
    encode_identifier(FrameType::CANCEL_PUSH, push_id, out);
}

/// Reads the push identifier.
///
/// # Errors
/// H3_FRAME_ERROR when the payload is anything but one identifier.
pub fn decode(payload: &[u8]) -> Result<u64, ConnectionError> {
    decode_identifier(payload)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_frame_round_trips() {
        let mut wire = Vec::new();
        super::encode(70, &mut wire);
        assert_eq!(wire, [0x03, 2, 0x40, 70]);
        assert_eq!(super::decode(&wire[2..]), Ok(70));
    }
}
