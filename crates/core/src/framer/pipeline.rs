//! The framers of one connection, stacked.
//!
//! Invariant: the framer that was added first is nearest to the wire; the last one sees outgoing
//! messages first and incoming bytes last (RFC 9622 §9.1.2.1). What a framer writes for one
//! message is one message for the framer below it, and likewise inbound. Framers become ready
//! from the wire upwards, and a framer can be added only before all of them are.

use super::{Control, Deframed, Demand, Frame, Framer, Header, Outgoing, Progress, Whole};
use crate::message::{Message, MessageContext};
use crate::send_queue::WireBuffer;
use crate::{Failure, FailureKind, Origin};
use bytes::BytesMut;
use std::fmt;

/// The framer instances of one connection, in every state from handshake to end.
///
/// Without framers it is free: [`Pipeline::frame`] moves the message's bytes to the wire, and
/// [`Pipeline::deframe`] answers [`Deframed::Passthrough`].
#[derive(Debug, Default)]
pub struct Pipeline {
    stages: Vec<Stage>,
    /// The framers below this index are ready.
    ready: usize,
    is_started: bool,
}

#[derive(Debug)]
struct Stage {
    framer: Box<dyn Framer>,
    /// What the framer below delivered and this one has not consumed; the lowest framer reads
    /// the connection's own buffer instead.
    input: BytesMut,
    /// Whether `input` ends where a message of the framer below did.
    input_ended: bool,
    /// What this framer wrote for the message that is being sent, for the framer below.
    output: WireBuffer,
    /// Whether the framer below has had the beginning of that message.
    output_started: bool,
    is_ready: bool,
    is_passthrough: bool,
}

/// A message that could not be framed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameError {
    /// Why.
    pub failure: Failure,
    /// Whether bytes of the message are already in the output: the stream can then only be
    /// reset, as its peer waits for the rest. Otherwise only this message is refused.
    pub is_stream_broken: bool,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl std::error::Error for FrameError {}

impl Pipeline {
    /// No framers: bytes are what is sent and what is received.
    pub const fn empty() -> Self {
        Pipeline {
            stages: Vec::new(),
            ready: 0,
            is_started: false,
        }
    }

    /// A stack of framers, the one nearest to the wire first.
    pub fn new(framers: impl IntoIterator<Item = Box<dyn Framer>>) -> Self {
        let mut stages: Vec<Stage> = framers.into_iter().map(Stage::new).collect();
        stages.shrink_to_fit();
        Pipeline {
            stages,
            ..Pipeline::empty()
        }
    }

    /// Whether bytes flow unframed, because there are no framers or all of them have stepped
    /// aside.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.stages.iter().all(|stage| stage.is_aside())
    }

    /// Whether every handshake is complete.
    pub fn is_ready(&self) -> bool {
        self.ready == self.stages.len()
    }

    /// Whether a message's length must be known before its first part is framed.
    pub fn needs_length(&self) -> bool {
        self.stages
            .iter()
            .any(|stage| !stage.is_aside() && stage.framer.needs_length())
    }

    /// Whether messages must leave in the order of their sends, as a framer says.
    pub fn keeps_order(&self) -> bool {
        let mut stages = self.stages.iter().filter(|stage| !stage.is_aside());
        stages.any(|stage| stage.framer.keeps_order())
    }

    /// Adds a framer above all others.
    ///
    /// # Errors
    /// The connection's framers are ready, so messages may already be in flight.
    pub fn push(&mut self, framer: Box<dyn Framer>) -> Result<(), Failure> {
        if self.is_started && self.is_ready() {
            return Err(Failure::new(
                Origin::Local,
                FailureKind::InvalidRequest,
                "framer added after the connection became ready",
            ));
        }
        self.stages.push(Stage::new(framer));
        Ok(())
    }

    /// The stack below is there: starts the handshakes, whose bytes go to `out`.
    ///
    /// # Errors
    /// A framer finds the candidate unsuitable.
    pub fn start(&mut self, out: &mut WireBuffer) -> Result<Progress, Failure> {
        self.is_started = true;
        self.start_from(out)
    }

    /// Bytes have come and the framers are not ready yet. What is left in `input` belongs to
    /// the messages that follow.
    ///
    /// # Errors
    /// A framer finds the peer unsuitable.
    pub fn on_handshake(
        &mut self,
        input: &mut BytesMut,
        out: &mut WireBuffer,
    ) -> Result<Progress, Failure> {
        while self.ready < self.stages.len() {
            let level = self.ready;
            if level > 0 {
                // A failed pull means that nothing more is there.
                self.pull(level, input, Demand::ANY)?;
            }
            let before = self.input_len(level, input);
            let progress = self.step(level, Some(input), out)?;
            match progress {
                Progress::Ready => {
                    if self.start_from(out)? == Progress::Ready {
                        return Ok(Progress::Ready);
                    }
                }
                Progress::NeedsInput if level > 0 && self.input_len(level, input) < before => {}
                Progress::NeedsInput => return Ok(Progress::NeedsInput),
            }
        }
        Ok(Progress::Ready)
    }

    /// What stands before a whole message of `length` bytes, when that is all that framing it
    /// comes to; `None` leaves it to [`Pipeline::frame`].
    #[inline]
    pub fn header(&self, length: usize, context: &MessageContext) -> Option<Header> {
        match self.stages.as_slice() {
            [] => Some(Header::EMPTY),
            [only] if !only.is_aside() => only.framer.header(length, context),
            _ => None,
        }
    }

    /// Where the message at the front of `input` lies, when nothing of it has to be changed;
    /// `None` leaves it to [`Pipeline::deframe`].
    #[inline]
    pub(super) fn peek(&self, input: &[u8]) -> Option<Whole> {
        match self.stages.as_slice() {
            [only] if !only.is_aside() => only.framer.peek(input),
            _ => None,
        }
    }

    /// Frames a whole message into `out`, without copying what is large.
    ///
    /// # Errors
    /// The message cannot be framed.
    #[inline]
    pub fn frame(&mut self, message: Message, out: &mut WireBuffer) -> Result<(), FrameError> {
        if let Some(header) = self.header(message.data.len(), &message.context) {
            out.put_message(&header, message.data);
            return Ok(());
        }
        let part = Outgoing::whole(message.data, &message.context);
        match self.stages.as_mut_slice() {
            [] => out.put_chunks(part.data),
            // One framer is the commonest stack, and it writes to the wire itself.
            [only] if !only.is_aside() => {
                let before = out.len();
                let framed = only.framer.frame(part, out);
                return framed.map_err(|failure| FrameError {
                    failure,
                    is_stream_broken: out.len() != before,
                });
            }
            _ => return self.frame_part(part, out),
        }
        Ok(())
    }

    /// Frames a message or a part of one into `out`.
    ///
    /// # Errors
    /// The message cannot be framed.
    pub fn frame_part(
        &mut self,
        part: Outgoing<'_>,
        out: &mut WireBuffer,
    ) -> Result<(), FrameError> {
        let (is_start, before) = (part.is_start, out.len());
        let Some(top) = self.stages.len().checked_sub(1) else {
            out.put_chunks(part.data);
            return Ok(());
        };
        let result = self.frame_from(top, part, out);
        result.map_err(|failure| FrameError {
            failure,
            is_stream_broken: !is_start || out.len() != before,
        })
    }

    /// Finds the next message, or part of one, in `input`, the connection's own buffer.
    ///
    /// # Errors
    /// The peer's bytes break a framer's rules.
    #[inline]
    pub fn deframe(&mut self, input: &mut BytesMut, demand: Demand) -> Result<Deframed, Failure> {
        match self.stages.len() {
            0 => Ok(Deframed::Passthrough),
            1 if !self.stages[0].is_aside() => self.deframe_lowest(input, demand),
            count => self.deframe_at(count - 1, input, demand),
        }
    }

    /// The stream or the datagram ends here, and [`Pipeline::deframe`] wants more. May be called
    /// again while it yields frames.
    ///
    /// # Errors
    /// It ends within a message.
    pub fn end_of_input(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, Failure> {
        for level in 0..self.stages.len() {
            let stage = &mut self.stages[level];
            if stage.is_aside() {
                continue;
            }
            let buffer = match level {
                0 => &mut *input,
                _ => &mut stage.input,
            };
            let Some(frame) = stage.framer.end_of_input(buffer)? else {
                continue;
            };
            let top = self.stages.len() - 1;
            if level == top {
                return Ok(Some(frame));
            }
            self.stages[level + 1].accept(frame);
            if let Deframed::Frame(frame) = self.deframe_at(top, input, Demand::WHOLE)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Forgets what the framers have of an incomplete message, because the datagram that held
    /// it was broken.
    pub(super) fn reset_input(&mut self) {
        for stage in &mut self.stages {
            stage.input.clear();
            stage.input_ended = false;
            // Only the state counts: what is missing was already reported.
            let _ = stage.framer.end_of_input(&mut BytesMut::new());
        }
    }

    /// Whether no framer holds bytes that another one has delivered.
    pub(super) fn is_drained(&self) -> bool {
        self.stages.iter().all(|stage| stage.input.is_empty())
    }

    /// Whether the framers hold nothing of a message that has begun to arrive. For a change of
    /// what is below them, after which the rest would come from somebody else. Asking makes them
    /// forget it.
    pub fn is_between_messages(&mut self) -> bool {
        let is_drained = self.is_drained();
        let mut none = BytesMut::new();
        let mut stages = self.stages.iter_mut().filter(|stage| !stage.is_aside());
        is_drained && stages.all(|stage| matches!(stage.framer.end_of_input(&mut none), Ok(None)))
    }

    /// Writes what the framers want to say before an orderly end, from the top downwards.
    ///
    /// # Errors
    /// A framer's last words cannot be framed.
    pub fn stop(&mut self, out: &mut WireBuffer) -> Result<(), Failure> {
        for level in (0..self.ready).rev() {
            let mut last = WireBuffer::new();
            self.stages[level].framer.stop(&mut last)?;
            self.send_down(level, last, out)?;
        }
        Ok(())
    }

    /// Starts the framers that are not ready until one needs input.
    fn start_from(&mut self, out: &mut WireBuffer) -> Result<Progress, Failure> {
        while self.ready < self.stages.len() {
            if self.step(self.ready, None, out)? == Progress::NeedsInput {
                return Ok(Progress::NeedsInput);
            }
        }
        Ok(Progress::Ready)
    }

    /// One step of a framer's handshake: its start without `input`, else what has come.
    fn step(
        &mut self,
        level: usize,
        input: Option<&mut BytesMut>,
        out: &mut WireBuffer,
    ) -> Result<Progress, Failure> {
        let mut said = WireBuffer::new();
        let mut prepended = Vec::new();
        let stage = &mut self.stages[level];
        let mut control = Control {
            out: &mut said,
            prepended: &mut prepended,
            is_passthrough: &mut stage.is_passthrough,
        };
        let progress = match input {
            None => stage.framer.start(&mut control)?,
            Some(input) if level == 0 => stage.framer.on_handshake(input, &mut control)?,
            Some(_) => stage.framer.on_handshake(&mut stage.input, &mut control)?,
        };
        self.send_down(level, said, out)?;
        let above = level + 1..level + 1;
        self.stages
            .splice(above, prepended.into_iter().map(Stage::new));
        if progress == Progress::Ready {
            self.ready += 1;
            self.stages[level].is_ready = true;
        }
        Ok(progress)
    }

    /// Sends a framer's own bytes, not those of a message, through the framers below it.
    fn send_down(
        &mut self,
        level: usize,
        mut said: WireBuffer,
        out: &mut WireBuffer,
    ) -> Result<(), Failure> {
        if said.is_empty() {
            return Ok(());
        }
        let context = MessageContext::new();
        let part = Outgoing::whole(said.take_chunks(), &context);
        match level {
            0 => {
                out.put_chunks(part.data);
                Ok(())
            }
            _ => self.frame_from(level - 1, part, out),
        }
    }

    fn frame_from(
        &mut self,
        level: usize,
        part: Outgoing<'_>,
        out: &mut WireBuffer,
    ) -> Result<(), Failure> {
        let stage = &mut self.stages[level];
        if stage.is_aside() {
            return match level {
                0 => {
                    out.put_chunks(part.data);
                    Ok(())
                }
                _ => self.frame_from(level - 1, part, out),
            };
        }
        if level == 0 {
            return stage.framer.frame(part, out);
        }
        let (context, is_end) = (part.context, part.is_end);
        if part.is_start {
            stage.output.clear();
            stage.output_started = false;
        }
        stage.framer.frame(part, &mut stage.output)?;
        let below = &self.stages[level - 1];
        if !is_end && !below.is_aside() && below.framer.needs_length() {
            return Ok(());
        }
        let stage = &mut self.stages[level];
        let is_start = !std::mem::replace(&mut stage.output_started, true);
        let data = stage.output.take_chunks();
        let length = (is_start && is_end).then_some(data.len() as u64);
        let part = Outgoing::part(data, context, (is_start, is_end), length);
        self.frame_from(level - 1, part, out)
    }

    #[inline]
    fn deframe_lowest(
        &mut self,
        input: &mut BytesMut,
        demand: Demand,
    ) -> Result<Deframed, Failure> {
        let stage = &mut self.stages[0];
        let deframed = match stage.is_aside() {
            true => Deframed::Passthrough,
            false => stage.framer.deframe(input, demand)?,
        };
        if matches!(deframed, Deframed::Passthrough) {
            stage.step_aside();
        }
        Ok(deframed)
    }

    /// The next frame of the framer at `level`, or `Passthrough` when that one and all below it
    /// have stepped aside and `input` is what it would deliver.
    fn deframe_at(
        &mut self,
        level: usize,
        input: &mut BytesMut,
        demand: Demand,
    ) -> Result<Deframed, Failure> {
        if level == 0 {
            return self.deframe_lowest(input, demand);
        }
        loop {
            let stage = &mut self.stages[level];
            if stage.is_aside() {
                if stage.input.is_empty() && !stage.input_ended {
                    return self.deframe_at(level - 1, input, demand);
                }
                let is_end = std::mem::take(&mut stage.input_ended);
                let data = std::mem::take(&mut stage.input);
                return Ok(Deframed::Frame(Frame::new(data, is_end)));
            }
            match stage.framer.deframe(&mut stage.input, demand)? {
                Deframed::Frame(frame) => return Ok(Deframed::Frame(frame)),
                Deframed::Passthrough => stage.step_aside(),
                Deframed::NeedsMore(missing) => {
                    if std::mem::take(&mut stage.input_ended) {
                        if let Some(frame) = stage.framer.end_of_input(&mut stage.input)? {
                            stage.input_ended = true;
                            return Ok(Deframed::Frame(frame));
                        }
                        stage.input.clear();
                    }
                    if !self.pull(level, input, demand)? {
                        return Ok(Deframed::NeedsMore(missing));
                    }
                }
            }
        }
    }

    /// Gets the next frame of the framer below `level`; `false` when it needs more input.
    fn pull(
        &mut self,
        level: usize,
        input: &mut BytesMut,
        demand: Demand,
    ) -> Result<bool, Failure> {
        let demand = match demand {
            Demand::WHOLE => Demand::WHOLE,
            _ => Demand::ANY,
        };
        let frame = match self.deframe_at(level - 1, input, demand)? {
            Deframed::Frame(frame) => frame,
            Deframed::NeedsMore(_) => return Ok(false),
            Deframed::Passthrough if input.is_empty() => return Ok(false),
            Deframed::Passthrough => Frame::new(input.split(), false),
        };
        self.stages[level].accept(frame);
        Ok(true)
    }

    fn input_len(&self, level: usize, input: &BytesMut) -> usize {
        match level {
            0 => input.len(),
            _ => self.stages[level].input.len(),
        }
    }
}

impl Stage {
    fn new(framer: Box<dyn Framer>) -> Self {
        Stage {
            framer,
            input: BytesMut::new(),
            input_ended: false,
            output: WireBuffer::new(),
            output_started: false,
            is_ready: false,
            is_passthrough: false,
        }
    }

    fn step_aside(&mut self) {
        self.is_passthrough = true;
        self.is_ready = true;
    }

    /// Whether this framer leaves bytes as they are.
    #[inline]
    fn is_aside(&self) -> bool {
        self.is_passthrough && self.is_ready
    }

    /// Takes what the framer below delivered, without a copy when nothing else is waiting.
    fn accept(&mut self, frame: Frame) {
        if self.input.is_empty() {
            self.input = frame.data;
        } else {
            self.input.extend_from_slice(&frame.data);
        }
        self.input_ended = frame.is_end;
    }
}
