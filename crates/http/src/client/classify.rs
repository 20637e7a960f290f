//! The errors of hyper and of HTTP/3 in our classification, and whether a request may be sent again
//! after one.

use super::error::{Error, ErrorClass, Scope};
use crate::h3::{ClientConnection, Retry, StreamError};
use crate::pool::Version;
use h2::Reason;
use http::Method;
use portway_core::{Advice, Failure, FailureKind, Origin};
use std::error::Error as _;

/// What became of a request as far as the peer's application may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Processing {
    /// None of it was processed, as the protocol itself says.
    Excluded,
    /// None of it was, and the peer wants it over HTTP/1.1.
    WantedOverHttp1,
    /// Nobody knows.
    Possible,
}

/// What HTTP/3 says of a request, and what that means for it.
pub(super) fn classify_h3(
    error: &StreamError,
    connection: &ClientConnection,
) -> (Error, Processing) {
    let version = Version::Http3;
    let closed = connection.error();
    let (code, origin, detail) = match &closed {
        Some(closed) => (closed.code, closed.origin, closed.to_string()),
        None => (error.code, error.origin, error.to_string()),
    };
    let is_ours = origin == portway_h3::error::Origin::Local;
    let (class, scope, kind) = verdict(is_ours, closed.is_some());
    let processing = match error.retry {
        Retry::LowerVersion => Processing::WantedOverHttp1,
        Retry::Safe | Retry::SafeOnNewConnection => Processing::Excluded,
        _ => Processing::Possible,
    };
    let mut failure = Failure::new(Origin::Http, kind, format!("{version}: {detail}"));
    if processing != Processing::Possible {
        failure.advice = Advice::RetryElsewhere;
    } else if code == crate::h3::Code::H3_EXCESSIVE_LOAD {
        failure.advice = Advice::BackOff;
    }
    let classified = Error::new(class, failure)
        .with_version(version)
        .with_scope(scope)
        .with_code(code.value())
        .with_source(*error);
    (classified, processing)
}

/// What hyper says, and what that means for the request.
pub(super) fn classify(error: hyper::Error, version: Version) -> (Error, Processing) {
    let h2_error = error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>());
    if let Some(h2_error) = h2_error.filter(|error| error.reason().is_some()) {
        return classify_h2(h2_error, version);
    }
    let io = io_source(&error);
    if let Some(io) = io {
        let failure = portway_transport::failure_map::failure_from_io(io, "the connection failed");
        return (
            closed(failure, version).with_source(error),
            Processing::Possible,
        );
    }
    let detail = error.to_string();
    let failure = |origin, kind| Failure::new(origin, kind, detail.clone());
    let classified = if error.is_user() {
        // The application's own words, not hyper's, say what was wrong.
        let detail = match error.source() {
            Some(source) => format!("the body of the request failed: {source}"),
            None => detail.clone(),
        };
        Error::local(ErrorClass::Body, FailureKind::Cancelled, detail)
    } else if error.is_parse() {
        let failure = failure(Origin::Http, FailureKind::ProtocolViolation);
        Error::new(ErrorClass::Protocol, failure).with_scope(Scope::Connection)
    } else {
        let failure = failure(Origin::System, FailureKind::Closed);
        closed(failure, version)
    };
    (
        classified.with_version(version).with_source(error),
        Processing::Possible,
    )
}

/// The error of the carrier below, if that is what it was.
fn io_source(error: &hyper::Error) -> Option<&std::io::Error> {
    let mut next = error.source();
    while let Some(source) = next {
        if let Some(io) = source.downcast_ref() {
            return Some(io);
        }
        next = source.source();
    }
    None
}

fn closed(failure: Failure, version: Version) -> Error {
    Error::new(ErrorClass::Closed, failure)
        .with_scope(Scope::Connection)
        .with_version(version)
}

fn classify_h2(error: &h2::Error, version: Version) -> (Error, Processing) {
    let reason = error.reason().unwrap_or(Reason::INTERNAL_ERROR);
    let is_refused = error.is_reset() && reason == Reason::REFUSED_STREAM;
    // RFC 9113 §8.7: streams above the last one of a GOAWAY were not processed. The ones below go
    // on when it carries no error, so that only the former end with it.
    let is_above = error.is_go_away() && reason == Reason::NO_ERROR;
    let processing = match error.is_remote() {
        true if is_refused || is_above => Processing::Excluded,
        // RFC 9113 §7: the peer wants HTTP/1.1 instead.
        true if reason == Reason::HTTP_1_1_REQUIRED => Processing::WantedOverHttp1,
        _ => Processing::Possible,
    };
    let (class, scope, kind) = verdict(!error.is_remote(), !error.is_reset());
    let mut failure = Failure::new(Origin::Http, kind, format!("{version}: {error}"));
    failure.advice = match (processing, reason) {
        (Processing::Excluded, _) => Advice::RetryElsewhere,
        (_, Reason::ENHANCE_YOUR_CALM) => Advice::BackOff,
        _ => failure.advice,
    };
    let classified = Error::new(class, failure)
        .with_version(version)
        .with_scope(scope)
        .with_code(u32::from(reason).into());
    (classified, processing)
}

/// What it means when we found the fault or the peer did, in a stream or in the whole connection.
fn verdict(is_ours: bool, is_connections: bool) -> (ErrorClass, Scope, FailureKind) {
    match (is_ours, is_connections) {
        (true, false) => (
            ErrorClass::Protocol,
            Scope::Request,
            FailureKind::ProtocolViolation,
        ),
        (true, true) => (
            ErrorClass::Protocol,
            Scope::Connection,
            FailureKind::ProtocolViolation,
        ),
        (false, false) => (ErrorClass::Reset, Scope::Request, FailureKind::Reset),
        (false, true) => (ErrorClass::Closed, Scope::Connection, FailureKind::Reset),
    }
}

/// RFC 9110 §9.2.2: sending these twice has the effect of sending them once.
pub(super) fn is_idempotent(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::PUT,
        Method::DELETE,
    ]
    .contains(method)
}
