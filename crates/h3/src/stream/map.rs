//! A map by stream, whose first entry needs neither memory nor a hash.
//!
//! Invariant: a stream is in one place at most; the near one is taken only while the map is empty.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::StreamId;

/// A map by stream. Most connections have one request at a time, and it is looked for often.
#[derive(Debug)]
pub struct StreamMap<V> {
    near: Option<(StreamId, V)>,
    far: HashMap<StreamId, V, BuildHasherDefault<StreamHasher>>,
}

impl<V> Default for StreamMap<V> {
    fn default() -> Self {
        StreamMap {
            near: None,
            far: HashMap::default(),
        }
    }
}

impl<V> StreamMap<V> {
    /// How many streams have an entry.
    #[inline]
    pub fn len(&self) -> usize {
        self.far.len() + usize::from(self.near.is_some())
    }

    /// Whether no stream has one.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.near.is_none() && self.far.is_empty()
    }

    /// The entry of a stream.
    #[inline]
    pub fn get(&self, stream: StreamId) -> Option<&V> {
        match &self.near {
            Some((near, value)) if *near == stream => Some(value),
            _ => self.far.get(&stream),
        }
    }

    /// The entry of a stream, to be changed.
    #[inline]
    pub fn get_mut(&mut self, stream: StreamId) -> Option<&mut V> {
        match &mut self.near {
            Some((near, value)) if *near == stream => Some(value),
            _ => self.far.get_mut(&stream),
        }
    }

    /// Puts an entry in, in the place of the one that the stream has, which is dropped.
    #[inline]
    pub fn insert(&mut self, stream: StreamId, value: V) -> &mut V {
        let is_near = match &self.near {
            Some((near, _)) => *near == stream,
            None => self.far.is_empty(),
        };
        match is_near {
            true => &mut self.near.insert((stream, value)).1,
            false => self.far.entry(stream).insert_entry(value).into_mut(),
        }
    }

    /// Takes the entry of a stream out.
    #[inline]
    pub fn remove(&mut self, stream: StreamId) -> Option<V> {
        match &self.near {
            Some((near, _)) if *near == stream => self.near.take().map(|(_, value)| value),
            _ => self.far.remove(&stream),
        }
    }

    /// All streams with their entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, &V)> {
        let near = self.near.iter().map(|(stream, value)| (*stream, value));
        near.chain(self.far.iter().map(|(stream, value)| (*stream, value)))
    }

    /// All entries, to be changed, in no order.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let near = self.near.iter_mut().map(|(_, value)| value);
        near.chain(self.far.values_mut())
    }

    /// Gives memory back that no entry uses.
    pub fn shrink(&mut self) {
        self.far.shrink_to_fit();
    }
}

/// The hasher of [`StreamMap`]. Identifiers come in sequence, so a multiplication spreads them well
/// enough.
#[derive(Debug, Default, Clone, Copy)]
struct StreamHasher(u64);

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
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }
}

#[cfg(test)]
mod tests {
    use super::{StreamId, StreamMap};
    use std::collections::BTreeMap;

    fn id(value: u64) -> StreamId {
        StreamId::new(value).expect("in range")
    }

    #[test]
    fn every_stream_has_its_own_entry_wherever_it_lies() {
        let mut map = StreamMap::default();
        let mut model = BTreeMap::new();
        let mut state = 1u64;
        for round in 0..2000u64 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            let (stream, what) = (id((state >> 33) % 8), (state >> 60) % 4);
            match what {
                0 | 1 => {
                    assert_eq!(*map.insert(stream, round), round);
                    model.insert(stream, round);
                }
                2 => assert_eq!(map.remove(stream), model.remove(&stream)),
                // Now and then it becomes empty.
                _ if round % 64 < 8 => {
                    for (stream, value) in std::mem::take(&mut model) {
                        assert_eq!(map.remove(stream), Some(value));
                    }
                    assert!(map.is_empty());
                }
                _ => {
                    map.values_mut().for_each(|value| *value += 1);
                    model.values_mut().for_each(|value| *value += 1);
                }
            }
            assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
            for stream in (0..8).map(id) {
                assert_eq!(map.get(stream), model.get(&stream));
                assert_eq!(map.get_mut(stream), model.get_mut(&stream));
            }
            let all: BTreeMap<_, _> = map.iter().map(|(at, value)| (at, *value)).collect();
            assert_eq!(all, model);
        }
    }

    #[test]
    fn one_entry_at_a_time_takes_no_memory() {
        let mut map = StreamMap::default();
        for round in 0..10 {
            map.insert(id(round), round);
            assert_eq!(map.far.capacity(), 0);
            map.remove(id(round));
        }
        map.insert(id(0), 0);
        map.insert(id(4), 4);
        assert!(map.far.capacity() > 0);
        map.remove(id(4));
        map.shrink();
        assert_eq!(map.far.capacity(), 0);
    }
}
