//! What an explanation consists of, as text and as JSON.

use super::tree;
use crate::error::CommandError;
use crate::output::Style;
use crate::waterfall::Waterfall;
use portway::Plan;
use portway::race::{Event, Report};
use portway::{ConnectionInfo, Failure};
use serde_json::{Value, json};

/// Everything that is shown.
pub(super) struct Shown<'a> {
    plan: Option<&'a Plan>,
    report: Option<Report>,
    events: Vec<Event>,
    is_dry_run: bool,
    pub(super) connection: Option<ConnectionInfo>,
    pub(super) failure: Option<Failure>,
}

impl<'a> Shown<'a> {
    pub(super) fn dry_run(plan: &'a Plan, report: Report) -> Self {
        Shown {
            is_dry_run: true,
            ..Shown::live(plan, Some(report), Vec::new())
        }
    }

    pub(super) fn live(plan: &'a Plan, report: Option<Report>, events: Vec<Event>) -> Self {
        Shown {
            plan: Some(plan),
            report,
            events,
            is_dry_run: false,
            connection: None,
            failure: None,
        }
    }

    /// A race that was run again: there is no plan, only what followed from it.
    pub(super) fn replayed(report: Report, events: Vec<Event>) -> Self {
        Shown {
            plan: None,
            report: Some(report),
            events,
            is_dry_run: false,
            connection: None,
            failure: None,
        }
    }

    /// The text below the plan.
    pub(super) fn text(&self, style: Style) -> String {
        let Some(report) = &self.report else {
            return String::new();
        };
        let mut text = format!("\n{}\n", style.bold("candidate tree"));
        text.push_str(&tree::text(report, style));
        match self.is_dry_run {
            true => {
                text.push_str(&format!("\n{}\n", style.bold("not done")));
                NOT_DONE
                    .iter()
                    .for_each(|line| text.push_str(&format!("- {line}\n")));
                text.push_str(&queries(report));
            }
            false => {
                text.push_str(&format!("\n{}\n", style.bold("race")));
                text.push_str(&Waterfall::of(report).text(style));
            }
        }
        text.truncate(text.trim_end().len());
        text
    }

    pub(super) fn value(&self) -> Result<Value, CommandError> {
        let mut value = json!({
            "events": encode(&self.events)?,
            "report": encode(&self.report)?,
        });
        if let Some(plan) = self.plan {
            value["plan"] = encode(plan)?;
        }
        if self.is_dry_run {
            value["not_done"] = json!(NOT_DONE);
        }
        if let Some(info) = &self.connection {
            value["connection"] = connection(info);
        }
        if let Some(failure) = &self.failure {
            value["failure"] = encode(failure)?;
        }
        Ok(value)
    }

    /// One JSON object.
    pub(super) fn json(&self) -> Result<String, CommandError> {
        Ok(format!("{:#}", self.value()?))
    }
}

pub(super) fn encode(value: &impl serde::Serialize) -> Result<Value, CommandError> {
    serde_json::to_value(value)
        .map_err(|error| CommandError::failed(format!("cannot be said in JSON: {error}")))
}

fn connection(info: &ConnectionInfo) -> Value {
    let protection = info.protection.as_ref().map(|protection| {
        let alpn = protection.alpn.as_deref().map(String::from_utf8_lossy);
        json!({
            "version": protection.version.to_string(),
            "cipher_suite": protection.cipher_suite,
            "group": protection.group,
            "alpn": alpn,
            "server_name": protection.server_name,
            "is_resumed": protection.is_resumed,
            "peer_certificates": protection.peer_certificates.len(),
        })
    });
    json!({
        "stack": info.stack.as_ref().map(|stack| stack.as_str()),
        "local": info.local.map(|address| address.to_string()),
        "remote": info.remote.map(|address| address.to_string()),
        "protection": protection,
        "rtt_seconds": info.rtt.map(|rtt| rtt.as_secs_f64()),
    })
}

/// What the resolver said, for a tree that no race follows.
fn queries(report: &Report) -> String {
    use portway::race::QueryOutcome;
    let line = |query: &portway::race::QueryReport| match &query.outcome {
        QueryOutcome::Answered(records) => format!("{}: {records} records\n", query.question),
        QueryOutcome::Failed(failure) => format!("{}: {failure}\n", query.question),
        _ => format!("{}: no answer\n", query.question),
    };
    let lines: String = report.queries.iter().map(line).collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!("\nanswers\n{lines}"),
    }
}

const NOT_DONE: [&str; 3] = [
    "no connection was attempted: which candidate answers, and how fast, is not known",
    "no handshake was made: certificate, TLS version and application protocol are not known",
    "the order is that with all answers there; a race starts before, and failures change it",
];
