//! Cookie crumbs (RFC 9114 §4.2.1): joined on receipt, split for sending.
//!
//! Invariant: joining what was split gives the same value.

use http::HeaderValue;

/// Collects the cookie lines of a section.
#[derive(Debug, Default)]
pub(super) enum Crumbs {
    #[default]
    None,
    /// The usual case costs no copy.
    One(HeaderValue),
    Many {
        joined: Vec<u8>,
        is_sensitive: bool,
    },
}

impl Crumbs {
    pub(super) fn push(&mut self, crumb: HeaderValue) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(crumb),
            Self::One(first) => {
                let mut joined = first.as_bytes().to_vec();
                append(&mut joined, &crumb);
                Self::Many {
                    joined,
                    is_sensitive: first.is_sensitive() || crumb.is_sensitive(),
                }
            }
            Self::Many {
                mut joined,
                is_sensitive,
            } => {
                append(&mut joined, &crumb);
                Self::Many {
                    joined,
                    is_sensitive: is_sensitive || crumb.is_sensitive(),
                }
            }
        };
    }

    /// The value of the one cookie field.
    pub(super) fn join(self) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::One(value) => Some(value),
            Self::Many {
                joined,
                is_sensitive,
            } => {
                let mut value = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined))
                    .expect("valid values joined by a legal separator are a valid value");
                value.set_sensitive(is_sensitive);
                Some(value)
            }
        }
    }
}

// RFC 9114 §4.2.1: crumbs are joined by a semicolon and a space.
fn append(joined: &mut Vec<u8>, crumb: &HeaderValue) {
    joined.extend_from_slice(b"; ");
    joined.extend_from_slice(crumb.as_bytes());
}

/// Splits a cookie into crumbs, so that the ones that stay are found in the compression table.
#[derive(Debug, Clone)]
pub(super) struct Split<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Split<'a> {
    pub(super) fn new(value: &'a [u8]) -> Self {
        Self { rest: Some(value) }
    }
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        match rest.windows(2).position(|pair| pair == b"; ") {
            Some(at) => {
                self.rest = Some(&rest[at + 2..]);
                Some(&rest[..at])
            }
            None => Some(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting_and_joining_gives_the_same_value() {
        for value in [
            "",
            "a=1",
            "a=1; b=2",
            "a=1; b=2; c=3",
            "a;b; c",
            "; ",
            "a=1; ",
        ] {
            let mut crumbs = Crumbs::default();
            for crumb in Split::new(value.as_bytes()) {
                crumbs.push(HeaderValue::from_bytes(crumb).expect("a value"));
            }
            assert_eq!(
                crumbs.join().expect("a cookie").as_bytes(),
                value.as_bytes()
            );
        }
        assert!(Crumbs::default().join().is_none());
    }

    #[test]
    fn one_sensitive_crumb_makes_the_cookie_sensitive() {
        let mut crumbs = Crumbs::default();
        crumbs.push(HeaderValue::from_static("a=1"));
        let mut secret = HeaderValue::from_static("b=2");
        secret.set_sensitive(true);
        crumbs.push(secret);
        crumbs.push(HeaderValue::from_static("c=3"));
        assert!(crumbs.join().expect("a cookie").is_sensitive());
    }
}
