//! HTTP/3 against the raw QUIC driver, against the crate `h3` over quinn, and against hyper's
//! HTTP/2 over TLS.
//!
//! Invariant: all of them have the same windows, congestion control, TLS library and suites, and
//! the same application around them.

mod beside;
mod bulk;
mod ends;
mod found;
mod h3_side;
mod http2_side;
mod link;
mod ours;
mod page;
mod qpack;
mod raw;
mod rounds;
mod sharded;
mod watched;
mod web;

pub use beside::run_beside_quiche;
pub use bulk::{BULK, Bulk};
pub use found::{Found, measure};
pub use h3_side::H3;
pub use http2_side::Http2;
pub use link::{run_on_link, watch_on_link};
pub use ours::Http3;
pub use page::section;
pub use raw::Raw;
pub use rounds::{Measured, STACKS, count, count_on_workers, count_one_end};
pub use web::Load;

/// What callgrind counts: it starts and stops at this function.
#[inline(never)]
fn measured<T>(work: impl FnOnce() -> T) -> T {
    std::hint::black_box(work())
}
