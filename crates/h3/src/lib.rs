//! HTTP/3 without I/O: bytes, stream events and time come in, events and bytes to send go out.
//!
//! Nothing here opens a socket, reads a clock, starts a task or draws a random number, and
//! nothing of portway is needed to use it.
//!
//! | module | holds |
//! |---|---|
//! | [`field`] | field names, values and lines as they are on the wire |
//! | [`qpack`] | field compression (RFC 9204): the encoder and the decoder with both tables |

pub mod field;
pub mod qpack;
