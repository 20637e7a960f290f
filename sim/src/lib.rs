//! The simulated environment: hosts, links, TCP, UDP and DNS in virtual time, from one seed.
//!
//! Invariant: the same seed and the same program give the same wire log, byte for byte. Product
//! code runs unchanged on a [`SimEnvironment`]; start with [`Simulation`].

mod environment;
mod events;
mod executor;
mod host;
mod link;
mod packet;
mod random;
mod route;
mod simulation;
mod state;
mod tcp;
mod timer;
mod world;

pub use environment::SimEnvironment;
pub use link::{Direction, Link, LinkOptions, Selector};
pub use packet::{WireEvent, WireKind};
pub use route::Unreachable;
pub use simulation::Simulation;
pub use world::World;
