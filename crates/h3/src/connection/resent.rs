//! The last section that was sent, for when the same fields are sent again.
//!
//! Invariant: what is kept are the bytes that encoding the same fields would give, as long as the
//! encoder's table is as it was, which the encoder says; nothing secret is kept.

use std::fmt;

use http::HeaderMap;

use crate::field::FieldName;
use crate::message::{Outgoing, has_secret};
use crate::qpack::References;

/// A section and its bytes.
#[derive(Default)]
pub(super) struct Resent {
    encoded: Vec<u8>,
    /// What they were made of, once they have come out twice in a row: most sections are sent once,
    /// and cost no copy.
    kept: Option<Box<Kept>>,
}

struct Kept {
    pseudo: Vec<(FieldName, Box<[u8]>)>,
    headers: HeaderMap,
    references: References,
}

impl Resent {
    /// The bytes that these fields were encoded to, and what they refer to, if that is known.
    #[inline]
    pub(super) fn find(&self, fields: &Outgoing<'_>) -> Option<(&[u8], &References)> {
        let kept = self.kept.as_deref()?;
        kept.equals(fields)
            .then_some((&self.encoded[..], &kept.references))
    }

    /// Takes note of what fields were encoded to; `references` are there if it can be sent again.
    pub(super) fn note(
        &mut self,
        fields: &Outgoing<'_>,
        encoded: &[u8],
        references: Option<References>,
    ) {
        let headers = fields.header_map();
        let is_small = encoded.len() <= ENCODED_MAX && headers.len() <= FIELDS_MAX;
        let may_be_kept = is_small && !has_secret(headers);
        match references {
            Some(references) if may_be_kept && self.encoded == encoded => {
                self.kept = Some(Box::new(Kept::new(fields, references)));
            }
            Some(_) if may_be_kept => {
                self.forget();
                self.encoded.extend_from_slice(encoded);
            }
            _ => self.forget(),
        }
    }

    fn forget(&mut self) {
        self.kept = None;
        self.encoded.clear();
    }
}

impl Kept {
    fn new(fields: &Outgoing<'_>, references: References) -> Self {
        let pseudo = fields.pseudo();
        Kept {
            pseudo: pseudo
                .map(|(name, value)| (name.clone(), value.into()))
                .collect(),
            headers: fields.header_map().clone(),
            references,
        }
    }

    /// Whether these are the same fields to the byte, in the same order.
    fn equals(&self, fields: &Outgoing<'_>) -> bool {
        let headers = fields.header_map();
        let pseudo = self.pseudo.iter().map(|(name, value)| (name, &value[..]));
        self.headers.len() == headers.len()
            && pseudo.eq(fields.pseudo())
            && self.headers.iter().zip(headers).all(|(ours, theirs)| {
                ours.0 == theirs.0
                    && is_same(ours.1.as_bytes(), theirs.1.as_bytes())
                    && ours.1.is_sensitive() == theirs.1.is_sensitive()
            })
    }
}

impl fmt::Debug for Resent {
    /// How much is kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resent")
            .field("bytes", &self.encoded.len())
            .field("fields", &self.kept.as_ref().map(|it| it.headers.len()))
            .finish()
    }
}

/// Whether two values are equal. Those that were kept are mostly the very bytes that are sent
/// again, which need not be looked at.
#[inline]
fn is_same(ours: &[u8], theirs: &[u8]) -> bool {
    std::ptr::eq(ours, theirs) || ours == theirs
}

/// A section of more bytes is not kept.
const ENCODED_MAX: usize = 512;

/// A section with more fields is not kept.
const FIELDS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::{ENCODED_MAX, FIELDS_MAX, Resent};
    use crate::message::{Outgoing, RequestHead};
    use crate::qpack::{Encoder, EncoderConfig, References};
    use http::{HeaderName, HeaderValue, Method};

    fn references() -> References {
        let mut encoder = Encoder::new(EncoderConfig::default());
        let mut out = bytes::BytesMut::new();
        let section = encoder.section(0, &mut out);
        section.finish_and_tell().expect("it refers to nothing")
    }

    fn head(path: &'static str, values: &[&'static str]) -> RequestHead {
        let uri = format!("https://example.com{path}").parse();
        let mut head = RequestHead::new(Method::GET, uri.expect("a target"));
        for (number, value) in values.iter().enumerate() {
            let name: HeaderName = format!("x-{number}").parse().expect("a name");
            head.headers.append(name, HeaderValue::from_static(value));
        }
        head
    }

    fn outgoing(head: &RequestHead) -> Outgoing<'_> {
        Outgoing::request(head).expect("it can be sent")
    }

    #[test]
    fn fields_are_known_when_they_are_sent_for_the_third_time() {
        let mut resent = Resent::default();
        let head_of_all = head("/a", &["1", "2"]);
        for _ in 0..2 {
            assert!(resent.find(&outgoing(&head_of_all)).is_none());
            resent.note(&outgoing(&head_of_all), b"abc", Some(references()));
        }
        let (encoded, _) = resent.find(&outgoing(&head_of_all)).expect("it is known");
        assert_eq!(encoded, b"abc");
        resent.note(&outgoing(&head("/b", &[])), b"d", Some(references()));
        assert!(resent.find(&outgoing(&head_of_all)).is_none());
    }

    #[test]
    fn fields_that_differ_in_anything_are_others() {
        let mut resent = Resent::default();
        let first = head("/a", &["1", "2"]);
        for _ in 0..2 {
            resent.note(&outgoing(&first), b"abc", Some(references()));
        }
        let mut others = vec![
            head("/b", &["1", "2"]),
            head("/a", &["1"]),
            head("/a", &["1", "3"]),
            head("/a", &["1", "2", "3"]),
        ];
        let mut method = first.clone();
        method.method = Method::HEAD;
        let mut letters = first.clone();
        letters.uri = "https://EXAMPLE.com/a".parse().expect("a target");
        let mut sensitive = first.clone();
        let value = sensitive.headers.get_mut("x-0").expect("it is there");
        value.set_sensitive(true);
        let mut order = head("/a", &[]);
        for (name, value) in [("x-1", "2"), ("x-0", "1")] {
            order.headers.append(name, HeaderValue::from_static(value));
        }
        others.extend([method, letters, sensitive, order]);
        for other in others {
            assert!(resent.find(&outgoing(&other)).is_none(), "{other:?}");
        }
        assert!(resent.find(&outgoing(&first)).is_some());
    }

    #[test]
    fn what_is_large_or_cannot_be_sent_again_is_not_kept() {
        let values = [""; FIELDS_MAX + 1];
        for (bytes, fields, references, is_kept) in [
            (ENCODED_MAX, FIELDS_MAX, Some(references()), true),
            (ENCODED_MAX + 1, 1, Some(references()), false),
            (1, FIELDS_MAX + 1, Some(references()), false),
            (1, 1, None, false),
        ] {
            let mut resent = Resent::default();
            let (head, encoded) = (head("/", &values[..fields]), vec![7; bytes]);
            for _ in 0..3 {
                resent.note(&outgoing(&head), &encoded, references);
            }
            assert_eq!(resent.find(&outgoing(&head)).is_some(), is_kept);
            assert!(resent.encoded.len() <= ENCODED_MAX);
        }
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
            let mut head = head("/", &[]);
            head.headers.append(name, value);
            let mut resent = Resent::default();
            for _ in 0..2 {
                resent.note(&outgoing(&head), b"s3cret", Some(references()));
                assert_eq!(resent.encoded.is_empty(), !is_kept, "{name}");
            }
            assert_eq!(resent.find(&outgoing(&head)).is_some(), is_kept, "{name}");
            let shown = format!("{resent:?}");
            assert!(
                !shown.contains("s3cret") && !shown.contains("115"),
                "{shown}"
            );
        }
    }
}
