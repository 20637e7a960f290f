//! The queue and the wire buffer.

mod priority;
mod queue;
mod random;
mod wire_buffer;

use super::*;
use crate::message::{Message, MessageContext};
use crate::{FailureKind, Origin, Time};
use std::time::Duration;

const ONE: ConnectionId = ConnectionId(1);
const TWO: ConnectionId = ConnectionId(2);

fn queue(bytes_max: usize, sends_max: usize) -> SendQueue<&'static str> {
    let mut queue = SendQueue::new(
        Policy::FirstComeFirstServed,
        QueueLimits::new(bytes_max, sends_max),
    );
    queue.add_connection(ONE, 100);
    queue.add_connection(TWO, 100);
    queue
}

fn at(millis: u64) -> Time {
    Time::from_origin(Duration::from_millis(millis))
}

fn living(data: &str, millis: u64) -> Message {
    let lifetime = Duration::from_millis(millis);
    Message::from(data).with_context(MessageContext::new().with_lifetime(lifetime))
}

fn last(data: &str) -> Message {
    Message::from(data).with_context(MessageContext::new().with_final())
}

fn reset() -> Failure {
    Failure::new(Origin::System, FailureKind::Reset, "connection reset")
}

/// Takes out everything that can go, as texts.
fn popped<R>(queue: &mut SendQueue<R>, now: Time) -> Vec<String> {
    std::iter::from_fn(|| queue.pop(now))
        .map(|send| String::from_utf8(send.data.into_bytes().to_vec()).expect("text"))
        .collect()
}

fn completed<R>(queue: &mut SendQueue<R>) -> Vec<(R, Outcome)> {
    std::iter::from_fn(|| queue.poll_completion())
        .map(|completion| (completion.receipt, completion.outcome))
        .collect()
}
