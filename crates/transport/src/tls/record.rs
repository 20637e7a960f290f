//! The little that portway itself knows of TLS records.
//!
//! Invariant: nothing here decides what is secure; rustls does.

use rustls::AlertDescription;

/// Whether bytes may be the start of TLS: a record of handshake or alert, version 3.
///
/// RFC 8446 §5.1: the first record of either side is one of the two; its version starts with 3.
pub(super) fn may_be_tls(first: &[u8]) -> bool {
    match first {
        [] => true,
        [kind] => is_first_kind(*kind),
        [kind, major, ..] => is_first_kind(*kind) && *major == 3,
    }
}

fn is_first_kind(kind: u8) -> bool {
    kind == ALERT || kind == HANDSHAKE
}

/// Whether the first record of `wire` is there to its end.
pub(super) fn starts_with_whole_record(wire: &[u8]) -> bool {
    match wire {
        [_, _, _, high, low, body @ ..] => {
            body.len() >= usize::from(u16::from_be_bytes([*high, *low]))
        }
        _ => false,
    }
}

/// Bytes that suffice for the plaintext of the whole records in `wire`, whatever the suite.
pub(super) fn plaintext_bytes_max(mut wire: &[u8]) -> usize {
    let mut bytes = 0;
    while let [_, _, _, high, low, body @ ..] = wire {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(rest) = body.get(length..) else {
            break;
        };
        // RFC 8446 §5.2, RFC 5246 §6.2.3.3: the suites that we speak have a tag of sixteen bytes.
        bytes += length.saturating_sub(TAG_BYTES);
        wire = rest;
    }
    bytes
}

/// Bytes that suffice for the records of this much plaintext, whatever the suite.
pub(super) fn encrypted_bytes_max(plaintext_bytes: usize) -> usize {
    plaintext_bytes + plaintext_bytes.div_ceil(FRAGMENT_BYTES_MAX) * OVERHEAD_BYTES_MAX
}

/// The plaintext that one record can carry.
pub(super) const FRAGMENT_BYTES_MAX: usize = 16 * 1024;

/// The plaintext in one record of TLS 1.3 of so many bytes, none of them padding.
pub(super) fn plaintext_bytes(record_bytes: usize) -> usize {
    record_bytes.saturating_sub(HEADER_BYTES + PROTECTION_BYTES)
}

/// Whether a client's last flight says that early data has ended, which it does only when the
/// server has taken it (RFC 8446 §4.5). rustls does not tell otherwise, and what this message is
/// encrypted with is known to no one else; but no other message of that flight is as short.
pub(super) fn ends_early_data(mut flight: &[u8]) -> bool {
    while let [kind, _, _, high, low, body @ ..] = flight {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind == APPLICATION_DATA {
            return length == END_OF_EARLY_DATA_BYTES + PROTECTION_BYTES;
        }
        flight = body.get(length..).unwrap_or_default();
    }
    false
}

/// A fatal alert in a record of its own, for the time before anything is encrypted.
pub(super) fn plain_alert(description: AlertDescription) -> [u8; 7] {
    [ALERT, 3, 3, 0, 2, FATAL, u8::from(description)]
}

/// What TLS 1.3 adds to the plaintext of a record without padding: its content type and the tag.
pub(super) const PROTECTION_BYTES: usize = 1 + TAG_BYTES;
/// What a suite appends to be able to tell that nothing was changed.
const TAG_BYTES: usize = 16;
/// Header, explicit nonce, inner content type and tag.
const OVERHEAD_BYTES_MAX: usize = 5 + 8 + 1 + 16;
const HEADER_BYTES: usize = 5;
/// A message without content.
const END_OF_EARLY_DATA_BYTES: usize = 4;
const ALERT: u8 = 21;
const FATAL: u8 = 2;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_protocols_are_told_from_tls_by_two_bytes() {
        for text in ["HTTP/1.1 400", "SSH-2.0", "220 smtp", "\x16HELLO"] {
            assert!(!may_be_tls(text.as_bytes()), "{text}");
        }
        assert!(may_be_tls(b""));
        assert!(may_be_tls(b"\x16"));
        assert!(may_be_tls(b"\x15\x03\x03"));
    }

    #[test]
    fn room_for_plaintext_counts_whole_records_and_no_tags() {
        assert_eq!(plaintext_bytes_max(&[]), 0);
        let record = |length: u8| [&[23, 3, 3, 0, length][..], &vec![0; length.into()]].concat();
        let two = [record(26), record(17)].concat();
        assert_eq!(plaintext_bytes_max(&two), 10 + 1);
        assert_eq!(plaintext_bytes_max(&two[..two.len() - 1]), 10);
        assert_eq!(plaintext_bytes_max(&record(3)), 0, "an alert of old");
    }

    #[test]
    fn the_end_of_early_data_is_the_first_encrypted_record_and_short() {
        let record =
            |kind: u8, length: u8| [&[kind, 3, 3, 0, length][..], &vec![0; length.into()]].concat();
        let [change, end, finished] = [record(20, 1), record(23, 21), record(23, 53)];
        assert!(ends_early_data(&[&end[..], &finished].concat()));
        assert!(ends_early_data(&[&change[..], &end, &finished].concat()));
        assert!(!ends_early_data(&finished));
        assert!(!ends_early_data(&[&finished[..], &end].concat()));
        assert!(!ends_early_data(&change));
    }

    #[test]
    fn a_record_is_whole_at_its_last_byte() {
        assert!(!starts_with_whole_record(&[23, 3, 3, 0]));
        assert!(!starts_with_whole_record(&[23, 3, 3, 0, 2, 1]));
        assert!(starts_with_whole_record(&[23, 3, 3, 0, 2, 1, 2]));
    }
}
