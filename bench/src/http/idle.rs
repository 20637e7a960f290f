//! The heap of a client whose connections are idle.
//!
//! Invariant: what a thread allocates and gives back stays on that thread, so the client's part is
//! that of its thread. Each connection has served a request, and the server counts them.

use super::clients::{Gets, Settings};
use super::server::{Behaviour, DOMAIN, Server, Version};
use crate::heap;
use crate::quic::runtime;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What connections are of, by the name of the work.
pub const WORK: [(&str, Version); 2] = [
    ("idle-http1", Version::Http1),
    ("idle-http2", Version::Http2),
];

/// Bytes of each idle connection.
///
/// Those of HTTP/1.1 go to one host, which gets as many requests at a time; those of HTTP/2 each
/// to a host of its own, since one is enough for each. There are no tickets, so that what is kept
/// for the next connection does not count.
pub fn run<C: Gets>(version: Version) -> isize {
    heap::start_counting();
    let server = Server::start(Behaviour {
        thinks: match version {
            Version::Http1 => THINKING,
            _ => Duration::ZERO,
        },
        is_everywhere: true,
        gives_tickets: false,
        ..Behaviour::prompt(version)
    });
    let host = |number: usize| match version {
        Version::Http1 => format!("host.{DOMAIN}"),
        _ => format!("host-{number}.{DOMAIN}"),
    };
    // An address for each: a client may otherwise use one connection for several hosts.
    let address = |number: usize| match version {
        Version::Http1 => Ipv4Addr::LOCALHOST,
        _ => Ipv4Addr::new(127, 1, (number / 200) as u8, (number % 200) as u8 + 1),
    };
    let hosts = (0..=CONNECTIONS).map(|it| (host(it), vec![IpAddr::from(address(it))]));
    let mut settings = Settings {
        hosts: hosts.collect(),
        connections_max: Some(CONNECTIONS + 1),
        ..Settings::default()
    };
    settings.hosts.dedup();
    runtime().block_on(async {
        let client = C::new(&server, &settings);
        let url = server.url_at(&host(0));
        client.get(&url).await.expect("an answer");
        sleep(SETTLING).await;
        let before = heap::live_bytes_here();
        let opened_before = server.seen.accepted();
        let mut tasks = JoinSet::new();
        let first = usize::from(version != Version::Http1);
        for number in first..=CONNECTIONS {
            let (client, url) = (client.clone(), server.url_at(&host(number)));
            tasks.spawn(async move { client.get(&url).await.expect("an answer") });
        }
        tasks.join_all().await;
        sleep(SETTLING).await;
        let opened = server.seen.accepted() - opened_before;
        let open = server.seen.open();
        // One that is closed would count as one that takes nothing.
        assert!(opened >= CONNECTIONS, "{opened} were opened");
        assert!(open >= opened, "{open} of {opened} are open");
        (heap::live_bytes_here() - before) / opened as isize
    })
}

const CONNECTIONS: usize = 200;
/// So that no connection is free for the next request before all are there.
const THINKING: Duration = Duration::from_secs(2);
const SETTLING: Duration = Duration::from_secs(1);
