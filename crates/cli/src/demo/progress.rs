//! A progress bar on standard error, where that is a terminal.

use std::io::{self, IsTerminal, Write};

pub(super) struct Progress {
    total: u64,
    shown_percent: Option<u64>,
    is_shown: bool,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        Progress {
            total: total.max(1),
            shown_percent: None,
            is_shown: io::stderr().is_terminal(),
        }
    }

    /// Shows how much is done, when it looks different from what is shown.
    pub(super) fn show(&mut self, done: u64) {
        let percent = done.min(self.total) * 100 / self.total;
        if !self.is_shown || self.shown_percent == Some(percent) {
            return;
        }
        self.shown_percent = Some(percent);
        let _ = write!(io::stderr().lock(), "\r{}", bar(percent));
    }
}

/// The line that is drawn over goes with the bar.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown_percent.is_some() {
            let _ = writeln!(io::stderr().lock());
        }
    }
}

fn bar(percent: u64) -> String {
    let filled = usize::try_from(percent * CELLS as u64 / 100).unwrap_or(CELLS);
    let empty = CELLS - filled.min(CELLS);
    format!("{}{} {percent:3} %", "█".repeat(filled), "░".repeat(empty))
}

const CELLS: usize = 40;

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn the_bar_is_as_long_at_each_percentage() {
        for percent in 0..=100 {
            assert_eq!(bar(percent).chars().count(), 46, "{percent}");
        }
        assert!(bar(0).starts_with('░'));
        assert!(bar(100).contains("█ 100 %"));
    }
}
