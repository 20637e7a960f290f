//! Stacks of framers: order, handshakes, prepending, passthrough, datagrams.

use super::{arrived, bytes_of, drain, framed, one};
use crate::framer::{
    Control, DatagramPacker, Deframed, Delimited, Demand, Framer, Framers, LengthPrefixed,
    Outgoing, Pipeline, Progress, Receive, from_fn,
};
use crate::message::{Message, MessageContext};
use crate::send_queue::WireBuffer;
use crate::{Failure, FailureKind, Origin};
use bytes::{Buf, BytesMut};

/// Says `HELLO` and waits for `HELLO`; then does what `after` says, and says `BYE` at the end.
#[derive(Clone)]
struct Greeting {
    after: After,
    lines: Delimited,
}

#[derive(Clone, Copy, PartialEq)]
enum After {
    Frame,
    StepAside,
    Prepend,
    Refuse,
}

impl Greeting {
    fn new(after: After) -> Self {
        Greeting {
            after,
            lines: Delimited::lf(),
        }
    }
}

impl Framer for Greeting {
    fn start(&mut self, control: &mut Control<'_>) -> Result<Progress, Failure> {
        control.out.put_slice(b"HELLO");
        Ok(Progress::NeedsInput)
    }

    fn on_handshake(
        &mut self,
        input: &mut BytesMut,
        control: &mut Control<'_>,
    ) -> Result<Progress, Failure> {
        if input.len() < 5 {
            return Ok(Progress::NeedsInput);
        }
        if self.after == After::Refuse || !input.starts_with(b"HELLO") {
            let detail = "peer does not greet";
            return Err(Failure::new(
                Origin::Framing,
                FailureKind::ProtocolViolation,
                detail,
            ));
        }
        input.advance(5);
        match self.after {
            After::StepAside => control.start_passthrough(),
            After::Prepend => control.prepend(LengthPrefixed::u8()),
            _ => {}
        }
        Ok(Progress::Ready)
    }

    fn stop(&mut self, out: &mut WireBuffer) -> Result<(), Failure> {
        out.put_slice(b"BYE");
        Ok(())
    }

    fn frame(&mut self, part: Outgoing<'_>, out: &mut WireBuffer) -> Result<(), Failure> {
        self.lines.frame(part, out)
    }

    fn deframe(&mut self, input: &mut BytesMut, demand: Demand) -> Result<Deframed, Failure> {
        if input.starts_with(b"UPGRADE\n") {
            input.advance(8);
            return Ok(Deframed::Passthrough);
        }
        self.lines.deframe(input, demand)
    }
}

fn bytes(wire: &WireBuffer) -> Vec<u8> {
    wire.iter().flatten().copied().collect()
}

fn stack(framers: &Framers) -> Pipeline {
    let mut framers = framers.instantiate();
    let progress = framers.start(&mut WireBuffer::new());
    assert_eq!(progress, Ok(Progress::Ready));
    framers
}

#[test]
fn the_last_framer_added_runs_first_outbound_and_last_inbound() {
    let mut list = Framers::new();
    list.push(LengthPrefixed::u8());
    list.push(Delimited::lf());
    assert_eq!(list.len(), 2);
    let wire = framed(&mut stack(&list), &[b"ab", b"", b"c"]);
    assert_eq!(wire, b"\x03ab\n\x01\n\x02c\n");
    for at in 0..=wire.len() {
        let (mut framers, mut stream) = (stack(&list), arrived(&wire[..at]));
        let mut received = Vec::new();
        drain(&mut stream, &mut framers, Demand::WHOLE, &mut received).expect("legal");
        stream.prepare_read().extend_from_slice(&wire[at..]);
        drain(&mut stream, &mut framers, Demand::WHOLE, &mut received).expect("legal");
        assert_eq!(bytes_of(&received), [&b"ab"[..], b"", b"c"], "at {at}");
    }
}

#[test]
fn several_messages_may_share_one_message_of_the_framer_below() {
    let mut list = Framers::new();
    list.push(LengthPrefixed::u8());
    list.push(Delimited::lf());
    let mut received = Vec::new();
    let mut stream = arrived(b"\x05ab\nc\n\x02d\n");
    drain(&mut stream, &mut stack(&list), Demand::WHOLE, &mut received).expect("legal");
    assert_eq!(bytes_of(&received), [b"ab", &b"c"[..], b"d"]);
}

#[test]
fn a_message_may_not_go_beyond_that_of_the_framer_below() {
    let mut list = Framers::new();
    list.push(LengthPrefixed::u8());
    list.push(Delimited::lf());
    let mut stream = arrived(b"\x02ab\x02c\n");
    let error = drain(
        &mut stream,
        &mut stack(&list),
        Demand::WHOLE,
        &mut Vec::new(),
    );
    assert_eq!(error.expect_err("cut").failure.kind, FailureKind::Reset);
}

#[test]
fn parts_are_collected_for_a_framer_below_that_needs_the_length() {
    let mut list = Framers::new();
    list.push(LengthPrefixed::u8());
    list.push(Delimited::lf());
    let mut framers = stack(&list);
    assert!(framers.needs_length());
    let context = MessageContext::new();
    let mut wire = WireBuffer::new();
    for (data, at) in [
        ("a", (true, false)),
        ("b", (false, false)),
        ("c", (false, true)),
    ] {
        assert!(wire.is_empty());
        let part = Outgoing::part(data.into(), &context, at, None);
        framers.frame_part(part, &mut wire).expect("legal");
    }
    assert_eq!(bytes(&wire), b"\x04abc\n");
}

#[test]
fn parts_stream_through_framers_that_do_not_need_the_length() {
    let mut list = Framers::new();
    list.push(Delimited::nul());
    list.push(Delimited::lf());
    let mut framers = stack(&list);
    assert!(!framers.needs_length());
    let context = MessageContext::new();
    let mut wire = WireBuffer::new();
    let part = Outgoing::part("a".into(), &context, (true, false), None);
    framers.frame_part(part, &mut wire).expect("legal");
    assert_eq!(bytes(&wire), b"a");
    let part = Outgoing::part("b".into(), &context, (false, true), None);
    framers.frame_part(part, &mut wire).expect("legal");
    assert_eq!(bytes(&wire), b"ab\n\0");
}

#[test]
fn a_handshake_comes_before_messages_and_its_surplus_belongs_to_them() {
    let mut framers = Pipeline::new([Box::new(Greeting::new(After::Frame)) as Box<dyn Framer>]);
    let mut wire = WireBuffer::new();
    assert_eq!(framers.start(&mut wire), Ok(Progress::NeedsInput));
    assert_eq!(bytes(&wire), b"HELLO");
    assert!(!framers.is_ready());
    let mut stream = arrived(b"HEL");
    let progress = framers.on_handshake(stream.input_mut(), &mut wire);
    assert_eq!(progress, Ok(Progress::NeedsInput));
    stream.prepare_read().extend_from_slice(b"LOhi\n");
    let progress = framers.on_handshake(stream.input_mut(), &mut wire);
    assert_eq!(progress, Ok(Progress::Ready));
    assert!(framers.is_ready());
    let mut received = Vec::new();
    drain(&mut stream, &mut framers, Demand::WHOLE, &mut received).expect("legal");
    assert_eq!(bytes_of(&received), [b"hi"]);
    wire.clear();
    framers.stop(&mut wire).expect("can be said");
    assert_eq!(bytes(&wire), b"BYE");
}

#[test]
fn a_failed_handshake_fails_the_candidate() {
    for (after, said) in [(After::Refuse, "HELLO"), (After::Frame, "WRONG")] {
        let mut framers = Pipeline::new([Box::new(Greeting::new(after)) as Box<dyn Framer>]);
        framers.start(&mut WireBuffer::new()).expect("starts");
        framers
            .on_handshake(&mut BytesMut::from(said), &mut WireBuffer::new())
            .expect_err("unsuitable");
        assert!(!framers.is_ready());
    }
}

#[test]
fn a_framer_can_prepend_another_one_while_it_is_not_ready() {
    let mut framers = Pipeline::new([Box::new(Greeting::new(After::Prepend)) as Box<dyn Framer>]);
    let mut wire = WireBuffer::new();
    framers.start(&mut wire).expect("starts");
    let mut input = BytesMut::from(&b"HELLO"[..]);
    assert_eq!(
        framers.on_handshake(&mut input, &mut wire),
        Ok(Progress::Ready)
    );
    assert_eq!(framed(&mut framers, &[b"hi"]), b"\x02hi\n");
    framers
        .push(Box::new(Delimited::lf()))
        .expect_err("messages may be in flight");
}

#[test]
fn a_framer_that_steps_aside_leaves_bytes_as_they_are() {
    let mut framers = Pipeline::new([Box::new(Greeting::new(After::StepAside)) as Box<dyn Framer>]);
    framers.start(&mut WireBuffer::new()).expect("starts");
    let mut stream = arrived(b"HELLOraw");
    let progress = framers.on_handshake(stream.input_mut(), &mut WireBuffer::new());
    assert_eq!(progress, Ok(Progress::Ready));
    assert!(framers.is_empty());
    assert_eq!(framed(&mut framers, &[b"out"]), b"out");
    let mut received = Vec::new();
    drain(&mut stream, &mut framers, Demand::WHOLE, &mut received).expect("legal");
    assert_eq!(bytes_of(&received), [b"raw"]);
}

#[test]
fn handshakes_go_upwards_through_the_framers_below() {
    let mut framers = Pipeline::new([
        Box::new(LengthPrefixed::u8()) as Box<dyn Framer>,
        Box::new(Greeting::new(After::StepAside)),
        Box::new(Delimited::lf()),
    ]);
    let mut wire = WireBuffer::new();
    assert_eq!(framers.start(&mut wire), Ok(Progress::NeedsInput));
    assert_eq!(bytes(&wire), b"\x05HELLO");
    let mut stream = arrived(b"\x02HE");
    let progress = framers.on_handshake(stream.input_mut(), &mut wire);
    assert_eq!(progress, Ok(Progress::NeedsInput));
    stream.prepare_read().extend_from_slice(b"\x03LLO\x03hi\n");
    let progress = framers.on_handshake(stream.input_mut(), &mut wire);
    assert_eq!(progress, Ok(Progress::Ready));
    assert_eq!(framed(&mut framers, &[b"a"]), b"\x02a\n");
    let mut received = Vec::new();
    drain(&mut stream, &mut framers, Demand::WHOLE, &mut received).expect("legal");
    assert_eq!(bytes_of(&received), [b"hi"]);
}

#[test]
fn passthrough_can_start_in_mid_stream() {
    let mut framers = Pipeline::new([Box::new(Greeting::new(After::Frame)) as Box<dyn Framer>]);
    framers.start(&mut WireBuffer::new()).expect("starts");
    let mut stream = arrived(b"HELLOa\nUPGRADE\nraw");
    framers
        .on_handshake(stream.input_mut(), &mut WireBuffer::new())
        .expect("greets");
    let mut received = Vec::new();
    drain(&mut stream, &mut framers, Demand::WHOLE, &mut received).expect("legal");
    assert_eq!(bytes_of(&received), [&b"a"[..], b"raw"]);
    assert!(framers.is_empty());
}

#[test]
fn an_empty_pipeline_moves_bytes() {
    let mut framers = Pipeline::empty();
    assert!(framers.is_empty() && framers.is_ready() && !framers.needs_length());
    assert_eq!(framers.start(&mut WireBuffer::new()), Ok(Progress::Ready));
    assert_eq!(framed(&mut framers, &[b"a", b"b"]), b"ab");
    let found = framers.deframe(&mut BytesMut::from("x"), Demand::WHOLE);
    assert_eq!(found, Ok(Deframed::Passthrough));
}

#[test]
fn descriptions_make_fresh_instances() {
    let mut list = Framers::new();
    assert!(list.is_empty());
    let before = list.clone();
    list.push(from_fn(|| Greeting::new(After::Frame)));
    assert!(before.is_empty() && !list.is_empty());
    let mut first = list.instantiate();
    first.start(&mut WireBuffer::new()).expect("starts");
    first
        .on_handshake(&mut BytesMut::from("HELLO"), &mut WireBuffer::new())
        .expect("greets");
    assert!(first.is_ready() && !list.instantiate().is_ready());
}

#[test]
fn several_messages_are_packed_into_one_datagram() {
    let mut framers = one(LengthPrefixed::u8());
    let mut packer = DatagramPacker::new(8);
    assert_eq!(packer.push(&mut framers, "abc".into()), Ok(None));
    assert_eq!(
        packer.push(&mut framers, "def".into()),
        Ok(None),
        "eight bytes fit"
    );
    let full = packer
        .push(&mut framers, "".into())
        .expect("legal")
        .expect("full");
    assert_eq!((&full.data[..], full.messages), (&b"\x03abc\x03def"[..], 2));
    let error = packer.push(&mut framers, "12345678".into());
    assert_eq!(
        error.expect_err("nine bytes").failure.kind,
        FailureKind::LimitReached
    );
    let last = packer.finish().expect("one message");
    assert_eq!((&last.data[..], last.messages), (&b"\x00"[..], 1));
    assert_eq!(packer.finish(), None);
}

#[test]
fn without_framers_every_message_is_a_datagram() {
    let mut packer = DatagramPacker::new(8);
    let mut framers = Pipeline::empty();
    assert_eq!(packer.push(&mut framers, Message::from("")), Ok(None));
    let empty = packer.push(&mut framers, "b".into()).expect("legal");
    assert_eq!(empty.expect("an empty one").data.len(), 0);
    assert_eq!(packer.finish().expect("b").messages, 1);
}

#[test]
fn datagrams_are_taken_apart_and_a_broken_one_loses_only_itself() {
    let mut framers = one(LengthPrefixed::u8());
    let mut datagrams = crate::framer::ReceiveBuffer::datagrams();
    for datagram in [&b"\x01a\x02bc"[..], b"\x01d\x05x", b"", b"\x01e"] {
        assert!(datagrams.on_datagram(datagram.to_vec().into(), None));
    }
    let mut received = Vec::new();
    let error = drain(&mut datagrams, &mut framers, Demand::WHOLE, &mut received);
    assert!(!error.expect_err("half a frame").is_fatal);
    let end = drain(&mut datagrams, &mut framers, Demand::WHOLE, &mut received);
    assert_eq!(end, Ok(Receive::NeedsMore(1)));
    assert_eq!(bytes_of(&received), [&b"a"[..], b"bc", b"d", b"e"]);
}

#[test]
fn a_framer_that_is_added_when_messages_flow_is_refused() {
    let mut framers = Pipeline::new([Box::new(LengthPrefixed::u8()) as Box<dyn Framer>]);
    framers.start(&mut WireBuffer::new()).expect("no handshake");
    let late = framers.push(Box::new(LengthPrefixed::u8()));
    let failure = late.expect_err("too late");
    assert_eq!(failure.kind, FailureKind::InvalidRequest);
}
