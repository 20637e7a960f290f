//! The scenarios of the QUIC interop runner with our client at the near end.
//!
//! Invariant: a scenario's evidence is asserted before it is told.

use super::scene::{Scene, plain};
use super::servers::{Kind, Server, Wanted};
use super::{is_long, size};
use crate::authority::Authority;
use crate::quic::scripted::Script;
use crate::quic::{all_of, context};
use portway::Context;
use portway::quic::{Connection, Endpoint, EndpointOptions};
use portway::security::CipherSuite;
use portway_tests::link::{FAR_V4, Impairments, NEAR_V4, Rebinding, Towards};
use portway_transport::environment::UdpBind;
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// The scenarios in the runner's order.
pub(super) const NAMES: [&str; 22] = [
    "handshake",
    "transfer",
    "longrtt",
    "chacha20",
    "multiplexing",
    "retry",
    "resumption",
    "zerortt",
    "blackhole",
    "keyupdate",
    "ecn",
    "amplificationlimit",
    "handshakeloss",
    "transferloss",
    "handshakecorruption",
    "transfercorruption",
    "ipv6",
    "rebind-port",
    "rebind-addr",
    "connectionmigration",
    "goodput",
    "crosstraffic",
];

/// One scenario with one server.
pub(super) struct Trial<'a> {
    pub(super) kind: Kind,
    pub(super) scene: &'a Scene,
    pub(super) authority: &'a Authority,
}

/// Plays a scenario, and says what was seen; `None` where the server's program is not there.
pub(super) async fn play(name: &str, trial: &Trial<'_>) -> Option<String> {
    match name {
        "handshake" => trial.fetch(Wanted::default(), &[1024]).await,
        "transfer" => {
            let sizes = [2_000_000, 3_000_000, 5_000_000].map(size);
            trial.fetch(Wanted::default(), &sizes).await
        }
        "longrtt" => trial.long_rtt().await,
        "chacha20" => trial.chacha20().await,
        "multiplexing" => trial.multiplexing().await,
        "retry" => trial.retry().await,
        "resumption" | "zerortt" => trial.again(name == "zerortt").await,
        "blackhole" => trial.black_hole().await,
        "keyupdate" => trial.key_update().await,
        "ecn" => trial.ecn().await,
        "amplificationlimit" => trial.amplification_limit().await,
        "handshakeloss" | "handshakecorruption" => trial.handshakes(name).await,
        "transferloss" | "transfercorruption" => {
            trial.scene.link.impair_both(&part(name, 0.02));
            let fetched = trial.fetch(Wanted::default(), &[size(2_000_000)]).await;
            fetched.map(|_| format!("{} in both directions: all bytes came", told(name, 2)))
        }
        "ipv6" => {
            let wanted = Wanted {
                v6: true,
                ..Wanted::default()
            };
            trial.fetch(wanted, &[1024]).await
        }
        "rebind-port" => trial.rebound(Rebinding::Port, "port").await,
        "rebind-addr" => trial.rebound(Rebinding::Address, "address and port").await,
        "connectionmigration" => trial.migration().await,
        "goodput" => trial.goodput().await,
        "crosstraffic" => trial.cross_traffic().await,
        _ => panic!("no scenario is called {name}"),
    }
}

/// How often early data is tried. rustls tells the age of a ticket in whole seconds, which a peer
/// that compares it with its own clock refuses when a second began in between.
const EARLY_TRIES: usize = 5;

impl Trial<'_> {
    async fn server(&self, wanted: Wanted) -> Option<Server> {
        Server::start(self.kind, self.scene, self.authority, wanted).await
    }

    async fn connect(&self, server: &Server, context: &Context) -> Connection {
        let ours = server.connector(self.authority, context);
        ours.connect(server.address).await.expect("connected")
    }

    async fn fetch(&self, wanted: Wanted, sizes: &[usize]) -> Option<String> {
        let server = self.server(wanted).await?;
        let connection = self.connect(&server, &context()).await;
        let asking = server.asking(&connection).await;
        all_of(sizes.iter().map(|size| asking.get(*size))).await;
        Some("all bytes came".to_owned())
    }

    async fn long_rtt(&self) -> Option<String> {
        let mut link = plain();
        link.delay = Duration::from_millis(750);
        self.scene.link.impair_both(&link);
        let server = self.server(Wanted::default()).await?;
        let connection = self.connect(&server, &context()).await;
        server.asking(&connection).await.get(1024).await;
        assert!(connection.statistics().rtt_min >= 2 * link.delay);
        Some("with a round trip of 1.5 s: all bytes came".to_owned())
    }

    async fn chacha20(&self) -> Option<String> {
        let server = self.server(Wanted::default()).await?;
        let suite = CipherSuite::Chacha20Poly1305Sha256;
        let security = server.security(self.authority);
        let security = security.with_tls(|tls| tls.with_cipher_suites([suite]));
        let ours = server.connector_with(security, &context());
        let connection = ours.connect(server.address).await.expect("connected");
        let protection = connection.protection().expect("negotiated");
        assert_eq!(protection.cipher_suite, suite.to_string());
        server.asking(&connection).await.get(size(3_000_000)).await;
        Some(format!("`{suite}`: all bytes came"))
    }

    async fn multiplexing(&self) -> Option<String> {
        let server = self.server(Wanted::default()).await?;
        let connection = self.connect(&server, &context()).await;
        let asking = server.asking(&connection).await;
        // More of them than the server allows wait for their turn.
        all_of((0..1999).map(|_| asking.get(32))).await;
        Some("1,999 streams asked for at once, 32 bytes on each".to_owned())
    }

    async fn retry(&self) -> Option<String> {
        let wanted = Wanted {
            retry: true,
            ..Wanted::default()
        };
        let fetched = self.fetch(wanted, &[1024]).await?;
        let log = self.scene.link.log();
        let first = log.iter().find(|passage| passage.towards == Towards::Near);
        let bytes = first.expect("an answer").bytes;
        assert!(bytes < 400, "the first answer has {bytes} bytes");
        Some(format!("its first packet is a Retry packet: {fetched}"))
    }

    async fn again(&self, is_early: bool) -> Option<String> {
        let server = self.server(Wanted::default()).await?;
        let context = context();
        let connection = self.connect(&server, &context).await;
        server.asking(&connection).await.get(1024).await;
        drop(connection);
        if !is_early {
            let connection = self.connect(&server, &context).await;
            assert!(connection.protection().expect("negotiated").is_resumed);
            server.asking(&connection).await.get(1024).await;
            return Some("the second handshake resumes the session".to_owned());
        }
        let ours = server.connector(self.authority, &context);
        for _ in 0..EARLY_TRIES {
            let early = ours.connect_early(server.address).await;
            let connection = early.expect("connected");
            assert!(connection.may_send_early_data(), "no ticket for early data");
            let asking = server.asking(&connection).await;
            let answered = Cell::new(0);
            let ask = async || {
                let is_answered = asking.is_answered(32).await;
                answered.set(answered.get() + u32::from(is_answered));
            };
            all_of((0..40).map(|_| ask())).await;
            if connection.is_early_data_accepted() == Some(true) {
                assert_eq!(answered.get(), 40);
                let told = "40 requests of the second connection; its early data is taken";
                return Some(told.to_owned());
            }
            // What was rejected can be asked for again.
            server.asking(&connection).await.get(1024).await;
        }
        panic!("early data was rejected again and again");
    }

    async fn black_hole(&self) -> Option<String> {
        let seconds = if is_long() { 5 } else { 2 };
        for (towards, packets) in [(Towards::Near, 100), (Towards::Far, 50)] {
            let mut link = plain();
            link.outage = Some((packets, Duration::from_secs(seconds)));
            self.scene.link.impair(towards, link);
        }
        self.fetch(Wanted::default(), &[size(10_000_000)]).await?;
        let lost = self.scene.link.log();
        assert!(lost.iter().any(|passage| !passage.is_passed));
        Some("nothing passes for seconds: all bytes came".to_owned())
    }

    async fn key_update(&self) -> Option<String> {
        let mut server = self.server(Wanted::default()).await?;
        let connection = self.connect(&server, &context()).await;
        let asking = server.asking(&connection).await;
        asking.get(1024).await;
        connection.force_key_update();
        asking.get(size(3_000_000)).await;
        let kind = self.kind;
        let word = match kind {
            Kind::Scripted(Script::Aioquic) => "key-phase 1",
            // Neither has another word for it than that it reads the request.
            Kind::Ours | Kind::Scripted(Script::Quiche) => {
                return Some("all bytes came, before and after it".to_owned());
            }
            Kind::Ngtcp2 => "type=1RTT k=1",
        };
        let process = server.process().expect("it is a program");
        process.after(word).await;
        Some(format!("it says `{word}`: all bytes came"))
    }

    async fn ecn(&self) -> Option<String> {
        let link = Impairments {
            delay: Duration::from_millis(15),
            congestion: 0.05,
            ..Impairments::default()
        };
        self.scene.link.impair_both(&link);
        let server = self.server(Wanted::default()).await?;
        let connection = self.connect(&server, &context()).await;
        let asking = server.asking(&connection).await;
        asking.get(500_000).await;
        for towards in [Towards::Near, Towards::Far] {
            let log = self.scene.link.log();
            let mut own = log.iter().filter(|passage| passage.towards == towards);
            assert!(own.any(|passage| passage.ecn == ECT0), "{towards:?}");
        }
        if self.kind != Kind::Ours {
            return Some("packets of both directions are marked ECT(0)".to_owned());
        }
        // Nothing is lost, so that only marks can tell of congestion; a longer one comes back.
        let (mut send, mut receive) = connection.open_bi().await.expect("opened");
        let written = send.write_and_finish(vec![7; 500_000].into());
        written.await.expect("written");
        let back = receive.read_to_end(500_000).await.expect("it");
        assert_eq!(back.len(), 500_000);
        let statistics = connection.statistics();
        assert!(statistics.congestion_events > 0, "{statistics:?}");
        assert_eq!(statistics.packets_lost, 0, "{statistics:?}");
        Some("both ends mark with ECT(0); marks of congestion alone slow the sender".to_owned())
    }

    async fn amplification_limit(&self) -> Option<String> {
        let mut link = plain();
        // The first packet passes, the next three do not.
        link.lost = 1..4;
        self.scene.link.impair(Towards::Far, link);
        let wanted = Wanted {
            large_certificate: true,
            ..Wanted::default()
        };
        self.fetch(wanted, &[1024]).await?;
        let (mut sent, mut answered, mut count) = (0, 0, 0);
        for passage in self.scene.link.log() {
            match passage.towards {
                Towards::Far => count += u32::from(passage.is_passed),
                Towards::Near if count == 1 => answered += passage.bytes,
                Towards::Near => {}
            }
            if count == 1 && passage.towards == Towards::Far && passage.is_passed {
                sent += passage.bytes;
            }
        }
        assert!(answered > 2 * sent, "a chain that needs more: {answered}");
        // RFC 9000 §8.1: three times what came, until the address is validated.
        assert!(answered <= 3 * sent, "{answered} bytes for {sent}");
        Some("it answers one packet with at most three times its bytes, and goes on".to_owned())
    }

    async fn handshakes(&self, name: &str) -> Option<String> {
        self.scene.link.impair_both(&part(name, 0.3));
        let server = self.server(Wanted::default()).await?;
        let count = if is_long() { 50 } else { 3 };
        let one = async || {
            let connection = self.connect(&server, &context()).await;
            server.asking(&connection).await.get(1024).await;
        };
        all_of((0..count).map(|_| one())).await;
        let told = told(name, 30);
        Some(format!(
            "{told} in both directions: each connection got its bytes"
        ))
    }

    async fn rebound(&self, rebinding: Rebinding, what: &str) -> Option<String> {
        rebind(self.scene, rebinding);
        self.fetch(Wanted::default(), &[size(10_000_000)]).await?;
        assert!(self.scene.link.rebindings() >= 2);
        Some(format!(
            "the {what} changes again and again: all bytes came"
        ))
    }

    async fn migration(&self) -> Option<String> {
        let server = self.server(Wanted::default()).await?;
        let context = context();
        let bind = |address: Ipv4Addr| UdpBind::on(SocketAddr::from((address, 0)));
        let environment = context.environment().clone();
        let options = EndpointOptions::default();
        let endpoint = Endpoint::bind(environment, bind(NEAR_V4), &options, None);
        let endpoint = endpoint.expect("a socket");
        let ours = server
            .connector(self.authority, &context)
            .endpoint(&endpoint);
        let connection = ours.connect(server.address).await.expect("connected");
        let asking = server.asking(&connection).await;
        asking.get(1024).await;
        endpoint
            .rebind(bind(Ipv4Addr::UNSPECIFIED))
            .expect("another port");
        asking.get(size(2_000_000)).await;
        Some("our socket is another one: all bytes came".to_owned())
    }

    async fn goodput(&self) -> Option<String> {
        let bytes = size(10_000_000);
        self.fetch(Wanted::default(), &[bytes]).await?;
        let log = self.scene.link.log();
        let came = log
            .iter()
            .filter(|passage| passage.towards == Towards::Near);
        let sent: usize = came.map(|passage| passage.bytes).sum();
        assert!(sent * 10 < bytes * 13, "{sent} bytes for {bytes}");
        Some("of ten bytes that it sends at least seven are those asked for".to_owned())
    }

    async fn cross_traffic(&self) -> Option<String> {
        let bytes = size(10_000_000);
        let (bound, address) = std::sync::mpsc::channel();
        let sender = self.scene.far.spawn(move || {
            let listener = TcpListener::bind((FAR_V4, 0)).expect("a port");
            let address = listener.local_addr().expect("a port");
            bound.send(address).expect("a test");
            let (mut stream, _) = listener.accept().expect("accepted");
            stream.write_all(&vec![7; bytes]).expect("written");
        });
        let address = address.recv().expect("it listens");
        let receiver = self.scene.near_spawn(move || {
            let mut stream = TcpStream::connect(address).expect("connected");
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("all");
            all.len()
        });
        let fetched = self.fetch(Wanted::default(), &[bytes]).await;
        assert_eq!(receiver.join().expect("no panic"), bytes);
        sender.join().expect("no panic");
        fetched.map(|_| "beside a TCP connection over the same link: all bytes came".to_owned())
    }
}

/// Lets the link translate, and forget; its queue holds what one round trip needs.
pub(super) fn rebind(scene: &Scene, rebinding: Rebinding) {
    let mut link = plain();
    link.queue_packets = 100;
    scene.link.impair_both(&link);
    let interval = Duration::from_millis(if is_long() { 2000 } else { 300 });
    scene.link.rebind_every(rebinding, interval);
}

/// The simple link that loses or corrupts this part.
pub(super) fn part(name: &str, part: f64) -> Impairments {
    let mut link = plain();
    match name.ends_with("loss") {
        true => link.loss = part,
        false => link.corruption = part,
    }
    link
}

/// The same in words.
pub(super) fn told(name: &str, percent: u8) -> String {
    let what = match name.ends_with("loss") {
        true => "lost",
        false => "corrupted",
    };
    format!("{percent} % {what}")
}

const ECT0: u8 = 0b10;
