//! From a connection to the pool: how much it takes, that it goes away, that it has ended.
//!
//! Invariant: what a connection says before the pool knows it is kept and told then.

use super::frames::Said;
use super::io::Listener;
use super::shared::Shared;
use crate::pool::ConnectionId;
use std::sync::{Mutex, OnceLock, PoisonError, Weak};

/// From a connection to the pool.
pub(super) struct Link {
    shared: Weak<Shared>,
    connection: OnceLock<ConnectionId>,
    heard: Mutex<Heard>,
}

/// What a connection has said before the pool knew it.
#[derive(Clone, Copy, Default)]
struct Heard {
    streams_max: Option<u32>,
    is_going_away: bool,
    is_closed: bool,
}

impl Link {
    pub(super) fn new(shared: Weak<Shared>) -> Self {
        Link {
            shared,
            connection: OnceLock::new(),
            heard: Mutex::default(),
        }
    }

    pub(super) fn attach(&self, connection: ConnectionId) {
        let heard = {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = self.connection.set(connection);
            *heard
        };
        self.pass_on(heard);
    }

    fn hear(&self, note: impl FnOnce(&mut Heard)) {
        let mut news = Heard::default();
        note(&mut news);
        let is_attached = {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.streams_max = news.streams_max.or(heard.streams_max);
            heard.is_going_away |= news.is_going_away;
            heard.is_closed |= news.is_closed;
            self.connection.get().is_some()
        };
        if is_attached {
            self.pass_on(news);
        }
    }

    fn pass_on(&self, news: Heard) {
        let (Some(shared), Some(connection)) = (self.shared.upgrade(), self.connection.get())
        else {
            return;
        };
        let connection = *connection;
        let _gone = shared.act(|state, now| {
            if let Some(max) = news.streams_max {
                state.pool.on_streams_max(now, connection, max);
            }
            if news.is_going_away {
                state.pool.on_draining(now, connection);
            }
            if !news.is_closed {
                return None;
            }
            state.pool.on_closed(now, connection);
            state.connections.remove(&connection)
        });
    }
}

impl Listener for Link {
    fn on_said(&self, said: Said) {
        self.hear(|heard| match said {
            Said::StreamsMax(max) => heard.streams_max = Some(max),
            Said::GoAway => heard.is_going_away = true,
        });
    }

    fn on_closed(&self) {
        self.hear(|heard| heard.is_closed = true);
    }
}
