//! A plan and a race for a name with eight addresses, for counting instructions.
//!
//! Invariant: time and answers are fixed, so every run takes the same decisions.

use portway_core::dns::{Answer, AnswerData};
use portway_core::path::{InterfaceKind, LocalAddress, Path, PathId};
use portway_core::plan::{Action, Plan, PlanRequest};
use portway_core::race::{Input, Output, Progress, Race, RaceConfig};
use portway_core::{RemoteEndpoint, SecurityParameters, Time};
use std::hint::black_box;
use std::time::Duration;

/// What is planned: TLS to a name, over one interface with both families.
pub fn request() -> PlanRequest {
    let mut request = PlanRequest::new(Action::Initiate, SecurityParameters::tls());
    request.remotes = vec![RemoteEndpoint::host_name("example.com").port(443)];
    request.paths = vec![path()];
    request
}

/// The race that the plan asks for.
pub fn config() -> RaceConfig {
    let plan = Plan::new(request()).expect("TLS to a name can be planned");
    RaceConfig {
        remotes: plan.remotes().to_vec(),
        candidates: plan.candidates(),
        paths: plan.paths().to_vec(),
        uses_https_records: true,
        ..RaceConfig::default()
    }
}

/// Resolves the name: the candidate tree is complete, and its first attempt starts.
pub fn tree(config: &RaceConfig) -> Race {
    let mut race = Race::new(Time::ZERO, config.clone());
    let mut answers = Vec::new();
    while let Some(output) = race.poll_output() {
        if let Output::Resolve(id, question) = output {
            let answer = Answer {
                data: answer(&question.kind.to_string()),
                ttl: Duration::from_secs(60),
            };
            answers.push(Input::Answered(id, answer));
        }
    }
    for (index, input) in answers.into_iter().enumerate() {
        race.handle(after(index as u64), input);
    }
    race
}

/// Resolves the name; the first attempt connects and wins.
pub fn race(config: &RaceConfig) -> Race {
    let mut race = tree(config);
    let mut now = 10;
    while let Some(output) = race.poll_output() {
        if let Output::Attempt(id, _) = output {
            let rtt = Some(Duration::from_millis(20));
            let progress = Progress::TransportConnected { rtt };
            race.handle(after(now), Input::Progressed(id, progress));
            race.handle(after(now + 1), Input::Succeeded(id));
            now += 2;
        }
    }
    while let Some(event) = race.poll_event() {
        black_box(event);
    }
    assert!(race.is_decided(), "the first attempt wins");
    race
}

fn after(milliseconds: u64) -> Time {
    Time::ZERO + Duration::from_millis(milliseconds)
}

fn answer(kind: &str) -> AnswerData {
    let addresses = |prefix: &str| {
        let address = |last| format!("{prefix}{last}").parse().expect("an address");
        AnswerData::Addresses((1..=4).map(address).collect())
    };
    match kind {
        "AAAA" => addresses("2001:db8::"),
        "A" => addresses("192.0.2."),
        _ => AnswerData::Services(Vec::new()),
    }
}

fn path() -> Path {
    let local = |address: &str, prefix_len| LocalAddress {
        address: address.parse().expect("a literal address"),
        prefix_len,
        is_temporary: false,
        is_deprecated: false,
    };
    Path {
        id: PathId(2),
        interface: "eth0".to_owned(),
        kind: InterfaceKind::Ethernet,
        addresses: vec![local("2001:db8:f::9", 64), local("192.0.2.99", 24)],
        has_ipv4_default: true,
        has_ipv6_default: true,
        mtu: 1500,
        is_metered: None,
    }
}
