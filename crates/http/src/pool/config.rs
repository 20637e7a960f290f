//! The bounds of a pool.

use std::time::Duration;

/// The bounds of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Connections and dials to one key. 256.
    pub connections_per_key_max: usize,
    /// Connections and dials in all. 1024.
    pub connections_max: usize,
    /// Requests that wait for a connection; one more fails at once. 65 536.
    pub waiting_max: usize,
    /// A connection that carries nothing for this time is closed. 90 s.
    pub idle_max: Duration,
    /// A connection of this age gets no further request, and is closed when its last one has
    /// ended. No bound unless said.
    pub lifetime_max: Option<Duration>,
    /// A dial that takes longer fails. 30 s.
    pub dial_max: Duration,
    /// A dial whose request was served elsewhere or cancelled goes on for this time. 5 s.
    pub abandoned_dial_max: Duration,
    /// How often a request is queued again after it failed in a way that makes this safe. 3.
    pub retries_max: u32,
    /// Whether a further HTTP/3 connection is opened when streams run out. RFC 9114 §3.3: a client
    /// should have one connection to an endpoint, so it must be asked for.
    pub has_further_http3: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            connections_per_key_max: 256,
            connections_max: 1024,
            waiting_max: 65_536,
            idle_max: Duration::from_secs(90),
            lifetime_max: None,
            dial_max: Duration::from_secs(30),
            abandoned_dial_max: Duration::from_secs(5),
            retries_max: 3,
            has_further_http3: false,
        }
    }
}
