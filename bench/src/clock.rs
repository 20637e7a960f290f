//! Processor time of threads, and which processor a thread runs on.
//!
//! Invariant: a [`ThreadClock`] reads the time of the thread that made it, from any thread, as
//! long as that thread runs.

use std::time::Duration;

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
    // Not those that this thread may use: it may have inherited the place of another one.
    // SAFETY: asks for a number only.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }.max(1) as usize;
    // SAFETY: an all-zero set is a valid empty set, and it outlives the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor % count, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}
