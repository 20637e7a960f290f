//! Counts what a thread holds and takes: everything of a simulation runs on its test's thread.
#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static BUFFERS: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // Threads that end free what they hold after their own variables are gone.
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        if layout.size() == BUFFER_BYTES {
            let _ = BUFFERS.try_with(|buffers| buffers.set(buffers.get() + 1));
        }
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that this thread holds now.
pub(crate) fn live() -> isize {
    LIVE.get()
}

/// How many blocks this thread has taken that are as large as hyper's buffers.
pub(crate) fn buffers() -> usize {
    BUFFERS.get()
}

const BUFFER_BYTES: usize = 8192;
