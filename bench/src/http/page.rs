//! The section about the HTTP client of docs/performance.md.
//!
//! Invariant: every number comes from this run.

use super::clients::{Ours, Reqwest};
use super::faults::{Case, run_faults};
use super::first::{self, Dead};
use super::idle;
use super::load::{LOADS, OURS, other, run};
use crate::counted::{Counted, this_program};
use crate::pairs::Comparison;
use crate::section::Section;
use crate::table::{heads, row};
use crate::tools;
use crate::verdict::{Gate, Verdict};
use std::fmt::Write;
use std::process::Command;

/// Everything that was found.
#[derive(Default)]
pub struct Found {
    /// Loads against reqwest.
    pub loads: Vec<Comparison>,
    /// Faults.
    pub faults: Vec<Case>,
    /// First requests with all addresses alive.
    pub firsts: Vec<Comparison>,
    /// First requests with the first address dead.
    pub dead: Vec<Dead>,
    /// Bytes of an idle connection, portway's and reqwest's, by name.
    pub idle: Vec<(&'static str, isize, isize)>,
    /// Instructions and system calls.
    pub counted: Counted,
    /// What could not be measured, and why.
    pub missing: Vec<String>,
}

/// Measures so many pairs of everything, or of what has the name `only`: that of a load such as
/// `http2-32`, or `faults`, `first`, `idle`.
pub fn measure(pairs: usize, only: Option<&str>) -> Found {
    let mut found = Found::default();
    let wants = |name: &str| only.is_none_or(|only| only == name);
    if wants("faults") {
        found.faults = run_faults();
    }
    if wants("first") {
        found.firsts = match pairs {
            0 => Vec::new(),
            _ => first::run_alive(pairs),
        };
        found.dead = first::run_dead();
    }
    if wants("idle") {
        for (name, _) in idle::WORK {
            match (idle_of(OURS, name), idle_of("reqwest", name)) {
                (Ok(ours), Ok(theirs)) => found.idle.push((name, ours, theirs)),
                (Err(why), _) | (_, Err(why)) => found.missing.push(format!("{name}: {why}")),
            }
        }
    }
    let tools = ["valgrind", "strace"];
    let absent = tools.iter().find(|tool| !tools::is_present(tool));
    if wants("first") && absent.is_none() {
        for (name, _) in first::ALIVE_ONES {
            for client in [OURS, "reqwest"] {
                let counted = found.counted.count(client, name, FIRSTS_COUNTED);
                found.missing.extend(counted.err());
            }
        }
    }
    for load in LOADS.iter().filter(|load| wants(load.0)) {
        if pairs > 0 {
            found.loads.push(run(load, pairs));
        }
        if absent.is_none() {
            for client in [OURS, other(load.1).0] {
                let counted = found.counted.count(client, load.0, load.3 / 4);
                found.missing.extend(counted.err());
            }
        }
    }
    let absent = absent.map(|tool| format!("counts, since {tool} is not installed"));
    found.missing.extend(absent);
    found
}

/// Bytes of each idle connection of a client, in this process.
pub fn idle_bytes(client: &str, name: &str) -> isize {
    let work = idle::WORK.iter().find(|work| work.0 == name);
    let (_, version) = *work.expect("the name of a work");
    match client {
        OURS => idle::run::<Ours>(version),
        _ => idle::run::<Reqwest>(version),
    }
}

/// The same in a process of its own.
fn idle_of(client: &str, name: &str) -> Result<isize, String> {
    let mut command = Command::new(this_program());
    let output = command.args(["idle", client, name]).output();
    let output = output.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().map_err(|_| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("{client} ended with {}: {}", output.status, errors.trim())
    })
}

/// The section as Markdown.
pub fn section(found: &Found) -> Section {
    let mut section = Section::begin(TITLE, HEAD);
    let out = &mut section.text;
    if !found.loads.is_empty() {
        heads(out, "load | against", "µs");
        for it in &found.loads {
            let load = LOADS.iter().find(|load| load.0 == it.name);
            let (client, gate) = other(load.expect("one of them").1);
            let counts = found.counted.pair(OURS, client, &it.name);
            let name = [it.name.clone(), client.to_owned()];
            row(out, &name, it, Some(gate), counts.as_ref());
        }
    }
    firsts(out, found);
    idle_table(out, &found.idle);
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

fn firsts(out: &mut String, found: &Found) {
    if !found.firsts.is_empty() {
        out.push_str(FIRSTS);
        heads(out, "first request | against", "µs");
        for it in &found.firsts {
            let name = [it.name.clone(), "reqwest".to_owned()];
            let counts = found.counted.pair(OURS, "reqwest", &it.name);
            row(out, &name, it, Some(Gate::AtMost(1.0)), counts.as_ref());
        }
    }
    if !found.dead.is_empty() {
        out.push_str(DEAD);
        for it in &found.dead {
            let later = it.portway - it.alive;
            let verdict = Verdict::from(later <= first::LATER_MAX);
            let theirs = it
                .reqwest
                .map_or(NO_ANSWER.to_owned(), |it| format!("{it:.1}"));
            let _ = writeln!(
                out,
                "| {} | {:.1} | {:.1} | {later:.1} | {theirs} | {verdict} |",
                it.name, it.alive, it.portway,
            );
        }
    }
}

fn idle_table(out: &mut String, found: &[(&str, isize, isize)]) {
    if !found.is_empty() {
        out.push_str(IDLE);
    }
    for (name, ours, theirs) in found {
        let verdict = Verdict::from(ours <= theirs);
        let _ = writeln!(out, "| {name} | {ours} | {theirs} | {verdict} |");
    }
}

/// First requests that are counted at a time.
const FIRSTS_COUNTED: usize = 20;
const TITLE: &str = "## HTTP client";
const HEAD: &str = "
portway's client against reqwest, both as they are by default, on the same server of hyper over TLS
on loopback: GET of 1 KiB, the number is that of requests in flight, `http1` opens as many
connections. For HTTP/3 the server is one of the crate `h3` over quinn, as reqwest's client is,
which its authors let be built by a flag of the compiler only; without that flag the comparison is
with `h3` alone. Processor time of the client's thread for one request; instructions are the
client's, system calls those of both ends.
";
const FAULTS: &str = "
What pools do when something goes wrong, on loopback, as the server saw it:

| case, and what is right | portway | reqwest | verdict |
|---|---|---|---|
";
const FIRSTS: &str = "
The first request of a new client to a name with one address, to the end of its answer; what makes
the client does not count.

";
const DEAD: &str = "
The same with two addresses of which the first is dead: what is sent there is dropped. Medians in
milliseconds. Gate: portway's at most 300 ms later than with all addresses alive.

| what is dead | portway, all alive | portway, one dead | later | reqwest, one dead | verdict |
|---|---:|---:|---:|---:|---|
";
const NO_ANSWER: &str = "no answer in 5 s";
const IDLE: &str = "
Heap of the client for an idle connection in its pool, over TLS and after one request: 200 of
HTTP/1.1 to one host, 200 of HTTP/2 to as many. Gate: no more than in reqwest.

| connections | portway, bytes each | reqwest, bytes each | verdict |
|---|---:|---:|---|
";
