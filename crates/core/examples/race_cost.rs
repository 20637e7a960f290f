//! Runs races for a name with eight addresses, for counting instructions.
//!
//! Build it with `cargo build --release -p portway-core --example race_cost`, then run
//! `valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/race_cost N`
//! with N = 1 and N = 101: a hundredth of the difference in "Collected" is the cost of one race
//! with its tree, start-up excluded. Arguments: the number of races, then optionally `report` to
//! include the report.

use portway_core::dns::{Answer, AnswerData};
use portway_core::path::{InterfaceKind, LocalAddress, Path, PathId};
use portway_core::race::{Candidate, Input, Output, Progress, Race, RaceConfig};
use portway_core::security::TlsVersion;
use portway_core::{RemoteEndpoint, SecurityClass, StackId, Time, WireProtocol};
use std::hint::black_box;
use std::net::IpAddr;
use std::time::Duration;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: u32 = arguments
        .next()
        .map_or(Ok(1000), |count| count.parse())
        .expect("the first argument is the number of races");
    let with_report = arguments.next().as_deref() == Some("report");
    let config = config();
    let mut attempts = 0;
    for _ in 0..count {
        let race = run(black_box(&config));
        if with_report {
            attempts += black_box(race.report()).attempts.len();
        }
        assert!(race.is_finished(), "every race is won and has its answers");
    }
    println!("{count} races, {attempts} attempts reported");
}

/// Three questions, eight addresses, one attempt that connects and wins.
fn run(config: &RaceConfig) -> Race {
    let mut race = Race::new(Time::ZERO, config.clone());
    let mut now = Time::ZERO;
    let mut inputs = Vec::new();
    while !race.is_finished() {
        while let Some(output) = race.poll_output() {
            match output {
                Output::Resolve(id, question) => inputs.push(Input::Answered(
                    id,
                    Answer {
                        data: answer(&question.kind.to_string()),
                        ttl: Duration::from_secs(60),
                    },
                )),
                Output::Attempt(id, _) => {
                    let rtt = Some(Duration::from_millis(20));
                    let progress = Progress::TransportConnected { rtt };
                    inputs.push(Input::Progressed(id, progress));
                    inputs.push(Input::Succeeded(id));
                }
                _ => {}
            }
        }
        while let Some(event) = race.poll_event() {
            black_box(event);
        }
        for input in std::mem::take(&mut inputs) {
            now += Duration::from_millis(1);
            race.handle(now, input);
        }
    }
    race
}

fn answer(kind: &str) -> AnswerData {
    let addresses = |prefix: &str| {
        let address = |last| -> IpAddr {
            let text = format!("{prefix}{last}");
            text.parse()
                .expect("the prefixes end where a digit may follow")
        };
        AnswerData::Addresses((1..=4).map(address).collect())
    };
    match kind {
        "AAAA" => addresses("2001:db8::"),
        "A" => addresses("192.0.2."),
        _ => AnswerData::Services(Vec::new()),
    }
}

fn config() -> RaceConfig {
    let local = |address: &str, prefix_len| LocalAddress {
        address: address.parse().expect("a literal address"),
        prefix_len,
        is_temporary: false,
        is_deprecated: false,
    };
    RaceConfig {
        remotes: vec![RemoteEndpoint::host_name("example.com").port(443)],
        candidates: vec![Candidate {
            stack: StackId::TLS,
            wire: WireProtocol::Tcp,
            rank: 0,
            security: SecurityClass::Protected {
                floor: TlsVersion::Tls12,
                trust: "platform".to_owned(),
                identity: None,
                peer_name: Some("example.com".to_owned()),
                ech_required: false,
                algorithms: None,
            },
            alpn: Vec::new(),
            needs_offer: false,
        }],
        paths: vec![Path {
            id: PathId(2),
            interface: "eth0".to_owned(),
            kind: InterfaceKind::Ethernet,
            addresses: vec![local("2001:db8:f::9", 64), local("192.0.2.99", 24)],
            has_ipv4_default: true,
            has_ipv6_default: true,
            mtu: 1500,
            is_metered: None,
        }],
        uses_https_records: true,
        ..RaceConfig::default()
    }
}
