//! The engine beneath other HTTP clients: a connector for hyper's client and for what is built
//! upon it, such as tonic.
//!
//! Invariant: https is never carried without TLS, and both versions of HTTP over TCP are offered
//! there; everything that a call started ends with its future.

use super::Client;
use super::access::by_proxy;
use super::coalescing::Finder;
use super::dial::{Call, Way, way};
use super::error::{Error, Phase};
use super::event::ConnectionInfo;
use super::key::Key;
use super::policy::Wish;
use super::proxy::{Proxies, Trunks};
use super::timeouts::{Deadline, Timeouts, within};
use crate::carrier_io::{CarrierIo, Unwatched};
use crate::pool::{DialId, Version, Versions};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use portway_core::security::Protection;
use portway_core::{Failure, FailureKind, Origin, SecurityParameters};
use portway_transport::RealEnvironment;
use portway_transport::context::Context;
use portway_transport::established::Carrier;
use portway_transport::real;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context as TaskContext, Poll};
use tower_service::Service;
use url::Url;

/// Connects other HTTP clients by portway's engine: addresses race as Happy Eyeballs v3 says,
/// HTTPS records are heeded, proxies are asked, and a failure tells every attempt.
///
/// It is a `tower::Service<Uri>`, as hyper-util's `Client` and tonic's `Endpoint` take it.
#[derive(Clone)]
pub struct Connector {
    context: Context,
    security: SecurityParameters,
    versions: Versions,
    timeouts: Timeouts,
    proxies: Proxies,
    socket: Option<PathBuf>,
    /// What all that is connected to shares, made with the first one.
    trunks: Arc<OnceLock<Arc<Trunks>>>,
}

impl Connector {
    /// A connector with an environment of its own and the platform's trust anchors.
    pub fn new() -> Self {
        let environment = RealEnvironment::new(real::Config::default());
        let context = Context::new(Arc::new(environment));
        Connector {
            context,
            security: SecurityParameters::tls(),
            versions: Versions::of([Version::Http1, Version::Http2]),
            timeouts: Timeouts::default(),
            proxies: Proxies::none(),
            socket: None,
            trunks: Arc::default(),
        }
    }

    /// What others share was made with other choices.
    fn apart(self) -> Self {
        Connector {
            trunks: Arc::default(),
            ..self
        }
    }

    fn trunks(&self) -> &Arc<Trunks> {
        self.trunks.get_or_init(|| {
            let builder = Client::builder().context(&self.context);
            let builder = builder.security(self.security.clone());
            let builder = builder.timeouts(self.timeouts.clone());
            Trunks::new(Arc::new(builder.settings()))
        })
    }

    /// Uses the resolver, caches and environment of this context.
    #[must_use]
    pub fn context(mut self, context: &Context) -> Self {
        self.context = context.clone();
        self.apart()
    }

    /// The protection of https. The application protocols are the connector's own.
    #[must_use]
    pub fn security(mut self, security: SecurityParameters) -> Self {
        self.security = security;
        self.apart()
    }

    /// Offers these versions by ALPN instead of HTTP/1.1 and 2, as a client that speaks one of them
    /// only needs it; HTTP/3 is nothing that this can carry.
    #[must_use]
    pub fn versions(mut self, versions: impl Into<Versions>) -> Self {
        self.versions = versions.into();
        self
    }

    /// Gives up after these times: those of resolving, connecting and the handshake, and `total`
    /// for all of it. The others are of requests, which are not this one's.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self.apart()
    }

    /// Goes through a proxy, or through whichever [`Proxies`] choose; directly unless said. What is
    /// in cleartext a proxy of HTTP is asked to forward, which hyper's client is told, so that it
    /// writes requests as such a proxy wants them; the proxy's credentials are shown for tunnels
    /// alone, and in requests by whoever makes them.
    #[must_use]
    pub fn proxy(mut self, proxies: impl Into<Proxies>) -> Self {
        self.proxies = proxies.into();
        self
    }

    /// Goes through this socket of the file system whatever the host, and through no proxy; as
    /// [`ClientBuilder::unix_socket`](super::ClientBuilder::unix_socket).
    #[must_use]
    pub fn unix_socket(mut self, path: impl AsRef<Path>) -> Self {
        self.socket = Some(path.as_ref().to_owned());
        self
    }

    async fn connect(self, uri: Uri) -> Result<ConnectorStream, Error> {
        let url = Url::parse(&uri.to_string());
        let url = url.map_err(|error| Error::invalid(format!("{uri}: {error}")))?;
        let key = Key::of(&url, None)?;
        let wish = Wish::exactly(self.versions.without(Version::Http3.into()));
        let (key, wish) = match (&self.socket, self.proxies.choose(&url)) {
            (Some(path), _) => (key.through(&Arc::from(path.as_path())), wish),
            (None, Some(proxy)) => by_proxy(key, wish, proxy, true)?,
            (None, None) => (key, wish),
        };
        let trunks = self.trunks().clone();
        let settings = trunks.settings.clone();
        let environment = settings.context.environment().clone();
        let is_forwarding = key.is_forwarded();
        let call = Call {
            id: DialId::UNPOOLED,
            // Nobody's connections are there to be shared.
            finder: Finder::new(Weak::new(), key.clone()),
            key,
            wish,
            trunks,
        };
        let total = settings.timeouts.total;
        let mut total = Deadline::after(&*environment, total, Phase::Total);
        let found = within(&mut total, pin!(way(&settings, call))).await?;
        let Way::New(ground, info) = found else {
            unreachable!("there is no connection to be shared");
        };
        let Carrier::Bytes(carrier) = ground.carrier else {
            let detail = "the race led to no stream of bytes";
            let failure = Failure::new(Origin::Local, FailureKind::Unsupported, detail);
            return Err(Error::of_dial(failure, None));
        };
        Ok(ConnectorStream {
            io: CarrierIo::new(carrier, Unwatched),
            info,
            is_forwarding,
        })
    }
}

impl Default for Connector {
    fn default() -> Self {
        Connector::new()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// Cancel safety: dropping the future ends everything that it started.
impl Service<Uri> for Connector {
    type Response = ConnectorStream;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<ConnectorStream, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// What a [`Connector`] leads to: bytes both ways, with TLS below where that was asked for.
pub struct ConnectorStream {
    io: CarrierIo<Unwatched>,
    info: Arc<ConnectionInfo>,
    /// Whether a proxy at its end takes requests for any origin.
    is_forwarding: bool,
}

impl ConnectorStream {
    /// Our address.
    pub fn local(&self) -> SocketAddr {
        self.info.local
    }

    /// The peer's address; with a proxy, the proxy's.
    pub fn remote(&self) -> SocketAddr {
        self.info.remote
    }

    /// What was negotiated; `None` in cleartext.
    pub fn protection(&self) -> Option<&Protection> {
        self.info.protection.as_ref()
    }
}

impl Connection for ConnectorStream {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.is_forwarding);
        let alpn = self.protection().and_then(|it| it.alpn.as_deref());
        match alpn {
            Some(b"h2") => connected.negotiated_h2(),
            _ => connected,
        }
    }
}

impl Read for ConnectorStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, out)
    }
}

impl Write for ConnectorStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }
}

impl fmt::Debug for ConnectorStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectorStream")
            .field("local", &self.local())
            .field("remote", &self.remote())
            .finish_non_exhaustive()
    }
}
