//! A matrix of interoperability and its page in docs, a section for each peer.
//!
//! Invariant: a section of the page is what its tests found, word for word (`PORTWAY_WRITE=1`
//! writes it anew), and the totals at the head are those of the sections.

use std::fmt::Write as _;
use std::sync::Mutex;

/// A page of matrices.
pub(crate) struct Page {
    /// Its place in the repository.
    pub(crate) path: &'static str,
    /// What is between the page's start and its totals.
    pub(crate) head: &'static str,
    /// The sections by their first words, in the order of the page.
    pub(crate) sections: &'static [&'static str],
}

/// The cells of one section.
pub(crate) struct Matrix {
    page: &'static Page,
    /// The peer with its version, and what else the heading says.
    heading: String,
    cells: Vec<[String; 4]>,
}

/// What came of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Pass,
    Fail,
    /// The peer cannot do it.
    Lacks,
    /// We cannot do it.
    Missing,
}

impl Outcome {
    const ALL: [Outcome; 4] = [
        Outcome::Pass,
        Outcome::Fail,
        Outcome::Lacks,
        Outcome::Missing,
    ];

    fn word(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::Lacks => "the peer lacks it",
            Outcome::Missing => "we lack it",
        }
    }
}

impl Matrix {
    /// An empty section; the heading starts as one of the page's sections.
    pub(crate) fn new(page: &'static Page, heading: &str) -> Matrix {
        Matrix {
            page,
            heading: heading.to_owned(),
            cells: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, what: &str, role: &str, outcome: Outcome, evidence: &str) {
        let word = outcome.word();
        // Where a test fails, the last of these lines tells how far it came.
        eprintln!("{}: {what} as {role}: {word}", self.heading);
        let cell = [what, role, word, evidence].map(str::to_owned);
        self.cells.push(cell);
    }

    pub(crate) fn pass(&mut self, what: &str, role: &str, evidence: impl AsRef<str>) {
        self.add(what, role, Outcome::Pass, evidence.as_ref());
    }

    /// In both roles.
    pub(crate) fn lacks(&mut self, what: &str, evidence: &str) {
        for role in ["client", "server"] {
            self.lacks_as(what, role, evidence);
        }
    }

    pub(crate) fn lacks_as(&mut self, what: &str, role: &str, evidence: &str) {
        self.add(what, role, Outcome::Lacks, evidence);
    }

    /// Fails unless the page says the same, or writes it.
    pub(crate) fn check(&self) {
        static WRITER: Mutex<()> = Mutex::new(());
        let _one_at_a_time = WRITER.lock().expect("no panic while it is held");
        let path = format!("{}/../{}", env!("CARGO_MANIFEST_DIR"), self.page.path);
        let documented = std::fs::read_to_string(&path).expect("the page");
        let page = self.page.with(&documented, &self.heading, &self.section());
        if std::env::var_os("PORTWAY_WRITE").is_some() {
            std::fs::write(path, &page).expect("a page");
            return;
        }
        assert!(
            documented == page,
            "PORTWAY_WRITE=1 writes {} anew; this section is now:\n{}",
            self.page.path,
            self.section()
        );
    }

    fn section(&self) -> String {
        let mut section = format!(
            "## {}\n\n| what | role | outcome | evidence |\n|---|---|---|---|\n",
            self.heading
        );
        for cell in &self.cells {
            let _ = writeln!(section, "| {} |", cell.join(" | "));
        }
        section
    }
}

impl Page {
    /// The page with this section in its place, and with its totals.
    fn with(&self, page: &str, heading: &str, section: &str) -> String {
        let place = |heading: &str| {
            let place = self
                .sections
                .iter()
                .position(|name| heading.starts_with(name));
            place.unwrap_or(self.sections.len())
        };
        let own = place(heading);
        let mut sections: Vec<(usize, String)> = page
            .split("\n## ")
            .skip(1)
            .map(|text| (place(text), format!("## {}\n", text.trim_end())))
            .filter(|(place, _)| *place != own)
            .collect();
        sections.push((own, section.to_owned()));
        sections.sort_by_key(|(place, _)| *place);
        let sections: Vec<String> = sections.into_iter().map(|(_, text)| text).collect();
        let sections = sections.join("\n");
        format!("{}\n{}\n\n{sections}", self.head, totals(&sections))
    }
}

/// How many rows have each outcome.
fn totals(sections: &str) -> String {
    let count = |outcome: Outcome| {
        let column = format!(" | {} | ", outcome.word());
        let rows = sections.lines().filter(|line| line.starts_with("| "));
        let count = rows.filter(|row| row.contains(&column)).count();
        format!("{count} {}", outcome.word())
    };
    format!("Of the cells: {}.", Outcome::ALL.map(count).join(", "))
}

#[test]
fn a_section_takes_its_place_and_the_totals_follow() {
    const PAGE: Page = Page {
        path: "none",
        head: "# Head\n",
        sections: &["aioquic", "ngtcp2"],
    };
    let mut first = Matrix::new(&PAGE, "ngtcp2 1");
    first.pass("handshake", "client", "seen");
    let page = PAGE.with("", &first.heading, &first.section());
    let mut second = Matrix::new(&PAGE, "aioquic 1");
    second.pass("handshake", "client", "seen");
    second.lacks("ECN", "read");
    let page = PAGE.with(&page, &second.heading, &second.section());
    assert!(page.contains("Of the cells: 2 pass, 0 fail, 2 the peer lacks it, 0 we lack it."));
    assert!(page.find("## aioquic 1") < page.find("## ngtcp2 1"));
    let mut newer = Matrix::new(&PAGE, "ngtcp2 2");
    newer.add("handshake", "client", Outcome::Fail, "seen");
    let page = PAGE.with(&page, &newer.heading, &newer.section());
    assert!(page.contains("Of the cells: 1 pass, 1 fail, 2 the peer lacks it, 0 we lack it."));
    assert!(!page.contains("ngtcp2 1"));
    assert_eq!(PAGE.with(&page, &newer.heading, &newer.section()), page);
}
