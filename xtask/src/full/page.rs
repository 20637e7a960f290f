//! The page that a full run leaves behind.

use super::{Ending, Report, machine};
use crate::repository::Repository;
use std::fmt::Write as _;

/// The page's text.
pub(super) fn render(repository: &Repository, reports: &[Report]) -> String {
    let mut page = String::from(
        "<!-- Written by `cargo xtask full`. -->\n# The latest full run\n\n\
         | what | value |\n|---|---|\n",
    );
    for (what, value) in machine::facts() {
        let _ = writeln!(page, "| {what} | {} |", neutral(repository, &value));
    }
    page.push_str(
        "\n## Steps\n\n| step | result | seconds | tests | detail |\n|---|---|---|---|---|\n",
    );
    for report in reports {
        let (result, detail) = match &report.ending {
            Ending::Passed => ("passed", ""),
            Ending::Failed(why) => ("**failed**", why.as_str()),
            Ending::Skipped(why) => ("skipped", why.as_str()),
        };
        let tests = report
            .tests
            .map_or(String::new(), |[passed, failed, ignored]| {
                format!("{passed} passed, {failed} failed, {ignored} ignored")
            });
        let _ = writeln!(
            page,
            "| {} | {result} | {} | {tests} | {} |",
            report.name,
            report.took.as_secs(),
            neutral(repository, detail)
        );
    }
    for report in reports {
        if let Some(counts) = &report.counts {
            let _ = write!(page, "\n## Counts of {}\n\n{counts}", report.name);
        }
    }
    let skipped: Vec<&String> = reports.iter().flat_map(|r| &r.skipped_tests).collect();
    if !skipped.is_empty() {
        page.push_str("\n## Tests that could not run here\n\n");
        for test in skipped {
            let _ = writeln!(page, "- {}", neutral(repository, test));
        }
    }
    page
}

/// Text for a table's cell, without this machine's folders.
fn neutral(repository: &Repository, text: &str) -> String {
    let root = format!("{}/", repository.root().display());
    text.replace(&root, "")
        .replace('|', "\\|")
        .replace('\n', " ")
}
