//! Our client with ngtcp2's server.

use super::{LARGE, LOGGED, line_with, marked};
use crate::authority::{Authority, NAME};
use crate::page::Matrix;
use crate::peer::{Peer, free_port};
use crate::quic::http3::Critical;
use crate::quic::{context, http3, movable, move_on, pattern};
use portway::quic::{Connection, Connector};
use portway::{Context, Security};
use std::net::SocketAddr;

const ROLE: &str = "client";

pub(super) async fn cells(test: &str, authority: &Authority, matrix: &mut Matrix) -> Option<()> {
    let context = context();
    let ours = connector(authority, &context).early_data();
    let (mut peer, address) = server(test, authority, "127.0.0.1", &LOGGED)?;
    let connection = ours.connect(address).await.expect("connected");
    let protection = connection.protection().expect("negotiated");
    assert_eq!(protection.alpn.as_deref(), Some(&b"h3"[..]));
    line_with(&mut peer, &["Negotiated ALPN is h3"]).await;
    matrix.pass("handshake", ROLE, "it says `Negotiated ALPN is h3`");
    assert_eq!(connection.datagram_size_max(), None);
    transfers(test, authority, &ours, matrix).await?;
    connection.force_key_update();
    let _critical = get(&connection, "/3000", 3000).await;
    line_with(&mut peer, &["pkt rx", "type=1RTT k=1"]).await;
    matrix.pass("key update", ROLE, "it logs `type=1RTT k=1`, and answers");
    drop(connection);
    moved(&ours, &context, (&mut peer, address), matrix).await;
    resumption(&ours, (&mut peer, address), matrix).await;
    let arguments = [&LOGGED[..], &["-V"]].concat();
    let (mut peer, address) = server(test, authority, "127.0.0.1", &arguments)?;
    let connection = ours.connect(address).await.expect("connected");
    let _critical = get(&connection, "/3000", 3000).await;
    line_with(&mut peer, &["Sending Retry packet to"]).await;
    line_with(&mut peer, &["Verifying Retry token from"]).await;
    matrix.pass("retry", ROLE, "it logs the Retry packet and its token");
    let (_peer, address) = server(test, authority, "::1", &LOGGED)?;
    let connection = ours.connect(address).await.expect("connected");
    let _critical = get(&connection, "/3000", 3000).await;
    matrix.pass("IPv6", ROLE, "3,000 bytes over [::1]");
    let (mut peer, address) = server(test, authority, "127.0.0.1", &LOGGED)?;
    let connection = ours.connect(address).await.expect("connected");
    let _critical = get(&connection, "/3000", 3000).await;
    marked(&mut peer, ROLE, matrix).await;
    Some(())
}

/// Bytes and streams, without the log, which would take longer than they do.
async fn transfers(
    test: &str,
    authority: &Authority,
    ours: &Connector,
    matrix: &mut Matrix,
) -> Option<()> {
    let file = authority.path("large");
    let (root, _) = file.rsplit_once('/').expect("in a directory");
    let (_peer, address) = server(test, authority, "127.0.0.1", &["-q", "-d", root])?;
    let connection = ours.connect(address).await.expect("connected");
    let _critical = Critical::open(&connection, 0).await;
    let large = ask(&connection, "/large", LARGE).await;
    assert!(large == pattern(LARGE), "{} bytes", large.len());
    matrix.pass(
        "large transfer",
        ROLE,
        "10,000,000 bytes are those of its file",
    );
    for _ in 0..10 {
        let all = (0..100).map(|_| async {
            assert_eq!(ask(&connection, "/1000", 1000).await.len(), 1000);
        });
        crate::quic::all_of(all).await;
    }
    matrix.pass(
        "many streams",
        ROLE,
        "1,000 requests, 100 at a time, 1,000 bytes for each",
    );
    Some(())
}

/// Our socket is another one from now on.
async fn moved(
    ours: &Connector,
    context: &Context,
    (peer, address): (&mut Peer, SocketAddr),
    matrix: &mut Matrix,
) {
    let endpoint = movable(context);
    let ours = ours.clone().endpoint(&endpoint);
    let connection = ours.connect(address).await.expect("connected");
    let _critical = get(&connection, "/3000", 3000).await;
    move_on(&endpoint);
    ask(&connection, "/3000", 3000).await;
    line_with(peer, &["new remote address"]).await;
    line_with(peer, &["Path validation", "succeeded"]).await;
    matrix.pass(
        "migration (rebind)",
        ROLE,
        "it logs the other address and `path has been validated`",
    );
}

/// A second connection resumes the session, and a third one sends early data.
async fn resumption(
    ours: &Connector,
    (peer, address): (&mut Peer, SocketAddr),
    matrix: &mut Matrix,
) {
    let connection = ours.connect(address).await.expect("connected");
    let protection = connection.protection().expect("negotiated");
    assert!(protection.is_resumed);
    let _critical = get(&connection, "/3000", 3000).await;
    matrix.pass("resumption", ROLE, "its ticket resumes the session");
    drop(connection);
    let connection = ours.connect_early(address).await.expect("connected");
    assert!(connection.may_send_early_data(), "no ticket for early data");
    let _critical = get(&connection, "/3000", 3000).await;
    connection.handshake_confirmed().await.expect("confirmed");
    assert_eq!(connection.is_early_data_accepted(), Some(true));
    line_with(peer, &["pkt rx", "type=0RTT"]).await;
    line_with(peer, &["frm rx", "0RTT STREAM"]).await;
    matrix.pass(
        "0-RTT",
        ROLE,
        "it logs the streams of `type=0RTT`, and answers",
    );
}

/// The first request of a connection.
async fn get(connection: &Connection, path: &str, count: usize) -> Option<Critical> {
    let critical = Critical::open(connection, 0).await;
    assert_eq!(ask(connection, path, count).await.len(), count);
    critical
}

/// What a path gives.
async fn ask(connection: &Connection, path: &str, count: usize) -> Vec<u8> {
    let (mut send, mut receive) = connection.open_bi().await.expect("opened");
    let request = send.write_and_finish(http3::request(path).into());
    request.await.expect("written");
    let answer = receive.read_to_end(count + 4096).await.expect("an answer");
    http3::body(&answer)
}

fn connector(authority: &Authority, context: &Context) -> Connector {
    let security = Security::tls()
        .with_trust(authority.trust())
        .with_alpn(["h3"]);
    Connector::new(security).context(context).server_name(NAME)
}

/// Starts the server on a port that was free a moment ago: it does not tell what it takes.
pub(crate) fn server(
    test: &str,
    authority: &Authority,
    host: &str,
    arguments: &[&str],
) -> Option<(Peer, SocketAddr)> {
    let address = SocketAddr::new(host.parse().expect("an address"), free_port());
    let (key, cert) = (&authority.server.key, &authority.server.cert);
    let port = address.port().to_string();
    let at = [host, &port, key, cert];
    let peer = Peer::start(test, "/usr/sbin/gtlsserver", &[arguments, &at].concat())?;
    Some((peer, address))
}
