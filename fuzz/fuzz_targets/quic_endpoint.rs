//! A server's whole endpoint under hostile datagrams, with one client that has done nothing wrong.
//!
//! Invariant: no panic; what strangers begin is given up in time; and the client's connection
//! goes on as if they were not there. Everything runs on the simulated network, so that an input
//! does the same each time.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use portway_core::Time;
use portway_core::security::{Identity, TlsParameters, Trust};
use portway_sim::Simulation;
use portway_transport::environment::{Environment, UdpBind, UdpSocket};
use portway_transport::quic::{
    AddressValidation, ClientConfig, ClientCrypto, Connection, Endpoint, EndpointOptions,
    ServerConfig, ServerCrypto,
};
use portway_transport::tls::{EarlyData, TlsEngine, self_signed};
use rustls::quic::{DirectionalKeys, Version};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

#[derive(Arbitrary, Debug)]
enum Step {
    /// A datagram of any bytes.
    Raw(Vec<u8>),
    /// The frames of a first packet, under the protection that everybody can apply.
    First { number: u8, frames: Vec<u8> },
    /// A packet of the client or the server again, cut and changed.
    Again {
        index: u16,
        at: u16,
        mask: u8,
        len: u16,
    },
    /// Time passes.
    Wait(u8),
}

fuzz_target!(|steps: Vec<Step>| {
    let net = Net::new();
    net.exchange();
    let seen: Vec<_> = net
        .sim
        .wire_log()
        .iter()
        .map(|it| it.bytes.clone())
        .collect();
    for step in steps.iter().take(STEPS_MAX) {
        let datagram = match step {
            Step::Raw(bytes) => bytes.clone(),
            Step::First { number, frames } => first(*number, frames),
            Step::Again {
                index,
                at,
                mask,
                len,
            } => {
                let mut bytes = seen[usize::from(*index) % seen.len()].to_vec();
                let at = usize::from(*at) % bytes.len();
                bytes[at] ^= mask;
                bytes.truncate(usize::from(*len).max(1));
                bytes
            }
            Step::Wait(ms) => {
                net.sim.run_for(Duration::from_millis(u64::from(*ms)));
                continue;
            }
        };
        // One that is too long for UDP, or for a queue that is full, is not sent.
        let _ = net.stranger.try_send(&datagram, Some(net.remote));
        net.sim.run_for(Duration::from_millis(1));
    }
    // Longer than a handshake may take.
    net.sim.run_for(Duration::from_secs(20));
    assert_eq!(net.server.connections(), 1, "what strangers began is over");
    net.exchange();
});

/// A server, its client and a stranger.
struct Net {
    sim: Simulation,
    server: Endpoint,
    stranger: Arc<dyn UdpSocket>,
    pair: (Connection, Connection),
    remote: SocketAddr,
}

impl Net {
    fn new() -> Self {
        let sim = Simulation::new(1);
        sim.set_time_limit(Time::ZERO + Duration::from_secs(600));
        let hosts = [
            ("client", "192.0.2.1"),
            ("server", "192.0.2.2"),
            ("stranger", "192.0.2.3"),
        ];
        let [client, server, stranger] = hosts.map(|(name, address)| {
            let host = sim.host(name);
            host.set_addresses(&[address.parse().expect("an address")]);
            let local = SocketAddr::new(address.parse().expect("an address"), 0);
            (host, local)
        });
        let remote = SocketAddr::new(server.1.ip(), 443);
        let engine = TlsEngine::new();
        let parameters = TlsParameters::default().with_identity(identity());
        let alpn = [b"fuzz".to_vec()];
        let crypto = engine.quic_server(&parameters, &alpn, EarlyData::Allowed);
        let mut config = ServerConfig::new(ServerCrypto::new(crypto.expect("an identity")));
        config.address_validation = AddressValidation::Never;
        config.incoming.backlog = BACKLOG;
        let pinned = Trust::Pinned(Arc::from([identity().chain[0].clone()]));
        let trusting = TlsParameters::default().with_trust(pinned);
        let refused = EarlyData::Refused;
        let crypto = engine.quic_client(&trusting, Some(NAME), remote.ip(), &alpn, refused);
        let to = ClientConfig::new(ClientCrypto::new(crypto.expect("a pin")));
        let bind = |environment: Arc<dyn Environment>, local, server| {
            let options = EndpointOptions::default();
            Endpoint::bind(environment, UdpBind::on(local), &options, server).expect("a socket")
        };
        let server = bind(server.0, remote, Some(config));
        let client = bind(client.0, client.1, None);
        let pair = sim.block_on(async {
            let connecting = client.connect(&to, remote, NAME).expect("an address");
            let client = connecting.await.expect("a server");
            (
                client,
                server.accept().await.expect("open").expect("the handshake"),
            )
        });
        let stranger = stranger
            .0
            .udp_bind(UdpBind::on(stranger.1))
            .expect("a socket");
        Net {
            sim,
            server,
            stranger,
            pair,
            remote,
        }
    }

    fn exchange(&self) {
        let (client, server) = &self.pair;
        self.sim.block_on(async {
            let (mut send, mut receive) = client.open_bi().await.expect("it lives");
            send.write_and_finish("question".into())
                .await
                .expect("room");
            let (mut answer, mut question) = server.accept_bi().await.expect("it lives");
            let asked = question.read_all(100).await.expect("all of it");
            answer.write_and_finish(asked).await.expect("room");
            assert_eq!(receive.read_all(100).await.expect("all"), "question");
        });
    }
}

/// Made once: making keys takes time.
fn identity() -> Arc<Identity> {
    static IDENTITY: OnceLock<Arc<Identity>> = OnceLock::new();
    let make = || Arc::new(self_signed(&[NAME.to_owned()]).expect("an identity"));
    IDENTITY.get_or_init(make).clone()
}

/// A datagram with a first packet of these frames, filled to the size that servers ask for.
fn first(number: u8, frames: &[u8]) -> Vec<u8> {
    let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let suite = suite.tls13().and_then(rustls::Tls13CipherSuite::quic_suite);
    let keys = suite
        .expect("it is one of QUIC")
        .keys(&DCID, rustls::Side::Client, Version::V1);
    seal(&keys.local, number, frames)
}

fn seal(keys: &DirectionalKeys, number: u8, frames: &[u8]) -> Vec<u8> {
    let mut payload = frames[..frames.len().min(1300)].to_vec();
    // PADDING frames.
    payload.resize(payload.len().max(1162), 0);
    let mut packet = vec![0xc0, 0, 0, 0, 1, DCID.len() as u8];
    packet.extend(DCID);
    packet.extend([0, 0]);
    let length = (1 + payload.len() + 16) as u16 | 0x4000;
    packet.extend(length.to_be_bytes());
    packet.push(number);
    let tag = keys
        .packet
        .encrypt_in_place(u64::from(number), &packet, &mut payload)
        .expect("it is not too long");
    let number_at = packet.len() - 1;
    packet.extend_from_slice(&payload);
    packet.extend_from_slice(tag.as_ref());
    let mut sample = [0; 16];
    sample.copy_from_slice(&packet[number_at + 4..number_at + 20]);
    let (head, rest) = packet.split_at_mut(number_at);
    keys.header
        .encrypt_in_place(&sample, &mut head[0], &mut rest[..1])
        .expect("the sample is of the right size");
    packet
}

const NAME: &str = "server.example";
const DCID: [u8; 8] = *b"stranger";
const BACKLOG: usize = 8;
const STEPS_MAX: usize = 64;
