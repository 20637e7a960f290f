//! What receives see: parts, ends, failures, bounds.

use super::{arrived, bytes_of, drain, one};
use crate::framer::{
    Demand, Http1, LengthPrefixed, Pipeline, Receive, ReceiveBuffer, ReceiveLimits,
};
use crate::message::{ContextEndpoints, Ecn};
use crate::{Failure, FailureKind, Origin};
use bytes::Bytes;

fn reset() -> Failure {
    Failure::new(Origin::System, FailureKind::Reset, "connection reset")
}

#[test]
fn rfc_9622_example_delivers_1500_bytes_in_two_parts() {
    let mut wire = vec![0x05, 0xdc];
    wire.extend_from_slice(&[7; 1500]);
    let mut stream = arrived(&wire);
    let mut parts = Vec::new();
    let demand = Demand::new(1, 1000);
    drain(
        &mut stream,
        &mut one(LengthPrefixed::u16()),
        demand,
        &mut parts,
    )
    .expect("legal");
    let shape: Vec<_> = parts
        .iter()
        .map(|p| (p.len(), p.is_start, p.is_end))
        .collect();
    assert_eq!(shape, [(1000, true, false), (500, false, true)]);
    assert_eq!(parts[0].id(), parts[1].id());
}

#[test]
fn a_minimum_holds_back_smaller_parts_but_not_the_end() {
    let mut framers = one(LengthPrefixed::u8());
    let mut stream = arrived(b"\x05abc");
    let demand = Demand::new(4, 100);
    assert_eq!(
        stream.receive(&mut framers, demand),
        Ok(Receive::NeedsMore(1))
    );
    stream.on_bytes(Bytes::from_static(b"d"));
    let mut parts = Vec::new();
    drain(&mut stream, &mut framers, demand, &mut parts).expect("legal");
    stream.on_bytes(Bytes::from_static(b"e"));
    drain(&mut stream, &mut framers, demand, &mut parts).expect("legal");
    assert_eq!(bytes_of(&parts), [&b"abcd"[..], b"e"]);
}

#[test]
fn unframed_bytes_are_one_message_until_the_end() {
    let mut framers = Pipeline::empty();
    let mut stream = arrived(b"ab");
    let mut parts = Vec::new();
    let end = drain(&mut stream, &mut framers, Demand::WHOLE, &mut parts);
    assert_eq!(end, Ok(Receive::NeedsMore(1)));
    stream.on_bytes(Bytes::from_static(b"cde"));
    let held = stream.receive(&mut framers, Demand::new(4, 10));
    assert_eq!(held, Ok(Receive::NeedsMore(1)));
    stream.on_end();
    let end = drain(&mut stream, &mut framers, Demand::new(4, 2), &mut parts);
    assert_eq!(end, Ok(Receive::Ended));
    assert_eq!(bytes_of(&parts), [&b"ab"[..], b"cd", b"e"]);
    let ends: Vec<_> = parts.iter().map(|p| (p.is_start, p.is_end)).collect();
    assert_eq!(ends, [(true, false), (false, false), (false, true)]);
    assert!(parts[2].context.is_final());
}

#[test]
fn an_end_after_everything_was_received_closes_the_message_with_an_empty_part() {
    let mut framers = Pipeline::empty();
    let mut stream = arrived(b"ab");
    let mut parts = Vec::new();
    drain(&mut stream, &mut framers, Demand::WHOLE, &mut parts).expect("legal");
    stream.on_end();
    let end = drain(&mut stream, &mut framers, Demand::WHOLE, &mut parts);
    assert_eq!(end, Ok(Receive::Ended));
    assert_eq!(bytes_of(&parts), [&b"ab"[..], b""]);
    assert!(parts[1].is_end && !parts[1].is_start);
    let mut nothing = ReceiveBuffer::stream();
    nothing.on_end();
    assert_eq!(
        nothing.receive(&mut framers, Demand::WHOLE),
        Ok(Receive::Ended)
    );
}

#[test]
fn what_came_before_a_failure_is_delivered_first() {
    for (mut framers, wire, count) in [
        (one(LengthPrefixed::u8()), &b"\x01a\x01b\x05cut"[..], 2),
        (Pipeline::empty(), b"ab", 1),
    ] {
        let mut stream = arrived(wire);
        stream.on_failure(reset());
        stream.on_end();
        let mut received = Vec::new();
        for _ in 0..2 {
            let end = drain(&mut stream, &mut framers, Demand::WHOLE, &mut received);
            let failure = end.expect_err("the connection failed");
            assert_eq!((failure.failure, failure.is_fatal), (reset(), true));
        }
        assert_eq!(received.len(), count);
    }
}

#[test]
fn a_failure_names_the_message_that_it_cut() {
    let mut framers = one(LengthPrefixed::u8());
    let mut stream = arrived(b"\x01a\x05bc");
    let mut parts = Vec::new();
    drain(&mut stream, &mut framers, Demand::ANY, &mut parts).expect("legal");
    stream.on_end();
    let failure = stream.receive(&mut framers, Demand::ANY).expect_err("cut");
    assert_eq!(failure.message, parts[1].id());
    assert_ne!(parts[0].id(), parts[1].id());
    assert!(failure.to_string().contains("2 of 5 bytes"));
}

#[test]
fn messages_above_the_whole_limit_come_in_parts() {
    let limits = ReceiveLimits {
        whole_max: 3,
        ..ReceiveLimits::default()
    };
    let mut stream = ReceiveBuffer::stream().with_limits(limits);
    stream.on_bytes(Bytes::from_static(b"\x03abc\x04abcd"));
    let mut parts = Vec::new();
    drain(
        &mut stream,
        &mut one(LengthPrefixed::u8()),
        Demand::WHOLE,
        &mut parts,
    )
    .expect("legal");
    assert_eq!(bytes_of(&parts), [&b"abc"[..], b"abc", b"d"]);
}

#[test]
fn reading_ahead_stops_at_its_limit_unless_a_receive_waits_for_more() {
    let limits = ReceiveLimits {
        read_ahead_max: 4,
        ..ReceiveLimits::default()
    };
    let mut stream = ReceiveBuffer::stream().with_limits(limits);
    let mut framers = one(LengthPrefixed::u8());
    assert!(stream.wants_input());
    stream.on_bytes(Bytes::from_static(b"\x09abc"));
    assert!(!stream.wants_input());
    assert_eq!(
        stream.receive(&mut framers, Demand::WHOLE),
        Ok(Receive::NeedsMore(6))
    );
    assert!(stream.wants_input());
    stream.on_bytes(Bytes::from_static(b"defghi"));
    assert!(!stream.wants_input());
    assert!(matches!(
        stream.receive(&mut framers, Demand::WHOLE),
        Ok(Receive::Message(_))
    ));
    assert!(stream.wants_input());
    stream.on_end();
    assert!(!stream.wants_input());
}

#[test]
fn datagrams_beyond_the_limit_are_dropped_and_counted_by_the_caller() {
    let limits = ReceiveLimits {
        read_ahead_max: 200,
        ..ReceiveLimits::default()
    };
    let mut datagrams = ReceiveBuffer::datagrams().with_limits(limits);
    let accepted = (0..10)
        .filter(|_| datagrams.on_datagram(Bytes::new(), None))
        .count();
    assert_eq!(accepted, 4, "empty ones are bounded too");
    let mut received = Vec::new();
    let end = drain(
        &mut datagrams,
        &mut Pipeline::empty(),
        Demand::WHOLE,
        &mut received,
    );
    assert_eq!((end, received.len()), (Ok(Receive::NeedsMore(1)), 4));
    assert!(datagrams.on_datagram(Bytes::new(), None));
}

#[test]
fn contexts_say_where_a_message_came_from() {
    let both = ContextEndpoints {
        local: Some(([127, 0, 0, 1], 1).into()),
        remote: ([127, 0, 0, 1], 2).into(),
    };
    let mut datagrams = ReceiveBuffer::datagrams();
    datagrams.set_endpoints(both.into());
    datagrams.set_early_data(true);
    datagrams.on_datagram(Bytes::from_static(b"abc"), Some(Ecn::Ce));
    let mut parts = Vec::new();
    let demand = Demand::new(1, 2);
    drain(&mut datagrams, &mut Pipeline::empty(), demand, &mut parts).expect("legal");
    assert_eq!(bytes_of(&parts), [&b"ab"[..], b"c"]);
    for part in &parts {
        let context = &part.context;
        assert_eq!(context.remote_endpoint(), Some(both.remote));
        assert_eq!(context.local_endpoint(), both.local);
        assert_eq!(
            (context.ecn(), context.is_early_data()),
            (Some(Ecn::Ce), true)
        );
        assert_eq!(context.id(), parts[0].id());
    }
}

#[test]
fn a_message_whose_head_came_early_keeps_its_mark() {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    let next = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nd";
    for demand in [Demand::WHOLE, Demand::new(1, 2)] {
        let mut framers = one(Http1::server());
        let (mut buffer, mut parts) = (ReceiveBuffer::stream(), Vec::new());
        buffer.set_early_data(true);
        buffer.on_bytes(Bytes::from_static(head));
        drain(&mut buffer, &mut framers, demand, &mut parts).expect("legal");
        assert_eq!(buffer.waiting_bytes(), 0, "the framer has taken the head");
        buffer.set_early_data(false);
        buffer.on_bytes(Bytes::from_static(b"abc"));
        buffer.on_bytes(Bytes::from_static(next));
        drain(&mut buffer, &mut framers, demand, &mut parts).expect("legal");
        for part in &parts {
            let is_first = part.context.id() == parts[0].context.id();
            assert_eq!(part.context.is_early_data(), is_first, "{part:?}");
        }
        assert_eq!(parts.last().expect("both").data, "d");
    }
}
