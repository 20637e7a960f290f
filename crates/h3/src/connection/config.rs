//! What an application chooses about a connection.
//!
//! Invariant: the SETTINGS that we send follow from this and from nothing else.

use bytes::Bytes;

use crate::datagram::Profiles;
use crate::frame::FrameType;
use crate::limits::Limits;
use crate::padding::Padding;
use crate::settings::Settings;
use crate::stream::Role;
use crate::version::Version;

/// The choices of an application; everything optional is off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The version that ALPN chose.
    pub version: Version,
    /// The bounds of the connection.
    pub limits: Limits,
    /// A server: whether it takes extended CONNECT.
    pub extended_connect: bool,
    /// How many pushes a client takes in all at the start; 0 turns push off.
    pub pushes: u64,
    /// Which profiles of HTTP datagrams are offered, always or never, so that an offer does not
    /// tell what it is for. The transport must take datagrams.
    pub datagrams: Profiles,
    /// The seed of reserved values that are sent to exercise the peer; `None` sends none.
    pub grease_seed: Option<u64>,
    /// What an earlier session with this server gave to remember, for 0-RTT.
    pub remembered: Option<Bytes>,
    /// Settings of extensions that we send; the same identifiers are read from the peer.
    pub extension_settings: Vec<(u64, u64)>,
    /// Frame types of extensions on request streams, handed over whole.
    pub extension_frames: Vec<FrameType>,
    /// Types of unidirectional streams of extensions, handed over as they come; see
    /// [`Event::ExtensionStream`](crate::Event::ExtensionStream).
    pub extension_streams: Vec<u64>,
    /// Frame types that, as the first of a bidirectional stream, make it an extension's. With any
    /// of them a server may open such streams too.
    pub extension_bidirectional: Vec<FrameType>,
    /// What hides the size of messages.
    pub padding: Padding,
}

impl Config {
    /// The settings that a peer is sent.
    pub fn settings(&self, role: Role) -> Settings {
        Settings {
            max_field_section_bytes: Some(self.limits.field_section_bytes as u64),
            qpack_table_bytes: self.limits.qpack_table_bytes as u64,
            qpack_blocked_streams: self.limits.qpack_blocked_streams as u64,
            extended_connect: self.extended_connect && role == Role::Server,
            datagram: self.datagrams.rfc9297,
            datagram_00: self.datagrams.draft_00,
            datagram_01: self.datagrams.draft_01,
            extensions: self.extension_settings.clone(),
        }
    }
}
