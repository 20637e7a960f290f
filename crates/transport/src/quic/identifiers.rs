//! Connection identifiers and the randomness and clock that quinn-proto is given.
//!
//! Invariant: an identifier is unpredictable but for the shard that it names, and all randomness
//! comes from the environment.

use super::sharding::Shard;
use crate::environment::Environment;
use quinn_proto::{ConnectionId, ConnectionIdGenerator, TimeSource};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use portway_core::Time;

/// Makes random identifiers from a pool, so that not each one costs a system call.
pub(super) struct Generator {
    environment: Arc<dyn Environment>,
    pool: [u8; POOL_BYTES],
    used: usize,
    /// Whom the identifiers name.
    shard: Option<Shard>,
}

impl Generator {
    pub(super) fn new(environment: Arc<dyn Environment>, shard: Option<Shard>) -> Self {
        Generator {
            environment,
            pool: [0; POOL_BYTES],
            used: POOL_BYTES,
            shard,
        }
    }
}

impl ConnectionIdGenerator for Generator {
    fn generate_cid(&mut self) -> ConnectionId {
        if self.used + LEN > POOL_BYTES {
            self.environment.fill_random(&mut self.pool);
            self.used = 0;
        }
        let bytes = &mut self.pool[self.used..self.used + LEN];
        self.used += LEN;
        if let Some(shard) = &self.shard {
            shard.mark(bytes);
        }
        ConnectionId::new(bytes)
    }

    fn cid_len(&self) -> usize {
        LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Maps the environment's time to the `Instant`s that quinn-proto computes with.
#[derive(Clone)]
pub(super) struct Clock {
    environment: Arc<dyn Environment>,
    base: Instant,
    origin: Time,
    base_system: SystemTime,
}

impl Clock {
    pub(super) fn new(environment: Arc<dyn Environment>) -> Self {
        Clock {
            origin: environment.now(),
            base: Instant::now(),
            base_system: SystemTime::now(),
            environment,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.base + (self.environment.now() - self.origin)
    }

    /// The environment's time of `instant`.
    pub(super) fn time(&self, instant: Instant) -> Time {
        self.origin + instant.saturating_duration_since(self.base)
    }
}

/// So long after `since`, however long that is.
pub(super) fn later(since: Instant, span: Duration) -> Instant {
    since + span.min(FAR)
}

/// What nobody lives to see, and any clock can add.
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        self.base_system + (self.environment.now() - self.origin)
    }
}

/// The length of identifiers in bytes.
const LEN: usize = 8;
const POOL_BYTES: usize = 32 * LEN;
