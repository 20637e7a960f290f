//! HTTP/3 against the raw QUIC driver's requests, and against what else carries HTTP.
//!
//! Invariant: a request has the same content as that of the raw driver, and so has its answer; what
//! HTTP adds is what is measured.

mod ours;

pub use ours::Http3;

use crate::quic::Work;

/// Everything that is measured, by name, with the gate of issue 4 against the raw driver.
pub const WORK: [(&str, Work, f64, usize); 3] = [
    ("requests-1", Work::Requests(1), 1.15, 2_000),
    ("requests-32", Work::Requests(32), 1.5, 6_400),
    ("requests-256", Work::Requests(256), 1.6, 12_800),
];
