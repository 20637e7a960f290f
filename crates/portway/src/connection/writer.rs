//! The task of a group that writes when the carrier was full, the only one that waits for it.
//!
//! Invariant: the task keeps the connection alive only while something accepted is not written,
//! so nothing accepted is lost and nothing idle is held.

use super::group::{Ending, Group, Writer};
use super::link::Link;
use super::outbound::Flush;
use super::shared::Shared;
use portway_core::property::ConnectionState;
use portway_transport::environment::Timer;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

/// Starts the task if the carrier blocks and there is none.
pub(super) fn start_if_needed(shared: &Arc<Shared>, group: &mut Group) {
    if !matches!(group.writer, Writer::Working) || group.has_writer_task {
        return;
    }
    group.has_writer_task = true;
    let weak = Arc::downgrade(shared);
    let environment = shared.context.environment();
    environment.spawn(Box::pin(run(weak, environment.timer())));
}

async fn run(weak: Weak<Shared>, mut timer: Box<dyn Timer>) {
    while let Some(shared) = poll_fn(|context| poll_parked(&weak, context)).await {
        poll_fn(|context| poll_writing(&shared, &mut *timer, context)).await;
    }
}

/// Waits for work; `None` when the connection is gone or at its end.
fn poll_parked(weak: &Weak<Shared>, context: &mut Context<'_>) -> Poll<Option<Arc<Shared>>> {
    let Some(shared) = weak.upgrade() else {
        return Poll::Ready(None);
    };
    let mut group = shared.lock();
    if group.state() == ConnectionState::Closed {
        return Poll::Ready(None);
    }
    if matches!(group.writer, Writer::Working) {
        drop(group);
        return Poll::Ready(Some(shared));
    }
    group.writer = Writer::Parked(context.waker().clone());
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
        let flush = group.write(now);
        if flush == Flush::Done {
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
        timer.reset(group.outbound.queue.next_expiry());
        let is_expired = timer.poll_expired(context).is_ready();
        let writable = match &group.link {
            Some(Link::Bytes(link)) => link.socket.poll_writable(context),
            Some(Link::Datagrams(link)) => link.socket.poll_writable(context),
            None => Poll::Ready(Ok(())),
        };
        if writable.is_pending() && !is_expired {
            return Poll::Pending;
        }
        if is_expired {
            group.outbound.queue.expire(now);
            group.outbound.complete();
            group.wake_waiters();
            if writable.is_pending() {
                continue;
            }
        }
    }
}
