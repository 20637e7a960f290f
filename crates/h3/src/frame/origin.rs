//! ORIGIN (RFC 9412): the origins that a server speaks for on this connection.

use bytes::BufMut;

use super::{FrameType, encode_header, wrong_layout};
use crate::error::ConnectionError;

/// Writes the frame.
///
/// # Panics
/// When an origin is longer than 65,535 bytes; the connection checks that first.
pub fn encode<'a>(origins: impl Iterator<Item = &'a str> + Clone, out: &mut impl BufMut) {
    let payload_len = origins.clone().map(|origin| 2 + origin.len()).sum();
    encode_header(FrameType::ORIGIN, payload_len, out);
    for origin in origins {
        out.put_u16(u16::try_from(origin.len()).expect("the length was checked"));
        out.put_slice(origin.as_bytes());
    }
}

/// Reads the entries; those that are not ASCII are left out.
///
/// # Errors
/// H3_FRAME_ERROR when an entry is cut off.
pub fn decode(mut payload: &[u8]) -> Result<Vec<String>, ConnectionError> {
    let mut origins = Vec::new();
    while !payload.is_empty() {
        let Some((len, rest)) = payload.split_first_chunk::<2>() else {
            return Err(wrong_layout("an origin without its length"));
        };
        let Some((origin, rest)) = rest.split_at_checked(u16::from_be_bytes(*len).into()) else {
            return Err(wrong_layout("an origin that is cut off"));
        };
        payload = rest;
        // RFC 8336 §2.1: an entry that is no ASCII origin is ignored; an empty one says nothing.
        if let Ok(origin) = std::str::from_utf8(origin)
            && origin.is_ascii()
            && !origin.is_empty()
        {
            origins.push(origin.to_owned());
        }
    }
    Ok(origins)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn origins_round_trip() {
        let origins = ["https://example.com", "https://other.example:8443"];
        let mut wire = Vec::new();
        encode(origins.iter().copied(), &mut wire);
        assert_eq!(wire[0], 0x0c);
        assert_eq!(decode(&wire[2..]).expect("whole"), origins);
        assert!(decode(&[]).expect("none").is_empty());
    }

    #[test]
    fn a_cut_entry_is_a_frame_error() {
        let mut wire = Vec::new();
        encode(["https://a"].into_iter(), &mut wire);
        for cut in 3..wire.len() {
            let error = decode(&wire[2..cut]).expect_err("cut off");
            assert_eq!(error.code, Code::H3_FRAME_ERROR);
        }
    }

    #[test]
    fn entries_that_are_no_origin_are_left_out() {
        assert!(decode(&[0, 0, 0, 1, 0xff]).expect("whole").is_empty());
    }
}
