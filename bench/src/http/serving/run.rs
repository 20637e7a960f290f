//! Pairs of servers under the same load.
//!
//! Invariant: the processor time of the server's whole process counts, and nothing of the client's.

use super::count::count;
use super::load::{Clients, LOADS, Load, Protocol};
use super::process::Process;
use crate::clock::{pin, unpin};
use crate::pairs::{Comparison, Side, alternate};
use crate::quic::runtime;
use crate::tools;
use crate::verdict::{Counts, Gate};

/// What one comparison found.
pub struct Row {
    /// Processor time.
    pub found: Option<Comparison>,
    /// The load, and in which form the servers ran.
    pub name: String,
    /// What portway is compared with.
    pub other: &'static str,
    /// What the ratio has to keep.
    pub gate: Gate,
    /// What does not depend on the neighbours.
    pub counts: Option<Counts>,
}

/// Measures so many pairs of every load, or of the one that is named, such as `serve-http1-32`;
/// gives what could not be counted, too.
pub fn measure(pairs: usize, only: Option<&str>) -> (Vec<Row>, Vec<String>) {
    let (mut rows, mut missing) = (Vec::new(), Vec::new());
    for form in ["one", "two"] {
        for load in LOADS {
            let name = match form {
                "one" => format!("serve-{}", load.name),
                _ => format!("serve-{}-two", load.name),
            };
            let is_wanted = only.is_none_or(|only| name == only);
            // What two processors do for one request at a time is not what they are for.
            let is_alone = load.connections * load.in_flight == 1;
            if !is_wanted || form == "two" && is_alone {
                continue;
            }
            let (ours, other, gate) = match (load.protocol, form) {
                (Protocol::Http3, _) => ("portway-h3", "h3", 0.65),
                (_, "one") => ("portway", "axum", 1.03),
                _ => ("portway", "axum", 0.83),
            };
            let found = (pairs > 0).then(|| compare(&name, load, form, [ours, other], pairs));
            let counts = match tools::is_present("valgrind") && tools::is_present("strace") {
                true => match (count(ours, form, load), count(other, form, load)) {
                    (Ok(ours), Ok(theirs)) => Some(Counts {
                        instructions: (ours.0, theirs.0),
                        calls: (ours.1, theirs.1),
                    }),
                    (Err(why), _) | (_, Err(why)) => {
                        missing.push(format!("counts of {name}: {why}"));
                        None
                    }
                },
                false => None,
            };
            if let Some(counts) = &counts {
                eprintln!("{name}: {counts:?}");
            }
            rows.push(Row {
                found,
                name,
                other,
                gate: Gate::AtMost(gate),
                counts,
            });
        }
    }
    (rows, missing)
}

fn compare(name: &str, load: Load, form: &str, stacks: [&str; 2], pairs: usize) -> Comparison {
    match form {
        "one" => pin(1),
        _ => unpin(),
    }
    let servers = stacks.map(|stack| Process::start(stack, form, &[]));
    runtime().block_on(async {
        let mut ours = Clients::start(load, &servers[0]).await;
        let mut theirs = Clients::start(load, &servers[1]).await;
        let found = alternate(pairs, async |side| {
            let (clients, server) = match side {
                Side::Portway => (&mut ours, &servers[0]),
                Side::Other => (&mut theirs, &servers[1]),
            };
            let before = server.time();
            clients.act(load.times).await;
            (server.time() - before).as_secs_f64() * 1e6 / load.times as f64
        });
        Comparison::of(name, "CPU µs a request", &found.await)
    })
}
