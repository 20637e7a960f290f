//! Conditional requests (RFC 9110 §13).
//!
//! Invariant: conditions are looked at in the order of RFC 9110 §13.2.2.

use http::header::{
    HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE,
};
use std::fs::Metadata;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What tells one state of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validators {
    /// With its quotes.
    pub(super) etag: String,
    pub(super) modified: Option<SystemTime>,
}

/// What the conditions of a request say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on.
    Proceed,
    /// The client has it: 304.
    NotModified,
    /// It is not what the client means: 412.
    Failed,
}

impl Validators {
    /// Those of a file; content that is encoded in another way has another tag.
    pub(super) fn new(metadata: &Metadata, encoding: Option<&str>) -> Self {
        let modified = metadata.modified().ok();
        let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let nanoseconds = since.map_or(0, |since| since.as_nanos());
        let suffix = encoding.map_or(String::new(), |name| format!("-{name}"));
        Validators {
            etag: format!("\"{nanoseconds:x}-{:x}{suffix}\"", metadata.len()),
            modified,
        }
    }

    /// As Last-Modified says it.
    pub(super) fn last_modified(&self) -> Option<HeaderValue> {
        let text = httpdate::fmt_http_date(self.modified?);
        HeaderValue::try_from(text).ok()
    }

    /// Holds a request's conditions against them.
    pub(super) fn judge(&self, fields: &HeaderMap) -> Verdict {
        if fields.contains_key(IF_MATCH) {
            if !self.is_listed(fields, &IF_MATCH, false) {
                return Verdict::Failed;
            }
        } else if self.is_later_than(fields, &IF_UNMODIFIED_SINCE) == Some(true) {
            return Verdict::Failed;
        }
        if fields.contains_key(IF_NONE_MATCH) {
            if self.is_listed(fields, &IF_NONE_MATCH, true) {
                return Verdict::NotModified;
            }
        } else if self.is_later_than(fields, &IF_MODIFIED_SINCE) == Some(false) {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }

    /// Whether a part may be sent: the client has the rest of this very state.
    pub(super) fn allows_range(&self, fields: &HeaderMap) -> bool {
        let Some(condition) = fields.get(IF_RANGE) else {
            return true;
        };
        let text = condition.to_str().unwrap_or_default();
        match text.starts_with('"') || text.starts_with("W/") {
            // RFC 9110 §13.1.5: a weak tag does not do.
            true => text == self.etag,
            false => httpdate::parse_http_date(text).ok() == self.modified.map(whole_seconds),
        }
    }

    fn is_listed(&self, fields: &HeaderMap, name: &HeaderName, is_weak_enough: bool) -> bool {
        let values = fields.get_all(name).into_iter();
        let mut tags = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim);
        tags.any(|tag| {
            let strong = tag.strip_prefix("W/").filter(|_| is_weak_enough);
            tag == "*" || strong.unwrap_or(tag) == self.etag
        })
    }

    /// Whether it was changed after the time in a field; `None` without such a time.
    fn is_later_than(&self, fields: &HeaderMap, name: &HeaderName) -> Option<bool> {
        let text = fields.get(name)?.to_str().ok()?;
        let then = httpdate::parse_http_date(text).ok()?;
        Some(whole_seconds(self.modified?) > then)
    }
}

/// Fields have no fractions of a second.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderName;

    fn fields(rows: &[(HeaderName, &str)]) -> HeaderMap {
        let rows = rows.iter().cloned();
        rows.map(|(name, value)| (name, value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn conditions_are_judged_in_their_order() {
        let modified = UNIX_EPOCH + Duration::from_millis(784_111_777_500);
        let state = Validators {
            etag: "\"a\"".to_owned(),
            modified: Some(modified),
        };
        let (same, before) = (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:36 GMT",
        );
        use Verdict::{Failed, NotModified, Proceed};
        let rows: &[(&[(HeaderName, &str)], Verdict)] = &[
            (&[], Proceed),
            (&[(IF_MATCH, "\"a\"")], Proceed),
            (&[(IF_MATCH, "\"b\", \"a\"")], Proceed),
            (&[(IF_MATCH, "*")], Proceed),
            (&[(IF_MATCH, "\"b\"")], Failed),
            (&[(IF_MATCH, "W/\"a\"")], Failed),
            (&[(IF_NONE_MATCH, "\"a\"")], NotModified),
            (&[(IF_NONE_MATCH, "W/\"a\"")], NotModified),
            (&[(IF_NONE_MATCH, "\"b\"")], Proceed),
            (&[(IF_MODIFIED_SINCE, same)], NotModified),
            (&[(IF_MODIFIED_SINCE, before)], Proceed),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Proceed),
            (&[(IF_UNMODIFIED_SINCE, same)], Proceed),
            (&[(IF_UNMODIFIED_SINCE, before)], Failed),
            (
                &[(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, same)],
                Proceed,
            ),
            (
                &[(IF_MATCH, "\"a\""), (IF_UNMODIFIED_SINCE, before)],
                Proceed,
            ),
        ];
        for (given, expected) in rows {
            assert_eq!(state.judge(&fields(given)), *expected, "{given:?}");
        }
        for (condition, allowed) in [
            ("\"a\"", true),
            ("W/\"a\"", false),
            ("\"b\"", false),
            (same, true),
            (before, false),
        ] {
            let given = fields(&[(IF_RANGE, condition)]);
            assert_eq!(state.allows_range(&given), allowed, "{condition}");
        }
    }
}
