//! The pool with what it decides about: dials, connections and those who wait for them.
//!
//! Invariant: whoever changes the pool carries out its actions before the lock is given back, and
//! nothing that may call back in is dropped under the lock.

use super::alt_svc::{self, AltSvc};
use super::coalescing::Finder;
use super::dial::{Call, Dialled, Sender, Work, dial};
use super::error::{Error, ErrorClass, Phase};
use super::event::{ClientEvent, ConnectionInfo, Reason};
use super::key::Key;
use super::last_origin::LastOrigin;
use super::lease::{Lease, Wire};
use super::link::Link;
use super::policy::Wish;
use super::pool_time::{Alarm, PoolTimer, Timed};
use super::proxy::Trunks;
use super::response_head::has;
use super::settings::Settings;
use super::telemetry::Gauge;
use crate::pool::{
    Action, After, Assignment, ConnectionId, DialId, FailReason, Pool, RequestId, Version,
};
use http::HeaderMap;
use http::header::{AGE, ALT_SVC};
use portway_core::{FailureKind, Time};
use portway_transport::environment::Environment;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// What a request that waits is told.
pub(super) type Verdict = Result<Lease, Error>;

/// What the clones of a client share.
pub(super) struct Shared {
    pub(super) settings: Arc<Settings>,
    pub(super) last_origin: LastOrigin,
    /// Connections to proxies.
    trunks: Arc<Trunks>,
    state: Mutex<State>,
    timer: PoolTimer,
}

pub(super) struct State {
    pub(super) pool: Pool<Key>,
    waiting: HashMap<RequestId, (Wish, oneshot::Sender<Verdict>)>,
    /// Dropping a dial's sender ends it.
    dials: HashMap<DialId, oneshot::Sender<()>>,
    pub(super) connections: BTreeMap<ConnectionId, Handle>,
    /// Why the dial failed that the pool is being told of.
    dial_error: Option<Error>,
    alarm: Alarm,
}

/// A connection as the pool's owner has it.
pub(super) struct Handle {
    /// None while a request has the only sender of HTTP/1.1.
    pub(super) sender: Option<Sender>,
    pub(super) info: Arc<ConnectionInfo>,
    pub(super) key: Key,
    /// Counts it, where anybody counts.
    gauge: Option<Arc<Gauge>>,
    /// What hears of the connection itself, whichever key it was dialled for.
    pub(super) root: Arc<Link>,
    /// What tells the pool of it as this key's.
    _link: Arc<Link>,
    /// Ends the connection at once.
    cut: oneshot::Sender<()>,
}

/// What is told when the lock is given back.
struct Events {
    are_heard: bool,
    list: Vec<ClientEvent>,
}

impl Events {
    fn push(&mut self, event: impl FnOnce() -> ClientEvent) {
        if self.are_heard {
            self.list.push(event());
        }
    }
}

/// What is dropped when the lock is given back.
enum Left {
    Verdict(#[allow(dead_code, reason = "it is only dropped")] Verdict),
    Handle(#[allow(dead_code, reason = "it is only dropped")] Handle),
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        let pool = Pool::new(settings.pool.clone());
        let settings = Arc::new(settings);
        let timer = PoolTimer::new(settings.context.environment().clone());
        Arc::new(Shared {
            trunks: Trunks::new(settings.clone()),
            settings,
            last_origin: LastOrigin::default(),
            state: Mutex::new(State {
                pool,
                waiting: HashMap::new(),
                dials: HashMap::new(),
                connections: BTreeMap::new(),
                dial_error: None,
                alarm: Alarm::default(),
            }),
            timer,
        })
    }

    pub(super) fn environment(&self) -> &Arc<dyn Environment> {
        self.settings.context.environment()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request into the pool.
    pub(super) fn enqueue(self: &Arc<Self>, key: Key, wish: Wish) -> Turn {
        self.settings.habits.retries.on_request();
        let mut assigned = None;
        let turn = self.act(|state, now| {
            let request = state.pool.request(now, key, wish.versions);
            assigned = state.pool.take_assignment(request);
            if let Some(Assignment {
                connection,
                is_reused,
            }) = assigned
            {
                // Nobody need be told of what is there.
                return Turn::Now(self.lease(state, request, connection, is_reused));
            }
            let (verdict, receiver) = oneshot::channel();
            state.waiting.insert(request, (wish, verdict));
            Turn::Later(Waiting {
                shared: self.clone(),
                request,
                receiver,
                is_over: false,
            })
        });
        if let Some(assigned) = assigned {
            self.settings.tell(|| ClientEvent::Assigned {
                connection: assigned.connection,
                is_reused: assigned.is_reused,
                waited: Duration::ZERO,
            });
        }
        turn
    }

    /// Puts a request into the pool again that was not answered; `None` when its retries are spent,
    /// or those of the client, which a free one does not touch.
    pub(super) fn retry(
        self: &Arc<Self>,
        request: RequestId,
        wish: Wish,
        is_free: bool,
    ) -> Option<Waiting> {
        let retries = &self.settings.habits.retries;
        let (verdict, receiver) = oneshot::channel();
        let waits = self.act(|state, now| {
            // The pool forgets the request where it does not take it.
            let waits = match is_free || retries.withdraw() {
                true => state.pool.retry(now, request, wish.versions),
                false => {
                    state.pool.on_finished(now, request, After::Discard);
                    false
                }
            };
            if waits {
                state.waiting.insert(request, (wish, verdict));
            }
            waits
        });
        waits.then(|| Waiting {
            shared: self.clone(),
            request,
            receiver,
            is_over: false,
        })
    }

    /// Whether requests that were not answered are sent again at all.
    pub(super) fn is_patient(&self) -> bool {
        self.settings.pool.retries_max > 0
    }

    /// Takes what a response says of alternative services.
    pub(super) fn on_response(self: &Arc<Self>, key: &Key, headers: &HeaderMap) {
        if !has(headers, &ALT_SVC) {
            return;
        }
        let fields = headers.get_all(ALT_SVC).into_iter();
        let lines: Vec<&[u8]> = fields.map(|value| value.as_bytes()).collect();
        // RFC 9111 §5.1: what came from a cache has aged there.
        let age = headers
            .get(AGE)
            .and_then(|age| age.to_str().ok()?.parse().ok());
        let age = Duration::from_secs(age.unwrap_or_default());
        self.learn(key, &lines.join(&b','), age);
    }

    /// Takes what an origin says of alternative services.
    pub(super) fn learn(self: &Arc<Self>, key: &Key, value: &[u8], age: Duration) {
        let (Some(origin), Some(said)) = (key.origin(), alt_svc::parse(value)) else {
            return;
        };
        let is_cleared = said == AltSvc::Clear;
        let now = self.environment().now();
        let mut alternatives = self.settings.alternatives.on(self.settings.network());
        let before = alternatives.usable(now, &origin);
        alternatives.learn(now, &origin, said, age);
        let usable = alternatives.usable(now, &origin);
        drop(alternatives);
        if is_cleared {
            self.act(|state, now| state.leave_alternatives(now, key));
        }
        if usable != before {
            self.settings.tell(|| ClientEvent::Alternatives {
                origin: key.to_string(),
                alternatives: usable.iter().map(ToString::to_string).collect(),
            });
        }
    }

    /// Dials HTTP/3 beside what is in use, where the origin has come to offer it and the request
    /// would take it.
    pub(super) fn upgrade(self: &Arc<Self>, key: &Key, wish: Wish) {
        if !self.settings.alternatives_for(key, wish).is_empty() {
            self.act(|state, now| state.pool.dial_ahead(now, key.clone(), Version::Http3));
        }
    }

    /// The server at the end of a connection says that it is not the one for this origin: says
    /// whether there is another way, and keeps others from this one.
    pub(super) fn misdirected(self: &Arc<Self>, key: &Key, lease: &Lease) -> bool {
        let is_shared = matches!(lease.info().reason, Reason::Shared(_));
        let used = lease.info().alternative.as_deref();
        // RFC 7838 §6: what cannot speak for the origin is not its alternative.
        for alternative in self.settings.alternatives_of(key) {
            if used == Some(&alternative.to_string()) {
                self.settings.block(key, &alternative);
            }
        }
        if !is_shared && used.is_none() {
            return false;
        }
        self.act(|state, now| {
            // RFC 9110 §15.5.20: nor is a connection to others one to this origin.
            if let Some(handle) = state
                .connections
                .get(&lease.connection())
                .filter(|_| is_shared)
            {
                handle.root.refuse(key);
            }
            state.pool.on_draining(now, lease.connection());
        });
        true
    }

    /// Looks at the connections.
    pub(super) fn find_connection<T>(
        &self,
        look: impl FnOnce(&BTreeMap<ConnectionId, Handle>) -> Option<T>,
    ) -> Option<T> {
        look(&self.state().connections)
    }

    /// Ends a connection at once.
    pub(super) fn cut(self: &Arc<Self>, connection: ConnectionId) {
        let handle = self.act(|state, _| state.connections.remove(&connection));
        if let Some(handle) = handle {
            let _ = handle.cut.send(());
        }
    }

    /// Changes the pool and does what it asks for.
    pub(super) fn act<T>(self: &Arc<Self>, change: impl FnOnce(&mut State, Time) -> T) -> T {
        self.act_at(self.environment().now(), change)
    }

    /// As [`Shared::act`], for what need not be known to the millisecond.
    pub(super) fn act_recently<T>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut State, Time) -> T,
    ) -> T {
        self.act_at(self.environment().recently(), change)
    }

    fn act_at<T>(self: &Arc<Self>, now: Time, change: impl FnOnce(&mut State, Time) -> T) -> T {
        let mut left = Vec::new();
        let mut events = Events {
            are_heard: self.settings.is_heard(),
            list: Vec::new(),
        };
        let mut state = self.state();
        let result = change(&mut state, now);
        while let Some(action) = state.pool.poll_action() {
            self.carry_out(&mut state, action, &mut left, &mut events);
        }
        let due = state.pool.poll_timeout();
        let must_wake = self.timer.keep(self, &mut state.alarm, due);
        drop(state);
        drop(left);
        for event in events.list {
            self.settings.tell(|| event);
        }
        if must_wake {
            self.timer.wake();
        }
        result
    }

    fn carry_out(
        self: &Arc<Self>,
        state: &mut State,
        action: Action<Key>,
        left: &mut Vec<Left>,
        events: &mut Events,
    ) {
        match action {
            Action::Dial {
                dial,
                key,
                versions,
                initiator,
            } => {
                events.push(|| ClientEvent::DialStarted {
                    dial,
                    origin: key.to_string(),
                    versions,
                });
                // A dial that nobody waits for goes where something is offered.
                let waiting = initiator.and_then(|request| state.waiting.get(&request));
                let wish = Wish {
                    versions,
                    tries_http3: waiting.is_some_and(|(wish, _)| wish.tries_http3),
                };
                self.start_dial(state, dial, key, wish);
            }
            Action::CancelDial { dial, reason } => {
                events.push(|| ClientEvent::DialCancelled(dial, reason));
                state.dials.remove(&dial);
            }
            Action::Assign {
                request,
                connection,
                is_reused,
                waited,
            } => {
                events.push(|| ClientEvent::Assigned {
                    connection,
                    is_reused,
                    waited,
                });
                let lease = self.lease(state, request, connection, is_reused);
                left.extend(state.answer(request, Ok(lease)));
            }
            Action::Fail { request, reason } => {
                let error = state.error_of(reason);
                left.extend(state.answer(request, Err(error)));
            }
            Action::Close { connection, reason } => {
                events.push(|| ClientEvent::Closed(connection, reason));
                left.extend(state.connections.remove(&connection).map(Left::Handle));
            }
            Action::Tell(event) => events.push(|| ClientEvent::Pool(event)),
        }
    }

    fn lease(
        self: &Arc<Self>,
        state: &mut State,
        request: RequestId,
        connection: ConnectionId,
        is_reused: bool,
    ) -> Lease {
        let handle = state.connections.get_mut(&connection);
        let handle = handle.expect("the pool assigns connections that it was told of");
        let wire = match &handle.sender {
            Some(Sender::Http2(sender)) => Some(Wire::Http2(sender.clone())),
            Some(Sender::Http3(sender)) => Some(Wire::Http3(sender.clone())),
            _ => match handle.sender.take() {
                Some(Sender::Http1(sender)) => Some(Wire::Http1(sender)),
                _ => None,
            },
        };
        let wire = wire.expect("a connection of HTTP/1.1 is assigned to one request at a time");
        Lease::new(
            self.clone(),
            request,
            connection,
            wire,
            handle.info.clone(),
            is_reused,
        )
        .counted(handle.gauge.clone())
    }

    fn start_dial(self: &Arc<Self>, state: &mut State, id: DialId, key: Key, wish: Wish) {
        let (alive, ended) = oneshot::channel();
        state.dials.insert(id, alive);
        let link = Arc::new(Link::new(Arc::downgrade(self), key.clone()));
        let finder = Finder::new(Arc::downgrade(self), key.clone());
        let call = Call {
            id,
            key: key.clone(),
            wish,
            finder,
            trunks: self.trunks.clone(),
        };
        // In a box, whose room is free when the dial ends: a connection may stay for long.
        let dialling = Box::pin(dial(self.settings.clone(), call, link.clone()));
        let shared = Arc::downgrade(self);
        self.environment().spawn(Box::pin(async move {
            let dialled = tokio::select! {
                _ = ended => return,
                dialled = dialling => dialled,
            };
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let Some((work, is_cut)) = shared.on_dialled(id, key, &link, dialled) else {
                return;
            };
            drop(shared);
            // Whoever waits for it has its turn first, so that there is something to be moved.
            tokio::task::yield_now().await;
            tokio::select! {
                () = work => {}
                // Only a word ends it; the loss of the handle does not.
                Ok(()) = is_cut => {}
            }
        }));
    }

    /// Gives what moves the connection, if there is one, and when it is cut.
    fn on_dialled(
        self: &Arc<Self>,
        id: DialId,
        key: Key,
        link: &Arc<Link>,
        dialled: Result<Dialled, Error>,
    ) -> Option<(Work, oneshot::Receiver<()>)> {
        let dialled = match dialled {
            Ok(dialled) => dialled,
            Err(error) => {
                self.on_dial_failed(id, error);
                return None;
            }
        };
        let (cut, is_cut) = oneshot::channel();
        if let Some(root) = &dialled.root {
            root.lead(link);
        }
        // One that was there already is counted already.
        let gauge = match dialled.root {
            Some(_) => None,
            None => {
                let telemetry = &self.settings.telemetry;
                telemetry.on_connected(&key, dialled.info.version, self.environment())
            }
        };
        let handle = Handle {
            gauge,
            sender: Some(dialled.sender),
            info: dialled.info,
            key,
            root: dialled.root.unwrap_or_else(|| link.clone()),
            _link: link.clone(),
            cut,
        };
        self.on_connected(id, handle, link);
        Some((dialled.work, is_cut))
    }

    fn on_dial_failed(self: &Arc<Self>, dial: DialId, error: Error) {
        self.settings
            .tell(|| ClientEvent::DialFailed(dial, error.to_string()));
        self.act(|state, now| {
            state.dials.remove(&dial);
            state.dial_error = Some(error);
            state.pool.on_dial_failed(now, dial);
        });
    }

    fn on_connected(self: &Arc<Self>, dial: DialId, handle: Handle, link: &Link) {
        let version = handle.info.version;
        self.settings
            .tell(|| ClientEvent::Connected(dial, Box::new((*handle.info).clone())));
        let (connection, _unwanted) = self.act(|state, now| {
            state.dials.remove(&dial);
            match state.pool.on_connected(now, dial, version) {
                Some(connection) => {
                    state.connections.insert(connection, handle);
                    (Some(connection), None)
                }
                None => (None, Some(handle)),
            }
        });
        if let Some(connection) = connection {
            link.attach(connection);
        }
    }
}

impl Timed for Shared {
    fn pass_time(self: &Arc<Self>) -> Option<Time> {
        self.act(|state, now| {
            state.pool.on_timeout(now);
            state.alarm.arm(state.pool.poll_timeout())
        })
    }
}

impl State {
    /// Gives a request its verdict; what nobody takes is left.
    fn answer(&mut self, request: RequestId, verdict: Verdict) -> Option<Left> {
        let Some((_, waiting)) = self.waiting.remove(&request) else {
            return Some(Left::Verdict(verdict));
        };
        waiting.send(verdict).err().map(Left::Verdict)
    }

    /// Sends no further request of a key over an alternative service.
    fn leave_alternatives(&mut self, now: Time, key: &Key) {
        let is_one = |handle: &Handle| handle.key == *key && handle.info.alternative.is_some();
        let connections = self.connections.iter().filter(|(_, handle)| is_one(handle));
        let connections: Vec<_> = connections.map(|(connection, _)| *connection).collect();
        for connection in connections {
            self.pool.on_draining(now, connection);
        }
    }

    fn error_of(&mut self, reason: FailReason) -> Error {
        match reason {
            FailReason::DialFailed(_) => self.dial_error.take().unwrap_or_else(|| {
                Error::local(ErrorClass::Connect, FailureKind::Other, "the dial failed")
            }),
            FailReason::DialTimedOut(_) => Error::timed_out(Phase::Dial),
            FailReason::WrongVersion(version) => Error::local(
                ErrorClass::Version,
                FailureKind::AlpnMismatch,
                format!("the peer chose {version}, which the request does not take"),
            )
            .with_version(version),
            FailReason::QueueFull => Error::local(
                ErrorClass::LimitReached,
                FailureKind::LimitReached,
                "too many requests wait for a connection",
            ),
        }
    }
}

/// When a request has a connection.
#[allow(
    clippy::large_enum_variant,
    reason = "the usual one costs no allocation"
)]
pub(super) enum Turn {
    Now(Lease),
    Later(Waiting),
}

/// A request that waits for a connection. Dropping it takes the request back.
pub(super) struct Waiting {
    shared: Arc<Shared>,
    request: RequestId,
    receiver: oneshot::Receiver<Verdict>,
    /// The pool has decided.
    is_over: bool,
}

impl Waiting {
    pub(super) async fn verdict(mut self) -> Verdict {
        let verdict = (&mut self.receiver).await;
        self.is_over = verdict.is_ok();
        verdict.unwrap_or_else(|_| {
            Err(Error::local(
                ErrorClass::Closed,
                FailureKind::Cancelled,
                "the client is gone",
            ))
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // A lease that was given and not taken comes back by its own drop.
        let _unread = self.shared.act(|state, now| {
            state.pool.cancel(now, self.request);
            state.waiting.remove(&self.request)
        });
    }
}
