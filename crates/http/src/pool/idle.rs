//! Connections that carry nothing.
//!
//! Invariant: they stand by the time since which that is so, the longest idle first. Hardly any
//! request finds more than a few, and those come and go with each.

use super::action::ConnectionId;
use portway_core::Time;
use std::collections::VecDeque;

/// Connections that carry nothing, the longest idle first.
#[derive(Debug, Default)]
pub(super) struct Idle(VecDeque<(Time, ConnectionId)>);

impl Idle {
    /// Adds one that has become idle, nearly always as the latest one.
    pub(super) fn insert(&mut self, since: Time, connection: ConnectionId) {
        let at = self.find((since, connection));
        self.0.insert(at, (since, connection));
    }

    /// Takes one out that has been idle since then.
    pub(super) fn remove(&mut self, since: Time, connection: ConnectionId) {
        let at = self.find((since, connection));
        if self.0.get(at) == Some(&(since, connection)) {
            self.0.remove(at);
        }
    }

    /// Where it stands, or would.
    fn find(&self, entry: (Time, ConnectionId)) -> usize {
        self.0.partition_point(|other| *other < entry)
    }

    pub(super) fn first(&self) -> Option<(Time, ConnectionId)> {
        self.0.front().copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ConnectionId> {
        self.0.iter().map(|(_, connection)| *connection)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn they_stand_by_time_however_they_came_and_go_one_by_one() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let mut idle = Idle::default();
        for (since, connection) in [(5, 1), (7, 2), (6, 3), (5, 0)] {
            idle.insert(at(since), ConnectionId(connection));
        }
        let all = |idle: &Idle| idle.iter().map(|it| it.0).collect::<Vec<_>>();
        assert_eq!(all(&idle), [0, 1, 3, 2]);
        assert_eq!(idle.first(), Some((at(5), ConnectionId(0))));
        idle.remove(at(5), ConnectionId(3));
        assert_eq!(idle.len(), 4, "it is idle since another time");
        idle.remove(at(6), ConnectionId(3));
        idle.remove(at(5), ConnectionId(0));
        assert_eq!(all(&idle), [1, 2]);
        idle.remove(at(7), ConnectionId(2));
        idle.remove(at(5), ConnectionId(1));
        assert_eq!((idle.first(), idle.len()), (None, 0));
    }
}
