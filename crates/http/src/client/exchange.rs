//! One request to one URL: a connection from the pool, the head of the response, and again where
//! that is safe.
//!
//! Invariant: a request is repeated only when the peer says that it did not process it, when not a
//! byte of it was sent, or when its method is idempotent and a used connection broke before an
//! answer began; and only with a body that can be sent again.

use super::Body;
use super::classify::{Processing, is_idempotent};
use super::error::{Error, ErrorClass, Phase};
use super::key::Key;
use super::lease::{Lease, Unanswered};
use super::shared::Shared;
use super::timeouts::{Deadline, within};
use crate::pool::{Version, Versions};
use http::header::{HOST, HeaderValue};
use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// What is sent.
pub(super) struct Exchange {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    pub(super) versions: Option<Versions>,
    pub(super) server_name: Option<Arc<str>>,
    pub(super) response_head: Option<Duration>,
}

impl Exchange {
    /// Sends it. The body is taken; it is there again when it can be sent another time.
    pub(super) async fn run(
        &mut self,
        shared: &Arc<Shared>,
    ) -> Result<(Response<Incoming>, Lease), Error> {
        let key = Key::of(&self.url, self.server_name.clone())?;
        let versions = self.versions.unwrap_or(key.usual_versions());
        let mut waiting = shared.enqueue(key, versions);
        loop {
            let mut lease = waiting.verdict().await?;
            let replay = self.body.replay();
            let request = self.request(lease.info().version)?;
            let mut limit = Deadline::after(
                &**shared.environment(),
                self.response_head,
                Phase::ResponseHead,
            );
            let sending = async { Ok(lease.send(request).await) };
            let unanswered = match within(&mut limit, sending).await? {
                Ok(response) => {
                    self.body = replay.unwrap_or_default();
                    return Ok((response, lease));
                }
                Err(unanswered) => unanswered,
            };
            let Some(body) = self.to_repeat(&lease, &unanswered, replay) else {
                return Err(unanswered.error);
            };
            self.body = body
                .or(unanswered.unsent.map(Request::into_body))
                .unwrap_or_default();
            match shared.retry(lease.into_request(), versions) {
                Some(again) => waiting = again,
                None => return Err(unanswered.error),
            }
        }
    }

    /// Whether the request may be sent again, with the body for it unless the unsent request has
    /// it.
    fn to_repeat(
        &self,
        lease: &Lease,
        unanswered: &Unanswered,
        replay: Option<Body>,
    ) -> Option<Option<Body>> {
        if unanswered.unsent.is_some() {
            return Some(None);
        }
        // RFC 9112 §9.3.1: a peer may close an idle connection as the request leaves.
        let may_have_gone_stale = lease.is_reused()
            && unanswered.error.class() == ErrorClass::Closed
            && is_idempotent(&self.method);
        let is_safe = unanswered.processing == Processing::Excluded || may_have_gone_stale;
        replay.filter(|_| is_safe).map(Some)
    }

    /// The request as a version has it.
    fn request(&mut self, version: Version) -> Result<Request<Body>, Error> {
        let mut request = Request::new(std::mem::take(&mut self.body));
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        let invalid = |error: http::uri::InvalidUri| Error::invalid(error.to_string());
        let authority = self.authority();
        if version == Version::Http1 {
            let target = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
            *request.uri_mut() = target.parse::<Uri>().map_err(invalid)?;
            if !request.headers().contains_key(HOST) {
                let host = HeaderValue::from_str(&authority)
                    .map_err(|error| Error::invalid(error.to_string()))?;
                request.headers_mut().insert(HOST, host);
            }
            return Ok(request);
        }
        *request.version_mut() = http::Version::HTTP_2;
        // RFC 9113 §8.3.1: the host is in the pseudo-header field.
        let host = request.headers_mut().remove(HOST);
        let authority = match &host {
            Some(host) => host
                .to_str()
                .map_err(|error| Error::invalid(error.to_string()))?,
            None => &authority,
        };
        let path = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        let target = format!("{}://{authority}{path}", self.url.scheme());
        *request.uri_mut() = target.parse::<Uri>().map_err(invalid)?;
        Ok(request)
    }

    /// Host and port, the port where it is not the scheme's own.
    fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}
