//! The page that is rendered from what is kept of every step.
//!
//! Invariant: a row says of which commit it is, and a step that never ran says that.

use super::record::{Ended, Record, Row};
use std::fmt::Write as _;

const HEAD: &str = "\
<!-- Written by `cargo xtask full` from the data beside it. -->
# The latest full run

Every step runs by itself (`cargo xtask full STEP...`), so that each row has its own date, in UTC,
and its own commit. The machine is that of the latest step.

| what | value |
|---|---|
";

const MUTANTS_HEAD: &str = "
## Counts of mutants

Each that survived has a reason in `tests/mutants.toml` where the step passed.

| mutants of | all | caught | by time | do not compile | survived | in a build of their own |
|---|---|---|---|---|---|---|
";

/// The page's text; `steps` are all that there are, in their order.
pub(super) fn render(record: &Record, steps: &[String]) -> String {
    let mut page = HEAD.to_owned();
    for fact in &record.machine {
        let _ = writeln!(page, "| {} | {} |", fact.what, cell(&fact.value));
    }
    page.push_str(
        "\n## Steps\n\n| step | result | date | commit | seconds | tests | detail |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for name in steps {
        let _ = match record.row(name) {
            Some(row) => writeln!(page, "{}", line(row)),
            None => writeln!(page, "| {name} | not run yet | | | | | |"),
        };
    }
    let counted: Vec<&Row> = rows(record, |row| row.mutants.is_some());
    if !counted.is_empty() {
        page.push_str(MUTANTS_HEAD);
    }
    for row in counted {
        let target = row.name.strip_prefix("mutants ").unwrap_or(&row.name);
        let cells = row.mutants.iter().flat_map(|counts| counts.columns());
        let cells: Vec<String> = cells.map(|count| count.to_string()).collect();
        let _ = writeln!(page, "| {target} | {} |", cells.join(" | "));
    }
    let unable = rows(record, |row| !row.unable.is_empty());
    if !unable.is_empty() {
        page.push_str("\n## Tests that could not run\n\n");
    }
    for row in unable {
        for test in &row.unable {
            let _ = writeln!(page, "- {}: {}", row.name, cell(test));
        }
    }
    page
}

fn rows(record: &Record, is_wanted: impl Fn(&Row) -> bool) -> Vec<&Row> {
    record.rows.iter().filter(|row| is_wanted(row)).collect()
}

fn line(row: &Row) -> String {
    let result = match row.result {
        Ended::Passed => "passed",
        Ended::Failed => "**failed**",
        Ended::Skipped => "skipped",
    };
    let tests = row.tests.map_or(String::new(), |tests| {
        let (passed, failed, ignored) = (tests.passed, tests.failed, tests.ignored);
        format!("{passed} passed, {failed} failed, {ignored} ignored")
    });
    let (name, date, commit) = (&row.name, &row.date, &row.commit);
    let (seconds, detail) = (row.seconds, cell(&row.detail));
    format!("| {name} | {result} | {date} | {commit} | {seconds} | {tests} | {detail} |")
}

/// Text for a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_never_ran_says_so() {
        let page = render(&Record::default(), &["fmt".to_owned()]);
        assert!(
            page.ends_with("| fmt | not run yet | | | | | |\n"),
            "{page}"
        );
    }
}
