//! Who was told of what came and has not looked at it since.
//!
//! Invariant: the count is that of the receivers with `is_awaited`, of the kinds for which somebody
//! is about to accept, and of what a resident has told since nobody came the last time.

use crate::quic::waiting::Receiver;
use quinn_proto::Dir;

/// How many are about to act on the connection.
#[derive(Default)]
pub(in crate::quic) struct Awaited {
    receivers: usize,
    /// Whom the protocol that resides in the connection has told.
    resident: usize,
    /// Counts how often the resident's were given up, so that who comes later counts no more.
    given_up: u32,
    /// How many the resident has told so far.
    pub(in crate::quic) told: u64,
    /// How many have looked, wrapping.
    pub(in crate::quic) looks: u32,
    /// By [`Dir`].
    accepting: [bool; 2],
    /// Whether the driver waits for them before it sends, and is called by the last one.
    pub(in crate::quic) is_driver_waiting: bool,
}

impl Awaited {
    /// How many there are.
    #[inline]
    pub(in crate::quic) fn count(&self) -> usize {
        self.receivers + self.resident + self.accepting.iter().filter(|it| **it).count()
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

    /// The resident has told somebody of something.
    pub(in crate::quic) fn on_told_by_resident(&mut self) -> Told {
        self.resident += 1;
        self.told += 1;
        Told(self.given_up)
    }

    /// Who was told by the resident has acted, or is gone.
    #[inline]
    pub(in crate::quic) fn on_acted(&mut self, told: Told) {
        if told.0 == self.given_up && self.resident > 0 {
            self.resident -= 1;
            self.looks = self.looks.wrapping_add(1);
        }
    }

    /// Waits no more for those whom the resident has told: what they do may take them long.
    pub(in crate::quic) fn give_up_residents(&mut self) {
        self.resident = 0;
        self.given_up = self.given_up.wrapping_add(1);
    }

    /// Whether somebody was woken to accept streams, or has found no more of them.
    pub(in crate::quic) fn set_accepting(&mut self, kind: Dir, is_about_to: bool) {
        self.accepting[kind as usize] = is_about_to;
    }
}

/// Somebody whom a resident has told of something and who is about to act on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "who has acted is not awaited any more"]
pub struct Told(u32);
