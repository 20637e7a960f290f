//! The rows of a waterfall, shared by its text and its picture.
//!
//! Invariant: every question and every attempt of a report is one row, in the order of starts.

use super::event::CancelReason;
use super::report::{AttemptOutcome, AttemptReport, Outcome, QueryOutcome, QueryReport, Report};
use crate::time::Time;
use std::time::Duration;

/// One bar with its label and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) label: String,
    pub(super) tone: Tone,
    /// Measured from the start of the race.
    pub(super) start: Duration,
    /// When the transport was connected or the peer answered, for attempts.
    pub(super) middle: Option<Duration>,
    pub(super) end: Duration,
    pub(super) note: String,
}

/// What a bar tells at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    Query,
    Won,
    Failed,
    Cancelled,
    Running,
}

/// The rows of a report, and the time that they span.
pub(super) fn rows(report: &Report) -> (Vec<Row>, Duration) {
    let since = |time: Time| time - report.started;
    let decided = report.outcome.as_ref().map(|(at, _)| *at);
    let mut last = report.started;
    let times = report
        .attempts
        .iter()
        .map(|attempt| attempt.ended.unwrap_or(attempt.started))
        .chain(report.queries.iter().map(|q| q.ended.unwrap_or(q.asked)))
        .chain([decided.unwrap_or(report.at)]);
    for time in times {
        last = last.max(time);
    }
    let mut rows: Vec<Row> = Vec::new();
    for query in &report.queries {
        rows.push(query_row(
            query,
            since(query.asked),
            since(query.ended.unwrap_or(last)),
        ));
    }
    for attempt in &report.attempts {
        rows.push(Row {
            label: leaf_label(attempt),
            tone: tone(&attempt.outcome),
            start: since(attempt.started),
            middle: attempt.connected.or(attempt.answered).map(since),
            end: since(attempt.ended.unwrap_or(last)),
            note: note(attempt),
        });
    }
    rows.sort_by_key(|row| row.start);
    (rows, since(last))
}

/// How the race ended, in one line.
pub(super) fn verdict(report: &Report) -> String {
    match &report.outcome {
        Some((at, Outcome::Won(id))) => {
            let winner = report.attempts.get(id.0 as usize);
            let leaf = winner.map(leaf_label).unwrap_or_default();
            format!("won by {leaf} after {}", millis(*at - report.started))
        }
        Some((at, Outcome::Lost(failure))) => {
            format!("lost after {}: {failure}", millis(*at - report.started))
        }
        None => match &report.waiting {
            Some(reason) => format!("waiting: {reason}"),
            None => "still running".to_owned(),
        },
    }
}

/// A duration as people read it.
pub(super) fn millis(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms >= 10.0 || duration.is_zero() {
        format!("{ms:.0} ms")
    } else {
        format!("{ms:.2} ms")
    }
}

fn leaf_label(attempt: &AttemptReport) -> String {
    format!("{} {}", attempt.id.0, attempt.leaf)
}

fn query_row(query: &QueryReport, start: Duration, end: Duration) -> Row {
    let (tone, note) = match &query.outcome {
        QueryOutcome::Outstanding => (Tone::Running, "no answer".to_owned()),
        QueryOutcome::Answered(0) => (Tone::Query, "no such record".to_owned()),
        QueryOutcome::Answered(1) => (Tone::Query, "1 record".to_owned()),
        QueryOutcome::Answered(count) => (Tone::Query, format!("{count} records")),
        QueryOutcome::Failed(failure) => (Tone::Failed, failure.to_string()),
    };
    Row {
        label: query.question.to_string(),
        tone,
        start,
        middle: None,
        end,
        note,
    }
}

fn tone(outcome: &AttemptOutcome) -> Tone {
    match outcome {
        AttemptOutcome::Running => Tone::Running,
        AttemptOutcome::Succeeded => Tone::Won,
        AttemptOutcome::Failed(_) => Tone::Failed,
        AttemptOutcome::Cancelled(_) => Tone::Cancelled,
    }
}

fn note(attempt: &AttemptReport) -> String {
    let outcome = match &attempt.outcome {
        AttemptOutcome::Running => "running".to_owned(),
        AttemptOutcome::Succeeded => "won".to_owned(),
        AttemptOutcome::Failed(failure) => failure.to_string(),
        AttemptOutcome::Cancelled(CancelReason::AnotherWon) => "cancelled".to_owned(),
        AttemptOutcome::Cancelled(reason) => format!("cancelled: {reason}"),
    };
    format!("{outcome} (started: {})", attempt.reason)
}
