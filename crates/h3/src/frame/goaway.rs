//! GOAWAY (RFC 9114 §7.2.6): from a server the first request that is not processed, from a client
//! the first push that is not accepted.

use bytes::BufMut;

use super::{FrameType, decode_identifier, encode_identifier};
use crate::error::ConnectionError;

/// Writes the frame.
pub fn encode(identifier: u64, out: &mut impl BufMut) {
    encode_identifier(FrameType::GOAWAY, identifier, out);
}

/// Reads the identifier; what it may be depends on the role of the sender.
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
        super::encode(4, &mut wire);
        assert_eq!(wire, [0x07, 1, 4]);
        assert_eq!(super::decode(&wire[2..]), Ok(4));
    }
}
