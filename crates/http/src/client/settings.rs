//! What a client was built with.

use super::event::ClientEvent;
use super::timeouts::Timeouts;
use crate::pool;
use http::HeaderMap;
use portway_core::SecurityParameters;
use portway_transport::context::Context;
use std::sync::Arc;

/// Hears what a client does.
pub(super) type Sink = Arc<dyn Fn(&ClientEvent) + Send + Sync>;

pub(super) struct Settings {
    pub(super) context: Context,
    pub(super) security: SecurityParameters,
    pub(super) timeouts: Timeouts,
    pub(super) pool: pool::Config,
    pub(super) headers: HeaderMap,
    pub(super) redirects_max: usize,
    /// Bytes of a response's content that are collected at most.
    pub(super) content_max: usize,
    pub(super) sink: Option<Sink>,
}

impl Settings {
    /// Tells an event to whoever listens; it is not made for nobody.
    pub(super) fn tell(&self, event: impl FnOnce() -> ClientEvent) {
        if let Some(sink) = &self.sink {
            sink(&event());
        }
    }
}
