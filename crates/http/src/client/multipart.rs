//! Forms of several parts (RFC 7578), as browsers send them.
//!
//! Invariant: names cannot break out of their header field; a form of bytes alone can be sent
//! again.

use super::body::{Body, BoxError};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::collections::VecDeque;
use std::fmt::Write;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A form of several parts, for [`RequestBuilder::multipart`](super::RequestBuilder::multipart).
#[derive(Debug, Default)]
pub struct Form {
    parts: Vec<(String, Part)>,
}

/// One part of a [`Form`].
#[derive(Debug)]
pub struct Part {
    content: Body,
    file_name: Option<String>,
    content_type: Option<String>,
}

impl Form {
    /// A form without parts.
    pub fn new() -> Self {
        Form::default()
    }

    /// Adds a field of text.
    #[must_use]
    pub fn text(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.part(name, Part::new(value.into()))
    }

    /// Adds a part.
    #[must_use]
    pub fn part(mut self, name: impl Into<String>, part: Part) -> Self {
        self.parts.push((name.into(), part));
        self
    }

    /// The body, between such boundaries.
    pub(super) fn into_body(self, boundary: &str) -> Body {
        let mut pieces = VecDeque::new();
        for (name, part) in self.parts {
            let mut head = format!("--{boundary}\r\ncontent-disposition: form-data; name=");
            quote(&mut head, &name);
            if let Some(name) = &part.file_name {
                head.push_str("; filename=");
                quote(&mut head, name);
            }
            if let Some(kind) = &part.content_type {
                let kind = kind.replace(['\r', '\n'], " ");
                // Writing to a string cannot fail.
                let _ = write!(head, "\r\ncontent-type: {kind}");
            }
            head.push_str("\r\n\r\n");
            pieces.push_back(Body::from(head));
            pieces.push_back(part.content);
            pieces.push_back(Body::from("\r\n"));
        }
        pieces.push_back(Body::from(format!("--{boundary}--\r\n")));
        match pieces.iter().map(Body::as_whole).collect() {
            Some(chunks) => Body::chunks(chunks),
            None => Body::stream(Sequence(pieces)),
        }
    }
}

impl Part {
    /// A part with this content: bytes, text, or [`Body::stream`].
    pub fn new(content: impl Into<Body>) -> Self {
        Part {
            content: content.into(),
            file_name: None,
            content_type: None,
        }
    }

    /// Names the file that this is.
    #[must_use]
    pub fn file_name(mut self, name: impl Into<String>) -> Self {
        self.file_name = Some(name.into());
        self
    }

    /// Says of what type the content is.
    #[must_use]
    pub fn content_type(mut self, kind: impl Into<String>) -> Self {
        self.content_type = Some(kind.into());
        self
    }
}

/// The HTML standard, "multipart form data": three characters are escaped, and no others.
fn quote(out: &mut String, name: &str) {
    out.push('"');
    for character in name.chars() {
        match character {
            '"' => out.push_str("%22"),
            '\r' => out.push_str("%0D"),
            '\n' => out.push_str("%0A"),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Bodies one after the other.
struct Sequence(VecDeque<Body>);

impl HttpBody for Sequence {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        while let Some(first) = self.0.front_mut() {
            match ready!(Pin::new(first).poll_frame(context)) {
                // Trailers have no place within a body.
                Some(Ok(frame)) if !frame.is_data() => {}
                Some(frame) => return Poll::Ready(Some(frame)),
                None => drop(self.0.pop_front()),
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let exact = self.0.iter().map(|body| body.size_hint().exact());
        match exact.sum::<Option<u64>>() {
            Some(sum) => SizeHint::with_exact(sum),
            None => SizeHint::default(),
        }
    }
}
