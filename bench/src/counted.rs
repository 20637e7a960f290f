//! What does not depend on the neighbours: instructions and system calls.
//!
//! Invariant: a program is this one, started again with one stack and one load; setting up does not
//! count.

use crate::tools;
use crate::verdict::Counts;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

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

/// A work to be counted.
pub struct Job {
    /// The stack that does it.
    pub stack: &'static str,
    /// Its name.
    pub work: String,
    /// How often it is done.
    pub times: usize,
}

impl One {
    fn count(stack: &str, work: &str, times: usize) -> Result<One, String> {
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
        Ok(One {
            instructions: instructions as f64 / times as f64,
            calls: long.saturating_sub(short) as f64 / (times * 3) as f64,
        })
    }
}

impl Counted {
    /// Counts a work of a stack, doing it so often.
    ///
    /// # Errors
    /// Why it was not counted.
    pub fn count(&mut self, stack: &str, work: &str, times: usize) -> Result<(), String> {
        let one = One::count(stack, work, times)?;
        self.found.insert((stack.to_owned(), work.to_owned()), one);
        Ok(())
    }

    /// The same for many, as many at a time as there are processors: counts do not depend on what
    /// else the machine does. Gives why some were not counted.
    pub fn count_all(&mut self, jobs: &[Job]) -> Vec<String> {
        let next = AtomicUsize::new(0);
        let (found, missing) = (Mutex::new(&mut self.found), Mutex::new(Vec::new()));
        let count = || {
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                match One::count(job.stack, &job.work, job.times) {
                    Ok(one) => {
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        found.insert((job.stack.to_owned(), job.work.clone()), one);
                    }
                    Err(why) => {
                        let mut missing = missing.lock().unwrap_or_else(PoisonError::into_inner);
                        missing.push(why);
                    }
                }
            }
        };
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(count);
            }
        });
        missing.into_inner().unwrap_or_else(PoisonError::into_inner)
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
