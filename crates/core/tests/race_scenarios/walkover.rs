//! Races of one leaf in short: the same story as the machine tells, or the machine goes on.

use crate::world::{World, failure, ms};
use portway_core::race::{
    Account, AttemptId, Course, History, Input, Outcome, Output, Progress, Race, RaceConfig,
    Walkover,
};
use portway_core::{FailureKind, RemoteEndpoint, StackId, Time};
use std::sync::Arc;

const ONE: &str = "remote 192.0.2.7:443\nset deadline=900";

fn config(script: &str) -> RaceConfig {
    World::parse(script).config
}

fn at(time: u64) -> Time {
    Time::ZERO + ms(time)
}

fn connected(rtt: u64) -> Input {
    let rtt = Some(ms(rtt));
    Input::Progressed(AttemptId(0), Progress::TransportConnected { rtt })
}

const ANSWERED: Input = Input::Progressed(AttemptId(0), Progress::PeerAnswered);
const SUCCEEDED: Input = Input::Succeeded(AttemptId(0));

/// A walkover and the machine, both started at 5 ms.
fn started(config: &RaceConfig) -> (Walkover, Race) {
    let course = Arc::new(Course::of(config).expect("one leaf"));
    let mut walkover = Walkover::new(course, config.timing.deadline, &config.history);
    assert!(walkover.start(at(5)));
    (walkover, Race::new(at(5), config.clone()))
}

#[test]
fn one_address_and_one_stack_are_a_course() {
    let config = config(ONE);
    let Some(Output::Attempt(AttemptId(0), leaf)) = Race::new(at(0), config.clone()).poll_output()
    else {
        panic!("the race starts with its leaf");
    };
    let course = Course::of(&config).expect("one leaf");
    assert_eq!(course.leaf(), leaf);
}

#[test]
fn whatever_can_lead_elsewhere_is_no_course() {
    for script in [
        "remote example.com:443",
        "remote 192.0.2.7:443\nremote 192.0.2.8:443",
        "remote 192.0.2.7:443\nremote example.com:443",
        "remote 192.0.2.7:443\nremote example.com:443\nset queries=0",
        "remote 192.0.2.7:443\nstack tls\nstack quic",
        "remote 192.0.2.7:443\nset mix\nstack tls\nstack tcp",
        "remote 192.0.2.7:443\nset pin\npath a#1 192.0.2.1/24\npath b#2 192.0.2.2/24",
        "remote 2001:db8::1:443\npath a#1 192.0.2.1/24 default4",
    ] {
        assert!(Course::of(&config(script)).is_none(), "{script}");
    }
}

#[test]
fn the_account_is_that_of_the_machine() {
    let histories = [
        "",
        "\nrtt 192.0.2.7 20",
        "\nused 192.0.2.7",
        "\nrtt 192.0.2.9 20",
    ];
    let stories: [&[(u64, Input)]; 5] = [
        &[],
        &[(9, connected(3))],
        &[(9, connected(3)), (30, SUCCEEDED)],
        &[(7, ANSWERED), (9, connected(3)), (30, SUCCEEDED)],
        &[(950, SUCCEEDED)],
    ];
    for history in histories {
        for story in stories {
            let config = config(&format!("{ONE}{history}"));
            let (mut walkover, mut race) = started(&config);
            for (time, input) in story {
                assert!(
                    walkover.take(at(*time), input),
                    "{input:?} leads nowhere else"
                );
                race.handle(at(*time), input.clone());
            }
            assert_eq!(walkover.is_won(), race.is_decided());
            let account = Account::from(walkover.clone());
            assert_eq!(account.report(), race.report(), "{story:?}");
            let mut learned = History::default();
            account.teach(&mut learned);
            assert_eq!(&learned, race.learned());
            let mut again = History::default();
            Account::of(&race).teach(&mut again);
            assert_eq!(learned, again);
            // Everything decided on the way is told again, and nothing else.
            let mut replayed = walkover.race();
            loop {
                let event = race.poll_event();
                assert_eq!(replayed.poll_event(), event, "{story:?}");
                if event.is_none() {
                    break;
                }
            }
            let outputs = |race: &mut Race| std::iter::from_fn(|| race.poll_output()).count();
            assert_eq!(outputs(&mut replayed), outputs(&mut race));
        }
    }
}

#[test]
fn another_input_is_left_to_the_machine() {
    let config = config(ONE);
    let refused = Input::Failed(AttemptId(0), failure(FailureKind::Refused));
    for (time, input) in [
        (10, refused),
        (10, Input::Cancelled),
        (10, Input::TimerExpired),
        (10, Input::PathsChanged(Vec::new())),
        (10, Input::Succeeded(AttemptId(1))),
        // The machine gives up at the first input after the deadline that is no success.
        (900, connected(3)),
    ] {
        let (mut walkover, mut race) = started(&config);
        assert!(walkover.take(at(8), &ANSWERED));
        race.handle(at(8), ANSWERED);
        assert!(!walkover.take(at(time), &input), "{input:?}");
        let mut machine = walkover.race();
        machine.handle(at(time), input.clone());
        race.handle(at(time), input);
        assert_eq!(machine.report(), race.report());
    }
}

#[test]
fn news_beyond_the_usual_are_left_to_the_machine() {
    let (mut walkover, _) = started(&config(ONE));
    assert!(walkover.take(at(6), &ANSWERED));
    assert!(walkover.take(at(7), &connected(1)));
    assert!(!walkover.take(at(8), &connected(1)));
    assert!(walkover.take(at(9), &SUCCEEDED));
    assert!(!walkover.take(at(9), &SUCCEEDED), "it has won already");
}

#[test]
fn a_race_whose_time_is_up_is_lost_by_the_machine() {
    let config = config(ONE);
    let course = Arc::new(Course::of(&config).expect("one leaf"));
    let mut walkover = Walkover::new(course, Some(at(5)), &config.history);
    assert_eq!(walkover.deadline(), Some(at(5)));
    assert!(!walkover.start(at(5)));
    let report = walkover.report();
    let Some((when, Outcome::Lost(failure))) = report.outcome else {
        panic!("{report}");
    };
    assert_eq!((when, failure.kind), (at(5), FailureKind::TimedOut));
}

#[test]
fn an_account_says_the_same_before_and_after_it_is_condensed() {
    let mut race = Race::new(at(5), config(ONE));
    race.handle(at(20), connected(15));
    race.handle(at(30), SUCCEEDED);
    let (report, learned) = (race.report(), race.learned().clone());
    assert_ne!(learned, History::default());
    let whole = Account::from(Box::new(race));
    for account in [whole.clone(), whole.condensed()] {
        assert_eq!(account.report(), report);
        let mut history = History::default();
        account.teach(&mut history);
        assert_eq!(history, learned);
    }
}

#[test]
fn a_course_to_another_endpoint_is_that_of_the_machine() {
    let paths = [
        "",
        "\npath a#1 192.0.2.1/24 default4",
        "\npath a#1 192.0.2.1/24 2001:db8::1/64 default4 default6",
    ];
    let towards = ["192.0.2.9:80", "127.0.0.1:8443", "198.51.100.7:443"];
    for paths in paths {
        let own = config(&format!("remote 127.0.0.1:443{paths}"));
        let course = Course::of(&own).expect("one leaf");
        for toward in towards {
            let remote: RemoteEndpoint = toward.parse().unwrap();
            for remote in [remote.clone(), remote.with_host_name("example.com")] {
                let mut config = own.clone();
                config.remotes = vec![remote.clone()];
                let Some(found) = course.toward(remote) else {
                    // Nobody knows the way, so that the machine has to say what is done.
                    assert!(paths.is_empty() && toward != towards[1], "{toward} {paths}");
                    continue;
                };
                let expected = Course::of(&config).expect("one leaf");
                assert_eq!(found.leaf(), expected.leaf());
                let reports = [found, expected].map(|course| {
                    let mut walkover = Walkover::new(Arc::new(course), None, &History::default());
                    assert!(walkover.start(at(5)));
                    assert!(walkover.take(at(9), &connected(3)));
                    assert!(walkover.take(at(30), &SUCCEEDED));
                    walkover.report()
                });
                assert_eq!(reports[0], reports[1]);
            }
        }
    }
}

#[test]
fn no_course_leads_to_an_endpoint_of_another_kind() {
    let course = |script: &str| Course::of(&config(script)).expect("one leaf");
    let own = course("remote 127.0.0.1:443\npath a#1 192.0.2.1/24 default4");
    let remote = |text: &str| text.parse::<RemoteEndpoint>().unwrap();
    for refused in [
        remote("example.com:443"),
        remote("[2001:db8::7]:443"),
        RemoteEndpoint::address([192, 0, 2, 7]),
        remote("192.0.2.7:443").interface("a"),
        remote("192.0.2.7:443").for_stack(StackId::TLS),
    ] {
        assert!(own.toward(refused.clone()).is_none(), "{refused}");
    }
    // A name is not asked for in a family that leads nowhere, so its address there is none.
    let of_ipv6 = course("remote [::1]:443\npath a#1 192.0.2.1/24 default4");
    let bare = remote("[::1]:80");
    assert!(of_ipv6.toward(bare.clone()).is_some());
    assert!(of_ipv6.toward(bare.with_host_name("example.com")).is_none());
    let bound = course("remote 127.0.0.1:443\nlocal address=127.0.0.1");
    assert!(bound.toward(remote("127.0.0.1:80")).is_none());
}
