//! A section of docs/performance.md that a program of its own writes.
//!
//! Invariant: what other programs have written stays as it is.

use std::path::Path;

/// Replaces the section that begins with `title`, a line such as `## HTTP/3`, or adds it at the
/// end.
///
/// # Errors
/// The system's error.
pub fn put(path: &Path, title: &str, section: &str) -> std::io::Result<()> {
    let page = std::fs::read_to_string(path).unwrap_or_default();
    std::fs::write(path, replaced(&page, title, section))
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
