//! The last head that came, for when it comes again as it was: whoever asks for the same thing
//! again, or gives answers that are alike, sends the same bytes.
//!
//! Invariant: what is kept is what decoding its bytes would give now, so that nothing is kept
//! across a change of the table that they refer to; nothing secret is kept.

use std::fmt;

use crate::exchange::DecodedHead;
use crate::frame::FrameType;
use crate::message::has_secret;
use crate::varint;

/// A head and the section that it came in.
#[derive(Default)]
pub(super) struct Repeated {
    encoded: Vec<u8>,
    /// What it makes, once it has come twice in a row: most heads come once, and cost no copy.
    kept: Option<Box<Kept>>,
}

/// What a section makes that came again.
pub(super) struct Kept {
    pub(super) head: DecodedHead,
    /// The section's Required Insert Count.
    pub(super) required: u64,
}

impl Repeated {
    /// The head that is known, if these bytes begin with a HEADERS frame of its section, and how
    /// long that is. One whose type is not written in its shortest form is decoded like any other.
    #[inline]
    pub(super) fn find(&self, bytes: &[u8]) -> Option<(&Kept, usize)> {
        let kept = self.kept.as_deref()?;
        let (ty, rest) = bytes.split_first()?;
        let (len, len_len) = varint::decode(rest)?;
        let is_found = FrameType::HEADERS.value() == u64::from(*ty)
            && len == self.encoded.len() as u64
            && rest[len_len..].starts_with(&self.encoded);
        is_found.then_some((kept, 1 + len_len + self.encoded.len()))
    }

    /// Takes note of a head that was decoded; `required` is asked for what its section required.
    pub(super) fn note(
        &mut self,
        encoded: &[u8],
        head: &DecodedHead,
        required: impl FnOnce() -> Option<u64>,
    ) {
        let fields = head.headers();
        if encoded.len() > ENCODED_MAX || fields.len() > FIELDS_MAX || has_secret(fields) {
            self.forget();
        } else if self.encoded == encoded && !encoded.is_empty() {
            let head = head.clone();
            self.kept = required().map(|required| Box::new(Kept { head, required }));
        } else {
            self.forget();
            self.encoded.extend_from_slice(encoded);
        }
    }

    /// Forgets everything: the same bytes may mean something else from now on.
    pub(super) fn forget(&mut self) {
        self.kept = None;
        self.encoded.clear();
    }
}

impl fmt::Debug for Repeated {
    /// How much is kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.kept.as_ref().map(|it| it.head.headers().len());
        f.debug_struct("Repeated")
            .field("bytes", &self.encoded.len())
            .field("fields", &fields)
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

    /// A HEADERS frame with this section.
    fn frame(section: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        crate::frame::headers::encode(section, &mut frame);
        frame
    }

    fn find<'a>(repeated: &'a Repeated, section: &[u8]) -> Option<&'a DecodedHead> {
        let frame = frame(section);
        let (kept, len) = repeated.find(&frame)?;
        assert_eq!((kept.required, len), (7, frame.len()));
        Some(&kept.head)
    }

    fn note(repeated: &mut Repeated, section: &[u8], head: &DecodedHead) {
        repeated.note(section, head, || Some(7));
    }

    #[test]
    fn only_a_whole_frame_of_the_section_is_found() {
        let mut repeated = Repeated::default();
        let section = [9; 70];
        for _ in 0..2 {
            note(&mut repeated, &section, &head(1));
        }
        let mut bytes = frame(&section);
        for end in 0..bytes.len() {
            assert!(repeated.find(&bytes[..end]).is_none(), "{end}");
        }
        let whole = bytes.len();
        bytes.extend_from_slice(b"more");
        assert_eq!(repeated.find(&bytes).map(|(_, len)| len), Some(whole));
        bytes[0] = 0x00;
        assert!(repeated.find(&bytes).is_none(), "DATA");
        // A length may be longer than it has to be.
        let long = [&[0x01, 0x80, 0, 0, 70][..], &section].concat();
        assert_eq!(repeated.find(&long).map(|(_, len)| len), Some(75));
        let other = [&[0x01, 0x40, 71][..], &section, &[9]].concat();
        assert!(repeated.find(&other).is_none(), "a longer section");
        repeated.note(&section, &head(1), || None);
        assert!(find(&repeated, &section).is_none(), "what it requires");
    }

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
            assert!(find(&repeated, b"abc").is_none());
            note(&mut repeated, b"abc", &head(3));
        }
        let known = find(&repeated, b"abc").expect("it came twice");
        assert_eq!(known.headers().len(), 3);
        assert!(find(&repeated, b"abd").is_none());
        assert!(find(&repeated, b"ab").is_none());
        note(&mut repeated, b"abd", &head(1));
        assert!(find(&repeated, b"abc").is_none(), "another came between");
        note(&mut repeated, b"abc", &head(3));
        note(&mut repeated, b"abc", &head(3));
        repeated.forget();
        assert!(find(&repeated, b"abc").is_none());
        note(&mut repeated, b"abc", &head(3));
        assert!(find(&repeated, b"abc").is_none(), "once since");
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
                note(&mut repeated, &encoded, &head(fields));
            }
            assert_eq!(find(&repeated, &encoded).is_some(), is_kept);
            assert!(repeated.encoded.len() <= ENCODED_MAX);
        }
    }

    #[test]
    fn a_section_whose_bytes_are_gone_is_not_kept() {
        let mut repeated = Repeated::default();
        note(&mut repeated, b"", &head(1));
        note(&mut repeated, b"", &head(1));
        assert!(find(&repeated, b"").is_none());
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
                note(&mut repeated, b"s3cret", &head);
                assert_eq!(repeated.encoded.is_empty(), !is_kept, "{name}");
            }
            assert_eq!(find(&repeated, b"s3cret").is_some(), is_kept, "{name}");
            let shown = format!("{repeated:?}");
            assert!(
                !shown.contains("s3cret") && !shown.contains("115"),
                "{shown}"
            );
        }
    }
}
