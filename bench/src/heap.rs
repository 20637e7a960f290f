//! The system's allocator, counting what is alive when asked to.
//!
//! Invariant: while nothing is counted, an allocation costs one load more, for both sides alike.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

/// The allocator of the benchmarks.
pub struct Heap;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    static LIVE_BYTES_HERE: Cell<isize> = const { Cell::new(0) };
}

/// Counts from now on; what was allocated before may make numbers negative, differences are right.
pub fn start_counting() {
    IS_COUNTING.store(true, Ordering::Relaxed);
}

/// The bytes that are alive, but for those from before.
pub fn live_bytes() -> isize {
    LIVE_BYTES.load(Ordering::Relaxed)
}

/// The bytes that this thread has allocated less those that it has given back, but for those from
/// before. Memory that changes threads makes it meaningless.
pub fn live_bytes_here() -> isize {
    LIVE_BYTES_HERE.get()
}

fn count(bytes: isize) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        LIVE_BYTES.fetch_add(bytes, Ordering::Relaxed);
        LIVE_BYTES_HERE.set(LIVE_BYTES_HERE.get() + bytes);
    }
}

// SAFETY: every call is passed on unchanged; only a number is added.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the rules of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the rules of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller keeps the rules of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the rules of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
