//! The content of a response as it comes, of whatever version.
//!
//! Invariant: every error is the client's own, with version, code and scope.

use super::error::{Error, ErrorClass, Scope};
use super::http3::Http3Content;
use super::proxy::Fate;
use crate::pool::Version;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use portway_core::{Failure, FailureKind, Origin};
use std::pin::Pin;
use std::task::{Context, Poll};

pub(super) enum Content {
    /// Of HTTP/1.1 or 2, with what became of the tunnel below, where that shares its connection.
    Hyper(Incoming, Version, Option<Fate>),
    Http3(Http3Content),
}

impl Content {
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self {
            Content::Hyper(incoming, version, fate) => {
                let cut_off = |error| Fate::explain(fate.as_ref(), cut_off(error, *version));
                let frame = Pin::new(incoming).poll_frame(context);
                frame.map(|frame| frame.map(|frame| frame.map_err(cut_off)))
            }
            Content::Http3(content) => content.poll_frame(context),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Content::Hyper(incoming, ..) => incoming.is_end_stream(),
            Content::Http3(content) => content.body().is_end_stream(),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Content::Hyper(incoming, ..) => incoming.size_hint(),
            Content::Http3(content) => content.body().size_hint(),
        }
    }

    /// It has been read to its end: what is left of the request has a bounded time.
    pub(super) fn let_go(&mut self) {
        if let Content::Http3(content) = self {
            content.let_go();
        }
    }
}

/// A body that ended before its end.
fn cut_off(error: hyper::Error, version: Version) -> Error {
    if error.is_incomplete_message() {
        let detail = "the response ended before its length was reached";
        let failure = Failure::new(Origin::Http, FailureKind::Reset, detail);
        return Error::new(ErrorClass::Closed, failure)
            .with_version(version)
            .with_scope(Scope::Connection)
            .with_source(error);
    }
    super::classify::classify(error, version).0
}
