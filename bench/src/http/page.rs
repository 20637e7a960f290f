//! The section about the HTTP client of docs/performance.md.
//!
//! Invariant: every number comes from this run.

use super::faults::{Case, run_faults};
use super::load::{CLIENTS, LOADS, run};
use crate::counted::Counted;
use crate::pairs::Comparison;
use crate::section::Section;
use crate::table::{heads, row};
use crate::tools;
use crate::verdict::{Gate, Verdict};
use std::fmt::Write;

/// Everything that was found.
#[derive(Default)]
pub struct Found {
    /// Loads against reqwest.
    pub loads: Vec<Comparison>,
    /// Faults.
    pub faults: Vec<Case>,
    /// Instructions and system calls.
    pub counted: Counted,
    /// What could not be measured, and why.
    pub missing: Vec<String>,
}

/// Measures so many pairs of everything, or of what has the name `only`: that of a load such as
/// `http2-32`, or `faults`.
pub fn measure(pairs: usize, only: Option<&str>) -> Found {
    let mut found = Found::default();
    let wants = |name: &str| only.is_none_or(|only| only == name);
    if wants("faults") {
        found.faults = run_faults();
    }
    let tools = ["valgrind", "strace"];
    let absent = tools.iter().find(|tool| !tools::is_present(tool));
    for load in LOADS.iter().filter(|load| wants(load.0)) {
        if pairs > 0 {
            found.loads.push(run(load, pairs));
        }
        if absent.is_none() {
            for client in CLIENTS {
                let counted = found.counted.count(client, load.0, load.3 / 4);
                found.missing.extend(counted.err());
            }
        }
    }
    let absent = absent.map(|tool| format!("counts, since {tool} is not installed"));
    found.missing.extend(absent);
    found.missing.push(NOT_YET.to_owned());
    found
}

/// The section as Markdown.
pub fn section(found: &Found) -> Section {
    let mut section = Section::begin(TITLE, HEAD);
    let out = &mut section.text;
    if !found.loads.is_empty() {
        heads(out, "load | against", "µs");
        for it in &found.loads {
            let counts = found.counted.pair(CLIENTS[0], CLIENTS[1], &it.name);
            let name = [it.name.clone(), CLIENTS[1].to_owned()];
            row(out, &name, it, Some(Gate::AtMost(1.0)), counts.as_ref());
        }
    }
    if !found.faults.is_empty() {
        out.push_str(FAULTS);
        for case in &found.faults {
            let (ours, is_right) = &case.portway;
            let (theirs, other_is_right) = &case.reqwest;
            let other = match other_is_right {
                true => "",
                false => "**not so:** ",
            };
            let verdict = Verdict::from(*is_right);
            let _ = writeln!(
                out,
                "| {} | {ours} | {other}{theirs} | {verdict} |",
                case.name
            );
        }
    }
    for line in &found.missing {
        let _ = writeln!(out, "\nNot measured: {line}.");
    }
    section
}

const TITLE: &str = "## HTTP client";
const HEAD: &str = "
portway's client against reqwest, both as they are by default, on the same server of hyper over TLS
on loopback: GET of 1 KiB, the number is that of requests in flight, `http1` opens as many
connections. Processor time of the client's thread for one request; instructions are the client's,
system calls those of both ends.
";
const FAULTS: &str = "
What pools do when something goes wrong, on loopback, as the server saw it:

| case, and what is right | portway | reqwest | verdict |
|---|---|---|---|
";
const NOT_YET: &str = "\
    HTTP/3 against reqwest's, which is that of the crate `h3` above, an idle connection's memory, \
    and a first request with a dead first address";
