//! Pairs of servers under the same load.
//!
//! Invariant: the processor time of the server's whole process counts, and nothing of the client's.

use super::count::count;
use super::crowd::Crowd;
use super::load::{LOADS, Load, Protocol};
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
/// gives what could not be counted, too. Times come first: what is counted afterwards does not
/// depend on what else the machine does.
pub fn measure(pairs: usize, only: Option<&str>) -> (Vec<Row>, Vec<String>) {
    let works = works(only);
    let times: Vec<_> = works
        .iter()
        .map(|work| (pairs > 0).then(|| work.compare(pairs)))
        .collect();
    let can_count = tools::is_present("valgrind") && tools::is_present("strace");
    eprintln!("the times are measured");
    let (mut rows, mut missing) = (Vec::new(), Vec::new());
    for (work, found) in works.into_iter().zip(times) {
        let counted = can_count.then(|| work.count()).transpose();
        let counts = counted.unwrap_or_else(|why| {
            missing.push(format!("counts of {}: {why}", work.name));
            None
        });
        if let Some(counts) = &counts {
            eprintln!("{}: {counts:?}", work.name);
        }
        rows.push(Row {
            found,
            name: work.name,
            other: work.stacks[1],
            gate: Gate::AtMost(work.gate),
            counts,
        });
    }
    (rows, missing)
}

/// What one row compares.
struct Work {
    name: String,
    load: Load,
    form: &'static str,
    /// portway and the other.
    stacks: [&'static str; 2],
    gate: f64,
}

fn works(only: Option<&str>) -> Vec<Work> {
    let mut works = Vec::new();
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
            let (stacks, gate) = match (load.protocol, form) {
                (Protocol::Http3, _) => (["portway-h3", "h3"], 0.65),
                (_, "one") => (["portway", "axum"], 1.03),
                _ => (["portway", "axum"], 0.83),
            };
            works.push(Work {
                name,
                load,
                form,
                stacks,
                gate,
            });
        }
    }
    works
}

impl Work {
    /// What does not depend on the neighbours.
    fn count(&self) -> Result<Counts, String> {
        let [ours, theirs] = self.stacks;
        let (ours, theirs) = (
            count(ours, self.form, self.load)?,
            count(theirs, self.form, self.load)?,
        );
        Ok(Counts {
            instructions: (ours.0, theirs.0),
            calls: (ours.1, theirs.1),
        })
    }

    fn compare(&self, pairs: usize) -> Comparison {
        // A single client would leave two shards idle, who then find less each time they wake.
        let clients = match self.form {
            "one" => {
                pin(1);
                1
            }
            _ => {
                unpin();
                2
            }
        };
        let servers = self
            .stacks
            .map(|stack| Process::start(stack, self.form, &[]));
        let crowds = servers
            .each_ref()
            .map(|server| Crowd::start(self.load, server, clients));
        let times = self.load.times;
        let found = runtime().block_on(alternate(pairs, async |side| {
            let side = usize::from(side == Side::Other);
            let (crowd, server) = (&crowds[side], &servers[side]);
            let before = server.time();
            crowd.act(times);
            (server.time() - before).as_secs_f64() * 1e6 / times as f64
        }));
        Comparison::of(self.name.clone(), "CPU µs a request", &found)
    }
}
