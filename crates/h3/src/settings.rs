//! What each side may expect of the other.
//!
//! Invariant: a [`Settings`] that came from a peer has no duplicate, no identifier of HTTP/2 and
//! no value out of range; identifiers that nobody here knows are not kept, except those that the
//! application asked for.

mod promised;
mod remembered;

use bytes::BufMut;

use crate::error::{Code, ConnectionError};
use crate::frame;
use crate::varint;
use crate::version::Version;

pub use promised::{Promised, TicketKeys};
pub use remembered::Incompatible;

/// Identifiers of settings.
pub mod id {
    /// The size of the QPACK table that the sender keeps for decoding (RFC 9204).
    pub const QPACK_MAX_TABLE_CAPACITY: u64 = 0x01;
    /// The largest field section that the sender takes.
    pub const MAX_FIELD_SECTION_SIZE: u64 = 0x06;
    /// How many streams may wait for the QPACK encoder stream (RFC 9204).
    pub const QPACK_BLOCKED_STREAMS: u64 = 0x07;
    /// Extended CONNECT (RFC 9220).
    pub const ENABLE_CONNECT_PROTOCOL: u64 = 0x08;
    /// HTTP datagrams (RFC 9297).
    pub const H3_DATAGRAM: u64 = 0x33;
    /// HTTP datagrams of draft-ietf-masque-h3-datagram-00.
    pub const H3_DATAGRAM_00: u64 = 0x276;
    /// HTTP datagrams of draft-ietf-masque-h3-datagram-01.
    pub const H3_DATAGRAM_01: u64 = 0xffd276;
}

/// How many settings of extensions are kept or sent.
pub const EXTENSIONS_MAX: usize = 16;

/// How many pairs one SETTINGS frame may have.
pub const PAIRS_MAX: usize = 64;

/// The settings of one side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The largest field section, decoded, in bytes; `None` is no limit.
    pub max_field_section_bytes: Option<u64>,
    /// The size of the QPACK dynamic table in bytes.
    pub qpack_table_bytes: u64,
    /// How many streams may be blocked by QPACK.
    pub qpack_blocked_streams: u64,
    /// Whether extended CONNECT is understood; only a server's word matters.
    pub extended_connect: bool,
    /// Whether HTTP datagrams of RFC 9297 are understood.
    pub datagram: bool,
    /// Whether HTTP datagrams of draft-00 are understood.
    pub datagram_00: bool,
    /// Whether HTTP datagrams of draft-01 are understood.
    pub datagram_01: bool,
    /// Settings of extensions, by identifier; at most [`EXTENSIONS_MAX`].
    pub extensions: Vec<(u64, u64)>,
}

impl Settings {
    /// The value of an extension's setting; its default is 0, which is what `None` means too.
    // RFC 9114 §9: the default of a setting that negotiates is "off".
    pub fn extension(&self, identifier: u64) -> Option<u64> {
        self.extensions
            .iter()
            .find(|(id, _)| *id == identifier)
            .map(|(_, value)| *value)
    }

    /// The pairs to send; settings at their default are left out, except those of datagrams, which
    /// are always told when they are on.
    pub fn pairs(&self) -> impl Iterator<Item = (u64, u64)> + Clone {
        let table = (self.qpack_table_bytes != 0)
            .then_some((id::QPACK_MAX_TABLE_CAPACITY, self.qpack_table_bytes));
        let blocked = (self.qpack_blocked_streams != 0)
            .then_some((id::QPACK_BLOCKED_STREAMS, self.qpack_blocked_streams));
        let section = self
            .max_field_section_bytes
            .map(|max| (id::MAX_FIELD_SECTION_SIZE, max));
        let flag = |is_on: bool, identifier| is_on.then_some((identifier, 1));
        [
            table,
            section,
            blocked,
            flag(self.extended_connect, id::ENABLE_CONNECT_PROTOCOL),
            flag(self.datagram, id::H3_DATAGRAM),
            flag(self.datagram_00, id::H3_DATAGRAM_00),
            flag(self.datagram_01, id::H3_DATAGRAM_01),
        ]
        .into_iter()
        .flatten()
        .chain(self.extensions.clone())
    }

    /// Writes the SETTINGS frame; `grease` adds a reserved setting.
    // RFC 9114 §7.2.4.1: at least one reserved setting should be sent.
    pub fn encode(&self, grease: Option<u32>, out: &mut impl BufMut) {
        let grease = grease.map(|n| (varint::reserved(n), u64::from(n)));
        frame::settings::encode(self.pairs().chain(grease), out);
    }

    /// Reads a payload. Of the settings that nobody here knows, those in `extensions` are kept.
    ///
    /// # Errors
    /// H3_SETTINGS_ERROR for duplicates, reserved identifiers and values out of range,
    /// H3_FRAME_ERROR for a pair that is cut off, H3_EXCESSIVE_LOAD for a flood of settings.
    pub fn decode(
        payload: &[u8],
        version: Version,
        extensions: &[u64],
    ) -> Result<Self, ConnectionError> {
        let mut settings = Self::default();
        let mut seen: Vec<u64> = Vec::new();
        frame::settings::decode(payload, |identifier, value| {
            if seen.len() == PAIRS_MAX {
                return Err(ConnectionError::local(
                    Code::H3_EXCESSIVE_LOAD,
                    "too many settings in one frame",
                ));
            }
            // RFC 9114 §7.2.4: a setting occurs once.
            if seen.contains(&identifier) {
                return Err(wrong("a setting occurs twice"));
            }
            seen.push(identifier);
            settings.set(identifier, value, version, extensions)
        })?;
        Ok(settings)
    }

    fn set(
        &mut self,
        identifier: u64,
        value: u64,
        version: Version,
        extensions: &[u64],
    ) -> Result<(), ConnectionError> {
        match identifier {
            // RFC 9114 §7.2.4.1, §11.2.2: identifiers of HTTP/2 without a meaning here are fatal.
            0x02..=0x05 => return Err(wrong("a setting of HTTP/2")),
            // 0x00 was reserved only after draft-32.
            0x00 if version.reserves_setting_zero() => {
                return Err(wrong("the reserved setting 0"));
            }
            id::QPACK_MAX_TABLE_CAPACITY => self.qpack_table_bytes = value,
            id::QPACK_BLOCKED_STREAMS => self.qpack_blocked_streams = value,
            id::MAX_FIELD_SECTION_SIZE => self.max_field_section_bytes = Some(value),
            id::ENABLE_CONNECT_PROTOCOL => self.extended_connect = flag(value)?,
            id::H3_DATAGRAM => self.datagram = flag(value)?,
            id::H3_DATAGRAM_00 => self.datagram_00 = flag(value)?,
            id::H3_DATAGRAM_01 => self.datagram_01 = flag(value)?,
            // RFC 9114 §7.2.4: whatever else is ignored.
            _ if extensions.contains(&identifier) && self.extensions.len() < EXTENSIONS_MAX => {
                self.extensions.push((identifier, value));
            }
            _ => {}
        }
        Ok(())
    }
}

/// A setting that is 0 or 1.
// RFC 9220 §3, RFC 9297 §2.1.1: other values are H3_SETTINGS_ERROR.
fn flag(value: u64) -> Result<bool, ConnectionError> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(wrong("a setting that is neither 0 nor 1")),
    }
}

const fn wrong(reason: &'static str) -> ConnectionError {
    ConnectionError::local(Code::H3_SETTINGS_ERROR, reason)
}

#[cfg(test)]
mod tests;
