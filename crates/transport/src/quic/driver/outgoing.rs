//! Datagrams on their way to the socket.
//!
//! Invariant: what the socket has no room for stays in order, and while something stays no
//! connection is asked for more, so the queue is bounded by one round.

use crate::environment::UdpSocket;
use quinn_proto::Transmit;
use std::collections::VecDeque;
use std::io;

/// The queue, with buffers that are used again.
#[derive(Default)]
pub(super) struct Outgoing {
    queue: VecDeque<Entry>,
    spare: Vec<Vec<u8>>,
}

struct Entry {
    transmit: Transmit,
    contents: Vec<u8>,
    /// Bytes that the socket has taken already.
    sent: usize,
}

impl Outgoing {
    /// An empty buffer.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes a buffer back that was not used.
    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Adds datagrams.
    pub(super) fn push(&mut self, transmit: Transmit, contents: Vec<u8>) {
        self.queue.push_back(Entry {
            transmit,
            contents,
            sent: 0,
        });
    }

    /// Whether the socket has not taken everything.
    pub(super) fn is_blocked(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Hands to the socket what it takes.
    pub(super) fn flush(&mut self, socket: &dyn UdpSocket, is_connected: bool) {
        while let Some(entry) = self.queue.front_mut() {
            match entry.send(socket, is_connected) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Any other error concerns this datagram, such as a probe that is too large, or a
                // route that is gone for now: it is lost, as it could be lost on the way.
                Ok(()) | Err(_) => {}
            }
            if let Some(entry) = self.queue.pop_front() {
                self.give_back(entry.contents);
            }
        }
    }
}

impl Entry {
    fn send(&mut self, socket: &dyn UdpSocket, is_connected: bool) -> io::Result<()> {
        let remote = (!is_connected).then_some(self.transmit.destination);
        let size = self.transmit.size;
        let segment = self.transmit.segment_size.unwrap_or(size).max(1);
        while self.sent < size {
            let rest = &self.contents[self.sent..size];
            if rest.len() <= segment {
                socket.try_send(rest, remote)?;
                self.sent = size;
                continue;
            }
            let datagrams: Vec<&[u8]> = rest.chunks(segment).collect();
            let taken = socket.try_send_batch(&datagrams, remote)?;
            let bytes: usize = datagrams[..taken].iter().map(|it| it.len()).sum();
            self.sent += bytes;
        }
        Ok(())
    }
}

/// Buffers that are kept.
const SPARE_MAX: usize = 32;
