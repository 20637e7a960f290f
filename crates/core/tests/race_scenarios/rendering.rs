//! What people and programs see of a race: events, text, picture, JSON, and a broken recording.

use crate::world::World;
use portway_core::race::{
    AttemptId, AttemptOutcome, Diverging, Event, EventKind, History, Output, QueryOutcome, Report,
};
use portway_core::{FailureKind, Time};
use std::time::Duration;

const WORLD: &str = "set https seed=4
    stack quic 0 alpn=h3
    stack tls 1 alpn=h2
    dns 12 HTTPS example.com 1 . alpn=h3,h2 ; 2 <svc>.example.net alpn=h2 v6=2001:db8:a::1
    dns 15 AAAA example.com 2001:db8::1 2001:db8::2
    dns 18 A example.com 192.0.2.1
    dns never AAAA <svc>.example.net
    dns 40 A <svc>.example.net fail=resolver-failed
    host quic 192.0.2.1:443 refused=30
    host tls [2001:db8::1]:443 connected=60 certificate-rejected=110
    host tls 192.0.2.1:443 connected=80 ready=160";

#[test]
fn report_shows_tree_and_waterfall_as_text() {
    let report = World::parse(WORLD).run().recorder.race().report();
    let text = report.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let expected = include_str!("report.txt");
    assert_eq!(lines.join("\n"), expected.trim_end(), "\n{text}");
}

#[test]
fn report_has_a_branch_for_each_path_and_protocol() {
    let world = "set pin
        stack quic
        stack tls
        path wlan0#3 192.0.2.98/24 default4
        path eth0#2 192.0.2.99/24 default4
        remote 198.51.100.1:443
        remote 198.51.100.2:443";
    let report = World::parse(world).run().recorder.race().report();
    let branches: Vec<(&str, Vec<(&str, usize)>)> = report
        .tree
        .iter()
        .map(|path| {
            let protocols = path.protocols.iter();
            let protocols = protocols.map(|node| (node.stack.as_str(), node.endpoints.len()));
            (path.path.as_str(), protocols.collect())
        })
        .collect();
    let protocols = vec![("quic", 2), ("tls", 2)];
    assert_eq!(
        branches,
        [("wlan0", protocols.clone()), ("eth0", protocols)]
    );
}

#[test]
fn report_of_an_undecided_race_says_what_it_does() {
    let world = World::parse("remote 192.0.2.1:443\nremote 192.0.2.2:443");
    let text = world.run().recorder.race().report().to_string();
    assert!(text.ends_with("still running"), "{text}");
    assert!(
        text.contains("192.0.2.1:443                running\n"),
        "{text}"
    );
    let world = World::parse("no paths\nremote 192.0.2.1:443");
    let text = world.run().recorder.race().report().to_string();
    assert!(
        text.ends_with("waiting: no path has an IPv4 route"),
        "{text}"
    );
    assert!(
        text.contains("left out\n  tls 192.0.2.1:443: no path has an IPv4 route\n"),
        "{text}"
    );
    let world = World::parse("remote 192.0.2.1:443\nhost tls 192.0.2.1:443 refused=7");
    let text = world.run().recorder.race().report().to_string();
    assert!(text.ends_with("lost after 7.00 ms: refused"), "{text}");
}

#[test]
fn report_reads_back_from_json() {
    let report = World::parse(WORLD).run().recorder.race().report();
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    let winner = report.winner().unwrap();
    assert_eq!(winner.outcome, AttemptOutcome::Succeeded);
    assert_eq!(winner.rtt, Some(Duration::from_millis(80)));
    assert_eq!(winner.leaf.svcb_priority, Some(1));
    let outcomes: Vec<&QueryOutcome> = report.queries.iter().map(|q| &q.outcome).collect();
    assert_eq!(outcomes[0], &QueryOutcome::Answered(2));
    assert!(matches!(outcomes[4], QueryOutcome::Failed(_)));
    assert_eq!(outcomes[3], &QueryOutcome::Outstanding);
}

#[test]
fn picture_shows_questions_and_attempts_as_bars_on_one_axis() {
    let svg = World::parse(WORLD).run().recorder.race().report().to_svg();
    assert_eq!(svg, include_str!("picture.svg"), "\n{svg}");
}

#[test]
fn picture_escapes_names_and_has_a_row_for_everything() {
    let report = World::parse(WORLD).run().recorder.race().report();
    let svg = report.to_svg();
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1000\" "));
    assert!(svg.contains("AAAA? &lt;svc&gt;.example.net"));
    assert!(!svg.contains("<svc>"));
    for attempt in &report.attempts {
        assert!(svg.contains(&format!(">{} {}<", attempt.id.0, attempt.leaf)));
    }
    for query in report.queries.iter().take(3) {
        assert!(svg.contains(&format!(">{}<", query.question)));
    }
    let labels = svg.matches("text-anchor=\"end\"").count();
    assert_eq!(labels, report.attempts.len() + report.queries.len());
}

#[test]
fn picture_of_hostile_text_is_well_formed() {
    let world =
        World::parse("remote 192.0.2.1:443 name=\"a\"&\u{7}b\nhost tls 192.0.2.1:443 ready=1");
    let svg = world.run().recorder.race().report().to_svg();
    assert!(svg.contains("&quot;a&quot;&amp;\u{fffd}b"), "{svg}");
}

#[test]
fn picture_of_an_empty_race_has_an_axis() {
    let svg = World::parse("remote example.com")
        .run()
        .recorder
        .race()
        .report()
        .to_svg();
    assert!(svg.contains(">0 ms<"));
    assert!(svg.contains("lost after 0 ms"), "{svg}");
}

#[test]
fn ticks_are_few_and_round() {
    let rows = [
        (40, 5, "10 ms"),
        (290, 6, "50 ms"),
        (700, 4, "200 ms"),
        (1500, 4, "500 ms"),
    ];
    for (at, count, second) in rows {
        let script = format!("remote 192.0.2.1:443\nhost tls 192.0.2.1:443 ready={at}");
        let svg = World::parse(&script)
            .run()
            .recorder
            .race()
            .report()
            .to_svg();
        let ticks = svg.matches("text-anchor=\"middle\"").count();
        assert_eq!(ticks, count, "{at}");
        assert!(svg.contains(&format!(">{second}<")), "{at}");
    }
}

#[test]
fn every_event_is_one_line_that_says_what_and_why() {
    let run = World::parse(WORLD).run();
    for event in &run.events {
        let line = event.to_string();
        assert!(!line.contains('\n') && line.len() > 16, "{line}");
    }
    let first: Vec<String> = run.events.iter().take(1).map(Event::to_string).collect();
    assert_eq!(first, ["    0.000 ms  query 0 HTTPS? example.com"]);
}

#[test]
fn race_learns_round_trips_and_the_address_that_won() {
    let run = World::parse(WORLD).run();
    let learned = History {
        setbacks: Vec::new(),
        ..run.recorder.race().learned().clone()
    };
    let expected: History = serde_json::from_str(
        r#"{"rtts": {"192.0.2.1": {"secs": 0, "nanos": 80000000},
                     "2001:db8::1": {"secs": 0, "nanos": 60000000}},
            "used": ["192.0.2.1"]}"#,
    )
    .unwrap();
    assert_eq!(learned, expected);
}

#[test]
fn race_learns_which_stack_an_address_did_not_answer() {
    let setbacks = |script: &str| {
        let race = "stack quic 0\nstack tls 1\nremote 192.0.2.1:443\n".to_owned() + script;
        let run = World::parse(&race).run();
        let learned = run.recorder.race().learned().setbacks.clone();
        let text = learned.iter().map(|it| {
            let until = it.until.saturating_since(Time::ZERO).as_millis();
            format!("{} {} {until}", it.stack, it.address)
        });
        text.collect::<Vec<_>>().join(", ")
    };
    let tls = "host tls 192.0.2.1:443 ready=40\n".to_owned();
    // Silence for an attempt delay, then 600 s from the win on.
    assert_eq!(setbacks(&tls), "quic 192.0.2.1 600290");
    let refused = tls.clone() + "host quic 192.0.2.1:443 refused=20";
    assert_eq!(setbacks(&refused), "quic 192.0.2.1 600060");
    let answered = tls.clone() + "host quic 192.0.2.1:443 answered=20";
    assert_eq!(setbacks(&answered), "", "it is there, only slower");
    let untrusted = tls.clone() + "host quic 192.0.2.1:443 certificate-rejected=20";
    assert_eq!(setbacks(&untrusted), "");
    // A stack that works again is no longer set back.
    let recovered = "setback quic 192.0.2.1 5000\nhost quic 192.0.2.1:443 ready=10";
    assert_eq!(
        setbacks(recovered),
        "tls 192.0.2.1 600260, quic 192.0.2.1 260"
    );
}

#[test]
fn waiting_is_visible_while_it_lasts() {
    let world = World::parse("no paths\nremote 192.0.2.1:443");
    let run = world.run();
    assert_eq!(
        run.recorder.race().waiting(),
        Some("no path has an IPv4 route")
    );
    assert!(!run.recorder.race().is_decided());
    let won = World::parse("remote 192.0.2.1:443\nhost tls 192.0.2.1:443 ready=1").run();
    assert_eq!(won.recorder.race().waiting(), None);
    assert!(won.recorder.race().is_decided() && won.recorder.race().is_finished());
}

#[test]
fn tampered_recording_diverges_where_it_was_changed() {
    let recording = World::parse(WORLD).run().check_replay();
    let mut shorter = recording.clone();
    shorter.outputs.pop();
    let divergence = shorter.replay().unwrap_err();
    assert_eq!(divergence.what, Diverging::Output);
    assert_eq!(divergence.index, shorter.outputs.len());
    assert_eq!(divergence.recorded, "nothing");
    let mut other = recording.clone();
    other.events[2].kind = EventKind::Finished;
    let divergence = other.replay().unwrap_err();
    assert_eq!((divergence.what, divergence.index), (Diverging::Event, 2));
    assert_eq!(
        divergence.to_string(),
        format!(
            "event 2 differs: recorded {}, replayed {}",
            divergence.recorded, divergence.replayed
        )
    );
    let mut longer = recording.clone();
    longer.outputs.push(Output::Cancel(AttemptId(9)));
    let divergence = longer.replay().unwrap_err();
    assert_eq!(
        (
            divergence.what,
            divergence.to_string().starts_with("output")
        ),
        (Diverging::Output, true)
    );
    assert_eq!(divergence.replayed, "nothing");
    let mut later = recording;
    later.started = Time::from_origin(Duration::from_millis(5));
    assert!(later.replay().is_err());
}

#[test]
fn lost_race_keeps_code_and_kind_of_its_failure() {
    let world = World::parse("remote 192.0.2.1:443\nhost tls 192.0.2.1:443 certificate-rejected=7");
    let run = world.run();
    let lost = run.outputs.iter().find_map(|(_, output)| match output {
        Output::Lost(failure) => Some(failure.kind),
        _ => None,
    });
    assert_eq!(lost, Some(FailureKind::CertificateRejected));
}
