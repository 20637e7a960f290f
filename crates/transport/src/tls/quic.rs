//! TLS of QUIC connections (RFC 9001), behind quinn-proto's traits.
//!
//! Invariant: what rustls's callbacks saw stays with its session, and what they say of this side's
//! reasons is never sent to the peer.

mod opening;
mod session;
#[cfg(test)]
mod tests;

use super::session::{EarlyPromise, ServerSessions};
use portway_core::Failure;
use portway_core::security::Protection;
use quinn_proto::coding::Codec;
use quinn_proto::crypto::{self, Keys, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, VarInt};
use rustls::quic::{Suite, Version};
use rustls::{AlertDescription, ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;
use session::QuicSession;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Whether data may be sent or taken before the handshake is complete (0-RTT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EarlyData {
    /// No early data.
    Refused,
    /// Early data where a session allows it. It may be replayed by others.
    Allowed,
}

/// TLS of QUIC clients with the same parameters, for any number of attempts.
pub struct QuicClientTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl QuicClientTls {
    pub(super) fn new(config: Arc<ClientConfig>, name: ServerName<'static>) -> Self {
        QuicClientTls { config, name }
    }

    /// Whether a ticket is used for early data, too.
    pub(crate) fn allows_early_data(&self) -> bool {
        self.config.enable_early_data
    }

    /// A session that sends no transport parameters but empty ones.
    #[cfg(test)]
    pub(crate) fn session(&self) -> impl crypto::Session {
        let (config, name) = (Arc::clone(&self.config), self.name.clone());
        QuicSession::client(config, Version::V1, name, Vec::new()).expect("a session")
    }

    /// The name that the server must prove, or its address. An attempt is made with this name
    /// unless it is to be for another one.
    pub fn server_name(&self) -> String {
        self.name.to_str().into_owned()
    }
}

impl fmt::Debug for QuicClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QuicClientTls({})", self.name.to_str())
    }
}

impl crypto::ClientConfig for QuicClientTls {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn crypto::Session>, ConnectError> {
        let version = known_version(version)?;
        let invalid = || ConnectError::InvalidServerName(server_name.to_owned());
        let name = ServerName::try_from(server_name).map_err(|_| invalid())?;
        let config = Arc::clone(&self.config);
        let session = QuicSession::client(config, version, name.to_owned(), encoded(params));
        // The parameters were checked when the configuration was made, so what is left is a name
        // that cannot be sent.
        Ok(Box::new(session.map_err(|_| invalid())?))
    }
}

/// TLS of QUIC servers with the same parameters.
pub struct QuicServerTls {
    config: Arc<ServerConfig>,
    /// Where sessions are kept when early data is taken.
    sessions: Option<Arc<ServerSessions>>,
    /// Configurations by what their connections promise; the one used last is the first.
    promising: Mutex<VecDeque<(EarlyPromise, Arc<ServerConfig>)>>,
}

impl QuicServerTls {
    pub(super) fn new(config: ServerConfig, sessions: Option<Arc<ServerSessions>>) -> Self {
        QuicServerTls {
            config: Arc::new(config),
            sessions,
            promising: Mutex::default(),
        }
    }

    /// The configuration for a connection with these transport parameters.
    fn config_for(&self, encoded: &[u8]) -> Arc<ServerConfig> {
        let Some(sessions) = &self.sessions else {
            return Arc::clone(&self.config);
        };
        let promise = promise_of(encoded);
        // A panic while holding the lock leaves a cache that is merely incomplete.
        let mut known = self
            .promising
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().position(|(it, _)| *it == promise);
        if let Some(index) = found
            && let Some(entry) = known.remove(index)
        {
            let config = Arc::clone(&entry.1);
            known.push_front(entry);
            return config;
        }
        let mut config = (*self.config).clone();
        config.session_storage = sessions.promising(promise.clone());
        let config = Arc::new(config);
        known.truncate(PROMISES_MAX - 1);
        known.push_front((promise, Arc::clone(&config)));
        config
    }
}

impl fmt::Debug for QuicServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuicServerTls")
    }
}

impl crypto::ServerConfig for QuicServerTls {
    fn initial_keys(
        &self,
        version: u32,
        dst_cid: &ConnectionId,
    ) -> Result<Keys, UnsupportedVersion> {
        known_version(version)?;
        Ok(session::boxed(initial_keys(dst_cid, rustls::Side::Server)))
    }

    fn retry_tag(&self, _version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        session::retry_tag(orig_dst_cid, &[packet])
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn crypto::Session> {
        let version = known_version(version).unwrap_or(Version::V1);
        let encoded = encoded(params);
        let config = self.config_for(&encoded);
        let session = QuicSession::server(config, version, encoded);
        Box::new(session.expect("the configuration was made for TLS 1.3 and QUIC"))
    }
}

/// What TLS knows of a QUIC connection. The driver finds it as its session's handshake data.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QuicHandshake {
    /// What was negotiated, once the handshake is complete.
    pub protection: Option<Protection>,
    /// The same for a server whose handshake is not complete, as far as it has settled it.
    pub early_protection: Option<Protection>,
    /// The application protocol, which is known before that.
    pub alpn: Option<Vec<u8>>,
    /// The name that a client gave, which is known before that; a client's own.
    pub server_name: Option<String>,
    /// Why this side has ended the handshake, if it has.
    pub failure: Option<Failure>,
    is_client: bool,
    is_certificate_requested: bool,
    is_client_reached: bool,
}

impl QuicHandshake {
    /// What a session of this module knows; `None` for those of others.
    pub(crate) fn of(session: &dyn crypto::Session) -> Option<QuicHandshake> {
        let data = session.handshake_data()?.downcast::<QuicHandshake>().ok()?;
        Some(*data)
    }

    /// What the peer means by closing the connection with this transport error code, if it is one
    /// of TLS (RFC 9001 §4.8).
    pub fn peer_failure(&self, code: u64) -> Option<Failure> {
        let alert = AlertDescription::from(alert_of(code)?);
        let role = session::role(self.is_client);
        Some(super::classify::alert_received(
            alert,
            role,
            self.is_certificate_requested,
        ))
    }

    /// Whether a client has shown to a server that it receives at its address, by a Handshake
    /// packet: only who got the server's answer has the keys of one (RFC 9000 §8.1).
    pub(crate) fn is_client_reached(&self) -> bool {
        self.is_client_reached
    }

    /// Runs `work`, which lets sessions take steps on this thread, and gives the failure of the
    /// last one that failed in it: quinn-proto drops a server's session that fails at its first
    /// packet.
    pub fn failure_during<T>(work: impl FnOnce() -> T) -> (T, Option<Failure>) {
        LAST_FAILURE.set(None);
        let result = work();
        (result, LAST_FAILURE.take())
    }
}

thread_local! {
    static LAST_FAILURE: RefCell<Option<Failure>> = const { RefCell::new(None) };
}

/// RFC 9001 §4.8: alerts are the transport error codes from 0x100 to 0x1ff.
fn alert_of(code: u64) -> Option<u8> {
    (code >> 8 == 1).then_some((code & 0xff) as u8)
}

/// The versions that quinn-proto and rustls both speak without being drafts.
fn known_version(version: u32) -> Result<Version, UnsupportedVersion> {
    match version {
        1 => Ok(Version::V1),
        _ => Err(UnsupportedVersion),
    }
}

/// RFC 9001 §5.2: the keys of Initial packets come from the client's first choice of identifier,
/// and these packets are protected by AES-128-GCM, whatever else is allowed.
pub(crate) fn initial_keys(dst_cid: &[u8], side: rustls::Side) -> rustls::quic::Keys {
    INITIAL_SUITE.keys(dst_cid, side, Version::V1)
}

static INITIAL_SUITE: LazyLock<Suite> = LazyLock::new(|| {
    let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    suite
        .tls13()
        .and_then(rustls::Tls13CipherSuite::quic_suite)
        .expect("the suite is one of TLS 1.3 that supports QUIC")
});

fn encoded(params: &TransportParameters) -> Vec<u8> {
    let mut bytes = Vec::new();
    params.write(&mut bytes);
    bytes
}

/// The limits among encoded transport parameters (RFC 9000 §18.2).
fn promise_of(mut encoded: &[u8]) -> EarlyPromise {
    let mut promise = EarlyPromise::default();
    while let (Ok(id), Ok(len)) = (VarInt::decode(&mut encoded), VarInt::decode(&mut encoded)) {
        let len = usize::try_from(len.into_inner()).unwrap_or(usize::MAX);
        let Some((mut value, rest)) = encoded.split_at_checked(len) else {
            break;
        };
        encoded = rest;
        if REMEMBERED.contains(&id.into_inner())
            && let Ok(value) = VarInt::decode(&mut value)
        {
            promise.0.insert(id.into_inner(), value.into_inner());
        }
    }
    promise
}

/// The parameters that a client remembers and a server must not lower (RFC 9000 §7.4.1): data and
/// streams, the number of connection identifiers, the size of datagrams.
const REMEMBERED: [u64; 8] = [0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0e, 0x20];
/// Configurations that differ in what they promise; a server seldom has more than a few.
const PROMISES_MAX: usize = 16;
