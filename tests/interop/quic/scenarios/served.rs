//! The scenarios with our server at the far end, and clients of others at the near end.
//!
//! Invariant: a scenario's evidence is what the client says, or the file that it wrote.

use super::clients::{part, rebind, told};
use super::scene::{Scene, plain};
use super::servers::{FAR_V6, Ours, config};
use super::{is_long, patience, patience_of_ngtcp2, size};
use crate::authority::{Authority, NAME};
use crate::peer::Peer;
use crate::quic::scripted::Script;
use crate::quic::{ALPN, pattern};
use portway::Security;
use portway::quic::AddressValidation;
use portway_tests::link::{Impairments, Rebinding, Towards};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

/// The scenarios that ngtcp2's client plays.
pub(super) const WITH_NGTCP2: [&str; 22] = [
    "handshake",
    "transfer",
    "longrtt",
    "chacha20",
    "multiplexing",
    "retry",
    "resumption",
    "zerortt",
    "http3",
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
];

/// Those that aioquic's client plays: the ones in which the link does something.
pub(super) const WITH_AIOQUIC: [&str; 11] = [
    "transfer",
    "longrtt",
    "blackhole",
    "amplificationlimit",
    "handshakeloss",
    "transferloss",
    "handshakecorruption",
    "transfercorruption",
    "ipv6",
    "rebind-port",
    "rebind-addr",
];

/// Those that quiche's client plays.
pub(super) const WITH_QUICHE: [&str; 17] = [
    "handshake",
    "transfer",
    "longrtt",
    "multiplexing",
    "retry",
    "resumption",
    "zerortt",
    "blackhole",
    "amplificationlimit",
    "handshakeloss",
    "transferloss",
    "handshakecorruption",
    "transfercorruption",
    "ipv6",
    "rebind-port",
    "rebind-addr",
    "goodput",
];

/// Prepares the link; the part of the evidence that tells of it.
fn impair(name: &str, scene: &Scene) -> String {
    let mut link = plain();
    match name {
        "longrtt" => {
            link.delay = Duration::from_millis(750);
            scene.link.impair_both(&link);
            return "with a round trip of 1.5 s: ".to_owned();
        }
        "blackhole" => {
            let seconds = if is_long() { 5 } else { 2 };
            link.outage = Some((100, Duration::from_secs(seconds)));
            scene.link.impair(Towards::Near, link.clone());
            link.outage = Some((50, Duration::from_secs(seconds)));
            scene.link.impair(Towards::Far, link);
            return "nothing passes for seconds: ".to_owned();
        }
        "handshakeloss" | "handshakecorruption" => {
            scene.link.impair_both(&part(name, 0.3));
            return format!("{} in both directions: ", told(name, 30));
        }
        "transferloss" | "transfercorruption" => {
            scene.link.impair_both(&part(name, 0.02));
            return format!("{} in both directions: ", told(name, 2));
        }
        "amplificationlimit" => {
            // The first packet passes, the next three do not.
            link.lost = 1..4;
            scene.link.impair(Towards::Far, link);
            return "with a chain of several packets and three of the client's lost: ".to_owned();
        }
        "ecn" => scene.link.impair_both(&Impairments {
            delay: Duration::from_millis(15),
            ..Impairments::default()
        }),
        "rebind-port" | "rebind-addr" => {
            let rebinding = match name {
                "rebind-port" => Rebinding::Port,
                _ => Rebinding::Address,
            };
            rebind(scene, rebinding);
            return "its address changes again and again: ".to_owned();
        }
        _ => {}
    }
    String::new()
}

/// How many bytes a scenario moves.
fn bytes(name: &str) -> usize {
    match name {
        "transfer" | "chacha20" | "keyupdate" => size(3_000_000),
        "blackhole" | "rebind-port" | "rebind-addr" | "goodput" => size(10_000_000),
        "transferloss" | "transfercorruption" => size(2_000_000),
        "multiplexing" => 32,
        _ => 1024,
    }
}

/// Starts our server.
fn server(name: &str, scene: &Scene, authority: &Authority, alpn: &str) -> Ours {
    let files = match name {
        "amplificationlimit" => &authority.large,
        _ => &authority.server,
    };
    let security = Security::tls()
        .with_identity(files.identity())
        .with_alpn([alpn]);
    let local: IpAddr = match name {
        "ipv6" => FAR_V6.into(),
        // It answers at its preferred address, too.
        _ => Ipv4Addr::UNSPECIFIED.into(),
    };
    if name == "connectionmigration" {
        scene
            .far
            .command(&format!("ip addr add {PREFERRED}/24 dev wire"));
    }
    let name = name.to_owned();
    let bytes = bytes(&name);
    Ours::start(scene, SocketAddr::new(local, PORT), bytes, move |context| {
        let mut config = config(context, &security);
        config.address_validation = match name == "retry" {
            true => AddressValidation::Always,
            false => AddressValidation::Never,
        };
        if name == "connectionmigration" {
            config.preferred_v4 = Some(SocketAddrV4::new(PREFERRED, PORT));
        }
        config
    })
}

/// Plays a scenario with ngtcp2's client; `None` where it is not there.
pub(super) async fn with_ngtcp2(
    name: &str,
    scene: &Scene,
    authority: &Authority,
) -> Option<String> {
    let told = impair(name, scene);
    let _server = server(name, scene, authority, "h3");
    let client = Ngtcp2 {
        scene,
        authority,
        host: host(name),
        expected: bytes(name),
    };
    let seen = match name {
        "chacha20" => {
            let only = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305";
            let ciphers = format!("--ciphers={only}");
            let word = "Negotiated cipher suite is CHACHA20-POLY1305";
            client.says(&[&ciphers], &[word]).await?
        }
        "multiplexing" => {
            client.fetch(&["-n", "1999"]).await?;
            "1,999 requests at once".to_owned()
        }
        "retry" => client.says(&[], &["type=Retry"]).await?,
        "resumption" | "zerortt" => client.again(name == "zerortt").await?,
        "keyupdate" => {
            client
                .says(&["--key-update=10ms"], &["type=1RTT k=1"])
                .await?
        }
        "ecn" => client.says(&[], &["path is ECN capable"]).await?,
        "connectionmigration" => {
            let validated = format!("remote:[{PREFERRED}]:{PORT}}} succeeded");
            client
                .says(&["--delay-stream=200ms"], &[&validated])
                .await?
        }
        "handshakeloss" | "handshakecorruption" => {
            let mut lost = 0;
            for _ in 0..if is_long() { 30 } else { 3 } {
                let asked = client.ask(&[]).await?;
                match asked.has_lost_its_finished() {
                    true => lost += 1,
                    false => drop(client.whole(asked)),
                }
            }
            assert!(lost <= 1, "{lost} handshakes were not finished");
            match lost {
                0 => "each connection got its bytes".to_owned(),
                // About one in 150 with 30 % of loss.
                _ => "each connection got its bytes but one, whose client (0.12.1) lost its \
                      Finished and never sent it again"
                    .to_owned(),
            }
        }
        _ => {
            client.fetch(&[]).await?;
            "its file has all bytes".to_owned()
        }
    };
    Some(format!("{told}{seen}"))
}

struct Ngtcp2<'a> {
    scene: &'a Scene,
    authority: &'a Authority,
    host: String,
    expected: usize,
}

/// What came of a run of the client.
struct Asked {
    peer: Peer,
    /// What it wrote to its file.
    answer: Vec<u8>,
}

impl Asked {
    /// Whether the server goes on with the handshake in vain: the client sends the end of it no
    /// more, although RFC 9002 §6.2 has it probe until the handshake is confirmed.
    fn has_lost_its_finished(&self) -> bool {
        let output = self.peer.output();
        let last = |way: &str| {
            let is_it = |line: &str| line.contains(way) && line.contains(" Handshake CRYPTO");
            let lines = output.lines().enumerate();
            lines
                .filter(|(_, line)| is_it(line))
                .last()
                .map(|(at, _)| at)
        };
        self.answer.is_empty()
            && !output.contains(" HANDSHAKE_DONE")
            && last(" frm tx ").is_some_and(|sent| Some(sent) < last(" frm rx "))
    }
}

impl Ngtcp2<'_> {
    /// Lets it ask, and looks at the file that it wrote.
    async fn fetch(&self, arguments: &[&str]) -> Option<Peer> {
        Some(self.whole(self.ask(arguments).await?))
    }

    /// Lets it ask.
    async fn ask(&self, arguments: &[&str]) -> Option<Asked> {
        let directory = self.authority.path("downloads");
        std::fs::create_dir_all(&directory).expect("a directory");
        let file = format!("{directory}/answer");
        let _ = std::fs::remove_file(&file);
        let port = PORT.to_string();
        let [handshake, idle] = &patience_of_ngtcp2();
        let fixed = [
            "--no-quic-dump",
            "--no-http-dump",
            "--exit-on-all-streams-close",
            handshake,
            idle,
            "--download",
            &directory,
        ];
        let at = [&self.host, &port, "https://localhost/answer"];
        let arguments = [&fixed[..], arguments, &at].concat();
        let mut peer = self.scene.start_near("gtlsclient", &arguments)?;
        peer.end().await;
        let answer = std::fs::read(&file).unwrap_or_default();
        Some(Asked { peer, answer })
    }

    /// The client, which has got all bytes.
    fn whole(&self, Asked { peer, answer }: Asked) -> Peer {
        // Several answers are one after the other in it.
        let is_whole = !answer.is_empty() && answer.len().is_multiple_of(self.expected);
        assert!(
            is_whole,
            "{} of {}: {}",
            answer.len(),
            self.expected,
            peer.output()
        );
        let expected = pattern(self.expected);
        let mut parts = answer.chunks(self.expected);
        assert!(parts.all(|part| part == expected), "other bytes");
        peer
    }

    /// As [`Ngtcp2::fetch`]; it must have said all of this.
    async fn says(&self, arguments: &[&str], words: &[&str]) -> Option<String> {
        let peer = self.fetch(arguments).await?;
        for word in words {
            assert!(peer.output().contains(word), "{word}: {}", peer.output());
        }
        Some(format!(
            "it says `{}`, and its file has all bytes",
            words[0]
        ))
    }

    async fn again(&self, is_early: bool) -> Option<String> {
        let session = format!("--session-file={}", self.authority.path("session"));
        let parameters = format!("--tp-file={}", self.authority.path("parameters"));
        self.fetch(&[&session, &parameters]).await?;
        if is_early {
            return self.says(&[&session, &parameters], &["0RTT STREAM"]).await;
        }
        let arguments = [&session[..], "--disable-early-data"];
        let peer = self.fetch(&arguments).await?;
        // A resumed handshake has no certificate, so that it fits into one packet.
        let flight = peer
            .output()
            .lines()
            .filter(|line| line.contains("frm rx") && line.contains("Handshake CRYPTO"));
        let bytes: usize = flight.filter_map(crypto_bytes).sum();
        assert!((1..300).contains(&bytes), "{bytes} bytes of handshake");
        Some("the second handshake has no certificate".to_owned())
    }
}

/// The length in a line that tells of a CRYPTO frame.
fn crypto_bytes(line: &str) -> Option<usize> {
    let (_, length) = line.split_once(" len=")?;
    length.split_whitespace().next()?.parse().ok()
}

/// Plays a scenario with a scripted client; `None` where it is not there.
pub(super) async fn with_script(
    script: Script,
    name: &str,
    scene: &Scene,
    authority: &Authority,
) -> Option<String> {
    let told = impair(name, scene);
    let _server = server(name, scene, authority, ALPN);
    let (program, words) = script.program(&scene.name)?;
    let (host, port) = (host(name), PORT.to_string());
    let local = if name == "ipv6" { "::" } else { "0.0.0.0" };
    let idle = patience().as_secs().to_string();
    let fixed = ["client", "--window", "4194304", "--mode", "script"];
    let at = ["--host", &host, "--port", &port, "--local", local];
    let own = ["--ca", &authority.root, "--name", NAME, "--idle", &idle];
    let arguments = [words, &fixed, &at, &own].concat();
    let peer = scene.start_near(program, &arguments)?;
    let bytes = bytes(name);
    let mut client = Scripted { peer, bytes };
    let seen = match name {
        "handshakeloss" | "handshakecorruption" => {
            for _ in 0..3 {
                client.echo().await;
            }
            "all bytes came back".to_owned()
        }
        "multiplexing" => client.multiplexing().await,
        "resumption" | "zerortt" => client.again(name == "zerortt").await,
        _ => {
            client.echo().await;
            format!("{}all bytes came back", passed(name, scene, bytes))
        }
    };
    Some(format!("{told}{seen}"))
}

/// What the link tells of a scenario that has ended.
fn passed(name: &str, scene: &Scene, bytes: usize) -> &'static str {
    let log = scene.link.log();
    let mut ours = log.iter().filter(|it| it.towards == Towards::Near);
    match name {
        "retry" => {
            let first = ours.next().expect("an answer").bytes;
            assert!(first < 400, "the first answer has {first} bytes");
            "our first packet is a Retry packet: "
        }
        "goodput" => {
            let sent: usize = ours.map(|passage| passage.bytes).sum();
            assert!(sent * 10 < bytes * 13, "{sent} bytes for {bytes}");
            "of ten bytes that we send at least seven are those asked for: "
        }
        _ => "",
    }
}

/// A client that is told what to do.
struct Scripted {
    peer: Peer,
    bytes: usize,
}

impl Scripted {
    /// Connects, and says what the client says of it.
    async fn connect(&mut self) -> String {
        self.peer.say("connect\n").await;
        self.peer.after("connected ").await
    }

    /// Connects, and has the bytes come back on a stream.
    async fn echo(&mut self) -> String {
        let connected = self.connect().await;
        self.echo_here().await;
        connected
    }

    /// The same over the connection that there is.
    async fn echo_here(&mut self) {
        let (peer, bytes) = (&mut self.peer, self.bytes);
        peer.say("open bidi\n").await;
        let id = peer.after("opened ").await;
        peer.say(&format!("fill {id} {bytes}\nfinish {id}\n")).await;
        let sent = peer.after(&format!("filled {id} ")).await;
        let received = peer.after(&format!("finished {id} {bytes} ")).await;
        assert_eq!(received, sent);
    }

    async fn multiplexing(&mut self) -> String {
        self.connect().await;
        let bytes = self.bytes;
        // More of them than we allow wait for their turn.
        let streams: String = (0..1999)
            .map(|stream| stream * 4)
            .map(|id| format!("open bidi\nfill {id} {bytes}\nfinish {id}\n"))
            .collect();
        self.peer.say(&streams).await;
        let sent = self.peer.after("filled 0 ").await;
        let expected = format!(" {bytes} {sent}");
        for _ in 0..1999 {
            let received = self.peer.after("finished ").await;
            assert!(received.ends_with(&expected), "{received}");
        }
        "1,999 streams asked for at once, 32 bytes on each and as many back".to_owned()
    }

    async fn again(&mut self, is_early: bool) -> String {
        self.connect().await;
        self.peer.after("ticket ").await;
        self.echo_here().await;
        if !is_early {
            let said = self.echo().await;
            assert!(said.contains("resumed=1"), "{said}");
            return format!("it says `{said}`, and all bytes came back");
        }
        self.peer.say("connect early\n").await;
        let said = self.peer.after("connected ").await;
        assert!(said.contains("early=1"), "{said}");
        self.peer.after("finished 0 5 ").await;
        format!("it says `{said}`, and its early stream came back")
    }
}

/// Where the client connects to.
fn host(name: &str) -> String {
    match name {
        "ipv6" => FAR_V6.to_string(),
        _ => portway_tests::link::FAR_V4.to_string(),
    }
}

/// A port of a namespace of its own.
const PORT: u16 = 443;
/// Another address of the server.
const PREFERRED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);
