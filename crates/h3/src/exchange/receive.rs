//! The receiving direction of an exchange: frames become a message.
//!
//! Invariant: what the application gets from one stream is a legal message as far as it came, and
//! at most `receive_buffer_bytes`, the last piece and the rest of one chunk wait.

mod head;
mod treatment;

use std::time::Duration;

use bytes::Bytes;

use super::Incoming;
use crate::connection::{Datagrams, Sections};
use crate::datagram::{CAPSULE_FRAME, Profile};
use crate::error::{Code, ConnectionError, Fault, StreamError};
use crate::frame::{Decoded, Decoder, FrameType};
use crate::glitch::Glitches;
use crate::limits::Limits;
use crate::message::{Expected, RequestHead, Section, SectionFault};
use crate::queue::Queue;
use crate::stream::StreamId;

pub(crate) use head::{DecodedHead, has_no_content};

/// Which message a stream brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A request, to a server.
    Request,
    /// The response to a request with this need, to a client.
    Response {
        /// The request was HEAD, so that the response has no content.
        to_head: bool,
        /// The request was CONNECT, so that a success opens a tunnel.
        to_connect: bool,
        /// The response is pushed.
        is_pushed: bool,
    },
    /// Whatever an extension makes of the stream; there is no message.
    Extension,
}

impl Answer {
    /// Whether it is a response with the content that it declares, if its status has any.
    fn is_plain(self) -> bool {
        matches!(
            self,
            Self::Response {
                to_head: false,
                to_connect: false,
                ..
            }
        )
    }
}

/// Where a message is.
///
/// ```text
///          interim
///          ┌────┐
///          ▼    │
///  ──▶   Head ──┴──HEADERS──▶ Body ──HEADERS──▶ Trailers
///   │    ▲ │                   │                   │
///   │    │ │ CONNECT, 2xx      │ FIN               │ FIN
///   │    │ ▼                   ▼                   ▼
///   │    │ Tunnel ────FIN────▶ Ended ◀─────────────┤
///   │    └─────────┐                               │ FIN
///   └▶ Untyped ──type── of an extension ─────────▶ Raw
///
///  any ──error, reset, nobody reads──▶ Closed
/// ```
///
/// A HEADERS frame that waits for the QPACK encoder stream holds the state; see `blocked`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReceiveState {
    /// The type of the first frame says whether the stream is an extension's.
    Untyped,
    /// Bytes of an extension.
    Raw,
    /// The header section, or an interim response, is next.
    Head,
    /// Content or trailers are next.
    Body,
    /// Nothing but the end and unknown frames.
    Trailers,
    /// Content of a tunnel.
    Tunnel,
    /// The message is complete.
    Ended,
    /// Nobody wants the rest.
    Closed,
}

/// The receiving direction of one stream.
#[derive(Debug)]
pub(crate) struct Receive {
    state: ReceiveState,
    answer: Answer,
    decoder: Decoder,
    expected: Expected,
    interim: usize,
    /// How many unknown frames came, as far as they are free.
    skipped: u8,
    inbox: Queue<Incoming, 4>,
    inbox_bytes: usize,
    /// Whether the end of the message comes behind what is in there.
    has_end: bool,
    failure: Failure,
    wait: Wait,
    /// Which section of this stream waits for the dynamic table.
    blocked: Option<Waiting>,
    /// What came after it.
    unread: Unread,
}

/// A section that QPACK keeps until its entries have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Headers,
    Promise(u64),
}

/// What a piece counts for while it waits, so that tiny ones are not free.
fn cost(bytes: &Bytes) -> usize {
    bytes.len() + PIECE_OVERHEAD
}

/// What a piece costs beside its bytes: its place, and its allocation.
const PIECE_OVERHEAD: usize = 128;

/// Pieces below this are copied when others wait already.
const SMALL_PIECE: usize = 1024;

/// How many unknown or empty frames of a message are not suspicious: padding, grease, its end.
const SKIPPED_FREE: u8 = 4;

/// What the peer still owes, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing that has a time.
    Nothing,
    /// The rest of a field section, or of another frame that is handed over whole.
    Section(Duration),
    /// Instructions of QPACK.
    Blocked(Duration),
}

/// What arrived and is not looked at yet.
#[derive(Debug, Default)]
struct Unread {
    bytes: Bytes,
    fin: bool,
}

impl Unread {
    fn clear(&mut self) {
        self.bytes = Bytes::new();
        self.fin = false;
    }
}

/// Whether the end of a stream is an error, and whether the application knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    None,
    Untold(StreamError),
    Told,
}

/// What a stream needs of its connection to make messages.
pub(crate) struct Context<'a> {
    pub(crate) stream: StreamId,
    pub(crate) limits: &'a Limits,
    pub(crate) glitches: &'a mut Glitches,
    pub(crate) sections: &'a mut Sections,
    /// Frame types of extensions that the application handles.
    pub(crate) extension_frames: &'a [FrameType],
    /// First types of bidirectional streams that the application handles.
    pub(crate) extension_streams: &'a [FrameType],
    /// Whether we offered extended CONNECT.
    pub(crate) extended_connect: bool,
    /// The largest push identifier that we allowed.
    pub(crate) push_id_max: Option<u64>,
    /// What was negotiated for datagrams.
    pub(crate) profile: Option<Profile>,
    pub(crate) datagrams: &'a mut Datagrams,
}

/// What a step of [`Receive::process`] leads to.
#[derive(Debug)]
pub(crate) enum FrameOutcome {
    /// Nothing more can be done with what arrived.
    Idle,
    /// A promise, which concerns the connection.
    Promise(u64, Box<Section>),
    /// A CAPSULE frame of draft-01.
    Capsule(Bytes),
    /// The stream belongs to an extension.
    Extension(FrameType),
}

impl Receive {
    #[inline]
    pub(crate) fn new(answer: Answer) -> Self {
        Self {
            state: ReceiveState::Head,
            answer,
            decoder: Decoder::default(),
            expected: Expected::Any,
            interim: 0,
            skipped: 0,
            inbox: Queue::default(),
            inbox_bytes: 0,
            has_end: false,
            failure: Failure::None,
            wait: Wait::Nothing,
            blocked: None,
            unread: Unread::default(),
        }
    }

    /// Begins again: a request to a server.
    pub(crate) fn renew(&mut self) {
        let Self {
            state,
            answer,
            decoder,
            expected,
            interim,
            skipped,
            inbox,
            inbox_bytes,
            has_end,
            failure,
            wait,
            blocked,
            unread,
        } = self;
        *state = ReceiveState::Head;
        *answer = Answer::Request;
        decoder.clear();
        *expected = Expected::Any;
        *interim = 0;
        *skipped = 0;
        inbox.clear();
        *inbox_bytes = 0;
        *has_end = false;
        *failure = Failure::None;
        *wait = Wait::Nothing;
        *blocked = None;
        unread.clear();
    }

    /// Says which message is to come, before anything of it has.
    #[inline]
    pub(crate) fn await_answer(&mut self, answer: Answer) {
        self.answer = answer;
    }

    /// A stream whose first type is still to come.
    pub(crate) fn untyped(answer: Answer) -> Self {
        Self {
            state: ReceiveState::Untyped,
            ..Self::new(answer)
        }
    }

    /// A stream of an extension.
    pub(crate) fn raw() -> Self {
        Self {
            state: ReceiveState::Raw,
            ..Self::new(Answer::Extension)
        }
    }

    /// A direction in which nothing comes.
    pub(crate) fn none() -> Self {
        Self {
            state: ReceiveState::Closed,
            failure: Failure::Told,
            ..Self::new(Answer::Request)
        }
    }

    /// What the peer still owes.
    #[inline]
    pub(crate) fn wait(&self) -> Wait {
        self.wait
    }

    /// Whether more bytes are welcome.
    // The application's reading is what moves the flow-control window: a slow reader keeps at most
    // its window waiting.
    #[inline]
    pub(crate) fn wants_read(&self, limits: &Limits) -> bool {
        self.is_open()
            && !self.unread.fin
            && self.blocked.is_none()
            && self.unread.bytes.is_empty()
            && !self.is_full(limits)
    }

    /// Whether the application has to take something before more is looked at.
    #[inline]
    pub(crate) fn is_full(&self, limits: &Limits) -> bool {
        self.inbox_bytes >= limits.receive_buffer_bytes
    }

    /// Whether the application has enough to take for now. One that was full goes on when this
    /// ends, so that it does not go on by a chunk each time.
    #[inline]
    pub(crate) fn is_ample(&self, limits: &Limits) -> bool {
        self.inbox_bytes > limits.receive_buffer_bytes / 2
    }

    /// Whether something arrived that was not looked at because the application had not read.
    #[inline]
    pub(crate) fn has_unread(&self) -> bool {
        let is_any = !self.unread.bytes.is_empty() || self.unread.fin;
        self.is_open() && self.blocked.is_none() && is_any
    }

    /// Whether the message is not complete and somebody wants it.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.state, ReceiveState::Ended | ReceiveState::Closed)
    }

    /// Whether the application was told everything.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        !self.is_open() && !self.has_news()
    }

    /// Whether the peer has sent everything.
    #[inline]
    pub(crate) fn has_fin(&self) -> bool {
        self.unread.fin || self.state == ReceiveState::Ended
    }

    /// The request, if it is the next thing for the application.
    #[inline]
    pub(crate) fn request_head(&self) -> Option<&RequestHead> {
        match self.inbox.front() {
            Some(Incoming::Request(head)) => Some(head),
            _ => None,
        }
    }

    /// Whether the next thing for the application begins the message.
    #[inline]
    pub(crate) fn is_head_next(&self) -> bool {
        let next = self.inbox.front();
        matches!(next, Some(Incoming::Request(_) | Incoming::Response(_)))
    }

    /// Whether a field section of the message was handed over.
    #[inline]
    pub(crate) fn has_head(&self) -> bool {
        !matches!(self.state, ReceiveState::Head | ReceiveState::Untyped)
    }

    /// Adds something for the application that is not part of the message.
    pub(crate) fn tell(&mut self, incoming: Incoming) {
        self.inbox.push_back(incoming);
    }

    /// The next thing for the application.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Result<Incoming, StreamError>> {
        if let Some(incoming) = self.inbox.pop_front() {
            if let Incoming::Data(bytes) | Incoming::Extension(_, bytes) = &incoming {
                self.inbox_bytes -= cost(bytes);
            }
            return Some(Ok(incoming));
        }
        if std::mem::take(&mut self.has_end) {
            return Some(Ok(Incoming::End));
        }
        match self.failure {
            Failure::Untold(error) => {
                self.failure = Failure::Told;
                Some(Err(error))
            }
            Failure::None | Failure::Told => None,
        }
    }

    /// Content, if that is next, and whether the message ends behind it; nothing else is taken.
    #[inline]
    pub(crate) fn take_content(&mut self) -> (Bytes, bool) {
        let mut content = Bytes::new();
        if let Some(Incoming::Data(_)) = self.inbox.front()
            && let Some(Incoming::Data(bytes)) = self.inbox.pop_front()
        {
            self.inbox_bytes -= cost(&bytes);
            content = bytes;
        }
        let is_end = self.inbox.is_empty() && std::mem::take(&mut self.has_end);
        (content, is_end)
    }

    /// Whether [`Receive::take`] has something.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        !self.inbox.is_empty() || self.has_end || matches!(self.failure, Failure::Untold(_))
    }

    /// Ends the direction with a failure that the application will get after what came before.
    pub(crate) fn fail(&mut self, error: StreamError) {
        if self.is_open() {
            self.state = ReceiveState::Closed;
            self.failure = Failure::Untold(error);
            self.drop_unread();
        }
    }

    /// Ends the direction because nobody reads it; what waits is dropped.
    pub(crate) fn close(&mut self) {
        self.state = ReceiveState::Closed;
        self.failure = Failure::Told;
        self.inbox.clear();
        self.inbox_bytes = 0;
        self.has_end = false;
        self.drop_unread();
    }

    fn drop_unread(&mut self) {
        self.wait = Wait::Nothing;
        self.blocked = None;
        self.unread.clear();
        self.decoder.clear();
    }

    /// Takes what arrived; [`Receive::process`] looks at it.
    #[inline]
    pub(crate) fn arrive(&mut self, bytes: Bytes, fin: bool) {
        if !self.is_open() {
            return;
        }
        if self.unread.bytes.is_empty() {
            self.unread.bytes = bytes;
        } else if !bytes.is_empty() {
            self.unread.bytes = [&self.unread.bytes[..], &bytes].concat().into();
        }
        self.unread.fin |= fin;
    }

    /// Takes bytes that are nothing but more of the payload of a DATA frame, and the end of the
    /// message if it comes with that of the frame; false for all others, and for what is a fault,
    /// which [`Receive::arrive`] takes.
    #[inline]
    pub(crate) fn take_more(&mut self, bytes: &mut Bytes, fin: bool, limits: &Limits) -> bool {
        let is_next = self.unread.bytes.is_empty() && !bytes.is_empty();
        if !is_next || !self.is_open() || self.is_full(limits) {
            return false;
        }
        let mut expected = self.expected;
        let is_expected = expected.take(bytes.len() as u64).is_ok();
        if !is_expected || (fin && expected.finish().is_err()) {
            return false;
        }
        if !self.decoder.streams_past(bytes.len(), fin) {
            return false;
        }
        self.expected = expected;
        // What is left of the bytes before holds their memory.
        self.unread.bytes = Bytes::new();
        self.keep_content(std::mem::take(bytes));
        if fin {
            self.unread.fin = true;
            self.end();
        }
        true
    }

    /// Works through what arrived, up to the next thing that concerns the connection.
    pub(crate) fn process(&mut self, context: &mut Context<'_>) -> Result<FrameOutcome, Fault> {
        if !self.is_open() {
            return Ok(FrameOutcome::Idle);
        }
        if self.state == ReceiveState::Untyped
            && let Some(ty) = self.read_type(context)?
        {
            return Ok(FrameOutcome::Extension(ty));
        }
        if self.state == ReceiveState::Raw {
            self.take_raw();
            return Ok(FrameOutcome::Idle);
        }
        while self.blocked.is_none() && !self.is_full(context.limits) {
            let (state, answer, expected) = (self.state, self.answer, self.expected);
            let input = &mut self.unread.bytes;
            if state == ReceiveState::Head
                && self.decoder.is_between_frames()
                && let Some(head) = context.sections.take_repeated(context.stream, input)?
            {
                self.wait = Wait::Nothing;
                self.on_head(head, context)?;
                continue;
            }
            // Every frame comes out with its last byte: without input there is nothing to decode.
            let decoded = match input.is_empty() {
                true => None,
                false => self.decoder.decode(input, |ty, len| {
                    treatment::of_frame(state, answer, expected, ty, len, context)
                })?,
            };
            let Some(decoded) = decoded else {
                self.on_fin()?;
                break;
            };
            // A request that is put off by unknown frames is still to come.
            if !matches!(decoded, Decoded::Skipped { .. }) {
                self.wait = Wait::Nothing;
            }
            if let Some(promise) = self.on_decoded(decoded, context)? {
                return Ok(promise);
            }
        }
        self.note_wait(context.glitches.now());
        Ok(FrameOutcome::Idle)
    }

    /// Notes what is to come before anything else can happen.
    fn note_wait(&mut self, now: Duration) {
        let is_request_to_come = self.answer == Answer::Request
            && matches!(self.state, ReceiveState::Head | ReceiveState::Untyped);
        self.wait = match self.wait {
            _ if !self.is_open() => Wait::Nothing,
            Wait::Blocked(since) if self.blocked.is_some() => Wait::Blocked(since),
            _ if self.blocked.is_some() => Wait::Blocked(now),
            Wait::Section(since) if is_request_to_come || self.decoder.is_collecting() => {
                Wait::Section(since)
            }
            _ if is_request_to_come || self.decoder.is_collecting() => Wait::Section(now),
            _ => Wait::Nothing,
        };
    }

    /// The type that makes the stream one of an extension.
    fn read_type(&mut self, context: &Context<'_>) -> Result<Option<FrameType>, Fault> {
        match self.decoder.read_type(&mut self.unread.bytes) {
            Some(ty) if context.extension_streams.contains(&ty) => {
                self.state = ReceiveState::Raw;
                self.decoder = Decoder::default();
                Ok(Some(ty))
            }
            // RFC 9114 §6.1: what no extension explains, a server must not open.
            Some(_) if self.answer == Answer::Extension => {
                let reason = "a bidirectional stream from a server";
                Err(ConnectionError::local(Code::H3_STREAM_CREATION_ERROR, reason).into())
            }
            Some(_) => {
                self.state = ReceiveState::Head;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Keeps bytes for the application.
    fn keep(&mut self, bytes: Bytes, wrap: impl FnOnce(Bytes) -> Incoming) {
        // Small pieces that pile up must not each hold the chunk that they came in.
        let is_alone = self.inbox_bytes == 0;
        self.inbox_bytes += cost(&bytes);
        let bytes = match bytes.len() < SMALL_PIECE && !is_alone {
            true => Bytes::copy_from_slice(&bytes),
            false => bytes,
        };
        self.inbox.push_back(wrap(bytes));
    }

    /// Keeps content for the application. Small pieces become one, so that they neither hold the
    /// chunks that they came in nor cost the application a look each.
    fn keep_content(&mut self, bytes: Bytes) {
        match self.inbox.back_mut() {
            Some(Incoming::Data(last)) if last.len().max(bytes.len()) < SMALL_PIECE => {
                self.inbox_bytes += bytes.len();
                *last = [&last[..], &bytes].concat().into();
            }
            _ => self.keep(bytes, Incoming::Data),
        }
    }

    /// Hands over what arrived for an extension.
    fn take_raw(&mut self) {
        let bytes = std::mem::take(&mut self.unread.bytes);
        if !bytes.is_empty() {
            self.keep(bytes, Incoming::Data);
        }
        if self.unread.fin {
            self.end();
        }
    }

    /// The message is complete, which the application is told behind what waits for it.
    #[inline]
    fn end(&mut self) {
        self.state = ReceiveState::Ended;
        self.has_end = true;
    }

    /// A frame that changes nothing.
    // RFC 9114 §10.5, §10.7: some of them pad a message, or end it: there are peers that end each
    // one with an empty DATA frame.
    fn on_idle_frame(
        &mut self,
        what: &'static str,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        match self.skipped < SKIPPED_FREE {
            true => self.skipped += 1,
            false => context.glitch(what)?,
        }
        Ok(())
    }

    fn on_decoded(
        &mut self,
        decoded: Decoded,
        context: &mut Context<'_>,
    ) -> Result<Option<FrameOutcome>, Fault> {
        match decoded {
            Decoded::Piece { bytes, .. } => {
                if bytes.is_empty() {
                    self.on_idle_frame("empty DATA frames", context)?;
                    return Ok(None);
                }
                self.expected.take(bytes.len() as u64)?;
                self.keep_content(bytes);
                Ok(None)
            }
            Decoded::Whole { ty, payload } if ty == FrameType::HEADERS => {
                self.on_section(ty, payload, context)
            }
            Decoded::Whole { ty, payload } if ty == FrameType::PUSH_PROMISE => {
                self.on_section(ty, payload, context)
            }
            Decoded::Whole { ty, payload } if ty == CAPSULE_FRAME => {
                Ok(Some(FrameOutcome::Capsule(payload)))
            }
            Decoded::Whole { ty, payload } => {
                self.keep(payload, |payload| Incoming::Extension(ty, payload));
                Ok(None)
            }
            Decoded::Skipped { .. } => {
                self.on_idle_frame("unknown frames", context)?;
                Ok(None)
            }
        }
    }

    fn on_section(
        &mut self,
        ty: FrameType,
        payload: Bytes,
        context: &mut Context<'_>,
    ) -> Result<Option<FrameOutcome>, Fault> {
        let (push_id, encoded) = match ty {
            FrameType::PUSH_PROMISE => {
                let (push_id, encoded) = crate::frame::push_promise::decode(payload)?;
                context.check_push_id(push_id)?;
                (Some(push_id), encoded)
            }
            _ => (None, payload),
        };
        let mut section = context.sections.section();
        if !context
            .sections
            .decode(context.stream, &encoded, &mut section)?
        {
            self.blocked = Some(push_id.map_or(Waiting::Headers, Waiting::Promise));
            return Ok(None);
        }
        match push_id {
            Some(push_id) => Ok(Some(FrameOutcome::Promise(push_id, Box::new(section)))),
            None => {
                self.on_headers(&mut section, &encoded, context)?;
                Ok(None)
            }
        }
    }

    /// Takes the section that waited. [`Receive::process`] goes on with what came after it.
    pub(crate) fn on_unblocked(
        &mut self,
        mut section: Section,
        context: &mut Context<'_>,
    ) -> Result<FrameOutcome, Fault> {
        let Some(waiting) = self.blocked.take() else {
            return Ok(FrameOutcome::Idle);
        };
        match waiting {
            Waiting::Promise(push_id) => Ok(FrameOutcome::Promise(push_id, Box::new(section))),
            Waiting::Headers => {
                self.on_headers(&mut section, &[], context)?;
                Ok(FrameOutcome::Idle)
            }
        }
    }

    fn on_fin(&mut self) -> Result<(), Fault> {
        if !self.unread.fin {
            return Ok(());
        }
        self.decoder.finish()?;
        match (self.state, self.answer) {
            // RFC 9114 §4.1: a request that ends too early.
            (ReceiveState::Head, Answer::Request) => {
                let reason = "the stream ends before the request";
                return Err(StreamError::local(Code::H3_REQUEST_INCOMPLETE, reason).into());
            }
            (ReceiveState::Untyped, _) => {
                let reason = "the stream ends before its type";
                return Err(StreamError::local(Code::H3_REQUEST_INCOMPLETE, reason).into());
            }
            (ReceiveState::Head, Answer::Response { .. }) => {
                return Err(StreamError::malformed("the stream ends before the response").into());
            }
            _ => self.expected.finish()?,
        }
        self.end();
        Ok(())
    }
}

impl Context<'_> {
    fn glitch(&mut self, reason: &'static str) -> Result<(), ConnectionError> {
        self.glitches.take(1, reason)
    }

    fn learn_flows(&mut self, headers: &http::HeaderMap) -> Result<(), StreamError> {
        match self.profile {
            Some(Profile::Draft00) => self.datagrams.on_headers(self.stream, headers),
            _ => Ok(()),
        }
    }

    // RFC 9114 §7.2.5: a promise beyond what MAX_PUSH_ID allows is H3_ID_ERROR, before anything is
    // decoded for it.
    fn check_push_id(&self, push_id: u64) -> Result<(), ConnectionError> {
        if self.push_id_max.is_some_and(|max| push_id <= max) {
            return Ok(());
        }
        Err(ConnectionError::local(
            Code::H3_ID_ERROR,
            "a promise above the largest push id",
        ))
    }
}

fn stream_fault(fault: SectionFault) -> Fault {
    match fault {
        SectionFault::Malformed(reason) => StreamError::malformed(reason).into(),
        SectionFault::TooLarge(_) => StreamError::TOO_LARGE.into(),
    }
}
