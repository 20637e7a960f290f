//! HTTP/3 without I/O: bytes, stream events and time come in, events and bytes to send go out.
//!
//! Nothing here opens a socket, reads a clock, starts a task or draws a random number, and
//! nothing of portway is needed to use it.
//!
//! | module | holds |
//! |---|---|
//! | [`Connection`] | the protocol: control streams, requests and responses, shutdown |
//! | [`Transport`], [`memory`] | the seam to QUIC, and a deterministic one for tests |
//! | [`capsule`] | capsules (RFC 9297), over any version of HTTP |
//! | [`datagram`] | HTTP datagrams: RFC 9297, draft-01 and draft-00 |
//! | [`error`] | failures with their scope as a type, codes, retry advice |
//! | [`field`] | field names, values and lines as they are on the wire |
//! | [`frame`] | the incremental frame decoder and every frame's payload |
//! | [`limits`] | every bound of a connection |
//! | [`message`] | the rules for requests, responses, trailers and promises |
//! | [`padding`] | what hides the size of messages |
//! | [`priority`] | priorities of responses (RFC 9218) and the scheduler that obeys them |
//! | [`qpack`] | field compression (RFC 9204): the encoder and the decoder with both tables |
//! | [`settings`] | what each side may expect of the other, across sessions too |
//! | [`varint`] | variable-length integers |
//! | [`version`] | RFC 9114 and draft-32 |

pub mod capsule;
mod connection;
pub mod datagram;
pub mod error;
mod event;
mod exchange;
pub mod field;
pub mod frame;
mod glitch;
mod grease;
pub mod limits;
pub mod memory;
pub mod message;
pub mod padding;
pub mod priority;
pub mod qpack;
mod queue;
pub mod settings;
mod stream;
mod structured;
mod transport;
pub mod varint;
pub mod version;

pub use connection::{Config, Connection};
pub use event::{Action, Chunk, Event, Finish, Transmit, Written};
pub use exchange::{Incoming, SendError};
pub use stream::{Direction, Role, StreamId, StreamMap};
pub use transport::{EarlyData, ReadError, Transport, TransportEvent, WriteError};
