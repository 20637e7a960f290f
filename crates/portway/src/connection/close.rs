//! Closing and aborting (RFC 9622 §10).
//!
//! Invariant: `close` is Ok only when the peer's system has acknowledged everything that was
//! accepted, the end of the stream included.

use super::Connection;
use super::group::{Ending, Group, Sending, runtime_gone};
use super::link::Link;
use super::shared::Shared;
use super::waiters::Waiter;
use super::writer;
use crate::error::{CloseError, SendError};
use portway_core::property::ConnectionState;
use portway_core::{Failure, FailureKind, Origin};
use portway_transport::environment::TcpStream;
use portway_transport::failure_map::failure_from_io;
use portway_transport::listen::sleep;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

impl Connection {
    /// Ends the connection in an orderly way: sends what was accepted, then the end of the
    /// stream, and waits until the peer has acknowledged all of it. `connTimeout` bounds the
    /// wait; without one it lasts as long as the peer goes on to acknowledge something, see
    /// [`ConnectionLimits::linger`](crate::ConnectionLimits::linger).
    ///
    /// Over UDP nothing is acknowledged, so this waits for the system to take the datagrams.
    ///
    /// Cancel safety: closing goes on when the future is dropped; a second call waits for the
    /// same end.
    ///
    /// # Errors
    /// Not everything was acknowledged.
    pub async fn close(&self) -> Result<(), CloseError> {
        let shared = self.shared();
        start_closing(shared);
        let mut waiter = Waiter::of(shared);
        poll_fn(|context| {
            let mut group = shared.lock();
            match group.ending() {
                Some(Ending::Closed) => Poll::Ready(Ok(())),
                Some(Ending::CloseTimedOut { unacknowledged }) => {
                    Poll::Ready(Err(CloseError::TimedOut { unacknowledged }))
                }
                Some(Ending::Failed(failure)) => Poll::Ready(Err(CloseError::Failed(failure))),
                None => {
                    group.wait(&mut waiter.place, context.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Ends the sending direction after everything that was accepted; the peer sees the end of
    /// the stream, and receiving goes on. Ready when the end is with the system.
    ///
    /// Cancel safety: the direction ends all the same.
    ///
    /// # Errors
    /// The connection failed or was closed before.
    pub async fn end_sending(&self) -> Result<(), SendError> {
        let shared = self.shared();
        {
            let mut group = shared.lock();
            group.outbound.is_end_asked = true;
            group.pump(shared.now());
            writer::start_if_needed(shared, &mut group);
        }
        let mut waiter = Waiter::of(shared);
        poll_fn(|context| {
            let mut group = shared.lock();
            match group.ending() {
                _ if group.is_sent_to_the_end() => Poll::Ready(Ok(())),
                Some(_) => Poll::Ready(Err(SendError::Closed(group.ending_failure()))),
                None => {
                    group.wait(&mut waiter.place, context.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Ends the connection at once. What was accepted and not sent is lost; over TCP the peer
    /// sees a reset.
    pub fn abort(&self) {
        let mut group = self.shared().lock();
        group.reset();
        group.end(Ending::Failed(Failure::new(
            Origin::Local,
            FailureKind::Cancelled,
            "the connection was aborted here",
        )));
    }
}

pub(super) fn start_closing(shared: &Arc<Shared>) {
    let mut group = shared.lock();
    match group.state() {
        ConnectionState::Closed => return,
        ConnectionState::Establishing => {
            group.end(Ending::Failed(Failure::new(
                Origin::Local,
                FailureKind::Cancelled,
                "the connection was closed before it was established",
            )));
            return;
        }
        ConnectionState::Established | ConnectionState::Closing => {}
    }
    group.begin_closing();
    group.pump(shared.now());
    writer::start_if_needed(shared, &mut group);
    if group.has_closer {
        return;
    }
    group.has_closer = true;
    drop(group);
    shared
        .context
        .environment()
        .spawn(Box::pin(run(Closer(shared.clone()))));
}

/// Ends a connection whose closing task is dropped by its runtime.
struct Closer(Arc<Shared>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.lock().end(Ending::Failed(runtime_gone()));
    }
}

async fn run(closer: Closer) {
    let shared = &closer.0;
    let timeout = shared.lock().details.properties.conn_timeout();
    let closing = deliver(shared);
    let ending = tokio::select! {
        biased;
        ending = closing => ending,
        () = too_long(shared, timeout) => timed_out(shared),
    };
    let mut group = shared.lock();
    if matches!(ending, Ending::CloseTimedOut { .. }) {
        group.reset();
    }
    group.end(ending);
}

/// Waits until the closing has taken too long.
async fn too_long(shared: &Shared, timeout: Option<Duration>) {
    if let Some(timeout) = timeout {
        return sleep(&shared.context, timeout).await;
    }
    let linger = shared.lock().details.limits.linger;
    let mut before = progress(shared);
    loop {
        sleep(&shared.context, linger).await;
        let now = progress(shared);
        if now.0 == before.0 && now.1 >= before.1 {
            return;
        }
        before = now;
    }
}

/// How far a closing is: the last words add to what is left.
fn progress(shared: &Shared) -> (Sending, usize) {
    let group = shared.lock();
    let left = in_flight(&group) + group.outbound.left_bytes();
    (group.sending, left)
}

fn in_flight(group: &Group) -> usize {
    match &group.link {
        Some(Link::Bytes(link)) => link.socket.unacknowledged().unwrap_or(0),
        _ => 0,
    }
}

fn timed_out(shared: &Shared) -> Ending {
    let group = shared.lock();
    Ending::CloseTimedOut {
        unacknowledged: in_flight(&group) + group.outbound.queue.queued_bytes(),
    }
}

/// Sends everything and the end of the stream, and waits for the acknowledgement.
async fn deliver(shared: &Arc<Shared>) -> Ending {
    let mut waiter = Waiter::of(shared);
    let socket = poll_fn(|context| {
        let mut group = shared.lock();
        if group.is_flushed() && group.sending == Sending::Open {
            group.finish_sending();
            group.pump(shared.now());
            writer::start_if_needed(shared, &mut group);
        }
        if let Some(ending) = group.ending() {
            return Poll::Ready(Err(ending));
        }
        if group.is_flushed() && group.is_sent_to_the_end() {
            return Poll::Ready(match &group.link {
                Some(Link::Bytes(link)) => Ok(link.socket.clone()),
                _ => Err(Ending::Closed),
            });
        }
        group.wait(&mut waiter.place, context.waker());
        Poll::Pending
    })
    .await;
    match socket {
        Ok(socket) => acknowledged(shared, &*socket).await,
        Err(ending) => ending,
    }
}

/// The system does not wake anybody when an acknowledgement comes, so it is asked, ever less
/// often.
async fn acknowledged(shared: &Arc<Shared>, socket: &dyn TcpStream) -> Ending {
    let mut interval = ACKNOWLEDGEMENT_INTERVAL_MIN;
    loop {
        let failed = |error: &std::io::Error| {
            let mut group = shared.lock();
            group.end_by(failure_from_io(
                error,
                "the peer did not acknowledge everything",
            ));
            group.ending().unwrap_or(Ending::Closed)
        };
        if let Some(error) = socket.take_error() {
            return failed(&error);
        }
        match socket.unacknowledged() {
            Ok(0) => return Ending::Closed,
            Ok(_) => {}
            Err(error) => return failed(&error),
        }
        if let Some(ending) = shared.lock().ending() {
            return ending;
        }
        tokio::select! {
            biased;
            () = poll_fn(|context| socket.poll_acknowledged(context)) => {}
            () = sleep(&shared.context, interval) => {}
        }
        interval = (interval * 2).min(ACKNOWLEDGEMENT_INTERVAL_MAX);
    }
}

const ACKNOWLEDGEMENT_INTERVAL_MIN: Duration = Duration::from_micros(250);
const ACKNOWLEDGEMENT_INTERVAL_MAX: Duration = Duration::from_millis(100);
