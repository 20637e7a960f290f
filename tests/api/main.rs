//! The interface, driven over real sockets on loopback.

mod support;

mod bridges;
mod datagrams;
mod echo;
mod framers;
mod listening;
mod messages;
mod names;
mod properties;
mod requests;
mod runtimes;
