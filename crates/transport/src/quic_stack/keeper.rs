//! Keeps a transport connection a little longer than its carriers.
//!
//! Invariant: it holds the connection for a bounded time after the last carrier is gone, and what
//! arrives meanwhile is not kept.

use crate::environment::{Environment, Timer};
use crate::quic::{Connection, ReceiveStream};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;

/// What a carrier leaves behind when it is closed in an orderly way.
pub(super) enum Farewell {
    /// A stream whose peer has not ended its direction yet.
    Stream(ReceiveStream),
    /// Datagrams that may wait to be sent.
    Datagrams,
}

/// Starts to keep a connection until every sender of farewells is gone.
pub(super) fn keep(
    environment: &Arc<dyn Environment>,
    connection: Connection,
) -> mpsc::UnboundedSender<Farewell> {
    // Bounded by the streams that a connection may have.
    let (sender, arriving) = mpsc::unbounded_channel();
    let keeper = Keeper {
        timer: environment.timer(),
        environment: environment.clone(),
        connection,
        arriving,
        streams: Vec::new(),
        sends_datagrams: false,
    };
    super::spawn(environment, keeper.run());
    sender
}

struct Keeper {
    environment: Arc<dyn Environment>,
    timer: Box<dyn Timer>,
    connection: Connection,
    arriving: mpsc::UnboundedReceiver<Farewell>,
    streams: Vec<ReceiveStream>,
    sends_datagrams: bool,
}

impl Keeper {
    async fn run(mut self) {
        let connection = self.connection.clone();
        tokio::select! {
            _ = connection.closed() => {}
            () = poll_fn(|context| self.poll_heard_out(context)) => {
                if self.sends_datagrams {
                    // A close leaves at once and would overtake what is queued.
                    let wait = self.connection.rtt().min(LINGER);
                    self.timer.reset(Some(self.environment.now() + wait));
                    poll_fn(|context| self.timer.poll_expired(context)).await;
                }
            }
        }
    }

    /// Ready when no carrier is left and every stream has ended or was waited for long enough.
    fn poll_heard_out(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let is_last = loop {
            match self.arriving.poll_recv(context) {
                Poll::Ready(Some(Farewell::Stream(stream))) => {
                    self.streams.push(stream);
                    self.timer.reset(Some(self.environment.now() + LINGER));
                }
                Poll::Ready(Some(Farewell::Datagrams)) => self.sends_datagrams = true,
                Poll::Ready(None) => break true,
                Poll::Pending => break false,
            }
        };
        self.streams.retain_mut(|stream| is_open(stream, context));
        if !self.streams.is_empty() && self.timer.poll_expired(context).is_ready() {
            // Dropping a stream asks its peer to stop.
            self.streams.clear();
        }
        match is_last && self.streams.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

/// Reads what is there and drops it; whether more may come.
fn is_open(stream: &mut ReceiveStream, context: &mut Context<'_>) -> bool {
    let mut left = HEARD_BYTES_MAX;
    loop {
        match stream.poll_read_chunk(context, left) {
            Poll::Ready(Ok(Some(bytes))) if bytes.len() < left => left -= bytes.len(),
            Poll::Ready(_) => return false,
            Poll::Pending => return true,
        }
    }
}

/// How long the peer's end is waited for.
const LINGER: Duration = Duration::from_secs(1);
/// What is read of a stream at a time that nobody wants.
const HEARD_BYTES_MAX: usize = 256 * 1024;
