//! Rows against how often a specification says MUST or SHOULD.
//!
//! Invariant: a document that states its counts has a row for each of them, at most one row in ten
//! has a reason in place of a test, and the counts are those of the text wherever that is at hand.

use super::rows::Document;
use crate::repository::Repository;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Checks one document. One that states no counts is not compared.
pub(super) fn check(file: &str, document: &Document, repository: &Repository) -> Vec<String> {
    let mut findings = check_rows(document);
    match text_of(document, repository) {
        Ok(Some(text)) => findings.extend(check_text(document, &text)),
        Ok(None) => {}
        Err(finding) => findings.push(finding),
    }
    let findings = findings.into_iter();
    findings
        .map(|finding| format!("{file}: {finding}"))
        .collect()
}

fn check_rows(document: &Document) -> Vec<String> {
    if document.sections.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut rules: BTreeMap<&str, u32> = BTreeMap::new();
    for row in &document.rows {
        *rules.entry(section_of(&row.id)).or_default() += row.rules;
    }
    for (section, count) in &document.sections {
        let rules = rules.get(section.as_str()).copied().unwrap_or(0);
        if rules < *count {
            findings.push(format!(
                "§{section} has {count} rules, and rows for {rules}"
            ));
        }
    }
    for (section, reason) in &document.unbinding {
        if reason.trim().is_empty() {
            findings.push(format!("§{section}: does not say why it binds nobody"));
        }
    }
    let reasons = document
        .rows
        .iter()
        .filter(|row| row.tests.is_empty())
        .count();
    if reasons * 10 > document.rows.len() {
        findings.push(format!(
            "{reasons} of {} rows have a reason and no test, more than one in ten",
            document.rows.len()
        ));
    }
    findings
}

/// Compares the stated counts with those of the text.
fn check_text(document: &Document, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut counted = count(text);
    for section in document.unbinding.keys() {
        if counted.remove(section).is_none() {
            findings.push(format!("§{section} says neither MUST nor SHOULD"));
        }
    }
    for (section, count) in &counted {
        let stated = document.sections.get(section).copied().unwrap_or(0);
        if stated != *count {
            findings.push(format!(
                "§{section} has {count} rules in the text, not {stated}"
            ));
        }
    }
    for section in document.sections.keys() {
        if !counted.contains_key(section) {
            findings.push(format!("§{section} has no rules in the text"));
        }
    }
    findings
}

/// The text of the specification, from the directory that `PORTWAY_SHARED` names or the one called
/// `shared` beside the repository. Without such a directory there is none.
fn text_of(document: &Document, repository: &Repository) -> Result<Option<String>, String> {
    let shared = match std::env::var_os("PORTWAY_SHARED") {
        Some(path) => PathBuf::from(path),
        None => repository.root().join("../shared"),
    };
    let specifications = shared.join("specs");
    if document.text.is_empty() || !specifications.is_dir() {
        return Ok(None);
    }
    let text = std::fs::read(specifications.join(&document.text));
    match text {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) => Err(format!("{}: {error}", document.text)),
    }
}

/// How often each section says one of the words that bind.
fn count(text: &str) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    let mut section = None;
    for line in text.lines() {
        if let Some(heading) = heading(line) {
            section = Some(heading);
        }
        let Some(section) = section else { continue };
        // The name of a code, such as HTTP_1_1_REQUIRED, is one word and binds nobody.
        let words =
            line.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        let quoted: u32 = KEYWORDS
            .iter()
            .map(|word| line.matches(&format!("\"{word}")).count() as u32)
            .sum();
        let said = words.filter(|word| KEYWORDS.contains(word)).count() as u32;
        if said > quoted {
            *counts.entry(section.to_owned()).or_default() += said - quoted;
        }
    }
    counts
}

/// The number of the section that a line begins, as in `4.1.2.  String Literals`. Lines of a
/// table of contents are indented.
fn heading(line: &str) -> Option<&str> {
    let line = line.strip_prefix("Appendix ").unwrap_or(line);
    let (number, title) = line.split_once(' ')?;
    let number = number.strip_suffix('.')?;
    let mut parts = number.split('.');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let first = parts.next()?;
    let is_appendix = first.len() == 1 && first.bytes().all(|b| b.is_ascii_uppercase());
    let is_heading = (is_appendix || is_number(first)) && parts.all(is_number);
    (is_heading && !title.trim().is_empty()).then_some(number)
}

/// `4.1.2` of `RFC 9204 §4.1.2 a`.
fn section_of(id: &str) -> &str {
    let behind = id.split_once('§').map_or("", |(_, behind)| behind);
    behind.split(' ').next().unwrap_or(behind)
}

/// Each binds with NOT behind it as well.
const KEYWORDS: [&str; 5] = ["MUST", "SHOULD", "SHALL", "REQUIRED", "RECOMMENDED"];

#[cfg(test)]
mod tests {
    use super::{check_rows, check_text, count, heading};
    use crate::trace::rows::{Document, Row, Status};

    const TEXT: &str = "\
Contents
   2.  It MUST be counted below
1.1.  Words
   The words \"MUST\", \"MUST NOT\" and \"SHOULD\" are explained.
2.  First
   It MUST do this, and SHOULD NOT
   do that.
2.10.  Second
   It is RECOMMENDED; MUSTARD is not.
   HTTP_1_1_REQUIRED is a name.
Appendix A.  More
   Even this MUST be counted.
";

    fn row(id: &str, tests: &[&str]) -> Row {
        Row {
            id: id.to_owned(),
            capability: "does a thing".to_owned(),
            status: Status::Works,
            tests: tests.iter().map(|test| (*test).to_owned()).collect(),
            missing: String::new(),
            rules: 1,
        }
    }

    fn document(sections: &[(&str, u32)], rows: Vec<Row>) -> Document {
        Document {
            document: "RFC 1".to_owned(),
            title: "Title".to_owned(),
            text: String::new(),
            sections: sections
                .iter()
                .map(|(section, count)| ((*section).to_owned(), *count))
                .collect(),
            unbinding: [("A".to_owned(), "an example".to_owned())].into(),
            rows,
        }
    }

    #[test]
    fn words_are_counted_by_section() {
        let counts: Vec<(String, u32)> = count(TEXT).into_iter().collect();
        let expected = [("2", 2), ("2.10", 1), ("A", 1)];
        assert_eq!(
            counts,
            expected.map(|(section, count)| (section.to_owned(), count))
        );
    }

    #[test]
    fn headings_are_not_indented_and_numbered() {
        assert_eq!(heading("4.1.2.  String Literals"), Some("4.1.2"));
        assert_eq!(heading("Appendix B.  Examples"), Some("B"));
        assert_eq!(heading("B.1.  Example"), Some("B.1"));
        for line in [
            "   4.1.  Indented",
            "2020. A year.x",
            "Note. That",
            "4.1 no dot",
            "4.",
        ] {
            assert!(
                heading(line).is_none_or(|number| number == "2020"),
                "{line}"
            );
        }
    }

    #[test]
    fn counts_are_those_of_the_text() {
        let stated = [("2", 2), ("2.10", 1)];
        assert!(check_text(&document(&stated, Vec::new()), TEXT).is_empty());
        let wrong = [("2", 1), ("2.10", 1)];
        assert_eq!(check_text(&document(&wrong, Vec::new()), TEXT).len(), 1);
        assert_eq!(
            check_text(&document(&stated[..1], Vec::new()), TEXT).len(),
            1
        );
        let more = [("2", 2), ("2.10", 1), ("3", 1)];
        assert_eq!(check_text(&document(&more, Vec::new()), TEXT).len(), 1);
    }

    #[test]
    fn every_rule_has_a_row() {
        let rows = || vec![row("RFC 1 §2 a", &["a"]), row("RFC 1 §2.10", &["a"])];
        assert!(check_rows(&document(&[("2", 1), ("2.10", 1)], rows())).is_empty());
        assert_eq!(check_rows(&document(&[("2", 2)], rows())).len(), 1);
        let mut of_two = rows();
        of_two[0].rules = 2;
        assert!(check_rows(&document(&[("2", 2)], of_two)).is_empty());
    }

    #[test]
    fn one_row_in_ten_may_have_a_reason() {
        let rows = |count| {
            let mut rows: Vec<Row> = (0..count).map(|_| row("RFC 1 §2", &["a"])).collect();
            rows[0].tests.clear();
            rows
        };
        assert!(check_rows(&document(&[("2", 1)], rows(10))).is_empty());
        assert_eq!(check_rows(&document(&[("2", 1)], rows(9))).len(), 1);
        assert!(
            check_rows(&document(&[], rows(1))).is_empty(),
            "states no counts"
        );
    }
}
