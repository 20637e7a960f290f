//! content-length against the content that really comes (RFC 9114 §4.1.2).
//!
//! Invariant: content never exceeds what was declared, and a message never ends short of it.

use http::{HeaderMap, HeaderValue, header};

use crate::error::StreamError;

/// How much content a message may still have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expected {
    /// Any amount.
    #[default]
    Any,
    /// Exactly this many bytes more.
    Exactly(u64),
    /// None at all, whatever was declared: responses to HEAD, 204 and 304.
    Nothing,
}

impl Expected {
    /// What the header fields of a message declare.
    ///
    /// # Errors
    /// A malformed message when there are several values or one that is not a number.
    // RFC 9110 §8.6: several values, even equal ones, may be refused, which leaves no doubt about
    // where a message ends on its way through intermediaries.
    pub fn declared(headers: &HeaderMap) -> Result<Self, &'static str> {
        // Looking at the few names of most messages takes less than hashing one.
        let mut declared = Self::Any;
        for (name, value) in headers {
            if *name == header::CONTENT_LENGTH {
                declared = declared.and_declared(value)?;
            }
        }
        Ok(declared)
    }

    /// What a message declares that has one more content-length field, this one.
    pub(crate) fn and_declared(self, value: &HeaderValue) -> Result<Self, &'static str> {
        match self {
            Self::Any => parse(value).map(Self::Exactly),
            _ => Err("several content-length fields"),
        }
    }

    /// Counts `len` bytes of content.
    ///
    /// # Errors
    /// A malformed message when it is more than was declared.
    pub fn take(&mut self, len: u64) -> Result<(), StreamError> {
        match self {
            Self::Any => Ok(()),
            Self::Exactly(left) => match left.checked_sub(len) {
                Some(rest) => {
                    *left = rest;
                    Ok(())
                }
                None => Err(StreamError::malformed(
                    "more content than content-length says",
                )),
            },
            Self::Nothing if len == 0 => Ok(()),
            Self::Nothing => Err(StreamError::malformed("content where there can be none")),
        }
    }

    /// Whether `len` more bytes would be too many; nothing is counted.
    pub fn would_exceed(self, len: u64) -> bool {
        match self {
            Self::Any => false,
            Self::Exactly(left) => len > left,
            Self::Nothing => len > 0,
        }
    }

    /// Checks that a message may end now.
    ///
    /// # Errors
    /// A malformed message when content is missing.
    pub fn finish(self) -> Result<(), StreamError> {
        match self {
            Self::Any | Self::Nothing | Self::Exactly(0) => Ok(()),
            Self::Exactly(_) => Err(StreamError::malformed(
                "less content than content-length says",
            )),
        }
    }
}

/// Digits only; no sign, no list, no white space.
fn parse(value: &HeaderValue) -> Result<u64, &'static str> {
    let append = |number: Option<u64>, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        let tens = number.unwrap_or(0).checked_mul(10)?;
        tens.checked_add(u64::from(digit)).map(Some)
    };
    let number = value.as_bytes().iter().try_fold(None, append);
    number.flatten().ok_or("content-length is not a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(values: &[&'static str]) -> Result<Expected, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_LENGTH, HeaderValue::from_static(value));
        }
        Expected::declared(&headers)
    }

    #[test]
    fn it_is_found_among_any_number_of_fields() {
        for others in 0..20u32 {
            let mut headers = HeaderMap::new();
            let fill = |headers: &mut HeaderMap, count: u32, first: u32| {
                for other in first..first + count {
                    let name = format!("x-{other}").parse::<http::HeaderName>();
                    headers.append(name.expect("a name"), HeaderValue::from(other));
                }
            };
            fill(&mut headers, others, 0);
            assert_eq!(Expected::declared(&headers), Ok(Expected::Any));
            headers.append(header::CONTENT_LENGTH, HeaderValue::from(7));
            fill(&mut headers, others / 2, 100);
            assert_eq!(Expected::declared(&headers), Ok(Expected::Exactly(7)));
            headers.append(header::CONTENT_LENGTH, HeaderValue::from(7));
            assert!(Expected::declared(&headers).is_err(), "{others}");
        }
    }

    #[test]
    fn only_one_number_is_accepted() {
        assert_eq!(declared(&[]), Ok(Expected::Any));
        assert_eq!(declared(&["0"]), Ok(Expected::Exactly(0)));
        assert_eq!(
            declared(&["18446744073709551615"]),
            Ok(Expected::Exactly(u64::MAX))
        );
        for wrong in ["", "+1", "-1", "1 ", "1,1", "0x1", "18446744073709551616"] {
            assert!(declared(&[wrong]).is_err(), "{wrong:?}");
        }
        assert!(declared(&["1", "1"]).is_err());
    }

    #[test]
    fn content_must_match_exactly() {
        let mut expected = Expected::Exactly(3);
        expected.take(2).expect("within");
        expected.finish().expect_err("short");
        assert!(expected.would_exceed(2) && !expected.would_exceed(1));
        expected.take(2).expect_err("beyond");
        expected.take(1).expect("the rest");
        expected.finish().expect("complete");
        assert!(!Expected::Any.would_exceed(u64::MAX));
    }

    #[test]
    fn a_message_without_content_may_have_empty_pieces_only() {
        let mut expected = Expected::Nothing;
        expected.take(0).expect("nothing");
        expected.finish().expect("complete");
        assert!(expected.would_exceed(1) && !expected.would_exceed(0));
        expected.take(1).expect_err("content");
    }
}
