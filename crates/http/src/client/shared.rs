//! The pool with what it decides about: dials, connections and those who wait for them.
//!
//! Invariant: whoever changes the pool carries out its actions before the lock is given back, and
//! nothing that may call back in is dropped under the lock.

use super::dial::{Sender, dial};
use super::error::{Error, ErrorClass, Phase};
use super::event::{ClientEvent, ConnectionInfo};
use super::frames::Said;
use super::io::Listener;
use super::key::Key;
use super::lease::{Lease, Wire};
use super::settings::Settings;
use crate::pool::{Action, ConnectionId, DialId, FailReason, Pool, RequestId, Versions};
use portway_core::{FailureKind, Time};
use portway_transport::environment::Environment;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use tokio::sync::{Notify, oneshot};

/// What a request that waits is told.
pub(super) type Verdict = Result<Lease, Error>;

/// What the clones of a client share.
pub(super) struct Shared {
    pub(super) settings: Arc<Settings>,
    state: Mutex<State>,
    timer: Arc<Notify>,
}

pub(super) struct State {
    pub(super) pool: Pool<Key>,
    waiting: HashMap<RequestId, oneshot::Sender<Verdict>>,
    /// Dropping a dial's sender ends it.
    dials: HashMap<DialId, oneshot::Sender<()>>,
    pub(super) connections: HashMap<ConnectionId, Handle>,
    /// Why the dial failed that the pool is being told of.
    dial_error: Option<Error>,
    is_timed: bool,
    armed: Option<Time>,
}

/// A connection as the pool's owner has it.
pub(super) struct Handle {
    /// None while a request has the only sender of HTTP/1.1.
    pub(super) sender: Option<Sender>,
    pub(super) info: Arc<ConnectionInfo>,
}

/// What is dropped when the lock is given back.
enum Left {
    Verdict(#[allow(dead_code, reason = "it is only dropped")] Verdict),
    Handle(#[allow(dead_code, reason = "it is only dropped")] Handle),
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        let pool = Pool::new(settings.pool.clone());
        Arc::new(Shared {
            settings: Arc::new(settings),
            state: Mutex::new(State {
                pool,
                waiting: HashMap::new(),
                dials: HashMap::new(),
                connections: HashMap::new(),
                dial_error: None,
                is_timed: false,
                armed: None,
            }),
            timer: Arc::default(),
        })
    }

    pub(super) fn environment(&self) -> &Arc<dyn Environment> {
        self.settings.context.environment()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request into the pool.
    pub(super) fn enqueue(self: &Arc<Self>, key: Key, versions: Versions) -> Waiting {
        let (verdict, receiver) = oneshot::channel();
        let request = self.act(|state, now| {
            let request = state.pool.request(now, key, versions);
            state.waiting.insert(request, verdict);
            request
        });
        Waiting {
            shared: self.clone(),
            request,
            receiver,
        }
    }

    /// Puts a request into the pool again that was not answered; `None` when its retries are spent.
    pub(super) fn retry(
        self: &Arc<Self>,
        request: RequestId,
        versions: Versions,
    ) -> Option<Waiting> {
        let (verdict, receiver) = oneshot::channel();
        let waits = self.act(|state, now| {
            let waits = state.pool.retry(now, request, versions);
            if waits {
                state.waiting.insert(request, verdict);
            }
            waits
        });
        waits.then(|| Waiting {
            shared: self.clone(),
            request,
            receiver,
        })
    }

    /// Changes the pool and does what it asks for.
    pub(super) fn act<T>(self: &Arc<Self>, change: impl FnOnce(&mut State, Time) -> T) -> T {
        let now = self.environment().now();
        let mut left = Vec::new();
        let mut events = Vec::new();
        let mut state = self.state();
        let result = change(&mut state, now);
        while let Some(action) = state.pool.poll_action() {
            self.carry_out(&mut state, action, &mut left, &mut events);
        }
        let must_wake = self.keep_time(&mut state);
        drop(state);
        drop(left);
        for event in events {
            self.settings.tell(|| event);
        }
        if must_wake {
            self.timer.notify_one();
        }
        result
    }

    fn carry_out(
        self: &Arc<Self>,
        state: &mut State,
        action: Action<Key>,
        left: &mut Vec<Left>,
        events: &mut Vec<ClientEvent>,
    ) {
        match action {
            Action::Dial {
                dial,
                key,
                versions,
                ..
            } => {
                events.push(ClientEvent::DialStarted {
                    dial,
                    origin: key.to_string(),
                    versions,
                });
                self.start_dial(state, dial, key, versions);
            }
            Action::CancelDial { dial, reason } => {
                events.push(ClientEvent::DialCancelled(dial, reason));
                state.dials.remove(&dial);
            }
            Action::Assign {
                request,
                connection,
                is_reused,
                waited,
            } => {
                events.push(ClientEvent::Assigned {
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
                events.push(ClientEvent::Closed(connection, reason));
                left.extend(state.connections.remove(&connection).map(Left::Handle));
            }
            Action::Tell(event) => events.push(ClientEvent::Pool(event)),
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
    }

    fn start_dial(self: &Arc<Self>, state: &mut State, id: DialId, key: Key, versions: Versions) {
        let (alive, ended) = oneshot::channel();
        state.dials.insert(id, alive);
        let link = Arc::new(Link::new(Arc::downgrade(self)));
        let dialling = dial(self.settings.clone(), id, key, versions, link.clone());
        let shared = Arc::downgrade(self);
        self.environment().spawn(Box::pin(async move {
            let dialled = tokio::select! {
                _ = ended => return,
                dialled = dialling => dialled,
            };
            let Some(shared) = shared.upgrade() else {
                return;
            };
            match dialled {
                Err(error) => shared.on_dial_failed(id, error),
                Ok(dialled) => {
                    let info = Arc::new(dialled.info);
                    shared.on_connected(id, dialled.sender, info, &link);
                    drop(shared);
                    dialled.work.await;
                }
            }
        }));
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

    fn on_connected(
        self: &Arc<Self>,
        dial: DialId,
        sender: Sender,
        info: Arc<ConnectionInfo>,
        link: &Link,
    ) {
        let version = info.version;
        self.settings
            .tell(|| ClientEvent::Connected(dial, (*info).clone()));
        let (connection, _unwanted) = self.act(|state, now| {
            state.dials.remove(&dial);
            let handle = Handle {
                sender: Some(sender),
                info,
            };
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

    /// Says whether the timer's task must look at its deadline again.
    fn keep_time(self: &Arc<Self>, state: &mut State) -> bool {
        let Some(due) = state.pool.poll_timeout() else {
            return false;
        };
        if !state.is_timed {
            state.is_timed = true;
            let task = run_timer(
                Arc::downgrade(self),
                self.environment().clone(),
                self.timer.clone(),
            );
            self.environment().spawn(Box::pin(task));
        }
        state.armed.is_none_or(|armed| due < armed)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.timer.notify_one();
    }
}

/// Tells the pool the time whenever something is due there.
async fn run_timer(shared: Weak<Shared>, environment: Arc<dyn Environment>, wake: Arc<Notify>) {
    let mut timer = environment.timer();
    loop {
        let due = {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            shared.act(|state, now| {
                state.pool.on_timeout(now);
                state.armed = state.pool.poll_timeout();
                state.armed
            })
        };
        timer.reset(due);
        tokio::select! {
            () = wake.notified() => {}
            () = poll_fn(|context| timer.poll_expired(context)) => {}
        }
    }
}

impl State {
    /// Gives a request its verdict; what nobody takes is left.
    fn answer(&mut self, request: RequestId, verdict: Verdict) -> Option<Left> {
        let Some(waiting) = self.waiting.remove(&request) else {
            return Some(Left::Verdict(verdict));
        };
        waiting.send(verdict).err().map(Left::Verdict)
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

/// A request that waits for a connection. Dropping it takes the request back.
pub(super) struct Waiting {
    shared: Arc<Shared>,
    request: RequestId,
    receiver: oneshot::Receiver<Verdict>,
}

impl Waiting {
    pub(super) async fn verdict(mut self) -> Verdict {
        let verdict = (&mut self.receiver).await;
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
        // A lease that was given and not taken comes back by its own drop.
        let _unread = self.shared.act(|state, now| {
            state.pool.cancel(now, self.request);
            state.waiting.remove(&self.request)
        });
    }
}

/// From a connection to the pool.
struct Link {
    shared: Weak<Shared>,
    connection: OnceLock<ConnectionId>,
    heard: Mutex<Heard>,
}

/// What a connection has said before the pool knew it.
#[derive(Clone, Copy, Default)]
struct Heard {
    streams_max: Option<u32>,
    is_going_away: bool,
    is_closed: bool,
}

impl Link {
    fn new(shared: Weak<Shared>) -> Self {
        Link {
            shared,
            connection: OnceLock::new(),
            heard: Mutex::default(),
        }
    }

    fn attach(&self, connection: ConnectionId) {
        let heard = {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = self.connection.set(connection);
            *heard
        };
        self.pass_on(heard);
    }

    fn hear(&self, note: impl FnOnce(&mut Heard)) {
        let mut news = Heard::default();
        note(&mut news);
        let is_attached = {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.streams_max = news.streams_max.or(heard.streams_max);
            heard.is_going_away |= news.is_going_away;
            heard.is_closed |= news.is_closed;
            self.connection.get().is_some()
        };
        if is_attached {
            self.pass_on(news);
        }
    }

    fn pass_on(&self, news: Heard) {
        let (Some(shared), Some(connection)) = (self.shared.upgrade(), self.connection.get())
        else {
            return;
        };
        let connection = *connection;
        let _gone = shared.act(|state, now| {
            if let Some(max) = news.streams_max {
                state.pool.on_streams_max(now, connection, max);
            }
            if news.is_going_away {
                state.pool.on_draining(now, connection);
            }
            if !news.is_closed {
                return None;
            }
            state.pool.on_closed(now, connection);
            state.connections.remove(&connection)
        });
    }
}

impl Listener for Link {
    fn on_said(&self, said: Said) {
        self.hear(|heard| match said {
            Said::StreamsMax(max) => heard.streams_max = Some(max),
            Said::GoAway => heard.is_going_away = true,
        });
    }

    fn on_closed(&self) {
        self.hear(|heard| heard.is_closed = true);
    }
}
