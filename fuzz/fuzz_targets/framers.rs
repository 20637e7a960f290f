//! Bytes of a hostile peer through every built-in framer, in pieces of any size.
//!
//! Invariant: no panic, no message beyond its limit, and the pieces do not matter: what is
//! delivered whole equals what is delivered split.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use portway_core::framer::{
    Delimited, Demand, Framer, LengthPrefixed, Pipeline, Receive, ReceiveBuffer, Tlv,
};

#[derive(Arbitrary, Debug)]
struct Input {
    framer: u8,
    splits: Vec<u8>,
    bytes: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let whole = deliver(input.framer, &input.bytes, &[]);
    let split = deliver(input.framer, &input.bytes, &input.splits);
    assert_eq!(whole, split, "the pieces decided what was delivered");
});

/// The messages, and whether they ended in a failure.
fn deliver(framer: u8, bytes: &[u8], splits: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut framers = Pipeline::new([framer_of(framer)]);
    let mut buffer = ReceiveBuffer::stream();
    let mut messages = Vec::new();
    let mut rest = bytes;
    let mut splits = splits.iter();
    loop {
        match buffer.receive(&mut framers, Demand::WHOLE) {
            Ok(Receive::Message(message)) => {
                assert!(message.len() <= LIMIT, "a message beyond the limit");
                messages.push(message.to_vec());
            }
            Ok(Receive::NeedsMore(_)) if rest.is_empty() => buffer.on_end(),
            Ok(Receive::NeedsMore(_)) => {
                let most = splits
                    .next()
                    .map_or(rest.len(), |split| usize::from(*split).max(1));
                let (now, later) = rest.split_at(most.min(rest.len()));
                buffer.prepare_read().extend_from_slice(now);
                rest = later;
            }
            Ok(Receive::Ended) => return (messages, false),
            Err(_) => return (messages, true),
        }
    }
}

fn framer_of(choice: u8) -> Box<dyn Framer> {
    match choice % 6 {
        0 => Box::new(LengthPrefixed::u8()),
        1 => Box::new(LengthPrefixed::u16().max_length(LIMIT as u64)),
        2 => Box::new(LengthPrefixed::u32().max_length(LIMIT as u64)),
        3 => Box::new(LengthPrefixed::varint().max_length(LIMIT as u64)),
        4 => Box::new(Delimited::crlf().max_length(LIMIT as u64)),
        _ => Box::new(Tlv::u8(LengthPrefixed::u16().max_length(LIMIT as u64))),
    }
}

const LIMIT: usize = 4096;
