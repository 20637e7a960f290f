//! What the driver of a race sees beside decisions: its timers, late inputs, and the leaves.

use crate::world::{World, failure};
use portway_core::dns::{Answer, AnswerData};
use portway_core::race::{EventKind, Input, Output, QueryId, Race};
use portway_core::{FailureKind, Time};
use std::time::Duration;

fn race(script: &str) -> Race {
    Race::new(Time::ZERO, World::parse(script).config)
}

#[test]
fn a_timer_runs_only_while_an_attempt_may_start() {
    let two = "remote 192.0.2.1:443\nremote 192.0.2.2:443";
    let delay = Time::ZERO + Duration::from_millis(250);
    assert_eq!(race(two).poll_timeout(), Some(delay));
    let all_started = race("remote 192.0.2.1:443");
    assert_eq!(all_started.poll_timeout(), None);
    let full = race(&format!("set concurrent=1\n{two}"));
    assert_eq!(full.poll_timeout(), None);
}

#[test]
fn answers_after_the_end_are_ignored() {
    let mut race = race_with_open_questions();
    while race.poll_event().is_some() {}
    for input in [
        Input::Answered(QueryId(0), no_records()),
        Input::QueryFailed(QueryId(1), failure(FailureKind::TimedOut)),
    ] {
        race.handle(Time::ZERO + Duration::from_millis(200), input);
        let event = race.poll_event().expect("the race says what it ignores");
        let is_ignored = matches!(event.kind, EventKind::InputIgnored { .. });
        assert!(is_ignored, "{event}");
    }
}

/// A race that was lost by its deadline before its two questions were answered.
fn race_with_open_questions() -> Race {
    let mut race = race("set deadline=100");
    let questions = std::iter::from_fn(|| race.poll_output());
    assert_eq!(questions.count(), 2);
    race.handle(Time::ZERO + Duration::from_millis(100), Input::TimerExpired);
    assert!(race.is_finished());
    race
}

fn no_records() -> Answer {
    Answer {
        data: AnswerData::Addresses(Vec::new()),
        ttl: Duration::from_secs(60),
    }
}

#[test]
fn an_attempt_leaves_from_the_port_that_was_given_and_zero_is_none() {
    for (port, expected) in [(5000, Some(5000)), (0, None)] {
        let mut race = race(&format!("local port={port}\nremote 192.0.2.1:443"));
        let Some(Output::Attempt(_, leaf)) = race.poll_output() else {
            panic!("an address is attempted at once");
        };
        assert_eq!(leaf.local_port, expected);
    }
}

#[test]
fn a_race_to_nowhere_is_lost_at_once() {
    let mut config = World::parse("remote 192.0.2.1:443").config;
    config.remotes.clear();
    let mut race = Race::new(Time::ZERO, config);
    let Some(Output::Lost(failure)) = race.poll_output() else {
        panic!("there is nothing to wait for");
    };
    assert_eq!(failure.kind, FailureKind::InvalidRequest);
    assert_eq!(failure.detail, "there is no remote endpoint");
}
