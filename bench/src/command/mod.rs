//! The measurements, each of which runs in a process of its own.
//!
//! Invariant: what one measurement leaves behind cannot disturb another.

pub mod batch;
pub mod connect;
pub mod instructions;
pub mod memory;
pub mod messages;
