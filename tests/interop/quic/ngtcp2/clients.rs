//! Our server with ngtcp2's client.

use super::{LARGE, LOGGED, bytes_of, line_with, marked};
use crate::authority::Authority;
use crate::page::Matrix;
use crate::peer::Peer;
use crate::quic::http3::Critical;
use crate::quic::{accepted, context, http3, loopback, pattern};
use portway::Security;
use portway::quic::{AddressValidation, Connection, Listener, ListenerOptions};
use std::net::{Ipv6Addr, SocketAddr};

const ROLE: &str = "server";

pub(super) async fn cells(test: &str, authority: &Authority, matrix: &mut Matrix) -> Option<()> {
    let listener = listener(authority, loopback(), AddressValidation::Never);
    let (mut peer, connection) = connected(test, &listener, &LOGGED, &[]).await?;
    serve(&connection, 1, b"hello").await;
    line_with(&mut peer, &["Negotiated ALPN is h3"]).await;
    matrix.pass("handshake", ROLE, "it says `Negotiated ALPN is h3`");
    assert_eq!(connection.datagram_size_max(), None);
    transfers(test, authority, &listener, matrix).await?;
    updates(test, &listener, matrix).await?;
    sessions(test, authority, &listener, matrix).await?;
    let asking = self::listener(authority, loopback(), AddressValidation::Always);
    let (mut peer, connection) = connected(test, &asking, &LOGGED, &[]).await?;
    serve(&connection, 1, b"hello").await;
    line_with(&mut peer, &["pkt rx", "type=Retry"]).await;
    matrix.pass("retry", ROLE, "it logs `type=Retry`, and asks");
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let listener = self::listener(authority, v6, AddressValidation::Never);
    let (_peer, connection) = connected(test, &listener, &LOGGED, &[]).await?;
    serve(&connection, 1, b"hello").await;
    matrix.pass("IPv6", ROLE, "it asks over [::1]");
    let (mut peer, connection) = connected(test, &listener, &LOGGED, &[]).await?;
    serve(&connection, 1, b"hello").await;
    marked(&mut peer, ROLE, matrix).await;
    matrix.lacks(
        "datagrams",
        "its transport parameters have no `max_datagram_frame_size`, and no option adds one",
    );
    Some(())
}

/// Bytes in both directions, and streams.
async fn transfers(
    test: &str,
    authority: &Authority,
    listener: &Listener,
    matrix: &mut Matrix,
) -> Option<()> {
    let directory = authority.path("downloads");
    std::fs::create_dir_all(&directory).expect("a directory");
    let file = authority.path("large");
    let both = ["-q", "-d", &file, "--download", &directory];
    let (mut peer, connection) = connected(test, listener, &both, &[]).await?;
    let large = pattern(LARGE);
    let uploaded = serve(&connection, 1, &large).await;
    assert!(uploaded == large, "{} bytes", uploaded.len());
    peer.end().await;
    let downloaded = bytes_of(format!("{directory}/3000"));
    assert!(downloaded == large, "{} bytes", downloaded.len());
    matrix.pass(
        "large transfer",
        ROLE,
        "10,000,000 bytes of its file, and as many in the file that it wrote",
    );
    let (_peer, connection) = connected(test, listener, &["-q", "-n", "1000"], &[]).await?;
    serve(&connection, 1000, &pattern(1000)).await;
    matrix.pass(
        "many streams",
        ROLE,
        "1,000 requests, each answered; it closes with H3_NO_ERROR",
    );
    Some(())
}

/// Keys and addresses change.
async fn updates(test: &str, listener: &Listener, matrix: &mut Matrix) -> Option<()> {
    // The request comes after the change.
    let later = [&LOGGED[..], &["--delay-stream=30ms"]].concat();
    let (mut peer, connection) = connected(test, listener, &later, &["--key-update=1ms"]).await?;
    serve(&connection, 1, b"hello").await;
    line_with(&mut peer, &["Updating traffic key"]).await;
    line_with(&mut peer, &["pkt rx", "type=1RTT k=1"]).await;
    matrix.pass(
        "key update",
        ROLE,
        "it logs `Updating traffic key`, and our packets as `type=1RTT k=1`",
    );
    let rebound = ["--change-local-addr=1ms", "--nat-rebinding"];
    let (mut peer, connection) = connected(test, listener, &later, &rebound).await?;
    let before = connection.remote_address();
    serve(&connection, 1, b"hello").await;
    assert_ne!(connection.remote_address(), before);
    line_with(&mut peer, &["Local address is now"]).await;
    line_with(&mut peer, &["frm rx", "PATH_CHALLENGE"]).await;
    matrix.pass(
        "migration (rebind)",
        ROLE,
        "its port changed, it logs our PATH_CHALLENGE, and its stream went on",
    );
    let moved = ["--change-local-addr=1ms"];
    let (mut peer, connection) = connected(test, listener, &later, &moved).await?;
    serve(&connection, 1, b"hello").await;
    line_with(&mut peer, &["Path validation", "succeeded"]).await;
    matrix.pass(
        "migration (with probes)",
        ROLE,
        "it logs `path has been validated` for its new address, and its stream went on",
    );
    Some(())
}

/// The client keeps its session and our parameters in files.
async fn sessions(
    test: &str,
    authority: &Authority,
    listener: &Listener,
    matrix: &mut Matrix,
) -> Option<()> {
    let session = format!("--session-file={}", authority.path("session"));
    let parameters = format!("--tp-file={}", authority.path("parameters"));
    let both = [&LOGGED[..], &[&session, &parameters]].concat();
    let (mut peer, connection) = connected(test, listener, &both, &[]).await?;
    serve(&connection, 1, b"hello").await;
    peer.end().await;
    let resuming = [&both[..], &["--disable-early-data"]].concat();
    let (mut peer, connection) = connected(test, listener, &resuming, &[]).await?;
    serve(&connection, 1, b"hello").await;
    assert!(connection.protection().expect("negotiated").is_resumed);
    peer.end().await;
    matrix.pass(
        "resumption",
        ROLE,
        "our ticket in its file resumes the session",
    );
    let (mut peer, connection) = connected(test, listener, &both, &[]).await?;
    let (mut send, mut receive) = connection.accept_bi().await.expect("accepted");
    assert!(receive.is_early_data());
    receive.read_to_end(1000).await.expect("all");
    let _critical = Critical::open(&connection, 3).await;
    let answer = send.write_and_finish(http3::response(b"early").into());
    answer.await.expect("written");
    connection.closed().await;
    line_with(&mut peer, &["frm tx", "0RTT STREAM"]).await;
    matrix.pass(
        "0-RTT",
        ROLE,
        "it logs `0RTT STREAM`, and its stream is marked as early",
    );
    Some(())
}

/// Answers as many requests until the client goes, and returns the body of the last.
async fn serve(connection: &Connection, count: usize, answer: &[u8]) -> Vec<u8> {
    let _critical = Critical::open(connection, 3).await;
    let answer = bytes::Bytes::from(http3::response(answer));
    let mut last = Vec::new();
    for _ in 0..count {
        let (mut send, mut receive) = connection.accept_bi().await.expect("accepted");
        last = receive.read_to_end(LARGE + 4096).await.expect("all");
        let written = send.write_and_finish(answer.clone());
        written.await.expect("written");
    }
    assert_eq!(connection.closed().await.to_string(), NO_ERROR);
    http3::body(&last)
}

/// Starts the client, which asks for one path and goes.
async fn connected(
    test: &str,
    listener: &Listener,
    arguments: &[&str],
    more: &[&str],
) -> Option<(Peer, Connection)> {
    let address = listener.local_address();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let at = ["--exit-on-all-streams-close", &host, &port, URI];
    let arguments = [arguments, more, &at].concat();
    let peer = Peer::start(test, "gtlsclient", &arguments)?;
    Some((peer, accepted(listener).await))
}

fn listener(authority: &Authority, local: SocketAddr, validation: AddressValidation) -> Listener {
    let security = Security::tls()
        .with_identity(authority.server.identity())
        .with_alpn(["h3"]);
    let mut options = ListenerOptions::default();
    options.context = Some(context());
    options.early_data = true;
    options.address_validation = validation;
    Listener::bind_with(local, security, options).expect("a port")
}

const URI: &str = "https://localhost/3000";
/// H3_NO_ERROR (RFC 9114 §8.1).
const NO_ERROR: &str = "closed by the peer's application with code 256";
