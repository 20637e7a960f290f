//! The QUIC driver on the simulated network: loss, delay, reordering, rebinding, with checksummed
//! data and random operations on streams.

use crate::support::{ip, ms, seeds};
use bytes::Bytes;
use portway_core::Time;
use portway_core::security::{TlsParameters, Trust};
use portway_sim::{Direction, NatHandle, Simulation};
use portway_transport::environment::{Environment, UdpBind};
use portway_transport::quic::{
    ClientConfig, ClientCrypto, Connection, ConnectionError, Endpoint, EndpointOptions,
    ReceiveStream, ServerConfig, ServerCrypto, StreamError, TransportOptions,
};
use portway_transport::tls::{EarlyData, TlsEngine};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const NAME: &str = crate::support::NAME;

/// A client behind a NAT and a server, with a link between them.
pub(crate) struct Net {
    pub(crate) sim: Simulation,
    pub(crate) nat: NatHandle,
    pub(crate) client: Endpoint,
    pub(crate) server: Endpoint,
    pub(crate) config: ClientConfig,
    pub(crate) remote: SocketAddr,
}

impl Net {
    pub(crate) fn new(seed: u64) -> Net {
        Net::with(seed, |_| {})
    }

    /// A net whose server differs from the default.
    pub(crate) fn with(seed: u64, change: impl FnOnce(&mut ServerConfig)) -> Net {
        let sim = Simulation::new(seed);
        let (inside, outside) = (sim.host("client"), sim.host("server"));
        inside.set_addresses(&[ip("10.0.0.2")]);
        outside.set_addresses(&[ip("192.0.2.80")]);
        let nat = sim.nat(ip("203.0.113.1"), &["client"]);
        sim.set_time_limit(Time::ZERO + Duration::from_secs(600));
        let engine = TlsEngine::new();
        let identity = crate::support::identity();
        let pinned = Trust::Pinned(Arc::from([identity.chain[0].clone()]));
        let parameters = TlsParameters::default().with_identity(Arc::clone(&identity));
        let alpn = [b"sim".to_vec()];
        let server = engine
            .quic_server(&parameters, &alpn, EarlyData::Allowed)
            .expect("an identity");
        let parameters = TlsParameters::default().with_trust(pinned);
        let remote = SocketAddr::new(ip("192.0.2.80"), 443);
        let client = engine
            .quic_client(
                &parameters,
                Some(NAME),
                remote.ip(),
                &alpn,
                EarlyData::Allowed,
            )
            .expect("a pin");
        let bind = |environment: Arc<dyn Environment>, local, server| {
            let options = EndpointOptions::default();
            Endpoint::bind(environment, UdpBind::on(local), &options, server).expect("a socket")
        };
        let any = SocketAddr::new(ip("10.0.0.2"), 0);
        let mut server = ServerConfig::new(ServerCrypto::new(server));
        change(&mut server);
        Net {
            client: bind(inside, any, None),
            server: bind(outside, remote, Some(server)),
            config: ClientConfig::new(ClientCrypto::new(client)),
            nat,
            sim,
            remote,
        }
    }

    pub(crate) fn connect(&self) -> (Connection, Connection) {
        self.sim.block_on(async {
            let connecting = self.client.connect(&self.config, self.remote, NAME);
            let connection = connecting.expect("an address").await.expect("a server");
            let accepted = self.server.accept().await.expect("it is open");
            (connection, accepted.expect("the handshake"))
        })
    }

    /// Closes everything: nothing may stay.
    pub(crate) fn finish(self, connections: (Connection, Connection)) {
        drop(connections);
        self.client.close(0.into(), b"");
        self.server.close(0.into(), b"");
        self.sim.block_on(async {
            self.client.wait_idle().await;
            self.server.wait_idle().await;
        });
        let Net {
            sim,
            client,
            server,
            ..
        } = self;
        drop((client, server));
        sim.run_for(ms(1));
        assert_eq!(sim.tasks_alive(), 0);
        assert_eq!(sim.sockets_open(), 0);
    }
}

/// A question and its answer: the connection lives and is used as ever.
pub(crate) async fn exchange(client: &Connection, server: &Connection) {
    let (mut send, mut receive) = client.open_bi().await.expect("it lives");
    send.write_and_finish("question".into())
        .await
        .expect("room");
    let (mut answer, mut question) = server.accept_bi().await.expect("it lives");
    let asked = question.read_all(100).await.expect("all of it");
    answer.write_and_finish(asked).await.expect("room");
    assert_eq!(receive.read_all(100).await.expect("all"), "question");
}

/// A small generator, so that a seed gives the same operations.
struct Numbers(Cell<u64>);

impl Numbers {
    fn below(&self, bound: u64) -> u64 {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        state % bound
    }
}

/// The byte at this place of a stream that carries this number.
fn byte(number: u64, at: usize) -> u8 {
    (number.wrapping_mul(31) as usize).wrapping_add(at.wrapping_mul(7) ^ (at >> 8)) as u8
}

pub(crate) fn body(number: u64, len: usize) -> Bytes {
    (0..len).map(|at| byte(number, at)).collect()
}

/// How the opening side ends a stream.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Finish,
    Reset,
    Drop,
}

/// Answers a stream: the first eight bytes are its number, the rest must be what belongs to it.
async fn check(mut receive: ReceiveStream) -> Result<(u64, usize), StreamError> {
    let mut all = Vec::new();
    while let Some(chunk) = receive.read_chunk(usize::MAX).await? {
        all.extend_from_slice(&chunk);
    }
    let (number, rest) = all.split_at_checked(8).unwrap_or_default();
    let number = number.try_into().map_or(0, u64::from_be_bytes);
    assert!(
        rest.iter()
            .enumerate()
            .all(|(at, it)| *it == byte(number, at))
    );
    Ok((number, rest.len()))
}

async fn serve(server: Connection, done: Arc<AtomicUsize>, spawn: impl Fn(Work)) {
    loop {
        let (mut send, receive) = match server.accept_bi().await {
            Ok(pair) => pair,
            Err(ConnectionError::ClosedByPeer { .. } | ConnectionError::ClosedLocally { .. }) => {
                return;
            }
            Err(error) => panic!("{error}"),
        };
        let done = Arc::clone(&done);
        spawn(Box::pin(async move {
            if let Ok((number, len)) = check(receive).await {
                let mut answer = number.to_be_bytes().to_vec();
                answer.extend_from_slice(&body(number, len));
                // A client that has stopped reading makes this fail.
                let _ = send.write_and_finish(answer.into()).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
}

type Work = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn ask(client: &Connection, numbers: &Numbers, number: u64) {
    let (mut send, receive) = client.open_bi().await.expect("the connection lives");
    let len = match numbers.below(4) {
        0 => 0,
        1 => numbers.below(200),
        2 => numbers.below(5_000),
        _ => numbers.below(60_000),
    } as usize;
    let ending = match numbers.below(5) {
        0 => Ending::Reset,
        1 => Ending::Drop,
        _ => Ending::Finish,
    };
    send.write_all(&number.to_be_bytes())
        .await
        .expect("it is read");
    send.write_all(&body(number, len))
        .await
        .expect("it is read");
    match ending {
        Ending::Finish => send.finish().expect("it is open"),
        Ending::Reset => send.reset(3.into()).expect("it is open"),
        Ending::Drop => drop(send),
    }
    match check(receive).await {
        Ok((0, 0)) => assert!(ending == Ending::Reset, "no answer to {number}"),
        Ok(answer) => assert_eq!(answer, (number, len)),
        Err(error) => assert!(ending == Ending::Reset, "{number}: {error}"),
    }
}

fn run(seed: u64) {
    // Few of many handshakes take long: when all of a server's first answer is lost, the client
    // takes the time until the second one for the time of a round trip.
    let patience = Duration::from_secs(120);
    let wait = |transport: &mut TransportOptions| {
        transport.times.handshake = patience;
        transport.times.idle = Some(patience);
    };
    let mut net = Net::with(seed, |server| wait(&mut server.transport));
    wait(&mut net.config.transport);
    let numbers = Numbers(Cell::new(seed.wrapping_mul(0x9e37_79b9).max(1)));
    let link = net.sim.link("client", "server");
    let loss = [0.0, 0.01, 0.05, 0.1][numbers.below(4) as usize];
    let (delay, jitter) = (numbers.below(80), numbers.below(30));
    link.update(Direction::Both, |options| {
        options.delay = ms(delay);
        options.loss = loss;
        options.reorder = 0.05;
        options.reorder_delay = ms(jitter);
        options.duplicate = 0.01;
    });
    let (client, server) = net.connect();
    let done = Arc::new(AtomicUsize::new(0));
    let environment = net.sim.host("helper");
    let spawner = Arc::clone(&environment);
    environment.spawn(Box::pin(serve(
        server.clone(),
        Arc::clone(&done),
        move |work| {
            spawner.spawn(work);
        },
    )));
    net.sim.block_on(async {
        for number in 1..=12 {
            if number % 4 == 0 {
                net.nat.rebind();
            }
            ask(&client, &numbers, number).await;
        }
    });
    assert!(done.load(Ordering::Relaxed) > 0 || loss > 0.0);
    net.finish((client, server));
}

#[test]
fn random_streams_over_a_bad_network_keep_every_byte() {
    for seed in seeds(200) {
        run(seed);
    }
}

#[test]
fn a_black_hole_of_five_seconds_is_survived() {
    for seed in seeds(3) {
        let net = Net::new(seed);
        let link = net.sim.link("client", "server");
        link.set_delay(ms(20));
        let (client, server) = net.connect();
        let mut send = net
            .sim
            .block_on(client.open_uni())
            .expect("the connection lives");
        link.black_hole(Direction::Both);
        let whole = body(7, 300_000);
        net.sim.block_on(async {
            let writing = send.write_all(&whole[..100_000]).await;
            writing.expect("there is room");
        });
        net.sim.run_for(Duration::from_secs(5));
        link.restore();
        net.sim.block_on(async {
            let rest = async {
                send.write_all(&whole[100_000..]).await.expect("it is read");
                send.finish().expect("it is open");
            };
            let read = async {
                let mut receive = server.accept_uni().await.expect("the connection lives");
                receive.read_all(1 << 20).await.expect("all of it")
            };
            let ((), read) = tokio::join!(rest, read);
            assert_eq!(read, whole);
        });
        drop(send);
        net.finish((client, server));
    }
}

#[test]
fn a_burst_of_losses_with_the_largest_window_does_not_end_the_connection() {
    for seed in seeds(3) {
        // With a third lost, a sender that waits longer each time may be silent for long.
        let idle = Some(Duration::from_secs(300));
        let mut net = Net::with(seed, |server| server.transport.times.idle = idle);
        net.config.transport.times.idle = idle;
        net.config.transport.streams.window_bytes = 2_500_000;
        let link = net.sim.link("client", "server");
        link.set_delay(ms(50));
        let (client, server) = net.connect();
        link.set_loss(0.3);
        net.sim.block_on(async {
            let whole = body(9, 2_000_000);
            let mut send = server.open_uni().await.expect("the connection lives");
            let write = async {
                send.write_all(&whole).await.expect("it is read");
                send.finish().expect("it is open");
            };
            let read = async {
                let mut receive = client.accept_uni().await.expect("the connection lives");
                receive.read_all(1 << 22).await.expect("all of it")
            };
            let ((), read) = tokio::join!(write, read);
            assert_eq!(read, whole);
        });
        net.finish((client, server));
    }
}
