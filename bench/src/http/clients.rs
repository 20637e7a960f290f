//! portway's HTTP client and reqwest, each as its documentation says.
//!
//! Invariant: both trust the same certificate, and read an answer to its end.

use super::server::{CONTENT, Server};
use crate::portway_side::context;
use portway::Security;
use std::future::Future;

/// A client.
pub trait Gets: Clone + Send + Sync + 'static {
    /// A client of a server, with the settings of the case.
    fn new(server: &Server, settings: &Settings) -> Self;

    /// Gets the resource whole; or why not.
    fn get(&self, url: &str) -> impl Future<Output = Result<(), String>> + Send;
}

/// What is not as it is by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// HTTP/2 alone, without asking.
    pub knows_http2: bool,
    /// So many connections at most, where a client can say that.
    pub connections_max: Option<usize>,
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
        let builder = portway_http::Client::builder().context(&context());
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
pub struct Reqwest(reqwest::Client);

impl Gets for Reqwest {
    fn new(server: &Server, settings: &Settings) -> Self {
        let certificate = reqwest::Certificate::from_der(&server.certificate);
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([certificate.expect("it is well-formed")]);
        if settings.knows_http2 {
            builder = builder.http2_prior_knowledge();
        }
        Reqwest(builder.build().expect("a client"))
    }

    async fn get(&self, url: &str) -> Result<(), String> {
        let response = self.0.get(url).send().await;
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

fn whole(bytes: usize) -> Result<(), String> {
    match bytes == CONTENT.len() {
        true => Ok(()),
        false => Err(format!("{bytes} bytes came")),
    }
}
