//! What is remembered of alternative services, for how long, and how much.

use super::super::alt_svc::parse;
use super::*;

fn origin(host: &str) -> Origin {
    Origin {
        host: host.to_owned(),
        port: 443,
    }
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

fn told(value: &str) -> AltSvc {
    parse(value.as_bytes()).expect("it is well-formed")
}

fn shown(alternatives: &Alternatives, seconds: u64, host: &str) -> Vec<String> {
    let usable = alternatives.usable(at(seconds), &origin(host));
    usable.iter().map(ToString::to_string).collect()
}

fn with(value: &str) -> Alternatives {
    let mut alternatives = Alternatives::default();
    alternatives.learn(at(0), &origin("a.test"), told(value), Duration::ZERO);
    alternatives
}

#[test]
fn what_is_told_last_holds_until_it_is_stale() {
    let mut known = with(r#"h2=":1", h3=":443"; ma=60, h3="[::1]:7"; ma=90"#);
    assert_eq!(shown(&known, 0, "a.test"), ["a.test:443", "[::1]:7"]);
    assert_eq!(shown(&known, 60, "a.test"), ["[::1]:7"]);
    assert!(shown(&known, 90, "a.test").is_empty());
    assert!(
        shown(&known, 0, "b.test").is_empty(),
        "an origin speaks for itself"
    );
    known.learn(
        at(1),
        &origin("a.test"),
        told(r#"h3="b.test:8""#),
        Duration::ZERO,
    );
    assert_eq!(shown(&known, 1, "a.test"), ["b.test:8"]);
    known.learn(at(2), &origin("a.test"), AltSvc::Clear, Duration::ZERO);
    assert!(shown(&known, 2, "a.test").is_empty());
    known.learn(
        at(2),
        &origin("a.test"),
        told(r#"h3=":1";ma=9"#),
        Duration::from_secs(8),
    );
    assert_eq!(shown(&known, 2, "a.test"), ["a.test:1"]);
    assert!(shown(&known, 3, "a.test").is_empty(), "it was old already");
    known.learn(
        at(2),
        &origin("a.test"),
        told(r#"h3=":1";ma=9"#),
        Duration::from_secs(10),
    );
    assert!(known.origins.is_empty(), "nothing is kept of what is stale");
}

#[test]
fn what_failed_is_not_tried_for_ten_minutes() {
    let mut known = with(r#"h3=":443", h3=":444""#);
    let first = known.usable(at(0), &origin("a.test")).remove(0);
    known.block(at(10), &origin("a.test"), &first);
    assert_eq!(shown(&known, 609, "a.test"), ["a.test:444"]);
    assert_eq!(shown(&known, 610, "a.test"), ["a.test:443", "a.test:444"]);
}

#[test]
fn a_change_of_the_network_keeps_what_persists() {
    let mut known = with(r#"h3=":1", h3=":2"; persist=1"#);
    known.on_network(1);
    known.on_network(1);
    assert_eq!(shown(&known, 0, "a.test"), ["a.test:1", "a.test:2"]);
    let second = known.usable(at(0), &origin("a.test")).remove(1);
    known.block(at(0), &origin("a.test"), &second);
    known.on_network(2);
    assert_eq!(
        shown(&known, 0, "a.test"),
        ["a.test:2"],
        "nor is it blocked"
    );
}

#[test]
fn peers_cannot_make_it_grow() {
    let mut known = Alternatives::default();
    let many = [r#"h3=":1""#; 10].join(",");
    for number in 0..ORIGINS_MAX + 10 {
        let origin = origin(&format!("{number}.test"));
        let said = told(&format!("{many};ma={}", 1000 + number));
        known.learn(at(0), &origin, said, Duration::ZERO);
        let usable = known.usable(at(0), &origin);
        assert_eq!(usable.len(), PER_ORIGIN_MAX);
        for port in 0..2 {
            let other = Alternative {
                port,
                ..usable[0].clone()
            };
            known.block(at(0), &origin, &other);
        }
    }
    assert_eq!(known.origins.len(), ORIGINS_MAX);
    assert_eq!(known.blocked.len(), BLOCKED_MAX);
}

#[test]
fn what_is_stored_comes_back_with_the_time_that_is_left() {
    let clock = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let known = with(r#"h3=":443"; ma=60; persist=1, h3=":444"; ma=10"#);
    let stored = known.export(at(5), clock);
    assert_eq!(stored.len(), 2);
    assert!(stored[0].persists && !stored[1].persists);
    let text = serde_json::to_string(&stored).unwrap();
    let stored: Vec<StoredAlternative> = serde_json::from_str(&text).unwrap();
    let mut again = Alternatives::default();
    let later = clock + Duration::from_secs(5);
    again.import(at(100), later, stored);
    assert_eq!(
        shown(&again, 149, "a.test"),
        ["a.test:443"],
        "the other is stale"
    );
    assert!(shown(&again, 150, "a.test").is_empty());
    assert!(known.export(at(60), clock).is_empty());
}

#[test]
fn an_endpoint_of_a_race_tells_its_alternative() {
    for (host, port) in [("a.test", 443), ("2001:db8::1", 8443)] {
        let alternative = Alternative {
            host: host.to_owned(),
            port,
        };
        let remote = alternative.remote();
        assert_eq!(Alternative::of(&remote), Some(alternative));
    }
    let own = RemoteEndpoint::host_name("a.test").port(443);
    assert_eq!(Alternative::of(&own), None);
}
