//! The part of a server that runs on one thread: its sockets and how connections are accepted.
//!
//! Invariant: a connection that the system has accepted is served, or told in an event why not;
//! while there is no place, each who accepts has one connection at most that waits for its place.

use super::event::{Event, Listener};
use super::meter::{Count, Meter};
use super::options::Options;
use super::steering::Steering;
use super::tcp::{aborted, sleep};
use super::{Phase, ServerService, http3, tcp};
use http::HeaderValue;
use portway_core::Failure;
use portway_transport::environment::{BoxFuture, Environment, TcpListener, TcpStream};
use portway_transport::failure_map::failure_from_io;
use portway_transport::quic::Endpoint;
use portway_transport::tls::TlsEngine;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// What the connections of one thread share.
pub(super) struct Shard {
    pub(super) environment: Arc<dyn Environment>,
    pub(super) options: Arc<Options>,
    pub(super) tls: Arc<TlsEngine>,
    pub(super) events: Listener,
    pub(super) phase: watch::Receiver<Phase>,
    /// One for each connection that may be.
    pub(super) places: Arc<Semaphore>,
    pub(super) in_flight: Arc<Count>,
    pub(super) alt_svc: Option<HeaderValue>,
    /// Nobody else would run a task meanwhile.
    pub(super) is_alone: bool,
    pub(super) steering: Steering,
}

impl Shard {
    /// Runs what answers a request: most are ready at once, and need no task then. A panic ends
    /// this and nothing else, as it would end a task.
    pub(super) fn begin(&self, answering: BoxFuture<()>) {
        let unready = match self.is_alone {
            true => poll_once(answering),
            false => Some(answering),
        };
        if let Some(answering) = unready {
            self.environment.spawn(answering);
        }
    }

    fn meter(&self, permit: OwnedSemaphorePermit) -> Arc<Meter> {
        let environment = Arc::clone(&self.environment);
        Meter::new(environment, Arc::clone(&self.in_flight), permit)
    }

    async fn place(&self) -> OwnedSemaphorePermit {
        let permit = Arc::clone(&self.places).acquire_owned().await;
        permit.expect("the semaphore is never closed")
    }

    /// Waits until there is a place, without taking it: it may be long until somebody comes, and
    /// others accept, too.
    async fn room(&self) {
        drop(self.place().await);
    }

    async fn place_unless_stopped(
        &self,
        phase: &mut watch::Receiver<Phase>,
    ) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            permit = self.place() => Some(permit),
            () = aborted(phase) => None,
        }
    }

    /// Serves what comes over TCP until the server drains.
    pub(super) async fn accept_tcp<S: ServerService>(
        self: Arc<Self>,
        listener: Box<dyn TcpListener>,
        service: S,
        _door: OwnedSemaphorePermit,
    ) {
        let mut phase = self.phase.clone();
        let mut wait = BACKOFF_MIN;
        let mut is_preferred = self.steering.begin(&*listener);
        loop {
            let accepting = async {
                self.room().await;
                poll_fn(|context| listener.poll_accept(context)).await
            };
            let socket = tokio::select! {
                biased;
                accepted = accepting => accepted,
                () = draining(&mut phase) => break,
            };
            match socket {
                Ok(socket) => {
                    wait = BACKOFF_MIN;
                    self.steering.on_accepted(&*listener, &mut is_preferred);
                    let Some(permit) = self.place_unless_stopped(&mut phase).await else {
                        return;
                    };
                    self.start_tcp(socket, &service, permit);
                }
                Err(error) => {
                    self.tell_accept_failed(failure_from_io(&error, "cannot accept a connection"));
                    // A lack of descriptors passes; meanwhile clients wait with the system.
                    tokio::select! {
                        biased;
                        () = sleep(&*self.environment, wait) => {}
                        () = draining(&mut phase) => break,
                    }
                    wait = (wait * 2).min(BACKOFF_MAX);
                }
            }
        }
        self.accept_rest(&*listener, service).await;
    }

    /// Serves those whom the system has accepted already: closing the listener would reset them.
    async fn accept_rest<S: ServerService>(
        self: &Arc<Self>,
        listener: &dyn TcpListener,
        service: S,
    ) {
        let mut phase = self.phase.clone();
        loop {
            let Some(permit) = self.place_unless_stopped(&mut phase).await else {
                return;
            };
            let accepted = poll_fn(|context| Poll::Ready(listener.poll_accept(context))).await;
            match accepted {
                Poll::Ready(Ok(socket)) => self.start_tcp(socket, &service, permit),
                _ => return,
            }
        }
    }

    fn start_tcp<S: ServerService>(
        self: &Arc<Self>,
        socket: Box<dyn TcpStream>,
        service: &S,
        permit: OwnedSemaphorePermit,
    ) {
        let meter = self.meter(permit);
        let serving = tcp::serve(Arc::clone(self), service.clone(), socket, meter);
        self.environment.spawn(Box::pin(serving));
    }

    fn tell_accept_failed(&self, failure: Failure) {
        self.events.tell(|| Event::AcceptFailed { failure });
    }

    /// Serves what comes over QUIC until the server drains.
    pub(super) async fn accept_quic<S: ServerService>(
        self: Arc<Self>,
        endpoint: Endpoint,
        service: S,
        _door: OwnedSemaphorePermit,
    ) {
        let mut phase = self.phase.clone();
        let local = endpoint.local_address();
        let mut is_draining = false;
        loop {
            let accepting = async {
                self.room().await;
                endpoint.accept().await
            };
            let accepted = tokio::select! {
                biased;
                accepted = accepting => accepted,
                () = draining(&mut phase), if !is_draining => {
                    is_draining = true;
                    // Connections that wait to be accepted still are; no new ones come.
                    let _ = endpoint.set_server_config(None);
                    continue;
                }
                () = std::future::ready(()), if is_draining => break,
            };
            match accepted {
                None => return,
                Some(Ok(connection)) => {
                    let Some(permit) = self.place_unless_stopped(&mut phase).await else {
                        return;
                    };
                    let meter = self.meter(permit);
                    let serving =
                        http3::serve(Arc::clone(&self), service.clone(), connection, local, meter);
                    self.environment.spawn(Box::pin(serving));
                }
                Some(Err(error)) => self.events.tell(|| Event::HandshakeFailed {
                    peer: Some(error.remote),
                    failure: error.cause.failure(),
                }),
            }
        }
    }
}

/// Gives a future back that is not ready. The task that takes it polls it again, with a waker of
/// its own.
fn poll_once(mut future: BoxFuture<()>) -> Option<BoxFuture<()>> {
    let poll = || {
        let mut context = Context::from_waker(Waker::noop());
        future.as_mut().poll(&mut context)
    };
    if let Ok(Poll::Pending) = catch_unwind(AssertUnwindSafe(poll)) {
        return Some(future);
    }
    // It may panic at its end, too.
    let _ = catch_unwind(AssertUnwindSafe(move || drop(future)));
    None
}

/// Resolves when the server drains or is stopped.
async fn draining(phase: &mut watch::Receiver<Phase>) {
    // The sender is gone only with the server.
    let _ = phase.wait_for(|phase| *phase != Phase::Serving).await;
}

/// Handlers that are ready at once take no task, and so the time of everybody else.
pub(super) const BEGUN_IN_A_ROW_MAX: u32 = 16;

const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;

    /// Panics when it is dropped.
    struct Faulty {
        panics_at_once: bool,
    }

    impl Future for Faulty {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            assert!(!self.panics_at_once, "a handler with a fault");
            Poll::Ready(())
        }
    }

    impl Drop for Faulty {
        fn drop(&mut self) {
            panic!("its end has a fault, too");
        }
    }

    #[test]
    fn what_panics_when_it_is_dropped_ends_itself_alone() {
        for panics_at_once in [false, true] {
            assert!(poll_once(Box::pin(Faulty { panics_at_once })).is_none());
        }
    }
}
