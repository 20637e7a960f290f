//! Runs the benchmarks of QUIC and writes their section of docs/performance.md.
//!
//! `quic [--pairs N] [--only NAME] [--output FILE]` measures; `quic count SIDE NAME TIMES` does the
//! work in one thread for a tool that counts.

use portway_bench::quic::{Counted, Portway, Quinn, WORK, Work, count, run, section, write};
use portway_bench::tools;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["count", side, name, times] = words[..] {
        let work = Work::named(name).expect("the name of a work");
        let times = times.parse().expect("how often");
        match side {
            "portway" => count::<Portway>(work, times),
            _ => count::<Quinn>(work, times),
        }
        return ExitCode::SUCCESS;
    }
    let value = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).copied()
    };
    let pairs = value("--pairs").map_or(41, |pairs| pairs.parse().expect("a number"));
    let only = value("--only");
    let mut missing = Vec::new();
    let timed = match pairs {
        0 => Vec::new(),
        pairs => run(pairs, only),
    };
    let counted = counted(only, &mut missing);
    print!("{}", section(&timed, &counted, &missing));
    match value("--output") {
        None => ExitCode::SUCCESS,
        Some(path) => match write(Path::new(path), &timed, &counted, &missing) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{path}: {error}");
                ExitCode::FAILURE
            }
        },
    }
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
        match count_one(&program, name, (times / 8).max(8)) {
            Ok(counted) => found.push(counted),
            Err(why) => missing.push(why),
        }
    }
    found
}

fn count_one(program: &PathBuf, name: &'static str, times: usize) -> Result<Counted, String> {
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
        instructions: (instructions("portway")?, instructions("quinn")?),
        calls: (calls("portway")?, calls("quinn")?),
    })
}
