//! portway's HTTP client against reqwest, and against what reqwest's HTTP/3 is made of.
//!
//! Invariant: both do the same requests to the same server, alternately.

mod clients;
mod faults;
mod first;
mod http3;
mod idle;
mod load;
mod page;
mod server;
pub mod serving;

pub use load::count;
pub use page::{idle_bytes, measure, section};
