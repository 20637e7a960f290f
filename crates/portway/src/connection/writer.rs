//! The task of a group that writes when the carrier was full, the only one that waits for it,
//! and that tells of messages whose lifetime ends while they wait.
//!
//! Invariant: the task keeps the connection alive only while something accepted is not written,
//! so nothing accepted is lost and nothing idle is held.

use super::group::{Ending, Group, Writer, runtime_gone};
use super::link::Link;
use super::outbound::Flush;
use super::shared::Shared;
use portway_core::property::ConnectionState;
use portway_transport::environment::Timer;
use portway_transport::failure_map::failure_from_io;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

/// Starts the task, or wakes it, if the carrier blocks or a queued message can expire.
pub(super) fn start_if_needed(shared: &Arc<Shared>, group: &mut Group) {
    let next_expiry = group.outbound.queue.next_expiry();
    if group.writer == Writer::Anybody && next_expiry.is_none() {
        return;
    }
    if group.writer_task.exists {
        let armed_for = group.writer_task.armed_for;
        if next_expiry.is_some_and(|next| armed_for.is_none_or(|armed| next < armed)) {
            group.writer_task.wake();
        }
        return;
    }
    group.writer_task.exists = true;
    let weak = Arc::downgrade(shared);
    let environment = shared.context.environment();
    environment.spawn(Box::pin(run(weak, environment.timer())));
}

async fn run(weak: Weak<Shared>, mut timer: Box<dyn Timer>) {
    let _running = Running(weak.clone());
    while let Some(shared) = poll_fn(|context| poll_parked(&weak, &mut *timer, context)).await {
        poll_fn(|context| poll_writing(&shared, &mut *timer, context)).await;
    }
}

/// Tells the group that its task is gone. Made by the task itself when it runs first: a task that
/// a runtime refuses is dropped at once, by who holds the lock.
struct Running(Weak<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        let Some(shared) = self.0.upgrade() else {
            return;
        };
        let mut group = shared.lock();
        group.writer_task.exists = false;
        if group.writer == Writer::Task {
            group.end(Ending::Failed(runtime_gone()));
        }
    }
}

/// Waits for work; `None` when the connection is gone or at its end.
fn poll_parked(
    weak: &Weak<Shared>,
    timer: &mut dyn Timer,
    context: &mut Context<'_>,
) -> Poll<Option<Arc<Shared>>> {
    loop {
        let Some(shared) = weak.upgrade() else {
            return Poll::Ready(None);
        };
        let mut group = shared.lock();
        if group.state() == ConnectionState::Closed {
            return Poll::Ready(None);
        }
        if group.writer == Writer::Task {
            drop(group);
            return Poll::Ready(Some(shared));
        }
        ready!(poll_expiry(&shared, &mut group, timer, context));
    }
}

/// Expires what is due; ready when something was, and else waits for the next.
fn poll_expiry(
    shared: &Shared,
    group: &mut Group,
    timer: &mut dyn Timer,
    context: &mut Context<'_>,
) -> Poll<()> {
    let now = shared.now();
    let next_expiry = group.outbound.queue.next_expiry();
    let given_up = group.linger_deadline(now);
    timer.reset(next_expiry.into_iter().chain(given_up).min());
    if timer.poll_expired(context).is_ready() {
        match given_up {
            Some(deadline) if deadline <= now => group.give_up(),
            _ => group.expire(now),
        }
        return Poll::Ready(());
    }
    group.writer_task.armed_for = next_expiry;
    group.writer_task.waker = Some(context.waker().clone());
    Poll::Pending
}

/// Writes until nothing is left to write.
fn poll_writing(
    shared: &Arc<Shared>,
    timer: &mut dyn Timer,
    context: &mut Context<'_>,
) -> Poll<()> {
    let mut group = shared.lock();
    loop {
        let now = shared.now();
        if group.write(now) == Flush::Done {
            if group.is_orphaned() && !group.has_closer && group.is_flushed() {
                group.finish_sending();
                if group.write(now) == Flush::Blocked {
                    continue;
                }
                group.end(Ending::Closed);
            }
            group.rest_writer();
            return Poll::Ready(());
        }
        let writable = match &group.link {
            Some(Link::Bytes(link)) => link.socket.poll_writable(context),
            Some(Link::Datagrams(link)) => link.socket.poll_writable(context),
            None => Poll::Ready(Ok(())),
        };
        match writable {
            Poll::Ready(Ok(())) => {}
            // Only a carrier whose runtime is gone fails here, and it never recovers.
            Poll::Ready(Err(error)) => group.end_by(failure_from_io(&error, "cannot send")),
            Poll::Pending => ready!(poll_expiry(shared, &mut group, timer, context)),
        }
    }
}
