//! Ranges of bytes (RFC 9110 §14).
//!
//! Invariant: a range that is given lies within the content, and their number has a limit.

/// A range: its first byte and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u64,
    pub(super) length: u64,
}

impl Range {
    /// As it stands in Content-Range.
    pub(super) fn content_range(self, whole: u64) -> String {
        format!(
            "bytes {}-{}/{whole}",
            self.first,
            self.first + self.length - 1
        )
    }
}

/// What a Range field asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Everything: there is no such field, or one that may be passed over.
    Whole,
    /// These.
    Parts(Vec<Range>),
    /// Nothing that there is.
    Unsatisfiable,
}

/// Reads a Range field for content of so many bytes.
pub(super) fn parse(field: &str, whole: u64) -> Asked {
    // RFC 9110 §14.2: other units and what cannot be read are passed over.
    let Some(set) = field.strip_prefix("bytes=") else {
        return Asked::Whole;
    };
    let mut parts = Vec::new();
    for (count, spec) in set.split(',').map(str::trim).enumerate() {
        if count == RANGES_MAX {
            return Asked::Whole;
        }
        match one(spec, whole) {
            None => return Asked::Whole,
            Some(None) => {}
            Some(Some(range)) => parts.push(range),
        }
    }
    // RFC 9110 §14.2: many that overlap are an attack or a mistake; the whole is less.
    let asked: u64 = parts.iter().map(|range| range.length).sum();
    match parts.is_empty() {
        true => Asked::Unsatisfiable,
        false if parts.len() > 1 && asked > whole => Asked::Whole,
        false => Asked::Parts(parts),
    }
}

/// One range; `None` inside when it is beyond the content, outside when it is none.
fn one(spec: &str, whole: u64) -> Option<Option<Range>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let length = number(last)?.min(whole);
        return Some((length > 0).then(|| Range {
            first: whole - length,
            length,
        }));
    }
    let first = number(first)?;
    let last = match last.is_empty() {
        true => u64::MAX,
        false => number(last)?,
    };
    if last < first {
        return None;
    }
    Some((first < whole).then(|| Range {
        first,
        length: last.min(whole - 1) - first + 1,
    }))
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // One that does not fit is larger than any file.
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

const RANGES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(ranges: &[(u64, u64)]) -> Asked {
        let ranges = ranges.iter();
        Asked::Parts(
            ranges
                .map(|&(first, length)| Range { first, length })
                .collect(),
        )
    }

    #[test]
    fn fields_ask_for_what_they_say() {
        let rows = [
            ("bytes=0-9", parts(&[(0, 10)])),
            ("bytes=90-", parts(&[(90, 10)])),
            ("bytes=90-1000", parts(&[(90, 10)])),
            ("bytes=-5", parts(&[(95, 5)])),
            ("bytes=-500", parts(&[(0, 100)])),
            ("bytes=0-0, 99-99", parts(&[(0, 1), (99, 1)])),
            ("bytes=0-0,500-", parts(&[(0, 1)])),
            ("bytes=99999999999999999999999-", Asked::Unsatisfiable),
            ("bytes=100-", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=9-0", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("lines=1-2", Asked::Whole),
            ("bytes=0-,0-,0-", Asked::Whole),
        ];
        for (field, expected) in rows {
            assert_eq!(parse(field, 100), expected, "{field}");
        }
        let many = vec!["0-0"; RANGES_MAX + 1].join(",");
        assert_eq!(parse(&format!("bytes={many}"), 100), Asked::Whole);
        assert_eq!(parse("bytes=0-", 0), Asked::Unsatisfiable);
    }
}
