//! Everything that is measured about HTTP/3, in order.
//!
//! Invariant: what cannot be measured here is said, and the rest goes on.

use super::bulk::{BULK, Bulk};
use super::ends::count_end;
use super::link::run_on_links;
use super::qpack::{Encoded, run_qpack};
use super::rounds::{Place, Rounds, STACKS, run};
use super::sharded::run_sharded;
use super::web::Load;
use crate::baseline;
use crate::clock::unpin;
use crate::counted::{Counted, Job, this_program};
use crate::page::Count;
use crate::pairs::Comparison;
use crate::quic::Idle;
use crate::quiche::Quiche;
use crate::tools;
use std::process::{Command, Stdio};
use std::thread;

/// Everything that was found.
#[derive(Default)]
pub struct Found {
    /// Loads on pinned threads.
    pub pinned: Vec<Rounds>,
    /// The same on two workers.
    pub workers: Vec<Rounds>,
    /// The same over a link that delays and drops.
    pub link: Vec<Rounds>,
    /// Bulk and datagrams against the raw driver.
    pub bulk: Vec<(&'static Bulk, Comparison)>,
    /// Two shards against one.
    pub sharded: Option<Comparison>,
    /// Idle connections: with HTTP/3, then of the raw driver.
    pub idle: Option<(Idle, Idle)>,
    /// Instructions of one request at each end.
    pub ends: Vec<Count>,
    /// Instructions and system calls of all stacks.
    pub counted: Counted,
    /// Sizes of QPACK.
    pub qpack: Vec<Encoded>,
    /// Loads beside tokio-quiche: processor time and requests a second.
    pub quiche: Vec<[Comparison; 2]>,
    /// What could not be measured, and why.
    pub missing: Vec<String>,
}

/// The loads with the requests of one go: pinned or on workers, and over the link.
const LOADS: [(Load, usize, usize); 6] = [
    (Load::plain(1), 400, 0),
    (Load::plain(32), 3_200, 1_024),
    (Load::plain(256), 6_400, 1_536),
    (Load::with_fields(1), 400, 0),
    (Load::with_fields(32), 3_200, 0),
    (Load::with_fields(256), 6_400, 0),
];

/// Measures so many pairs of everything, or of what has the name `only`: that of a load as in
/// `get-32`, `fields-1`, `get-32-workers`, `get-32-link`, of bulk, or `sharded`, `tokio-quiche`,
/// `idle`, `ends`, `qpack`.
pub fn measure(pairs: usize, only: Option<&str>) -> Found {
    let mut found = Found::default();
    let wants = |name: &str| only.is_none_or(|only| only == name);
    if pairs > 0 {
        timed(&mut found, pairs, wants);
    }
    if pairs > 0 && wants("tokio-quiche") {
        match Quiche::obstacle() {
            Some(why) => found.missing.push(why),
            None => beside(&mut found, pairs.min(BESIDE_PAIRS)),
        }
    }
    if wants("idle") {
        match (idle(STACKS[0]), idle(STACKS[1])) {
            (Ok(over_http), Ok(raw)) => found.idle = Some((over_http, raw)),
            (Err(why), _) | (_, Err(why)) => found.missing.push(why),
        }
    }
    if wants("qpack") {
        match run_qpack() {
            Ok(qpack) => found.qpack = qpack,
            Err(why) => found.missing.push(why),
        }
    }
    counted(&mut found, wants);
    found
}

fn timed(found: &mut Found, pairs: usize, wants: impl Fn(&str) -> bool) {
    for (load, times, _) in LOADS {
        if wants(&load.name()) {
            found.pinned.push(run(&Place::Pinned, load, times, pairs));
        }
    }
    // Fields are encoded and decoded alike wherever the tasks run.
    for (load, times, _) in LOADS.into_iter().filter(|(load, ..)| load.fields == 0) {
        if wants(&format!("{}-workers", load.name())) {
            found.workers.push(run(&Place::Workers, load, times, pairs));
        }
    }
    // One request at a time waits for the link and for nothing else.
    let on_link = LOADS.into_iter().filter(|(_, _, times)| *times > 0);
    for (load, _, times) in on_link.filter(|(load, ..)| wants(&format!("{}-link", load.name()))) {
        match run_on_links(load, times, pairs.min(LINK_PAIRS)) {
            Ok(rounds) => found.link.push(rounds),
            Err(why) => found
                .missing
                .push(format!("links with delay and loss: {why}")),
        }
    }
    for bulk in BULK.iter().filter(|bulk| wants(bulk.name)) {
        found.bulk.push((bulk, bulk.run(pairs)));
    }
    if wants("sharded") {
        found.sharded = Some(run_sharded(pairs));
    }
}

/// Measures beside tokio-quiche in processes of their own, which may take a while and not for ever.
fn beside(found: &mut Found, pairs: usize) {
    for (load, ..) in LOADS.iter().filter(|(load, ..)| load.fields == 0) {
        let name = load.name();
        let output = Command::new("timeout")
            .arg(BESIDE_SECONDS)
            .arg(this_program())
            .args(["beside", &name, &pairs.to_string()])
            .stderr(Stdio::inherit())
            .output();
        let measured = output
            .map_err(|error| error.to_string())
            .and_then(|output| {
                serde_json::from_slice(&output.stdout)
                    .map_err(|error| format!("{error}, {}", output.status))
            });
        match measured {
            Ok(comparisons) => found.quiche.push(comparisons),
            Err(why) => found.missing.push(format!("{name} of tokio-quiche: {why}")),
        }
    }
}

/// Looks at memory in a process of its own.
fn idle(stack: &str) -> Result<Idle, String> {
    let output = Command::new(std::env::current_exe().expect("this program's file"))
        .args(["idle", stack, IDLE, "2"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("idle connections of {stack}: {error}"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("idle connections of {stack}: {error}, {}", output.status))
}

fn counted(found: &mut Found, wants: impl Fn(&str) -> bool) {
    for tool in ["valgrind", "strace"] {
        if !tools::is_present(tool) {
            found.missing.push(format!("{tool} is not installed"));
            return;
        }
    }
    let mut jobs = Vec::new();
    for (load, ..) in LOADS.iter().filter(|(load, ..)| wants(&load.name())) {
        jobs.extend(STACKS.map(|stack| Job {
            stack,
            work: load.name(),
            times: load.in_flight.max(64) * 4,
        }));
    }
    for bulk in BULK.iter().filter(|bulk| wants(bulk.name)) {
        jobs.extend([STACKS[0], STACKS[1]].map(|stack| Job {
            stack,
            work: bulk.name.to_owned(),
            times: (bulk.times / 16).min(400),
        }));
    }
    unpin();
    found.missing.extend(found.counted.count_all(&jobs));
    if wants("ends") {
        count_ends(found);
    }
}

/// Each end of one request by itself, all at a time.
fn count_ends(found: &mut Found) {
    let recorded = baseline::recorded();
    let loads = [Load::plain(1), Load::with_fields(1)];
    let ends = loads.map(|load| ["client", "server"].map(|end| (load, end)));
    thread::scope(|scope| {
        let counting = ends
            .as_flattened()
            .iter()
            .map(|&(load, end)| (load, end, scope.spawn(move || count_end(end, load))));
        let counting: Vec<_> = counting.collect();
        for (load, end, counted) in counting {
            let name = format!("h3-{}-{end}", load.name());
            match counted.join().expect("counting does not panic") {
                Ok(now) => found.ends.push(Count {
                    recorded: recorded.get(&name).copied(),
                    name,
                    now,
                }),
                Err(why) => found.missing.push(why),
            }
        }
    });
}

/// Over the link a round takes up to 40 seconds. Many short ones tell more than a few long ones:
/// what else the machine does changes within seconds.
const LINK_PAIRS: usize = 8;
/// Enough for what has no gate.
const BESIDE_PAIRS: usize = 21;
const BESIDE_SECONDS: &str = "120";
/// Idle connections.
const IDLE: &str = "1000";
