//! Field sections between messages and QPACK.
//!
//! Invariant: every section that is given up is told to the peer's encoder, and every failure has
//! the scope that QPACK gives it.

use bytes::{Buf, Bytes, BytesMut};

use super::repeated::{Kept, Repeated};
use super::resent::{Resent, SentHead};
use crate::error::{Code, ConnectionError, Fault, StreamError};
use crate::exchange::DecodedHead;
use crate::frame::{self, FrameType};
use crate::limits::Limits;
use crate::message::{AuthorityCache, Bounds, Checked, Outgoing, Section, SectionFault};
use crate::qpack::{self, References};
use crate::stream::StreamId;

/// Both directions of field compression.
#[derive(Debug)]
pub(crate) struct Sections {
    encoder: qpack::Encoder,
    decoder: qpack::Decoder,
    bounds: Bounds,
    authority: AuthorityCache,
    /// How many fields sections have had lately.
    likely_fields: usize,
    repeated: Repeated,
    resent: Resent,
}

impl Sections {
    pub(crate) fn new(limits: &Limits) -> Self {
        let decoder = qpack::DecoderConfig {
            table_capacity_max: limits.qpack_table_bytes,
            blocked_streams_max: limits.qpack_blocked_streams as u64,
            // Each blocked stream has one section, which the frame's limit bounds.
            blocked_bytes_max: limits.qpack_blocked_streams
                * (limits.field_section_bytes + BLOCKED_OVERHEAD),
            section_bytes_max: limits.field_section_bytes,
            section_fields_max: limits.fields,
            // Half of what the stream may hold, so that a poll always finds room.
            unsent_bytes_max: limits.control_send_bytes / 2,
        };
        let encoder = qpack::EncoderConfig {
            table_capacity: limits.qpack_table_bytes,
            unsent_bytes_max: limits.control_send_bytes,
            ..qpack::EncoderConfig::default()
        };
        Self {
            encoder: qpack::Encoder::new(encoder),
            decoder: qpack::Decoder::new(decoder),
            bounds: limits.into(),
            authority: AuthorityCache::default(),
            likely_fields: 0,
            repeated: Repeated::default(),
            resent: Resent::default(),
        }
    }

    /// How the peer's table was used, and then ours.
    pub(crate) fn table_uses(&self) -> [qpack::TableUse; 2] {
        [self.encoder.table_use(), self.decoder.table_use()]
    }

    pub(crate) fn authority_cache(&mut self) -> &mut AuthorityCache {
        &mut self.authority
    }

    /// An empty section.
    pub(crate) fn section(&self) -> Section {
        Section::new(self.bounds).with_likely_fields(self.likely_fields)
    }

    /// Learns from a section that is complete. Messages of a connection are alike, so that few
    /// maps have to grow.
    fn learn(&mut self, section: &Section) {
        let fields = section.fields();
        self.likely_fields = match fields >= self.likely_fields {
            true => fields,
            false => (self.likely_fields * 3 + fields) / 4,
        };
    }

    /// Takes the HEADERS frame that these bytes begin with and gives its head, if that is the last
    /// one that came again; then it need not be decoded.
    #[inline]
    pub(crate) fn take_repeated(
        &mut self,
        stream: StreamId,
        bytes: &mut Bytes,
    ) -> Result<Option<DecodedHead>, ConnectionError> {
        let Some((kept, len)) = self.repeated.find(bytes) else {
            return Ok(None);
        };
        let (head, required) = (kept.head.clone(), kept.required);
        self.pass_over(stream, required)?;
        match len == bytes.len() {
            // What is left of the bytes would hold their memory.
            true => *bytes = Bytes::new(),
            false => bytes.advance(len),
        }
        Ok(Some(head))
    }

    /// What came again and where the content behind its head begins, if these bytes are a whole
    /// message of it. Nothing is taken: [`Sections::pass_over`] follows if it is.
    #[inline]
    pub(super) fn find_whole(&self, bytes: &[u8]) -> Option<(&Kept, usize)> {
        let (kept, len) = self.repeated.find(bytes)?;
        let header_len = match len == bytes.len() {
            true => 0,
            false => frame::data::header_of_whole(&bytes[len..])?,
        };
        Some((kept, len + header_len))
    }

    /// Acknowledges a section on a stream that is not decoded, with this Required Insert Count.
    #[inline]
    pub(super) fn pass_over(
        &mut self,
        stream: StreamId,
        required: u64,
    ) -> Result<(), ConnectionError> {
        let passed = self.decoder.pass_over(stream.value(), required);
        passed.map_err(closed_by)
    }

    /// Keeps a head for when it comes again.
    pub(crate) fn keep(&mut self, encoded: &[u8], head: &DecodedHead) {
        let required = || self.decoder.required(encoded);
        self.repeated.note(encoded, head, required);
    }

    /// Gives memory back that only the next section would use.
    pub(crate) fn release(&mut self) {
        self.repeated = Repeated::default();
        self.resent = Resent::default();
    }

    /// Fills `section`; `false` when it waits for the peer's encoder stream.
    pub(crate) fn decode(
        &mut self,
        stream: StreamId,
        encoded: &[u8],
        section: &mut Section,
    ) -> Result<bool, Fault> {
        let decoded = self
            .decoder
            .decode_by(stream.value(), encoded, |line| match line {
                qpack::Line::Kept(name, value) => section.push_kept(name, value),
                qpack::Line::Fresh(name, value) => section.push(name, value),
            });
        match decoded {
            Ok(qpack::Decoded::Complete) => {
                self.learn(section);
                Ok(true)
            }
            Ok(qpack::Decoded::Blocked) => Ok(false),
            Err(error) => Err(fault(error)),
        }
    }

    /// The next section whose entries have arrived, with its stream.
    pub(crate) fn next_unblocked(&mut self) -> Option<(StreamId, Result<Section, Fault>)> {
        let unblocked = self.decoder.next_unblocked()?;
        let stream = StreamId::new(unblocked.stream()).expect("it came in as a stream");
        let mut section = self.section();
        let decoded = self
            .decoder
            .decode_unblocked(unblocked, |name, value| section.push(name, value));
        Some((stream, decoded.map(|()| section).map_err(fault)))
    }

    /// Takes bytes of the peer's encoder stream.
    pub(crate) fn on_encoder_stream(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.repeated.forget();
        self.decoder.on_encoder_stream(bytes).map_err(closed_by)
    }

    /// Takes bytes of the peer's decoder stream.
    pub(crate) fn on_decoder_stream(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.encoder.on_decoder_stream(bytes).map_err(closed_by)
    }

    /// Gives up whatever sections of a stream are still to come.
    pub(crate) fn cancel(&mut self, stream: StreamId) -> Result<(), ConnectionError> {
        self.decoder
            .cancel_stream(stream.value())
            .map_err(closed_by)
    }

    /// Whether something is to go onto the streams of QPACK even if nothing else goes.
    #[inline]
    pub(crate) fn is_pressing(&self) -> bool {
        self.encoder.has_instructions() || self.decoder.is_pressing()
    }

    /// What goes onto our decoder stream.
    pub(crate) fn poll_decoder_stream(&mut self) -> Option<Bytes> {
        self.decoder.poll_instructions()
    }

    /// Whether that is to go even if nothing else does.
    pub(crate) fn is_decoder_stream_pressing(&self) -> bool {
        self.decoder.is_pressing()
    }

    /// Whether that is to go if anything else does.
    pub(crate) fn is_decoder_stream_worth_sending(&self) -> bool {
        self.decoder.is_worth_sending()
    }

    /// What goes onto our encoder stream.
    pub(crate) fn poll_encoder_stream(&mut self) -> Option<Bytes> {
        self.encoder.poll_instructions()
    }

    /// What was found when this head was checked, if it is the last one that was sent again: then
    /// [`Sections::repeat`] is to be asked.
    #[inline]
    pub(crate) fn checked(&self, head: SentHead<'_>) -> Option<Checked> {
        self.resent.checked(head)
    }

    /// Sends the head that [`Sections::checked`] knew on a stream, whose frame is
    /// [`Sections::frame_again`]; false when it has to be encoded anew.
    #[inline]
    pub(crate) fn repeat(&mut self, stream: StreamId) -> bool {
        let references = self.resent.references();
        references.is_some_and(|references| self.encoder.repeat(stream.value(), references))
    }

    /// The frame of the head that is known.
    pub(crate) fn frame_again(&self) -> &[u8] {
        self.resent.frame()
    }

    /// The same, and behind it the header of a DATA frame with so much content, if any is to come.
    #[inline]
    pub(crate) fn begin_again(&mut self, content_len: Option<usize>) -> Bytes {
        self.resent.beginning(content_len)
    }

    /// Appends the frame of a head, whose fields are these, and keeps it for when it comes again.
    pub(crate) fn encode_head(
        &mut self,
        stream: StreamId,
        head: SentHead<'_>,
        fields: &Outgoing<'_>,
        room: usize,
        out: &mut BytesMut,
    ) {
        let start = out.len();
        let references = frame::headers::encode_with(FrameType::HEADERS, out, |out| {
            self.encode(stream, fields, room, out)
        });
        self.resent.note(head, fields, &out[start..], references);
    }

    /// Appends an encoded section, and tells what it refers to if it can be sent again. `room` is
    /// what the encoder stream can take: what does not fit is sent without the table.
    pub(crate) fn encode(
        &mut self,
        stream: StreamId,
        fields: &Outgoing<'_>,
        room: usize,
        out: &mut BytesMut,
    ) -> Option<References> {
        self.encoder.set_instruction_credit(room);
        let mut section = self.encoder.section(stream.value(), out);
        for (name, value) in fields.pseudo() {
            section.pseudo(name, value);
        }
        fields.for_each_header(|name, value, is_never_indexed| {
            section.line(name, value, is_never_indexed);
        });
        section.finish_and_tell()
    }

    /// Learns what the peer's settings allow our encoder.
    pub(crate) fn on_settings(
        &mut self,
        table_bytes: u64,
        blocked_streams: u64,
    ) -> Result<(), ConnectionError> {
        self.encoder
            .on_peer_settings(table_bytes, blocked_streams)
            .map_err(closed_by)
    }
}

/// What a section that waits may cost beside the bytes that a message may have.
const BLOCKED_OVERHEAD: usize = 256;

fn fault(error: qpack::DecodeError<SectionFault>) -> Fault {
    match error {
        qpack::DecodeError::Connection(error) => closed_by(error).into(),
        qpack::DecodeError::Stream(error) => {
            StreamError::local(Code::new(error.code()), error.reason()).into()
        }
        qpack::DecodeError::Refused(SectionFault::Malformed(reason)) => {
            StreamError::malformed(reason).into()
        }
        qpack::DecodeError::Refused(SectionFault::TooLarge(_))
        | qpack::DecodeError::TooLarge(_) => StreamError::TOO_LARGE.into(),
    }
}

fn closed_by(error: qpack::QpackError) -> ConnectionError {
    ConnectionError::local(Code::new(error.code()), error.reason())
}
