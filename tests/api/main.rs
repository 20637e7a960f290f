//! The interface, driven over real sockets on loopback.

mod support;

mod batches;
mod binary;
mod bridges;
mod datagrams;
mod echo;
mod ends;
mod framers;
mod h3_sharded;
mod listening;
mod message_properties;
mod messages;
mod names;
mod properties;
mod quic;
mod quic_interface;
mod requests;
mod runtimes;
mod selection;
