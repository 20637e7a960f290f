//! Sends everything back to whom it came from.

use crate::error::CommandError;
use crate::message_mode::MessageMode;
use portway::{Connection, ReceiveError};
use std::time::Duration;
use tokio::time::timeout;

/// How a connection is echoed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Echo {
    pub(crate) mode: MessageMode,
    /// Over UDP, silence of so long is the peer's end.
    pub(crate) idle: Option<Duration>,
}

impl Echo {
    /// Runs until the peer has ended, then closes the connection.
    pub(crate) async fn run(self, connection: &Connection) -> Result<(), CommandError> {
        let failed = |error: &dyn std::error::Error| CommandError::failed(error.to_string());
        loop {
            let received = match self.receive(connection).await {
                Some(Ok(received)) => received,
                None | Some(Err(ReceiveError::Finished)) => break,
                Some(Err(error)) => return Err(failed(&error)),
            };
            if self.mode == MessageMode::Stream && received.data.is_empty() {
                continue;
            }
            let sent = connection.send(received.data).await;
            drop(sent.map_err(|error| failed(&error))?);
        }
        connection.close().await.map_err(|error| failed(&error))
    }

    async fn receive(
        self,
        connection: &Connection,
    ) -> Option<Result<portway::ReceivedMessage, ReceiveError>> {
        let receiving = async {
            match self.mode {
                MessageMode::Stream => connection.receive_partial(1, READ_BYTES).await,
                _ => connection.receive().await,
            }
        };
        match self.idle {
            None => Some(receiving.await),
            Some(idle) => timeout(idle, receiving).await.ok(),
        }
    }
}

const READ_BYTES: usize = 64 * 1024;
