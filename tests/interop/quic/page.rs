//! The matrix of interoperability and its page, docs/interop-quic.md, a section for each peer.
//!
//! Invariant: a section of the page is what its tests found, word for word (`PORTWAY_WRITE=1`
//! writes it anew), and the totals at the head are those of the sections.

use std::fmt::Write as _;
use std::sync::Mutex;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/interop-quic.md");

/// What is between the page's title and its totals.
const HEAD: &str = "\
# Interoperability of QUIC

Made by `tests/interop/quic`, which tries every cell and fails when one does not hold as it stands
here. The role is ours. The matrices run over loopback. The scenarios are those of the public QUIC
interop runner in network namespaces, over a link of two TUN devices that delays, drops, corrupts,
translates and rate-limits (`tests/src/link.rs`); most start from its 15 ms, 10 Mbit/s and 25
packets. Sizes are a tenth of the runner's; `PORTWAY_LONG=1` has all of them, and five seeds.
";

/// The sections by their first words, in the order of the page.
const SECTIONS: [&str; 8] = [
    "aioquic",
    "ngtcp2",
    "quiche",
    "scenarios at both ends",
    "scenarios with aioquic at the far end",
    "scenarios with aioquic at the near end",
    "scenarios with ngtcp2 at the far end",
    "scenarios with ngtcp2 at the near end",
];

/// The cells of one section.
pub(super) struct Matrix {
    /// The peer with its version, and what else the heading says.
    heading: String,
    cells: Vec<[String; 4]>,
}

/// What came of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
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
    /// An empty section; the first word of the heading is one of [`SECTIONS`].
    pub(super) fn new(heading: &str) -> Matrix {
        Matrix {
            heading: heading.to_owned(),
            cells: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, what: &str, role: &str, outcome: Outcome, evidence: &str) {
        let word = outcome.word();
        let cell = [what, role, word, evidence].map(str::to_owned);
        self.cells.push(cell);
    }

    pub(super) fn pass(&mut self, what: &str, role: &str, evidence: impl AsRef<str>) {
        self.add(what, role, Outcome::Pass, evidence.as_ref());
    }

    /// In both roles.
    pub(super) fn lacks(&mut self, what: &str, evidence: &str) {
        for role in ["client", "server"] {
            self.add(what, role, Outcome::Lacks, evidence);
        }
    }

    /// Fails unless the page says the same, or writes it.
    pub(super) fn check(&self) {
        static WRITER: Mutex<()> = Mutex::new(());
        let _one_at_a_time = WRITER.lock().expect("no panic while it is held");
        let documented = std::fs::read_to_string(PAGE).expect("docs/interop-quic.md");
        let page = with_section(&documented, &self.heading, &self.section());
        if std::env::var_os("PORTWAY_WRITE").is_some() {
            std::fs::write(PAGE, &page).expect("a page");
            return;
        }
        assert!(
            documented == page,
            "PORTWAY_WRITE=1 writes docs/interop-quic.md anew; this section is now:\n{}",
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

/// The page with this section in its place, and with its totals.
fn with_section(page: &str, heading: &str, section: &str) -> String {
    let place = |heading: &str| {
        let place = SECTIONS.iter().position(|name| heading.starts_with(name));
        place.unwrap_or(SECTIONS.len())
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
    format!("{HEAD}\n{}\n\n{sections}", totals(&sections))
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
    let mut first = Matrix::new("ngtcp2 1");
    first.pass("handshake", "client", "seen");
    let page = with_section("", &first.heading, &first.section());
    let mut second = Matrix::new("aioquic 1");
    second.pass("handshake", "client", "seen");
    second.lacks("ECN", "read");
    let page = with_section(&page, &second.heading, &second.section());
    assert!(page.contains("Of the cells: 2 pass, 0 fail, 2 the peer lacks it, 0 we lack it."));
    assert!(page.find("## aioquic 1") < page.find("## ngtcp2 1"));
    let mut newer = Matrix::new("ngtcp2 2");
    newer.add("handshake", "client", Outcome::Fail, "seen");
    let page = with_section(&page, &newer.heading, &newer.section());
    assert!(page.contains("Of the cells: 1 pass, 1 fail, 2 the peer lacks it, 0 we lack it."));
    assert!(!page.contains("ngtcp2 1"));
    assert_eq!(with_section(&page, &newer.heading, &newer.section()), page);
}
