//! How far each transfer has come, drawn for a person who waits.
//!
//! Invariant: it is drawn on a terminal only, and only where the content goes elsewhere.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// The bars of all transfers.
pub(super) struct Progress(Option<MultiProgress>);

impl Progress {
    /// Nothing is drawn where nobody looks, or where it was not wanted.
    pub(super) fn new(is_wanted: bool) -> Self {
        let is_seen = is_wanted && std::io::stderr().is_terminal();
        Progress(is_seen.then(MultiProgress::new))
    }

    /// The bar of a transfer that goes to a file; `length` is what is said to come.
    pub(super) fn bar(&self, url: &str, begin: u64, length: Option<u64>) -> ProgressBar {
        let Some(bars) = &self.0 else {
            return ProgressBar::hidden();
        };
        let bar = bars.add(match length {
            Some(length) => ProgressBar::new(begin.saturating_add(length)),
            None => ProgressBar::no_length(),
        });
        let template = match length {
            Some(_) => KNOWN,
            None => UNKNOWN,
        };
        let style = ProgressStyle::with_template(template).expect("the templates are ours");
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(url.to_owned());
        bar.set_position(begin);
        bar
    }
}

const KNOWN: &str = "{percent:>3}% [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
const UNKNOWN: &str = "{spinner} {bytes} {bytes_per_sec} {elapsed} {msg}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_templates_can_be_drawn() {
        let progress = Progress(Some(MultiProgress::with_draw_target(
            indicatif::ProgressDrawTarget::hidden(),
        )));
        let bar = progress.bar("http://a.test/", 10, Some(90));
        bar.inc(40);
        assert_eq!((bar.position(), bar.length()), (50, Some(100)));
        assert_eq!(progress.bar("http://a.test/", 0, None).length(), None);
    }
}
