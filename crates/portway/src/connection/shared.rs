//! What the handles and tasks of one connection share: the group's lock and who waits for it.

use super::group::{Ending, Group};
use super::link::LinkStart;
use super::waiters::{Place, Waiter};
use super::{Handle, Siblings, writer};
use crate::event::ConnectionEvent;
use crate::preconnection::Preconnection;
use portway_core::property::{Action, ConnectionState};
use portway_core::race::{Account, Event, EventKind, Recording, Report};
use portway_core::{Failure, FailureKind, Origin, Time};
use portway_transport::context::{Context, RaceId};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;

pub(crate) struct Shared {
    pub(super) context: Context,
    group: Mutex<Group>,
    /// What the application holds.
    handle: Weak<Handle>,
}

impl Shared {
    pub(super) fn new(
        context: &Context,
        preconnection: &Preconnection,
        action: Action,
        handle: Weak<Handle>,
    ) -> Arc<Self> {
        Arc::new(Shared {
            handle,
            context: context.clone(),
            group: Mutex::new(Group::new(preconnection, action)),
        })
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Group> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the connection a member of a group, unless it has ended.
    pub(super) fn join(&self, siblings: &Arc<Siblings>) {
        siblings.join(&self.handle);
        self.lock().join(siblings);
    }

    pub(super) fn now(&self) -> Time {
        self.context.environment().now()
    }

    /// The stack is ready: messages flow from now on.
    pub(super) fn install(
        self: &Arc<Self>,
        mut start: LinkStart,
        race: Option<RaceId>,
        recording: Option<Box<Recording>>,
    ) {
        if let Some(siblings) = &start.siblings {
            siblings.join(&self.handle);
        }
        let early_rest = start.early_rest.take();
        let mut group = self.lock();
        group.install(start, race, recording);
        if let Some(rest) = early_rest
            && group.state() == ConnectionState::Established
        {
            let now = self.now();
            group.outbound.on_sent_early(now, rest);
        }
        // Not before: what left as early data was the first of all.
        group.reorder();
        if !group.is_flushed() || group.outbound.ends() {
            let now = self.now();
            group.pump(now);
            writer::start_if_needed(self, &mut group);
        }
    }

    /// Waits until the connection is established or has ended.
    pub(super) async fn ready(&self) -> Result<(), Failure> {
        let mut waiter = Waiter::of(self);
        poll_fn(|context| {
            let mut group = self.lock();
            match group.state() {
                ConnectionState::Establishing => {
                    group.wait(&mut waiter.place, context.waker());
                    Poll::Pending
                }
                ConnectionState::Established | ConnectionState::Closing => Poll::Ready(Ok(())),
                ConnectionState::Closed => Poll::Ready(Err(group.ending_failure())),
            }
        })
        .await
    }

    /// The last handle is gone. What was accepted is still sent, by the writer's task.
    pub(super) fn orphan(self: &Arc<Self>) {
        let mut group = self.lock();
        match group.state() {
            ConnectionState::Established => {
                group.begin_closing();
                let now = self.now();
                group.pump(now);
                if group.is_flushed() {
                    group.finish_sending();
                    group.pump(now);
                }
                if group.is_flushed() && group.is_sent_to_the_end() {
                    group.end(Ending::Closed);
                } else {
                    group.orphan(self.clone());
                    writer::start_if_needed(self, &mut group);
                }
            }
            ConnectionState::Establishing => group.end(Ending::Failed(abandoned())),
            ConnectionState::Closing => group.orphan(self.clone()),
            ConnectionState::Closed => {}
        }
    }
}

/// Where the race of a connection reports to, without keeping the connection alive.
pub(crate) struct Establishing {
    shared: Weak<Shared>,
}

impl Establishing {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Establishing {
            shared: Arc::downgrade(shared),
        }
    }

    /// Resolves when nobody waits for the race any more: the connection is gone or at its end, or
    /// it is established.
    pub(crate) async fn abandoned(&self) {
        // Woken, and so left, when the connection is established or ends.
        let mut place = Place::default();
        poll_fn(|context| {
            let Some(shared) = self.shared.upgrade() else {
                return Poll::Ready(());
            };
            let mut group = shared.lock();
            if group.state() != ConnectionState::Establishing {
                return Poll::Ready(());
            }
            group.wait(&mut place, context.waker());
            Poll::Pending
        })
        .await;
    }

    /// Whether anybody listens to what the race decides.
    pub(crate) fn has_listeners(&self) -> bool {
        let shared = self.shared.upgrade();
        shared.is_some_and(|shared| shared.lock().has_listeners())
    }

    /// Passes a decision of the race on to whoever listens.
    pub(crate) fn tell(&self, event: &Event) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let mut group = shared.lock();
        if !group.has_listeners() {
            return;
        }
        if let EventKind::Waiting { reason } = &event.kind {
            group.emit(ConnectionEvent::Waiting(reason.clone()));
        }
        group.emit(ConnectionEvent::Race(event.clone()));
    }

    pub(crate) fn finish(
        &self,
        opened: crate::open::Opened,
        account: Account,
        recording: Option<Box<Recording>>,
    ) {
        if let Some(shared) = self.shared.upgrade() {
            let race = shared.context.remember(account);
            shared.install(LinkStart::from(opened), Some(race), recording);
        }
    }

    pub(crate) fn fail(&self, failure: Failure, report: Option<Report>) {
        if let Some(shared) = self.shared.upgrade() {
            let race = report.map(|report| shared.context.remember(report.into()));
            let mut group = shared.lock();
            group.keep_race(race);
            group.end(Ending::Failed(failure));
        }
    }
}

/// A race that is dropped by its runtime ends the connection that waits for it.
impl Drop for Establishing {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            let mut group = shared.lock();
            if group.state() == ConnectionState::Establishing {
                group.end(Ending::Failed(abandoned()));
            }
        }
    }
}

fn abandoned() -> Failure {
    Failure::new(
        Origin::Local,
        FailureKind::Cancelled,
        "the connection was dropped",
    )
}
