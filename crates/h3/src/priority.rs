//! Priorities of responses (RFC 9218): what clients ask for and how we obey.
//!
//! Invariant: whatever text a peer sends, the result is an urgency from 0 to 7 and a flag.

mod scheduler;

use std::fmt;

use http::{HeaderMap, HeaderName};

pub(crate) use scheduler::Scheduler;

use crate::structured::{self, BareItem};

/// The name of the header field.
pub const HEADER: &str = "priority";

/// The same, parsed: it is looked for in every message.
pub(crate) static NAME: HeaderName = HeaderName::from_static(HEADER);

/// How important a response is and how it is best sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority {
    urgency: u8,
    is_incremental: bool,
}

impl Default for Priority {
    // RFC 9218 §4.1, §4.2: urgency 3, not incremental.
    fn default() -> Self {
        Self {
            urgency: 3,
            is_incremental: false,
        }
    }
}

impl Priority {
    /// A priority; `None` when the urgency is above 7.
    pub const fn new(urgency: u8, is_incremental: bool) -> Option<Self> {
        if urgency > 7 {
            None
        } else {
            Some(Self {
                urgency,
                is_incremental,
            })
        }
    }

    /// From 0, the most urgent, to 7, the background.
    pub const fn urgency(self) -> u8 {
        self.urgency
    }

    /// Whether parts of the response are of use before it is complete.
    pub const fn is_incremental(self) -> bool {
        self.is_incremental
    }

    /// What a client's text says; parameters that are missing have their default.
    ///
    /// `None` when the text is not a dictionary.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut signal = Signal::default();
        signal.read(text)?;
        Some(Self::default().merge(signal))
    }

    /// The priority that a request's header fields ask for; a field that cannot be parsed asks for
    /// nothing.
    pub fn of_request(headers: &HeaderMap) -> Self {
        Self::default().merge(Signal::of(headers))
    }

    /// This priority with what a response's header fields change.
    // RFC 9218 §8: what a response leaves out stays as the client wished.
    pub fn refined_by_response(self, headers: &HeaderMap) -> Self {
        self.merge(Signal::of(headers))
    }

    fn merge(self, signal: Signal) -> Self {
        Self {
            urgency: signal.urgency.unwrap_or(self.urgency),
            is_incremental: signal.is_incremental.unwrap_or(self.is_incremental),
        }
    }

    /// The same urgency, sent in turns with others.
    pub(crate) const fn taking_turns(self) -> Self {
        Self {
            urgency: self.urgency,
            is_incremental: true,
        }
    }

    /// The priority as transports know it: a larger number goes first.
    pub const fn for_transport(self) -> i32 {
        7 - self.urgency as i32
    }
}

/// The field value; a parameter at its default is left out.
impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.urgency, self.is_incremental) {
            (3, false) => Ok(()),
            (3, true) => f.write_str("i"),
            (urgency, false) => write!(f, "u={urgency}"),
            (urgency, true) => write!(f, "u={urgency}, i"),
        }
    }
}

/// The parameters that a text has.
#[derive(Debug, Clone, Copy, Default)]
struct Signal {
    urgency: Option<u8>,
    is_incremental: Option<bool>,
}

impl Signal {
    fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(&NAME).iter();
        let (first, second) = (values.next(), values.next());
        let mut signal = Self::default();
        let parsed = match (first, second) {
            (None, _) => Some(()),
            (Some(value), None) => signal.read(value.as_bytes()),
            // Several lines are one list, joined by commas.
            (Some(_), Some(_)) => {
                let lines: Vec<&[u8]> = headers
                    .get_all(&NAME)
                    .iter()
                    .map(|line| line.as_bytes())
                    .collect();
                signal.read(&lines.join(&b", "[..]))
            }
        };
        parsed.map_or_else(Self::default, |()| signal)
    }

    fn read(&mut self, text: &[u8]) -> Option<()> {
        // RFC 9218 §4: unknown parameters, other types and values out of range are ignored. The
        // last of several equal keys counts (RFC 9651 §4.2.2), also when it is then ignored.
        structured::parse_dictionary(text, |key, item| match (key, item) {
            (b"u", BareItem::Integer(urgency @ 0..=7)) => self.urgency = Some(urgency as u8),
            (b"u", _) => self.urgency = None,
            (b"i", BareItem::Boolean(is_incremental)) => {
                self.is_incremental = Some(is_incremental);
            }
            (b"i", _) => self.is_incremental = None,
            _ => {}
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn priority(urgency: u8, is_incremental: bool) -> Priority {
        Priority::new(urgency, is_incremental).expect("in range")
    }

    #[test]
    fn text_becomes_urgency_and_flag() {
        for (text, expected) in [
            ("", priority(3, false)),
            ("u=0", priority(0, false)),
            ("u=7, i", priority(7, true)),
            ("i, u=1", priority(1, true)),
            ("i=?0", priority(3, false)),
            ("i=?1;x=\"y\"", priority(3, true)),
            ("u=1, u=5", priority(5, false)),
            ("u=5;u=1", priority(5, false)),
            (
                "a=(1 2);b, u=2, c=:YQ==:, d=tok/en, e=1.5",
                priority(2, false),
            ),
        ] {
            assert_eq!(Priority::parse(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn wrong_types_and_ranges_are_ignored() {
        for text in [
            "u=8", "u=-1", "u=1.0", "u=?1", "u", "u=\"1\"", "u=(1)", "i=1", "x=4",
        ] {
            assert_eq!(
                Priority::parse(text.as_bytes()),
                Some(Priority::default()),
                "{text}"
            );
        }
        assert_eq!(Priority::parse(b"u=1, u=9"), Some(Priority::default()));
    }

    #[test]
    fn text_that_is_no_dictionary_is_refused() {
        for text in [
            "u=", "u=1,", "=1", "u=1 i", "U=1", "u=1;;", "i=?2", "u=(1", "\u{e4}",
        ] {
            assert_eq!(Priority::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn header_fields_are_joined_and_a_broken_one_asks_for_nothing() {
        let mut headers = HeaderMap::new();
        assert_eq!(Priority::of_request(&headers), Priority::default());
        headers.append(HEADER, HeaderValue::from_static("u=1"));
        headers.append(HEADER, HeaderValue::from_static("i"));
        assert_eq!(Priority::of_request(&headers), priority(1, true));
        headers.append(HEADER, HeaderValue::from_static("?"));
        assert_eq!(Priority::of_request(&headers), Priority::default());
    }

    #[test]
    fn a_response_changes_only_what_it_names() {
        let mut headers = HeaderMap::new();
        headers.append(HEADER, HeaderValue::from_static("u=1"));
        assert_eq!(
            priority(5, true).refined_by_response(&headers),
            priority(1, true)
        );
    }

    #[test]
    fn the_text_of_a_priority_is_read_back() {
        for urgency in 0..=7 {
            for is_incremental in [false, true] {
                let priority = priority(urgency, is_incremental);
                let text = priority.to_string();
                assert_eq!(Priority::parse(text.as_bytes()), Some(priority), "{text}");
            }
        }
        assert_eq!(Priority::new(8, false), None);
        assert!(priority(0, false).for_transport() > priority(1, true).for_transport());
    }
}
