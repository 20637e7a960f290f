//! The section about QUIC of docs/performance.md.
//!
//! Invariant: every number comes from this run; a gate is met by the upper end of its interval.

use super::Idle;
use crate::pairs::Comparison;
use crate::tools;
use std::fmt::Write;
use std::path::Path;

/// Everything that was found.
#[derive(Default)]
pub struct Found {
    /// Each work against quinn with its gate, on a pinned thread for each end.
    pub timed: Vec<(Comparison, f64)>,
    /// The same on two workers.
    pub workers: Vec<(Comparison, f64)>,
    /// Two ways of portway's own with its gate.
    pub own: Vec<(Comparison, f64)>,
    /// Idle connections, by implementation.
    pub idle: Vec<(String, Idle)>,
    /// What does not depend on the neighbours.
    pub counted: Vec<Counted>,
    /// What could not be measured, and why.
    pub missing: Vec<String>,
}

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
pub fn write(path: &Path, found: &Found) -> std::io::Result<()> {
    let page = std::fs::read_to_string(path).unwrap_or_default();
    let (before, rest) = page.split_once(TITLE).unwrap_or((&page, ""));
    let after = rest.find("\n## ").map_or("", |at| &rest[at + 1..]);
    let mut out = before.trim_end().to_owned();
    out.push_str("\n\n");
    out.push_str(&section(found));
    if !after.is_empty() {
        out.push('\n');
        out.push_str(after);
    }
    std::fs::write(path, out)
}

/// The section as Markdown.
pub fn section(found: &Found) -> String {
    let mut out = format!("{TITLE}{HEAD}");
    let date = tools::first_line("date", &["-u", "+%F %H:%M UTC"]);
    let revision = tools::first_line("git", &["describe", "--always", "--dirty"]);
    let _ = writeln!(out, "Measured {date} at revision {revision}.\n");
    comparisons(&mut out, "portway µs | quinn µs", &found.timed);
    out.push_str(COUNTS);
    for it in &found.counted {
        let (ours, theirs) = it.instructions;
        let (calls, other_calls) = it.calls;
        let _ = writeln!(
            out,
            "| {} | {ours} | {theirs} | {:.3} | {calls:.2} | {other_calls:.2} |",
            it.name,
            ours as f64 / theirs as f64
        );
    }
    out.push_str(WORKERS);
    comparisons(&mut out, "portway µs | quinn µs", &found.workers);
    out.push_str(OWN);
    comparisons(&mut out, "the first, µs | the second, µs", &found.own);
    out.push_str(IDLE);
    for (name, idle) in &found.idle {
        let each = list(&idle.bytes_each);
        let left = list(&idle.bytes_left);
        let count = idle.connections;
        let most = idle.bytes_each.iter().max();
        let verdict = match name.as_str() {
            "portway" => verdict(most.is_some_and(|most| *most <= IDLE_BYTES_MAX)),
            _ => "–",
        };
        let _ = writeln!(out, "| {name} | {count} | {each} | {left} | {verdict} |");
    }
    for line in &found.missing {
        let _ = writeln!(out, "\nNot measured: {line}.");
    }
    out
}

fn comparisons(out: &mut String, sides: &str, rows: &[(Comparison, f64)]) {
    let _ = writeln!(
        out,
        "| work | {sides} | ratio | 95 % interval | gate | verdict |"
    );
    out.push_str("|---|---:|---:|---:|---|---|---|\n");
    for (it, gate) in rows {
        let verdict = verdict(it.high <= *gate);
        let _ = writeln!(
            out,
            "| {} | {:.2} | {:.2} | {:.3} | {:.3} to {:.3}, {} pairs \
             | at most {gate:.2} | {verdict} |",
            it.name, it.portway, it.other, it.ratio, it.low, it.high, it.pairs
        );
    }
}

fn list(values: &[isize]) -> String {
    let values: Vec<String> = values.iter().map(isize::to_string).collect();
    values.join(", ")
}

fn verdict(is_met: bool) -> &'static str {
    match is_met {
        true => "met",
        false => "**not met**",
    }
}

const IDLE_BYTES_MAX: isize = 24 << 10;
const TITLE: &str = "## QUIC\n";
const HEAD: &str = "
portway's driver against quinn, both over the same quinn-proto with the same options and the same
TLS configuration. Processor time of both ends for one unit of work: a request of 100 bytes and its
answer of 1000 on a fresh bidirectional stream with 1, 32 or 256 in flight, a mebibyte up or down, a
whole handshake with its close, a resumed handshake with a request as early data and another one
behind it, a datagram of 1000 bytes in bursts of 20.

";
const COUNTS: &str = "
The same work with both ends in one thread: user instructions by callgrind, system calls by strace,
for one unit. A connect is the engine's, with QUIC as its only stack, beside the driver's own.

| work | portway | quinn | ratio | calls | quinn's calls |
|---|---:|---:|---:|---:|---:|
";
const WORKERS: &str = "
Both ends on one runtime of two workers, processor time of the whole process.

";
const OWN: &str = "
portway against itself. A server on two threads that share a port, against one on one thread:
processor time of the server's threads for one request, with 8 connections and 32 requests in flight
on each. A connect with QUIC as the engine's only stack, against a socket and a connection of the
driver's own: processor time of the client.

";
const IDLE: &str = "
Heap of a server's idle connections to one port, with 100 bidirectional and 10 unidirectional
streams allowed, each after one request; and what is left when all have closed, which includes what
the endpoint itself has grown by: slots to receive into, 2 MiB at most. Every number stands for one
round of the same process. Gate: at most 24 KiB (24576 bytes) each.

| implementation | connections | bytes each | bytes left | verdict |
|---|---:|---:|---:|---|
";
