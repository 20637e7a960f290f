//! Connections to proxies that carry tunnels side by side, in a pool of their own.
//!
//! Invariant: the pool decides which tunnel goes over which connection, as it does for requests; a
//! tunnel gives its place back exactly once, and a connection of HTTP/1.1 leaves with the tunnel
//! that it was dialled for.

use super::Proxy;
use super::trunk::{self, Berth, Dialled, Line, Trunk};
use crate::client::dial::Ground;
use crate::client::error::{Error, ErrorClass, Phase};
use crate::client::pool_time::{Alarm, PoolTimer, Timed};
use crate::client::settings::Settings;
use crate::client::watch::Watch;
use crate::pool::{
    self, Action, After, ConnectionId, DialId, FailReason, Pool, RequestId, Version,
};
use portway_core::{FailureKind, Time};
use portway_transport::environment::Environment;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Connections to proxies that carry tunnels side by side.
pub(in crate::client) struct Trunks {
    pub(in crate::client) settings: Arc<Settings>,
    state: Mutex<State>,
    timer: PoolTimer,
}

pub(super) struct State {
    pub(super) pool: Pool<Proxy>,
    waiting: HashMap<RequestId, Waiter>,
    /// Dropping a dial's sender ends it.
    dials: HashMap<DialId, oneshot::Sender<()>>,
    trunks: HashMap<ConnectionId, Trunk>,
    /// Why the dial failed that the pool is being told of.
    dial_error: Option<Error>,
    alarm: Alarm,
}

/// A tunnel that waits for its way to the proxy.
struct Waiter {
    proxy: Proxy,
    /// Sees the dial that is made for it.
    watch: Watch,
    verdict: oneshot::Sender<Result<Found, Error>>,
}

/// The way to a proxy.
pub(super) enum Found {
    /// A place beside other tunnels.
    Shared(Berth),
    /// A connection for one tunnel.
    Own(Box<Ground>),
}

impl Trunks {
    pub(in crate::client) fn new(settings: Arc<Settings>) -> Arc<Self> {
        let config = pool::Config {
            // A tunnel may last for ever, so that to wait for the end of one is no way.
            has_further_http3: true,
            ..settings.pool.clone()
        };
        let timer = PoolTimer::new(settings.context.environment().clone());
        Arc::new(Trunks {
            settings,
            state: Mutex::new(State {
                pool: Pool::new(config),
                waiting: HashMap::new(),
                dials: HashMap::new(),
                trunks: HashMap::new(),
                dial_error: None,
                alarm: Alarm::default(),
            }),
            timer,
        })
    }

    /// Finds a way to a proxy: a connection that has room, or a new one, which `watch` sees then.
    pub(super) async fn find(
        self: &Arc<Self>,
        proxy: &Proxy,
        watch: &Watch,
    ) -> Result<Found, Error> {
        loop {
            match self.assigned_to(proxy, watch).await? {
                // TCP may take minutes to give it up.
                Found::Shared(berth) if berth.is_in_doubt() => berth.condemn(),
                found => return Ok(found),
            }
        }
    }

    /// What the pool gives.
    async fn assigned_to(self: &Arc<Self>, proxy: &Proxy, watch: &Watch) -> Result<Found, Error> {
        let (verdict, told) = oneshot::channel();
        let waiter = Waiter {
            proxy: proxy.clone(),
            watch: watch.clone(),
            verdict,
        };
        let request = self.act(|state, now| {
            let request = state
                .pool
                .request(now, proxy.clone(), proxy.tunnel_versions());
            state.waiting.insert(request, waiter);
            request
        });
        let _waiting = Waiting {
            trunks: self,
            request,
        };
        // The sender is kept until it is used, and this keeps what it is kept in.
        told.await
            .unwrap_or_else(|_| Err(Error::timed_out(Phase::Dial)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn environment(&self) -> &Arc<dyn Environment> {
        self.settings.context.environment()
    }

    /// Changes the pool and does what it asks for.
    pub(super) fn act<T>(self: &Arc<Self>, change: impl FnOnce(&mut State, Time) -> T) -> T {
        let now = self.environment().now();
        let mut left = Vec::new();
        let mut state = self.state();
        let result = change(&mut state, now);
        while let Some(action) = state.pool.poll_action() {
            left.extend(self.carry_out(&mut state, action, now));
        }
        let due = state.pool.poll_timeout();
        let must_wake = self.timer.keep(self, &mut state.alarm, due);
        drop(state);
        // What is dropped may call back in.
        drop(left);
        if must_wake {
            self.timer.wake();
        }
        result
    }

    /// Does what the pool asks for, and gives what is to be dropped when the lock is given back.
    fn carry_out(
        self: &Arc<Self>,
        state: &mut State,
        action: Action<Proxy>,
        now: Time,
    ) -> Option<Left> {
        match action {
            Action::Dial {
                dial,
                key,
                initiator,
                ..
            } => {
                let waiter = initiator.and_then(|request| state.waiting.get(&request));
                let watch = waiter.map(|waiter| waiter.watch.clone());
                let watch = watch.expect("a dial is made for one who waits");
                self.start_dial(state, dial, key, watch);
                None
            }
            Action::CancelDial { dial, .. } => {
                state.dials.remove(&dial);
                None
            }
            Action::Assign {
                request,
                connection,
                is_reused,
                ..
            } => {
                let found = self.assigned(state, request, connection, is_reused, now);
                state.answer(request, Ok(found))
            }
            Action::Fail { request, reason } => {
                let error = state.error_of(request, reason);
                state.answer(request, Err(error))
            }
            Action::Close { connection, .. } => state.trunks.remove(&connection).map(Left::Trunk),
            Action::Tell(_) => None,
        }
    }

    fn assigned(
        self: &Arc<Self>,
        state: &mut State,
        request: RequestId,
        connection: ConnectionId,
        is_reused: bool,
        now: Time,
    ) -> Found {
        let trunk = state.trunks.get(&connection);
        let trunk = trunk.expect("the pool assigns connections that it was told of");
        if let Some(wire) = trunk.wire() {
            let hold = Hold {
                trunks: self.clone(),
                request,
                connection,
            };
            return Found::Shared(Berth::new(hold, wire, is_reused));
        }
        let trunk = state.trunks.remove(&connection);
        state.pool.on_finished(now, request, After::Discard);
        match trunk {
            Some(Trunk::Own(ground)) => Found::Own(ground),
            _ => unreachable!("what has no wire to share is one's own"),
        }
    }

    fn start_dial(self: &Arc<Self>, state: &mut State, id: DialId, proxy: Proxy, watch: Watch) {
        watch.on_dial(self.environment().now());
        let (alive, ended) = oneshot::channel();
        state.dials.insert(id, alive);
        let trunks = Arc::downgrade(self);
        let settings = self.settings.clone();
        let line = Arc::new(Line::new(trunks.clone()));
        self.environment().spawn(Box::pin(async move {
            let dialled = tokio::select! {
                _ = ended => return,
                dialled = trunk::dial(&settings, &proxy, watch, &line) => dialled,
            };
            drop(settings);
            let Some(trunks) = trunks.upgrade() else {
                return;
            };
            match dialled {
                Err(error) => trunks.act(|state, now| {
                    state.dials.remove(&id);
                    state.dial_error = Some(error);
                    state.pool.on_dial_failed(now, id);
                }),
                Ok(Dialled {
                    trunk,
                    version,
                    work,
                }) => {
                    trunks.on_connected(id, version, trunk, &line);
                    drop(trunks);
                    work.await;
                }
            }
        }));
    }

    fn on_connected(self: &Arc<Self>, dial: DialId, version: Version, trunk: Trunk, line: &Line) {
        let _unwanted = self.act(|state, now| {
            state.dials.remove(&dial);
            let Some(connection) = state.pool.on_connected(now, dial, version) else {
                return Some(trunk);
            };
            state.trunks.insert(connection, trunk);
            line.attach(connection);
            None
        });
        // A connection for one tunnel that nobody waits for would only grow old.
        let _unused = self.act(|state, now| {
            let connection = line.connection()?;
            let trunk = state.trunks.get(&connection)?;
            if trunk.wire().is_some() {
                return None;
            }
            state.pool.on_closed(now, connection);
            state.trunks.remove(&connection)
        });
    }

    /// Takes a connection out that has ended.
    pub(super) fn on_closed(self: &Arc<Self>, connection: ConnectionId) {
        let _gone = self.act(|state, now| {
            state.pool.on_closed(now, connection);
            state.trunks.remove(&connection)
        });
    }
}

impl Timed for Trunks {
    fn pass_time(self: &Arc<Self>) -> Option<Time> {
        self.act(|state, now| {
            state.pool.on_timeout(now);
            state.alarm.arm(state.pool.poll_timeout())
        })
    }
}

/// What is dropped when the lock is given back.
enum Left {
    Verdict(#[allow(dead_code, reason = "it is only dropped")] Result<Found, Error>),
    Trunk(#[allow(dead_code, reason = "it is only dropped")] Trunk),
}

impl State {
    /// Tells one who waits; what nobody takes is left.
    fn answer(&mut self, request: RequestId, verdict: Result<Found, Error>) -> Option<Left> {
        let Some(waiter) = self.waiting.remove(&request) else {
            return Some(Left::Verdict(verdict));
        };
        waiter.verdict.send(verdict).err().map(Left::Verdict)
    }

    fn error_of(&mut self, request: RequestId, reason: FailReason) -> Error {
        let error = match reason {
            FailReason::DialFailed(_) => {
                // The dial has said of which proxy it is.
                let error = self.dial_error.take();
                return error.expect("the pool is told why a dial failed");
            }
            FailReason::DialTimedOut(_) => Error::timed_out(Phase::Dial),
            FailReason::WrongVersion(version) => Error::local(
                ErrorClass::Version,
                FailureKind::AlpnMismatch,
                format!("it speaks {version}, which was not asked for"),
            ),
            FailReason::QueueFull => Error::local(
                ErrorClass::LimitReached,
                FailureKind::LimitReached,
                "too many tunnels wait for a connection to their proxy",
            ),
        };
        match self.waiting.get(&request) {
            Some(waiter) if error.class() != ErrorClass::LimitReached => {
                error.at_proxy(&waiter.proxy)
            }
            _ => error,
        }
    }
}

/// One who waits. Dropping it takes the request back.
struct Waiting<'a> {
    trunks: &'a Arc<Trunks>,
    request: RequestId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // A place that was given comes back by its own drop.
        let _unread = self.trunks.act(|state, now| {
            state.pool.cancel(now, self.request);
            state.waiting.remove(&self.request)
        });
    }
}

/// A tunnel's place on a connection. Dropping it gives that back.
pub(super) struct Hold {
    pub(super) trunks: Arc<Trunks>,
    request: RequestId,
    pub(super) connection: ConnectionId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.trunks
            .act(|state, now| state.pool.on_finished(now, self.request, After::Discard));
    }
}
