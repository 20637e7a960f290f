//! Processor time of threads, and which processor a thread runs on.
//!
//! Invariant: a [`ThreadClock`] reads the time of the thread that made it, from any thread, as
//! long as that thread runs.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Keeps every processor from going idle while it lives, by threads that run when no other one
/// wants to. What a hypervisor makes of an idle processor is then no part of what is measured.
pub struct Awake {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Awake {
    /// Begins.
    pub fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let threads = (0..processors()).map(|processor| {
            let is_over = is_over.clone();
            thread::spawn(move || {
                pin(processor);
                let lowest = libc::sched_param { sched_priority: 0 };
                // SAFETY: the parameter outlives the call, which concerns this thread alone.
                let result =
                    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const lowest) };
                assert_eq!(result, 0, "every thread may step back");
                while !is_over.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            })
        });
        let threads = threads.collect();
        Awake { is_over, threads }
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The processor time that one thread has used.
#[derive(Clone, Copy)]
pub struct ThreadClock(libc::clockid_t);

impl ThreadClock {
    /// The clock of the calling thread.
    pub fn of_this_thread() -> Self {
        let mut clock = 0;
        // SAFETY: the calling thread exists, and `clock` outlives the call.
        let result = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
        assert_eq!(result, 0, "every thread of Linux has a clock");
        ThreadClock(clock)
    }

    /// User and system time since the thread started.
    pub fn read(self) -> Duration {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `time` outlives the call; a clock of a thread that ended is an error.
        let result = unsafe { libc::clock_gettime(self.0, &raw mut time) };
        assert_eq!(result, 0, "the measured thread is alive");
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// What the system calls this thread.
pub fn this_thread() -> u32 {
    // SAFETY: it has no arguments and cannot fail.
    let thread = unsafe { libc::gettid() };
    thread.unsigned_abs()
}

/// The processor time that all threads of this process have used.
pub fn process_time() -> Duration {
    ThreadClock(libc::CLOCK_PROCESS_CPUTIME_ID).read()
}

/// Lets the calling thread run on every processor again.
pub fn unpin() {
    // SAFETY: an all-zero set is a valid empty set, and it outlives the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for processor in 0..libc::CPU_SETSIZE as usize {
            libc::CPU_SET(processor, &mut set);
        }
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// Binds the calling thread to one processor, where there are several.
pub fn pin(processor: usize) {
    // SAFETY: an all-zero set is a valid empty set, and it outlives the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor % processors(), &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// How many processors there are. Not those that this thread may use: it may have inherited the
/// place of another one.
fn processors() -> usize {
    // SAFETY: asks for a number only.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    count.max(1) as usize
}
