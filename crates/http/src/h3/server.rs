//! The server's end of a connection.
//!
//! Invariant: a request is handed out once, after its header section, in the order in which those
//! were complete.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use portway_h3::error::{Code, ConnectionError};
use portway_h3::message::RequestHead;
use portway_h3::settings::Settings;
use portway_h3::{Role, SendError, StreamId};
use portway_transport::quic::{self, Hosted, Place};

use super::accepted::{Incoming, Responder};
use super::body::ReceiveBody;
use super::engine::{Ahead, Engine};
use super::half::{ReceiveHalf, SendHalf};
use super::options::{NotAttached, Options};
use super::statistics::Statistics;
use super::watching::Watching;

/// The server's end of an HTTP/3 connection.
///
/// Dropping it refuses all requests that were not accepted; those that were go on, and the
/// connection ends when the client has got the last response.
pub struct ServerConnection {
    hosted: Hosted<Engine>,
}

impl ServerConnection {
    /// Begins HTTP/3 on a QUIC connection, whose streams and datagrams it takes for itself. Its
    /// application protocol must have been agreed on as `h3`.
    ///
    /// # Errors
    /// It is the client's end, or a protocol runs there already.
    pub fn new(connection: &quic::Connection, options: &Options) -> Result<Self, NotAttached> {
        let hosted = Engine::attach(connection, options, Role::Server)?;
        Ok(ServerConnection { hosted })
    }

    /// The next request, as soon as its header section is complete; `None` when no more will come,
    /// since the connection was shut down or closed in good order.
    ///
    /// Cancel safety: no request is lost when the future is dropped.
    ///
    /// # Errors
    /// Why the connection failed, each time it is asked.
    pub fn accept(&self) -> impl Future<Output = Result<Option<Incoming>, ConnectionError>> {
        Accepting {
            hosted: &self.hosted,
            place: None,
        }
    }

    /// Whether [`ServerConnection::accept`] has a request now.
    #[cfg(feature = "server")]
    pub(crate) fn has_waiting(&self) -> bool {
        self.hosted.with(|engine, _| engine.has_waiting())
    }

    /// Ends the connection in good order (RFC 9114 §5.2): tells the client to send no more
    /// requests, takes those that are on their way for about a round trip, refuses later ones,
    /// and closes the connection when every accepted request was answered and the answers have
    /// arrived. Meanwhile [`ServerConnection::accept`] goes on and gives `None` at the end.
    ///
    /// Cancel safety: the shutdown stays at the phase that it is in; calling again goes on.
    pub async fn shutdown(&self) {
        let rtt = self.hosted.with(|engine, host| {
            engine.http.shutdown();
            engine.flush(host);
            host.rtt()
        });
        self.quic().sleep(rtt + rtt / 2).await;
        self.hosted.with(|engine, host| {
            engine.http.finish_shutdown();
            engine.flush(host);
        });
        Watching::new(&self.hosted, |engine, host| {
            let is_done = engine.is_drained() && engine.is_acknowledged(host);
            (engine.closed().is_some() || is_done).then_some(())
        })
        .await;
        self.close(Code::H3_NO_ERROR, "shut down");
    }

    /// The settings of the client, once they arrived.
    pub fn peer_settings(&self) -> Option<Settings> {
        self.hosted
            .with(|engine, _| engine.http.peer_settings().cloned())
    }

    /// Tells the client which origins the server speaks for (RFC 9412).
    ///
    /// # Errors
    /// Nothing was told.
    pub fn send_origins(&self, origins: &[&str]) -> Result<(), SendError> {
        self.hosted.with(|engine, host| {
            let sent = engine.http.send_origins(origins);
            engine.flush(host);
            sent
        })
    }

    /// How many pushes the client takes now.
    pub fn pushes_available(&self) -> u64 {
        self.hosted.with(|engine, _| engine.http.pushes_available())
    }

    /// What was counted so far.
    pub fn statistics(&self) -> Statistics {
        let quic = self.quic().statistics();
        self.hosted.with(|engine, _| Statistics::new(engine, quic))
    }

    /// Why the connection is over, if it is.
    pub fn error(&self) -> Option<ConnectionError> {
        self.hosted.with(|engine, _| engine.closed())
    }

    /// How many requests were accepted and are not complete.
    pub fn in_flight(&self) -> usize {
        self.hosted.with(|engine, _| engine.held())
    }

    /// Closes the connection at once; what is in flight fails.
    pub fn close(&self, code: Code, reason: &'static str) {
        self.hosted
            .with(|engine, host| engine.close(code, reason, host));
    }

    /// The QUIC connection below.
    pub fn quic(&self) -> quic::Connection {
        self.hosted.connection()
    }
}

impl Drop for ServerConnection {
    fn drop(&mut self) {
        self.hosted.with(|engine, host| engine.abandon(host));
    }
}

impl std::fmt::Debug for ServerConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerConnection")
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// Waits for a request.
struct Accepting<'a> {
    hosted: &'a Hosted<Engine>,
    place: Place,
}

impl Future for Accepting<'_> {
    type Output = Result<Option<Incoming>, ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let hosted = this.hosted;
        let place = &mut this.place;
        let next = hosted.with(|engine, host| {
            if let Some(accepted) = engine.accept(host) {
                // It waits for nothing any more.
                if place.is_some() {
                    engine.accepting.forget(place.take());
                }
                return Poll::Ready(Ok(Some(accepted)));
            }
            match engine.closed() {
                Some(error) if !error.is_graceful() => return Poll::Ready(Err(error)),
                Some(_) => return Poll::Ready(Ok(None)),
                None if engine.is_drained() => return Poll::Ready(Ok(None)),
                None => {}
            }
            engine.accepting.keep(place, context.waker());
            Poll::Pending
        });
        match next {
            // Made where it goes, since a request is large.
            Poll::Ready(Ok(Some(accepted))) => Poll::Ready(Ok(Some(incoming(hosted, accepted)))),
            Poll::Ready(Ok(None)) => Poll::Ready(Ok(None)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Accepting<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.hosted
                .with(|engine, _| engine.accepting.forget(self.place));
        }
    }
}

/// A request and what came with it, for the handles that are made without the lock.
pub(super) struct Accepted {
    pub(super) stream: StreamId,
    pub(super) head: Arc<RequestHead>,
    pub(super) ahead: Ahead,
}

#[inline]
fn incoming(hosted: &Hosted<Engine>, accepted: Accepted) -> Incoming {
    let Accepted {
        stream,
        head,
        ahead,
    } = accepted;
    // RFC 9114 §4.1: a server that does not need the rest of a request says no error.
    let mut receive = ReceiveHalf::new(hosted.clone(), stream, Code::H3_NO_ERROR);
    receive.begin_with(ahead);
    let body = ReceiveBody::new(receive, &head.headers);
    Incoming {
        request: head.shared_with_body(body),
        responder: Responder::new(SendHalf::new(hosted.clone(), stream)),
    }
}
