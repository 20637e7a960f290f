//! The secrets in the file that `SSLKEYLOGFILE` names: those that the peer writes of the same
//! connection, over TCP with openssl and over QUIC with ngtcp2.
//!
//! Invariant: our end is a process of its own, since its environment names the file; the peer's
//! file is another one.

use super::{connect, flag, listen, preconnection, read_until, say};
use crate::authority::{Authority, NAME};
use crate::peer::{Peer, free_port, run};
use portway::quic::{Connector, Listener};
use portway::{Security, TlsVersion};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use tokio::process::Command;

/// What both ends write of a connection of TLS 1.3.
const TLS13: &[&str] = &[
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_TRAFFIC_SECRET_0",
];

const VERSIONS: [(TlsVersion, &[&str]); 2] = [
    (TlsVersion::Tls12, &["CLIENT_RANDOM"]),
    (TlsVersion::Tls13, TLS13),
];

#[test]
fn a_client_logs_the_secrets_that_s_server_does() {
    let test = "a_client_logs_the_secrets_that_s_server_does";
    if let Some(part) = Part::played() {
        return run(part.connect_by_tcp());
    }
    run(async {
        let authority = Authority::new();
        for (version, labels) in VERSIONS {
            let (near, far) = (authority.path("near"), authority.path("far"));
            let (cert, key) = (&authority.server.cert, &authority.server.key);
            let arguments = ["s_server", "-accept", "127.0.0.1:0", "-rev", "-cert", cert];
            let further = ["-key", key, "-keylogfile", &far, flag(version)];
            let Some(mut peer) = Peer::start(test, "openssl", &[&arguments[..], &further].concat())
            else {
                return;
            };
            let address = peer.address_after("ACCEPT ").await;
            let mut ours = Part::of(&authority, address).played_by(test, &near);
            assert!(ours.end().await.success(), "{}", ours.output());
            agree(&near, &far, labels);
        }
    });
}

#[test]
fn a_server_logs_the_secrets_that_s_client_does() {
    let test = "a_server_logs_the_secrets_that_s_client_does";
    if let Some(part) = Part::played() {
        return run(part.listen_by_tcp());
    }
    run(async {
        let authority = Authority::new();
        for (version, labels) in VERSIONS {
            let (near, far) = (authority.path("near"), authority.path("far"));
            let mut ours = Part::of(&authority, NOWHERE).played_by(test, &near);
            let address = ours.after("listening at ").await;
            let arguments = ["s_client", "-connect", &address, "-servername", NAME];
            let further = ["-quiet", "-keylogfile", &far, flag(version)];
            let Some(mut peer) = Peer::start(test, "openssl", &[&arguments[..], &further].concat())
            else {
                return;
            };
            peer.say("question\n").await;
            peer.after("answer").await;
            assert!(ours.end().await.success(), "{}", ours.output());
            agree(&near, &far, labels);
        }
    });
}

#[test]
fn a_client_of_quic_logs_the_secrets_that_ngtcp2_does() {
    let test = "a_client_of_quic_logs_the_secrets_that_ngtcp2_does";
    if let Some(part) = Part::played() {
        return run(part.connect_by_quic());
    }
    run(async {
        let authority = Authority::new();
        let (near, far) = (authority.path("near"), authority.path("far"));
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new("/usr/sbin/gtlsserver");
        command.args(["-q", "127.0.0.1", &address.port().to_string()]);
        command.args([&authority.server.key, &authority.server.cert]);
        let Some(_peer) = Peer::spawn(test, logging(command, &far)) else {
            return;
        };
        let mut ours = Part::of(&authority, address).played_by(test, &near);
        assert!(ours.end().await.success(), "{}", ours.output());
        agree(&near, &far, TLS13);
    });
}

#[test]
fn a_server_of_quic_logs_the_secrets_that_ngtcp2_does() {
    let test = "a_server_of_quic_logs_the_secrets_that_ngtcp2_does";
    if let Some(part) = Part::played() {
        return run(part.listen_by_quic());
    }
    run(async {
        let authority = Authority::new();
        let (near, far) = (authority.path("near"), authority.path("far"));
        let mut ours = Part::of(&authority, NOWHERE).played_by(test, &near);
        let address: SocketAddr = ours.address_after("listening at ").await;
        let port = address.port().to_string();
        let mut command = Command::new("gtlsclient");
        command.args([
            "-q",
            "--sni",
            NAME,
            "127.0.0.1",
            &port,
            "https://localhost/",
        ]);
        let Some(_peer) = Peer::spawn(test, logging(command, &far)) else {
            return;
        };
        assert!(ours.end().await.success(), "{}", ours.output());
        agree(&near, &far, TLS13);
    });
}

/// Both files have the same secrets of one connection, with these labels.
fn agree(near: &str, far: &str, labels: &[&str]) {
    let [near, far] = [near, far].map(|path| {
        let text = std::fs::read_to_string(path).expect("a key log");
        std::fs::remove_file(path).expect("it is ours");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.filter(|line| !line.is_empty());
        let lines: BTreeSet<Line> = lines.map(Line::parse).collect();
        let known = |line: &Line| labels.contains(&&*line.label);
        lines.into_iter().filter(known).collect::<Vec<_>>()
    });
    let written: Vec<_> = near.iter().map(|line| &*line.label).collect();
    assert_eq!(written, labels, "one of each, in their order");
    assert_eq!(near, far);
    assert!(near.iter().all(|line| line.random == near[0].random));
}

/// A line of NSS's key log.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    label: String,
    random: String,
    secret: String,
}

impl Line {
    fn parse(line: &str) -> Line {
        // ngtcp2's server writes a space behind the secret.
        let line = line.strip_suffix(' ').unwrap_or(line);
        let fields: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let [label, random, secret] = fields.try_into().expect("three fields");
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(random.len() == 64 && is_hex(&random), "{line}");
        assert!(secret.len() >= 64 && is_hex(&secret), "{line}");
        Line {
            label,
            random: random.to_lowercase(),
            secret: secret.to_lowercase(),
        }
    }
}

/// What our end has to know in its own process.
struct Part {
    address: SocketAddr,
    root: String,
    cert: String,
    key: String,
}

impl Part {
    fn of(authority: &Authority, address: SocketAddr) -> Part {
        Part {
            address,
            root: authority.root.clone(),
            cert: authority.server.cert.clone(),
            key: authority.server.key.clone(),
        }
    }

    /// This process's, if it has one.
    fn played() -> Option<Part> {
        let told = std::env::var(CHILD).ok()?;
        let fields: Vec<_> = told.split('|').map(str::to_owned).collect();
        let [address, root, cert, key] = fields.try_into().expect("as it is written");
        let address = address.parse().expect("an address");
        Some(Part {
            address,
            root,
            cert,
            key,
        })
    }

    /// Starts the test once more as our end of the connection.
    fn played_by(&self, test: &str, log: &str) -> Peer {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let name = format!("library::key_log::{test}");
        command.args(["--exact", &name, "--nocapture"]);
        let Part {
            address,
            root,
            cert,
            key,
        } = self;
        command.env(CHILD, format!("{address}|{root}|{cert}|{key}"));
        Peer::spawn(test, logging(command, log)).expect("this program runs")
    }

    fn client(&self) -> Security {
        let roots = portway_transport::tls::load_certificates(Path::new(&self.root));
        let security = Security::tls().with_roots(roots.expect("a root"));
        let security = security.with_server_name(NAME).with_alpn(["h3"]);
        security.with_tls(|tls| tls.with_key_log())
    }

    fn server(&self) -> Security {
        let (cert, key) = (Path::new(&self.cert), Path::new(&self.key));
        let identity = portway_transport::tls::load_identity(cert, key);
        let security = Security::tls().with_identity(identity.expect("an identity"));
        security.with_tls(|tls| tls.with_key_log())
    }

    async fn connect_by_tcp(self) {
        // s_server speaks no application protocol.
        let security = self.client().with_alpn([""; 0]);
        let connection = connect(&preconnection(security), self.address).await;
        say(&connection, "abc\n").await;
        assert_eq!(
            read_until(&connection, "\n").await.expect("it answers"),
            "cba\n"
        );
    }

    async fn listen_by_tcp(self) {
        let (mut listener, address) = listen(&preconnection(self.server())).await;
        portway_tests::say!("listening at {address}");
        let connection = listener.accept().await.expect("a client");
        let question = read_until(&connection, "\n").await;
        assert_eq!(question.expect("it asks"), "question\n");
        say(&connection, "answer\n").await;
        connection.close().await.expect("acknowledged");
    }

    async fn connect_by_quic(self) {
        let connector = Connector::new(self.client()).server_name(NAME);
        let connection = connector.connect(self.address).await.expect("connected");
        // A stream of the server comes when it has all secrets, too.
        connection.accept_uni().await.expect("its control stream");
        connection.close(0u32.into(), b"");
    }

    async fn listen_by_quic(self) {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any, self.server().with_alpn(["h3"])).expect("a port");
        portway_tests::say!("listening at {}", listener.local_address());
        let accepted = listener.accept().await.expect("it listens");
        accepted.expect("a client").close(0u32.into(), b"");
    }
}

fn logging(mut command: Command, log: &str) -> Command {
    command.env("SSLKEYLOGFILE", log);
    command
}

const CHILD: &str = "PORTWAY_TEST_KEY_LOG";

/// The address of those who listen.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
