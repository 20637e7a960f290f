//! The sending direction of a stream: what waits to be written and what may still be sent.
//!
//! Invariant: the bytes queued are a legal sequence of frames, and FIN follows the last of them.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{ConnectionError, Retry, StreamError};
use crate::event::Finish;
use crate::frame::data;
use crate::limits::Limits;
use crate::message::{Expected, Unsendable};
use crate::padding::{self, Padding};
use crate::queue::Pieces;

/// Why something cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// Too much waits already; [`Event::Writable`](crate::Event::Writable) follows.
    WouldBlock,
    /// HTTP/3 cannot carry the message.
    Unsendable(Unsendable),
    /// The message does not allow this now, such as content after trailers.
    OutOfOrder(&'static str),
    /// The content is not what content-length says.
    ContentLength,
    /// The stream ended: the peer stopped it, or we did.
    Stream(StreamError),
    /// The peer goes away and takes no new requests.
    GoingAway,
    /// The peer has not offered, or not offered yet, what this needs.
    NotOffered(&'static str),
    /// The datagram is longer than the transport takes now.
    DatagramTooLarge {
        /// How long its payload can be.
        max: usize,
    },
    /// There is no such stream.
    UnknownStream,
    /// The connection is closed.
    Connection(ConnectionError),
}

impl SendError {
    /// Whether the request may be sent again, and where.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Stream(error) => error.retry,
            Self::GoingAway => Retry::SafeOnNewConnection,
            _ => Retry::Unknown,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock => f.write_str("too much waits to be sent"),
            Self::Unsendable(why) => fmt::Display::fmt(why, f),
            Self::OutOfOrder(why) => f.write_str(why),
            Self::ContentLength => f.write_str("the content is not what content-length says"),
            Self::Stream(error) => fmt::Display::fmt(error, f),
            Self::GoingAway => f.write_str("the peer takes no new requests"),
            Self::NotOffered(what) => write!(f, "the peer does not offer {what}"),
            Self::DatagramTooLarge { max } => write!(f, "a datagram has at most {max} bytes now"),
            Self::UnknownStream => f.write_str("there is no such stream"),
            Self::Connection(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unsendable(why) => Some(why),
            Self::Stream(error) => Some(error),
            Self::Connection(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Unsendable> for SendError {
    fn from(why: Unsendable) -> Self {
        Self::Unsendable(why)
    }
}

/// How far the message to be sent is.
///
/// ```text
///        interim
///        ┌────┐
///        ▼    │
/// ──▶  Head ──┴─final HEADERS──▶ Body ──trailers──▶ Ended ──FIN written──▶ Finished
///                                 └──────FIN──────────▲
/// any ──reset, or stopped by the peer──▶ Aborted
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendState {
    /// No final header section yet.
    Head,
    /// Content or trailers may follow.
    Body,
    /// Everything is queued, FIN included.
    Ended,
    /// Everything was given to the transport.
    Finished,
    /// The stream was reset; the failure is for whoever wants to send more.
    Aborted(StreamError),
}

/// The sending direction of one stream.
#[derive(Debug)]
pub(crate) struct Sender {
    state: SendState,
    expected: Expected,
    content: Content,
    /// Bytes that may still grow: frame headers and field sections before they are written.
    tail: BytesMut,
    chunks: Pieces,
    queued_bytes: usize,
    /// How many bytes were ever queued, which is what padding fills up.
    total_bytes: u64,
    wants_room: bool,
    has_sent: bool,
}

/// What the bytes behind the header section are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// DATA frames, other frames and trailers.
    Message,
    /// DATA frames and nothing else.
    Tunnel,
    /// No frames: the stream is an extension's.
    Raw,
}

impl Sender {
    #[inline]
    pub(crate) fn new(state: SendState) -> Self {
        Self {
            state,
            expected: Expected::Any,
            content: Content::Message,
            tail: BytesMut::new(),
            chunks: Pieces::default(),
            queued_bytes: 0,
            total_bytes: 0,
            wants_room: false,
            has_sent: false,
        }
    }

    /// Begins again, before any header section.
    pub(crate) fn renew(&mut self) {
        let Self {
            state,
            expected,
            content,
            tail,
            chunks,
            queued_bytes,
            total_bytes,
            wants_room,
            has_sent,
        } = self;
        *state = SendState::Head;
        *expected = Expected::Any;
        *content = Content::Message;
        if tail.capacity() > 0 {
            *tail = BytesMut::new();
        }
        chunks.clear();
        *queued_bytes = 0;
        *total_bytes = 0;
        *wants_room = false;
        *has_sent = false;
    }

    #[inline]
    pub(crate) fn state(&self) -> SendState {
        self.state
    }

    /// A stream of an extension, which takes bytes as they are.
    pub(crate) fn raw() -> Self {
        Self {
            content: Content::Raw,
            ..Self::new(SendState::Body)
        }
    }

    /// Whether nothing more goes out.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, SendState::Finished | SendState::Aborted(_))
    }

    /// Whether the transport was given any byte.
    pub(crate) fn has_sent(&self) -> bool {
        self.has_sent
    }

    /// Whether there is something for the transport.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        match self.state {
            SendState::Ended => true,
            SendState::Head | SendState::Body => self.queued_bytes > 0,
            _ => false,
        }
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Queues a header section; `head` says what follows, unless it is interim.
    #[inline]
    pub(crate) fn queue_head(&mut self, encoded: Encoded, head: Option<Head>) {
        debug_assert_eq!(
            self.state,
            SendState::Head,
            "the connection checks the order"
        );
        match encoded {
            Encoded::Shared(frame) => self.queue_bytes(frame),
            Encoded::Own(frame) => self.queue_frame(frame),
        }
        if let Some(head) = head {
            self.expected = head.expected;
            self.content = head.content;
            self.state = SendState::Body;
        }
    }

    /// Queues a message, or its beginning.
    pub(crate) fn queue_message(&mut self, message: Message, padding: Padding) {
        let Message {
            encoded,
            head,
            content,
            finish,
        } = message;
        self.queue_head(encoded, Some(head));
        if !content.is_empty() {
            let counted = self.expected.take(content.len() as u64);
            debug_assert!(counted.is_ok(), "the caller asked");
            self.queue_bytes(content);
        }
        match finish {
            Finish::Now => self.end(padding),
            Finish::Later => self.pad(padding),
        }
    }

    /// Takes note that a whole message was given to the transport without being queued.
    #[inline]
    pub(crate) fn on_sent_at_once(&mut self) {
        debug_assert_eq!(self.queued_bytes, 0, "nothing may be overtaken");
        self.has_sent = true;
        self.state = SendState::Finished;
    }

    /// Takes note that the transport was given so many bytes of a message whose rest is queued
    /// next; [`Sender::on_written`] follows.
    pub(crate) fn on_begun_at_once(&mut self, bytes: usize) {
        self.count(bytes);
    }

    /// Queues whole frames, which were encoded with some room at the end.
    #[inline]
    pub(crate) fn queue_frame(&mut self, encoded: BytesMut) {
        self.freeze_tail();
        self.count(encoded.len());
        self.tail = encoded;
    }

    /// Queues bytes as they are, for streams of the connection.
    #[inline]
    pub(crate) fn queue_bytes(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.freeze_tail();
            self.count(bytes.len());
            self.chunks.push(bytes);
        }
    }

    /// Whether content may be queued.
    pub(crate) fn check_data(
        &self,
        len: usize,
        finish: Finish,
        limits: &Limits,
    ) -> Result<(), SendError> {
        match self.state {
            SendState::Body => {}
            SendState::Head => {
                return Err(SendError::OutOfOrder("content before the header section"));
            }
            SendState::Aborted(error) => return Err(SendError::Stream(error)),
            _ => return Err(SendError::OutOfOrder("content after the end")),
        }
        if self.expected.would_exceed(len as u64) {
            return Err(SendError::ContentLength);
        }
        let mut expected = self.expected;
        if finish == Finish::Now && expected.take(len as u64).and(expected.finish()).is_err() {
            return Err(SendError::ContentLength);
        }
        if len > 0 && self.queued_bytes >= limits.send_buffer_bytes {
            return Err(SendError::WouldBlock);
        }
        Ok(())
    }

    /// Whether a frame of an extension may be queued.
    pub(crate) fn check_frame(&self, limits: &Limits) -> Result<(), SendError> {
        match self.state {
            SendState::Head | SendState::Body if self.content == Content::Tunnel => {
                Err(SendError::OutOfOrder("a frame in a tunnel"))
            }
            SendState::Head | SendState::Body if self.content == Content::Raw => {
                Err(SendError::OutOfOrder("a frame on a stream without frames"))
            }
            SendState::Head | SendState::Body if self.queued_bytes >= limits.send_buffer_bytes => {
                Err(SendError::WouldBlock)
            }
            SendState::Head | SendState::Body => Ok(()),
            SendState::Aborted(error) => Err(SendError::Stream(error)),
            _ => Err(SendError::OutOfOrder("a frame after the end")),
        }
    }

    /// Queues content; the caller asked [`Sender::check_data`].
    pub(crate) fn queue_data(&mut self, content: Bytes) {
        if content.is_empty() {
            return;
        }
        if self.content == Content::Raw {
            return self.queue_bytes(content);
        }
        let counted = self.expected.take(content.len() as u64);
        debug_assert!(counted.is_ok(), "the caller asked");
        let mut header = [0; data::HEADER_LEN_MAX];
        let room = header.len();
        let mut rest = &mut header[..];
        data::encode(content.len(), &mut rest);
        let header_len = room - rest.len();
        // The header of the frame joins the field section before it when there is room, so that a
        // small response is two pieces: ours and the application's.
        self.put(&header[..header_len]);
        self.freeze_tail();
        self.count(content.len());
        self.chunks.push(content);
    }

    /// Whether the message may end here.
    pub(crate) fn check_end(&self) -> Result<(), SendError> {
        match self.state {
            SendState::Body => {}
            SendState::Head => {
                return Err(SendError::OutOfOrder("the end before the header section"));
            }
            SendState::Aborted(error) => return Err(SendError::Stream(error)),
            _ => return Err(SendError::OutOfOrder("a second end")),
        }
        self.expected.finish().map_err(|_| SendError::ContentLength)
    }

    /// Whether trailers may be queued.
    pub(crate) fn check_trailers(&self) -> Result<(), SendError> {
        self.check_end()?;
        // RFC 9114 §4.4: a tunnel has DATA only.
        match self.content {
            Content::Message => Ok(()),
            Content::Tunnel => Err(SendError::OutOfOrder("trailers in a tunnel")),
            Content::Raw => Err(SendError::OutOfOrder("trailers on a stream without frames")),
        }
    }

    /// Queues FIN behind everything else.
    pub(crate) fn end(&mut self, padding: Padding) {
        if matches!(self.state, SendState::Head | SendState::Body) {
            self.pad(padding);
            self.state = SendState::Ended;
        }
    }

    /// Fills up what was queued of a message.
    // RFC 9114 §4.4: a tunnel has DATA only, so that it has no room for padding.
    pub(crate) fn pad(&mut self, padding: Padding) {
        let len = padding.frame_len(self.total_bytes);
        if len == 0 || self.content != Content::Message {
            return;
        }
        let mut frame = BytesMut::with_capacity(len);
        padding::encode(len, &mut frame);
        self.put(&frame);
    }

    #[inline]
    fn count(&mut self, bytes: usize) {
        self.queued_bytes += bytes;
        self.total_bytes += bytes as u64;
    }

    /// Drops everything; the failure is for whoever wants to send more.
    pub(crate) fn abort(&mut self, error: StreamError) {
        if !self.is_over() {
            self.state = SendState::Aborted(error);
        }
        self.tail = BytesMut::new();
        self.chunks.clear();
        self.queued_bytes = 0;
    }

    /// Remembers that the application waits for room.
    pub(crate) fn want_room(&mut self) {
        self.wants_room = true;
    }

    /// Whether the application waited and there is room now.
    #[inline]
    pub(crate) fn take_room(&mut self, limits: &Limits) -> bool {
        let has_room = self.queued_bytes < limits.send_buffer_bytes / 2 + 1 || self.is_over();
        let is_due = self.wants_room && has_room;
        if is_due {
            self.wants_room = false;
        }
        is_due
    }

    /// What to write now: a few pieces, and whether FIN follows them.
    #[inline]
    pub(crate) fn pieces(&mut self) -> (&mut [Bytes], bool) {
        self.freeze_tail();
        let chunks = self.chunks.as_mut_slice();
        let len = chunks.len().min(PIECES_MAX);
        let fin = self.state == SendState::Ended && len == chunks.len();
        (&mut chunks[..len], fin)
    }

    /// Takes note of what the transport took: the pieces were advanced in place.
    #[inline]
    pub(crate) fn on_written(&mut self, bytes: usize, fin: bool) {
        self.queued_bytes -= bytes;
        self.has_sent |= bytes > 0 || fin;
        self.chunks.drop_written();
        if fin {
            debug_assert!(self.chunks.is_empty(), "FIN is the last thing");
            self.state = SendState::Finished;
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        if self.tail.is_empty() || self.tail.capacity() - self.tail.len() < bytes.len() {
            self.freeze_tail();
            self.tail = BytesMut::with_capacity(bytes.len());
        }
        self.tail.put_slice(bytes);
    }

    #[inline]
    fn freeze_tail(&mut self) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.chunks.push(tail.freeze());
        }
    }
}

/// The frame of a header section, with the header of the DATA frame behind it if content comes with
/// it.
#[derive(Debug)]
pub(crate) enum Encoded {
    /// Shared with other messages that begin in the same way.
    Shared(Bytes),
    /// Its own, with room for what may join it.
    Own(BytesMut),
}

/// A message, or its beginning. `encoded` ends with the header of the DATA frame that has the
/// content, whose length is what the head allows.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) encoded: Encoded,
    pub(crate) head: Head,
    pub(crate) content: Bytes,
    pub(crate) finish: Finish,
}

/// What a final header section says about the message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) expected: Expected,
    pub(crate) content: Content,
}

/// How many pieces go to the transport at once.
const PIECES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn sender() -> Sender {
        let mut sender = Sender::new(SendState::Head);
        let mut encoded = BytesMut::with_capacity(64);
        encoded.put_slice(b"\x01\x02hh");
        let head = Head {
            expected: Expected::Any,
            content: Content::Message,
        };
        sender.queue_head(Encoded::Own(encoded), Some(head));
        sender
    }

    #[test]
    fn a_small_response_leaves_in_two_pieces_with_fin() {
        let mut sender = sender();
        let content = Bytes::from_static(b"content");
        sender.queue_data(content.clone());
        sender.end(Padding::None);
        let (pieces, fin) = sender.pieces();
        assert!(fin);
        assert_eq!(pieces.len(), 2);
        assert_eq!(&pieces[0][..], b"\x01\x02hh\x00\x07");
        assert_eq!(
            pieces[1].as_ptr(),
            content.as_ptr(),
            "content is not copied"
        );
    }

    #[test]
    fn a_partial_write_keeps_the_rest() {
        let mut sender = sender();
        sender.queue_data(Bytes::from_static(b"content"));
        sender.end(Padding::None);
        let (pieces, _) = sender.pieces();
        let first = std::mem::take(&mut pieces[0]).len();
        bytes::Buf::advance(&mut pieces[1], 3);
        sender.on_written(first + 3, false);
        assert!(sender.has_sent() && sender.has_work());
        let (pieces, fin) = sender.pieces();
        assert!(fin);
        assert_eq!(pieces, [Bytes::from_static(b"tent")]);
        pieces[0].clear();
        sender.on_written(4, true);
        assert_eq!(sender.state(), SendState::Finished);
        assert_eq!(sender.queued_bytes(), 0);
    }

    #[test]
    fn fin_waits_for_the_last_piece() {
        let mut sender = sender();
        for _ in 0..20 {
            sender.queue_data(Bytes::from_static(b"x"));
        }
        sender.end(Padding::None);
        let (pieces, fin) = sender.pieces();
        assert_eq!((pieces.len(), fin), (PIECES_MAX, false));
    }

    #[test]
    fn a_full_queue_asks_to_wait_and_tells_when_there_is_room() {
        let limits = Limits {
            send_buffer_bytes: 10,
            ..Limits::default()
        };
        let mut sender = sender();
        sender.check_data(9, Finish::Later, &limits).expect("room");
        sender.queue_data(Bytes::from_static(b"content"));
        assert_eq!(
            sender.check_data(1, Finish::Later, &limits),
            Err(SendError::WouldBlock)
        );
        sender.want_room();
        assert!(!sender.take_room(&limits));
        let (pieces, _) = sender.pieces();
        let len = pieces.iter().map(Bytes::len).sum();
        pieces.iter_mut().for_each(Bytes::clear);
        sender.on_written(len, false);
        assert!(sender.take_room(&limits));
        assert!(!sender.take_room(&limits), "once");
    }

    #[test]
    fn nothing_follows_an_abort() {
        let mut sender = sender();
        let error = StreamError::local(Code::H3_REQUEST_CANCELLED, "x");
        sender.abort(error);
        assert!(sender.is_over() && !sender.has_work());
        let refused = sender.check_data(1, Finish::Now, &Limits::default());
        assert_eq!(refused, Err(SendError::Stream(error)));
        assert_eq!(sender.check_end(), Err(SendError::Stream(error)));
    }
}
