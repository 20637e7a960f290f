//! The static table of RFC 9204 Appendix A, ready-made for both directions.
//!
//! Invariant: an index means the same line for ever; entries of one name need not be neighbours.

use super::hash::{self, line_hash};
use crate::field::{FieldName, FieldValue};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// How many entries there are.
pub(super) const LENGTH: usize = 99;

/// The entry at `index`.
#[inline]
pub(super) fn get(index: u64) -> Option<&'static (FieldName, FieldValue)> {
    ENTRIES.get(usize::try_from(index).ok()?)
}

/// The index of a whole line, whose hash is `hash`.
#[inline]
pub(super) fn find_line(name: &[u8], value: &[u8], hash: u32) -> Option<u64> {
    find(&BY_LINE, hash, |(own_name, own_value)| {
        own_value.as_bytes() == value && own_name.as_bytes() == name
    })
}

/// The index of a pseudo-header field that most messages have, without looking for it.
#[inline]
pub(super) fn common(name: &FieldName, value: &[u8]) -> Option<u64> {
    Some(match (name, value) {
        (FieldName::Path, b"/") => 1,
        (FieldName::Method, b"GET") => 17,
        (FieldName::Method, b"POST") => 20,
        (FieldName::Scheme, b"https") => 23,
        (FieldName::Status, b"200") => 25,
        _ => return None,
    })
}

/// The lowest index of a name, whose hash is `hash`.
#[inline]
pub(super) fn find_name(name: &[u8], hash: u32) -> Option<u64> {
    find(&BY_NAME, hash, |(own_name, _)| own_name.as_bytes() == name)
}

#[inline]
fn find(
    index: &Index,
    hash: u32,
    is_equal: impl Fn(&(&'static str, &'static str)) -> bool,
) -> Option<u64> {
    let mut slot = slot_of(hash);
    loop {
        let (own_hash, entry) = index[slot];
        let line = LINES.get(usize::from(entry))?;
        if own_hash == hash && is_equal(line) {
            return Some(u64::from(entry));
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// Hashes with the entries that have them; an entry that does not exist marks a free slot.
type Index = [(u32, u8); SLOTS];

const SLOTS: usize = 512;

const FREE: u8 = u8::MAX;

static BY_LINE: Index = {
    let mut index = [(0, FREE); SLOTS];
    let mut entry = 0;
    while entry < LENGTH {
        let (name, value) = LINES[entry];
        let name = hash::name_hash(name.as_bytes());
        place(&mut index, line_hash(name, value.as_bytes()), entry);
        entry += 1;
    }
    index
};

static BY_NAME: Index = {
    let mut index = [(0, FREE); SLOTS];
    let mut entry = 0;
    while entry < LENGTH {
        place(
            &mut index,
            hash::name_hash(LINES[entry].0.as_bytes()),
            entry,
        );
        entry += 1;
    }
    index
};

/// Puts an entry behind those with the same hash, so that the lowest of a name is found first.
const fn place(index: &mut Index, hash: u32, entry: usize) {
    let mut slot = slot_of(hash);
    while index[slot].1 != FREE {
        slot = (slot + 1) % SLOTS;
    }
    index[slot] = (hash, entry as u8);
}

const fn slot_of(hash: u32) -> usize {
    hash as usize % SLOTS
}

macro_rules! entries {
    ($($index:literal)*) => { [$(entry($index)),*] };
}

static ENTRIES: [(FieldName, FieldValue); LENGTH] = entries![
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
    33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62
    63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86 87 88 89 90 91 92
    93 94 95 96 97 98
];

const fn entry(index: usize) -> (FieldName, FieldValue) {
    let (name, value) = LINES[index];
    let name = match name.as_bytes() {
        b":authority" => FieldName::Authority,
        b":method" => FieldName::Method,
        b":path" => FieldName::Path,
        b":scheme" => FieldName::Scheme,
        b":status" => FieldName::Status,
        _ => {
            let value = FieldValue::Valid(HeaderValue::from_static(value));
            return (FieldName::Header(HeaderName::from_static(name)), value);
        }
    };
    (
        name,
        FieldValue::Pseudo(Bytes::from_static(value.as_bytes())),
    )
}

const LINES: [(&str, &str); LENGTH] = [
    (":authority", ""),
    (":path", "/"),
    ("age", "0"),
    ("content-disposition", ""),
    ("content-length", "0"),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("referer", ""),
    ("set-cookie", ""),
    (":method", "CONNECT"),
    (":method", "DELETE"),
    (":method", "GET"),
    (":method", "HEAD"),
    (":method", "OPTIONS"),
    (":method", "POST"),
    (":method", "PUT"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "103"),
    (":status", "200"),
    (":status", "304"),
    (":status", "404"),
    (":status", "503"),
    ("accept", "*/*"),
    ("accept", "application/dns-message"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-ranges", "bytes"),
    ("access-control-allow-headers", "cache-control"),
    ("access-control-allow-headers", "content-type"),
    ("access-control-allow-origin", "*"),
    ("cache-control", "max-age=0"),
    ("cache-control", "max-age=2592000"),
    ("cache-control", "max-age=604800"),
    ("cache-control", "no-cache"),
    ("cache-control", "no-store"),
    ("cache-control", "public, max-age=31536000"),
    ("content-encoding", "br"),
    ("content-encoding", "gzip"),
    ("content-type", "application/dns-message"),
    ("content-type", "application/javascript"),
    ("content-type", "application/json"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "image/gif"),
    ("content-type", "image/jpeg"),
    ("content-type", "image/png"),
    ("content-type", "text/css"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-type", "text/plain"),
    ("content-type", "text/plain;charset=utf-8"),
    ("range", "bytes=0-"),
    ("strict-transport-security", "max-age=31536000"),
    (
        "strict-transport-security",
        "max-age=31536000; includesubdomains",
    ),
    (
        "strict-transport-security",
        "max-age=31536000; includesubdomains; preload",
    ),
    ("vary", "accept-encoding"),
    ("vary", "origin"),
    ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1; mode=block"),
    (":status", "100"),
    (":status", "204"),
    (":status", "206"),
    (":status", "302"),
    (":status", "400"),
    (":status", "403"),
    (":status", "421"),
    (":status", "425"),
    (":status", "500"),
    ("accept-language", ""),
    ("access-control-allow-credentials", "FALSE"),
    ("access-control-allow-credentials", "TRUE"),
    ("access-control-allow-headers", "*"),
    ("access-control-allow-methods", "get"),
    ("access-control-allow-methods", "get, post, options"),
    ("access-control-allow-methods", "options"),
    ("access-control-expose-headers", "content-length"),
    ("access-control-request-headers", "content-type"),
    ("access-control-request-method", "get"),
    ("access-control-request-method", "post"),
    ("alt-svc", "clear"),
    ("authorization", ""),
    (
        "content-security-policy",
        "script-src 'none'; object-src 'none'; base-uri 'none'",
    ),
    ("early-data", "1"),
    ("expect-ct", ""),
    ("forwarded", ""),
    ("if-range", ""),
    ("origin", ""),
    ("purpose", "prefetch"),
    ("server", ""),
    ("timing-allow-origin", "*"),
    ("upgrade-insecure-requests", "1"),
    ("user-agent", ""),
    ("x-forwarded-for", ""),
    ("x-frame-options", "deny"),
    ("x-frame-options", "sameorigin"),
];

#[cfg(test)]
mod tests {
    use super::super::hash::{line_hash, name_hash};
    use super::{BY_LINE, BY_NAME, FREE, LENGTH, LINES, SLOTS, find_line, find_name, get};

    #[test]
    fn the_first_and_last_entries_are_those_of_the_specification() {
        let entry = |index| {
            let (name, value) = get(index).unwrap();
            (name.as_bytes(), value.as_bytes())
        };
        assert_eq!(entry(0), (&b":authority"[..], &b""[..]));
        assert_eq!(entry(1), (&b":path"[..], &b"/"[..]));
        assert_eq!(entry(25), (&b":status"[..], &b"200"[..]));
        let csp = &b"script-src 'none'; object-src 'none'; base-uri 'none'"[..];
        assert_eq!(entry(85), (&b"content-security-policy"[..], csp));
        assert_eq!(entry(98), (&b"x-frame-options"[..], &b"sameorigin"[..]));
    }

    #[test]
    fn common_lines_are_where_they_are_found() {
        let mut common = 0;
        for (index, (name, value)) in (0..).zip(&super::ENTRIES) {
            if let Some(found) = super::common(name, value.as_bytes()) {
                assert_eq!(found, index, "{name:?}");
                common += 1;
            }
        }
        assert_eq!(common, 5);
    }

    #[test]
    fn every_line_and_name_is_found_where_it_is() {
        for (index, (name, value)) in LINES.iter().enumerate() {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            let entry = get(index as u64).unwrap();
            assert_eq!((entry.0.as_bytes(), entry.1.as_bytes()), (name, value));
            let hash = name_hash(name);
            assert_eq!(
                find_line(name, value, line_hash(hash, value)),
                Some(index as u64)
            );
            let first = LINES.iter().position(|line| line.0.as_bytes() == name);
            assert_eq!(find_name(name, hash), first.map(|first| first as u64));
        }
    }

    #[test]
    fn entries_are_where_their_hashes_say_or_close_behind() {
        for index in [&BY_LINE, &BY_NAME] {
            for (slot, (hash, _)) in index.iter().enumerate().filter(|(_, e)| e.1 != FREE) {
                let own = *hash as usize % SLOTS;
                // As many as the entries of the most common name.
                assert!(slot.wrapping_sub(own) % SLOTS < 20, "{slot} for {own}");
            }
        }
    }

    #[test]
    fn an_equal_hash_is_not_yet_an_equal_line() {
        let hash = name_hash(b"accept");
        assert_eq!(find_name(b"accepT", hash), None);
        assert_eq!(
            find_line(b"age", b"1", line_hash(name_hash(b"age"), b"0")),
            None
        );
        assert_eq!(
            find_line(b"agE", b"0", line_hash(name_hash(b"age"), b"0")),
            None
        );
    }

    #[test]
    fn there_is_nothing_behind_the_last_entry() {
        assert!(get(LENGTH as u64 - 1).is_some());
        assert!(get(LENGTH as u64).is_none());
        assert!(get(u64::MAX).is_none());
    }
}
