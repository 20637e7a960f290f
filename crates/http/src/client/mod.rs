//! The client: requests over connections that its [pool](crate::pool) decides about.
//!
//! Invariant: a request that fails or is dropped touches no other one; dials belong to the pool.
//!
//! ```no_run
//! # async fn example() -> Result<(), portway_http::client::Error> {
//! use portway_http::Client;
//!
//! let client = Client::builder().build();
//! let response = client.get("https://example.com/").header("accept", "text/html").send().await?;
//! println!("{} over {}", response.status(), response.version());
//! let page = response.text().await?;
//! # Ok(()) }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `request.rs`, `body.rs`, `stream_body.rs`, `multipart.rs` | what applications send |
//! | `response.rs`, `response_head.rs`, `upgraded.rs` | what they get |
//! | `service.rs`, `connector.rs` | the client as a tower service; the engine under others |
//! | `exchange.rs`, `expect.rs`, `redirect.rs` | one request to one URL, and the next URL |
//! | `address.rs`, `last_origin.rs` | a URL, and what follows from it |
//! | `shared.rs`, `lease.rs` | the pool with what it decides about |
//! | `policy.rs` | which versions a request takes |
//! | `dial.rs`, `racing.rs`, `watch.rs` | a connection, from the race to hyper or to our HTTP/3 |
//! | `socket.rs` | the way through a socket of the file system |
//! | `io.rs`, `frames.rs`, `http3.rs`, `content.rs`, `link.rs` | a connection in use |
//! | `alt_svc.rs`, `alternatives.rs` | alternative services |
//! | `coalescing.rs` | one connection for several origins |
//! | `habits.rs`, `cookies.rs`, `hsts.rs` | what it does unasked; cookies, strict hosts |
//! | `raw_body.rs`, `decode.rs` | content as it was sent, and with its codings undone |
//! | `retry_budget.rs` | how much is sent again over all requests |
//! | `proxy/`, `credentials/`, `access.rs` | proxies, credentials, and a request's use of them |
//! | `telemetry.rs`, `event.rs` | measurements, traces, events |
//! | `error.rs`, `classify.rs`, `timeouts.rs` | failures and time |

mod access;
mod address;
mod alt_svc;
mod alternatives;
mod body;
mod builder;
mod classify;
mod coalescing;
mod connector;
mod content;
mod cookies;
mod credentials;
mod decode;
mod dial;
mod error;
mod event;
mod exchange;
mod expect;
mod frames;
mod gauge;
mod habits;
mod hsts;
mod http3;
mod interim;
mod key;
mod last_origin;
mod lease;
mod link;
mod listener;
mod multipart;
mod policy;
mod pool_time;
mod proxy;
mod racing;
mod raw_body;
mod redirect;
mod request;
mod response;
mod response_head;
mod retry_budget;
mod service;
mod settings;
mod shared;
mod socket;
mod status;
mod stream_body;
mod telemetry;
mod timeouts;
mod upgraded;
mod watch;

pub use alternatives::StoredAlternative;
pub use body::{Body, BoxError};
pub use builder::ClientBuilder;
pub use connector::{Connector, ConnectorStream};
pub use cookies::{CookieJar, Cookies};
pub use credentials::{CredentialScope, Credentials};
pub use decode::Decompression;
pub use error::{Error, ErrorClass, Phase, Scope};
pub use event::{ClientEvent, ConnectionInfo, Phases, Reason};
pub use hsts::StrictHost;
pub use multipart::{Form, Part};
pub use policy::VersionPolicy;
pub use proxy::{Party, Proxies, Proxy, ProxyFault, ProxyLie, SocksFailure};
pub use request::RequestBuilder;
pub use response::{ContentStream, Response, ResponseBody};
pub(crate) use response::{as_json, as_text};
pub use response_head::ResponseHead;
pub use retry_budget::RetryBudget;
pub use telemetry::{Attribute, Metric, Recorder, Value};
pub use timeouts::Timeouts;
pub use upgraded::Upgraded;

use crate::pool::Counts;
use http::Method;
use shared::Shared;
use std::fmt;
use std::sync::Arc;

/// An HTTP client for HTTP/1.1, 2 and 3. Clones share its connections.
///
/// Unless a request says otherwise by [`RequestBuilder::version`], HTTP/3, 2 and 1.1 race for the
/// connection. HTTP/3 takes part where a service record or an alternative service of the server
/// offers it; when it comes to be offered later, it is dialled beside the connection in use.
///
/// It belongs to the runtime in which it sent its first request.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

impl Client {
    /// What is to be chosen about a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// A request with this method.
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, url.as_ref())
    }

    /// A GET request.
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// A HEAD request.
    pub fn head(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// A POST request.
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// A PUT request.
    pub fn put(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PUT, url)
    }

    /// A PATCH request.
    pub fn patch(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PATCH, url)
    }

    /// A DELETE request.
    pub fn delete(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    /// A CONNECT over HTTP/1.1 or 2 that asks the server at `url` for a tunnel to `authority`, a
    /// host with its port. [`Response::upgrade`] then has the tunnel. For one over HTTP/3 see
    /// [`h3::ClientConnection::connect`](crate::h3::ClientConnection::connect).
    pub fn connect(&self, url: impl AsRef<str>, authority: &str) -> RequestBuilder {
        self.request(Method::CONNECT, url).tunnel(authority)
    }

    /// The alternative services that are known, to be given to a later client by
    /// [`ClientBuilder::alternatives`].
    pub fn alternatives(&self) -> Vec<StoredAlternative> {
        let settings = &self.shared.settings;
        let now = settings.context.environment().now();
        settings.alternatives.export(settings.network(), now)
    }

    /// The hosts that are spoken to over TLS only because they have said so (HSTS), to be given to
    /// a later client by [`ClientBuilder::strict_hosts`].
    pub fn strict_hosts(&self) -> Vec<StrictHost> {
        let settings = &self.shared.settings;
        let now = settings.context.environment().now();
        let strict = settings.habits.strict.as_ref();
        strict.map(|strict| strict.export(now)).unwrap_or_default()
    }

    /// How many requests, dials and connections there are.
    pub fn counts(&self) -> Counts {
        self.shared.act(|state, _| state.pool.counts())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
