//! What is chosen about a client.

use super::Client;
use super::alternatives::{Store, StoredAlternative};
use super::cookies::CookieJar;
use super::credentials::{CredentialScope, Credentials, Keyring};
use super::decode::Decompression;
use super::dial;
use super::event::ClientEvent;
use super::habits::{Chosen, Habits};
use super::hsts::StrictHost;
use super::policy::{VersionPolicy, Wish};
use super::proxy::Proxies;
use super::racing::LatestRules;
use super::retry_budget::RetryBudget;
use super::settings::Settings;
use super::shared::Shared;
use super::socket::Through;
use super::telemetry::{Recorder, Telemetry};
use super::timeouts::Timeouts;
use crate::pool::{self, Version};
use http::HeaderMap;
use portway_core::SecurityParameters;
use portway_transport::RealEnvironment;
use portway_transport::context::Context;
use portway_transport::real;
use std::path::Path;
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
    wish: Wish,
    drain_max: u64,
    stored: Vec<StoredAlternative>,
    habits: Chosen,
    through: Through,
    credentials: Vec<(CredentialScope, Credentials)>,
    telemetry: Telemetry,
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
            wish: Wish::of(Version::Http1, VersionPolicy::OrHigher),
            drain_max: DRAIN_BYTES_MAX,
            stored: Vec::new(),
            habits: Chosen::default(),
            through: Through {
                proxies: Proxies::none(),
                socket: None,
            },
            credentials: Vec::new(),
            telemetry: Telemetry::default(),
        }
    }

    /// The version of each request and what may be used instead, unless the request says otherwise:
    /// HTTP/1.1 or higher, that is whatever is best.
    pub fn version(mut self, version: Version, policy: VersionPolicy) -> Self {
        self.wish = Wish::of(version, policy);
        self
    }

    /// The alternative services that an earlier client knew, from [`Client::alternatives`]. What
    /// does not persist is for the network of its time: leave it out on another one.
    pub fn alternatives(mut self, stored: impl IntoIterator<Item = StoredAlternative>) -> Self {
        self.stored = stored.into_iter().collect();
        self
    }

    /// Reads so many bytes at most of a response that is dropped before its end, 1 MiB unless said,
    /// so that its HTTP/1.1 connection can be used again; with zero the connection is closed. For
    /// how long is said by [`Timeouts::drain`].
    pub fn drain_max(mut self, bytes: u64) -> Self {
        self.drain_max = bytes;
        self
    }

    /// Uses the resolver, caches and environment of this context instead of its own.
    pub fn context(mut self, context: &Context) -> Self {
        self.context = Some(context.clone());
        self
    }

    /// Sends requests through a proxy, or through whichever [`Proxies`] choose; directly unless
    /// said. The environment counts with [`Proxies::from_environment`] only.
    pub fn proxy(mut self, proxies: impl Into<Proxies>) -> Self {
        self.through.proxies = proxies.into();
        self
    }

    /// Sends requests through this socket of the file system (AF_UNIX), whatever the host of their
    /// URL, and through no proxy: by HTTP/1.1 or 2, over TLS where the URL says https. A path that
    /// begins with a zero byte is one of Linux's abstract names.
    pub fn unix_socket(mut self, path: impl AsRef<Path>) -> Self {
        self.through.socket = Some(path.as_ref().into());
        self
    }

    /// Shows these credentials in this scope, and nowhere else. A proxy has its own, by
    /// [`Proxy::credentials`](super::Proxy::credentials).
    pub fn credentials(mut self, scope: CredentialScope, credentials: Credentials) -> Self {
        self.credentials.push((scope, credentials));
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

    /// Asks for compressed content and undoes that; content comes as it was sent unless said.
    pub fn decompression(mut self, decompression: Decompression) -> Self {
        self.habits.decompression = Some(decompression);
        self
    }

    /// Keeps cookies in this jar, such as [`Cookies`](super::Cookies); they are not kept unless
    /// said.
    pub fn cookies(mut self, jar: Arc<dyn CookieJar>) -> Self {
        self.habits.jar = Some(jar);
        self
    }

    /// The hosts that an earlier client knew to want TLS, from [`Client::strict_hosts`], or those
    /// of a preload list; there are none unless said.
    pub fn strict_hosts(mut self, stored: impl IntoIterator<Item = StrictHost>) -> Self {
        self.habits.strict_hosts = stored.into_iter().collect();
        self
    }

    /// Takes http as it is, even where a host has said that it wants https (RFC 6797), which is
    /// believed otherwise.
    pub fn ignore_hsts(mut self) -> Self {
        self.habits.ignores_hsts = true;
        self
    }

    /// Sends so many requests again at most, over all requests of the client.
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.habits.retries = budget;
        self
    }

    /// Gives this recorder the client's measurements.
    pub fn recorder(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.telemetry.recorder = Some(recorder);
        self
    }

    /// Hears everything that happens to connections, as it happens. `sink` must return at once.
    pub fn on_event(mut self, sink: impl Fn(&ClientEvent) + Send + Sync + 'static) -> Self {
        self.telemetry.sink = Some(Arc::new(sink));
        self
    }

    /// The client. What all requests share is made here and not in the first one: the trust anchors
    /// are read, stacks are chosen, a key share is made, and in a runtime the system's interfaces
    /// begin to be watched.
    pub fn build(self) -> Client {
        let shared = Shared::new(self.settings());
        Client { shared }
    }

    pub(super) fn settings(self) -> Settings {
        let context = self.context.unwrap_or_else(|| {
            let environment = RealEnvironment::new(real::Config::default());
            Context::new(Arc::new(environment))
        });
        context.prepare(&self.security);
        let alternatives = Store::default();
        alternatives.import(context.environment().now(), self.stored);
        let habits = Habits::new(self.habits, context.environment().now());
        let settings = Settings {
            habits,
            telemetry: self.telemetry,
            wish: self.wish,
            drain_max: self.drain_max,
            alternatives,
            context,
            security: self.security,
            timeouts: self.timeouts,
            pool: self.pool,
            headers: self.headers,
            redirects_max: self.redirects_max,
            content_max: self.content_max,
            through: self.through,
            keyring: Keyring::new(self.credentials),
            rules: LatestRules::default(),
        };
        dial::prepare(&settings);
        settings
    }
}

const DRAIN_BYTES_MAX: u64 = 1024 * 1024;
const REDIRECTS_MAX: usize = 10;
const CONTENT_BYTES_MAX: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use portway_core::security::Trust;
    use portway_transport::environment::Environment;

    #[tokio::test]
    async fn a_client_has_its_paths_and_its_tls_before_the_first_request() {
        let environment = Arc::new(RealEnvironment::new(real::Config::default()));
        let context = Context::new(environment.clone());
        let security = SecurityParameters::tls().with_trust(Trust::DangerousAnyone);
        let builder = ClientBuilder::new().context(&context).security(security);
        assert_eq!(environment.paths_revision(), None);
        let _client = builder.build();
        #[cfg(target_os = "linux")]
        assert!(environment.paths_revision().is_some(), "nobody watches");
        let tls = format!("{:?}", context.tls());
        assert!(tls.contains(" clients: 1"), "{tls}");
    }
}
