//! portway's HTTP server against axum's own and against one on the crate `h3`.
//!
//! Invariant: every server is a process of its own that answers the same router, and every one
//! meets the same clients; only the server counts.

mod app;
mod count;
mod crowd;
mod load;
mod page;
mod process;
mod run;

pub use app::serve;
pub use load::{LOADS, Load, Protocol};
pub use page::section;
pub use run::{Row, measure};
