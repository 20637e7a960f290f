//! The exchanges of a connection, by stream.
//!
//! Invariant: an exchange stays at its place until it is removed; a place without one has an
//! exchange that is as if it had just begun, and places are given back only when there is no
//! exchange.

use crate::exchange::Exchange;
use crate::stream::{StreamId, StreamMap};

/// All exchanges. Places are allocated by the handful and used again until they are given back.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    /// One place, as most idle connections have had one exchange at a time, then more at once.
    places: Vec<Exchange>,
    free: Vec<Place>,
    by_stream: StreamMap<Place>,
    /// The one that was looked for last: what happens next mostly concerns it, too.
    last: Option<(StreamId, Place)>,
}

/// Where an exchange is.
type Place = u32;

/// How many places are allocated at once, at least.
const PLACES: usize = 8;

impl Exchanges {
    pub(super) fn len(&self) -> usize {
        self.by_stream.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_stream.is_empty()
    }

    #[inline]
    fn place(&self, stream: StreamId) -> Option<Place> {
        match self.last {
            Some((last, place)) if last == stream => Some(place),
            _ => self.by_stream.get(stream).copied(),
        }
    }

    #[inline]
    pub(super) fn get(&self, stream: StreamId) -> Option<&Exchange> {
        let place = self.place(stream)?;
        Some(&self.places[place as usize])
    }

    #[inline]
    pub(super) fn get_mut(&mut self, stream: StreamId) -> Option<&mut Exchange> {
        let place = match self.last {
            Some((last, place)) if last == stream => place,
            _ => self.look_up(stream)?,
        };
        Some(&mut self.places[place as usize])
    }

    #[inline(never)]
    fn look_up(&mut self, stream: StreamId) -> Option<Place> {
        let place = *self.by_stream.get(stream)?;
        self.last = Some((stream, place));
        Some(place)
    }

    #[inline]
    pub(super) fn contains(&self, stream: StreamId) -> bool {
        self.place(stream).is_some()
    }

    /// Adds an exchange for a stream that has none.
    pub(super) fn insert(&mut self, stream: StreamId, exchange: Exchange) {
        *self.begin(stream) = exchange;
    }

    /// Begins an exchange for a stream that has none: [`Exchange::default`] says how it is.
    #[inline]
    pub(super) fn begin(&mut self, stream: StreamId) -> &mut Exchange {
        let place = self.free.pop().unwrap_or_else(|| self.add_places());
        debug_assert!(
            self.by_stream.get(stream).is_none(),
            "the caller has looked"
        );
        self.by_stream.insert(stream, place);
        self.last = Some((stream, place));
        &mut self.places[place as usize]
    }

    /// Allocates places and gives the first one.
    #[cold]
    fn add_places(&mut self) -> Place {
        let first = self.places.len();
        let count = if first == 0 { 1 } else { PLACES.max(first / 2) };
        self.places.reserve_exact(count);
        self.places.extend((0..count).map(|_| Exchange::default()));
        let others = (first + 1..first + count).rev();
        self.free.extend(others.map(|place| place as Place));
        first as Place
    }

    pub(super) fn remove(&mut self, stream: StreamId) {
        let Some(place) = self.by_stream.remove(stream) else {
            return;
        };
        if self.last.is_some_and(|(last, _)| last == stream) {
            self.last = None;
        }
        self.places[place as usize].renew();
        self.free.push(place);
    }

    /// Whether there is memory that no exchange uses.
    #[inline]
    pub(super) fn has_spare_places(&self) -> bool {
        self.by_stream.is_empty() && !self.places.is_empty()
    }

    /// Gives memory back, if there is no exchange.
    pub(super) fn release(&mut self) {
        if self.by_stream.is_empty() {
            *self = Self::default();
        }
    }

    pub(super) fn retain(&mut self, mut is_kept: impl FnMut(&Exchange) -> bool) {
        let is_gone = |(_, exchange): &(StreamId, &Exchange)| !is_kept(exchange);
        let gone: Vec<StreamId> = self
            .iter()
            .filter(is_gone)
            .map(|(stream, _)| stream)
            .collect();
        gone.into_iter().for_each(|stream| self.remove(stream));
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = StreamId> {
        self.by_stream.iter().map(|(stream, _)| stream)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (StreamId, &Exchange)> {
        let at = |(stream, place): (StreamId, &Place)| (stream, &self.places[*place as usize]);
        self.by_stream.iter().map(at)
    }
}

#[cfg(test)]
mod tests {
    use super::Exchanges;
    use crate::exchange::{Exchange, Receive, SendState, Sender};
    use crate::stream::StreamId;

    fn id(value: u64) -> StreamId {
        StreamId::new(value).expect("in range")
    }

    fn known(is_known: bool) -> Exchange {
        let mut exchange = Exchange::new(Receive::none(), Sender::new(SendState::Head));
        exchange.is_known = is_known;
        exchange
    }

    #[test]
    fn every_stream_finds_its_own_exchange_when_places_are_used_again() {
        let mut exchanges = Exchanges::default();
        for round in 0..4u64 {
            for number in 0..8 {
                let stream = id(4 * (8 * round + number));
                exchanges.insert(stream, known(number % 2 == 0));
            }
            for number in 0..8 {
                let stream = id(4 * (8 * round + number));
                let is_known = number % 2 == 0;
                assert_eq!(
                    exchanges.get(stream).map(|one| one.is_known),
                    Some(is_known)
                );
                let found = exchanges.get_mut(stream).expect("it is there");
                assert_eq!(found.is_known, is_known);
            }
            assert_eq!(exchanges.places.len(), 9, "1 and 8");
            exchanges.retain(|exchange| !exchange.is_known);
            assert_eq!((exchanges.len(), exchanges.iter().count()), (4, 4));
            for number in 0..8 {
                let stream = id(4 * (8 * round + number));
                assert_eq!(exchanges.contains(stream), number % 2 == 1);
                assert_eq!(exchanges.get(stream).is_some(), number % 2 == 1);
                // The last one empties the whole.
                exchanges.remove(stream);
                assert!(exchanges.get_mut(stream).is_none());
            }
            assert!(exchanges.is_empty());
            assert_eq!((exchanges.places.len(), exchanges.free.len()), (9, 9));
        }
    }

    #[test]
    fn places_are_given_back_only_when_there_is_no_exchange() {
        let mut exchanges = Exchanges::default();
        exchanges.insert(id(0), known(true));
        exchanges.release();
        assert!(!exchanges.has_spare_places());
        assert!(exchanges.contains(id(0)));
        exchanges.remove(id(0));
        assert!(exchanges.has_spare_places());
        exchanges.release();
        assert!(!exchanges.has_spare_places());
        assert_eq!((exchanges.places.len(), exchanges.free.len()), (0, 0));
        exchanges.insert(id(4), known(true));
        assert!(exchanges.contains(id(4)));
    }

    #[test]
    fn an_exchange_at_a_used_place_is_as_new() {
        let mut exchanges = Exchanges::default();
        let exchange = exchanges.begin(id(0));
        exchange.is_known = true;
        exchange.is_told = true;
        exchange.takes_datagrams = true;
        exchange.receive = Receive::raw();
        exchange.send = Sender::raw();
        exchange
            .receive
            .arrive(bytes::Bytes::from_static(b"x"), true);
        exchange.send.queue_bytes(bytes::Bytes::from_static(b"y"));
        exchanges.remove(id(0));
        let again = format!("{:?}", exchanges.begin(id(4)));
        assert_eq!(again, format!("{:?}", Exchange::default()));
    }
}
