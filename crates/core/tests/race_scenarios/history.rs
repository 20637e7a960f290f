//! What outlives a race: who was not answered, and how much of it is kept.

use crate::world::{World, ms};
use portway_core::race::{History, Setback};
use portway_core::{StackId, Time};
use std::net::IpAddr;

fn setback(stack: &'static str, address: &str, until: u64) -> Setback {
    Setback {
        stack: StackId::new(stack),
        address: ip(address),
        until: Time::ZERO + ms(until),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn setbacks_of(script: &str) -> Vec<Setback> {
    let run = World::parse(script).run();
    let race = run.recorder.race();
    assert!(race.report().winner().is_some(), "{}", race.report());
    race.learned().setbacks.clone()
}

#[test]
fn only_another_stack_of_the_same_security_sets_a_stack_back() {
    let of_two_stacks = "remote 192.0.2.1:443
        stack quic 0
        stack tls 1
        host quic 192.0.2.1:443 refused=10
        host tls 192.0.2.1:443 ready=20";
    let until = 10 + 20 + 600_000;
    let expected = [setback("quic", "192.0.2.1", until)];
    assert_eq!(setbacks_of(of_two_stacks), expected);
    let of_two_addresses = "remote 192.0.2.1:443
        remote 192.0.2.2:443
        host tls 192.0.2.1:443 refused=10
        host tls 192.0.2.2:443 ready=20";
    assert_eq!(setbacks_of(of_two_addresses), []);
    let of_two_classes = "set mix
        remote 192.0.2.1:443
        stack tls
        stack tcp cleartext
        host tls 192.0.2.1:443 refused=10
        host tcp 192.0.2.1:443 ready=20";
    assert_eq!(setbacks_of(of_two_classes), []);
}

#[test]
fn a_later_setback_replaces_the_one_of_the_same_stack_and_address() {
    let mut history = History::default();
    let others = [setback("tls", "192.0.2.1", 10), setback("quic", "::1", 10)];
    history.setbacks.push(setback("quic", "192.0.2.1", 10));
    history.setbacks.extend(others.clone());
    let mut learned = History::default();
    learned.setbacks.push(setback("quic", "192.0.2.1", 20));
    history.add(learned);
    let [tls, quic] = others;
    let expected = [tls, quic, setback("quic", "192.0.2.1", 20)];
    assert_eq!(history.setbacks, expected);
}

#[test]
fn a_history_is_no_larger_than_asked_for_and_keeps_the_latest_setbacks() {
    let mut history = History::default();
    for (last, address) in ["192.0.2.1", "192.0.2.2", "192.0.2.3"].iter().enumerate() {
        history.rtts.insert(ip(address), ms(5));
        history.used.insert(ip(address));
        history.setbacks.push(setback("quic", address, last as u64));
    }
    let lengths = |history: &History| {
        let (rtts, used) = (history.rtts.len(), history.used.len());
        (rtts, used, history.setbacks.len())
    };
    for (max, expected) in [(3, (3, 3, 3)), (2, (2, 2, 2)), (4, (2, 2, 2))] {
        history.shrink(max);
        assert_eq!(lengths(&history), expected, "at most {max}");
    }
    assert_eq!(history.setbacks[1], setback("quic", "192.0.2.3", 2));
    history.shrink(0);
    assert_eq!(history, History::default());
}
