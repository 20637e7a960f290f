//! What the ends of HTTP/3 and of raw QUIC have in common.
//!
//! Invariant: windows, streams, idle time, congestion control and sizes of packets are those that
//! the other stacks are measured with.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio_quiche::metrics::DefaultMetrics;
use tokio_quiche::quic::connect_with_config;
use tokio_quiche::settings::{CertificateKind, Hooks, QuicSettings, TlsCertificatePaths};
use tokio_quiche::socket::Socket;
use tokio_quiche::{
    ApplicationOverQuic, ConnectionParams, QuicConnection, QuicConnectionStream, listen,
};

/// The files of a certificate and its key.
#[derive(Clone)]
pub(crate) struct Certificate {
    cert: Arc<str>,
    key: Arc<str>,
}

impl Certificate {
    pub(crate) fn new(cert: &str, key: &str) -> Certificate {
        Certificate {
            cert: cert.into(),
            key: key.into(),
        }
    }
}

/// A server's port, and the connections that come to it.
pub(crate) async fn bind(
    certificate: &Certificate,
    alpn: &[u8],
) -> (SocketAddr, QuicConnectionStream<DefaultMetrics>) {
    let socket = UdpSocket::bind(LOOPBACK).await.expect("a port");
    let address = socket.local_addr().expect("it is bound");
    let paths = TlsCertificatePaths {
        cert: &certificate.cert,
        private_key: &certificate.key,
        kind: CertificateKind::X509,
    };
    let params = ConnectionParams::new_server(settings(alpn), paths, Hooks::default());
    let mut streams = listen([socket], params, DefaultMetrics).expect("it listens");
    (address, streams.remove(0))
}

/// A client's connection that `app` drives.
pub(crate) async fn connect(
    server: SocketAddr,
    alpn: &[u8],
    app: impl ApplicationOverQuic,
) -> QuicConnection {
    let socket = UdpSocket::bind(LOOPBACK).await.expect("a port");
    socket.connect(server).await.expect("an address");
    let mut socket = Socket::try_from(socket).expect("it is connected");
    socket.apply_max_capabilities();
    let params = ConnectionParams::new_client(settings(alpn), None, Hooks::default());
    let connected = connect_with_config(socket, Some("localhost"), &params, app).await;
    connected.expect("our own server")
}

fn settings(alpn: &[u8]) -> QuicSettings {
    let mut settings = QuicSettings::default();
    settings.alpn = vec![alpn.to_vec()];
    settings.initial_max_data = WINDOW;
    settings.max_connection_window = WINDOW;
    settings.initial_max_stream_data_bidi_local = STREAM_WINDOW;
    settings.initial_max_stream_data_bidi_remote = STREAM_WINDOW;
    settings.initial_max_stream_data_uni = STREAM_WINDOW;
    settings.max_stream_window = STREAM_WINDOW;
    settings.initial_max_streams_bidi = STREAMS_MAX;
    settings.initial_max_streams_uni = STREAMS_MAX;
    settings.max_idle_timeout = Some(Duration::from_secs(300));
    settings.max_recv_udp_payload_size = DATAGRAM_MAX;
    settings.max_send_udp_payload_size = DATAGRAM_MAX;
    settings.discover_path_mtu = true;
    settings.cc_algorithm = "cubic".to_owned();
    // The other servers send no Retry packets, and handshakes do not count.
    settings.disable_client_ip_validation = true;
    settings
}

/// Any port of loopback.
pub(crate) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const WINDOW: u64 = 16 << 20;
const STREAM_WINDOW: u64 = 1_250_000;
const STREAMS_MAX: u64 = 1024;
/// As far as the others search for the path's.
const DATAGRAM_MAX: usize = 1452;
