//! What a handler may know of the connection that a request came on.
//!
//! Invariant: what changes during a connection, such as a client's address, is told as it is now.

use portway_core::security::{Protection, TlsVersion};
use portway_transport::quic;
use rustls_pki_types::CertificateDer;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// The connection of a request, among the request's extensions.
#[derive(Clone)]
pub struct ConnectionInfo {
    wire: Arc<Wire>,
    is_early: bool,
}

enum Wire {
    Tcp {
        peer: SocketAddr,
        local: SocketAddr,
        /// Who spoke for the client by the PROXY protocol.
        proxy: Option<SocketAddr>,
        protection: Option<Protection>,
    },
    Quic {
        connection: quic::Connection,
        port: SocketAddr,
    },
}

impl ConnectionInfo {
    pub(super) fn tcp(
        peer: SocketAddr,
        local: SocketAddr,
        proxy: Option<SocketAddr>,
        protection: Option<Protection>,
    ) -> Self {
        ConnectionInfo::of(Wire::Tcp {
            peer,
            local,
            proxy,
            protection,
        })
    }

    pub(super) fn quic(connection: quic::Connection, port: SocketAddr) -> Self {
        ConnectionInfo::of(Wire::Quic { connection, port })
    }

    fn of(wire: Wire) -> Self {
        ConnectionInfo {
            wire: Arc::new(wire),
            is_early: false,
        }
    }

    /// The same for a request that may be a replay.
    pub(super) fn early(mut self, is_early: bool) -> Self {
        self.is_early = is_early;
        self
    }

    /// The client's address: what a trusted proxy said, or where a QUIC client is now.
    pub fn peer(&self) -> SocketAddr {
        match &*self.wire {
            Wire::Tcp { peer, .. } => *peer,
            Wire::Quic { connection, .. } => connection.remote_address(),
        }
    }

    /// The address that the client has connected to, as far as the system tells.
    pub fn local(&self) -> SocketAddr {
        match &*self.wire {
            Wire::Tcp { local, .. } => *local,
            Wire::Quic { connection, port } => match connection.local_ip() {
                Some(ip) => SocketAddr::new(ip, port.port()),
                None => *port,
            },
        }
    }

    /// The proxy that said who the client is, by the PROXY protocol.
    pub fn proxy(&self) -> Option<SocketAddr> {
        match &*self.wire {
            Wire::Tcp { proxy, .. } => *proxy,
            Wire::Quic { .. } => None,
        }
    }

    /// Whether the connection is encrypted.
    pub fn is_protected(&self) -> bool {
        match &*self.wire {
            Wire::Tcp { protection, .. } => protection.is_some(),
            Wire::Quic { .. } => true,
        }
    }

    /// The application protocol that TLS agreed on.
    pub fn alpn(&self) -> Option<Vec<u8>> {
        match &*self.wire {
            Wire::Tcp { protection, .. } => protection.as_ref()?.alpn.clone(),
            Wire::Quic { connection, .. } => connection.alpn(),
        }
    }

    /// The version of TLS.
    pub fn tls_version(&self) -> Option<TlsVersion> {
        match &*self.wire {
            Wire::Tcp { protection, .. } => Some(protection.as_ref()?.version),
            // RFC 9001 §4.2: QUIC has no older one.
            Wire::Quic { .. } => Some(TlsVersion::Tls13),
        }
    }

    /// The name that the client asked for in its handshake.
    pub fn server_name(&self) -> Option<String> {
        match &*self.wire {
            Wire::Tcp { protection, .. } => protection.as_ref()?.server_name.clone(),
            Wire::Quic { connection, .. } => connection.server_name(),
        }
    }

    /// The certificates that the client has proven, its own first; empty without any.
    pub fn client_certificates(&self) -> Vec<CertificateDer<'static>> {
        match &*self.wire {
            Wire::Tcp { protection, .. } => protection
                .as_ref()
                .map(|protection| protection.peer_certificates.clone())
                .unwrap_or_default(),
            Wire::Quic { connection, .. } => connection.peer_certificates().unwrap_or_default(),
        }
    }

    /// Everything that was negotiated; `None` in cleartext, and while a QUIC handshake still runs.
    pub fn protection(&self) -> Option<Protection> {
        match &*self.wire {
            Wire::Tcp { protection, .. } => protection.clone(),
            Wire::Quic { connection, .. } => connection.protection(),
        }
    }

    /// Whether the request came as early data: somebody may have sent it a second time.
    pub fn is_early(&self) -> bool {
        self.is_early
    }

    /// The QUIC connection, with HTTP/3.
    pub fn quic_connection(&self) -> Option<&quic::Connection> {
        match &*self.wire {
            Wire::Tcp { .. } => None,
            Wire::Quic { connection, .. } => Some(connection),
        }
    }
}

impl fmt::Debug for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionInfo")
            .field("peer", &self.peer())
            .field("local", &self.local())
            .field("is_protected", &self.is_protected())
            .field("is_early", &self.is_early)
            .finish_non_exhaustive()
    }
}
