//! A transport in memory, for tests: two ends, and a network that splits, reorders, delays and
//! drops as a seed says.
//!
//! Invariant: the same seed and the same calls give the same run. Streams keep their order and lose
//! nothing; datagrams may be lost.

mod endpoint;
mod half;

use bytes::Bytes;

use crate::error::Code;
use crate::stream::{Role, StreamId};

pub use endpoint::{Endpoint, Record};

/// How the network treats what it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The seed of every choice.
    pub seed: u64,
    /// The largest piece of a stream that is delivered at once; 1 splits at every byte.
    pub piece_max: usize,
    /// How many bytes of a stream may be on their way or unread.
    pub window: usize,
    /// How many streams of a kind one end may have opened.
    pub streams_max: u64,
    /// How many of 1,000 datagrams are lost.
    pub loss_per_mille: u64,
    /// The largest datagram; `None` when there are none.
    pub datagram_max: Option<usize>,
    /// Whether pieces of different streams overtake each other.
    pub reorders: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            piece_max: usize::MAX,
            window: 256 * 1024,
            streams_max: 1 << 20,
            loss_per_mille: 0,
            datagram_max: Some(1200),
            reorders: false,
        }
    }
}

/// Two ends and what is between them.
#[derive(Debug)]
pub struct Network {
    options: Options,
    random: u64,
    /// The client's end.
    pub client: Endpoint,
    /// The server's end.
    pub server: Endpoint,
    held: Vec<StreamId>,
}

impl Network {
    /// Two ends between which nothing was sent.
    pub fn new(options: Options) -> Self {
        Self {
            // Zero would stay zero.
            random: options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            client: Endpoint::new(Role::Client, &options),
            server: Endpoint::new(Role::Server, &options),
            held: Vec::new(),
            options,
        }
    }

    /// The end of a role.
    pub fn end(&mut self, role: Role) -> &mut Endpoint {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    /// Delivers nothing of a stream until [`release`](Self::release).
    pub fn hold(&mut self, stream: StreamId) {
        self.held.push(stream);
    }

    /// Delivers a held stream again.
    pub fn release(&mut self, stream: StreamId) {
        self.held.retain(|held| *held != stream);
    }

    /// Carries one piece in each direction; whether there was any.
    pub fn step(&mut self) -> bool {
        let to_server = self.carry(Role::Client);
        let to_client = self.carry(Role::Server);
        to_server || to_client
    }

    /// Carries everything that can be carried without the ends doing anything.
    pub fn settle(&mut self) {
        while self.step() {}
    }

    fn carry(&mut self, from: Role) -> bool {
        let to = if from == Role::Client {
            Role::Server
        } else {
            Role::Client
        };
        self.carry_credit(from, to);
        let is_signalled = self.carry_signals(from, to);
        let is_datagram = self.carry_datagram(from, to);
        let held = self.held.clone();
        let mut ready = self.end(from).streams_to_carry();
        ready.retain(|stream| !held.contains(stream));
        if ready.is_empty() {
            return is_signalled || is_datagram;
        }
        let choice = if self.options.reorders {
            self.draw(ready.len() as u64) as usize
        } else {
            0
        };
        let stream = ready[choice];
        let len = match self.options.piece_max {
            1 => 1,
            max => 1 + self.draw(max as u64) as usize,
        };
        let len = len.min(self.options.piece_max);
        let piece = self.end(from).take_piece(stream, len);
        self.end(to).deliver(stream, piece);
        true
    }

    fn carry_signals(&mut self, from: Role, to: Role) -> bool {
        let mut is_any = false;
        while let Some(signal) = self.end(from).take_signal() {
            is_any = true;
            self.end(to).signal(signal);
        }
        is_any
    }

    fn carry_credit(&mut self, from: Role, to: Role) {
        for (stream, len) in self.end(to).take_consumed() {
            self.end(from).credit(stream, len);
        }
    }

    fn carry_datagram(&mut self, from: Role, to: Role) -> bool {
        let Some(datagram) = self.end(from).take_datagram() else {
            return false;
        };
        if self.draw(1000) >= self.options.loss_per_mille {
            self.end(to).deliver_datagram(datagram);
        }
        true
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % below.max(1)
    }
}

/// A piece of a stream on its way.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    fin: bool,
}

/// What travels beside the bytes of streams.
#[derive(Debug)]
enum Signal {
    Reset(StreamId, Code),
    Stop(StreamId, Code),
    Close(Code),
}
