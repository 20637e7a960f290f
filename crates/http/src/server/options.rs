//! What can be chosen for a server.
//!
//! Invariant: whatever a client can make a server hold, do or wait for has its bound here.

use super::authority::Names;
use http::request::Parts;
use portway_core::security::TlsParameters;
use portway_transport::real::Turns;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The versions of HTTP that a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Versions {
    /// HTTP/1.1, and 1.0 from those who have nothing newer.
    pub http1: bool,
    /// HTTP/2; in cleartext by prior knowledge.
    pub http2: bool,
    /// HTTP/3, which needs an identity.
    pub http3: bool,
}

impl Versions {
    /// All three.
    pub const ALL: Versions = Versions {
        http1: true,
        http2: true,
        http3: true,
    };

    /// Those that are true.
    pub const fn new(http1: bool, http2: bool, http3: bool) -> Self {
        Versions {
            http1,
            http2,
            http3,
        }
    }

    /// The application protocols of TLS over TCP, the preferred one first.
    pub(super) fn alpn(self) -> Vec<Vec<u8>> {
        let known: [(bool, &[u8]); 2] = [(self.http2, b"h2"), (self.http1, b"http/1.1")];
        let spoken = known.into_iter().filter(|(is_spoken, _)| *is_spoken);
        spoken.map(|(_, name)| name.to_vec()).collect()
    }
}

/// Bounds of what clients may take up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at a time, handshakes included; beyond, clients wait to be accepted, and
    /// nothing of them is lost. 10,000.
    pub connections_max: usize,
    /// Requests at a time on one connection of HTTP/2 or 3. 100.
    pub streams_max: u32,
    /// Bytes of a request's head: its line and fields, or as HTTP/2 and 3 count them. Beyond, the
    /// answer is 431. At least 8,192 count with HTTP/1.1. 16 KiB.
    pub head_bytes_max: u32,
    /// Fields of a request's head; beyond, the answer is 431. 100.
    pub fields_max: usize,
    /// Bytes of a request's content. One that says so is answered with 413; where it shows later,
    /// the body fails. 2^64 − 1, which is no limit.
    pub body_bytes_max: u64,
    /// Suspicious acts that a connection is allowed at once: requests that are reset, frames
    /// without content, pings, settings. 1,000.
    pub glitch_burst: u32,
    /// Suspicious acts that are forgiven a second. 33.
    pub glitches_per_second: u32,
    /// Connections that the system may hold before they are accepted. 1,024.
    pub backlog: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 10_000,
            streams_max: 100,
            head_bytes_max: 16 * 1024,
            fields_max: 100,
            body_bytes_max: u64::MAX,
            glitch_burst: 1000,
            glitches_per_second: 33,
            backlog: 1024,
        }
    }
}

/// How long clients are waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Times {
    /// For a PROXY header and the handshake. 10 s.
    pub handshake: Duration,
    /// From the first byte of a request's head to its last. 30 s.
    pub head: Duration,
    /// For the next piece of a request's content, while it is asked for. 30 s.
    pub body_idle: Duration,
    /// For a client that takes nothing of a response. 120 s.
    pub unread: Duration,
    /// Without any request, before a connection is ended in good order. 75 s.
    pub keep_alive: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            body_idle: Duration::from_secs(30),
            unread: Duration::from_secs(120),
            keep_alive: Duration::from_secs(75),
        }
    }
}

/// Decides which requests may be served from early data, which an attacker can send again.
pub(super) type EarlyFilter = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

/// Decides which peers may say by the PROXY protocol who their client is.
pub(super) type ProxyFilter = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// What a server is made of, but its addresses and its service.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) versions: Versions,
    pub(super) limits: Limits,
    pub(super) times: Times,
    pub(super) tls: Option<TlsParameters>,
    /// Whether data is taken before a handshake of QUIC is complete.
    pub(super) takes_early_data: bool,
    pub(super) early: EarlyFilter,
    pub(super) proxies: Option<ProxyFilter>,
    /// Whom it answers for; nothing stands for everybody.
    pub(super) names: Option<Arc<Names>>,
    pub(super) http3: crate::h3::Options,
    pub(super) alt_svc_age: Duration,
    /// Those of its own threads.
    pub(super) turns: Turns,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            versions: Versions::ALL,
            limits: Limits::default(),
            times: Times::default(),
            tls: None,
            takes_early_data: false,
            // RFC 8470 §3: what is done twice must not do more than what is done once.
            early: Arc::new(|request| request.method.is_safe()),
            proxies: None,
            names: None,
            http3: crate::h3::Options::default(),
            alt_svc_age: Duration::from_secs(24 * 3600),
            turns: Turns::default(),
        }
    }
}

impl Options {
    /// The parameters of TLS over TCP.
    pub(super) fn tcp_tls(&self) -> Option<TlsParameters> {
        let tls = self.tls.clone()?;
        Some(tls.with_alpn(self.versions.alpn()))
    }

    /// The options of HTTP/3 with the server's own limits in their places.
    pub(super) fn http3(&self) -> crate::h3::Options {
        let mut options = self.http3.clone();
        let limits = &mut options.http.limits;
        limits.field_section_bytes = self.limits.head_bytes_max as usize;
        // HTTP/3 counts the request's line among them, and what is too many of the rest is told
        // where requests of all versions are.
        limits.fields = self.limits.fields_max.saturating_add(PSEUDO_FIELDS_MAX);
        limits.requests = self.limits.streams_max as usize;
        limits.glitch_burst = self.limits.glitch_burst;
        limits.glitches_per_second = self.limits.glitches_per_second;
        limits.patience.section = Some(self.times.head);
        limits.patience.blocked = Some(self.times.head);
        limits.patience.unread = Some(self.times.unread);
        options
    }

    /// Sets what is asked of clients; without TLS nothing can be asked.
    pub(super) fn with_tls(&mut self, change: impl FnOnce(TlsParameters) -> TlsParameters) {
        self.tls = Some(change(self.tls.take().unwrap_or_default()));
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("versions", &self.versions)
            .field("limits", &self.limits)
            .field("times", &self.times)
            .field("is_protected", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// RFC 9114 §4.3.1 and RFC 9220 §3: method, scheme, authority, path, protocol.
const PSEUDO_FIELDS_MAX: usize = 5;
