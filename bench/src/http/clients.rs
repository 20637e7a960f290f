//! portway's HTTP client and reqwest, each as its documentation says.
//!
//! Invariant: both trust the same certificate, and read an answer to its end.

use super::server::{CONTENT, Server};
use portway::{Context, DnsConfig, RealConfig, RealEnvironment, Security};
use portway_http::client::VersionPolicy;
use portway_http::pool::Version;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

/// A client.
pub trait Gets: Clone + Send + Sync + 'static {
    /// A client of a server, with the settings of the case.
    fn new(server: &Server, settings: &Settings) -> Self;

    /// Gets the resource whole; or why not.
    fn get(&self, url: &str) -> impl Future<Output = Result<(), String>> + Send;
}

/// What is not as it is by default.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// HTTP/2 alone, without asking.
    pub knows_http2: bool,
    /// So many connections at most, where a client can say that.
    pub connections_max: Option<usize>,
    /// HTTP/3 alone, without asking.
    pub knows_http3: bool,
    /// Names with their addresses, in the order in which a resolver would give them.
    pub hosts: Vec<(String, Vec<IpAddr>)>,
}

/// portway's.
#[derive(Clone)]
pub struct Ours(portway_http::Client);

impl Gets for Ours {
    fn new(server: &Server, settings: &Settings) -> Self {
        let security = Security::tls().with_roots([server.certificate.clone()]);
        let mut pool = portway_http::pool::Config::default();
        if let Some(max) = settings.connections_max {
            pool.connections_per_key_max = max;
        }
        let mut dns = DnsConfig::default();
        for (name, addresses) in &settings.hosts {
            dns = dns.with_host(&**name, addresses.iter().copied());
        }
        let config = RealConfig::default().with_dns(dns);
        let context = Context::new(Arc::new(RealEnvironment::new(config)));
        let mut builder = portway_http::Client::builder().context(&context);
        if settings.knows_http3 {
            builder = builder.version(Version::Http3, VersionPolicy::Exact);
        }
        Ours(builder.security(security).pool(pool).build())
    }

    async fn get(&self, url: &str) -> Result<(), String> {
        let response = self.0.get(url).send().await;
        let content = match response {
            Ok(response) => response.bytes().await,
            Err(error) => Err(error),
        };
        whole(content.map_err(|error| error.to_string())?.len())
    }
}

/// reqwest.
#[derive(Clone)]
pub struct Reqwest {
    client: reqwest::Client,
    /// HTTP/3 is asked for by each request.
    knows_http3: bool,
}

impl Gets for Reqwest {
    fn new(server: &Server, settings: &Settings) -> Self {
        let certificate = reqwest::Certificate::from_der(&server.certificate);
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([certificate.expect("it is well-formed")]);
        if settings.knows_http2 {
            builder = builder.http2_prior_knowledge();
        }
        #[cfg(feature = "reqwest-http3")]
        if settings.knows_http3 {
            builder = builder.http3_prior_knowledge();
        }
        for (name, addresses) in &settings.hosts {
            let port = server.port();
            let sockets = addresses.iter().map(|address| (*address, port).into());
            builder = builder.resolve_to_addrs(name, &sockets.collect::<Vec<_>>());
        }
        Reqwest {
            client: builder.build().expect("a client"),
            knows_http3: settings.knows_http3,
        }
    }

    async fn get(&self, url: &str) -> Result<(), String> {
        let mut request = self.client.get(url);
        if self.knows_http3 {
            request = request.version(http::Version::HTTP_3);
        }
        let response = request.send().await;
        let content = match response {
            Ok(response) => response.bytes().await,
            Err(error) => Err(error),
        };
        whole(content.map_err(|error| chain(&error))?.len())
    }
}

/// An error with its causes, which reqwest keeps to itself.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        None => error.to_string(),
        Some(source) => format!("{error}: {}", chain(source)),
    }
}

/// Whether so many bytes are the whole content.
pub(super) fn whole(bytes: usize) -> Result<(), String> {
    match bytes == CONTENT.len() {
        true => Ok(()),
        false => Err(format!("{bytes} bytes came")),
    }
}
