//! The origins that a server speaks for (RFC 9412, RFC 8336).
//!
//! Invariant: what a server claims is only kept, within a limit; whether its certificate covers an
//! origin is the application's to check.

use bytes::BytesMut;

use super::Connection;
use crate::error::ConnectionError;
use crate::event::Event;
use crate::exchange::SendError;
use crate::frame;
use crate::stream::Role;

/// How many origins are kept.
const ORIGINS_MAX: usize = 256;

impl Connection {
    /// Tells the client which origins this server speaks for, such as `https://example.com`.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn send_origins(&mut self, origins: &[&str]) -> Result<(), SendError> {
        self.check_open()?;
        // RFC 9412 §2: from servers only.
        if self.role != Role::Server {
            return Err(SendError::OutOfOrder("a client has no origins to tell"));
        }
        let is_origin = |origin: &&str| origin.is_ascii() && origin.len() <= usize::from(u16::MAX);
        if !origins.iter().all(is_origin) {
            return Err(SendError::OutOfOrder("an origin that is no ASCII text"));
        }
        let mut frame = BytesMut::new();
        frame::origin::encode(origins.iter().copied(), &mut frame);
        self.queue_control(frame);
        Ok(())
    }

    /// The origins that the server told of; `None` when it told nothing, and then the origin of
    /// the connection is the only one known.
    pub fn origins(&self) -> Option<&[String]> {
        self.control.origins.as_deref()
    }

    pub(super) fn on_origin(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        self.glitch("ORIGIN frames")?;
        let told = frame::origin::decode(payload)?;
        // RFC 8336 §2.3: the first frame begins the set, an empty one too, and later ones add.
        let origins = self.control.origins.get_or_insert_default();
        for origin in told {
            if origins.len() < ORIGINS_MAX && !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        self.out.events.push_back(Event::Origins);
        Ok(())
    }
}
