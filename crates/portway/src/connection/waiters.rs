//! Who waits for a connection: senders for room and receivers for their turn, both first come
//! first served, others for any change.
//!
//! Invariant: whoever gives up waiting leaves nothing behind, and room that becomes free, or a
//! turn, is offered to who has waited longest.

use super::group::Group;
use super::shared::Shared;
use crate::error::SendError;
use crate::receipt::Receipt;
use portway_core::Time;
use portway_core::message::Message;
use std::collections::VecDeque;
use std::mem;
use std::task::Waker;

/// A place among those that wait; empty while its owner does not wait.
#[derive(Debug, Default)]
pub(super) struct Place(Option<u64>);

/// Whether those behind a sender may rely on it to use its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// A future, which leaves its place when it is dropped.
    Lasting,
    /// A `poll` function, whose caller may never come back.
    Fleeting,
}

#[derive(Default)]
pub(super) struct Waiters {
    last: u64,
    senders: VecDeque<Sender>,
    /// The receiver whose turn it is; kept here, as a connection seldom has more than this one.
    turn: Option<u64>,
    /// The receivers behind it, each woken when the turn is its own.
    receivers: Vec<(u64, Option<Waker>)>,
    others: Vec<(u64, Waker)>,
}

struct Sender {
    number: u64,
    patience: Patience,
    /// Taken when its turn was offered.
    waker: Option<Waker>,
}

impl Sender {
    /// Whether those behind may go on without it.
    fn let_pass(&self) -> bool {
        self.patience == Patience::Fleeting && self.waker.is_none()
    }
}

impl Waiters {
    /// Whether any sender waits.
    #[inline]
    pub(super) fn has_senders(&self) -> bool {
        !self.senders.is_empty()
    }

    /// Whether nobody stands before `place`, or at all when it is empty.
    fn is_turn(&self, place: &Place) -> bool {
        let before = self.senders.iter();
        before
            .take_while(|sender| Some(sender.number) != place.0)
            .all(Sender::let_pass)
    }

    fn queue_up(&mut self, place: &mut Place, patience: Patience, waker: &Waker) {
        let mut senders = self.senders.iter_mut();
        if let Some(sender) = senders.find(|sender| Some(sender.number) == place.0) {
            sender.waker = Some(waker.clone());
            return;
        }
        let number = self.number(place);
        self.senders.push_back(Sender {
            number,
            patience,
            waker: Some(waker.clone()),
        });
    }

    fn wait(&mut self, place: &mut Place, waker: &Waker) {
        let mut others = self.others.iter_mut();
        if let Some((_, kept)) = others.find(|(number, _)| Some(*number) == place.0) {
            kept.clone_from(waker);
            return;
        }
        let number = self.number(place);
        self.others.push((number, waker.clone()));
    }

    fn number(&mut self, place: &mut Place) -> u64 {
        *place.0.get_or_insert_with(|| {
            self.last += 1;
            self.last
        })
    }

    /// Whether any receiver has the turn.
    #[inline]
    pub(super) fn has_receivers(&self) -> bool {
        self.turn.is_some()
    }

    /// Takes the turn to receive, or a place behind those that wait for it; whether it is the
    /// turn of `place` now.
    pub(super) fn take_turn(&mut self, place: &mut Place, waker: Option<&Waker>) -> bool {
        let number = self.number(place);
        if *self.turn.get_or_insert(number) == number {
            return true;
        }
        let mut receivers = self.receivers.iter_mut();
        match receivers.find(|(other, _)| *other == number) {
            Some((_, kept)) => *kept = waker.cloned(),
            None => self.receivers.push((number, waker.cloned())),
        }
        false
    }

    /// Passes the turn of the receiver with this number on, or takes it out of those that wait.
    fn leave_turn(&mut self, left: u64) {
        if self.turn != Some(left) {
            self.receivers.retain(|(number, _)| *number != left);
            return;
        }
        self.turn = None;
        if !self.receivers.is_empty() {
            let (next, waker) = self.receivers.remove(0);
            self.turn = Some(next);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// Leaves `place`; whether a sender's place was left.
    fn leave(&mut self, place: &mut Place) -> bool {
        let Some(left) = place.0.take() else {
            return false;
        };
        self.leave_turn(left);
        if self.others.is_empty() && self.senders.is_empty() {
            return false;
        }
        self.others.retain(|(number, _)| *number != left);
        let before = self.senders.len();
        self.senders.retain(|sender| sender.number != left);
        self.senders.len() != before
    }

    /// Offers the turn to the first sender, and to those behind it that it lets pass.
    fn offer_turn(&mut self) {
        for sender in &mut self.senders {
            if let Some(waker) = sender.waker.take() {
                waker.wake();
            }
            if !sender.let_pass() {
                break;
            }
        }
    }

    fn wake_all(&mut self) {
        let senders = self.senders.iter_mut();
        senders.for_each(|sender| sender.waker.take().into_iter().for_each(Waker::wake));
        self.wake_others();
    }

    fn wake_others(&mut self) {
        let others = mem::take(&mut self.others);
        others.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl Group {
    /// Wakes `waker` at the next change of state or room.
    pub(super) fn wait(&mut self, place: &mut Place, waker: &Waker) {
        self.waiters.wait(place, waker);
    }

    /// Wakes `waker` when it is the turn of `place` and there may be room.
    pub(super) fn queue_up(&mut self, place: &mut Place, patience: Patience, waker: &Waker) {
        self.waiters.queue_up(place, patience, waker);
    }

    /// Leaves `place`, whose turn passes to the next.
    pub(super) fn leave(&mut self, place: &mut Place) {
        if self.waiters.leave(place) && self.outbound.queue.has_room(1) {
            self.waiters.offer_turn();
        }
    }

    /// Whether a sender at `place`, or one that has none yet, overtakes nobody.
    pub(super) fn is_turn(&self, place: &Place) -> bool {
        self.waiters.is_turn(place)
    }

    /// As [`Group::send`], and after those that came before.
    pub(super) fn send_in_turn(
        &mut self,
        place: &mut Place,
        now: impl Fn() -> Time,
        message: &mut Option<Message>,
    ) -> Option<Result<Receipt, SendError>> {
        if !self.is_turn(place)
            && let Ok(()) = self.check_open()
        {
            return None;
        }
        let sent = self.send(now, message);
        if sent.is_some() {
            self.leave(place);
        }
        sent
    }

    /// There may be room, or something else has changed.
    pub(super) fn wake_waiters(&mut self) {
        self.waiters.wake_others();
        self.waiters.offer_turn();
    }

    /// Nobody has to wait any longer.
    pub(super) fn wake_all(&mut self) {
        self.waiters.wake_all();
    }
}

/// A place that is left when its future is dropped.
pub(super) struct Waiter<'a> {
    shared: &'a Shared,
    pub(super) place: Place,
}

impl<'a> Waiter<'a> {
    pub(super) fn of(shared: &'a Shared) -> Self {
        Waiter {
            shared,
            place: Place::default(),
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.place.leave(self.shared);
    }
}

impl Place {
    /// What tells it apart from the others, once it was taken.
    pub(super) fn number(&self) -> Option<u64> {
        self.0
    }

    /// Leaves the place, if one was taken.
    pub(super) fn leave(&mut self, shared: &Shared) {
        if self.0.is_some() {
            shared.lock().leave(self);
        }
    }
}
