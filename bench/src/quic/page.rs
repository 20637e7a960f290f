//! The section about QUIC of docs/performance.md.
//!
//! Invariant: every number comes from this run; a gate is met by the upper end of its interval.

use crate::pairs::Comparison;
use crate::tools;
use std::fmt::Write;
use std::path::Path;

/// What was counted for one kind of work: portway's and quinn's, a unit.
pub struct Counted {
    /// The work.
    pub name: &'static str,
    /// User instructions by callgrind.
    pub instructions: (u64, u64),
    /// System calls by strace.
    pub calls: (f64, f64),
}

/// Replaces the section in the page at `path`, or adds it.
///
/// # Errors
/// The system's error.
pub fn write(
    path: &Path,
    timed: &[(Comparison, f64)],
    counted: &[Counted],
    missing: &[String],
) -> std::io::Result<()> {
    let page = std::fs::read_to_string(path).unwrap_or_default();
    let (before, rest) = page.split_once(TITLE).unwrap_or((&page, ""));
    let after = rest.find("\n## ").map_or("", |at| &rest[at + 1..]);
    let mut out = before.trim_end().to_owned();
    out.push_str("\n\n");
    out.push_str(&section(timed, counted, missing));
    if !after.is_empty() {
        out.push('\n');
        out.push_str(after);
    }
    std::fs::write(path, out)
}

/// The section as Markdown.
pub fn section(timed: &[(Comparison, f64)], counted: &[Counted], missing: &[String]) -> String {
    let mut out = format!("{TITLE}{HEAD}");
    let date = tools::first_line("date", &["-u", "+%F %H:%M UTC"]);
    let revision = tools::first_line("git", &["describe", "--always", "--dirty"]);
    let _ = writeln!(out, "Measured {date} at revision {revision}.\n");
    out.push_str("| work | portway µs | quinn µs | ratio | 95 % interval | gate | verdict |\n");
    out.push_str("|---|---:|---:|---:|---|---|---|\n");
    for (it, gate) in timed {
        let verdict = if it.high <= *gate {
            "met"
        } else {
            "**not met**"
        };
        let _ = writeln!(
            out,
            "| {} | {:.2} | {:.2} | {:.3} | {:.3} to {:.3}, {} pairs \
             | at most {gate:.2} | {verdict} |",
            it.name, it.portway, it.other, it.ratio, it.low, it.high, it.pairs
        );
    }
    out.push_str(COUNTS);
    for it in counted {
        let (ours, theirs) = it.instructions;
        let (calls, other_calls) = it.calls;
        let _ = writeln!(
            out,
            "| {} | {ours} | {theirs} | {:.3} | {calls:.2} | {other_calls:.2} |",
            it.name,
            ours as f64 / theirs as f64
        );
    }
    for line in missing {
        let _ = writeln!(out, "\nNot measured: {line}.");
    }
    out
}

const TITLE: &str = "## QUIC\n";
const HEAD: &str = "
portway's driver against quinn, both over the same quinn-proto with the same options and the same
TLS configuration. Processor time of both ends for one unit of work: a request of 100 bytes and its
answer of 1000 on a fresh bidirectional stream with 1, 32 or 256 in flight, a mebibyte up or down, a
whole handshake with its close, a datagram of 1000 bytes in bursts of 20.

";
const COUNTS: &str = "
The same work with both ends in one thread: user instructions by callgrind, system calls by strace,
for one unit.

| work | portway | quinn | ratio | calls | quinn's calls |
|---|---:|---:|---:|---:|---:|
";
