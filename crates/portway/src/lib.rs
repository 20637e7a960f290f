//! portway: say what a connection needs, and portway finds the protocol and the path.
//!
//! The Transport Services interface of RFC 9622: a [`Preconnection`] states endpoints,
//! properties, security and framers; it becomes a [`Connection`] through a race of all that is
//! eligible, or a [`Listener`]. Messages go both ways, each with a [`Receipt`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use portway::{LengthPrefixed, Preconnection, RemoteEndpoint, Security, TransportProperties};
//!
//! let connection = Preconnection::new(Security::tls())
//!     .remote(RemoteEndpoint::host_name("example.com").service("https"))
//!     .properties(TransportProperties::reliable_message())
//!     .framer(LengthPrefixed::u32())
//!     .initiate()
//!     .await?;
//! let receipt = connection.send("hello").await?;
//! let reply = connection.receive().await?;
//! println!("{:?}, then {} bytes", receipt.await, reply.len());
//! connection.close().await?;
//! # Ok(()) }
//! ```
//!
//! The other side, with a certificate of its own making and a resolver of its choice:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use portway::{
//!     Context, DnsConfig, LengthPrefixed, LocalEndpoint, Preconnection, RealConfig,
//!     RealEnvironment, Security, self_signed,
//! };
//! use std::sync::Arc;
//!
//! let dns = DnsConfig::servers(["127.0.0.1:53".parse()?]);
//! let environment = RealEnvironment::new(RealConfig::default().with_dns(dns));
//! let identity = self_signed(&["localhost".to_owned()])?;
//! let mut listener = Preconnection::new(Security::tls().with_identity(identity))
//!     .context(&Context::new(Arc::new(environment)))
//!     .local(LocalEndpoint::any().port(4433))
//!     .framer(LengthPrefixed::u32())
//!     .listen()
//!     .await?;
//! while let Some(connection) = listener.accept().await {
//!     let message = connection.receive().await?;
//!     connection.send(message.data).await?;
//! }
//! # Ok(()) }
//! ```

mod candidates;
mod connection;
mod error;
mod event;
mod initiate;
mod listener;
mod open;
mod opening;
mod options;
mod preconnection;
pub mod quic;
mod receipt;
mod resolve;

#[cfg(feature = "h3")]
pub use portway_http::h3;

/// HTTP/1.1, 2 and 3: a client with its pool, and a server of tower services.
///
/// ```no_run
/// # async fn example() -> Result<(), portway::http::client::Error> {
/// let client = portway::http::Client::builder().build();
/// let response = client.get("https://example.com/").send().await?.error_for_status()?;
/// println!("over {}: {}", response.version(), response.text().await?);
/// # Ok(()) }
/// ```
#[cfg(feature = "http")]
pub mod http {
    pub use portway_http::{Client, blocking, client, pool, server};
}

pub use connection::{
    Batch, BinaryReader, BinaryWriter, ByteStream, Connection, ConnectionInfo, LengthPrefix,
    MessageSink, Messages, PartialSend, ReadError, SendPermit, TlsRole, WriteError,
};
pub use error::{
    CloseError, EstablishmentError, ReceiveError, SendError, TrySendError, UpgradeError,
};
pub use event::{ConnectionEvent, Events};
pub use initiate::Initiate;
pub use listener::{ListenLimits, Listener};
pub use preconnection::{ConnectionLimits, Preconnection};
pub use receipt::{Completion, Receipt};
pub use resolve::Resolved;

pub use portway_core::framer::{self, LengthPrefixed};
pub use portway_core::message::{self, Chunks, Message, MessageContext, ReceivedMessage};
pub use portway_core::plan::{Action, Plan, PlanError};
pub use portway_core::property::{
    self, ConnectionProperties, ConnectionState, Effect, MessageProperties, Preference,
    SelectionProperty, TransportProperties,
};
pub use portway_core::race;
/// What a connection demands of its protection.
pub use portway_core::security::SecurityParameters as Security;
pub use portway_core::security::{self, Protection, TlsParameters, TlsVersion};
pub use portway_core::stack;
pub use portway_core::{
    Advice, Failure, FailureKind, LocalEndpoint, Origin, RemoteEndpoint, StackId, Time,
};
pub use portway_transport::context::{Context, ContextBuilder};
pub use portway_transport::environment::Environment;
pub use portway_transport::learned;
pub use portway_transport::listen::DemuxLimits;
pub use portway_transport::real::{Config as RealConfig, DnsConfig, DnsSource, RealEnvironment};
pub use portway_transport::tls::{EarlyData, load_certificates, load_identity, self_signed};

use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::{Handle, Id};

/// The contexts of Preconnections that name none, one for each runtime: what a resolver or a
/// monitor runs in the background must not die with another runtime.
static DEFAULT_CONTEXTS: Mutex<Vec<(Option<Id>, Context)>> = Mutex::new(Vec::new());

/// Runtimes that are remembered; the oldest is forgotten first.
const DEFAULT_CONTEXTS_MAX: usize = 16;

fn default_context() -> Context {
    let runtime = Handle::try_current().ok().map(|handle| handle.id());
    let mut contexts = DEFAULT_CONTEXTS
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some((_, context)) = contexts.iter().find(|(id, _)| *id == runtime) {
        return context.clone();
    }
    if contexts.len() == DEFAULT_CONTEXTS_MAX {
        contexts.remove(0);
    }
    let context = Context::new(Arc::new(RealEnvironment::new(RealConfig::default())));
    contexts.push((runtime, context.clone()));
    context
}

/// The README's example must compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
