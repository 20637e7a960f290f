//! The interface, driven over real sockets on loopback.

mod support;

mod bridges;
mod datagrams;
mod echo;
mod listening;
mod names;
mod properties;
