//! Faults of real networks, made in network namespaces of the tests' own.
//!
//! Invariant: nothing leaves the namespaces, and they are gone when their test is. A test that
//! may not make one says that it was skipped, and why.

mod capture;
mod close;
mod endpoints;
mod equal_security;
mod explain;
mod families;
mod log;
mod names;
mod profiles;
mod resolution;
mod services;
mod soft_error;
mod unreachable;
mod waiting;
mod world;

use portway_tests::namespace;
