//! Receipts: what became of one message.
//!
//! Invariant: every message that `send` accepted gets exactly one [`Completion`], in the order in
//! which messages leave its connection, whether or not anybody waits for it.

use crate::error::SendError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What became of a message (RFC 9622 §9.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Completion {
    /// The system took all of it. It is not a promise that the peer has it: `close` is.
    Sent,
    /// Its lifetime ended before the first byte was sent.
    Expired,
    /// It could not be sent.
    Failed(SendError),
}

impl Completion {
    /// Ok for a message that was sent.
    ///
    /// # Errors
    /// The send's error; an expired message gives `None`.
    pub fn into_result(self) -> Result<(), Option<SendError>> {
        match self {
            Completion::Sent => Ok(()),
            Completion::Expired => Err(None),
            Completion::Failed(error) => Err(Some(error)),
        }
    }
}

/// Resolves once, to what became of a message. Dropping it changes nothing.
pub struct Receipt {
    /// Where the completion will be; `None` for a message that was sent at once.
    cell: Option<Arc<ReceiptCell>>,
}

impl Receipt {
    /// Of a message that the system has.
    #[inline]
    pub(crate) const fn sent() -> Self {
        Receipt { cell: None }
    }

    pub(crate) fn waiting() -> (Self, Arc<ReceiptCell>) {
        let cell = Arc::new(ReceiptCell::default());
        let receipt = Receipt {
            cell: Some(cell.clone()),
        };
        (receipt, cell)
    }

    /// Takes `last` out once its message is with the system; for writers that keep no other
    /// receipts. An expired message is no error of theirs.
    pub(crate) fn poll_last(
        last: &mut Option<Receipt>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        let Some(receipt) = last else {
            return Poll::Ready(Ok(()));
        };
        let completion = std::task::ready!(Pin::new(receipt).poll(context));
        *last = None;
        match completion.into_result() {
            Ok(()) | Err(None) => Poll::Ready(Ok(())),
            Err(Some(error)) => Poll::Ready(Err(error)),
        }
    }

    /// What became of the message, if that is known.
    pub fn completion(&self) -> Option<Completion> {
        match &self.cell {
            None => Some(Completion::Sent),
            Some(cell) => cell.lock().completion.clone(),
        }
    }
}

/// Cancel safety: dropping it and asking another time through [`Receipt::completion`] is fine.
impl Future for Receipt {
    type Output = Completion;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Completion> {
        match &self.cell {
            None => Poll::Ready(Completion::Sent),
            Some(cell) => {
                let mut cell = cell.lock();
                if let Some(completion) = &cell.completion {
                    return Poll::Ready(completion.clone());
                }
                cell.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receipt").field(&self.completion()).finish()
    }
}

/// Where a completion is left for its receipt.
#[derive(Default)]
pub(crate) struct ReceiptCell {
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    completion: Option<Completion>,
    waker: Option<Waker>,
}

impl ReceiptCell {
    pub(crate) fn complete(&self, completion: Completion) {
        let waker = {
            let mut slot = self.lock();
            debug_assert!(slot.completion.is_none(), "a send completes once");
            slot.completion = Some(completion);
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
