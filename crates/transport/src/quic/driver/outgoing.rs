//! Datagrams on their way to the socket.
//!
//! Invariant: what the socket has no room for stays in order, and while something stays no
//! connection is asked for more, so the queue is bounded by one round.

use crate::environment::{Transmit, UdpSocket};
use std::collections::VecDeque;
use std::io;

/// The queue, with buffers that are used again.
#[derive(Default)]
pub(super) struct Outgoing {
    queue: VecDeque<(quinn_proto::Transmit, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
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
    pub(super) fn push(&mut self, transmit: quinn_proto::Transmit, contents: Vec<u8>) {
        self.queue.push_back((transmit, contents));
    }

    /// Whether something waits for the socket.
    pub(super) fn is_blocked(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Hands to the socket what it takes.
    pub(super) fn flush(&mut self, socket: &dyn UdpSocket) {
        while let Some((transmit, contents)) = self.queue.front() {
            let result = socket.try_transmit(&Transmit {
                remote: transmit.destination,
                source: transmit.src_ip,
                ecn: transmit.ecn.map(|ecn| ecn as u8),
                dscp: None,
                contents: &contents[..transmit.size],
                segment_size: transmit.segment_size,
            });
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Any other error concerns this datagram, such as a probe that is too large, or a
                // route that is gone for now: it is lost, as it could be lost on the way.
                Ok(()) | Err(_) => {}
            }
            if let Some((_, contents)) = self.queue.pop_front() {
                self.give_back(contents);
            }
        }
    }
}

/// Buffers that are kept.
const SPARE_MAX: usize = 4;
