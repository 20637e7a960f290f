//! A server for HTTP/1.1, 2 and 3 on one port: it runs tower services unchanged.
//!
//! Invariant: whatever a client does has a bound and an end that [`Event`] names, and touches no
//! other client's requests.
//!
//! ```no_run
//! # async fn main_() -> Result<(), Box<dyn std::error::Error>> {
//! use portway_http::server::Server;
//!
//! # let identity = portway_transport::tls::self_signed(&["localhost".to_owned()])?;
//! let app = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
//! let serving = Server::new("[::]:443".parse()?).identities(identity).serve(app)?;
//! tokio::signal::ctrl_c().await?;
//! serving.drain(std::time::Duration::from_secs(10)).await;
//! # Ok(())
//! # }
//! ```

mod account;
mod apart;
mod authority;
mod begun;
mod body;
mod event;
mod exchange;
mod field_blocks;
mod frames;
mod http3;
mod huffman_length;
mod identities;
mod info;
mod meter;
mod options;
mod prompt;
mod proxy_protocol;
mod serving;
mod shard;
mod sharded;
mod steering;
mod tcp;

pub use body::{BodyError, RequestBody};
pub use event::{End, Event, Flood};
pub use identities::{Identities, IdentitySet};
pub use info::ConnectionInfo;
pub use options::{Limits, Times, Versions};
pub use serving::{Drained, Serving};

use authority::Names;
use event::Listener;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use options::Options;
use portway_core::Failure;
use portway_core::security::{ClientAuthentication, TlsParameters};
use portway_transport::RealEnvironment;
use portway_transport::environment::Environment;
use portway_transport::real::{Config, Inherited, Turns};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tower_service::Service;

/// What is served where, and by which rules. See the [module](self) for an example.
///
/// Without identities it serves HTTP/1.1 and, by prior knowledge, HTTP/2 in cleartext; with them,
/// all three versions by TLS and QUIC on the same port number.
#[derive(Clone)]
#[must_use = "it serves nothing yet"]
pub struct Server {
    addresses: Vec<SocketAddr>,
    options: Options,
    events: Listener,
    environment: Option<Arc<dyn Environment>>,
    inherited: Option<Arc<Inherited>>,
}

impl Server {
    /// A server at this address; port zero lets the system choose one for all protocols.
    pub fn new(address: SocketAddr) -> Self {
        Server::at(vec![address])
    }

    fn at(addresses: Vec<SocketAddr>) -> Self {
        Server {
            addresses,
            options: Options::default(),
            events: Listener::default(),
            environment: None,
            inherited: None,
        }
    }

    /// A server on sockets that a service manager has opened for this process, and on the same
    /// ports for what is lacking there: HTTP/3 where only TCP was opened, for both families where
    /// its listener takes both.
    ///
    /// On several threads TCP can be handed over, and UDP cannot.
    pub fn inherited(sockets: Arc<Inherited>) -> Self {
        let mut addresses = sockets.addresses();
        for port in addresses.clone().iter().map(SocketAddr::port) {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            let is_there = |it: &SocketAddr| it.is_ipv4() && it.port() == port;
            if sockets.takes_ipv4(any) && !addresses.iter().any(is_there) {
                addresses.push(any);
            }
        }
        Server {
            inherited: Some(sockets),
            ..Server::at(addresses)
        }
    }

    /// Serves at this address, too. IPv6 addresses take no IPv4, so `0.0.0.0` stands beside `[::]`.
    pub fn and_at(mut self, address: SocketAddr) -> Self {
        // What was handed over may be named once more.
        if self.inherited.is_none() || !self.addresses.contains(&address) {
            self.addresses.push(address);
        }
        self
    }

    /// Shows these certificates, and speaks nothing but TLS and QUIC.
    pub fn identities(mut self, identities: impl Into<Identities>) -> Self {
        let callback = identities.into().callback();
        self.options
            .with_tls(|tls| tls.with_challenge_callback(callback));
        self
    }

    /// Asks clients for certificates.
    pub fn client_authentication(mut self, demand: ClientAuthentication) -> Self {
        self.options
            .with_tls(|tls| tls.with_client_authentication(demand));
        self
    }

    /// Changes the other parameters of TLS, such as versions and algorithms.
    pub fn tls(mut self, change: impl FnOnce(TlsParameters) -> TlsParameters) -> Self {
        self.options.with_tls(change);
        self
    }

    /// Speaks these versions. All, unless said otherwise.
    pub fn versions(mut self, versions: Versions) -> Self {
        self.options.versions = versions;
        self
    }

    /// Sets what clients may take up.
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.options.limits);
        self
    }

    /// Sets how long clients are waited for.
    pub fn times(mut self, change: impl FnOnce(&mut Times)) -> Self {
        change(&mut self.options.times);
        self
    }

    /// Sets what [`Limits`] and [`Times`] leave open of HTTP/3, such as datagrams.
    pub fn http3(mut self, change: impl FnOnce(&mut crate::h3::Options)) -> Self {
        change(&mut self.options.http3);
        self
    }

    /// Takes early data over QUIC: requests that save a round trip and that an attacker may have
    /// sent again. Those with methods that are not safe are answered with 425 (RFC 8470 §5.2).
    pub fn early_data(mut self) -> Self {
        self.options.takes_early_data = true;
        self
    }

    /// As [`Server::early_data`], for requests that `may_repeat` allows instead.
    pub fn early_data_for(
        mut self,
        may_repeat: impl Fn(&Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.options.early = Arc::new(may_repeat);
        self.early_data()
    }

    /// Takes the PROXY protocol, version 1 or 2, from the peers that `is_trusted` names: each of
    /// their connections over TCP must begin with its header, which says who the client is. From
    /// others such a header is no HTTP and refused like any other words.
    pub fn trusted_proxies(
        mut self,
        is_trusted: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.options.proxies = Some(Arc::new(is_trusted));
        self
    }

    /// Answers for these names only, in which `*.` stands for one label; requests for others are
    /// answered with 421 (RFC 9110 §15.5.20). Ports do not count. For all names, unless said
    /// otherwise.
    pub fn names(mut self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.options.names = Some(Arc::new(Names::new(names)));
        self
    }

    /// Tells clients of HTTP/1.1 and 2 for how long they may come back by HTTP/3. A day; zero says
    /// nothing.
    pub fn alt_svc_age(mut self, age: Duration) -> Self {
        self.options.alt_svc_age = age;
        self
    }

    /// Tells of connections that failed or ended. `listener` runs where the connection does and
    /// must not block.
    pub fn on_event(mut self, listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.events = Listener::new(listener);
        self
    }

    /// Runs in this environment, such as a simulated one.
    pub fn environment(mut self, environment: Arc<dyn Environment>) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Lets threads of [`Server::serve_sharded`] wait for their turn where others use their
    /// processors, too: they are not woken into the midst of somebody's work for each request, and
    /// find more of them when they run. A request may wait for some milliseconds then. On Linux
    /// (`SCHED_BATCH`); without effect elsewhere, and where nobody else runs.
    pub fn patient_threads(mut self) -> Self {
        self.options.turns = Turns::Patient;
        self
    }

    /// Serves on the runtime that it is called in. A router of axum is made ready by its
    /// `with_state(())` before; else it does a part of that for each request.
    ///
    /// # Errors
    /// An address cannot be had, or an option contradicts another one.
    pub fn serve<S: ServerService>(self, service: S) -> Result<Serving, Failure> {
        let environment = self
            .environment
            .clone()
            .unwrap_or_else(|| Arc::new(RealEnvironment::new(self.config())));
        Serving::start(self, service, &environment)
    }

    /// Serves on threads of its own, each with a runtime, sockets and connections that no other
    /// thread touches; zero stands for one a processor. The system gives each connection to one of
    /// them: over TCP to the one on whose processor its packets arrive, if there is a thread for
    /// each processor and as long as none gets much more than its part, else by chance. On Linux,
    /// which follows processors from version 6.2 on.
    ///
    /// # Errors
    /// As [`Server::serve`]; also when a thread does not start, or the system cannot share ports.
    pub fn serve_sharded<S: ServerService>(
        self,
        shards: u16,
        service: S,
    ) -> Result<Serving, Failure> {
        sharded::start(self, shards, service)
    }

    /// What an environment of its own is made with.
    fn config(&self) -> Config {
        let config = Config::default();
        match &self.inherited {
            Some(inherited) => config.with_inherited(Arc::clone(inherited)),
            None => config,
        }
    }
}

/// An error of a service or of a body, whatever it is.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a server runs: any [`tower_service::Service`] of requests with a [`RequestBody`] that can
/// be cloned, such as an axum router. It is cloned for each connection and each request.
pub trait ServerService:
    Service<
        Request<RequestBody>,
        Response = Response<Self::Body>,
        Error: Into<BoxError>,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static
{
    /// The content of its responses.
    type Body: Body<Data: Send, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> ServerService for S
where
    S: Service<
            Request<RequestBody>,
            Response = Response<B>,
            Error: Into<BoxError>,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;
}

/// How far a server's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
    Stopped,
}
