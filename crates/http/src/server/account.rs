//! What a client's bytes are held against on their way to hyper.
//!
//! Invariant: a limit that is broken ends the connection, and the meter knows which one it was.

use super::event::End;
use super::frames::{Frames, Refusal};
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
    fn on_read(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let Some(frames) = &mut self.frames else {
            self.meter.on_read();
            return Ok(());
        };
        let was_open = frames.is_head_open();
        let read = frames.read(bytes, self.meter.environment().now());
        if frames.is_head_open() != was_open {
            self.meter.on_head(!was_open);
        }
        let malformed = || End::Failed("pseudo-fields in trailers".to_owned());
        match read {
            Ok(false) => return Ok(()),
            // RFC 9113 §5.4.1: an error of a stream may end its connection. h2 tells the client.
            Ok(true) => {
                self.meter.set_end(malformed());
                return Ok(());
            }
            Err(Refusal::Flood(flood)) => self.meter.set_end(End::Flood(flood)),
            Err(Refusal::Malformed) => self.meter.set_end(malformed()),
        }
        Err(ErrorKind::ConnectionAborted.into())
    }

    fn on_silent(&mut self) {
        self.meter.on_silent();
    }

    fn on_blocked(&mut self, is_blocked: bool) {
        self.meter.on_write(is_blocked);
    }
}
