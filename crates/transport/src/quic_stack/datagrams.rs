//! The datagrams of a QUIC connection in the shape of a connected UDP socket.
//!
//! Invariant: as for streams, looking for a datagram never takes the place of whoever waits.

use super::keeper::Farewell;
use crate::environment::{DatagramBatch, ReceivedDatagram, ReceivedMessage, Transmit, UdpSocket};
use crate::quic::{Connection, DatagramError};
use bytes::Bytes;
use portway_core::{Failure, FailureKind, Origin};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::mpsc;

/// All datagrams of one connection.
pub(super) struct DatagramSocket {
    connection: Connection,
    farewell: mpsc::UnboundedSender<Farewell>,
    local: SocketAddr,
    receiving: Mutex<Receiving>,
}

struct Receiving {
    /// What was received when somebody asked whether there is anything.
    read: Option<Bytes>,
    waker: Option<Waker>,
}

impl DatagramSocket {
    pub(super) fn new(
        connection: Connection,
        farewell: mpsc::UnboundedSender<Farewell>,
        local: SocketAddr,
        first: Option<Bytes>,
    ) -> Self {
        DatagramSocket {
            connection,
            farewell,
            local,
            receiving: Mutex::new(Receiving {
                read: first,
                waker: None,
            }),
        }
    }

    fn receiving(&self) -> MutexGuard<'_, Receiving> {
        self.receiving
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The next datagram that is there.
    fn take(&self) -> io::Result<Bytes> {
        let receiving = &mut *self.receiving();
        let waker = receiving.waker.clone();
        let waker = waker.unwrap_or_else(|| Waker::noop().clone());
        match self.poll_fill(receiving, &mut Context::from_waker(&waker)) {
            Poll::Ready(filled) => {
                filled?;
                let datagram = receiving.read.take();
                datagram.ok_or(ErrorKind::WouldBlock.into())
            }
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn poll_fill(
        &self,
        receiving: &mut Receiving,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if receiving.read.is_none() {
            let received = std::task::ready!(self.connection.poll_receive_datagram(context));
            let datagram = received.map_err(|error| io::Error::other(error.failure()))?;
            receiving.read = Some(datagram);
        }
        Poll::Ready(Ok(()))
    }
}

impl UdpSocket for DatagramSocket {
    fn try_send(&self, datagram: &[u8], _: Option<SocketAddr>) -> io::Result<()> {
        let sent = self
            .connection
            .try_send_datagram(Bytes::copy_from_slice(datagram));
        sent.map_err(|error| match error {
            DatagramError::Blocked => ErrorKind::WouldBlock.into(),
            DatagramError::TooLarge { .. } => io::Error::from_raw_os_error(libc::EMSGSIZE),
            error => io::Error::other(failure_of(&error)),
        })
    }

    fn try_transmit(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        transmit.check(1)?;
        self.try_send(transmit.contents, None)
    }

    fn try_send_batch(&self, datagrams: &[&[u8]], _: Option<SocketAddr>) -> io::Result<usize> {
        for (index, datagram) in datagrams.iter().enumerate() {
            match self.try_send(datagram, None) {
                Ok(()) => {}
                Err(error) if index == 0 => return Err(error),
                // What stopped it is told with the next one.
                Err(_) => return Ok(index),
            }
        }
        Ok(datagrams.len())
    }

    fn try_receive(&self, out: &mut [u8]) -> io::Result<ReceivedDatagram> {
        let datagram = self.take()?;
        let Some(room) = out.get_mut(..datagram.len()) else {
            return Err(ErrorKind::InvalidData.into());
        };
        room.copy_from_slice(&datagram);
        Ok(ReceivedDatagram {
            len: datagram.len(),
            remote: self.connection.remote_address(),
            local: Some(self.local.ip()),
            ecn: None,
        })
    }

    fn try_receive_batch(&self, batch: &mut DatagramBatch) -> io::Result<usize> {
        batch.clear();
        while !batch.is_full() {
            let datagram = match self.take() {
                Ok(datagram) => datagram,
                Err(_) if !batch.is_empty() => break,
                Err(error) => return Err(error),
            };
            batch.push(ReceivedMessage {
                contents: &datagram,
                stride: datagram.len(),
                remote: self.connection.remote_address(),
                local: Some(self.local.ip()),
                ecn: None,
            });
        }
        Ok(batch.len())
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let receiving = &mut *self.receiving();
        // An error is told by the next receive.
        let polled = self.poll_fill(receiving, context).map(|_| Ok(()));
        receiving.waker = polled.is_pending().then(|| context.waker().clone());
        polled
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_datagram_room(context).map(|()| Ok(()))
    }

    fn payload_max(&self, _: SocketAddr, _: bool) -> usize {
        self.connection.datagram_size_max().unwrap_or(0)
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}

/// The error as every layer classifies it.
fn failure_of(error: &DatagramError) -> Failure {
    let kind = match error {
        DatagramError::Connection(error) => return error.failure(),
        DatagramError::TooLarge { .. } => FailureKind::LimitReached,
        DatagramError::Blocked => FailureKind::ResourceExhausted,
        _ => FailureKind::Unsupported,
    };
    Failure::new(Origin::Quic, kind, error.to_string())
}

impl Drop for DatagramSocket {
    fn drop(&mut self) {
        // Nobody is left to keep the connection when the keeper is gone.
        let _ = self.farewell.send(Farewell::Datagrams);
    }
}
