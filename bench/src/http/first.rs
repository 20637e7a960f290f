//! How long the first request to a host takes, with all of its addresses alive and with the first
//! one dead.
//!
//! Invariant: each client is new and has sent nothing; a dead address is one of this host whose
//! listener takes no connections any more, so that the system drops what asks for one.

use super::clients::{Gets, Ours, Reqwest, Settings};
use super::server::{Behaviour, DOMAIN, Server, Version};
use crate::clock::pin;
use crate::pairs::{Comparison, Side, alternate, median};
use crate::quic::runtime;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

/// What a first request took, in milliseconds.
pub struct Dead {
    /// What is dead, and what is alive.
    pub name: &'static str,
    /// portway's, with all addresses alive.
    pub alive: f64,
    /// portway's, with the first one dead.
    pub portway: f64,
    /// reqwest's with the first one dead, if it had an answer in time.
    pub reqwest: Option<f64>,
}

/// How much later portway's may be, in milliseconds.
pub const LATER_MAX: f64 = 300.0;

/// The first requests with all addresses alive.
pub const ALIVE_ONES: [(&str, Version); 2] = [
    ("first-http1", Version::Http1),
    ("first-http2", Version::Http2),
];

/// With all addresses alive: pairs for each version.
pub fn run_alive(pairs: usize) -> Vec<Comparison> {
    pin(0);
    let compared = ALIVE_ONES.map(|(name, version)| {
        let server = Server::start(Behaviour::prompt(version));
        let hosts = [(host(), vec![ALIVE])];
        runtime().block_on(async {
            let found = alternate(pairs, async |side| {
                let took = match side {
                    Side::Portway => first::<Ours>(&server, &hosts).await,
                    Side::Other => first::<Reqwest>(&server, &hosts).await,
                };
                took.expect("an answer").as_secs_f64() * 1e6
            });
            Comparison::of(name, "µs", &found.await)
        })
    });
    compared.into()
}

/// Sends so many first requests, each of a client of its own.
pub fn of_clients<C: Gets>(server: &Server, times: usize, measured: impl FnOnce(&dyn Fn())) {
    let runtime = runtime();
    let settings = Settings {
        hosts: vec![(host(), vec![ALIVE])],
        ..Settings::default()
    };
    let clients: Vec<C> = {
        let _inside = runtime.enter();
        (0..times).map(|_| C::new(server, &settings)).collect()
    };
    let url = server.url_at(&settings.hosts[0].0);
    measured(&|| {
        runtime.block_on(async {
            for client in &clients {
                client.get(&url).await.expect("an answer");
            }
        });
    });
}

/// With the first address dead.
pub fn run_dead() -> Vec<Dead> {
    pin(0);
    let cases = [
        (
            "an address of IPv6, before one of IPv4",
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ),
        ("an address of IPv4, before another one", IpAddr::V4(DEAD)),
    ];
    let found = cases.map(|(name, dead)| {
        let server = Server::start(Behaviour::prompt(Version::Http1));
        runtime().block_on(async {
            let _grave = Grave::dig(dead, server.port()).await;
            let all_alive = [(host(), vec![ALIVE])];
            let hosts = [(host(), vec![dead, ALIVE])];
            let (mut alive, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..TIMES {
                alive.push(first::<Ours>(&server, &all_alive).await);
                ours.push(first::<Ours>(&server, &hosts).await);
                theirs.push(first::<Reqwest>(&server, &hosts).await);
            }
            let expected = "portway has an answer in time";
            Dead {
                name,
                alive: milliseconds(alive).expect(expected),
                portway: milliseconds(ours).expect(expected),
                reqwest: milliseconds(theirs),
            }
        })
    });
    found.into()
}

/// The median, if all were in time.
fn milliseconds(found: Vec<Option<Duration>>) -> Option<f64> {
    let found: Option<Vec<Duration>> = found.into_iter().collect();
    let found = found?.into_iter();
    Some(median(found.map(|it| it.as_secs_f64() * 1e3).collect()))
}

/// How long a new client's first request takes, if no longer than anybody waits.
async fn first<C: Gets>(server: &Server, hosts: &[(String, Vec<IpAddr>)]) -> Option<Duration> {
    let settings = Settings {
        hosts: hosts.to_vec(),
        ..Settings::default()
    };
    let client = C::new(server, &settings);
    let url = server.url_at(&hosts[0].0);
    // The client before, whoever's it was, ends first, and what this one begins with is done.
    sleep(SETTLING).await;
    let started = Instant::now();
    let answer = timeout(PATIENCE, client.get(&url)).await;
    answer.ok()?.expect("an answer");
    Some(started.elapsed())
}

/// Until nothing is left to do for clients that came or went.
const SETTLING: Duration = Duration::from_millis(5);

/// A dead address: what is sent there is dropped.
struct Grave {
    _listener: TcpListener,
    _sleeper: TcpStream,
}

impl Grave {
    async fn dig(address: IpAddr, port: u16) -> Grave {
        let socket = match address {
            IpAddr::V4(_) => TcpSocket::new_v4(),
            IpAddr::V6(_) => TcpSocket::new_v6(),
        };
        let socket = socket.expect("a socket");
        let at = (address, port).into();
        socket.bind(at).expect("nobody else is at this address");
        // A queue for one connection, which is there and never accepted.
        let listener = socket.listen(0).expect("it is bound");
        let sleeper = TcpStream::connect(at).await.expect("there is one place");
        let another = timeout(FULL, TcpStream::connect(at)).await;
        assert!(another.is_err(), "{at} is alive");
        Grave {
            _listener: listener,
            _sleeper: sleeper,
        }
    }
}

fn host() -> String {
    format!("new.{DOMAIN}")
}

const ALIVE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const DEAD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const TIMES: usize = 5;
/// Longer than people wait, and than any delay between attempts.
const PATIENCE: Duration = Duration::from_secs(5);
const FULL: Duration = Duration::from_millis(200);
