//! Runs the benchmarks of HTTP/3: `h3 [--pairs N] [--only NAME]` measures processor time against
//! the raw QUIC driver, `h3 instructions` counts, `h3 count SIDE NAME TIMES` works in one thread
//! for a tool that counts.

use portway_bench::h3::{Http3, WORK};
use portway_bench::quic::{Portway, Work, compare_with, count};
use portway_bench::tools;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse().expect("a number");
    match words[..] {
        ["count", side, name, times] => {
            let work = Work::named(name).expect("the name of a work");
            match side {
                "h3" => count::<Http3>(work, number(times)),
                _ => count::<Portway>(work, number(times)),
            }
            return ExitCode::SUCCESS;
        }
        ["instructions"] => return instructions(),
        _ => {}
    }
    let value = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).copied()
    };
    let pairs = value("--pairs").map_or(31, number);
    for (name, work, gate, times) in WORK {
        if value("--only").is_none_or(|only| only == name) {
            let found = compare_with::<Http3, Portway>(name, work, times, pairs);
            println!("{name} (at most {gate}): {found:?}");
        }
    }
    ExitCode::SUCCESS
}

/// Instructions a request, both ends together.
fn instructions() -> ExitCode {
    let program = std::env::current_exe().expect("this program's file");
    for (name, _, gate, times) in WORK {
        let times = times / 8;
        let counted = |side: &str| {
            let arguments = ["count", side, name, &times.to_string()];
            tools::instructions(&program, &arguments).map(|count| count / times as u64)
        };
        match (counted("h3"), counted("raw")) {
            (Ok(h3), Ok(raw)) => {
                let ratio = h3 as f64 / raw as f64;
                println!("{name}: {h3} with HTTP/3, {raw} raw, {ratio:.2} (at most {gate})");
            }
            (Err(why), _) | (_, Err(why)) => {
                eprintln!("{name}: {why}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
