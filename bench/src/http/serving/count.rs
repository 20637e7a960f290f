//! Instructions and system calls of a server.
//!
//! Invariant: of a long and a short run the difference counts, so that start, connections and end
//! do not.

use super::load::{Clients, Load};
use super::process::Process;
use crate::quic::runtime;

/// What one request costs a server whatever the neighbours do: user instructions, system calls.
///
/// # Errors
/// What the tool said when it did not count.
pub fn count(stack: &str, form: &str, load: Load) -> Result<(f64, f64), String> {
    let short = load.times / 8;
    let each = |count: fn(&str, &str, Load, usize) -> Result<u64, String>| {
        let (long, short) = (
            count(stack, form, load, short * 3)?,
            count(stack, form, load, short)?,
        );
        Ok::<f64, String>(long.saturating_sub(short) as f64 / (load.times / 8 * 2) as f64)
    };
    Ok((each(instructions)?, each(calls)?))
}

fn instructions(stack: &str, form: &str, load: Load, times: usize) -> Result<u64, String> {
    let tool = [
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
    ];
    let said = drive(stack, form, load, times, &tool);
    let collected = said.lines().rev().find_map(|line| {
        let (_, count) = line.split_once("Collected :")?;
        count.trim().parse().ok()
    });
    collected.ok_or(said)
}

fn calls(stack: &str, form: &str, load: Load, times: usize) -> Result<u64, String> {
    let said = drive(
        stack,
        form,
        load,
        times,
        &["strace", "-f", "-c", "-U", "calls,name"],
    );
    let total = said.lines().rev().find_map(|line| {
        let mut words = line.split_whitespace();
        let count = words.next()?.parse().ok()?;
        (words.next() == Some("total")).then_some(count)
    });
    total.ok_or(said)
}

fn drive(stack: &str, form: &str, load: Load, times: usize, tool: &[&str]) -> String {
    let server = Process::start(stack, form, tool);
    runtime().block_on(async {
        let mut clients = Clients::start(load, &server.place).await;
        clients.act(times).await;
    });
    server.end()
}
