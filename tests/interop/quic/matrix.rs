//! The matrix with scripted peers, both roles: every cell is tried.
//!
//! Invariant: what a cell's evidence quotes, the peer said in this run.

use super::PAGE;
use super::scripted::Script;
use super::{
    accepted, all_of, connector, context, listener, loopback, movable, move_on, pattern, scripted,
};
use crate::authority::Authority;
use crate::page::{Matrix, Outcome};
use crate::peer::{Peer, run};
use portway::Context;
use portway::quic::{AddressValidation, Connection, Connector, Listener, ListenerOptions};
use std::net::SocketAddr;

#[test]
fn every_cell_of_the_matrix_with_aioquic_holds_as_documented() {
    let test = "every_cell_of_the_matrix_with_aioquic_holds_as_documented";
    let authority = Authority::new();
    scripted::prepare();
    let mut matrix = Matrix::new(&PAGE, "aioquic 1.7.2");
    if all_cells(Script::Aioquic, test, &authority, &mut matrix) {
        matrix.lacks(
            "ECN",
            "its source reads no marks of a socket and sets none; it understands ACK_ECN frames \
             only",
        );
        matrix.check();
    }
}

#[test]
fn every_cell_of_the_matrix_with_quiche_holds_as_documented() {
    let test = "every_cell_of_the_matrix_with_quiche_holds_as_documented";
    let authority = Authority::new();
    let mut matrix = Matrix::new(&PAGE, "quiche 0.30, `tests/peers/quiche`");
    if all_cells(Script::Quiche, test, &authority, &mut matrix) {
        matrix.lacks(
            "ECN",
            "its source says \"sending ECN is not supported at this time\", and takes no marks of \
             a socket",
        );
        matrix.check();
    }
}

/// Tries both roles; false where the peer is not there.
fn all_cells(script: Script, test: &str, authority: &Authority, matrix: &mut Matrix) -> bool {
    let mut is_whole = false;
    run(async {
        let tried = Tried {
            script,
            test,
            authority,
        };
        if tried.as_client(matrix).await.is_some() {
            is_whole = tried.as_server(matrix).await.is_some();
        }
    });
    is_whole
}

/// A peer that is tried.
struct Tried<'a> {
    script: Script,
    test: &'a str,
    authority: &'a Authority,
}

impl Tried<'_> {
    async fn server(&self, arguments: &[&str]) -> Option<(Peer, SocketAddr)> {
        scripted::server_of(self.script, self.test, self.authority, arguments).await
    }

    fn client(&self, server: SocketAddr, arguments: &[&str]) -> Option<Peer> {
        scripted::client_of(self.script, self.test, self.authority, server, arguments)
    }
}

/// Asks for `count` bytes and checks them.
async fn fetch(connection: &Connection, count: usize) {
    let (mut send, mut receive) = connection.open_bi().await.expect("opened");
    let request = (count as u64).to_be_bytes().to_vec();
    send.write_and_finish(request.into())
        .await
        .expect("written");
    let all = receive.read_to_end(count).await.expect("an answer");
    assert!(all == pattern(count), "{} bytes", all.len());
}

impl Tried<'_> {
    /// Our client with its servers.
    async fn as_client(&self, matrix: &mut Matrix) -> Option<()> {
        let authority = self.authority;
        let context = context();
        let ours = connector(authority, &context).early_data();
        let perf = ["--mode", "perf", "--window", "4194304"];
        let (mut peer, address) = self.server(&perf).await?;
        let connection = ours.connect(address).await.expect("connected");
        let said = peer.after("connected ").await;
        assert_eq!(said, "alpn=portway resumed=0 early=0");
        matrix.pass("handshake", "client", format!("it says `{said}`"));
        fetch(&connection, 10_000_000).await;
        matrix.pass(
            "large transfer",
            "client",
            "10,000,000 bytes are those of the pattern",
        );
        for _ in 0..10 {
            let all = (0..100).map(|_| fetch(&connection, 1000));
            all_of(all).await;
        }
        matrix.pass(
            "many streams",
            "client",
            "1,000 streams, 100 at a time, 1,000 bytes on each",
        );
        connection.force_key_update();
        let told = match self.script {
            Script::Aioquic => format!("it reads key phase {}", peer.after("key-phase ").await),
            Script::Quiche => "it reads what comes with the new keys".to_owned(),
        };
        fetch(&connection, 1000).await;
        matrix.pass("key update", "client", format!("{told}, and answers"));
        drop(connection);
        moved(&ours, &context, (&mut peer, address), matrix).await;
        resumption(&ours, &mut peer, address, matrix).await;
        drop(peer);
        let retry = ["--mode", "perf", "--retry"];
        let (_peer, address) = self.server(&retry).await?;
        let connection = ours.connect(address).await.expect("connected");
        fetch(&connection, 1000).await;
        matrix.pass(
            "retry",
            "client",
            "it answers only tokens of its Retry packets, and answered",
        );
        let echo = ["--mode", "echo", "--datagrams", "--host", "::1"];
        let (_peer, address) = self.server(&echo).await?;
        let connection = ours.connect(address).await.expect("connected");
        matrix.pass("IPv6", "client", "connected over [::1]");
        connection.send_datagram("echo".into()).await.expect("sent");
        let datagram = connection.receive_datagram().await.expect("it");
        assert_eq!(&datagram[..], b"echo");
        matrix.pass("datagrams", "client", "one came back");
        Some(())
    }
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
    peer.after("connected ").await;
    fetch(&connection, 1000).await;
    move_on(&endpoint);
    fetch(&connection, 1000).await;
    peer.after("path ").await;
    matrix.pass(
        "migration (rebind)",
        "client",
        "it sees another port, and answers there",
    );
}

/// A second connection resumes the session, and a third one sends early data.
async fn resumption(ours: &Connector, peer: &mut Peer, address: SocketAddr, matrix: &mut Matrix) {
    let connection = ours.connect(address).await.expect("connected");
    let said = peer.after("connected ").await;
    assert!(said.contains("resumed=1"), "{said}");
    matrix.pass("resumption", "client", format!("it says `{said}`"));
    fetch(&connection, 1000).await;
    drop(connection);
    let connection = ours.connect_early(address).await.expect("connected");
    assert!(connection.may_send_early_data(), "no ticket for early data");
    fetch(&connection, 1000).await;
    connection.handshake_confirmed().await.expect("confirmed");
    assert_eq!(connection.is_early_data_accepted(), Some(true));
    let said = peer.after("connected ").await;
    assert!(said.contains("early=1"), "{said}");
    matrix.pass(
        "0-RTT",
        "client",
        format!("it says `{said}`, and answered the early request"),
    );
}

impl Tried<'_> {
    /// Our server with its clients.
    async fn as_server(&self, matrix: &mut Matrix) -> Option<()> {
        let authority = self.authority;
        let context = context();
        let listener = listener(authority, loopback(), options(&context));
        let address = listener.local_address();
        let mut peer = self.client(address, &["--datagrams"])?;
        peer.say("connect\n").await;
        let mut connection = accepted(&listener).await;
        let said = peer.after("connected ").await;
        matrix.pass("handshake", "server", format!("it says `{said}`"));
        peer.say("open bidi\n").await;
        let id = peer.after("opened ").await;
        peer.say(&format!("fill {id} 10000000\nfinish {id}\n"))
            .await;
        let (mut send, mut receive) = connection.accept_bi().await.expect("accepted");
        let all = receive.read_to_end(10_000_000).await.expect("all");
        assert!(all == pattern(10_000_000), "{} bytes", all.len());
        send.write_and_finish(all.into()).await.expect("written");
        peer.after(&format!("finished {id} 10000000 ")).await;
        matrix.pass(
            "large transfer",
            "server",
            "10,000,000 bytes, and as many back",
        );
        for _ in 0..200 {
            peer.say("open bidi\n").await;
            let id = peer.after("opened ").await;
            peer.say(&format!("write {id} many\nfinish {id}\n")).await;
            let (_send, mut receive) = connection.accept_bi().await.expect("accepted");
            assert_eq!(receive.read_to_end(9).await.expect("all"), b"many");
        }
        matrix.pass(
            "many streams",
            "server",
            "200 streams, each read to its end",
        );
        peer.say("datagram hello\n").await;
        let datagram = connection.receive_datagram().await.expect("it");
        connection.send_datagram(datagram).await.expect("sent");
        peer.after("datagram 5 hello").await;
        matrix.pass("datagrams", "server", "one came back");
        match self.script {
            Script::Aioquic => {
                peer.say("key-update\nping\n").await;
                peer.after("ponged").await;
                let evidence = "its ping under the new keys is acknowledged";
                matrix.pass("key update", "server", evidence);
            }
            Script::Quiche => {
                let evidence = "its interface starts no key update";
                matrix.add("key update", "server", Outcome::Lacks, evidence);
            }
        }
        migration(&mut peer, &mut connection, matrix).await;
        peer.say("close 0\n").await;
        connection.closed().await;
        again(&mut peer, &listener, matrix).await;
        let retried = self.retry(&context, matrix).await;
        let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0));
        let listener = super::listener(authority, v6, options(&context));
        let mut peer = self.client(listener.local_address(), &[])?;
        peer.say("connect\n").await;
        accepted(&listener).await;
        peer.after("connected ").await;
        matrix.pass("IPv6", "server", "it connected over [::1]");
        retried
    }

    /// A server that always asks for a token.
    async fn retry(&self, context: &Context, matrix: &mut Matrix) -> Option<()> {
        let security = portway::Security::tls()
            .with_identity(self.authority.server.identity())
            .with_alpn([super::ALPN]);
        let mut options = options(context);
        options.address_validation = AddressValidation::Always;
        let listener = Listener::bind_with(loopback(), security, options).expect("a port");
        let mut peer = self.client(listener.local_address(), &[])?;
        peer.say("connect\n").await;
        accepted(&listener).await;
        peer.after("connected ").await;
        matrix.pass(
            "retry",
            "server",
            "it connected to a server that takes validated addresses only",
        );
        Some(())
    }
}

fn options(context: &Context) -> ListenerOptions {
    let mut options = ListenerOptions::default();
    options.context = Some(context.clone());
    options.early_data = true;
    options
}

/// The peer goes on from another port.
async fn migration(peer: &mut Peer, connection: &mut Connection, matrix: &mut Matrix) {
    let before = connection.remote_address();
    peer.say("rebind\n").await;
    peer.after("ponged").await;
    peer.say("open bidi\n").await;
    let id = peer.after("opened ").await;
    peer.say(&format!("write {id} moved\nfinish {id}\n")).await;
    let (_send, mut receive) = connection.accept_bi().await.expect("accepted");
    assert_eq!(receive.read_to_end(9).await.expect("all"), b"moved");
    assert_ne!(connection.remote_address(), before);
    matrix.pass(
        "migration (rebind)",
        "server",
        "its port changed, and its stream went on",
    );
}

/// The peer connects again, with its ticket, and then with early data.
async fn again(peer: &mut Peer, listener: &Listener, matrix: &mut Matrix) {
    peer.say("connect\n").await;
    let connection = accepted(listener).await;
    let said = peer.after("connected ").await;
    assert!(said.contains("resumed=1"), "{said}");
    matrix.pass("resumption", "server", format!("it says `{said}`"));
    // What comes behind the ticket tells that it is there.
    peer.after("ticket ").await;
    peer.say("close 0\n").await;
    connection.closed().await;
    peer.say("connect early\n").await;
    let connection = accepted(listener).await;
    let (_send, mut receive) = connection.accept_bi().await.expect("accepted");
    assert_eq!(receive.read_to_end(9).await.expect("all"), b"early");
    let said = peer.after("connected ").await;
    assert!(said.contains("early=1"), "{said}");
    assert!(receive.is_early_data());
    matrix.pass(
        "0-RTT",
        "server",
        format!("it says `{said}`, and its stream is marked as early"),
    );
    peer.say("close 0\n").await;
    connection.closed().await;
}
