//! SETTINGS (RFC 9114 §7.2.4): identifiers and values; what they mean is in [`crate::settings`].

use bytes::BufMut;

use super::{FrameType, encode_header, wrong_layout};
use crate::error::ConnectionError;
use crate::varint;

/// Writes the frame.
pub fn encode(settings: impl Iterator<Item = (u64, u64)> + Clone, out: &mut impl BufMut) {
    let len = |(id, value)| varint::encoded_len(id) + varint::encoded_len(value);
    encode_header(FrameType::SETTINGS, settings.clone().map(len).sum(), out);
    encode_payload(settings, out);
}

/// Writes the payload alone, as it is remembered beside a session ticket.
pub fn encode_payload(settings: impl Iterator<Item = (u64, u64)>, out: &mut impl BufMut) {
    for (identifier, value) in settings {
        varint::encode(identifier, out);
        varint::encode(value, out);
    }
}

/// Reads the pairs in their order; each is given to `visit`.
///
/// # Errors
/// H3_FRAME_ERROR when a pair is cut off, and whatever `visit` refuses with.
pub fn decode(
    mut payload: &[u8],
    mut visit: impl FnMut(u64, u64) -> Result<(), ConnectionError>,
) -> Result<(), ConnectionError> {
    let mut next = || -> Option<u64> {
        let (value, len) = varint::decode(payload)?;
        payload = &payload[len..];
        Some(value)
    };
    while let Some(identifier) = next() {
        let Some(value) = next() else {
            return Err(wrong_layout("a setting without its value"));
        };
        visit(identifier, value)?;
    }
    if payload.is_empty() {
        Ok(())
    } else {
        Err(wrong_layout("a setting that is cut off"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn pairs(payload: &[u8]) -> Result<Vec<(u64, u64)>, ConnectionError> {
        let mut pairs = Vec::new();
        decode(payload, |identifier, value| {
            pairs.push((identifier, value));
            Ok(())
        })?;
        Ok(pairs)
    }

    #[test]
    fn the_frame_round_trips_and_every_cut_within_a_pair_is_an_error() {
        let settings = [(6, 16_384), (0x40, 1), (0x33, 1)];
        let mut wire = Vec::new();
        encode(settings.into_iter(), &mut wire);
        let payload = &wire[2..];
        assert_eq!(pairs(payload), Ok(settings.to_vec()));
        let whole = [0, 5, 8, 10];
        for cut in 0..payload.len() {
            match pairs(&payload[..cut]) {
                Ok(_) => assert!(whole.contains(&cut), "cut at {cut}"),
                Err(error) => {
                    assert_eq!(error.code, Code::H3_FRAME_ERROR);
                    assert!(!whole.contains(&cut), "cut at {cut}");
                }
            }
        }
    }
}
