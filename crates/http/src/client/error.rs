//! The one error of the client, from `send` and from a body alike.
//!
//! Invariant: class, version, protocol code, scope and advice are there without downcasting.

use super::proxy::{Party, Proxy, ProxyFault};
use crate::pool::Version;
use http::StatusCode;
use portway_core::race::Report;
use portway_core::{Advice, Failure, FailureKind, Origin};
use std::fmt;

/// Why a request failed.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    class: ErrorClass,
    failure: Failure,
    version: Option<Version>,
    scope: Option<Scope>,
    report: Option<Box<Report>>,
    proxy: Option<ProxyFault>,
    source: Option<super::BoxError>,
}

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The request cannot be sent as it is; nothing was sent.
    InvalidRequest,
    /// The name could not be resolved.
    Resolve,
    /// No connection could be established.
    Connect,
    /// TLS failed, the judgement of the peer's certificates apart.
    Tls,
    /// The peer's certificates were not accepted.
    Certificate,
    /// A time limit was reached.
    TimedOut(Phase),
    /// The peer broke the rules of HTTP.
    Protocol,
    /// The connection ended before the response did, in whatever way.
    Closed,
    /// The peer reset this request.
    Reset,
    /// The peer does not speak a version that was asked for.
    Version,
    /// A bound of this client was reached.
    LimitReached,
    /// There were more redirects than allowed, or one that cannot be followed.
    Redirect,
    /// The application's own body failed.
    Body,
    /// The response's content is not of the form that was asked for.
    Content,
    /// The response's content coding cannot be undone.
    Encoding,
    /// The proxy opened no tunnel, or what it said is no answer; [`Error::proxy`] says what it was.
    Proxy,
    /// The status is one of a failure, and the application wants no such response
    /// ([`super::Response::error_for_status`]).
    Status,
}

/// A part of a request that has a time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// From the begin of a dial to its first attempt.
    Resolve,
    /// From the first attempt to the first transport connection, or for a place at a proxy.
    Connect,
    /// From the first transport connection to a connection that is ready.
    Handshake,
    /// Everything of a dial together.
    Dial,
    /// From the request to the head of its response.
    ResponseHead,
    /// For a 100 before the content of a request.
    Expect,
    /// Between two parts of the response's body.
    BodyIdle,
    /// Everything, from the call to the last part of the body.
    Total,
    /// After a response, for what is left of the exchange.
    Drain,
}

/// What else fails with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// This request only.
    Request,
    /// The connection with everything on it.
    Connection,
}

impl Error {
    pub(super) fn new(class: ErrorClass, failure: Failure) -> Self {
        Error(Box::new(Inner {
            class,
            failure,
            version: None,
            scope: None,
            report: None,
            proxy: None,
            source: None,
        }))
    }

    pub(crate) fn local(class: ErrorClass, kind: FailureKind, detail: impl Into<String>) -> Self {
        Error::new(class, Failure::new(Origin::Local, kind, detail))
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Error::local(
            ErrorClass::InvalidRequest,
            FailureKind::InvalidRequest,
            detail,
        )
    }

    pub(super) fn timed_out(phase: Phase) -> Self {
        let detail = format!("the time for {phase} is up");
        Error::local(ErrorClass::TimedOut(phase), FailureKind::TimedOut, detail)
    }

    /// A dial that failed with this.
    pub(super) fn of_dial(failure: Failure, report: Option<Box<Report>>) -> Self {
        let class = match (failure.kind, failure.origin) {
            (FailureKind::NameNotFound | FailureKind::ResolverFailed, _) | (_, Origin::Dns) => {
                ErrorClass::Resolve
            }
            (FailureKind::CertificateRejected, _) => ErrorClass::Certificate,
            (FailureKind::AlpnMismatch, _) => ErrorClass::Version,
            (_, Origin::Tls) => ErrorClass::Tls,
            (FailureKind::InvalidRequest, _) => ErrorClass::InvalidRequest,
            (FailureKind::TimedOut, _) => ErrorClass::TimedOut(Phase::Connect),
            _ => ErrorClass::Connect,
        };
        let mut error = Error::new(class, failure);
        error.0.report = report;
        error
    }

    pub(super) fn with_version(mut self, version: Version) -> Self {
        self.0.version = Some(version);
        self
    }

    pub(super) fn with_scope(mut self, scope: Scope) -> Self {
        self.0.scope = Some(scope);
        self
    }

    pub(super) fn with_code(mut self, code: u64) -> Self {
        self.0.failure.code = i64::try_from(code).ok();
        self
    }

    pub(super) fn with_proxy(mut self, fault: ProxyFault) -> Self {
        self.0.proxy = Some(fault);
        self
    }

    /// The same of a dial that led to a proxy, whatever the target is.
    pub(super) fn at_proxy(self, proxy: &Proxy) -> Self {
        let fault = match self.0.class {
            ErrorClass::Resolve | ErrorClass::TimedOut(Phase::Resolve) => ProxyFault::Unresolved,
            ErrorClass::Tls | ErrorClass::Certificate | ErrorClass::Version => ProxyFault::Insecure,
            ErrorClass::InvalidRequest => return self,
            _ => ProxyFault::Unreachable,
        };
        let why = self.0.failure.detail.clone();
        self.by_proxy(proxy, fault, &why)
    }

    /// The same, which is a proxy's doing for this reason.
    pub(super) fn by_proxy(mut self, proxy: &Proxy, fault: ProxyFault, why: &str) -> Self {
        self.0.failure.detail = format!("the proxy {proxy} {fault}: {why}");
        self.with_proxy(fault)
    }

    /// Whether it says something of one address of a target, so that another one may do.
    pub(super) fn is_by_target(&self) -> bool {
        self.0
            .proxy
            .is_some_and(|fault| fault.party() == Party::Target)
    }

    pub(super) fn with_source(mut self, source: impl Into<super::BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of thing went wrong.
    pub fn class(&self) -> ErrorClass {
        self.0.class
    }

    /// The version of HTTP in use, if it had come to one.
    pub fn version(&self) -> Option<Version> {
        self.0.version
    }

    /// The protocol's own error code, as HTTP/2 and 3 have them.
    pub fn code(&self) -> Option<u64> {
        let is_code = self.0.failure.origin == Origin::Http && self.0.class != ErrorClass::Status;
        let code = self.0.failure.code.filter(|_| is_code);
        code.and_then(|code| u64::try_from(code).ok())
    }

    /// The status, where it is the failure; see [`super::Response::error_for_status`].
    pub fn status(&self) -> Option<StatusCode> {
        let is_status = self.0.class == ErrorClass::Status;
        let code = self.0.failure.code.filter(|_| is_status)?;
        StatusCode::from_u16(u16::try_from(code).ok()?).ok()
    }

    /// What else fails with the request, if anything was sent.
    pub fn scope(&self) -> Option<Scope> {
        self.0.scope
    }

    /// What a proxy has to do with it; [`ProxyFault::party`] says whether the proxy or the target
    /// failed. `None` where no proxy was in the way, the failure is beyond the tunnel, or a tunnel
    /// broke that had its connection for itself.
    pub fn proxy(&self) -> Option<ProxyFault> {
        self.0.proxy
    }

    /// The failure in the classification that all layers share.
    pub fn failure(&self) -> &Failure {
        &self.0.failure
    }

    /// What to do next. What is safe to repeat has been repeated already.
    pub fn advice(&self) -> Advice {
        self.0.failure.advice
    }

    /// Whether the same request may succeed later without a change.
    pub fn is_retryable(&self) -> bool {
        self.0.failure.is_transient()
    }

    /// Every question and attempt of the race, where a dial failed.
    pub fn report(&self) -> Option<&Report> {
        self.0.report.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.failure)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Resolve => "name resolution",
            Phase::Connect => "connecting",
            Phase::Handshake => "the handshake",
            Phase::Dial => "establishing a connection",
            Phase::ResponseHead => "the head of the response",
            Phase::Expect => "the server's word on the content",
            Phase::BodyIdle => "the next part of the body",
            Phase::Total => "the whole request",
            Phase::Drain => "the rest of the exchange",
        })
    }
}
