//! Tests of the pool on virtual time.
//!
//! Every event goes through [`world::World`], which keeps its own books of what the pool may do
//! and checks each action against them; a test that only names a case is checked all the same.

mod cases;
mod dialling;
mod limits;
mod random;
mod world;
