//! What is chosen about a client.

use super::Client;
use super::event::ClientEvent;
use super::settings::{Settings, Sink};
use super::shared::Shared;
use super::timeouts::Timeouts;
use crate::pool;
use http::HeaderMap;
use portway_core::SecurityParameters;
use portway_transport::RealEnvironment;
use portway_transport::context::Context;
use portway_transport::real;
use std::sync::Arc;

/// What is chosen about a client, which then stays as it is.
#[must_use = "nothing happens before `build`"]
pub struct ClientBuilder {
    context: Option<Context>,
    security: SecurityParameters,
    timeouts: Timeouts,
    pool: pool::Config,
    headers: HeaderMap,
    redirects_max: usize,
    content_max: usize,
    sink: Option<Sink>,
}

impl ClientBuilder {
    pub(super) fn new() -> Self {
        ClientBuilder {
            context: None,
            security: SecurityParameters::tls(),
            timeouts: Timeouts::default(),
            pool: pool::Config::default(),
            headers: HeaderMap::new(),
            redirects_max: REDIRECTS_MAX,
            content_max: CONTENT_BYTES_MAX,
            sink: None,
        }
    }

    /// Uses the resolver, caches and environment of this context instead of its own.
    pub fn context(mut self, context: &Context) -> Self {
        self.context = Some(context.clone());
        self
    }

    /// The protection of https; the platform's trust anchors unless said. The application
    /// protocols are the client's own.
    pub fn security(mut self, security: SecurityParameters) -> Self {
        self.security = security;
        self
    }

    /// The time limits of each request.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The bounds of the pool.
    pub fn pool(mut self, config: pool::Config) -> Self {
        self.pool = config;
        self
    }

    /// Header fields of every request.
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// Follows so many redirects at most, 10 unless said; with zero they are responses like others.
    pub fn redirects(mut self, max: usize) -> Self {
        self.redirects_max = max;
        self
    }

    /// Collects so many bytes of content at most, 64 MiB unless said; streams have no bound.
    pub fn content_max(mut self, bytes: usize) -> Self {
        self.content_max = bytes;
        self
    }

    /// Hears everything that happens to connections, as it happens. `sink` must return at once.
    pub fn on_event(mut self, sink: impl Fn(&ClientEvent) + Send + Sync + 'static) -> Self {
        self.sink = Some(Arc::new(sink));
        self
    }

    /// The client.
    pub fn build(self) -> Client {
        let context = self.context.unwrap_or_else(|| {
            let environment = RealEnvironment::new(real::Config::default());
            Context::new(Arc::new(environment))
        });
        let shared = Shared::new(Settings {
            context,
            security: self.security,
            timeouts: self.timeouts,
            pool: self.pool,
            headers: self.headers,
            redirects_max: self.redirects_max,
            content_max: self.content_max,
            sink: self.sink,
        });
        Client { shared }
    }
}

const REDIRECTS_MAX: usize = 10;
const CONTENT_BYTES_MAX: usize = 64 * 1024 * 1024;
