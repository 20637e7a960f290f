//! The interface, driven over real sockets on loopback.

mod support;

mod datagrams;
mod echo;
mod names;
mod properties;
