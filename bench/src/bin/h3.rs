//! Runs the benchmarks of HTTP/3 and writes their section of docs/performance.md.
//!
//! `h3 [--pairs N] [--only NAME] [--output FILE] [--record]` measures, and records the counts of
//! each end in baseline.toml if asked to; `h3 count STACK NAME TIMES` does the work in one thread
//! for a tool that counts, `h3 workers STACK NAME TIMES` on two workers, `h3 end END NAME TIMES`
//! with a thread for each end, `h3 link STACK NAME TIMES SEEDS` does it over the link that delays
//! and drops, with so many patterns of losses, and says what threads and wire have seen, `h3 rounds
//! NAME TIMES ROUNDS FIRST` measures all stacks over one link, from one pattern on, `h3 idle STACK
//! CONNECTIONS ROUNDS` looks at memory, and `h3 beside NAME PAIRS` measures beside tokio-quiche.

use portway_bench::baseline;
use portway_bench::h3::{
    BULK, Http3, Load, STACKS, count, count_on_workers, count_one_end, measure, run_beside_quiche,
    run_on_link, section, watch_on_link,
};
use portway_bench::heap::Heap;
use portway_bench::quic::{Portway, count as count_work, run_idle};
use serde::Serialize;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Heap = Heap;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse().expect("a number");
    match words[..] {
        ["count", stack, name, times] => {
            work(stack, name, number(times));
            return ExitCode::SUCCESS;
        }
        ["workers", stack, name, times] => {
            let load = Load::named(name).expect("the name of a load");
            count_on_workers(stack, load, number(times));
            return ExitCode::SUCCESS;
        }
        ["end", end, name, times] => {
            let load = Load::named(name).expect("the name of a load");
            count_one_end(end, load, number(times));
            return ExitCode::SUCCESS;
        }
        ["link", stack, name, times, seeds] => {
            let load = Load::named(name).expect("the name of a load");
            let watched = watch_on_link(stack, load, number(times), 1..number(seeds) as u64 + 1);
            return tell(watched.map(|found| found.to_string()));
        }
        ["rounds", name, times, rounds, first] => {
            let load = Load::named(name).expect("the name of a load");
            let (times, rounds) = (number(times), number(rounds));
            return tell(run_on_link(load, times, rounds, number(first) as u64).map(json));
        }
        ["beside", name, pairs] => {
            let load = Load::named(name).expect("the name of a load");
            return tell(run_beside_quiche(load, number(pairs)).map(json));
        }
        ["idle", stack, connections, rounds] => {
            let (connections, rounds) = (number(connections), number(rounds));
            let found = match stack == STACKS[0] {
                true => run_idle::<Http3>(connections, rounds),
                false => run_idle::<Portway>(connections, rounds),
            };
            return tell(Ok(json(found)));
        }
        _ => {}
    }
    let value = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).copied()
    };
    let pairs = value("--pairs").map_or(21, number);
    let found = measure(pairs, value("--only"));
    if words.contains(&"--record") {
        baseline::record(&found.ends);
    }
    section(&found).give(value("--output"))
}

/// Prints what was found, or why nothing was.
fn tell(found: Result<String, String>) -> ExitCode {
    match found {
        Ok(found) => {
            println!("{found}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn json(found: impl Serialize) -> String {
    serde_json::to_string(&found).expect("plain data")
}

fn work(stack: &str, name: &str, times: usize) {
    if let Some(load) = Load::named(name) {
        count(stack, load, times);
        return;
    }
    let bulk = BULK.iter().find(|bulk| bulk.name == name);
    let work = bulk.expect("the name of a work").work;
    match stack == STACKS[0] {
        true => count_work::<Http3>(work, times),
        false => count_work::<Portway>(work, times),
    }
}
