//! TCP as far as programs can tell: handshake, bytes in order, windows, FIN, RST, timeouts.
//!
//! Invariant: a byte leaves the send buffer only when the peer acknowledged it, and reaches the
//! reader once and in order. There is no congestion control: at a link with a limited rate a
//! sender waits for room, so only random loss and black holes cost retransmissions.

mod connection;
mod handshake;
mod keep_alive;
mod listener;
mod receiver;
mod sender;
mod stream;
mod table;

pub(crate) use connection::Buffers;
pub(crate) use handshake::connect;
pub(crate) use listener::listen;
pub(crate) use table::TcpTable;
