//! Compares portway with what one would write otherwise: tokio, tokio-util's codec, tokio-rustls.
//!
//! Invariant: both sides of a comparison run in the same process, alternately, over the same kind
//! of carrier, with the same cryptography and the same socket options; but tokio-quiche, which is
//! in a process of its own. The binary `report` starts itself once for each of them and writes
//! docs/performance.md.

pub mod baseline;
pub mod carrier;
pub mod clock;
pub mod command;
pub mod counted;
pub mod counting;
pub mod h3;
pub mod heap;
pub mod http;
pub mod page;
pub mod pairs;
pub mod portway_side;
pub mod quic;
pub mod quiche;
pub mod race_work;
pub mod section;
pub mod sharded;
pub mod table;
pub mod tokio_side;
pub mod tools;
pub mod verdict;
pub mod workload;
