//! The last head that came, for when it comes again as it was: whoever asks for the same thing
//! again, or gives answers that are alike, sends the same bytes.
//!
//! Invariant: what is kept is what decoding its bytes would give now, so that nothing is kept
//! across a change of the table that they refer to; nothing secret is kept.

use std::fmt;

use crate::exchange::DecodedHead;
use crate::message::has_secret;

/// A head and the bytes that it came in.
#[derive(Default)]
pub(super) struct Repeated {
    encoded: Vec<u8>,
    /// What they make, once they have come twice in a row: most heads come once, and cost no copy.
    head: Option<Box<DecodedHead>>,
}

impl Repeated {
    /// The head that these bytes make, if it is known.
    #[inline]
    pub(super) fn find(&self, encoded: &[u8]) -> Option<&DecodedHead> {
        let head = self.head.as_deref()?;
        (self.encoded == encoded).then_some(head)
    }

    /// Takes note of a head that was decoded.
    pub(super) fn note(&mut self, encoded: &[u8], head: &DecodedHead) {
        let fields = head.headers();
        if encoded.len() > ENCODED_MAX || fields.len() > FIELDS_MAX || has_secret(fields) {
            self.forget();
        } else if self.encoded == encoded && !encoded.is_empty() {
            self.head = Some(Box::new(head.clone()));
        } else {
            self.forget();
            self.encoded.extend_from_slice(encoded);
        }
    }

    /// Forgets everything: the same bytes may mean something else from now on.
    pub(super) fn forget(&mut self) {
        self.head = None;
        self.encoded.clear();
    }
}

impl fmt::Debug for Repeated {
    /// How much is kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repeated")
            .field("bytes", &self.encoded.len())
            .field("fields", &self.head.as_ref().map(|it| it.headers().len()))
            .finish()
    }
}

/// A section of more bytes is not kept.
const ENCODED_MAX: usize = 512;

/// A head with more fields is not kept.
const FIELDS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::{DecodedHead, ENCODED_MAX, FIELDS_MAX, Repeated};
    use crate::message::ResponseHead;
    use http::{HeaderName, HeaderValue, StatusCode};

    fn head(fields: usize) -> DecodedHead {
        let mut head = ResponseHead::new(StatusCode::OK);
        for number in 0..fields {
            let name: HeaderName = format!("x-{number}").parse().expect("a name");
            head.headers.append(name, HeaderValue::from_static("y"));
        }
        DecodedHead::response(head)
    }

    #[test]
    fn a_head_is_known_when_it_comes_for_the_third_time() {
        let mut repeated = Repeated::default();
        for _ in 0..2 {
            assert!(repeated.find(b"abc").is_none());
            repeated.note(b"abc", &head(3));
        }
        let known = repeated.find(b"abc").expect("it came twice");
        assert_eq!(known.headers().len(), 3);
        assert!(repeated.find(b"abd").is_none());
        assert!(repeated.find(b"ab").is_none());
        repeated.note(b"abd", &head(1));
        assert!(repeated.find(b"abc").is_none(), "another came between");
        repeated.note(b"abc", &head(3));
        repeated.note(b"abc", &head(3));
        repeated.forget();
        assert!(repeated.find(b"abc").is_none());
        repeated.note(b"abc", &head(3));
        assert!(repeated.find(b"abc").is_none(), "once since");
    }

    #[test]
    fn large_heads_are_not_kept() {
        for (bytes, fields, is_kept) in [
            (ENCODED_MAX, FIELDS_MAX, true),
            (ENCODED_MAX + 1, 1, false),
            (1, FIELDS_MAX + 1, false),
        ] {
            let mut repeated = Repeated::default();
            let encoded = vec![7; bytes];
            for _ in 0..3 {
                repeated.note(&encoded, &head(fields));
            }
            assert_eq!(repeated.find(&encoded).is_some(), is_kept);
            assert!(repeated.encoded.len() <= ENCODED_MAX);
        }
    }

    #[test]
    fn a_section_whose_bytes_are_gone_is_not_kept() {
        let mut repeated = Repeated::default();
        repeated.note(b"", &head(1));
        repeated.note(b"", &head(1));
        assert!(repeated.find(b"").is_none());
    }

    #[test]
    fn what_is_secret_is_neither_kept_nor_shown() {
        let mut marked = HeaderValue::from_static("s3cret");
        marked.set_sensitive(true);
        let plain = HeaderValue::from_static("s3cret");
        for (name, value, is_kept) in [
            ("x", plain.clone(), true),
            ("x", marked.clone(), false),
            ("set-cookie", plain.clone(), false),
            ("authorization", plain.clone(), false),
            ("proxy-authorization", plain, false),
            ("cookie", marked, false),
        ] {
            let mut head = ResponseHead::new(StatusCode::OK);
            head.headers.append(name, value);
            let (mut repeated, head) = (Repeated::default(), DecodedHead::response(head));
            for _ in 0..2 {
                repeated.note(b"s3cret", &head);
                assert_eq!(repeated.encoded.is_empty(), !is_kept, "{name}");
            }
            assert_eq!(repeated.find(b"s3cret").is_some(), is_kept, "{name}");
            let shown = format!("{repeated:?}");
            assert!(
                !shown.contains("s3cret") && !shown.contains("115"),
                "{shown}"
            );
        }
    }
}
