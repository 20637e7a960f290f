//! A race with answers, outcomes and times in any order.
//!
//! Invariant: no panic, at most one decision, nothing started after it, and a recording of it
//! replays.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use portway_core::dns::{Answer, AnswerData, ServerRecord, ServiceBinding};
use portway_core::plan::{Action, Plan, PlanRequest};
use portway_core::race::{AttemptId, Input, Output, Progress, QueryId, RaceConfig, Recorder};
use portway_core::{Failure, FailureKind, Origin, RemoteEndpoint, SecurityParameters, Time};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

#[derive(Arbitrary, Debug)]
struct Step {
    wait_ms: u16,
    query: u8,
    attempt: u8,
    what: What,
}

#[derive(Arbitrary, Debug)]
enum What {
    V6(Vec<u8>),
    V4(Vec<u8>),
    Services(Vec<Service>),
    Servers(Vec<(u16, u16, u16, u8)>),
    QueryFailed,
    PeerAnswered,
    Connected(Option<u16>),
    Succeeded,
    Failed(bool),
    PathsChanged,
    TimerExpired,
    Cancelled,
}

#[derive(Arbitrary, Debug)]
struct Service {
    priority: u16,
    target: u8,
    port: Option<u16>,
    alpn: Vec<u8>,
    no_default_alpn: bool,
    hints: Vec<u8>,
    mandatory: Vec<u16>,
}

fuzz_target!(|input: (bool, Vec<Step>)| {
    let (is_opportunistic, steps) = input;
    let mut now = Time::ZERO;
    let mut race = Recorder::new(now, config(is_opportunistic));
    let mut decisions = 0;
    for step in steps.into_iter().take(256) {
        now += Duration::from_millis(u64::from(step.wait_ms));
        race.handle(now, input_of(step));
        while let Some(output) = race.poll_output() {
            match output {
                Output::Won(_) | Output::Lost(_) => decisions += 1,
                Output::Attempt(..) => assert_eq!(decisions, 0, "an attempt after the decision"),
                _ => {}
            }
        }
        while race.poll_event().is_some() {}
    }
    assert!(decisions <= 1, "a race is decided once");
    race.finish().replay().expect("a recording replays");
});

fn config(is_opportunistic: bool) -> RaceConfig {
    let security = match is_opportunistic {
        true => SecurityParameters::opportunistic(),
        false => SecurityParameters::tls(),
    };
    let mut request = PlanRequest::new(Action::Initiate, security.with_alpn(["h2"]));
    request.remotes = vec![RemoteEndpoint::host_name("example.com").port(443)];
    let plan = Plan::new(request).expect("a plan for a plain request");
    RaceConfig {
        remotes: plan.remotes().to_vec(),
        candidates: plan.candidates(),
        uses_https_records: true,
        may_mix_security: plan.may_mix_security(),
        ..RaceConfig::default()
    }
}

fn input_of(step: Step) -> Input {
    let (query, attempt) = (QueryId(step.query.into()), AttemptId(step.attempt.into()));
    let answered = |data| {
        Input::Answered(
            query,
            Answer {
                data,
                ttl: Duration::from_secs(60),
            },
        )
    };
    let failure = |kind| Failure::new(Origin::System, kind, "as the fuzzer wants");
    match step.what {
        What::V6(ends) => answered(AnswerData::Addresses(
            ends.into_iter().map(|end| v6(end).into()).collect(),
        )),
        What::V4(ends) => answered(AnswerData::Addresses(
            ends.into_iter()
                .map(|end| Ipv4Addr::new(192, 0, 2, end).into())
                .collect(),
        )),
        What::Services(services) => answered(AnswerData::Services(
            services.into_iter().map(binding).collect(),
        )),
        What::Servers(servers) => answered(AnswerData::Servers(
            servers
                .into_iter()
                .map(|(priority, weight, port, target)| ServerRecord {
                    priority,
                    weight,
                    port,
                    target: name(target),
                })
                .collect(),
        )),
        What::QueryFailed => Input::QueryFailed(query, failure(FailureKind::ResolverFailed)),
        What::PeerAnswered => Input::Progressed(attempt, Progress::PeerAnswered),
        What::Connected(rtt) => {
            let rtt = rtt.map(|ms| Duration::from_millis(ms.into()));
            Input::Progressed(attempt, Progress::TransportConnected { rtt })
        }
        What::Succeeded => Input::Succeeded(attempt),
        What::Failed(is_refused) => Input::Failed(
            attempt,
            failure(if is_refused {
                FailureKind::Refused
            } else {
                FailureKind::Unreachable
            }),
        ),
        What::PathsChanged => Input::PathsChanged(Vec::new()),
        What::TimerExpired => Input::TimerExpired,
        What::Cancelled => Input::Cancelled,
    }
}

fn binding(service: Service) -> ServiceBinding {
    ServiceBinding {
        priority: service.priority,
        target: name(service.target),
        mandatory: service.mandatory,
        alpn: service.alpn.chunks(2).map(<[u8]>::to_vec).collect(),
        no_default_alpn: service.no_default_alpn,
        port: service.port,
        ipv4_hints: service
            .hints
            .iter()
            .map(|end| Ipv4Addr::new(192, 0, 2, *end))
            .collect(),
        ipv6_hints: service.hints.iter().map(|end| v6(*end)).collect(),
        ..ServiceBinding::default()
    }
}

fn v6(end: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, end.into())
}

/// Few names, so that aliases loop.
fn name(choice: u8) -> String {
    ["example.com", ".", "a.example", "b.example"][usize::from(choice % 4)].to_owned()
}
