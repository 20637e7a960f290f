//! Who hears of a connection as a whole.
//!
//! Invariant: the end is told once, and before the peer can see it.

use super::frames::{Frames, Said};
use crate::carrier_io::WireWatch;
use std::io;
use std::sync::Arc;

/// Who hears of a connection as a whole.
pub(super) trait Listener: Send + Sync + 'static {
    fn on_said(&self, said: Said);
    fn on_closed(&self);
}

/// Listens to a connection's bytes, and tells when they end.
pub(super) struct Listening {
    frames: Option<Frames>,
    listener: Arc<dyn Listener>,
}

impl Listening {
    /// `frames` is there where HTTP/2 is to be listened to.
    pub(super) fn new(frames: Option<Frames>, listener: Arc<dyn Listener>) -> Self {
        Listening { frames, listener }
    }
}

impl WireWatch for Listening {
    fn on_read(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        if let Some(frames) = &mut self.frames {
            frames.read(bytes, |said| self.listener.on_said(said));
        }
        Ok(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.listener.on_closed();
    }
}
