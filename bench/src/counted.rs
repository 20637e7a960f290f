//! What does not depend on the neighbours: instructions and system calls.
//!
//! Invariant: a program is this one, started again with one stack and one load; setting up does not
//! count.

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
struct One {
    instructions: f64,
    calls: f64,
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

    fn get(&self, stack: &str, work: &str) -> Option<One> {
        let key = (stack.to_owned(), work.to_owned());
        self.found.get(&key).copied()
    }

    /// What was counted for portway beside another stack.
    pub fn pair(&self, portway: &str, other: &str, work: &str) -> Option<Counts> {
        let (ours, theirs) = (self.get(portway, work)?, self.get(other, work)?);
        Some(Counts {
            instructions: (ours.instructions, theirs.instructions),
            calls: (ours.calls, theirs.calls),
        })
    }
}

/// Where it is.
pub fn this_program() -> PathBuf {
    std::env::current_exe().expect("this program's file")
}
