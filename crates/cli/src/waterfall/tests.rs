//! Waterfalls of reports that are written down here.

use super::Waterfall;
use crate::output::Style;
use portway::race::Report;
use serde_json::{Value, json};

fn time(milliseconds: u64) -> Value {
    json!({"secs": 0, "nanos": milliseconds * 1_000_000})
}

/// A report with one answer and one attempt that failed with `detail`.
fn report(detail: &str) -> Report {
    let failure = json!({
        "origin": "system", "kind": "refused", "code": null,
        "detail": detail, "advice": "retry-elsewhere",
    });
    let leaf = json!({
        "path": null, "stack": "tls", "remote": "192.0.2.1:443", "local": null,
        "local_port": null, "host_name": "a.example", "security": "cleartext",
        "alpn": [], "remote_index": 0, "svcb_priority": null, "ech": null,
    });
    let report = json!({
        "started": time(10),
        "at": time(110),
        "outcome": [time(110), {"lost": failure}],
        "waiting": null,
        "targets": ["a.example:443"],
        "tree": [], "excluded": [],
        "attempts": [{
            "id": 0, "leaf": leaf, "reason": "nothing-running", "started": time(60),
            "answered": null, "connected": time(85), "rtt": null, "ended": time(110),
            "outcome": {"failed": failure},
        }],
        "queries": [{
            "id": 0, "question": {"name": "a.example", "kind": "A"}, "asked": time(10),
            "ended": time(60), "outcome": {"answered": 1},
        }],
    });
    serde_json::from_value(report).expect("a report as the race writes it")
}

#[test]
fn bars_lie_where_their_times_are() {
    let text = Waterfall::of(&report("refused")).text(Style::plain());
    let lines: Vec<&str> = text.lines().collect();
    let bar = |line: &str| line.split('│').nth(1).expect("a bar").to_owned();
    assert_eq!(
        bar(lines[1]),
        format!("{}{}", "▓".repeat(20), " ".repeat(20))
    );
    let attempt = format!("{}{}{}", " ".repeat(20), "▒".repeat(10), "█".repeat(10));
    assert_eq!(bar(lines[2]), attempt);
    assert!(lines[1].ends_with("50.0 ms, 1 record"), "{text}");
    assert_eq!(lines[3], "lost: refused after 100 ms");
}

#[test]
fn the_picture_escapes_what_peers_say() {
    let svg = Waterfall::of(&report("<script>\u{7}&\"")).svg();
    assert!(svg.contains("&lt;script&gt; &amp;&quot;"), "{svg}");
    assert!(!svg.contains("<script>"));
    assert!(!svg.contains('\u{7}'));
}

#[test]
fn a_race_that_took_no_time_can_be_drawn() {
    let mut report = report("x");
    report.at = report.started;
    report.attempts.clear();
    report.queries.clear();
    report.outcome = None;
    assert!(Waterfall::of(&report).svg().ends_with("</svg>\n"));
    assert!(!Waterfall::of(&report).text(Style::plain()).is_empty());
}
