//! The section about the HTTP server of docs/performance.md.
//!
//! Invariant: every number comes from this run.

use super::run::Row;
use crate::section::Section;
use crate::table::{heads, row};
use std::fmt::Write;

/// The section as Markdown.
pub fn section(rows: &[Row], missing: &[String]) -> Section {
    let mut section = Section::begin(TITLE, HEAD);
    let out = &mut section.text;
    heads(out, "load | against", "µs");
    for it in rows {
        let Some(measured) = &it.found else { continue };
        let name = [it.name.clone(), it.other.to_owned()];
        row(out, &name, measured, Some(it.gate), it.counts.as_ref());
    }
    for line in missing {
        let _ = writeln!(out, "\nNot measured: {line}.");
    }
    section
}

const TITLE: &str = "## HTTP server";
const HEAD: &str = "
portway's server, axum's own on hyper, and one on h3 and h3-quinn, each a process with the same
axum router that answers GET with 1 KiB, made ready by `with_state(())`, which axum calls by itself:
HTTP/1.1 and 2 in cleartext, the number is that of requests in flight. By itself a server has a
runtime of one thread and a client on another one; with `two` portway's has two shards, the others a
runtime of two workers, and there are clients on two threads
([decision 0017](decisions/0017-two-clients-for-two-shards-of-http.md)). Processor time,
instructions and system calls of the server's process for one request; the clients are the same for
both.
";
