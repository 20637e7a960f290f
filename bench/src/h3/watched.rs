//! One stack alone over the link: what its threads, the wire and its requests have seen.
//!
//! Invariant: everything runs as it is timed, and nothing else of this process does.

use super::rounds::{Place, Side};
use super::web::Load;
use super::{H3, Http2, Http3, Raw};
use crate::clock::pin;
use crate::quic::{Identity, runtime};
use portway_tests::link::{Link, Towards};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::time::{Duration, Instant};

/// What was seen, for one request.
pub struct Watched {
    times: usize,
    wall: Duration,
    threads: Vec<Seen>,
    /// Packets of each length, towards the server and towards the client.
    wire: [BTreeMap<usize, u64>; 2],
}

/// What one thread has used.
#[derive(Clone)]
struct Seen {
    thread: String,
    name: String,
    nanos: u64,
    /// How often it went to sleep.
    sleeps: u64,
}

pub(super) fn watch(
    stack: &str,
    place: &Place,
    link: &Link,
    load: Load,
    times: usize,
    seeds: Range<u64>,
) -> Watched {
    pin(0);
    let runtime = runtime();
    runtime.block_on(async {
        let identity = Identity::new();
        let side = match stack {
            "HTTP/3" => Side::start::<Http3>(&identity, place, load).await,
            "raw QUIC" => Side::start::<Raw>(&identity, place, load).await,
            "h3" => Side::start::<H3>(&identity, place, load).await,
            _ => Side::start::<Http2>(&identity, place, load).await,
        };
        let wire = || [Towards::Far, Towards::Near].map(|towards| link.lengths(towards));
        let (threads, packets, start) = (threads(), wire(), Instant::now());
        let times_all = times * (seeds.end - seeds.start) as usize;
        for seed in seeds {
            link.repeat_losses(seed);
            side.act(times).await;
        }
        let wall = start.elapsed();
        Watched {
            times: times_all,
            wall,
            threads: since(&threads),
            wire: [0, 1].map(|way: usize| {
                let mut now = wire()[way].clone();
                for (length, before) in &packets[way] {
                    now.entry(*length).and_modify(|count| *count -= before);
                }
                now.retain(|_, count| *count > 0);
                now
            }),
        }
    })
}

/// What all threads of this process have used since then.
fn since(before: &[Seen]) -> Vec<Seen> {
    let mut now = threads();
    for seen in &mut now {
        let known = before.iter().find(|it| it.thread == seen.thread);
        seen.nanos -= known.map_or(0, |known| known.nanos);
        seen.sleeps -= known.map_or(0, |known| known.sleeps);
    }
    now
}

fn threads() -> Vec<Seen> {
    let tasks = fs::read_dir("/proc/self/task").expect("this is Linux");
    let seen = tasks.filter_map(|task| {
        let path = task.ok()?.path();
        let read = |name: &str| fs::read_to_string(path.join(name)).ok();
        let sleeps = read("status")?
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .and_then(|count| count.trim().parse().ok());
        let nanos = read("schedstat")?.split(' ').next()?.parse().ok()?;
        Some(Seen {
            thread: path.file_name()?.to_string_lossy().into_owned(),
            name: read("comm")?.trim().to_owned(),
            nanos,
            sleeps: sleeps?,
        })
    });
    seen.collect()
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |count: u64| count as f64 / self.times as f64;
        let rate = self.times as f64 / self.wall.as_secs_f64();
        writeln!(f, "{rate:.1} requests a second")?;
        for seen in &self.threads {
            let (micros, sleeps) = (each(seen.nanos) / 1e3, each(seen.sleeps));
            writeln!(f, "{}: {micros:.2} µs, asleep {sleeps:.3} times", seen.name)?;
        }
        for (name, lengths) in ["up", "down"].iter().zip(&self.wire) {
            let packets = each(lengths.values().sum());
            let bytes: u64 = lengths
                .iter()
                .map(|(length, count)| *length as u64 * count)
                .sum();
            write!(f, "{name}: {packets:.3} packets, {:.1} bytes;", each(bytes))?;
            for bounds in STEPS.windows(2) {
                let count = lengths.range(bounds[0]..bounds[1]).map(|(_, count)| count);
                write!(f, " <{}: {:.3}", bounds[1], each(count.sum()))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Lengths between which packets are counted together.
const STEPS: [usize; 10] = [0, 60, 70, 80, 90, 110, 150, 300, 1300, 1600];
