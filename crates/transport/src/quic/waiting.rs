//! Who waits for what on a connection.
//!
//! Invariant: a future that is dropped leaves nothing behind, and a stream that could be opened
//! for a future that is gone goes to the next one.

use super::{StreamError, VarInt};
use quinn_proto::StreamId;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::task::Waker;

/// The place of a future in a list, given when it first waits.
pub type Place = Option<u64>;

/// Futures that wait for the same thing, all of which are woken when it comes. A protocol that
/// resides in a connection keeps its futures in such lists.
#[derive(Debug, Default)]
pub struct WaitList {
    /// Whoever called a `poll_` function; only the last one is kept.
    polled: Option<Waker>,
    futures: Vec<(u64, Waker)>,
    last: u64,
}

impl WaitList {
    /// Keeps the waker of a future at its place.
    pub fn keep(&mut self, place: &mut Place, waker: &Waker) {
        let key = *place.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        match self.futures.iter_mut().find(|(other, _)| *other == key) {
            Some((_, kept)) => kept.clone_from(waker),
            None => self.futures.push((key, waker.clone())),
        }
    }

    /// Keeps the waker of a `poll_` function.
    pub(super) fn keep_polled(&mut self, waker: &Waker) {
        keep_waker(&mut self.polled, waker);
    }

    /// Whether a future has not been woken since it was kept.
    pub(super) fn has(&self, place: Place) -> bool {
        self.futures.iter().any(|(key, _)| Some(*key) == place)
    }

    /// Forgets a future.
    pub fn forget(&mut self, place: Place) {
        self.futures.retain(|(key, _)| Some(*key) != place);
    }

    /// Takes all wakers. The futures keep their places.
    pub fn drain(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.polled.take());
        wakers.extend(self.futures.drain(..).map(|(_, waker)| waker));
    }
}

/// Futures that wait to open a stream, first come, first served. Whoever forgets a future or gives
/// a stream back grants it to the next one.
#[derive(Debug)]
pub struct OpenQueue<S> {
    waiting: VecDeque<(u64, Waker)>,
    /// Streams that were opened for a future that has not been polled since.
    granted: Vec<(u64, S)>,
    /// Streams that were opened and not used.
    pub(super) spare: VecDeque<S>,
    last: u64,
}

impl<S> Default for OpenQueue<S> {
    fn default() -> Self {
        OpenQueue {
            waiting: VecDeque::new(),
            granted: Vec::new(),
            spare: VecDeque::new(),
            last: 0,
        }
    }
}

impl<S> OpenQueue<S> {
    /// The stream for a future, if there is one. `open` is asked when nobody is before it.
    pub fn take(&mut self, place: &mut Place, open: impl FnOnce() -> Option<S>) -> Option<S> {
        if place.is_some() {
            let granted = self.take_granted(*place)?;
            *place = None;
            return Some(granted);
        }
        // Whoever waits already comes first.
        match self.waiting.is_empty() {
            true => self.spare.pop_front().or_else(open),
            false => None,
        }
    }

    fn take_granted(&mut self, place: Place) -> Option<S> {
        let mut granted = self.granted.iter();
        let at = granted.position(|(key, _)| Some(*key) == place)?;
        Some(self.granted.swap_remove(at).1)
    }

    /// Keeps the waker of a future at its place.
    pub fn keep(&mut self, place: &mut Place, waker: &Waker) {
        let key = *place.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        match self.waiting.iter_mut().find(|(other, _)| *other == key) {
            Some((_, kept)) => kept.clone_from(waker),
            None => self.waiting.push_back((key, waker.clone())),
        }
    }

    /// Takes a stream back that nothing was sent on.
    pub fn give_back(&mut self, stream: S) {
        self.spare.push_front(stream);
    }

    /// Forgets a future. Its stream, if it had got one, is given back.
    pub fn forget(&mut self, place: Place) {
        if let Some(stream) = self.take_granted(place) {
            self.give_back(stream);
        }
        self.waiting.retain(|(key, _)| Some(*key) != place);
    }

    /// Gives streams to the futures that wait, as long as there are both.
    pub fn grant(&mut self, wakers: &mut Vec<Waker>, mut open: impl FnMut() -> Option<S>) {
        while !self.waiting.is_empty() {
            let Some(stream) = self.spare.pop_front().or_else(&mut open) else {
                return;
            };
            let (key, waker) = self
                .waiting
                .pop_front()
                .expect("the loop runs only while one waits");
            self.granted.push((key, stream));
            wakers.push(waker);
        }
    }

    /// Takes all wakers, such as when the connection ends. The futures keep their places.
    pub fn drain(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.waiting.drain(..).map(|(_, waker)| waker));
    }

    /// Drops every stream, since the server did not take early data.
    pub(super) fn forget_streams(&mut self, wakers: &mut Vec<Waker>) {
        self.granted.clear();
        self.spare.clear();
        self.drain(wakers);
    }
}

/// A table by stream identifier.
pub(super) type StreamTable<T> = HashMap<StreamId, T, BuildHasherDefault<StreamHasher>>;

/// Spreads stream identifiers. They are dense and their number is limited, so a peer gains
/// nothing by choosing them.
#[derive(Default)]
pub(super) struct StreamHasher(u64);

impl Hasher for StreamHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        // The table takes its bucket from the low bits and its tag from the high ones.
        self.0 = (self.0 ^ value)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(26);
    }
}

/// A stream of the peer that was taken from the protocol and that nobody has accepted yet.
pub(super) struct Arrived {
    pub(super) id: StreamId,
    /// Whether it began before the handshake ended.
    pub(super) is_early: bool,
    /// The code with which the peer has stopped its way back.
    pub(super) stopped: Option<VarInt>,
}

/// The live sending handle of a stream.
#[derive(Default)]
pub(super) struct Sender {
    pub(super) waker: Option<Waker>,
    /// The code with which the peer has stopped it.
    pub(super) stopped: Option<VarInt>,
}

/// The live receiving handle of a stream.
pub(super) struct Receiver {
    pub(super) waker: Option<Waker>,
    /// Whether something may have come since a read found nothing. Otherwise the protocol need not
    /// be asked.
    pub(super) may_be_ready: bool,
    /// Whether nothing more was there when the handshake ended.
    pub(super) has_caught_up: bool,
    /// Whether its reader was told of something and has not looked since.
    pub(super) is_awaited: bool,
    /// The code with which the peer has reset it, when that was seen before a read.
    pub(super) reset: Option<VarInt>,
}

impl Receiver {
    pub(super) fn new(may_be_ready: bool) -> Self {
        Receiver {
            waker: None,
            may_be_ready,
            has_caught_up: false,
            is_awaited: false,
            reset: None,
        }
    }
}

/// Those who wait for the end of one direction of a stream.
#[derive(Default)]
pub(super) struct End {
    pub(super) outcome: Option<Result<(), StreamError>>,
    pub(super) waiting: WaitList,
    /// How many futures watch; the entry goes with the last one.
    pub(super) watchers: usize,
}

impl End {
    /// Notes how it ended, unless that is known already.
    pub(super) fn conclude(&mut self, outcome: Result<(), StreamError>, wakers: &mut Vec<Waker>) {
        self.outcome.get_or_insert(outcome);
        self.waiting.drain(wakers);
    }
}

/// Keeps `waker` in `kept`, without a copy where it is there already.
pub fn keep_waker(kept: &mut Option<Waker>, waker: &Waker) {
    match kept {
        Some(kept) => kept.clone_from(waker),
        None => *kept = Some(waker.clone()),
    }
}

/// Wakes all, outside of any lock, and keeps the list's memory.
pub(super) fn wake_all(wakers: &mut Vec<Waker>) {
    wakers.drain(..).for_each(Waker::wake);
}
