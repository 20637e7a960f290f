//! The engine beneath other HTTP clients: a connector for hyper's client and for what is built
//! upon it, such as tonic.
//!
//! Invariant: https is never carried without TLS, and both versions of HTTP over TCP are offered
//! there; everything that a call started ends with its future.

use super::error::Error;
use super::key::Key;
use super::racing::Course;
use crate::carrier_io::{CarrierIo, Unwatched};
use crate::pool::{Version, Versions};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use portway_core::race::Event;
use portway_core::security::Protection;
use portway_core::stack::WireProtocol;
use portway_core::{Failure, FailureKind, Origin, SecurityParameters};
use portway_transport::RealEnvironment;
use portway_transport::context::Context;
use portway_transport::driver::Observer;
use portway_transport::established::Carrier;
use portway_transport::real;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use tower_service::Service;
use url::Url;

/// Connects other HTTP clients by portway's engine: addresses race as Happy Eyeballs v3 says,
/// HTTPS records are heeded, and a failure tells every attempt.
///
/// It is a `tower::Service<Uri>`, as hyper-util's `Client` and tonic's `Endpoint` take it.
#[derive(Clone)]
pub struct Connector {
    context: Context,
    security: SecurityParameters,
    versions: Versions,
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
        }
    }

    /// Uses the resolver, caches and environment of this context.
    #[must_use]
    pub fn context(mut self, context: &Context) -> Self {
        self.context = context.clone();
        self
    }

    /// The protection of https. The application protocols are the connector's own.
    #[must_use]
    pub fn security(mut self, security: SecurityParameters) -> Self {
        self.security = security;
        self
    }

    /// Offers these versions by ALPN instead of HTTP/1.1 and 2, as a client that speaks one of them
    /// only needs it; HTTP/3 is nothing that this can carry.
    #[must_use]
    pub fn versions(mut self, versions: impl Into<Versions>) -> Self {
        self.versions = versions.into();
        self
    }

    async fn connect(self, uri: Uri) -> Result<ConnectorStream, Error> {
        let url = Url::parse(&uri.to_string());
        let url = url.map_err(|error| Error::invalid(format!("{uri}: {error}")))?;
        let key = Key::of(&url, None)?;
        let names = self.versions.without(Version::Http3.into()).newest_first();
        let names = names.map(Version::alpn);
        let security = match key.is_protected {
            false => SecurityParameters::disabled(),
            true if matches!(self.security, SecurityParameters::Required(_)) => {
                self.security.clone().with_alpn(names)
            }
            true => return Err(Error::invalid("https needs a connector with TLS")),
        };
        let remotes = vec![key.remote()];
        let course = Course::new(&self.context, &key, security, remotes, |stack| {
            stack.wire == WireProtocol::Tcp
        })?;
        let attempt = |leaf, progress| course.establish(leaf, progress);
        let won = course.run(&key, course.candidates(), attempt, Unseen);
        let won = won.await?;
        let Carrier::Bytes(carrier) = won.carrier else {
            let detail = "the race led to no stream of bytes";
            let failure = Failure::new(Origin::Local, FailureKind::Unsupported, detail);
            return Err(Error::of_dial(failure, None));
        };
        Ok(ConnectorStream {
            local: carrier.socket.local_address(),
            remote: carrier.socket.peer_address(),
            protection: won.protection,
            io: CarrierIo::new(carrier, Unwatched),
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
    local: SocketAddr,
    remote: SocketAddr,
    protection: Option<Protection>,
}

impl ConnectorStream {
    /// Our address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The peer's address.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// What was negotiated; `None` in cleartext.
    pub fn protection(&self) -> Option<&Protection> {
        self.protection.as_ref()
    }
}

impl Connection for ConnectorStream {
    fn connected(&self) -> Connected {
        let alpn = self.protection.as_ref().and_then(|it| it.alpn.as_deref());
        match alpn {
            Some(b"h2") => Connected::new().negotiated_h2(),
            _ => Connected::new(),
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
            .field("local", &self.local)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

/// Nobody sees the decisions.
struct Unseen;

impl Observer for Unseen {
    fn is_attentive(&self) -> bool {
        false
    }

    fn on_event(&mut self, _: &Event) {}
}
