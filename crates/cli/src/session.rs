//! A connection joined to standard input and output.
//!
//! Invariant: what was read is sent and what was received is written before the session ends,
//! unless the connection or a standard stream fails.

use crate::error::CommandError;
use crate::message_mode::{LINE_BYTES_MAX, MessageMode};
use crate::output;
use portway::{Connection, ReceiveError, SendError};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, stdin, stdout,
};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

/// How a connection is joined to the standard streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) mode: MessageMode,
    /// Whether the peer cannot say that it has ended.
    pub(crate) is_datagram: bool,
    /// How long to wait for more after one side has ended.
    pub(crate) linger: Duration,
    /// Over UDP, silence of so long is the peer's end.
    pub(crate) idle: Option<Duration>,
    /// Messages after which the session ends.
    pub(crate) replies: Option<u64>,
}

impl Session {
    /// Runs until both sides have ended, then closes the connection.
    pub(crate) async fn run(self, connection: &Connection) -> Result<(), CommandError> {
        self.run_over(connection, stdin(), stdout()).await
    }

    /// Runs several connections at the same time, each with the whole of the input.
    pub(crate) async fn run_group(self, group: Vec<Connection>) -> Result<(), CommandError> {
        let cannot_read =
            |error| CommandError::failed(format!("cannot read standard input: {error}"));
        let mut input = Vec::new();
        let mut bounded = stdin().take(GROUP_INPUT_BYTES_MAX + 1);
        let read = bounded.read_to_end(&mut input).await;
        if read.map_err(cannot_read)? as u64 > GROUP_INPUT_BYTES_MAX {
            return Err(CommandError::failed(format!(
                "with --sibling the input has at most {GROUP_INPUT_BYTES_MAX} bytes"
            )));
        }
        let input: Arc<[u8]> = input.into();
        let here = LocalSet::new();
        let mut sessions = JoinSet::new();
        for connection in group {
            let input = input.clone();
            let run = async move { self.run_over(&connection, &input[..], stdout()).await };
            sessions.spawn_local_on(run, &here);
        }
        let all = async {
            let mut outcome = Ok(());
            while let Some(ended) = sessions.join_next().await {
                let ended = ended.map_err(|error| CommandError::failed(error.to_string()));
                outcome = outcome.and(ended.and_then(|session| session));
            }
            outcome
        };
        here.run_until(all).await
    }

    async fn run_over(
        self,
        connection: &Connection,
        input: impl AsyncRead + Unpin,
        output: impl AsyncWrite + Unpin,
    ) -> Result<(), CommandError> {
        let activity = Activity::default();
        let sending = self.send_all(connection, input, &activity);
        let receiving = self.receive_all(connection, output, &activity);
        tokio::pin!(sending, receiving);
        tokio::select! {
            received = &mut receiving => {
                received?;
                if self.replies.is_none() {
                    // What is there already is still sent; an input that pauses is not waited for.
                    activity.until_quiet(self.linger, sending).await.transpose()?;
                }
            }
            sent = &mut sending => {
                let is_bounded = sent.is_err() || (self.is_datagram && self.replies.is_none());
                let received = match is_bounded {
                    true => activity.until_quiet(self.linger, receiving).await,
                    false => Some(receiving.await),
                };
                // The peer's words say more than that it takes no more of ours.
                received.transpose()?;
                sent?;
            }
        }
        if self.replies.is_some() && !self.is_datagram {
            let _ = timeout(self.linger, see_out(connection)).await;
        }
        connection
            .close()
            .await
            .map_err(|error| CommandError::failed(error.to_string()))
    }

    async fn send_all(
        self,
        connection: &Connection,
        input: impl AsyncRead + Unpin,
        activity: &Activity,
    ) -> Result<(), CommandError> {
        let mut input = BufReader::with_capacity(READ_BYTES, input);
        loop {
            let piece = self.read_piece(&mut input).await?;
            activity.note();
            let Some(piece) = piece else { break };
            drop(connection.send(piece).await.map_err(|e| not_sent(&e))?);
        }
        connection.end_sending().await.map_err(|e| not_sent(&e))
    }

    /// The next piece of input that is one message; `None` at its end.
    async fn read_piece(
        self,
        input: &mut BufReader<impl AsyncRead + Unpin>,
    ) -> Result<Option<Vec<u8>>, CommandError> {
        let cannot_read =
            |error| CommandError::failed(format!("cannot read standard input: {error}"));
        if self.mode == MessageMode::Stream {
            let bytes = input.fill_buf().await.map_err(cannot_read)?.to_vec();
            input.consume(bytes.len());
            return Ok((!bytes.is_empty()).then_some(bytes));
        }
        let mut line = Vec::new();
        input
            .take(LINE_BYTES_MAX + 2)
            .read_until(b'\n', &mut line)
            .await
            .map_err(cannot_read)?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.len() as u64 > LINE_BYTES_MAX + 1 {
            return Err(CommandError::failed(format!(
                "a line of input is longer than {LINE_BYTES_MAX} bytes"
            )));
        }
        if self.mode == MessageMode::Lines && line.ends_with(b"\n") {
            line.pop();
        }
        Ok(Some(line))
    }

    async fn receive_all(
        self,
        connection: &Connection,
        mut output: impl AsyncWrite + Unpin,
        activity: &Activity,
    ) -> Result<(), CommandError> {
        let mut left = self.replies;
        while left != Some(0) {
            let Some(received) = self.receive(connection).await? else {
                return Ok(());
            };
            activity.note();
            // A line is written at once, lest another one of the group get in between.
            match received.is_end && self.mode == MessageMode::Lines {
                true => write(&mut output, &[&received[..], b"\n"].concat()).await?,
                false => write(&mut output, &received).await?,
            }
            if received.is_end {
                left = left.map(|left| left - 1);
            }
            flush(&mut output).await?;
        }
        Ok(())
    }

    /// The next part of a message; `None` when the peer has ended, or seems to.
    async fn receive(
        self,
        connection: &Connection,
    ) -> Result<Option<portway::ReceivedMessage>, CommandError> {
        let receiving = connection.receive_partial(1, READ_BYTES);
        let received = match self.idle.filter(|_| self.is_datagram) {
            None => receiving.await,
            Some(idle) => match timeout(idle, receiving).await {
                Ok(received) => received,
                Err(_) => return Ok(None),
            },
        };
        match received {
            Ok(received) => Ok(Some(received)),
            Err(ReceiveError::Finished) => Ok(None),
            Err(error) => Err(CommandError::failed(error.to_string())),
        }
    }
}

/// Tells one direction's waiting from its working.
#[derive(Default)]
struct Activity {
    count: std::cell::Cell<u64>,
}

impl Activity {
    fn note(&self) {
        self.count.set(self.count.get() + 1);
    }

    /// Runs `work` until it ends or nothing was noted for `quiet`.
    async fn until_quiet<T>(
        &self,
        quiet: Duration,
        work: impl Future<Output = T> + Unpin,
    ) -> Option<T> {
        let mut work = work;
        loop {
            let before = self.count.get();
            match timeout(quiet, &mut work).await {
                Ok(done) => return Some(done),
                Err(_) if self.count.get() == before => return None,
                Err(_) => {}
            }
        }
    }
}

/// Lets the peer say its last words, so that leaving does not look like a reset to it.
async fn see_out(connection: &Connection) {
    if connection.end_sending().await.is_ok() {
        while connection.receive_partial(1, READ_BYTES).await.is_ok() {}
    }
}

fn not_sent(error: &SendError) -> CommandError {
    CommandError::failed(error.to_string())
}

async fn write(output: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), CommandError> {
    let written = output.write_all(bytes).await;
    written.map_err(|error| output::cannot_write(&error))
}

async fn flush(output: &mut (impl AsyncWrite + Unpin)) -> Result<(), CommandError> {
    let flushed = output.flush().await;
    flushed.map_err(|error| output::cannot_write(&error))
}

/// The input of a group is kept, as each of its connections sends all of it.
const GROUP_INPUT_BYTES_MAX: u64 = 16 * 1024 * 1024;
const READ_BYTES: usize = 64 * 1024;
