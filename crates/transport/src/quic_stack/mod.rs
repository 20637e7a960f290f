//! QUIC as stacks of the engine: streams as byte carriers, datagrams as a datagram carrier.
//!
//! Invariant: the transport connection outlives its last carrier until the peer's words are heard
//! out, for a bounded time, so that a close here does not cut off a close there.

mod connect;
mod crypto;
mod datagrams;
mod early;
mod keeper;
mod listen;
mod stream;

pub(crate) use connect::{Connect, connect};
pub(crate) use crypto::protection;
pub use early::EarlySend;
pub(crate) use listen::bind;

use crate::environment::{BoxFuture, Environment};
use crate::established::{ByteCarrier, DatagramCarrier};
use crate::quic::{Connection, ConnectionError, Endpoint, ReceiveStream, SendStream, StreamKind};
use bytes::Bytes;
use early::EarlyStream;
use keeper::Farewell;
use portway_core::Failure;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use stream::StreamSocket;
use tokio::sync::mpsc;

/// A QUIC connection from which carriers are made.
///
/// The transport connection is closed when this and all carriers that came of it are gone, and
/// the peer's streams have ended or were heard out for a moment.
pub struct QuicCarrier {
    connection: Connection,
    farewell: mpsc::UnboundedSender<Farewell>,
    local: SocketAddr,
    /// The stream that the server has taken as early data.
    early: Option<EarlyStream>,
    /// Whether a listener was asked for both streams and datagrams.
    pub(crate) takes_datagrams: bool,
}

impl QuicCarrier {
    /// Takes a connection of `endpoint` over.
    pub fn new(
        environment: &Arc<dyn Environment>,
        endpoint: &Endpoint,
        connection: Connection,
    ) -> Self {
        let farewell = keeper::keep(environment, connection.clone());
        let mut local = endpoint.local_address();
        if let Some(ip) = connection.local_ip() {
            local.set_ip(ip);
        }
        QuicCarrier {
            connection,
            farewell,
            local,
            early: None,
            takes_datagrams: false,
        }
    }

    /// The stream that [`EarlySend`] has opened, when the server has taken it, with what there was
    /// no room for. It is there once.
    pub fn take_early(&mut self) -> Option<(ByteCarrier, Bytes)> {
        let EarlyStream {
            send,
            receive,
            rest,
        } = self.early.take()?;
        Some((self.carrier(Some(send), receive), rest))
    }

    /// The connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The local address.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Opens a stream, waiting until the peer allows one. The peer learns of it by the first
    /// bytes, or by its end.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn open(&self, kind: StreamKind) -> Result<ByteCarrier, Failure> {
        let opened = match kind {
            StreamKind::Bidirectional => {
                let opened = self.connection.open_bi().await;
                opened.map(|(send, receive)| (Some(send), Some(receive)))
            }
            StreamKind::Unidirectional => {
                let opened = self.connection.open_uni().await;
                opened.map(|send| (Some(send), None))
            }
        };
        let (send, receive) = opened.map_err(|error| error.failure())?;
        Ok(self.carrier(send, receive))
    }

    /// The next stream that the peer opens, and its kind.
    ///
    /// Cancel safety: no stream is lost when the future is dropped.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn accept(&self) -> Result<(ByteCarrier, StreamKind), ConnectionError> {
        tokio::select! {
            biased;
            accepted = self.connection.accept_bi() => {
                let (send, receive) = accepted?;
                let carrier = self.accepted(Some(send), receive);
                Ok((carrier, StreamKind::Bidirectional))
            }
            accepted = self.connection.accept_uni() => {
                let carrier = self.accepted(None, accepted?);
                Ok((carrier, StreamKind::Unidirectional))
            }
        }
    }

    /// The peer's first datagram, where a listener was asked for both streams and datagrams;
    /// otherwise pending for ever.
    ///
    /// Cancel safety: no datagram is lost when the future is dropped.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn first_datagram(&self) -> Result<Bytes, ConnectionError> {
        match self.takes_datagrams {
            true => self.connection.receive_datagram().await,
            false => std::future::pending().await,
        }
    }

    /// The connection's datagrams. `first` is one that was received already.
    pub fn datagrams(&self, first: Option<Bytes>) -> DatagramCarrier {
        let socket = datagrams::DatagramSocket::new(
            self.connection.clone(),
            self.farewell.clone(),
            self.local,
            first,
        );
        DatagramCarrier {
            socket: Arc::new(socket),
            peer: self.connection.remote_address(),
        }
    }

    fn carrier(&self, send: Option<SendStream>, receive: Option<ReceiveStream>) -> ByteCarrier {
        Self::carrier_over(self.socket(send, receive))
    }

    /// The carrier of a stream that the peer has opened, maybe with early data.
    fn accepted(&self, send: Option<SendStream>, receive: ReceiveStream) -> ByteCarrier {
        let begins_early = receive.is_early_data();
        let mut socket = self.socket(send, Some(receive));
        socket.begins_early = begins_early;
        Self::carrier_over(socket)
    }

    fn socket(&self, send: Option<SendStream>, receive: Option<ReceiveStream>) -> StreamSocket {
        StreamSocket::new(
            self.connection.clone(),
            self.farewell.clone(),
            self.local,
            send,
            receive,
        )
    }

    fn carrier_over(socket: StreamSocket) -> ByteCarrier {
        ByteCarrier::new(Box::new(socket))
    }
}

impl fmt::Debug for QuicCarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicCarrier")
            .field("local", &self.local)
            .field("peer", &self.connection.remote_address())
            .finish_non_exhaustive()
    }
}

/// Runs a future in a task that nobody waits for.
fn spawn(environment: &Arc<dyn Environment>, task: impl Future<Output = ()> + Send + 'static) {
    let task: BoxFuture<()> = Box::pin(task);
    environment.spawn(task);
}
