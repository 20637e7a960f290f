//! A section of docs/performance.md that a program of its own writes.
//!
//! Invariant: what other programs have written stays as it is.

use crate::tools;
use crate::verdict::RULE;
use std::process::ExitCode;

/// One section.
pub struct Section {
    title: &'static str,
    /// What it says, from its title on.
    pub text: String,
}

impl Section {
    /// The section below `title`, a line such as `## HTTP/3`: what it is about, the rule of its
    /// verdicts, when it was measured and of which revision.
    pub fn begin(title: &'static str, about: &str) -> Section {
        let date = tools::first_line("date", &["-u", "+%F %H:%M UTC"]);
        let revision = tools::first_line("git", &["describe", "--always", "--dirty"]);
        let text = format!("{title}\n{about}\n{RULE}\nMeasured {date} at revision {revision}.\n\n");
        Section { title, text }
    }

    /// Prints the section; with a path, also replaces it in the page there or adds it at the end.
    pub fn give(&self, path: Option<&str>) -> ExitCode {
        print!("{}", self.text);
        let Some(path) = path else {
            return ExitCode::SUCCESS;
        };
        let page = std::fs::read_to_string(path).unwrap_or_default();
        match std::fs::write(path, replaced(&page, self.title, &self.text)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{path}: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

fn replaced(page: &str, title: &str, section: &str) -> String {
    let title = format!("{title}\n");
    let (before, rest) = page.split_once(&title).unwrap_or((page, ""));
    let after = rest.find("\n## ").map_or("", |at| &rest[at + 1..]);
    let parts = [before.trim(), section.trim(), after.trim()];
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("\n\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn a_section_is_added_and_then_replaced_in_its_place() {
        let page = replaced("# Page\n\ntext\n", "## A", "## A\n\none\n");
        assert_eq!(page, "# Page\n\ntext\n\n## A\n\none\n");
        let page = replaced(&page, "## B", "## B\n\ntwo");
        let page = replaced(&page, "## A", "## A\n\nthree\n\n");
        assert_eq!(page, "# Page\n\ntext\n\n## A\n\nthree\n\n## B\n\ntwo\n");
    }
}
