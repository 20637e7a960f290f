//! The race: one sans-IO machine per connection attempt, after Happy Eyeballs v3.

mod io;

pub use io::{AttemptId, Candidate, Input, Leaf, Output, Progress, QueryId, Timing};
