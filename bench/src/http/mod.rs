//! portway's HTTP client against reqwest.
//!
//! Invariant: both do the same requests to the same server, alternately.

mod clients;
mod faults;
mod load;
mod page;
mod server;
pub mod serving;

pub use load::count;
pub use page::{measure, section};
