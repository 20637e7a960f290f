//! From a connection to the pool: how much it takes, that it goes away, that it has ended, and what
//! its server says of origins.
//!
//! Invariant: what a connection says before the pool knows it is kept and told then; what several
//! keys share tells all of them.

use super::frames::Said;
use super::key::Key;
use super::listener::Listener;
use super::shared::Shared;
use crate::pool::ConnectionId;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use url::Url;

/// From a connection to the pool.
pub(super) struct Link {
    shared: Weak<Shared>,
    key: Key,
    connection: OnceLock<ConnectionId>,
    heard: Mutex<Heard>,
    about: Mutex<About>,
}

/// What a connection has said before the pool knew it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Heard {
    streams_max: Option<u32>,
    is_going_away: bool,
    is_closed: bool,
}

/// Whom a connection is for.
#[derive(Default)]
struct About {
    /// The origins that the server says it speaks for, once it has said so.
    origins: Option<BTreeSet<String>>,
    /// Keys for which it has said that it does not.
    refused: BTreeSet<Key>,
    /// Other keys that share it.
    followers: Vec<Weak<Link>>,
}

impl Link {
    pub(super) fn new(shared: Weak<Shared>, key: Key) -> Self {
        Link {
            shared,
            key,
            connection: OnceLock::new(),
            heard: Mutex::default(),
            about: Mutex::default(),
        }
    }

    pub(super) fn attach(&self, connection: ConnectionId) {
        let heard = {
            let heard = self.heard();
            let _ = self.connection.set(connection);
            *heard
        };
        if heard != Heard::default() {
            self.pass_on(heard);
        }
    }

    /// Tells another key's link all that was and will be heard of the connection.
    pub(super) fn lead(&self, follower: &Arc<Link>) {
        let mut about = self.about();
        about
            .followers
            .retain(|follower| follower.strong_count() > 0);
        about.followers.push(Arc::downgrade(follower));
        drop(about);
        let heard = *self.heard();
        follower.hear(heard);
    }

    /// Whether it takes further requests, as far as is known here.
    pub(super) fn is_open(&self) -> bool {
        let heard = self.heard();
        !heard.is_going_away && !heard.is_closed
    }

    /// The server does not speak for this key.
    pub(super) fn refuse(&self, key: &Key) {
        let mut about = self.about();
        if about.refused.len() < ORIGINS_MAX {
            about.refused.insert(key.clone());
        }
    }

    pub(super) fn refuses(&self, key: &Key) -> bool {
        let about = self.about();
        about.refused.contains(key) || about.refused.len() >= ORIGINS_MAX
    }

    /// Whether an origin is among those that the server speaks for; `None` when it says nothing.
    pub(super) fn is_origin(&self, origin: &str) -> Option<bool> {
        let about = self.about();
        about
            .origins
            .as_ref()
            .map(|origins| origins.contains(origin))
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn about(&self) -> MutexGuard<'_, About> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, news: Heard) {
        let is_attached = {
            let mut heard = self.heard();
            heard.streams_max = news.streams_max.or(heard.streams_max);
            heard.is_going_away |= news.is_going_away;
            heard.is_closed |= news.is_closed;
            self.connection.get().is_some()
        };
        if is_attached {
            self.pass_on(news);
        }
        let followers = self.about().followers.clone();
        for follower in followers.iter().filter_map(Weak::upgrade) {
            follower.hear(news);
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

    /// Takes what an ALTSVC frame says (RFC 7838 §4), where it is this connection's origin that it
    /// is about: of others the server need not be the one to tell.
    fn on_alternatives(&self, origin: &str, value: &[u8]) {
        let is_own = match origin.is_empty() {
            // It is about the origin of a stream, and only one origin has streams.
            true => self.about().followers.is_empty(),
            false => Url::parse(origin)
                .ok()
                .and_then(|url| Key::of(&url, self.key.server_name.clone()).ok())
                .is_some_and(|key| key == self.key),
        };
        if let Some(shared) = self.shared.upgrade().filter(|_| is_own) {
            shared.learn(&self.key, value, Duration::ZERO);
        }
    }
}

impl Listener for Link {
    fn on_said(&self, said: Said) {
        let mut news = Heard::default();
        match said {
            Said::StreamsMax(max) => news.streams_max = Some(max),
            Said::GoAway => news.is_going_away = true,
            Said::Alternatives { origin, value } => return self.on_alternatives(&origin, &value),
            Said::Origins(said) => {
                let mut about = self.about();
                let origins = about.origins.get_or_insert_default();
                // RFC 8336 §2.3: each frame adds to the set.
                let left = ORIGINS_MAX.saturating_sub(origins.len());
                origins.extend(said.into_iter().take(left));
                return;
            }
        }
        self.hear(news);
    }

    fn on_closed(&self) {
        self.hear(Heard {
            is_closed: true,
            ..Heard::default()
        });
    }
}

/// Origins that are kept of one connection.
const ORIGINS_MAX: usize = 1024;
