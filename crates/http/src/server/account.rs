//! What a client's bytes are held against on their way to hyper.
//!
//! Invariant: a limit that is broken ends the connection, and the meter knows which one it was.

use super::event::End;
use super::frames::Frames;
use super::meter::Meter;
use crate::carrier_io::WireWatch;
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// Accounts for one connection.
pub(super) struct Account {
    pub(super) meter: Arc<Meter>,
    /// What the frames of HTTP/2 are held against.
    pub(super) frames: Option<Frames>,
}

impl WireWatch for Account {
    fn on_read(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(frames) = &mut self.frames else {
            self.meter.on_read();
            return Ok(());
        };
        let was_open = frames.is_head_open();
        let read = frames.read(bytes, self.meter.environment().now());
        if frames.is_head_open() != was_open {
            self.meter.on_head(!was_open);
        }
        read.map_err(|flood| {
            self.meter.set_end(End::Flood(flood));
            io::Error::new(ErrorKind::ConnectionAborted, flood)
        })
    }

    fn on_blocked(&mut self, is_blocked: bool) {
        self.meter.on_write(is_blocked);
    }
}
