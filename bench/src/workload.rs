//! What messages do, whoever carries them.
//!
//! Invariant: a client sends bursts of equal messages and waits for the server's one answer to
//! each burst, so both sides move the same messages in the same order.

use bytes::Bytes;
use std::future::Future;
use std::time::{Duration, Instant};

/// A connection that keeps message boundaries.
pub trait Messenger: Send {
    /// Sends one message: when it is done, the system has the message.
    fn send(&mut self, message: Bytes) -> impl Future<Output = ()> + Send;

    /// Receives one message; `None` at the end.
    fn receive(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// Bursts of messages of one size.
#[derive(Clone, Copy, Debug)]
pub struct Bursts {
    /// The bytes of a message.
    pub message_bytes: usize,
    /// The messages of a burst.
    pub burst: u32,
    /// How many bursts are one measurement.
    pub count: u32,
}

/// Serves one connection to its end: the first message says how long bursts are.
pub async fn serve(mut messenger: impl Messenger) {
    let Some(first) = messenger.receive().await else {
        return;
    };
    let burst = u32::from_be_bytes(first[..4].try_into().expect("four bytes of burst length"));
    let echoes = burst == 0;
    let mut received = 0;
    while let Some(message) = messenger.receive().await {
        if echoes {
            messenger.send(message).await;
            continue;
        }
        received += 1;
        if received == burst {
            received = 0;
            messenger.send(Bytes::from_static(b"done")).await;
        }
    }
}

/// Tells the server how long bursts are; zero asks for echoes.
pub async fn begin(messenger: &mut impl Messenger, burst: u32) {
    let announcement = Bytes::copy_from_slice(&burst.to_be_bytes());
    messenger.send(announcement).await;
}

/// Sends the bursts.
pub async fn send_bursts(messenger: &mut impl Messenger, bursts: Bursts) {
    let payload = Bytes::from(vec![7u8; bursts.message_bytes]);
    for _ in 0..bursts.count {
        for _ in 0..bursts.burst {
            messenger.send(payload.clone()).await;
        }
        messenger.receive().await.expect("an answer to the burst");
    }
}

/// Sends `count` messages one by one, each after the echo of the one before, and gives the median
/// round trip.
pub async fn ping_pong(messenger: &mut impl Messenger, bytes: usize, count: usize) -> Duration {
    let payload = Bytes::from(vec![7u8; bytes]);
    let mut trips = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        messenger.send(payload.clone()).await;
        messenger.receive().await.expect("the echo");
        trips.push(start.elapsed());
    }
    trips.sort();
    trips[count / 2]
}
