//! A future that is polled when it is made, not only when somebody comes to it.
//!
//! Invariant: the first poll wakes nobody, so whoever has it polls it again without being woken.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// See [`Prompt::begin`].
pub(super) enum Prompt<F: Future> {
    Ready(Option<F::Output>),
    Waiting(Pin<Box<F>>),
}

impl<F: Future> Prompt<F> {
    /// Polls it once.
    pub(super) fn begin(future: F) -> Self {
        let mut future = Box::pin(future);
        let mut context = Context::from_waker(Waker::noop());
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => Prompt::Ready(Some(output)),
            Poll::Pending => Prompt::Waiting(future),
        }
    }
}

// The future is in its box, and the output is moved only.
impl<F: Future> Unpin for Prompt<F> {}

impl<F: Future> Future for Prompt<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match self.get_mut() {
            Prompt::Ready(output) => Poll::Ready(output.take().expect("it is ready once")),
            Prompt::Waiting(future) => future.as_mut().poll(context),
        }
    }
}
