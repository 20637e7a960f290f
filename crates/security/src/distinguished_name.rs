//! Distinguished names of certificates as a person reads them.
//!
//! Invariant: input comes from a peer; whatever it holds, the result is short printable text.

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

/// Walks DER elements that follow one another; ends at the first that is malformed.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
            0x82 => {
                let bytes = [*rest.first()?, *rest.get(1)?];
                (usize::from(u16::from_be_bytes(bytes)), rest.get(2..)?)
            }
            _ => return None,
        };
        let value = rest.get(..length)?;
        self.0 = &rest[length..];
        Some((tag, value))
    }
}

const SET: u8 = 0x31;
const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
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
