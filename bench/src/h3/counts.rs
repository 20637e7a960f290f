//! What does not depend on the neighbours: instructions and system calls.
//!
//! Invariant: a program is this one, started again with one stack and one load; setting up does not
//! count.

use super::rounds::STACKS;
use super::web::Load;
use crate::tools;
use crate::verdict::Counts;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Counts of one unit by stack and work.
#[derive(Default)]
pub struct Counted {
    found: BTreeMap<(String, String), One>,
}

/// One stack's counts of one unit.
#[derive(Clone, Copy, Debug)]
pub struct One {
    /// User instructions.
    pub instructions: f64,
    /// System calls.
    pub calls: f64,
}

impl Counted {
    /// Counts a work of a stack, doing it so often.
    ///
    /// # Errors
    /// Why it was not counted.
    pub fn count(&mut self, stack: &str, work: &str, times: usize) -> Result<(), String> {
        let program = this_program();
        let run = |times: usize| {
            let times = times.to_string();
            ["count", stack, work, &times].map(str::to_owned)
        };
        let arguments = run(times);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let instructions = tools::instructions(&program, &arguments)?;
        let calls = |times: usize| {
            let arguments = run(times);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            tools::system_calls(&program, &arguments)
        };
        let (long, short) = (calls(times * 4)?, calls(times)?);
        let one = One {
            instructions: instructions as f64 / times as f64,
            calls: long.saturating_sub(short) as f64 / (times * 3) as f64,
        };
        self.found.insert((stack.to_owned(), work.to_owned()), one);
        Ok(())
    }

    /// What was counted.
    pub fn get(&self, stack: &str, work: &str) -> Option<One> {
        let key = (stack.to_owned(), work.to_owned());
        self.found.get(&key).copied()
    }

    /// portway's HTTP/3 beside another stack.
    pub fn pair(&self, other: &str, work: &str) -> Option<Counts> {
        let (ours, theirs) = (self.get(STACKS[0], work)?, self.get(other, work)?);
        Some(Counts {
            instructions: (ours.instructions, theirs.instructions),
            calls: (ours.calls, theirs.calls),
        })
    }
}

/// Instructions of one request at one end, the other one in a thread that does not count.
///
/// # Errors
/// Why it was not counted.
pub fn count_end(end: &str, load: Load) -> Result<u64, String> {
    let program = this_program();
    let run = |times: usize| {
        let times = times.to_string();
        tools::instructions(&program, &["end", end, &load.name(), &times])
    };
    // The server counts from its start on.
    let (long, short) = (run(ENDS * 3)?, run(ENDS)?);
    Ok(long.saturating_sub(short) / (ENDS * 2) as u64)
}

fn this_program() -> PathBuf {
    std::env::current_exe().expect("this program's file")
}

/// Requests of which one end counts.
const ENDS: usize = 256;
