//! Every bound of a connection, in one place.
//!
//! Invariant: whatever a peer can make us hold or do has its bound here, and a test that hits it.

use std::time::Duration;

/// The bounds of one connection; the defaults suit a server on the open internet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest field section that is taken: decoded, with 32 bytes added for each field, and
    /// encoded. Told to the peer.
    pub field_section_bytes: usize,
    /// How many fields a section may have; each crumb of a cookie counts.
    pub fields: usize,
    /// The largest frame on a control stream.
    pub control_frame_bytes: usize,
    /// How many interim responses may precede a final one.
    pub interim_responses: usize,
    /// How many requests a server handles at a time, those included whose stream is gone but
    /// whose application is still at work.
    pub requests: usize,
    /// How many streams of extensions a peer may have open at a time, counted like requests.
    pub extension_streams: usize,
    /// How many received bytes of content wait for the application on one stream, before the
    /// stream is not read any more; each piece counts a little more than its bytes. One chunk of
    /// the transport may come on top.
    pub receive_buffer_bytes: usize,
    /// How many bytes may wait to be sent on one stream before the application is told to wait.
    pub send_buffer_bytes: usize,
    /// How many bytes may wait to be sent on each critical stream.
    pub control_send_bytes: usize,
    /// The size of the QPACK dynamic tables, ours and what we use of the peer's.
    pub qpack_table_bytes: usize,
    /// How many streams may wait for the QPACK encoder stream of the peer.
    pub qpack_blocked_streams: usize,
    /// The bounds of datagrams and capsules.
    pub datagrams: DatagramLimits,
    /// How long a peer may stall.
    pub patience: Patience,
    /// How many suspicious acts a peer is allowed at once.
    pub glitch_burst: u32,
    /// How many suspicious acts are forgiven a second.
    pub glitches_per_second: u32,
}

/// The bounds of datagrams and capsules.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatagramLimits {
    /// How many unsent datagrams the connection, and how many unread ones each request, may have;
    /// the oldest is dropped.
    pub queued: usize,
    /// How many datagrams are kept for requests that are not known yet.
    pub early: usize,
    /// The largest capsule that is handed over whole.
    pub capsule_bytes: usize,
}

/// How long a peer may stall before its stream is ended; `None` waits for ever.
///
/// Time is what [`Connection::set_time`](crate::Connection::set_time) told last, and a stall is
/// noticed up to a second after its time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Patience {
    /// From the first byte of a request, or of a later field section, to the end of that section.
    pub section: Option<Duration>,
    /// From a field section to the QPACK instructions that it needs.
    pub blocked: Option<Duration>,
    /// How long nothing is taken of what we send on a stream, while nothing at least as urgent
    /// moves on other streams either.
    pub unread: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            field_section_bytes: 16 * 1024,
            fields: 128,
            control_frame_bytes: 1024,
            interim_responses: 8,
            requests: 100,
            extension_streams: 100,
            receive_buffer_bytes: 64 * 1024,
            send_buffer_bytes: 64 * 1024,
            control_send_bytes: 16 * 1024,
            qpack_table_bytes: 4096,
            qpack_blocked_streams: 16,
            datagrams: DatagramLimits::default(),
            patience: Patience::default(),
            glitch_burst: 1000,
            glitches_per_second: 33,
        }
    }
}

impl Default for DatagramLimits {
    fn default() -> Self {
        Self {
            queued: 64,
            early: 16,
            capsule_bytes: 16 * 1024,
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            section: Some(Duration::from_secs(30)),
            blocked: Some(Duration::from_secs(30)),
            unread: Some(Duration::from_secs(120)),
        }
    }
}

impl Patience {
    /// Waits for ever.
    pub const fn endless() -> Self {
        Self {
            section: None,
            blocked: None,
            unread: None,
        }
    }
}
