//! Socket options that differ between systems, behind one set of functions.
//!
//! Invariant: what a system lacks is an error of kind `Unsupported` or a `None`, never a guess.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub(super) use linux::*;
#[cfg(not(target_os = "linux"))]
pub(super) use other::*;

/// What the system knows of a TCP connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct TcpInfo {
    /// Whether the connection has come to its end, orderly or not.
    pub(super) is_closed: bool,
    /// The smoothed round-trip time; zero when nothing was measured.
    pub(super) rtt: std::time::Duration,
    /// The largest segment that is sent, in bytes.
    pub(super) send_mss: u32,
}

/// How exact a clock is asked to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Precision {
    /// As exact as it can be.
    Full,
    /// Some milliseconds behind at most, for a small part of the cost.
    Coarse,
}
