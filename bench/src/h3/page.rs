//! The section about HTTP/3 of docs/performance.md.
//!
//! Invariant: every number comes from this run, and every gate of issue 4 is judged by the rule of
//! all pages.

use super::found::Found;
use super::rounds::{Rounds, STACKS};
use super::web::Load;
use crate::page::Count;
use crate::pairs::Comparison;
use crate::quic::Idle;
use crate::section::Section;
use crate::table::{heads, or_dash, ratio_cells, row};
use crate::verdict::{Gate, Verdict, judge};
use std::fmt::Write;

/// The section as Markdown. Parts that were not measured are left out.
pub fn section(found: &Found) -> Section {
    let mut section = Section::begin(TITLE, HEAD);
    let out = &mut section.text;
    loads(out, PINNED, Where::Pinned, &found.pinned, found);
    loads(out, WORKERS, Where::Workers, &found.workers, found);
    loads(out, LINK, Where::Link, &found.link, found);
    beside(out, &found.quiche);
    bulk(out, found);
    ends(out, &found.ends);
    if let Some((over_http, raw)) = &found.idle {
        idle(out, over_http, raw);
    }
    qpack(out, found);
    for line in &found.missing {
        let _ = writeln!(out, "\nNot measured: {line}.");
    }
    section
}

/// Where loads were measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Pinned,
    Workers,
    Link,
}

fn loads(out: &mut String, head: &str, place: Where, rounds: &[Rounds], found: &Found) {
    if rounds.is_empty() {
        return;
    }
    out.push_str(head);
    heads(out, "load | against", "µs");
    for it in rounds {
        for other in 1..STACKS.len() {
            let counts = match place {
                Where::Pinned => found
                    .counted
                    .pair(STACKS[0], STACKS[other], &it.load.name()),
                // Those are of one thread, without a link.
                Where::Workers | Where::Link => None,
            };
            let gate = processor_gate(place, it.load, other);
            let name = [it.load.name(), STACKS[other].to_owned()];
            row(out, &name, &it.processor(other), gate, counts.as_ref());
        }
    }
    out.push_str("\nRequests a second:\n\n");
    out.push_str("| load | against | portway | the other | ratio | 95 % interval | gate ");
    out.push_str("| verdict |\n|---|---|---:|---:|---:|---|---|---|\n");
    for it in rounds {
        for (other, stack) in STACKS.iter().enumerate().skip(1) {
            let found = it.rate(other);
            let gate = rate_gate(place, it.load, other);
            let verdict = gate.map(|gate| judge(gate, &found, None));
            let _ = writeln!(
                out,
                "| {} | {stack} | {:.0} | {:.0} | {} | {} | {} |",
                it.load.name(),
                found.portway,
                found.other,
                ratio_cells(&found),
                or_dash(gate),
                or_dash(verdict),
            );
        }
    }
}

/// The gates of issue 4 for processor time.
fn processor_gate(place: Where, load: Load, other: usize) -> Option<Gate> {
    let is_raw = STACKS[other] == "raw QUIC";
    match load.in_flight {
        _ if is_raw && has_order_only(place, load) => None,
        1 if is_raw => Some(Gate::AtMost(1.15)),
        32 if is_raw => Some(Gate::AtMost(1.5)),
        _ if is_raw => Some(Gate::AtMost(1.6)),
        1 => None,
        _ if has_order_only(place, load) => Some(Gate::AtMost(1.0)),
        _ => Some(Gate::AtMost(0.65)),
    }
}

/// The gates of issue 4 for requests a second.
fn rate_gate(place: Where, load: Load, other: usize) -> Option<Gate> {
    match STACKS[other] {
        "raw QUIC" => None,
        _ if load.in_flight == 1 => None,
        _ if has_order_only(place, load) => Some(Gate::AtLeast(1.0)),
        "h3" => Some(Gate::AtLeast(1.5)),
        _ => Some(Gate::AtLeast(1.3)),
    }
}

/// Where the gate is that the stacks come in the same order as without fields on loopback.
fn has_order_only(place: Where, load: Load) -> bool {
    place != Where::Pinned || load.fields > 0
}

/// What has no gate.
fn beside(out: &mut String, rows: &[[Comparison; 2]]) {
    if rows.is_empty() {
        return;
    }
    out.push_str(BESIDE);
    for it in rows.as_flattened() {
        let _ = writeln!(
            out,
            "| {} | {} | {:.2} | {:.2} | {} |",
            it.name,
            it.unit,
            it.portway,
            it.other,
            ratio_cells(it)
        );
    }
}

fn bulk(out: &mut String, found: &Found) {
    if found.bulk.is_empty() && found.sharded.is_none() {
        return;
    }
    out.push_str(BULK);
    heads(out, "work | unit", "");
    for (bulk, it) in &found.bulk {
        let counts = found.counted.pair(STACKS[0], STACKS[1], bulk.name);
        let name = [it.name.clone(), it.unit.clone()];
        row(out, &name, it, Some(bulk.gate), counts.as_ref());
    }
    if let Some(it) = &found.sharded {
        let name = [it.name.clone(), "CPU µs a request".to_owned()];
        row(out, &name, it, Some(Gate::AtMost(1.1)), None);
    }
}

fn ends(out: &mut String, ends: &[Count]) {
    if ends.is_empty() {
        return;
    }
    out.push_str(ENDS);
    for count in ends {
        let [now, recorded, change] = count.cells();
        let _ = writeln!(out, "| {} | {now} | {recorded} | {change} |", count.name);
    }
}

fn idle(out: &mut String, over_http: &Idle, raw: &Idle) {
    out.push_str(IDLE);
    let most = |idle: &Idle| idle.bytes_each.iter().copied().max().unwrap_or(isize::MAX);
    let least = raw.bytes_each.iter().copied().min().unwrap_or(0);
    let above = most(over_http) - least;
    let verdict = Verdict::from(above <= IDLE_BYTES_MAX);
    let _ = writeln!(
        out,
        "| {} | {} | {} | {above} | at most {IDLE_BYTES_MAX} | {verdict} |",
        over_http.connections,
        most(over_http),
        least,
    );
}

fn qpack(out: &mut String, found: &Found) {
    if found.qpack.is_empty() {
        return;
    }
    out.push_str(QPACK);
    for it in &found.qpack {
        let gate = match it.list.as_str() {
            "fb-req-hq" => 24,
            _ => 16,
        };
        let verdict = Verdict::from(it.blocked <= gate * 100);
        let percent = |share: u32| f64::from(share) / 100.0;
        let _ = writeln!(
            out,
            "| {} | {:.2} % | {:.2} % | at most {gate} % | {verdict} |",
            it.list,
            percent(it.blocked),
            percent(it.unblocked)
        );
    }
}

const IDLE_BYTES_MAX: isize = 6 << 10;
const TITLE: &str = "## HTTP/3";
const HEAD: &str = "
portway's HTTP/3 against the raw driver below it, against the crate `h3` over quinn, and against
hyper's HTTP/2 over TLS: the same certificate, TLS library and suites, windows (1.25 MB a stream,
16 MiB a connection), CUBIC, and 1024 streams. A request is a GET on one connection, each server
reads it to its end in a task of its own and answers with 1 KiB; `get` has no fields but those of
HTTP itself, `fields` has twenty of a browser, the number is that of requests in flight. The raw
driver sends 100 bytes on a fresh stream and gets the same 1 KiB. All stacks have their turn in each
round. Instructions and system calls are of both ends in one thread, for one request. With fields,
on two workers and over the link the gate is the order of the stacks: less processor time and more
requests a second than h3 and HTTP/2.
";
const PINNED: &str = "
Client and server with a thread, a current-thread runtime and a processor each; processor time of
both ends for one request:

";
const WORKERS: &str = "
Both ends on one runtime of two workers; processor time of the process for one request:

";
const LINK: &str = "
Over a link of 50 ms there and back that drops one packet in a hundred each way, the same ones for
all stacks in a round and others in the next, with no limit of its rate: TUN devices between two
network namespaces, so that the kernel's TCP and our UDP meet the same link. Two dozen such links
are measured at a time, each in a process of its own: one alone leaves the processors idle for more
than nine tenths of the time. Each turn begins with requests that do not count, 512 or six times
what is in flight: a window may have grown, or been forgotten, while others had theirs. Processor
time is that of the process, with the thread that carries the packets: on it the kernel receives
them, which is most of what TCP does.

";
const BESIDE: &str = "
Beside them tokio-quiche, in a process of its own, since its BoringSSL clashes with the TLS library
of the others: a batch there and a batch here, in turns, each with a thread, a current-thread
runtime and a processor for client and server, whose clocks are read. It has the same windows,
streams and congestion control, and a task for each request at both ends. It has no gate.

| load | unit | portway | tokio-quiche | ratio | 95 % interval |
|---|---|---:|---:|---:|---|
";
const BULK: &str = "
A download and an upload of 256 MiB in one message, and datagrams (RFC 9297) of 1000 bytes in bursts
of 20, against the raw driver's streams and datagrams; and portway against itself: an HTTP/3 server
on two threads that share a port, against one on one thread, processor time of the server's threads
with 8 connections of two clients and 32 requests in flight on each. What serves a connection stays
on the thread that accepted it: `tests/api/h3_sharded.rs` looks.

";
const ENDS: &str = "
User instructions of one request, one at a time, at each end; the record is `bench/baseline.toml`:

| load and end | instructions | recorded | change |
|---|---:|---:|---|
";
const IDLE: &str = "
Heap of a server's idle connections, each after one request: the larger of two rounds with HTTP/3,
the smaller of two of the raw driver.

| connections | bytes each | the raw driver's | more | gate | verdict |
|---:|---:|---:|---:|---|---|
";
const QPACK: &str = "
QPACK on the field lists of the public corpus (qpackers/qifs), the encoder stream counted, with a
table of 4096 bytes and every section acknowledged before the next; what
`crates/h3/tests/qpack_corpus.rs` found in this run.

| field list | 100 blocked streams | none blocked | gate | verdict |
|---|---:|---:|---|---|
";
