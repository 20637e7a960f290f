//! Runs the benchmarks of QUIC and writes their section of docs/performance.md.
//!
//! `quic [--pairs N] [--only NAME] [--output FILE]` measures; `quic count SIDE NAME TIMES` does the
//! work in one thread for a tool that counts, `quic idle SIDE CONNECTIONS ROUNDS` looks at memory.

use portway_bench::heap::Heap;
use portway_bench::quic::{
    Counted, Found, Idle, Portway, Quinn, WORK, Work, count, count_connects, run, run_engine,
    run_idle, run_on_two_workers, run_sharded, section, write,
};
use portway_bench::tools;
use std::path::{Path, PathBuf};
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
    print!("{}", section(&found));
    match value("--output") {
        None => ExitCode::SUCCESS,
        Some(path) => match write(Path::new(path), &found) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{path}: {error}");
                ExitCode::FAILURE
            }
        },
    }
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
    found.missing.push(NO_OTHER_PEERS.to_owned());
    found
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
    program: &PathBuf,
    sides: [&str; 2],
    name: &'static str,
    times: usize,
) -> Result<Counted, String> {
    let instructions = |side: &str| {
        let arguments = ["count", side, name, &times.to_string()];
        tools::instructions(program, &arguments).map(|count| count / times as u64)
    };
    let calls = |side: &str| {
        let calls = |times: usize| {
            let arguments = ["count", side, name, &times.to_string()];
            tools::system_calls(program, &arguments)
        };
        let (long, short) = (calls(times * 4)?, calls(times)?);
        Ok::<f64, String>(long.saturating_sub(short) as f64 / (times * 3) as f64)
    };
    Ok(Counted {
        name,
        instructions: (instructions(sides[0])?, instructions(sides[1])?),
        calls: (calls(sides[0])?, calls(sides[1])?),
    })
}

/// A connect by the engine, beside one by the driver instead of one by quinn.
const CONNECT: &str = "connect";
/// Whose idle connections are looked at, and how many.
const IDLE: [(&str, usize); 3] = [("portway", 1_000), ("quinn", 1_000), ("portway", 10_000)];
const NO_OTHER_PEERS: &str = "s2n-quic, for which there is no adapter yet, and tokio-quiche, whose \
    BoringSSL needs cmake, libclang and seven minutes to build";
