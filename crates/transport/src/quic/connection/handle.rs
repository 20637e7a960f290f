//! The application's handle of a connection.
//!
//! Invariant: a clone is another handle; the connection is closed with its default code when the
//! last handle, those of its streams included, is dropped and finished streams were acknowledged.

use super::{ConnectionRef, ConnectionShared, EarlyData, Phase};
use crate::quic::waiting::Place;
use crate::quic::{ConnectionError, DatagramError, Side, VarInt};
use crate::tls::QuicHandshake;
use bytes::Bytes;
use portway_core::security::Protection;
use quinn_proto::SendDatagramError;
use rustls_pki_types::CertificateDer;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A QUIC connection.
///
/// Dropping the last handle, those of its streams included, loses nothing that was written: each
/// unfinished stream is finished, the endpoint goes on until the peer has acknowledged everything,
/// for at most [`Times::linger`](crate::quic::Times::linger), and closes the connection then with
/// [`DefaultCodes::close`](crate::quic::DefaultCodes::close). Whether it worked is known only to
/// those who wait for [`SendStream::writes_closed`](crate::quic::SendStream::writes_closed). What
/// the peer sends meanwhile is not kept. The runtime has to live as long.
#[derive(Clone)]
pub struct Connection(Arc<ConnectionRef>);

impl Connection {
    pub(in crate::quic) fn new(reference: ConnectionRef) -> Self {
        Connection(Arc::new(reference))
    }

    pub(in crate::quic) fn from_reference(reference: Arc<ConnectionRef>) -> Self {
        Connection(reference)
    }

    pub(in crate::quic) fn shared(&self) -> &Arc<ConnectionShared> {
        &self.0.0
    }

    pub(in crate::quic) fn reference(&self) -> Arc<ConnectionRef> {
        Arc::clone(&self.0)
    }

    /// Closes the connection at once. What the peer has not acknowledged yet may be lost: finish
    /// the streams and wait for [`SendStream::writes_closed`](crate::quic::SendStream) first, or
    /// drop all handles instead.
    /// A connection that has ended stays as it is.
    pub fn close(&self, code: VarInt, reason: &[u8]) {
        let now = self.shared().endpoint.clock.now();
        let reason = Bytes::copy_from_slice(reason);
        self.shared()
            .act_and_wake(|state, wakers| state.close(now, code, reason, wakers));
    }

    /// Resolves when the connection has ended, with who ended it and why.
    pub async fn closed(&self) -> ConnectionError {
        Closed {
            connection: self,
            place: None,
        }
        .await
    }

    /// Why the connection has ended, if it has.
    pub fn error(&self) -> Option<ConnectionError> {
        self.shared().lock().error().cloned()
    }

    /// Which end this is.
    pub fn side(&self) -> Side {
        match self.shared().lock().proto.side() {
            quinn_proto::Side::Client => Side::Client,
            quinn_proto::Side::Server => Side::Server,
        }
    }

    /// The peer's address, which may change when the peer moves.
    pub fn remote_address(&self) -> SocketAddr {
        self.shared().lock().proto.remote_address()
    }

    /// The local address that the client has connected to; known on the accepting side when the
    /// system tells.
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.shared().lock().local_ip()
    }

    /// The application protocol that both sides agreed on.
    pub fn alpn(&self) -> Option<Vec<u8>> {
        self.handshake()?.alpn
    }

    /// The name that the client asked for.
    pub fn server_name(&self) -> Option<String> {
        self.handshake()?.server_name
    }

    /// The peer's certificates, its own first.
    pub fn peer_certificates(&self) -> Option<Vec<CertificateDer<'static>>> {
        let state = self.shared().lock();
        let identity = state.proto.crypto_session().peer_identity()?;
        identity.downcast().ok().map(|chain| *chain)
    }

    /// What was negotiated, once the handshake is complete.
    pub fn protection(&self) -> Option<Protection> {
        self.handshake()?.protection
    }

    /// What TLS knows.
    pub(crate) fn handshake(&self) -> Option<QuicHandshake> {
        QuicHandshake::of(self.shared().lock().proto.crypto_session())
    }

    /// Resolves when the handshake has ended. A connection that was accepted or awaited has done
    /// that; one for early data may still have to.
    pub async fn handshake_confirmed(&self) -> Result<(), ConnectionError> {
        Handshake {
            connection: self,
            place: None,
        }
        .await
    }

    /// Whether early data can be sent, or was sent before the handshake ended.
    pub fn may_send_early_data(&self) -> bool {
        let state = self.shared().lock();
        state.proto.side().is_client() && state.proto.has_0rtt()
    }

    /// Whether the server has taken early data, once the handshake has ended; `None` before, and
    /// when none was sent.
    pub fn is_early_data_accepted(&self) -> Option<bool> {
        match self.shared().lock().early {
            EarlyData::Open => None,
            EarlyData::Accepted => Some(true),
            EarlyData::Rejected => Some(false),
        }
    }

    /// The smoothed round-trip time.
    pub fn rtt(&self) -> Duration {
        self.shared().lock().proto.rtt()
    }

    /// Bytes of all streams together that may wait here to be read now.
    pub fn receive_window(&self) -> u32 {
        self.shared().lock().window.bytes()
    }

    /// Lets so many bytes of all streams together wait here to be read from now on, if that is more
    /// than now: for streams that nobody may read while others go on. Then only each stream's own
    /// window, and how many there are, bound what the peer makes this side hold.
    pub fn raise_receive_window(&self, bytes: u32) {
        self.shared().act(|state| {
            if state.window.raise(bytes) {
                state.proto.set_receive_window(bytes.into());
                state.touch();
            }
        });
    }

    /// What was counted so far.
    pub fn statistics(&self) -> Statistics {
        let state = self.shared().lock();
        Statistics {
            // That of the statistics is zero while it is held for a burst.
            congestion_window: state.proto.congestion_state().metrics().congestion_window,
            ..state.proto.stats().into()
        }
    }

    /// Resolves after `time` on the clock that the connection runs by.
    pub async fn sleep(&self, time: Duration) {
        let environment = &self.shared().endpoint.environment;
        let mut timer = environment.timer();
        timer.reset(Some(environment.now() + time));
        std::future::poll_fn(|context| timer.poll_expired(context)).await;
    }

    /// Changes the keys now rather than when they are used up.
    pub fn force_key_update(&self) {
        self.shared().act(|state| {
            state.proto.force_key_update();
            state.proto.ping();
            state.touch();
        });
    }

    /// Sends something that the peer acknowledges.
    pub fn ping(&self) {
        self.shared().act(|state| {
            state.proto.ping();
            state.touch();
        });
    }

    /// How many streams of this kind the peer may have open from now on.
    pub fn set_streams_max(&self, kind: crate::quic::StreamKind, max: u32) {
        self.shared().act(|state| {
            let kind = kind.proto();
            state.proto.set_max_concurrent_streams(kind, max.into());
            state.streams.may_come |= max > 0;
            state.touch();
        });
    }

    /// The most bytes that a datagram can have now; `None` when the peer takes none.
    pub fn datagram_size_max(&self) -> Option<usize> {
        self.shared().lock().proto.datagrams().max_size()
    }

    /// Queues a datagram when there is room.
    ///
    /// # Errors
    /// [`DatagramError::Blocked`] when there is none.
    pub fn try_send_datagram(&self, data: Bytes) -> Result<(), DatagramError> {
        self.queue_datagram(data).map_err(|(error, _)| error)
    }

    /// Queues a datagram; what there is no room for comes back.
    fn queue_datagram(&self, data: Bytes) -> Result<(), (DatagramError, Bytes)> {
        self.shared().act(|state| {
            if let Some(error) = state.error() {
                return Err((error.clone().into(), data));
            }
            let mut datagrams = state.proto.datagrams();
            if let Err(error) = datagrams.send(data, false) {
                return Err(match error {
                    SendDatagramError::UnsupportedByPeer => {
                        (DatagramError::UnsupportedByPeer, Bytes::new())
                    }
                    SendDatagramError::Disabled => (DatagramError::Disabled, Bytes::new()),
                    SendDatagramError::TooLarge => {
                        let max = datagrams.max_size().unwrap_or(0);
                        (DatagramError::TooLarge { max }, Bytes::new())
                    }
                    SendDatagramError::Blocked(data) => (DatagramError::Blocked, data),
                });
            }
            state.datagrams.queued += 1;
            state.touch();
            Ok(())
        })
    }

    /// Queues a datagram, waiting for room. It may be lost on the way.
    pub async fn send_datagram(&self, data: Bytes) -> Result<(), DatagramError> {
        SendDatagram {
            connection: self,
            data,
            place: None,
        }
        .await
    }

    /// The next datagram of the peer. Losing the future loses no datagram.
    pub async fn receive_datagram(&self) -> Result<Bytes, ConnectionError> {
        ReceiveDatagram {
            connection: self,
            place: None,
        }
        .await
    }

    /// As [`Connection::receive_datagram`]. Only the last waker is kept.
    pub fn poll_receive_datagram(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Bytes, ConnectionError>> {
        self.shared().act(|state| {
            if let Some(datagram) = state.proto.datagrams().recv() {
                return Poll::Ready(Ok(datagram));
            }
            if let Some(error) = state.error() {
                return Poll::Ready(Err(error.clone()));
            }
            state.datagrams.receiving.keep_polled(context.waker());
            Poll::Pending
        })
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("remote_address", &self.remote_address())
            .finish_non_exhaustive()
    }
}

/// What was counted on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// UDP datagrams sent.
    pub datagrams_sent: u64,
    /// UDP datagrams received.
    pub datagrams_received: u64,
    /// Bytes in UDP datagrams sent.
    pub bytes_sent: u64,
    /// Bytes in UDP datagrams received.
    pub bytes_received: u64,
    /// Packets that were lost.
    pub packets_lost: u64,
    /// How often the sending rate was reduced.
    pub congestion_events: u64,
    /// The congestion window in bytes.
    pub congestion_window: u64,
    /// The smoothed round-trip time.
    pub rtt: Duration,
    /// The smallest round-trip time.
    pub rtt_min: Duration,
    /// The largest UDP payload in bytes that the path is known to carry.
    pub mtu: u16,
    /// How often the path has stopped to carry large packets.
    pub black_holes: u64,
}

impl From<quinn_proto::ConnectionStats> for Statistics {
    fn from(stats: quinn_proto::ConnectionStats) -> Self {
        Statistics {
            datagrams_sent: stats.udp_tx.datagrams,
            datagrams_received: stats.udp_rx.datagrams,
            bytes_sent: stats.udp_tx.bytes,
            bytes_received: stats.udp_rx.bytes,
            packets_lost: stats.path.lost_packets,
            congestion_events: stats.path.congestion_events,
            congestion_window: stats.path.cwnd,
            rtt: stats.path.rtt,
            rtt_min: stats.path.min_rtt,
            mtu: stats.path.current_mtu,
            black_holes: stats.path.black_holes_detected,
        }
    }
}

/// Waits for the connection's end.
struct Closed<'a> {
    connection: &'a Connection,
    place: Place,
}

impl Future for Closed<'_> {
    type Output = ConnectionError;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<ConnectionError> {
        let this = &mut *self;
        let place = &mut this.place;
        this.connection.shared().act(|state| match state.error() {
            Some(error) => Poll::Ready(error.clone()),
            None => {
                state.lifecycle.keep(place, context.waker());
                Poll::Pending
            }
        })
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.connection
                .shared()
                .act(|state| state.lifecycle.forget(self.place));
        }
    }
}

/// Waits for the handshake's end.
struct Handshake<'a> {
    connection: &'a Connection,
    place: Place,
}

impl Future for Handshake<'_> {
    type Output = Result<(), ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let place = &mut this.place;
        this.connection.shared().act(|state| match &state.phase {
            Phase::Closed(error) => Poll::Ready(Err(error.clone())),
            Phase::Established => Poll::Ready(Ok(())),
            Phase::Handshaking => {
                state.lifecycle.keep(place, context.waker());
                Poll::Pending
            }
        })
    }
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.connection
                .shared()
                .act(|state| state.lifecycle.forget(self.place));
        }
    }
}

/// Waits for room for a datagram.
struct SendDatagram<'a> {
    connection: &'a Connection,
    data: Bytes,
    place: Place,
}

impl Future for SendDatagram<'_> {
    type Output = Result<(), DatagramError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this
            .connection
            .queue_datagram(std::mem::take(&mut this.data))
        {
            Ok(()) => return Poll::Ready(Ok(())),
            Err((DatagramError::Blocked, data)) => this.data = data,
            Err((error, _)) => return Poll::Ready(Err(error)),
        }
        let place = &mut this.place;
        // Between the attempt and here room may have come: the driver works meanwhile.
        let is_still_full = this.connection.shared().act(|state| {
            let space = state.proto.datagrams().send_buffer_space();
            let is_full = space < this.data.len() && state.error().is_none();
            if is_full {
                state.datagrams.sending.keep(place, context.waker());
            }
            is_full
        });
        if !is_still_full {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for SendDatagram<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.connection
                .shared()
                .act(|state| state.datagrams.sending.forget(self.place));
        }
    }
}

/// Waits for a datagram.
struct ReceiveDatagram<'a> {
    connection: &'a Connection,
    place: Place,
}

impl Future for ReceiveDatagram<'_> {
    type Output = Result<Bytes, ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let place = &mut this.place;
        this.connection.shared().act(|state| {
            if let Some(datagram) = state.proto.datagrams().recv() {
                return Poll::Ready(Ok(datagram));
            }
            if let Some(error) = state.error() {
                return Poll::Ready(Err(error.clone()));
            }
            state.datagrams.receiving.keep(place, context.waker());
            Poll::Pending
        })
    }
}

impl Drop for ReceiveDatagram<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.connection
                .shared()
                .act(|state| state.datagrams.receiving.forget(self.place));
        }
    }
}
