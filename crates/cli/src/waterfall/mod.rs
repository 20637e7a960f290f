//! The waterfall of a race: one bar for each question and each attempt on a common time axis.
//!
//! Invariant: every bar lies between the start of the race and the moment of its report.

mod svg;
mod text;

use portway::Time;
use portway::race::{
    AttemptOutcome, AttemptReport, Outcome, QueryOutcome, QueryReport, Report, StartReason,
};
use std::time::Duration;

/// A waterfall, ready to be drawn.
#[derive(Clone, Debug)]
pub(crate) struct Waterfall {
    title: String,
    rows: Vec<Row>,
    /// How long the whole took; never zero.
    total: Duration,
    /// When the race was decided, and the words for it.
    decision: Option<(Duration, String)>,
}

/// One bar.
#[derive(Clone, Debug)]
struct Row {
    label: String,
    start: Duration,
    end: Duration,
    /// Where the second phase begins: the transport is connected and handshakes go on.
    connected: Option<Duration>,
    kind: Kind,
    note: String,
}

/// What a bar stands for and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Answered,
    Unanswered,
    Won,
    Failed,
    GivenUp,
    Running,
}

impl Waterfall {
    pub(crate) fn of(report: &Report) -> Self {
        let since = |time: Time| time.saturating_since(report.started);
        let queries = report.queries.iter().map(|query| query_row(report, query));
        let attempts = report
            .attempts
            .iter()
            .map(|attempt| attempt_row(report, attempt));
        let rows: Vec<Row> = queries.chain(attempts).collect();
        let ends = rows.iter().map(|row| row.end);
        let total = ends.chain([since(report.at)]).max().unwrap_or_default();
        Waterfall {
            title: report.targets.join(", "),
            rows,
            total: total.max(SHORTEST),
            decision: report.outcome.as_ref().map(|(at, outcome)| {
                let words = match outcome {
                    Outcome::Won(id) => format!("won by attempt {}", id.0),
                    Outcome::Lost(failure) => format!("lost: {failure}"),
                    _ => "decided".to_owned(),
                };
                (since(*at), words)
            }),
        }
    }
}

fn query_row(report: &Report, query: &QueryReport) -> Row {
    let start = query.asked.saturating_since(report.started);
    let end = query
        .ended
        .unwrap_or(report.at)
        .saturating_since(report.started);
    let took = milliseconds(end.saturating_sub(start));
    let (kind, note) = match &query.outcome {
        QueryOutcome::Answered(1) => (Kind::Answered, format!("{took}, 1 record")),
        QueryOutcome::Answered(records) => (Kind::Answered, format!("{took}, {records} records")),
        QueryOutcome::Failed(failure) => (Kind::Unanswered, format!("{took}, {failure}")),
        _ => (Kind::Running, "no answer yet".to_owned()),
    };
    Row {
        label: query.question.to_string(),
        start,
        end: end.max(start),
        connected: None,
        kind,
        note,
    }
}

fn attempt_row(report: &Report, attempt: &AttemptReport) -> Row {
    let since = |time: Time| time.saturating_since(report.started);
    let start = since(attempt.started);
    let end = since(attempt.ended.unwrap_or(report.at)).max(start);
    let took = milliseconds(end.saturating_sub(start));
    let (kind, outcome) = match &attempt.outcome {
        AttemptOutcome::Succeeded => (Kind::Won, "won".to_owned()),
        AttemptOutcome::Failed(failure) => (Kind::Failed, failure.to_string()),
        AttemptOutcome::Cancelled(reason) => (Kind::GivenUp, format!("given up: {reason}")),
        _ => (Kind::Running, "still running".to_owned()),
    };
    let why = match attempt.reason {
        StartReason::NothingRunning => "",
        StartReason::DelayPassed => ", started after the attempt delay",
        StartReason::AttemptFailed => ", started after a failure",
        _ => "",
    };
    Row {
        label: format!(
            "{} {} {}",
            attempt.id.0, attempt.leaf.stack, attempt.leaf.remote
        ),
        start,
        end,
        connected: attempt.connected.map(since),
        kind,
        note: format!("{took}, {outcome}{why}"),
    }
}

/// A length of time in words of a sensible precision.
fn milliseconds(duration: Duration) -> String {
    let milliseconds = duration.as_secs_f64() * 1e3;
    match milliseconds {
        0.0..1.0 => format!("{milliseconds:.2} ms"),
        1.0..100.0 => format!("{milliseconds:.1} ms"),
        _ => format!("{milliseconds:.0} ms"),
    }
}

const SHORTEST: Duration = Duration::from_micros(1);

#[cfg(test)]
mod tests;
