//! The candidate tree as text: path, then protocol, then endpoint, with what became of each.

use crate::output::Style;
use portway::race::{AttemptOutcome, AttemptReport, EndpointNode, PathNode, Report};

/// The tree of a report, a line for each node.
pub(crate) fn text(report: &Report, style: Style) -> String {
    let mut lines = String::new();
    if report.tree.is_empty() {
        lines.push_str("└─ empty: no candidate has an address\n");
    }
    let excluded = !report.excluded.is_empty();
    for (index, path) in report.tree.iter().enumerate() {
        let is_last = index + 1 == report.tree.len() && !excluded;
        write_path(&mut lines, path, is_last, report, style);
    }
    for (index, exclusion) in report.excluded.iter().enumerate() {
        let branch = branch(index + 1 == report.excluded.len());
        lines.push_str(&format!("{branch} out: {exclusion}\n"));
    }
    lines
}

fn write_path(out: &mut String, path: &PathNode, is_last: bool, report: &Report, style: Style) {
    out.push_str(&format!("{} {}\n", branch(is_last), path.path));
    let indent = indent(is_last);
    for (index, protocol) in path.protocols.iter().enumerate() {
        let is_last = index + 1 == path.protocols.len();
        let deeper = format!("{indent}{}", self::indent(is_last));
        out.push_str(&format!(
            "{indent}{} {} ({}): {}\n",
            branch(is_last),
            protocol.stack,
            protocol.group,
            protocol.security
        ));
        for (index, endpoint) in protocol.endpoints.iter().enumerate() {
            let is_last = index + 1 == protocol.endpoints.len();
            let line = leaf(endpoint, report, style);
            out.push_str(&format!("{deeper}{} {line}\n", branch(is_last)));
        }
    }
}

fn leaf(endpoint: &EndpointNode, report: &Report, style: Style) -> String {
    let mut line = endpoint.leaf.remote.to_string();
    if endpoint.target != endpoint.leaf.remote.ip().to_string() {
        line.push_str(&format!(" of {}", endpoint.target));
    }
    if let Some(priority) = endpoint.leaf.svcb_priority {
        line.push_str(&format!(", service record {priority}"));
    }
    let attempt = endpoint
        .attempt
        .and_then(|id| report.attempts.get(id.0 as usize));
    match attempt {
        Some(attempt) => format!("{line}: {}", outcome(attempt, style)),
        None if report.attempts.is_empty() => line,
        None => format!("{line}: {}", style.dim("not needed")),
    }
}

fn outcome(attempt: &AttemptReport, style: Style) -> String {
    match &attempt.outcome {
        AttemptOutcome::Succeeded => style.green("won"),
        AttemptOutcome::Failed(failure) => style.red(&format!("failed: {failure}")),
        AttemptOutcome::Cancelled(reason) => style.yellow(&format!("given up: {reason}")),
        _ => "still running".to_owned(),
    }
}

fn branch(is_last: bool) -> &'static str {
    if is_last { "└─" } else { "├─" }
}

fn indent(is_last: bool) -> &'static str {
    if is_last { "   " } else { "│  " }
}
