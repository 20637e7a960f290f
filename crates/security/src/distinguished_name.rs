//! Distinguished names of certificates as a person reads them.
//!
//! Invariant: input comes from a peer; whatever it holds, the result is short printable text.

use crate::der::{OBJECT_IDENTIFIER, Reader, SEQUENCE, SET};

/// The most telling parts of a DER-encoded name: common name and organisation.
///
/// `der` is the content of the outer SEQUENCE, as webpki hands it out.
pub(crate) fn shown(der: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut sets = Reader(der);
    while let Some((SET, set)) = sets.next() {
        let mut attributes = Reader(set);
        while let Some((SEQUENCE, attribute)) = attributes.next() {
            let mut fields = Reader(attribute);
            let Some((OBJECT_IDENTIFIER, kind)) = fields.next() else {
                continue;
            };
            let label = match kind {
                COMMON_NAME => "CN",
                ORGANISATION => "O",
                _ => continue,
            };
            if let Some((_, value)) = fields.next() {
                parts.push(format!("{label}={}", printable(value)));
            }
        }
    }
    if parts.is_empty() {
        return "an unnamed authority".into();
    }
    parts.join(", ")
}

/// At most 64 characters; what is not printable becomes a question mark.
fn printable(value: &[u8]) -> String {
    String::from_utf8_lossy(value)
        .chars()
        .take(64)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANISATION: &[u8] = &[0x55, 0x04, 0x0a];

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = &[
        0x31, 0x0c, 0x30, 0x0a, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x03, b'a', 7, b'b',
    ];

    #[test]
    fn common_name_is_shown_and_control_characters_are_not() {
        assert_eq!(shown(NAME), "CN=a?b");
    }

    #[test]
    fn every_truncation_is_harmless() {
        for length in 0..NAME.len() {
            assert_eq!(shown(&NAME[..length]), "an unnamed authority");
        }
    }
}
