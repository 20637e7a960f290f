//! What an idle TLS layer holds beyond rustls's own state.
//!
//! Invariant: one test only, since the allocator counts the whole process.
#![allow(unsafe_code, reason = "an allocator that counts")]

mod tls_support;

use bytes::BytesMut;
use portway_transport::layer::ByteLayer;
use portway_transport::tls::{TlsEngine, TlsLayer};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use tls_support::{Authority, Pair, parameters, read_all};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_idle_layer_holds_no_buffer() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let engine = TlsEngine::new();
    let idle_after = |megabytes: usize| {
        let before = LIVE.load(Ordering::Relaxed);
        let mut layers: Vec<TlsLayer> = Vec::with_capacity(40);
        for _ in 0..20 {
            let mut pair = Pair::of(&engine, &client, &server, &[], &[]);
            pair.start().expect_ready();
            for _ in 0..megabytes {
                pair.client
                    .write(&[&[7; 1024 * 1024]], &mut pair.to_server)
                    .unwrap();
                pair.settle();
                assert_eq!(read_all(&mut pair.server).len(), 1024 * 1024);
            }
            pair.server_says(&[b"last"]);
            let Pair { client, server, .. } = pair;
            layers.extend([client, server]);
        }
        let after = LIVE.load(Ordering::Relaxed);
        let each = (after - before) / layers.len();
        let mut out = BytesMut::new();
        layers.iter_mut().for_each(|layer| layer.close(&mut out));
        each
    };
    // The first round fills caches: configurations, sessions.
    idle_after(0);
    let quiet = idle_after(0);
    let busy = idle_after(2);
    println!("an idle layer holds {quiet} bytes, {busy} after 2 MiB");
    assert!(quiet < 4 * 1024, "{quiet} bytes");
    assert!(busy < quiet + 1024, "{busy} bytes after {quiet}");
}
