//! Who was told of what came and has not looked at it since.
//!
//! Invariant: the count is that of the receivers with `is_awaited` and of the kinds for which
//! somebody is about to accept.

use crate::quic::waiting::Receiver;
use quinn_proto::Dir;

/// How many are about to act on the connection.
#[derive(Default)]
pub(in crate::quic) struct Awaited {
    receivers: usize,
    /// How many have looked, wrapping.
    pub(in crate::quic) looks: u32,
    /// By [`Dir`].
    accepting: [bool; 2],
    /// Whether the driver waits for them before it sends, and is called by the last one.
    pub(in crate::quic) is_driver_waiting: bool,
}

impl Awaited {
    /// How many there are.
    pub(in crate::quic) fn count(&self) -> usize {
        self.receivers + self.accepting.iter().filter(|it| **it).count()
    }

    /// The reader of a stream was woken, or got the stream together with what came on it.
    pub(in crate::quic) fn on_told(&mut self, receiver: &mut Receiver) {
        self.receivers += usize::from(!receiver.is_awaited);
        receiver.is_awaited = true;
    }

    /// The reader has looked, or is gone.
    pub(in crate::quic) fn on_looked(&mut self, receiver: &mut Receiver) {
        if receiver.is_awaited {
            receiver.is_awaited = false;
            self.receivers -= 1;
            self.looks = self.looks.wrapping_add(1);
        }
    }

    /// Whether somebody was woken to accept streams, or has found no more of them.
    pub(in crate::quic) fn set_accepting(&mut self, kind: Dir, is_about_to: bool) {
        self.accepting[kind as usize] = is_about_to;
    }
}
