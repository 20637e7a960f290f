//! What the tickets of a server promise: settings that 0-RTT may rely on.
//!
//! Invariant: as long as ticket keys are kept, no ticket under them promises more than the current
//! settings give, so that early data never runs under limits that are gone.

use bytes::Bytes;

use super::{Incompatible, Settings};
use crate::version::Version;

/// The settings that tickets under the current keys promise.
///
/// A server asks [`offer`](Self::offer) before its first connection and whenever its settings
/// change, and acts on the answer before it accepts another connection. Servers that share ticket
/// keys share this too.
///
/// ```
/// use portway_h3::settings::{Promised, Settings, TicketKeys};
///
/// let mut promised = Promised::default();
/// let mut settings = Settings::default();
/// settings.extended_connect = true;
/// assert_eq!(promised.offer(&settings), TicketKeys::Keep);
/// settings.extended_connect = false;
/// assert!(matches!(promised.offer(&settings), TicketKeys::Rotate(_)));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promised(Option<Settings>);

/// What is to become of the keys that encrypt session tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "0-RTT under settings that are gone breaks connections"]
pub enum TicketKeys {
    /// Every ticket may be used.
    Keep,
    /// Tickets that were given out promise more than there is now; new keys make them useless.
    Rotate(Incompatible),
}

impl Promised {
    /// The settings of every connection from now on.
    // RFC 9114 §7.2.4.2: 0-RTT is accepted only if the settings did not shrink. Settings are sent
    // before a client's ticket can be looked at, so that the tickets have to go instead.
    pub fn offer(&mut self, settings: &Settings) -> TicketKeys {
        let answer = match &self.0 {
            None => TicketKeys::Keep,
            Some(promised) => match settings.accepts_early_data_under(promised) {
                Ok(()) => TicketKeys::Keep,
                Err(incompatible) => TicketKeys::Rotate(incompatible),
            },
        };
        // What is compatible is at least as much, and new tickets promise it.
        self.0 = Some(settings.clone());
        answer
    }

    /// What to keep beside ticket keys that outlive the process.
    pub fn to_remember(&self) -> Bytes {
        self.0
            .as_ref()
            .map(Settings::to_remember)
            .unwrap_or_default()
    }

    /// Reads back what [`Promised::to_remember`] wrote; `None` when it is damaged, and then the
    /// keys cannot be kept.
    pub fn from_remembered(blob: &[u8], version: Version, extensions: &[u64]) -> Option<Self> {
        if blob.is_empty() {
            return Some(Self::default());
        }
        Settings::from_remembered(blob, version, extensions).map(|settings| Self(Some(settings)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(section: u64, table: u64, datagram: bool) -> Settings {
        Settings {
            max_field_section_bytes: Some(section),
            qpack_table_bytes: table,
            datagram,
            ..Settings::default()
        }
    }

    #[test]
    fn keys_are_kept_while_settings_only_grow() {
        let mut promised = Promised::default();
        for next in [
            settings(100, 0, false),
            settings(100, 4096, false),
            settings(200, 4096, true),
        ] {
            assert_eq!(promised.offer(&next), TicketKeys::Keep);
        }
    }

    #[test]
    fn whatever_shrinks_is_named_and_rotates_the_keys_once() {
        let first = settings(200, 4096, true);
        for (shrunk, name) in [
            (settings(100, 4096, true), "the field section limit"),
            (settings(200, 2048, true), "the QPACK table capacity"),
            (settings(200, 8192, true), "the QPACK table capacity"),
            (settings(200, 4096, false), "datagrams"),
        ] {
            let mut promised = Promised::default();
            assert_eq!(promised.offer(&first), TicketKeys::Keep);
            let TicketKeys::Rotate(why) = promised.offer(&shrunk) else {
                panic!("{name} shrank");
            };
            assert_eq!(why.setting(), name);
            assert!(why.to_string().starts_with(name), "{why}");
            assert_eq!(promised.offer(&shrunk), TicketKeys::Keep, "new keys");
        }
    }

    #[test]
    fn a_restart_keeps_what_tickets_promise() {
        let mut promised = Promised::default();
        let never = Promised::from_remembered(&promised.to_remember(), Version::H3, &[]);
        assert_eq!(never, Some(Promised::default()));
        let _ = promised.offer(&settings(200, 4096, true));
        let blob = promised.to_remember();
        let mut again = Promised::from_remembered(&blob, Version::H3, &[]).expect("whole");
        let shrunk = again.offer(&settings(100, 4096, true));
        assert!(matches!(shrunk, TicketKeys::Rotate(_)));
        assert_eq!(
            Promised::from_remembered(&blob[1..], Version::H3, &[]),
            None
        );
    }
}
