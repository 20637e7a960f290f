//! A connection as its handles and the driver share it.
//!
//! Invariant: whoever changes the state under the lock and needs the driver for it gets the
//! connection on the driver's list before the call returns, and wakers run without the lock.

use super::state::{ConnectionState, Dirty};
use crate::quic::endpoint::Shared;
use crate::quic::waiting::wake_all;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// One connection.
pub(in crate::quic) struct ConnectionShared {
    state: Mutex<ConnectionState>,
    pub(in crate::quic) endpoint: Arc<Shared>,
}

impl ConnectionShared {
    pub(in crate::quic) fn new(state: ConnectionState, endpoint: Arc<Shared>) -> Arc<Self> {
        Arc::new(ConnectionShared {
            state: Mutex::new(state),
            endpoint,
        })
    }

    /// The state, for the driver, which takes note itself of what is to be done.
    #[inline]
    pub(in crate::quic) fn lock(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acts on the state for the application.
    pub(in crate::quic) fn act<R>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut ConnectionState) -> R,
    ) -> R {
        let mut state = self.lock();
        let result = act(&mut state);
        let is_new = state.calls_driver();
        if is_new {
            state.dirty = Dirty::Listed;
        }
        let is_enough = state.streams.unsent.is_enough();
        drop(state);
        if is_new {
            self.endpoint.list(Arc::clone(self));
        }
        if is_enough {
            self.endpoint.send_early(self);
        }
        result
    }

    /// Acts on the state for the application and wakes whom that concerns.
    pub(in crate::quic) fn act_and_wake<R>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut ConnectionState, &mut Vec<Waker>) -> R,
    ) -> R {
        let mut wakers = Vec::new();
        let result = self.act(|state| act(state, &mut wakers));
        if !wakers.is_empty() {
            wake_all(&mut wakers);
        }
        result
    }
}

/// What every handle of a connection and of its streams holds: the connection is let go when the
/// last one goes.
pub(in crate::quic) struct ConnectionRef(pub(in crate::quic) Arc<ConnectionShared>);

impl std::ops::Deref for ConnectionRef {
    type Target = Arc<ConnectionShared>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for ConnectionRef {
    fn drop(&mut self) {
        let clock = &self.0.endpoint.clock;
        let now = clock.now();
        self.0.act_and_wake(|state, wakers| {
            if !state.tell_abandoned(clock, wakers) {
                state.let_go(now, wakers);
            }
        });
    }
}
