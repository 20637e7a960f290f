//! The waterfall for a terminal.

use super::{Kind, Row, Waterfall, milliseconds};
use crate::output::Style;
use std::time::Duration;

impl Waterfall {
    /// One line for each bar, an axis above and the decision below.
    pub(crate) fn text(&self, style: Style) -> String {
        let width = self.rows.iter().map(|row| row.label.chars().count());
        let width = width.max().unwrap_or(0).min(LABEL_CELLS_MAX);
        let mut text = format!(
            "{:width$} 0{:>axis$}\n",
            "",
            milliseconds(self.total),
            axis = BAR_CELLS + 1
        );
        for row in &self.rows {
            let label: String = row.label.chars().take(width).collect();
            let bar = self.bar(row, style);
            text.push_str(&format!("{label:width$} │{bar}│ {}\n", row.note));
        }
        if let Some((at, words)) = &self.decision {
            let words = match words.starts_with("won") {
                true => style.green(words),
                false => style.red(words),
            };
            text.push_str(&format!("{words} after {}\n", milliseconds(*at)));
        }
        if self.rows.iter().any(|row| row.connected.is_some()) {
            text.push_str(&style.dim("▓ asking  ▒ connecting  █ handshake\n"));
        }
        text
    }

    fn bar(&self, row: &Row, style: Style) -> String {
        let cell = |at: Duration| {
            let share = at.as_secs_f64() / self.total.as_secs_f64();
            (share * BAR_CELLS as f64).round() as usize
        };
        let start = cell(row.start).min(BAR_CELLS - 1);
        let end = cell(row.end).clamp(start + 1, BAR_CELLS);
        let second = row.connected.map_or(end, cell).clamp(start, end);
        let first = match row.kind {
            Kind::Answered | Kind::Unanswered => "▓",
            _ => "▒",
        };
        let bar = format!(
            "{}{}",
            first.repeat(second - start),
            "█".repeat(end - second)
        );
        let bar = match row.kind {
            Kind::Won => style.green(&bar),
            Kind::Failed | Kind::Unanswered => style.red(&bar),
            Kind::GivenUp => style.yellow(&bar),
            Kind::Answered | Kind::Running => bar,
        };
        format!("{}{bar}{}", " ".repeat(start), " ".repeat(BAR_CELLS - end))
    }
}

const LABEL_CELLS_MAX: usize = 44;
const BAR_CELLS: usize = 40;
