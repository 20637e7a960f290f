//! One request to one URL: a connection from the pool, the head of the response, and again where
//! that is safe.
//!
//! Invariant: a request is repeated only when the peer says that it did not process it, when not a
//! byte of it was sent, or when its method is idempotent and the connection broke before a final
//! answer began; and only with a body that can be sent again.

use super::Body;
use super::access::Access;
use super::address::Address;
use super::classify::{Processing, is_idempotent};
use super::content::Content;
use super::error::{Error, ErrorClass, Phase};
use super::event::ConnectionInfo;
use super::expect::{Gate, expects_continue};
use super::habits::Added;
use super::interim::Interim;
use super::key::Key;
use super::lease::{Lease, Unanswered};
use super::policy::Wish;
use super::shared::{Shared, Turn};
use super::timeouts::{Deadline, within};
use crate::pool::Version;
use http::header::{EXPECT, HOST, HeaderValue};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri};
use portway_core::{Advice, FailureKind};
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use url::Position;

/// What is sent.
pub(super) struct Exchange {
    pub(super) method: Method,
    pub(super) url: Address,
    pub(super) headers: HeaderMap,
    pub(super) added: Added,
    /// Where a CONNECT leads.
    pub(super) target: Option<Authority>,
    pub(super) body: Body,
    pub(super) wish: Wish,
    pub(super) interim: Interim,
    pub(super) server_name: Option<Arc<str>>,
    pub(super) response_head: Option<Duration>,
    pub(super) access: Access,
}

impl Exchange {
    /// Sends it. The body is taken; it is there again when it can be sent another time.
    pub(super) async fn run(
        &mut self,
        shared: &Arc<Shared>,
    ) -> Result<(Response<Content>, Lease), Error> {
        let (key, mut wish) = self.aim(&shared.settings)?;
        let mut turn = shared.enqueue(key.clone(), wish);
        shared.upgrade(&key, wish);
        loop {
            let telemetry = &shared.settings.telemetry;
            let since = telemetry.now(&**shared.environment());
            let mut lease = match turn {
                Turn::Now(lease) => lease,
                Turn::Later(waiting) => waiting.verdict().await?,
            };
            if let Some(since) = since {
                let waited = shared.environment().now().saturating_since(since);
                telemetry.on_assigned(&key, lease.info().version, waited);
            }
            let replay = self.body.replay();
            let version = lease.info().version;
            let asks_first = self.asks_first(&shared.settings, &key, replay.as_ref());
            let gate = self.gate(shared, version, asks_first);
            lease.ends(gate.as_ref());
            let mut request = self.request(lease.info(), &key)?;
            if self.access.adds_expect {
                request.headers_mut().insert(EXPECT, CONTINUE);
            }
            let request = self.authorized(&shared.settings, &key, request, replay.as_ref())?;
            let interim = match &gate {
                Some(gate) => self.interim.opening(gate.clone()),
                None => self.interim.clone(),
            };
            let mut limit = Deadline::after(
                &**shared.environment(),
                self.response_head,
                Phase::ResponseHead,
            );
            let answered = {
                let mut sending = lease.send(request, &interim);
                let sending = poll_fn(|context| sending.as_mut().poll(context).map(Ok));
                within(&mut limit, sending).await?
            };
            let unanswered = match answered {
                Ok(response) => {
                    if let Some(gate) = &gate {
                        gate.on_response(response.status());
                    }
                    shared.on_response(&key, response.headers());
                    shared.upgrade(&key, wish);
                    let may_ask_elsewhere = replay.is_some() && shared.is_patient();
                    let is_misdirected = response.status() == StatusCode::MISDIRECTED_REQUEST;
                    if !is_misdirected || !may_ask_elsewhere || !shared.misdirected(&key, &lease) {
                        let back = || gate.as_ref().and_then(Gate::take_back);
                        self.body = replay.or_else(back).unwrap_or_default();
                        return Ok((response, lease));
                    }
                    Unanswered::misdirected(lease.info().version)
                }
                Err(unanswered) => unanswered,
            };
            if unanswered.processing == Processing::WantedOverHttp1 {
                let lower = wish.versions.intersection(Version::Http1.into());
                if lower.is_empty() {
                    return Err(unanswered.error);
                }
                wish = Wish::exactly(lower);
            }
            let Some(body) = self.to_repeat(&unanswered, lease.is_reused(), replay) else {
                return Err(unanswered.error);
            };
            // What was not sent at all costs the peer nothing.
            let is_free = unanswered.unsent.is_some();
            let unsent = unanswered.unsent.map(|request| {
                // Without the gate, which was for that try.
                let held = gate.as_ref().and_then(Gate::give_up);
                held.unwrap_or_else(|| request.into_body())
            });
            self.body = body.or(unsent).unwrap_or_default();
            self.interim.repeat();
            match shared.retry(lease.into_request(), wish, is_free) {
                Some(again) => turn = Turn::Later(again),
                None => return Err(unanswered.error),
            }
        }
    }

    /// Holds the body back where the server is to say first whether it wants it. hyper tells of no
    /// 100 over HTTP/2, so that there only a refusal or patience ends the wait.
    fn gate(&mut self, shared: &Arc<Shared>, version: Version, asks_first: bool) -> Option<Gate> {
        let tells = version != Version::Http2;
        self.access.waited = asks_first;
        self.access.adds_expect = asks_first && tells && !self.headers.contains_key(EXPECT);
        let is_asked = tells && expects_continue(&self.headers, &self.body);
        if !is_asked && !asks_first {
            return None;
        }
        let mut patience = shared.settings.timeouts.expect;
        if !is_asked {
            patience = patience.or(Some(ASKING_MAX));
        }
        let patience = Deadline::after(&**shared.environment(), patience, Phase::Expect);
        let gate = Gate::new(patience);
        self.body = gate.hold(std::mem::take(&mut self.body));
        Some(gate)
    }

    /// The name that the peer must prove instead of the one in the URL: the request's own, or the
    /// one that it names as host.
    pub(super) fn peer_name(&self) -> Option<Arc<str>> {
        if self.server_name.is_some() {
            return self.server_name.clone();
        }
        let host = self.headers.get(HOST)?.to_str().ok()?;
        let authority: Authority = host.parse().ok()?;
        let host = authority.host();
        let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
        let is_other = !host.is_empty() && self.url.host_str() != Some(host);
        (is_other && !is_address).then(|| Arc::from(host))
    }

    /// Whether the request may be sent again, with the body for it unless the unsent request has
    /// it.
    fn to_repeat(
        &self,
        unanswered: &Unanswered,
        is_reused: bool,
        replay: Option<Body>,
    ) -> Option<Option<Body>> {
        if unanswered.unsent.is_some() {
            return Some(None);
        }
        // RFC 9110 §9.2.2: what changes nothing when it is done twice may be repeated without being
        // asked for, on a connection that was idle (RFC 9112 §9.3.1) as on a new one that ends
        // without a reason. A reason would be the same again.
        let error = &unanswered.error;
        let is_without_reason = error.code().is_none()
            && error.advice() != Advice::BackOff
            && matches!(
                error.failure().kind,
                FailureKind::Closed | FailureKind::Reset
            );
        let may_be_done_twice = error.class() == ErrorClass::Closed
            && (is_reused || is_without_reason)
            && is_idempotent(&self.method);
        let is_safe = unanswered.processing != Processing::Possible || may_be_done_twice;
        replay.filter(|_| is_safe).map(Some)
    }

    /// The request as a version has it.
    fn request(&mut self, connection: &ConnectionInfo, key: &Key) -> Result<Request<Body>, Error> {
        let version = connection.version;
        let mut request = Request::new(std::mem::take(&mut self.body));
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = copied(&self.headers);
        self.added.put_into(request.headers_mut());
        if let Some(alternative) = &connection.alternative {
            // RFC 7838 §5: the server learns by which way the request came.
            let alternative = HeaderValue::from_str(alternative)
                .map_err(|error| Error::invalid(error.to_string()))?;
            request.headers_mut().insert(ALT_USED, alternative);
        }
        let invalid = |error: http::uri::InvalidUri| Error::invalid(error.to_string());
        if let Some(target) = &self.target {
            // RFC 9110 §9.3.6: its target is host and port, and nothing else.
            *request.uri_mut() = Uri::from(target.clone());
            let host = HeaderValue::from_str(target.as_str())
                .map_err(|error| Error::invalid(error.to_string()))?;
            match version {
                Version::Http1 => drop(request.headers_mut().insert(HOST, host)),
                _ => *request.version_mut() = http::Version::HTTP_2,
            }
            return Ok(request);
        }
        if version == Version::Http1 {
            let path = self.url.uri().and_then(Uri::path_and_query);
            *request.uri_mut() = match path.filter(|_| !key.is_forwarded()) {
                Some(path) => path.clone().into(),
                None => self.target(key).parse().map_err(invalid)?,
            };
            if !request.headers().contains_key(HOST) {
                let host = HeaderValue::from_str(self.authority())
                    .map_err(|error| Error::invalid(error.to_string()))?;
                request.headers_mut().insert(HOST, host);
            }
            return Ok(request);
        }
        *request.version_mut() = match version {
            Version::Http3 => http::Version::HTTP_3,
            _ => http::Version::HTTP_2,
        };
        // RFC 9113 §8.3.1: the host is in the pseudo-header field.
        let host = request.headers_mut().remove(HOST);
        if host.is_none()
            && let Some(uri) = self.url.uri()
        {
            *request.uri_mut() = uri.clone();
            return Ok(request);
        }
        let authority = match &host {
            Some(host) => host
                .to_str()
                .map_err(|error| Error::invalid(error.to_string()))?,
            None => self.authority(),
        };
        let path = &self.url[Position::BeforePath..Position::AfterQuery];
        let target = format!("{}://{authority}{path}", self.url.scheme());
        *request.uri_mut() = target.parse::<Uri>().map_err(invalid)?;
        Ok(request)
    }

    /// Host and port, the port where it is not the scheme's own.
    fn authority(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }
}

/// The same fields again, which mostly are none.
pub(super) fn copied(headers: &HeaderMap) -> HeaderMap {
    match headers.is_empty() {
        true => HeaderMap::new(),
        false => headers.clone(),
    }
}

/// How long a request that asks for a challenge waits for one, unless told otherwise.
const ASKING_MAX: Duration = Duration::from_secs(1);
const CONTINUE: HeaderValue = HeaderValue::from_static("100-continue");
const ALT_USED: HeaderName = HeaderName::from_static("alt-used");
