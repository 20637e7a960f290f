//! HTTP/3 without I/O: bytes, stream events and time come in, events and bytes to send go out.
//!
//! Nothing here opens a socket, reads a clock, starts a task or draws a random number, and
//! nothing of portway is needed to use it.
//!
//! | module | holds |
//! |---|---|
//! | [`error`] | failures with their scope as a type, codes, retry advice |
//! | [`field`] | field names, values and lines as they are on the wire |
//! | [`frame`] | the incremental frame decoder and every frame's payload |
//! | [`limits`] | every bound of a connection |
//! | [`message`] | the rules for requests, responses, trailers and promises |
//! | [`qpack`] | field compression (RFC 9204): the encoder and the decoder with both tables |
//! | [`settings`] | what each side may expect of the other, across sessions too |
//! | [`varint`] | variable-length integers |
//! | [`version`] | RFC 9114 and draft-32 |

#[allow(dead_code, reason = "the connection, which uses it all, comes next")]
pub mod error;
pub mod field;
pub mod frame;
#[allow(dead_code, reason = "the connection, which uses it all, comes next")]
mod glitch;
pub mod limits;
pub mod message;
pub mod qpack;
#[allow(dead_code, reason = "the connection, which uses it all, comes next")]
pub mod settings;
pub mod varint;
pub mod version;
