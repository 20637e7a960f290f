//! Measurements and traces under the names of OpenTelemetry's conventions for HTTP clients.
//!
//! Invariant: nothing is measured for nobody; each count that goes up comes down again, however a
//! request or a connection ends.

use super::error::{Error, ErrorClass};
use super::event::ClientEvent;
use super::exchange::Exchange;
use super::key::Key;
use super::response_head::ResponseHead;
use super::settings::Settings;
use crate::pool::Version;
use http::Method;
use portway_core::Time;
use portway_transport::environment::Environment;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Takes a client's measurements, to pass them on to whatever library keeps them. Its calls come
/// from within requests and must return at once.
pub trait Recorder: Send + Sync {
    /// Adds to a count that goes up and down.
    fn add(&self, metric: Metric, delta: i64, attributes: &[Attribute<'_>]);

    /// Adds a length of time to a distribution.
    fn record(&self, metric: Metric, value: Duration, attributes: &[Attribute<'_>]);
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Metric {
    /// Requests from `send` to the end of their response's body, or its drop: a count.
    ActiveRequests,
    /// From `send` to the head of the response, redirects and retries included.
    RequestDuration,
    /// For how long a request waited for a connection, whatever its version; each time it did.
    TimeInQueue,
    /// Connections, which `http.connection.state` says to be `active` or `idle`: a count.
    OpenConnections,
    /// From a connection that is ready to its end.
    ConnectionDuration,
    /// From a question to the resolver to its answer.
    DnsLookupDuration,
}

impl Metric {
    /// Its name among OpenTelemetry's; that of the time in the queue is .NET's, since there is no
    /// other. Lengths of time are in seconds there.
    pub fn name(self) -> &'static str {
        match self {
            Metric::ActiveRequests => "http.client.active_requests",
            Metric::RequestDuration => "http.client.request.duration",
            Metric::TimeInQueue => "http.client.request.time_in_queue",
            Metric::OpenConnections => "http.client.open_connections",
            Metric::ConnectionDuration => "http.client.connection.duration",
            Metric::DnsLookupDuration => "dns.lookup.duration",
        }
    }
}

/// What a measurement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attribute<'a> {
    /// Its name among OpenTelemetry's.
    pub name: &'static str,
    /// What it is here.
    pub value: Value<'a>,
}

/// The value of an [`Attribute`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// A number.
    Number(i64),
}

fn text<'a>(name: &'static str, value: &'a str) -> Attribute<'a> {
    let value = Value::Text(value);
    Attribute { name, value }
}

fn number(name: &'static str, value: impl Into<i64>) -> Attribute<'static> {
    let value = Value::Number(value.into());
    Attribute { name, value }
}

/// Where a client's measurements go, and what it tells.
#[derive(Clone, Default)]
pub(super) struct Telemetry {
    pub(super) recorder: Option<Arc<dyn Recorder>>,
    pub(super) sink: Option<Sink>,
}

/// Hears what happens to connections.
pub(super) type Sink = Arc<dyn Fn(&ClientEvent) + Send + Sync>;

impl Telemetry {
    /// The time, where anybody measures.
    pub(super) fn now(&self, environment: &dyn Environment) -> Option<Time> {
        self.recorder.as_ref().map(|_| environment.now())
    }

    /// A question to the resolver has its answer, or none.
    pub(super) fn on_lookup(&self, name: &str, took: Duration, is_failed: bool) {
        if let Some(recorder) = &self.recorder {
            let name = text("dns.question.name", name);
            let failed = text("error.type", "resolve");
            let attributes = [name, failed];
            let count = if is_failed { 2 } else { 1 };
            recorder.record(Metric::DnsLookupDuration, took, &attributes[..count]);
        }
    }

    /// A request has waited since then for a connection of this version.
    pub(super) fn on_assigned(&self, key: &Key, version: Version, waited: Duration) {
        if let Some(recorder) = &self.recorder {
            let [scheme, host, port] = place(key);
            let version = text("network.protocol.version", number_of(version));
            recorder.record(Metric::TimeInQueue, waited, &[scheme, host, port, version]);
        }
    }

    /// A connection is ready.
    pub(super) fn on_connected(
        &self,
        key: &Key,
        version: Version,
        environment: &Arc<dyn Environment>,
    ) -> Option<Arc<Gauge>> {
        let recorder = self.recorder.clone()?;
        let gauge = Gauge {
            recorder,
            key: key.clone(),
            version,
            since: environment.now(),
            environment: environment.clone(),
            in_use: AtomicUsize::new(0),
            turn: Mutex::new(()),
        };
        gauge.add(IDLE, 1);
        Some(Arc::new(gauge))
    }
}

fn place(key: &Key) -> [Attribute<'_>; 3] {
    [
        text(
            "url.scheme",
            if key.is_protected { "https" } else { "http" },
        ),
        text("server.address", key.host()),
        number("server.port", key.port()),
    ]
}

/// A connection among those that are open.
pub(super) struct Gauge {
    recorder: Arc<dyn Recorder>,
    key: Key,
    version: Version,
    since: Time,
    environment: Arc<dyn Environment>,
    in_use: AtomicUsize,
    /// Keeps a change of the state in one piece.
    turn: Mutex<()>,
}

impl Gauge {
    /// Counts it as in use until what comes back is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> InUse {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.in_use.fetch_add(1, Ordering::Relaxed) == 0 {
            self.add(IDLE, -1);
            self.add(ACTIVE, 1);
        }
        InUse(self.clone())
    }

    fn leave(&self) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.in_use.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.add(ACTIVE, -1);
            self.add(IDLE, 1);
        }
    }

    fn add(&self, state: &str, delta: i64) {
        let [scheme, host, port] = place(&self.key);
        let version = text("network.protocol.version", number_of(self.version));
        let state = text("http.connection.state", state);
        let attributes = [scheme, host, port, version, state];
        self.recorder
            .add(Metric::OpenConnections, delta, &attributes);
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.add(IDLE, -1);
        let [scheme, host, port] = place(&self.key);
        let version = text("network.protocol.version", number_of(self.version));
        let lasted = self.environment.now().saturating_since(self.since);
        let attributes = [scheme, host, port, version];
        self.recorder
            .record(Metric::ConnectionDuration, lasted, &attributes);
    }
}

/// A use of a connection.
pub(super) struct InUse(Arc<Gauge>);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A request under way.
pub(super) struct Underway {
    settings: Arc<Settings>,
    about: About,
    started: Time,
}

/// What a request is, as it was first.
struct About {
    method: Method,
    scheme: &'static str,
    host: String,
    port: u16,
}

impl About {
    fn attributes(&self) -> [Attribute<'_>; 4] {
        [
            text("http.request.method", method_name(&self.method)),
            text("url.scheme", self.scheme),
            text("server.address", &self.host),
            number("server.port", self.port),
        ]
    }
}

impl Underway {
    /// Counts a request as active until what comes back is dropped.
    pub(super) fn begin(settings: &Arc<Settings>, exchange: &Exchange) -> Option<Box<Self>> {
        let recorder = settings.telemetry.recorder.as_ref()?;
        let url = &exchange.url;
        let about = About {
            method: exchange.method.clone(),
            scheme: match url.scheme() {
                "https" => "https",
                _ => "http",
            },
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or_default(),
        };
        recorder.add(Metric::ActiveRequests, 1, &about.attributes());
        Some(Box::new(Underway {
            started: settings.context.environment().now(),
            settings: settings.clone(),
            about,
        }))
    }

    /// The head of the response is there, or it never will be.
    pub(super) fn on_head(&self, answered: Result<&ResponseHead, &Error>) {
        let Some(recorder) = &self.settings.telemetry.recorder else {
            return;
        };
        let mut attributes = self.about.attributes().to_vec();
        let version = match answered {
            Ok(head) => Some(head.version()),
            Err(error) => error.version(),
        };
        if let Some(version) = version {
            attributes.push(text("network.protocol.version", number_of(version)));
        }
        if let Ok(head) = answered {
            let status = head.status().as_u16();
            attributes.push(number("http.response.status_code", status));
        }
        let outcome = error_type(answered);
        if let Some(outcome) = &outcome {
            attributes.push(text("error.type", outcome));
        }
        let now = self.settings.context.environment().now();
        let took = now.saturating_since(self.started);
        recorder.record(Metric::RequestDuration, took, &attributes);
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        if let Some(recorder) = &self.settings.telemetry.recorder {
            recorder.add(Metric::ActiveRequests, -1, &self.about.attributes());
        }
    }
}

/// The span of a request, as OpenTelemetry's layer for tracing reads it. The query of its URL is
/// left out, which may be secret.
pub(super) fn span(exchange: &Exchange) -> tracing::Span {
    let url = &exchange.url;
    tracing::info_span!(
        target: TARGET,
        "http.client.request",
        "otel.name" = method_name(&exchange.method),
        "otel.kind" = "client",
        "http.request.method" = method_name(&exchange.method),
        "url.full" = format!(
            "{}://{}{}",
            url.scheme(),
            &url[url::Position::BeforeHost..url::Position::AfterPort],
            url.path()
        ),
        "server.address" = url.host_str(),
        "server.port" = url.port_or_known_default(),
        "http.response.status_code" = tracing::field::Empty,
        "network.protocol.version" = tracing::field::Empty,
        "error.type" = tracing::field::Empty,
    )
}

/// Tells the span of a request how that has ended.
pub(super) fn conclude(span: &tracing::Span, answered: Result<&ResponseHead, &Error>) {
    if span.is_disabled() {
        return;
    }
    if let Ok(head) = answered {
        span.record("http.response.status_code", head.status().as_u16());
        span.record("network.protocol.version", number_of(head.version()));
    }
    if let Some(outcome) = error_type(answered) {
        span.record("error.type", &*outcome);
    }
}

/// What went wrong, in few words: a status that is an error, or the class of one.
fn error_type(answered: Result<&ResponseHead, &Error>) -> Option<String> {
    match answered {
        Ok(head) if head.status().as_u16() < 400 => None,
        Ok(head) => Some(head.status().as_u16().to_string()),
        Err(error) => Some(class_name(error.class()).to_owned()),
    }
}

fn class_name(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::InvalidRequest => "invalid_request",
        ErrorClass::Resolve => "resolve",
        ErrorClass::Connect => "connect",
        ErrorClass::Tls => "tls",
        ErrorClass::Certificate => "certificate",
        ErrorClass::TimedOut(_) => "timed_out",
        ErrorClass::Protocol => "protocol",
        ErrorClass::Closed => "closed",
        ErrorClass::Reset => "reset",
        ErrorClass::Version => "version",
        ErrorClass::LimitReached => "limit_reached",
        ErrorClass::Redirect => "redirect",
        ErrorClass::Body => "body",
        ErrorClass::Content => "content",
        ErrorClass::Encoding => "encoding",
        #[allow(unreachable_patterns, reason = "classes are added")]
        _ => "other",
    }
}

/// A method of the few that are known: peers and applications may make up any number of others.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::CONNECT => "CONNECT",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::PATCH => "PATCH",
        _ => "_OTHER",
    }
}

fn number_of(version: Version) -> &'static str {
    match version {
        Version::Http1 => "1.1",
        Version::Http2 => "2",
        Version::Http3 => "3",
    }
}

/// Where the client's spans and events are found.
pub(super) const TARGET: &str = "portway_http::client";

const IDLE: &str = "idle";
const ACTIVE: &str = "active";
