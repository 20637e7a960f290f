//! Races on virtual time: rows that name their rule, each replayed from its recording, and a
//! randomised search for worlds that break an invariant.

#![allow(clippy::unwrap_used, reason = "a malformed script shall stop its test")]

mod driver;
mod history;
mod random;
mod rendering;
mod scenarios;
mod walkover;
mod world;

use portway_core::race::{Event, EventKind};
use scenarios::Scenario;
use world::World;

#[test]
fn decisions_follow_the_rules() {
    let scenarios = scenarios::all();
    assert!(scenarios.len() >= 70, "only {} scenarios", scenarios.len());
    let mut failures = String::new();
    for scenario in &scenarios {
        let run = World::parse(scenario.world).run();
        let decided = decisions(&run.events, scenario);
        if decided != scenario.decisions {
            let (rule, expected) = (scenario.rule, scenario.decisions);
            let comparison = format!("--- expected\n{expected}\n--- decided\n{decided}");
            failures.push_str(&format!("\n### {rule}\n{comparison}\n"));
        }
        run.check_replay();
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn every_rule_is_named_once() {
    let mut rules: Vec<&str> = scenarios::all().iter().map(|row| row.rule).collect();
    rules.sort_unstable();
    let count = rules.len();
    rules.dedup();
    assert_eq!(rules.len(), count);
}

/// The decisions that every scenario shows, and those of the kinds that it asks for.
fn decisions(events: &[Event], scenario: &Scenario) -> String {
    let lines = events.iter().filter_map(|event| {
        let topic = topic(&event.kind);
        let is_shown = topic.is_empty() || scenario.shown.split(' ').any(|shown| shown == topic);
        let ms = event.at.since_origin().as_millis();
        is_shown.then(|| format!("{ms} {}", event.kind))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What a decision is about; empty when every scenario shows it.
fn topic(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Asked { .. } => "queries",
        EventKind::Answered { .. } | EventKind::QueryFailed { .. } => "answers",
        EventKind::ResolutionDelayStarted { .. } | EventKind::EndpointsReady { .. } => "ready",
        EventKind::LeafExcluded(_) => "excluded",
        EventKind::Ordered { .. } => "order",
        EventKind::GroupOpened { .. } => "groups",
        EventKind::PathsChanged { .. } => "paths",
        EventKind::Finished => "finished",
        EventKind::NextAttemptPostponed { .. } => "timer",
        EventKind::Progressed { .. } => "progress",
        _ => "",
    }
}
