//! Framers in both directions, their stacks, and what receives see of them.

mod codecs;
mod http1;
mod pipeline;
mod receive;
mod shortcut;

use super::{Demand, Framer, Pipeline, Receive, ReceiveBuffer, ReceiveFailure};
use crate::message::{Message, ReceivedMessage};
use crate::send_queue::WireBuffer;

/// A pipeline of one framer.
fn one(framer: impl Framer + 'static) -> Pipeline {
    let mut framers = Pipeline::new([Box::new(framer) as Box<dyn Framer>]);
    framers.start(&mut WireBuffer::new()).expect("no handshake");
    framers
}

/// What `framers` writes for `messages`.
fn framed(framers: &mut Pipeline, messages: &[&[u8]]) -> Vec<u8> {
    let mut wire = WireBuffer::new();
    for message in messages {
        framers
            .frame(Message::from(*message), &mut wire)
            .expect("the message can be framed");
    }
    wire.iter().flatten().copied().collect()
}

/// Receives until more is needed, an end or a failure.
fn drain(
    arrived: &mut ReceiveBuffer,
    framers: &mut Pipeline,
    demand: Demand,
    into: &mut Vec<ReceivedMessage>,
) -> Result<Receive, ReceiveFailure> {
    loop {
        match arrived.receive(framers, demand)? {
            Receive::Message(message) => into.push(message),
            other => return Ok(other),
        }
    }
}

fn bytes_of(received: &[ReceivedMessage]) -> Vec<&[u8]> {
    received.iter().map(|message| &message[..]).collect()
}

/// A stream in which `bytes` have arrived.
fn arrived(bytes: &[u8]) -> ReceiveBuffer {
    let mut arrived = ReceiveBuffer::stream();
    arrived.prepare_read().extend_from_slice(bytes);
    arrived
}
