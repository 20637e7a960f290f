//! A race in plain words, read from its report.

use portway::race::{AttemptOutcome, AttemptReport, Report, StartReason};
use portway::{FailureKind, Time};

/// What happened, a sentence a line.
pub(super) fn of(report: &Report) -> String {
    let since = |time: Time| time.saturating_since(report.started).as_millis();
    let mut lines = vec!["In plain words:".to_owned()];
    if let Some(last) = report.queries.iter().filter_map(|query| query.ended).max() {
        lines.push(format!(
            "- {} questions went out at once; all answers that matter were there after {} ms",
            report.queries.len(),
            since(last)
        ));
    }
    for attempt in &report.attempts {
        lines.push(format!("- {}", sentence(attempt, since(attempt.started))));
    }
    let untried = report
        .tree
        .iter()
        .flat_map(|path| &path.protocols)
        .flat_map(|protocol| &protocol.endpoints)
        .filter(|endpoint| endpoint.attempt.is_none())
        .count();
    if untried > 0 {
        lines.push(format!("- {untried} more candidates were not needed"));
    }
    lines.join("\n")
}

fn sentence(attempt: &AttemptReport, started: u128) -> String {
    let remote = attempt.leaf.remote;
    let family = if remote.is_ipv6() { "IPv6" } else { "IPv4" };
    let why = match attempt.reason {
        StartReason::NothingRunning => "it stood first",
        StartReason::DelayPassed => "nobody had answered for an attempt delay",
        StartReason::AttemptFailed => "the one before it had failed",
        _ => "it was its turn",
    };
    let end = match &attempt.outcome {
        AttemptOutcome::Succeeded => "it won, TLS handshake included".to_owned(),
        AttemptOutcome::Cancelled(_) if attempt.connected.is_none() => {
            "no answer ever came, and it was given up when another one won".to_owned()
        }
        AttemptOutcome::Cancelled(_) => "it was given up when another one won".to_owned(),
        AttemptOutcome::Failed(failure) if failure.kind == FailureKind::Unreachable => {
            format!("there is no way there: {failure}")
        }
        AttemptOutcome::Failed(failure) => format!("it failed: {failure}"),
        _ => "it goes on".to_owned(),
    };
    format!("after {started} ms {remote} ({family}) was tried, for {why}; {end}")
}
