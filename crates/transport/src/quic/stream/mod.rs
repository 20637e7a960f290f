//! The two halves of a stream.
//!
//! Invariant: a half acts on the protocol's state at once. Dropping a half ends it: reading is
//! stopped with the default code, writing is finished.

mod end;
mod receive;
mod send;

pub use self::end::{ReadsClosed, WritesClosed};
pub use self::receive::ReceiveStream;
pub use self::send::SendStream;
