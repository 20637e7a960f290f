//! A report as text: the candidate tree, what was left out, and a waterfall.

use super::report::{AttemptOutcome, Report};
use super::waterfall::{Row, Tone, millis, rows, verdict};
use std::fmt;
use std::time::Duration;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.targets.join(", "))?;
        for path in &self.tree {
            writeln!(f, "  {}", path.path)?;
            for protocol in &path.protocols {
                let (stack, group) = (&protocol.stack, &protocol.group);
                writeln!(f, "    {stack} ({group}; {})", protocol.security)?;
                for endpoint in &protocol.endpoints {
                    let state = self.state_of(endpoint.attempt);
                    let remote = endpoint.leaf.remote.to_string();
                    write!(f, "      {remote:<28} {state}")?;
                    if let Some(priority) = endpoint.leaf.svcb_priority {
                        write!(f, ", service {} priority {priority}", endpoint.target)?;
                    }
                    writeln!(f)?;
                }
            }
        }
        if !self.excluded.is_empty() {
            writeln!(f, "left out")?;
            for exclusion in &self.excluded {
                writeln!(f, "  {exclusion}")?;
            }
        }
        self.write_waterfall(f)?;
        write!(f, "{}", verdict(self))
    }
}

impl Report {
    fn state_of(&self, attempt: Option<super::io::AttemptId>) -> &'static str {
        let attempt = attempt.and_then(|id| self.attempts.get(id.0 as usize));
        match attempt.map(|attempt| &attempt.outcome) {
            None => "not started",
            Some(AttemptOutcome::Running) => "running",
            Some(AttemptOutcome::Succeeded) => "won",
            Some(AttemptOutcome::Failed(_)) => "failed",
            Some(AttemptOutcome::Cancelled(_)) => "cancelled",
        }
    }

    fn write_waterfall(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, span) = rows(self);
        if rows.is_empty() {
            return Ok(());
        }
        let widest = rows.iter().map(|row| row.label.chars().count()).max();
        let width = widest.unwrap_or(0).min(LABEL_MAX);
        let scale = millis(span);
        writeln!(f, "{:width$}  0{scale:>1$}", "", COLUMNS - 1)?;
        for row in &rows {
            let label = shortened(&row.label, width);
            writeln!(f, "{label:width$} |{}| {}", bar(row, span), row.note)?;
        }
        Ok(())
    }
}

/// A text that is cut to at most `most` characters, its cut marked.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Questions are dots; attempts are lines, double once the peer answered; the end has a mark.
fn bar(row: &Row, span: Duration) -> String {
    let column = |at: Duration| {
        let share = at.as_secs_f64() / span.as_secs_f64().max(f64::MIN_POSITIVE);
        (share * (COLUMNS - 1) as f64) as usize
    };
    let (start, end) = (column(row.start), column(row.end));
    let answered = row.middle.map_or(usize::MAX, column);
    let is_query = matches!(row.label.split(' ').next(), Some(kind) if kind.ends_with('?'));
    (0..COLUMNS)
        .map(|at| match at {
            _ if at < start || at > end => ' ',
            _ if at == end => match row.tone {
                Tone::Query => '+',
                Tone::Won => '#',
                Tone::Failed => 'x',
                Tone::Cancelled => '/',
                Tone::Running => '>',
            },
            _ if is_query => '.',
            _ if at >= answered => '=',
            _ => '-',
        })
        .collect()
}

const COLUMNS: usize = 48;
const LABEL_MAX: usize = 40;
