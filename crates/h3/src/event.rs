//! What a connection tells its application and asks of its transport.
//!
//! Invariant: an event says that something can be asked for; what it is waits in the connection,
//! bounded, so that unread events hold nothing.

use bytes::Bytes;

use crate::error::{Code, ConnectionError, StreamError};
use crate::stream::StreamId;

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A request arrived with its whole header section; [`Connection::receive`] gives it.
    ///
    /// [`Connection::receive`]: crate::Connection::receive
    Request(StreamId),
    /// [`Connection::receive`] has something for this stream. Told again only after it had nothing.
    ///
    /// [`Connection::receive`]: crate::Connection::receive
    Readable(StreamId),
    /// There is room again after [`SendError::WouldBlock`](crate::SendError::WouldBlock).
    Writable(StreamId),
    /// The peer wants no more of what we send on this stream. What it sends is not affected.
    Stopped(StreamId, StreamError),
    /// The settings of the peer arrived; see [`Connection::peer_settings`].
    ///
    /// [`Connection::peer_settings`]: crate::Connection::peer_settings
    Settings,
    /// The peer takes no new requests (or pushes) and told which ones it may still process; the
    /// others have failed with the advice that they may be sent on a new connection.
    GoAway {
        /// The first identifier that is not processed.
        identifier: u64,
    },
    /// The server promised a push on a request stream; [`Connection::promise`] has its request.
    /// The same push may be promised for several requests.
    ///
    /// [`Connection::promise`]: crate::Connection::promise
    PushPromised {
        /// The request that it belongs to.
        stream: StreamId,
        /// Which push.
        push_id: u64,
    },
    /// The response to a promise begins on a stream of its own.
    Push {
        /// Which push.
        push_id: u64,
        /// Where its response comes.
        stream: StreamId,
    },
    /// The other side gave up a push.
    PushCancelled(u64),
    /// [`Connection::receive_datagram`] has something for this request. Told again only after it
    /// had nothing.
    ///
    /// [`Connection::receive_datagram`]: crate::Connection::receive_datagram
    Datagram(StreamId),
    /// The peer opened a stream of an extension that the application asked for;
    /// [`Connection::receive`] gives its bytes as [`Incoming::Data`](crate::Incoming::Data).
    ///
    /// [`Connection::receive`]: crate::Connection::receive
    ExtensionStream {
        /// Which stream.
        stream: StreamId,
        /// The type of the stream, or the frame type that it begins with.
        ty: u64,
    },
    /// The server told which origins it speaks for; see [`Connection::origins`].
    ///
    /// [`Connection::origins`]: crate::Connection::origins
    Origins,
    /// After a shutdown, nothing is in flight any more; the connection can be closed.
    Drained,
    /// The connection is over. Every stream has its own failure to tell.
    Closed(ConnectionError),
}

/// Something that the transport must do, besides writing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Abruptly end the sending direction of a stream.
    Reset(StreamId, Code),
    /// Ask the peer to end its sending direction of a stream, and read it no more.
    Stop(StreamId, Code),
    /// Send a stream before those with a smaller number.
    Prioritize(StreamId, i32),
    /// Send a datagram.
    Datagram(Bytes),
    /// Keep these bytes with the session, for [`Config::remembered`](crate::Config::remembered).
    Remember(Bytes),
}

/// A piece of a stream for the transport.
#[derive(Debug)]
pub struct Transmit<'a> {
    /// The stream to write to.
    pub stream: StreamId,
    /// What to write, in this order. The transport advances the pieces by what it takes.
    pub chunks: &'a mut [Bytes],
    /// Whether the stream ends after the last piece.
    pub fin: bool,
}

/// What became of a [`Transmit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// How many bytes were taken from the pieces.
    pub bytes: usize,
    /// Whether everything was taken and the stream is finished.
    pub fin: bool,
    /// Whether the stream takes no more until the transport says so.
    pub is_blocked: bool,
}

/// Whether the message goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The message ends with this.
    Now,
    /// More follows.
    Later,
}

/// What arrives on a stream, without copying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The next bytes of the stream.
    pub bytes: Bytes,
    /// Whether the stream ends after them.
    pub fin: bool,
}
