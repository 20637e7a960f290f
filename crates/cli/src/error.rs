//! Why a command did not succeed, in words for the person who called it.
//!
//! Invariant: the first line says what failed; each further line names one attempt or question
//! and its cause.

use crate::output;
use portway::race::{AttemptOutcome, QueryOutcome, Report};
use portway::{Advice, EstablishmentError, Failure};

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The arguments contradict each other.
    Usage(String),
    /// It did not work.
    Failed {
        /// One line.
        message: String,
        /// What led to it, a line each.
        details: Vec<String>,
        /// The exit code.
        code: u8,
    },
    /// Nobody reads standard output any more; that is the reader's choice and no failure.
    OutputClosed,
}

impl CommandError {
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        CommandError::with_code(EXIT_FAILURE, message)
    }

    /// A failure with an exit code of its own.
    pub(crate) fn with_code(code: u8, message: impl Into<String>) -> Self {
        CommandError::with_code_and_details(code, message, Vec::new())
    }

    /// As [`CommandError::with_code`], with a line for each thing that led to it.
    pub(crate) fn with_code_and_details(
        code: u8,
        message: impl Into<String>,
        details: Vec<String>,
    ) -> Self {
        CommandError::Failed {
            message: message.into(),
            details,
            code,
        }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            CommandError::Usage(_) => EXIT_USAGE,
            CommandError::Failed { code, .. } => *code,
            CommandError::OutputClosed => 0,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        CommandError::Usage(message.into())
    }

    /// A failed establishment, with every attempt and every question that failed.
    pub(crate) fn establishment(target: &str, error: &EstablishmentError) -> Self {
        let mut details = error.report().map(causes).unwrap_or_default();
        let cause = match error {
            EstablishmentError::Race { failure, .. } => {
                details.extend(advice(failure));
                failure.to_string()
            }
            other => other.to_string(),
        };
        let message = match cause.contains(target) {
            true => cause,
            false => format!("{target}: {cause}"),
        };
        CommandError::with_code_and_details(EXIT_FAILURE, message, details)
    }

    /// Tells it on standard error.
    pub(crate) fn print(&self) {
        match self {
            CommandError::Usage(message) => {
                output::tell(&format!(
                    "portway: {message}\nTry 'portway help' for what can be said."
                ));
            }
            CommandError::Failed {
                message, details, ..
            } => {
                output::tell(&format!("portway: {message}"));
                for detail in details {
                    output::tell(&format!("  {detail}"));
                }
            }
            CommandError::OutputClosed => {}
        }
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        CommandError::failed(failure.to_string())
    }
}

/// One line for every attempt and question that did not end well.
pub(crate) fn causes(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for query in &report.queries {
        match &query.outcome {
            QueryOutcome::Failed(failure) => lines.push(format!("{}: {failure}", query.question)),
            QueryOutcome::Outstanding => lines.push(format!("{}: no answer yet", query.question)),
            _ => {}
        }
    }
    for attempt in &report.attempts {
        let end = match &attempt.outcome {
            AttemptOutcome::Failed(failure) => failure.to_string(),
            AttemptOutcome::Cancelled(reason) => format!("given up: {reason}"),
            AttemptOutcome::Running => "still running".to_owned(),
            _ => continue,
        };
        lines.push(format!("attempt {} {}: {end}", attempt.id.0, attempt.leaf));
    }
    for exclusion in &report.excluded {
        lines.push(format!("not attempted: {exclusion}"));
    }
    lines
}

fn advice(failure: &Failure) -> Option<String> {
    let advice = match failure.advice {
        Advice::RetryElsewhere => "it may work at another address or over another protocol",
        Advice::BackOff => "it may work later",
        Advice::OnPathChange => "it may work when the network has changed",
        Advice::NeedsCredential => "the peer wants a certificate: see --cert and --key",
        Advice::After(_) | Advice::IfReplayable => "it may work if repeated",
        _ => return None,
    };
    Some(advice.to_owned())
}

const EXIT_FAILURE: u8 = 1;
pub(crate) const EXIT_USAGE: u8 = 2;
