//! The view of one peer on a socket that many peers share.
//!
//! Invariant: what is sent leaves from the address that the peer sent to.

use super::Inbox;
use crate::environment::{DatagramBatch, ReceivedDatagram, ReceivedMessage, Transmit, UdpSocket};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

/// Sends to one peer, and receives what it sent.
pub(crate) struct PeerSocket {
    pub(super) inbox: Arc<Inbox>,
}

impl PeerSocket {
    /// The peer.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.inbox.pair.0
    }

    /// Sends by `send`, which is given the address to send from where the socket has several.
    fn send<T>(&self, send: impl Fn(Option<IpAddr>) -> io::Result<T>) -> io::Result<T> {
        let source = self.inbox.pair.1;
        for _ in 0..ERRORS_OF_OTHERS_MAX {
            if let Some(error) = self.inbox.take_error() {
                return Err(error);
            }
            match send(source) {
                // What was sent to a broadcast address cannot be answered from there.
                Err(error) if source.is_some() && is_no_source(&error) => return send(None),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // The socket tells whoever sends next what concerns any of its peers.
                Err(error) => match self.inbox.hub.hand_on_errors() {
                    true => {}
                    false => return Err(error),
                },
                sent => return sent,
            }
        }
        send(source)
    }

    fn is_abandoned(&self) -> bool {
        self.inbox.hub.is_abandoned.load(Ordering::Acquire)
    }
}

impl UdpSocket for PeerSocket {
    fn try_send(&self, datagram: &[u8], _: Option<SocketAddr>) -> io::Result<()> {
        let (socket, peer) = (&self.inbox.hub.socket, self.peer());
        self.send(|source| match source {
            None => socket.try_send(datagram, Some(peer)),
            Some(_) => socket.try_transmit(&Transmit {
                source,
                ..Transmit::to(peer, datagram)
            }),
        })
    }

    fn try_send_batch(&self, datagrams: &[&[u8]], _: Option<SocketAddr>) -> io::Result<usize> {
        let (socket, peer) = (&self.inbox.hub.socket, self.peer());
        self.send(|source| match source {
            None => socket.try_send_batch(datagrams, Some(peer)),
            Some(source) => socket.try_send_batch_from(datagrams, peer, source),
        })
    }

    fn try_transmit(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.send(|source| {
            self.inbox.hub.socket.try_transmit(&Transmit {
                remote: self.peer(),
                source: transmit.source.or(source),
                ..*transmit
            })
        })
    }

    fn try_receive(&self, out: &mut [u8]) -> io::Result<ReceivedDatagram> {
        if let Some(error) = self.inbox.take_error() {
            return Err(error);
        }
        let Some((received, data)) = self.inbox.pop() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        match out.get_mut(..data.len()) {
            Some(out) => out.copy_from_slice(&data),
            None => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(received)
    }

    fn try_receive_batch(&self, batch: &mut DatagramBatch) -> io::Result<usize> {
        batch.clear();
        if let Some(error) = self.inbox.take_error() {
            return Err(error);
        }
        while !batch.is_full()
            && let Some((received, data)) = self.inbox.pop()
        {
            batch.push(ReceivedMessage {
                contents: &data,
                stride: data.len(),
                remote: received.remote,
                local: received.local,
                ecn: received.ecn,
            });
        }
        match batch.len() {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.inbox.lock();
        if !state.datagrams.is_empty() || state.error.is_some() {
            return Poll::Ready(Ok(()));
        }
        state.reader = Some(context.waker().clone());
        drop(state);
        // Asked after the waker is there: the end in between must not be missed.
        match self.is_abandoned() {
            true => Poll::Ready(Err(io::Error::other(
                "the runtime of the listening socket was shut down",
            ))),
            false => Poll::Pending,
        }
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let writers = &self.inbox.hub.writers;
        {
            // Registered before the poll: a wake between the two must not be lost.
            let mut wakers = writers
                .wakers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            wakers.retain(|waiting| !waiting.will_wake(context.waker()));
            wakers.push(context.waker().clone());
        }
        let waker = Waker::from(writers.clone());
        self.inbox
            .hub
            .socket
            .poll_writable(&mut Context::from_waker(&waker))
    }

    fn code_point(&self) -> Option<u8> {
        self.inbox.hub.socket.code_point()
    }

    fn payload_max(&self, remote: SocketAddr, may_fragment: bool) -> usize {
        self.inbox.hub.socket.payload_max(remote, may_fragment)
    }

    fn local_address(&self) -> SocketAddr {
        let mut local = self.inbox.hub.socket.local_address();
        if let Some(address) = self.inbox.pair.1 {
            local.set_ip(address);
        }
        local
    }
}

fn is_no_source(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::NetworkUnreachable
    )
}

/// Errors of other peers that one send steps over.
const ERRORS_OF_OTHERS_MAX: usize = 4;
