//! Where a transfer begins that was broken off before.
//!
//! Invariant: nothing is added to a file unless the server says that it is what comes next.

use crate::error::CommandError;
use http::StatusCode;
use portway_http::client::Response;

/// What a response to a request for the rest means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resumed {
    /// Its content is the rest.
    Rest,
    /// There was nothing left to get.
    Complete,
}

/// Looks whether a response has what comes after the first `begin` bytes.
pub(super) fn judge(response: &Response, begin: u64) -> Result<Resumed, CommandError> {
    let range = response.head().header_text("content-range");
    judge_range(response.status(), range.unwrap_or_default(), begin)
}

fn judge_range(
    status: StatusCode,
    range: Option<&str>,
    begin: u64,
) -> Result<Resumed, CommandError> {
    match status {
        StatusCode::PARTIAL_CONTENT => match range.and_then(first_byte) {
            Some(first) if first == begin => Ok(Resumed::Rest),
            _ => Err(wrong("the server sent another part than it was asked for")),
        },
        // RFC 9110 §15.5.17: the length that it names is what is there already.
        StatusCode::RANGE_NOT_SATISFIABLE if range.and_then(length) == Some(begin) => {
            Ok(Resumed::Complete)
        }
        StatusCode::RANGE_NOT_SATISFIABLE => Err(wrong("the server has no such part")),
        status if status.is_success() => Err(wrong("the server does not send parts")),
        // What a redirect or a failure says is nothing that belongs into the file.
        status => Err(wrong(&format!("the status is {status}: no part came"))),
    }
}

fn first_byte(range: &str) -> Option<u64> {
    let (first, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    first.trim().parse().ok()
}

fn length(range: &str) -> Option<u64> {
    range.strip_prefix("bytes */")?.trim().parse().ok()
}

fn wrong(message: &str) -> CommandError {
    CommandError::with_code(EXIT_RANGE, message)
}

const EXIT_RANGE: u8 = 33;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_next_is_the_rest() {
        let rows = [
            (206, Some("bytes 5-9/10"), Some(Resumed::Rest)),
            (206, Some("bytes 4-9/10"), None),
            (206, Some("lines 5-9/10"), None),
            (206, None, None),
            (200, None, None),
            (416, Some("bytes */5"), Some(Resumed::Complete)),
            (416, Some("bytes */4"), None),
            (302, None, None),
            (404, Some("bytes 5-9/10"), None),
            (503, None, None),
        ];
        for (status, range, expected) in rows {
            let status = StatusCode::from_u16(status).unwrap();
            let judged = judge_range(status, range, 5);
            assert_eq!(judged.ok(), expected, "{status} {range:?}");
        }
    }
}
