//! Random worlds: whatever the resolver and the hosts do, a race keeps its promises.
//!
//! A failure prints its seed; `PORTWAY_SEED=<seed>` runs that world alone, `PORTWAY_LONG=1` fifty
//! times as many.

use crate::world::{Behaviour, Run, World};
use portway_core::dns::{AnswerData, RecordKind, ServiceBinding};
use portway_core::race::{
    AttemptOutcome, Event, EventKind, Input, Outcome, Output, QueryOutcome, StartReason,
};
use portway_core::{FailureKind, Time};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

#[test]
fn random_worlds_keep_the_invariants() {
    let factor = match std::env::var_os("PORTWAY_LONG") {
        Some(_) => 50,
        None => 1,
    };
    let seeds = match std::env::var("PORTWAY_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("PORTWAY_SEED is a number");
            seed..=seed
        }
        Err(_) => 1..=WORLDS * factor,
    };
    let mut decided = [0, 0, 0];
    for seed in seeds {
        println!("PORTWAY_SEED={seed}");
        let setting = Setting::new(seed);
        let run = setting.world.run();
        check(&setting, &run);
        let report = run.recorder.race().report();
        decided[match report.outcome {
            Some((_, Outcome::Won(_))) => 0,
            Some(_) => 1,
            None => 2,
        }] += 1;
        let recording = run.check_replay();
        // A second run of the same world takes the same decisions.
        assert_eq!(setting.world.run().check_replay(), recording);
    }
    println!(
        "won {}, lost {}, undecided {}",
        decided[0], decided[1], decided[2]
    );
}

/// A world and what must come of it.
struct Setting {
    world: World,
    /// Ready endpoints that are certain to become leaves.
    must_win: bool,
}

fn check(setting: &Setting, run: &Run) {
    check_outputs(&run.outputs);
    check_starts(setting, &run.events);
    let report = run.recorder.race().report();
    let limits = &setting.world.config.limits;
    assert!(report.attempts.len() <= limits.leaves);
    assert!(report.queries.len() <= limits.queries);
    let decided = report.outcome.is_some();
    let mut ends = BTreeMap::new();
    for event in &run.events {
        match &event.kind {
            EventKind::AttemptFailed { attempt, .. }
            | EventKind::AttemptCancelled { attempt, .. }
            | EventKind::Won { attempt } => *ends.entry(*attempt).or_insert(0) += 1,
            _ => {}
        }
    }
    assert!(
        ends.values().all(|count| *count == 1),
        "an attempt ended twice"
    );
    for attempt in &report.attempts {
        let is_running = attempt.outcome == AttemptOutcome::Running;
        assert_eq!(is_running, !ends.contains_key(&attempt.id));
        assert!(
            !(decided && is_running),
            "an attempt runs after the decision"
        );
    }
    if setting.must_win {
        let won = matches!(report.outcome, Some((_, Outcome::Won(_))));
        assert!(won, "a ready leaf was missed:\n{report}");
    }
    if let Some((_, Outcome::Lost(failure))) = &report.outcome
        && failure.kind != FailureKind::TimedOut
    {
        let awaits = report
            .queries
            .iter()
            .any(|q| q.outcome == QueryOutcome::Outstanding);
        assert!(!awaits, "lost while an answer was outstanding:\n{report}");
        for endpoint in tier_zero(&report) {
            assert!(
                endpoint.attempt.is_some(),
                "lost with an untried leaf:\n{report}"
            );
        }
    }
    if report.outcome.is_none() {
        assert!(report.attempts.iter().any(|a| a.ended.is_none()) || awaits_answers(&report));
    }
    assert!(report.to_svg().ends_with("</svg>\n"));
}

fn awaits_answers(report: &portway_core::race::Report) -> bool {
    let mut queries = report.queries.iter();
    queries.any(|query| query.outcome == QueryOutcome::Outstanding)
}

fn tier_zero(
    report: &portway_core::race::Report,
) -> impl Iterator<Item = &portway_core::race::EndpointNode> {
    let protocols = report.tree.iter().flat_map(|path| &path.protocols);
    protocols
        .filter(|protocol| protocol.group.tier == 0)
        .flat_map(|protocol| &protocol.endpoints)
}

fn check_outputs(outputs: &[(u64, Output)]) {
    let mut decision = None;
    for (index, (_, output)) in outputs.iter().enumerate() {
        if matches!(output, Output::Won(_) | Output::Lost(_)) {
            assert_eq!(decision, None, "two decisions");
            decision = Some(index);
        }
    }
    if let Some(decision) = decision {
        assert_eq!(decision, outputs.len() - 1, "an output after the decision");
    }
}

fn check_starts(setting: &Setting, events: &[Event]) {
    let config = &setting.world.config;
    let mut last: Option<Time> = None;
    let mut next_after = Duration::ZERO;
    let mut running: BTreeMap<_, bool> = BTreeMap::new();
    let mut had_protected_end = false;
    for event in events {
        match &event.kind {
            EventKind::AttemptStarted {
                attempt,
                leaf,
                reason,
                next_after: delay,
            } => {
                if let (Some(last), StartReason::DelayPassed) = (last, reason) {
                    assert!(event.at - last >= next_after, "started before its delay");
                    assert!(event.at - last >= Duration::from_millis(10));
                }
                let is_protected = leaf.security.is_protected();
                if !is_protected {
                    assert!(config.may_mix_security, "a weaker class without leave");
                    assert!(!running.values().any(|protected| *protected));
                    assert!(had_protected_end, "cleartext before any protection failed");
                }
                running.insert(*attempt, is_protected);
                assert!(running.len() <= config.limits.concurrent_attempts);
                last = Some(event.at);
                next_after = *delay;
            }
            EventKind::AttemptFailed { attempt, .. }
            | EventKind::AttemptCancelled { attempt, .. } => {
                had_protected_end |= running.remove(attempt) == Some(true);
            }
            _ => {}
        }
    }
}

impl Setting {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut script = String::from("stack tls 1 alpn=h2\n");
        let has_quic = random.one_in(2);
        let mixes = random.one_in(4);
        let uses_https = random.one_in(2);
        let has_deadline = random.one_in(6);
        if has_quic {
            script.push_str("stack quic 0 alpn=h3\n");
        }
        if random.one_in(3) {
            script.push_str("stack tcp 0 cleartext\n");
        }
        if mixes {
            script.push_str("set mix\n");
        }
        if uses_https {
            script.push_str("set https\n");
        }
        if has_deadline {
            script.push_str("set deadline=1500\n");
        }
        let is_narrow = random.one_in(4);
        if is_narrow {
            script.push_str("set concurrent=2\n");
        }
        script.push_str(&format!("set seed={seed}\nremote example.com:443\n"));
        let mut world = World::parse(&script);
        let mut delivered = Vec::new();
        for name in ["example.com", "a.example.net", "b.example.net"] {
            for kind in [RecordKind::Aaaa, RecordKind::A] {
                let (delay, result) = addresses(&mut random, kind);
                if name == "example.com"
                    && delay < 5_000
                    && let Ok(AnswerData::Addresses(found)) = &result
                {
                    delivered.extend(found.iter().copied());
                }
                world.set_answer(name, kind, delay, result);
            }
            let (delay, result) = services(&mut random);
            world.set_answer(name, RecordKind::Https, delay, result);
        }
        let mut is_ready = false;
        for address in pool() {
            for stack in ["tls", "quic", "tcp"] {
                let behaviour = behaviour(&mut random);
                let is_leaf = stack == "tls" || (stack == "quic" && has_quic);
                if is_leaf && delivered.contains(&address) {
                    is_ready |= matches!(behaviour.end, Some((_, None)));
                }
                world.set_host(stack, SocketAddr::new(address, 443), behaviour);
            }
        }
        Setting {
            world,
            // Silent attempts may fill a narrow race for ever, and services may rule stacks out.
            must_win: is_ready && !uses_https && !has_deadline && !is_narrow,
        }
    }
}

fn pool() -> Vec<IpAddr> {
    let v6 = (1..=4).map(|last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)));
    let v4 = (1..=4).map(|last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
    v6.chain(v4).collect()
}

fn addresses(random: &mut Random, kind: RecordKind) -> (u64, Result<AnswerData, FailureKind>) {
    let result = match random.below(6) {
        0 => Err(FailureKind::NameNotFound),
        1 => Err(FailureKind::ResolverFailed),
        _ => {
            let mut found = pool();
            found.retain(|address| address.is_ipv4() == (kind == RecordKind::A));
            found.retain(|_| random.one_in(2));
            Ok(AnswerData::Addresses(found))
        }
    };
    (delay(random), result)
}

fn services(random: &mut Random) -> (u64, Result<AnswerData, FailureKind>) {
    let mut records = Vec::new();
    for _ in 0..random.below(3) {
        let targets = [".", "example.com", "a.example.net", "b.example.net"];
        let alpn = match random.below(4) {
            0 => vec![b"h2".to_vec()],
            1 => vec![b"h3".to_vec()],
            2 => vec![b"h3".to_vec(), b"h2".to_vec()],
            _ => Vec::new(),
        };
        records.push(ServiceBinding {
            priority: random.below(4) as u16,
            target: targets[random.below(4) as usize].to_owned(),
            alpn,
            no_default_alpn: random.one_in(3),
            mandatory: if random.one_in(8) {
                vec![9999]
            } else {
                Vec::new()
            },
            ipv6_hints: if random.one_in(3) {
                vec![Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3)]
            } else {
                Vec::new()
            },
            ..ServiceBinding::default()
        });
    }
    let result = if random.one_in(6) {
        Err(FailureKind::ResolverFailed)
    } else {
        Ok(AnswerData::Services(records))
    };
    (delay(random), result)
}

fn delay(random: &mut Random) -> u64 {
    match random.below(10) {
        0 => u64::MAX,
        1 => random.below(3_000),
        _ => random.below(80),
    }
}

fn behaviour(random: &mut Random) -> Behaviour {
    let connected = random.below(300);
    let end = connected + random.below(300);
    let kinds = [
        FailureKind::CertificateRejected,
        FailureKind::AlpnMismatch,
        FailureKind::Reset,
        FailureKind::ProtocolViolation,
    ];
    let failure = kinds[random.below(4) as usize];
    match random.below(6) {
        0 | 1 => Behaviour::default(),
        2 => Behaviour {
            end: Some((connected, Some(FailureKind::Refused))),
            ..Behaviour::default()
        },
        3 => Behaviour {
            answered: random.one_in(2).then_some(connected),
            connected: Some(connected),
            end: Some((end, Some(failure))),
        },
        4 => Behaviour {
            connected: Some(connected),
            ..Behaviour::default()
        },
        _ => Behaviour {
            connected: Some(connected),
            end: Some((end, None)),
            ..Behaviour::default()
        },
    }
}

/// Xorshift64, so that a seed means the same world everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

#[test]
fn time_that_runs_backwards_is_held() {
    let world = World::parse("remote [2001:db8::1]:443\nremote [2001:db8::2]:443");
    let mut race = portway_core::race::Race::new(Time::ZERO, world.config);
    let at = |ms: u64| Time::ZERO + Duration::from_millis(ms);
    race.handle(at(250), Input::TimerExpired);
    race.handle(at(100), Input::TimerExpired);
    let mut last = Time::ZERO;
    while let Some(event) = race.poll_event() {
        assert!(event.at >= last);
        last = event.at;
    }
    assert_eq!(race.report().at, at(250));
}

const WORLDS: u64 = 1_000;
