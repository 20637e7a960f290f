//! Runs the benchmarks of QUIC and writes their section of docs/performance.md.
//!
//! `quic [--pairs N] [--only NAME] [--output FILE]` measures; `quic count SIDE NAME TIMES` does the
//! work in one thread for a tool that counts, `quic workers SIDE NAME TIMES` the same on two
//! workers; `quic pairs NAME PAIRS [--awake]` times one work alone, with processors that do not go
//! idle if so wished; `quic watch SIDE NAME TIMES` does it with both ends as they are timed and
//! says what each thread and the wire have seen of it; `quic idle SIDE CONNECTIONS ROUNDS` looks at
//! memory.

use portway_bench::clock::Awake;
use portway_bench::heap::Heap;
use portway_bench::pairs::Comparison;
use portway_bench::quic::{
    Counted, Found, Idle, Portway, Quinn, WORK, WORKERS, Work, count, count_connects,
    count_on_two_workers, is_done_beside, is_done_by_quiche, run, run_beside, run_beside_quiche,
    run_engine, run_idle, run_on_two_workers, run_sharded, section, watch,
};
use portway_bench::quiche::Quiche;
use portway_bench::tools;
use portway_bench::verdict::Counts;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

#[global_allocator]
static ALLOCATOR: Heap = Heap;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse().expect("a number");
    match words[..] {
        ["count", side, name, times] => {
            if name == CONNECT {
                count_connects(side, number(times));
                return ExitCode::SUCCESS;
            }
            let work = Work::named(name).expect("the name of a work");
            match side {
                "portway" => count::<Portway>(work, number(times)),
                _ => count::<Quinn>(work, number(times)),
            }
            return ExitCode::SUCCESS;
        }
        ["workers", side, name, times] => {
            let work = Work::named(name).expect("the name of a work");
            match side {
                "portway" => count_on_two_workers::<Portway>(work, number(times)),
                _ => count_on_two_workers::<Quinn>(work, number(times)),
            }
            return ExitCode::SUCCESS;
        }
        ["pairs", name, pairs] | ["pairs", name, pairs, AWAKE] => {
            let _awake = words.contains(&AWAKE).then(Awake::start);
            for (found, gate) in run(number(pairs), Some(name)) {
                let found = serde_json::to_string(&found).expect("plain data");
                println!("{found} for at most {gate}");
            }
            return ExitCode::SUCCESS;
        }
        ["watch", side, name, times] => {
            let work = Work::named(name).expect("the name of a work");
            let found = match side {
                "portway" => watch::<Portway>(work, number(times)),
                _ => watch::<Quinn>(work, number(times)),
            };
            println!("{found}");
            return ExitCode::SUCCESS;
        }
        [S2N, name, pairs] => {
            let found = run_beside(number(pairs), name).expect("the name of a work");
            println!("{}", serde_json::to_string(&found).expect("plain data"));
            return ExitCode::SUCCESS;
        }
        [QUICHE, name, pairs] => {
            return match run_beside_quiche(number(pairs), name) {
                Ok(found) => {
                    println!("{}", serde_json::to_string(&found).expect("plain data"));
                    ExitCode::SUCCESS
                }
                Err(why) => {
                    eprintln!("{why}");
                    ExitCode::FAILURE
                }
            };
        }
        ["idle", side, connections, rounds] => {
            let found = match side {
                "portway" => run_idle::<Portway>(number(connections), number(rounds)),
                _ => run_idle::<Quinn>(number(connections), number(rounds)),
            };
            println!("{}", serde_json::to_string(&found).expect("plain data"));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let value = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).copied()
    };
    let pairs = value("--pairs").map_or(81, number);
    let found = measure(pairs, value("--only"));
    section(&found).give(value("--output"))
}

/// Measures everything, or what has the name `only`.
fn measure(pairs: usize, only: Option<&str>) -> Found {
    let mut found = Found::default();
    let wants = |name: &str| only.is_none_or(|only| only == name);
    if pairs > 0 {
        found.timed = run(pairs, only);
        found.workers = run_on_two_workers(pairs, only.map(|it| it.trim_end_matches("-workers")));
        if wants("sharded") {
            found.own.push((run_sharded(pairs), 1.1));
        }
        if wants("engine") {
            found.own.push((run_engine(pairs), 1.05));
        }
    }
    if wants("idle") {
        for (side, connections) in IDLE {
            match idle(side, connections) {
                Ok(idle) => found.idle.push((side.to_owned(), idle)),
                Err(why) => found.missing.push(why),
            }
        }
    }
    found.counted = counted(only, &mut found.missing);
    found.workers_counted = workers_counted(only, &mut found.missing);
    if pairs > 0 {
        all_beside(&mut found, pairs.min(BESIDE_PAIRS_MAX), wants);
    }
    found
}

/// Measures against what has no gate.
fn all_beside(found: &mut Found, pairs: usize, wants: impl Fn(&str) -> bool) {
    let no_quiche = Quiche::obstacle();
    for (name, work, ..) in WORK {
        if wants(S2N) && is_done_beside(work) {
            match beside(S2N, name, pairs) {
                Ok(comparison) => found.beside.push(comparison),
                Err(why) => found.missing.push(why),
            }
        }
        if wants(QUICHE) && is_done_by_quiche(work) && no_quiche.is_none() {
            match beside(QUICHE, name, pairs) {
                Ok(comparison) => found.quiche.push(comparison),
                Err(why) => found.missing.push(why),
            }
        }
    }
    if wants(QUICHE) {
        found.missing.extend(no_quiche);
    }
}

/// Measures against a stack in a process of its own, which may take a while and not for ever.
fn beside(stack: &str, name: &str, pairs: usize) -> Result<Comparison, String> {
    let program = std::env::current_exe().expect("this program's file");
    let output = Command::new("timeout")
        .arg(BESIDE_SECONDS_MAX)
        .arg(program)
        .args([stack, name, &pairs.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{name} of {stack}: {error}"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{name} of {stack}: {error}, {}", output.status))
}

/// Looks at memory in a process of its own.
fn idle(side: &str, connections: usize) -> Result<Idle, String> {
    let output = Command::new(std::env::current_exe().expect("this program's file"))
        .args(["idle", side, &connections.to_string(), "2"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("idle connections of {side}: {error}"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("idle connections of {side}: {error}, {}", output.status))
}

/// Instructions and system calls of every work.
fn counted(only: Option<&str>, missing: &mut Vec<String>) -> Vec<Counted> {
    for tool in ["valgrind", "strace"] {
        if !tools::is_present(tool) {
            missing.push(format!("{tool} is not installed"));
            return Vec::new();
        }
    }
    let program = std::env::current_exe().expect("this program's file");
    let works = WORK
        .iter()
        .filter(|it| only.is_none_or(|only| only == it.0));
    let mut found = Vec::new();
    for (name, _, _, times) in works {
        match count_one(&program, ["portway", "quinn"], name, (times / 8).max(8)) {
            Ok(counted) => found.push(counted),
            Err(why) => missing.push(why),
        }
    }
    if only.is_none_or(|only| only == "engine") {
        match count_one(&program, ["engine", "driver"], CONNECT, 40) {
            Ok(counted) => found.push(counted),
            Err(why) => missing.push(why),
        }
    }
    found
}

fn count_one(
    program: &Path,
    sides: [&str; 2],
    name: &'static str,
    times: usize,
) -> Result<Counted, String> {
    let instructions = |side: &str| {
        let arguments = ["count", side, name, &times.to_string()];
        tools::instructions(program, &arguments).map(|count| count as f64 / times as f64)
    };
    let calls = |side: &str| calls_each(program, "count", side, name, times);
    Ok(Counted {
        name,
        counts: Counts {
            instructions: (instructions(sides[0])?, instructions(sides[1])?),
            calls: (calls(sides[0])?, calls(sides[1])?),
        },
    })
}

/// System calls of every work on two workers.
fn workers_counted(
    only: Option<&str>,
    missing: &mut Vec<String>,
) -> Vec<(&'static str, (f64, f64))> {
    if !tools::is_present("strace") {
        // It was said already.
        return Vec::new();
    }
    let program = std::env::current_exe().expect("this program's file");
    let mut found = Vec::new();
    for (name, _, _, times) in WORKERS {
        if only.is_some_and(|only| only.trim_end_matches("-workers") != name) {
            continue;
        }
        let calls = |side: &str| calls_each(&program, "workers", side, name, times);
        match calls("portway").and_then(|ours| Ok((ours, calls("quinn")?))) {
            Ok(counts) => found.push((name, counts)),
            Err(why) => missing.push(why),
        }
    }
    found
}

/// System calls of one unit of work, by the difference of two runs.
fn calls_each(
    program: &Path,
    mode: &str,
    side: &str,
    name: &str,
    times: usize,
) -> Result<f64, String> {
    let calls = |times: usize| {
        let arguments = [mode, side, name, &times.to_string()];
        tools::system_calls(program, &arguments)
    };
    let (long, short) = (calls(times * 4)?, calls(times)?);
    Ok(long.saturating_sub(short) as f64 / (times * 3) as f64)
}

/// No processor goes idle meanwhile.
const AWAKE: &str = "--awake";
/// A connect by the engine, beside one by the driver instead of one by quinn.
const CONNECT: &str = "connect";
/// Whose idle connections are looked at, and how many.
const IDLE: [(&str, usize); 3] = [("portway", 1_000), ("quinn", 1_000), ("portway", 10_000)];
const BESIDE_SECONDS_MAX: &str = "120";
/// Enough for what has no gate.
const BESIDE_PAIRS_MAX: usize = 21;
/// What is measured beside portway, in a process started by this word.
const S2N: &str = "s2n-quic";
/// The same, which has another process of its own.
const QUICHE: &str = "tokio-quiche";
