//! The thread that carries the packets of a link.
//!
//! Invariant: it waits in the kernel for a packet, for the next one that is due, or for its end.

use super::{Arrival, State, Towards};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Packets on their way, by the time that they arrive, then by the order in which they came.
type Travelling = BTreeMap<(Instant, u64), (Towards, Vec<u8>)>;

/// Carries packets between the ends, `near` first, until the other side of `ended` is closed.
pub(super) fn run(ends: &[File; 2], ended: &UnixStream, state: &Mutex<State>) {
    let mut travelling = Travelling::new();
    let mut order = 0;
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    while !wait(ends, ended, next_due(&travelling)) {
        for (end, towards) in [(&ends[0], Towards::Far), (&ends[1], Towards::Near)] {
            let mut end = end;
            while let Ok(len) = end.read(&mut buffer) {
                let mut state = state.lock().expect("no panic while it is held");
                let arrivals = state.carry(towards, buffer[..len].to_vec(), Instant::now());
                for Arrival { due, bytes } in arrivals {
                    order += 1;
                    travelling.insert((due, order), (towards, bytes));
                }
            }
        }
        let now = Instant::now();
        while let Some(first) = travelling.first_entry() {
            if first.key().0 > now {
                break;
            }
            let (towards, bytes) = first.remove();
            let mut end = &ends[towards as usize];
            // A queue of the kernel that is full drops it, as queues do.
            let _ = end.write(&bytes);
        }
    }
}

fn next_due(travelling: &Travelling) -> Option<Duration> {
    let (due, _) = travelling.keys().next()?;
    Some(due.saturating_duration_since(Instant::now()))
}

/// Waits; true at the end.
fn wait(ends: &[File; 2], ended: &UnixStream, longest: Option<Duration>) -> bool {
    let descriptors = [ends[0].as_raw_fd(), ends[1].as_raw_fd(), ended.as_raw_fd()];
    let mut all = descriptors.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    let longest = longest.map(|longest| libc::timespec {
        tv_sec: longest.as_secs() as libc::time_t,
        tv_nsec: libc::c_long::from(longest.subsec_nanos() as i32),
    });
    let time = longest.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the descriptors are open, and the array and the time outlive the call.
    unsafe {
        libc::ppoll(
            all.as_mut_ptr(),
            all.len() as libc::nfds_t,
            time,
            ptr::null(),
        )
    };
    all[2].revents != 0
}

const PACKET_BYTES_MAX: usize = 64 * 1024;
