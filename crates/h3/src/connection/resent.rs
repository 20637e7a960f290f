//! The last head that was sent, for when the same is sent again: then it is neither checked nor
//! encoded.
//!
//! Invariant: what is kept are the bytes that the same head would be encoded to, as long as the
//! encoder's table is as it was, which the encoder says; nothing secret is kept.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Uri};

use crate::frame::data;
use crate::message::{Checked, Outgoing, RequestHead, ResponseHead, Unsendable, has_secret};
use crate::qpack::References;

/// A head that is to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SentHead<'a> {
    Request(&'a RequestHead),
    Response(&'a ResponseHead),
}

impl<'a> SentHead<'a> {
    /// Its fields, if it can be sent.
    pub(super) fn fields(self) -> Result<Outgoing<'a>, Unsendable> {
        match self {
            SentHead::Request(head) => Outgoing::request(head),
            SentHead::Response(head) => Outgoing::response(head),
        }
    }
}

/// A head and the HEADERS frame that it was sent in.
#[derive(Default)]
pub(super) struct Resent {
    frame: Vec<u8>,
    /// What it was made of, once it has come out twice in a row: most heads are sent once, and cost
    /// no copy.
    kept: Option<Box<Kept>>,
}

struct Kept {
    head: KeptHead,
    checked: Checked,
    references: References,
    beginning: Beginning,
}

/// How the last message with this head began.
#[derive(Default)]
struct Beginning {
    /// How long its content was, if there was any.
    content_len: Option<usize>,
    /// The frame, and the header of the DATA frame behind it, once they were the same twice in a
    /// row.
    bytes: Bytes,
}

enum KeptHead {
    Request(RequestHead),
    Response(ResponseHead),
}

impl Resent {
    /// What was found when this head was checked, if it is the one that is kept.
    #[inline]
    pub(super) fn checked(&self, head: SentHead<'_>) -> Option<Checked> {
        let kept = self.kept.as_deref()?;
        kept.equals(head).then_some(kept.checked)
    }

    /// What the head that is kept refers to.
    #[inline]
    pub(super) fn references(&self) -> Option<&References> {
        Some(&self.kept.as_deref()?.references)
    }

    /// The frame of the head that is kept.
    pub(super) fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// The same, and behind it the header of a DATA frame with so much content, if any is to come.
    #[inline]
    pub(super) fn beginning(&mut self, content_len: Option<usize>) -> Bytes {
        if let Some(kept) = &self.kept
            && kept.beginning.content_len == content_len
            && !kept.beginning.bytes.is_empty()
        {
            return kept.beginning.bytes.clone();
        }
        self.begin_anew(content_len)
    }

    fn begin_anew(&mut self, content_len: Option<usize>) -> Bytes {
        // As long as it has to be: then the bytes need no second allocation.
        let len = self.frame.len() + content_len.map_or(0, data::header_len);
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(&self.frame);
        if let Some(len) = content_len {
            data::encode(len, &mut bytes);
        }
        let bytes = Bytes::from(bytes);
        if let Some(kept) = &mut self.kept {
            let shared = match kept.beginning.content_len == content_len {
                true => bytes.clone(),
                false => Bytes::new(),
            };
            kept.beginning = Beginning {
                content_len,
                bytes: shared,
            };
        }
        bytes
    }

    /// Takes note of the frame that a head was encoded to; `references` are there if it can be sent
    /// again.
    pub(super) fn note(
        &mut self,
        head: SentHead<'_>,
        fields: &Outgoing<'_>,
        frame: &[u8],
        references: Option<References>,
    ) {
        let headers = fields.header_map();
        let is_small = frame.len() <= FRAME_MAX && headers.len() <= FIELDS_MAX;
        let may_be_kept = is_small && !has_secret(headers);
        match references {
            Some(references) if may_be_kept && self.frame == frame => {
                let head = match head {
                    SentHead::Request(head) => KeptHead::Request(head.clone()),
                    SentHead::Response(head) => KeptHead::Response(head.clone()),
                };
                self.kept = Some(Box::new(Kept {
                    head,
                    checked: fields.checked(),
                    references,
                    beginning: Beginning::default(),
                }));
            }
            Some(_) if may_be_kept => {
                self.forget();
                self.frame.extend_from_slice(frame);
            }
            _ => self.forget(),
        }
    }

    fn forget(&mut self) {
        self.kept = None;
        self.frame.clear();
    }
}

impl Kept {
    /// Whether this is the same head to the byte, with its fields in the same order.
    #[inline]
    fn equals(&self, head: SentHead<'_>) -> bool {
        match (&self.head, head) {
            (KeptHead::Request(ours), SentHead::Request(theirs)) => {
                ours.method == theirs.method
                    && is_same_target(&ours.uri, &theirs.uri)
                    && are_same_fields(&ours.headers, &theirs.headers)
                    && ours.scheme.as_ref().map(|it| it.as_str())
                        == theirs.scheme.as_ref().map(|it| it.as_str())
                    && ours.protocol == theirs.protocol
            }
            (KeptHead::Response(ours), SentHead::Response(theirs)) => {
                ours.status == theirs.status && are_same_fields(&ours.headers, &theirs.headers)
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Resent {
    /// How much is kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers = self.kept.as_ref().map(|kept| match &kept.head {
            KeptHead::Request(head) => &head.headers,
            KeptHead::Response(head) => &head.headers,
        });
        f.debug_struct("Resent")
            .field("bytes", &self.frame.len())
            .field("fields", &headers.map(HeaderMap::len))
            .finish()
    }
}

/// Whether two targets are written in the same way: what is equal otherwise is other bytes.
#[inline]
fn is_same_target(ours: &Uri, theirs: &Uri) -> bool {
    is_same_part(
        ours.path_and_query().map(|it| it.as_str()),
        theirs.path_and_query().map(|it| it.as_str()),
    ) && is_same_part(
        ours.authority().map(|it| it.as_str()),
        theirs.authority().map(|it| it.as_str()),
    ) && is_same_part(ours.scheme_str(), theirs.scheme_str())
}

#[inline]
fn is_same_part(ours: Option<&str>, theirs: Option<&str>) -> bool {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => is_same(ours.as_bytes(), theirs.as_bytes()),
        (None, None) => true,
        _ => false,
    }
}

#[inline]
fn are_same_fields(ours: &HeaderMap, theirs: &HeaderMap) -> bool {
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(ours, theirs)| {
            ours.0 == theirs.0
                && is_same(ours.1.as_bytes(), theirs.1.as_bytes())
                && ours.1.is_sensitive() == theirs.1.is_sensitive()
        })
}

/// Whether two values are equal. Those that were kept are mostly the very bytes that are sent
/// again, which need not be looked at.
#[inline]
fn is_same(ours: &[u8], theirs: &[u8]) -> bool {
    std::ptr::eq(ours, theirs) || ours == theirs
}

/// A frame of more bytes is not kept.
const FRAME_MAX: usize = 512;

/// A head with more fields is not kept.
const FIELDS_MAX: usize = 32;

#[cfg(test)]
mod tests;
