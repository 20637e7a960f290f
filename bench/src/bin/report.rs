//! Runs all benchmarks and writes docs/performance.md.
//!
//! Invariant: a benchmark that cannot run is named on the page, never left out in silence.
//! `--record` writes the instruction counts of this run to baseline.toml; `--pairs N` sets how
//! many pairs are measured; `--only messages,connect,memory,batch,instructions` runs a part.

use portway_bench::baseline;
use portway_bench::command::batch::Calls;
use portway_bench::command::{batch, connect, instructions, memory, messages};
use portway_bench::heap::Heap;
use portway_bench::page::{Count, Gate, Page, Row, Setting};
use portway_bench::pairs::Comparison;
use portway_bench::tools;
use portway_bench::verdict::Counts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

#[global_allocator]
static ALLOCATOR: Heap = Heap;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["measure", what, with @ ..] = &arguments[..] {
        measure(what, with);
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    let mut missing = Vec::new();
    let setting = setting();
    let messages = comparisons(&options, "messages", &mut missing);
    let connects = comparisons(&options, "connect", &mut missing);
    let gates = gates(&options, &mut missing);
    let counts = counts(&options, &mut missing);
    let calls = calls(&options, &mut missing);
    let with_counts = |measured: Vec<Comparison>| {
        let row = |measured: Comparison| Row {
            counts: counts_of(&measured.name, &counts, &calls),
            measured,
        };
        measured.into_iter().map(row).collect()
    };
    let page = Page {
        setting,
        messages: with_counts(messages),
        connects: with_counts(connects),
        gates,
        counts,
        missing,
    };
    print!("{}", page.text());
    if options.records {
        baseline::record(&page.counts);
    }
    if let Some(path) = &options.output {
        std::fs::write(path, page.text()).expect("a page that can be written");
    }
    for count in &page.counts {
        if let Some(change) = count.change() {
            eprintln!("{}: instructions {:+.1} %", count.name, change * 100.0);
        }
    }
    for gate in page.unmet() {
        eprintln!("not met: {gate}");
    }
    ExitCode::SUCCESS
}

/// One measurement in this process; what it finds is printed as JSON.
fn measure(what: &str, with: &[&str]) {
    let found = match (what, with) {
        ("messages", [pairs]) => json(messages::run(pairs.parse().expect("pairs"))),
        ("connect", [pairs]) => json(connect::run(pairs.parse().expect("pairs"))),
        ("memory", []) => json(memory::run()),
        ("batch", []) => json(batch::run()),
        ("connect-side", [carrier, side, rounds]) => {
            let rounds = rounds.parse().expect("how often");
            return connect::run_side(carrier, *side == "portway", rounds);
        }
        ("memory-server", [carrier, directory]) => return memory::run_server(carrier, directory),
        ("batch-sink", []) => return batch::run_sink(),
        ("batch-sender", [address, mode, rounds]) => {
            return batch::run_sender(address, mode, rounds);
        }
        ("instructions", [name, times]) => {
            return instructions::run(name, times.parse().expect("how often"));
        }
        _ => panic!("no such measurement: {what} {with:?}"),
    };
    println!("{found}");
}

fn json(found: impl Serialize) -> String {
    serde_json::to_string(&found).expect("plain data")
}

struct Options {
    output: Option<PathBuf>,
    pairs: String,
    only: Option<String>,
    records: bool,
}

impl Options {
    fn parse() -> Options {
        let mut options = Options {
            output: None,
            pairs: "201".to_owned(),
            only: None,
            records: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().expect("a value behind the option");
            match argument.as_str() {
                "--output" => options.output = Some(value().into()),
                "--pairs" => options.pairs = value(),
                "--only" => options.only = Some(value()),
                "--record" => options.records = true,
                other => panic!("no such option: {other}"),
            }
        }
        options
    }

    fn wants(&self, part: &str) -> bool {
        match &self.only {
            Some(only) => only.split(',').any(|wanted| wanted == part),
            None => true,
        }
    }
}

fn comparisons(options: &Options, name: &str, missing: &mut Vec<String>) -> Vec<Comparison> {
    if !options.wants(name) {
        missing.push(format!("{name}: not asked for"));
        return Vec::new();
    }
    match output_of(name, &[&options.pairs]) {
        Ok(comparisons) => comparisons,
        Err(why) => {
            missing.push(why);
            Vec::new()
        }
    }
}

fn gates(options: &Options, missing: &mut Vec<String>) -> Vec<Gate> {
    let mut gates = Vec::new();
    if options.wants("batch") {
        gates.extend(keep(counted_writes(), missing));
        gates.extend(keep(traced_calls(), missing));
    } else {
        missing.push("batch: not asked for".to_owned());
    }
    if options.wants("memory") {
        gates.extend(keep(idle_heap(), missing).into_iter().flatten());
    } else {
        missing.push("memory: not asked for".to_owned());
    }
    gates
}

fn keep<T>(result: Result<T, String>, missing: &mut Vec<String>) -> Option<T> {
    result.map_err(|why| missing.push(why)).ok()
}

fn calls_gate(calls: Calls, what: &str) -> Gate {
    Gate {
        name: format!("{what} of 100 messages in a batch, of 100 single sends"),
        value: format!("{}, {}", calls.batch, calls.single),
        bound: "at most a tenth".to_owned(),
        is_met: calls.batch * 10 <= calls.single,
    }
}

fn counted_writes() -> Result<Gate, String> {
    let calls = output_of("batch", &[])?;
    Ok(calls_gate(calls, "Writes (counted in the environment)"))
}

/// All system calls of the sending process; the sink is another process.
fn traced_calls() -> Result<Gate, String> {
    if !tools::is_present("strace") {
        return Err("system calls from outside: strace is not installed".to_owned());
    }
    let program = this_program()?;
    let mut sink = Command::new(&program)
        .args(["measure", "batch-sink"])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("batch sink: {error}"))?;
    let mut address = String::new();
    let told = BufReader::new(sink.stdout.take().expect("it is piped")).read_line(&mut address);
    let count = |mode: &str| {
        let calls = |rounds: &str| {
            let arguments = ["measure", "batch-sender", address.trim(), mode, rounds];
            tools::system_calls(&program, &arguments)
        };
        // Rounded, as the start of a process does not always take as many.
        Ok::<u64, String>(((calls("21")?).saturating_sub(calls("1")?) + 10) / 20)
    };
    let counts = match told {
        Ok(_) => count("single").and_then(|single| Ok((single, count("batch")?))),
        Err(error) => Err(format!("batch sink: {error}")),
    };
    // The sink never ends by itself; one that is gone already needs no end.
    let _ = sink.kill();
    let _ = sink.wait();
    let (single, batch) = counts?;
    Ok(calls_gate(Calls { single, batch }, "System calls (strace)"))
}

fn idle_heap() -> Result<Vec<Gate>, String> {
    let figures: Vec<memory::Figure> = output_of("memory", &[])?;
    let gate = |figure: memory::Figure| {
        let more = figure.portway - figure.other;
        Gate {
            name: format!("Heap of an idle connection over {}", figure.name),
            value: format!(
                "{} bytes, tokio's stream {}: {more} more",
                figure.portway, figure.other
            ),
            bound: "at most 2048 more".to_owned(),
            is_met: more <= 2048,
        }
    };
    Ok(figures.into_iter().map(gate).collect())
}

fn this_program() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("this program's file: {error}"))
}

/// Measures in another process and reads the JSON that it prints.
fn output_of<T: for<'a> Deserialize<'a>>(name: &str, arguments: &[&str]) -> Result<T, String> {
    let output = Command::new(this_program()?)
        .args(["measure", name])
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{name}: {error}"))
}

fn counts(options: &Options, missing: &mut Vec<String>) -> Vec<Count> {
    if !options.wants("instructions") {
        missing.push("instructions: not asked for".to_owned());
        return Vec::new();
    }
    if !tools::is_present("valgrind") {
        missing.push("instructions: valgrind is not installed".to_owned());
        return Vec::new();
    }
    let recorded = baseline::recorded();
    let Some(program) = keep(this_program(), missing) else {
        return Vec::new();
    };
    let mut counts = Vec::new();
    for name in instructions::WORK {
        let times = repetitions(name);
        let arguments = ["measure", "instructions", name, &times.to_string()];
        match tools::instructions(&program, &arguments) {
            Ok(count) => counts.push(Count {
                recorded: recorded.get(name).copied(),
                now: count / times,
                name: name.to_owned(),
            }),
            Err(why) => missing.push(why),
        }
    }
    counts
}

/// System calls of a unit of every work that is compared, by strace.
fn calls(options: &Options, missing: &mut Vec<String>) -> BTreeMap<&'static str, f64> {
    let mut found = BTreeMap::new();
    if !options.wants("instructions") {
        return found;
    }
    if !tools::is_present("strace") {
        missing.push("system calls: strace is not installed".to_owned());
        return found;
    }
    let Some(program) = keep(this_program(), missing) else {
        return found;
    };
    let works = instructions::COMPARED.iter().flat_map(|it| [it.1, it.2]);
    for name in works {
        let times = repetitions(name);
        let count = |times: u64| {
            let arguments = ["measure", "instructions", name, &times.to_string()];
            tools::system_calls(&program, &arguments)
        };
        let counted = count(3 * times).and_then(|long| Ok((long, count(times)?)));
        if let Some((long, short)) = keep(counted, missing) {
            let unit = long.saturating_sub(short) as f64 / (2 * times) as f64;
            found.insert(name, unit);
        }
    }
    found
}

/// What was counted of the work that the comparison of this name is about.
fn counts_of(name: &str, counts: &[Count], calls: &BTreeMap<&str, f64>) -> Option<Counts> {
    let (_, ours, theirs) = instructions::COMPARED.iter().find(|it| it.0 == name)?;
    let instructions = |name: &str| {
        let count = counts.iter().find(|count| count.name == name)?;
        Some(count.now as f64)
    };
    Some(Counts {
        instructions: (instructions(ours)?, instructions(theirs)?),
        calls: (*calls.get(ours)?, *calls.get(theirs)?),
    })
}

/// How often work is done, so that single events such as a grown buffer hardly count.
fn repetitions(name: &str) -> u64 {
    match name.split('-').next() {
        Some("messages") if name.contains("1048576") => 50,
        Some("messages") if name.contains("65536") => 100,
        Some("messages" | "pingpong") => 1600,
        Some("memory") => 10_000,
        _ => 100,
    }
}

fn setting() -> Setting {
    let lock = include_str!("../../Cargo.lock");
    let versions: Vec<String> = ["tokio", "tokio-util", "rustls", "tokio-rustls", "aws-lc-rs"]
        .iter()
        .map(|name| format!("{name} {}", version(lock, name)))
        .collect();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown", |(_, model)| model.trim());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    let lines = [
        ("date", tools::first_line("date", &["-u", "+%F %H:%M UTC"])),
        ("machine", format!("{processors} processors, {model}")),
        (
            "load at the start",
            format!("{load} (tasks that wanted a processor, other work included)"),
        ),
        ("kernel", tools::first_line("uname", &["-sr"])),
        ("compiler", tools::first_line("rustc", &["--version"])),
        ("versions", versions.join(", ")),
        (
            "revision",
            tools::first_line("git", &["describe", "--always", "--dirty"]),
        ),
    ];
    Setting {
        lines: lines
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

fn version<'a>(lock: &'a str, name: &str) -> &'a str {
    let start = format!("name = \"{name}\"\nversion = \"");
    let rest = lock.split_once(start.as_str()).map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or("unknown")
}
