//! What a client was built with.

use super::alternatives::{Alternative, Store};
use super::credentials::Keyring;
use super::event::ClientEvent;
use super::habits::Habits;
use super::key::Key;
use super::policy::Wish;
use super::racing::LatestRules;
use super::socket::Through;
use super::telemetry::{TARGET, Telemetry};
use super::timeouts::Timeouts;
use crate::pool::{self, Version};
use http::HeaderMap;
use portway_core::SecurityParameters;
use portway_transport::context::Context;

pub(super) struct Settings {
    pub(super) context: Context,
    pub(super) security: SecurityParameters,
    pub(super) timeouts: Timeouts,
    pub(super) pool: pool::Config,
    pub(super) headers: HeaderMap,
    pub(super) redirects_max: usize,
    /// Bytes of a response's content that are collected at most.
    pub(super) content_max: usize,
    /// What a request takes that says nothing of it.
    pub(super) wish: Wish,
    /// Bytes that are read of a response that nobody wants, to keep its HTTP/1.1 connection.
    pub(super) drain_max: u64,
    pub(super) alternatives: Store,
    pub(super) habits: Habits,
    pub(super) through: Through,
    pub(super) keyring: Keyring,
    pub(super) telemetry: Telemetry,
    pub(super) rules: LatestRules,
}

impl Settings {
    /// Which network the host is connected to, as a number that changes with it.
    pub(super) fn network(&self) -> u64 {
        self.context.history().network_changes()
    }

    /// The alternative services of a key that can be tried now.
    pub(super) fn alternatives_of(&self, key: &Key) -> Vec<Alternative> {
        // Every request asks, and hardly any origin has one.
        if self.alternatives.is_empty() {
            return Vec::new();
        }
        let alternatives = self.alternatives.on(self.network());
        let now = self.context.environment().now();
        let origin = key.origin();
        let usable = origin.map(|origin| alternatives.usable(now, &origin));
        usable.unwrap_or_default()
    }

    /// The same for a request that wants this: all of them speak HTTP/3.
    pub(super) fn alternatives_for(&self, key: &Key, wish: Wish) -> Vec<Alternative> {
        match wish.versions.contains(Version::Http3) {
            true => self.alternatives_of(key),
            false => Vec::new(),
        }
    }

    /// Keeps an alternative service from being tried for a while.
    pub(super) fn block(&self, key: &Key, alternative: &Alternative) {
        let now = self.context.environment().now();
        if let Some(origin) = key.origin() {
            let mut alternatives = self.alternatives.on(self.network());
            alternatives.block(now, &origin, alternative);
            drop(alternatives);
            self.tell(|| ClientEvent::AlternativeBlocked {
                origin: key.to_string(),
                alternative: alternative.to_string(),
            });
        }
    }

    /// Whether anybody wants to see how races go.
    pub(super) fn is_watched(&self) -> bool {
        self.telemetry.recorder.is_some() || self.is_heard()
    }

    /// Whether anybody is told what happens to connections.
    pub(super) fn is_heard(&self) -> bool {
        self.telemetry.sink.is_some() || tracing::enabled!(target: TARGET, tracing::Level::DEBUG)
    }

    /// Tells an event to whoever listens; it is not made for nobody.
    pub(super) fn tell(&self, event: impl FnOnce() -> ClientEvent) {
        if !self.is_heard() {
            return;
        }
        let event = event();
        tracing::debug!(target: TARGET, "{event}");
        if let Some(sink) = &self.telemetry.sink {
            sink(&event);
        }
    }
}
