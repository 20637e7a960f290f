//! Settings across sessions: what a client remembers for 0-RTT and what a server may change.
//!
//! Invariant: a client that keeps to remembered settings never breaks the server's current ones;
//! otherwise 0-RTT is refused (server) or the connection ends (client).

use std::fmt;

use bytes::Bytes;

use super::{Settings, wrong};
use crate::error::ConnectionError;
use crate::frame;
use crate::version::Version;

/// Why 0-RTT cannot run under settings that were remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incompatible {
    setting: &'static str,
}

impl Incompatible {
    /// The setting that shrank.
    pub const fn setting(self) -> &'static str {
        self.setting
    }
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is less than in the session that is resumed",
            self.setting
        )
    }
}

impl std::error::Error for Incompatible {}

impl Settings {
    /// What goes beside a session ticket: all settings that are not at their default, nothing if
    /// none is.
    pub fn to_remember(&self) -> Bytes {
        let mut blob = Vec::new();
        frame::settings::encode_payload(self.pairs(), &mut blob);
        blob.into()
    }

    /// Reads back what [`Settings::to_remember`] wrote; `None` when it is damaged.
    pub fn from_remembered(blob: &[u8], version: Version, extensions: &[u64]) -> Option<Self> {
        Self::decode(blob, version, extensions).ok()
    }

    /// Whether a client that keeps to `remembered` keeps to these settings too. A server asks
    /// before it accepts 0-RTT; [`Promised`](super::Promised) asks for all of its tickets at once.
    ///
    /// # Errors
    /// Names the first setting that shrank.
    // RFC 9114 §7.2.4.2: 0-RTT is accepted only when the settings are compatible.
    // RFC 9204 §3.2.3: with 0-RTT the table capacity must not change from a value that is not 0.
    // RFC 9297 §2.1.1: a server that accepts 0-RTT must not turn datagrams off.
    pub fn accepts_early_data_under(&self, remembered: &Self) -> Result<(), Incompatible> {
        let unlimited = u64::MAX;
        let shrinks = |now: u64, then: u64| now < then;
        let table = (self.qpack_table_bytes, remembered.qpack_table_bytes);
        let checks = [
            (
                "the field section limit",
                shrinks(
                    self.max_field_section_bytes.unwrap_or(unlimited),
                    remembered.max_field_section_bytes.unwrap_or(unlimited),
                ),
            ),
            (
                "the QPACK table capacity",
                table.1 != 0 && table.0 != table.1,
            ),
            (
                "the number of blocked streams",
                shrinks(self.qpack_blocked_streams, remembered.qpack_blocked_streams),
            ),
            (
                "extended CONNECT",
                remembered.extended_connect && !self.extended_connect,
            ),
            ("datagrams", remembered.datagram && !self.datagram),
            (
                "datagrams of draft-00",
                remembered.datagram_00 && !self.datagram_00,
            ),
            (
                "datagrams of draft-01",
                remembered.datagram_01 && !self.datagram_01,
            ),
            (
                "the setting of an extension",
                remembered
                    .extensions
                    .iter()
                    .any(|(id, then)| shrinks(self.extension(*id).unwrap_or(0), *then)),
            ),
        ];
        match checks.into_iter().find(|(_, is_broken)| *is_broken) {
            Some((setting, _)) => Err(Incompatible { setting }),
            None => Ok(()),
        }
    }

    /// What a client checks when SETTINGS arrive after the server accepted its 0-RTT data. A
    /// setting that is left out counts as reduced, unless its default asks for no more.
    ///
    /// # Errors
    /// H3_SETTINGS_ERROR when a limit was reduced.
    // RFC 9114 §7.2.4.2: reduced or omitted settings after 0-RTT are H3_SETTINGS_ERROR.
    pub(crate) fn check_against_remembered(
        &self,
        remembered: &Self,
    ) -> Result<(), ConnectionError> {
        // An omitted section limit is "unlimited", which no client can break, but the rule names
        // omission itself as the error.
        if remembered.max_field_section_bytes.is_some() && self.max_field_section_bytes.is_none() {
            return Err(wrong("a setting of the resumed session is left out"));
        }
        self.accepts_early_data_under(remembered)
            .map_err(|_| wrong("a setting is less than in the resumed session"))
    }
}
