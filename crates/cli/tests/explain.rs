//! `portway explain`: text, JSON, pictures, recordings.

mod support;

use serde_json::Value;
use support::{Listening, NameServer, directory, run};

const ANY: &str = "127.0.0.1:0";

/// An echo server and how it is explained.
struct Stage {
    _listening: Listening,
    resolver: NameServer,
    target: String,
}

impl Stage {
    fn set_up() -> Stage {
        let listening = Listening::start(&[ANY, "--self-signed", "--echo"], 1);
        Stage {
            target: NameServer::target(listening.port()),
            _listening: listening,
            resolver: NameServer::start(),
        }
    }

    fn explain(&self, rest: &[&str]) -> support::Run {
        let resolver = self.resolver.address();
        let common = [
            "explain",
            &self.target,
            "--insecure",
            "--resolver",
            resolver,
        ];
        run(&[&common[..], rest].concat())
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON on standard output")
}

#[test]
fn the_text_has_plan_tree_and_race() {
    let text = Stage::set_up().explain(&["-v"]).expect(0);
    let text = text
        .says(&["A? host.portway.test", "won by attempt 0"])
        .text();
    for words in [
        "initiate to host.portway.test",
        "out: tcp: security is required",
        "candidate tree",
        "127.0.0.1:",
        "won by attempt 0",
        "connected tls 127.0.0.1:",
    ] {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
    assert!(!text.contains('\x1b'), "colours without a terminal");
}

#[test]
fn the_json_has_the_same_in_one_object() {
    let text = Stage::set_up().explain(&["--json"]).expect(0).text();
    let value = parse(&text);
    assert_eq!(value["connection"]["stack"], "tls");
    assert_eq!(value["connection"]["protection"]["version"], "TLS 1.3");
    assert_eq!(value["report"]["attempts"][0]["outcome"], "succeeded");
    assert_eq!(value["plan"]["stacks"].as_array().map(Vec::len), Some(5));
    let events = value["events"].as_array().expect("events");
    assert!(events.iter().any(|event| event["kind"]["won"].is_object()));
}

#[test]
fn a_failure_is_explained_too() {
    let value = run(&["explain", "127.0.0.1:1", "--security", "none", "--json"]).expect(1);
    let value = parse(&value.text());
    assert_eq!(value["failure"]["kind"], "refused");
    let outcome = &value["report"]["attempts"][0]["outcome"]["failed"];
    assert_eq!(outcome["kind"], "refused");
}

#[test]
fn a_dry_run_resolves_and_connects_to_nothing() {
    let resolver = NameServer::start();
    let arguments = [
        "explain",
        "host.portway.test:1",
        "--resolver",
        resolver.address(),
    ];
    let text = run(&[&arguments[..], &["--dry-run"]].concat())
        .expect(0)
        .text();
    for words in [
        "127.0.0.1:1 of host.portway.test",
        "no connection was attempted",
    ] {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
    let json = run(&[&arguments[..], &["--dry-run", "--json"]].concat()).expect(0);
    let value = parse(&json.text());
    assert_eq!(
        value["report"]["attempts"].as_array().map(Vec::len),
        Some(0)
    );
    assert!(value["not_done"][0].is_string());
}

#[test]
fn a_name_without_addresses_leaves_nothing_to_attempt() {
    let resolver = NameServer::start();
    let common = ["explain", "nobody.portway.test", "--dry-run", "--resolver"];
    run(&[&common[..], &[resolver.address()]].concat())
        .expect(1)
        .says(&["nothing could be attempted"]);
}

#[test]
fn a_recorded_race_replays_to_the_same_decisions() {
    let file = directory("recorded").join("race.json");
    let file = file.to_str().expect("a path in UTF-8");
    let live = Stage::set_up()
        .explain(&["--json", "--record", file])
        .expect(0);
    let live = parse(&live.text());
    let replayed = parse(
        &run(&["explain", "--replay", file, "--json"])
            .expect(0)
            .text(),
    );
    assert_eq!(replayed["replay"]["is_identical"], true);
    assert_eq!(replayed["report"], live["report"]);
    assert_eq!(replayed["events"], live["events"]);
    let text = run(&["explain", "--replay", file]).expect(0).text();
    assert!(text.contains("byte for byte"), "{text}");
}

#[test]
fn a_lost_race_is_recorded_too() {
    let file = directory("lost").join("race.json");
    let file = file.to_str().expect("a path in UTF-8");
    run(&[
        "explain",
        "127.0.0.1:1",
        "--security",
        "none",
        "--record",
        file,
    ])
    .expect(1);
    let text = run(&["explain", "--replay", file]).expect(0).text();
    assert!(text.contains("lost: "), "{text}");
}

#[test]
fn a_recording_that_was_changed_diverges() {
    let file = directory("changed").join("race.json");
    let path = file.to_str().expect("a path in UTF-8");
    Stage::set_up().explain(&["--record", path]).expect(0);
    let text = std::fs::read_to_string(&file).expect("the recording");
    let changed = text.replacen("nothing-running", "delay-passed", 1);
    assert_ne!(changed, text);
    std::fs::write(&file, changed).expect("a writable file");
    run(&["explain", "--replay", path]).expect(1).says(&[
        "takes another way at event",
        "recorded: ",
        "replayed: ",
    ]);
    let json = run(&["explain", "--replay", path, "--json"]).expect(1);
    assert_eq!(parse(&json.text())["replay"]["is_identical"], false);
}

#[test]
fn what_is_no_recording_is_said_to_be_none() {
    let file = directory("none").join("race.json");
    let path = file.to_str().expect("a path in UTF-8");
    run(&["explain", "--replay", path])
        .expect(1)
        .says(&["cannot read"]);
    std::fs::write(&file, "[]").expect("a writable file");
    run(&["explain", "--replay", path])
        .expect(1)
        .says(&["is not a recording"]);
}

#[test]
fn the_waterfall_is_drawn() {
    let file = directory("drawn").join("race.svg");
    let path = file.to_str().expect("a path in UTF-8");
    Stage::set_up().explain(&["--svg", path]).expect(0);
    let svg = std::fs::read_to_string(&file).expect("the picture");
    assert!(
        svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
        "{svg}"
    );
    assert!(svg.contains("A? host.portway.test"), "{svg}");
}
