//! Futures that are polled when they are made, not only when somebody comes to them.
//!
//! Invariant: the first poll wakes nobody, so whoever has such a future polls it again without
//! being woken.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// The memory in which futures are polled first, one after the other.
pub(super) struct Place<F>(Cell<Option<Pinned<F>>>);

/// The memory with a future in it, or with none.
pub(super) type Pinned<F> = Pin<Box<Option<F>>>;

impl<F: Future> Place<F> {
    pub(super) fn new() -> Self {
        Place(Cell::new(None))
    }

    /// Makes a future, where it stays, and polls it once. One that is not ready keeps the memory.
    pub(super) fn begin(&self, make: impl FnOnce() -> F) -> Result<F::Output, Pinned<F>> {
        let mut place = self.0.take().unwrap_or_else(|| Box::pin(None));
        place.set(Some(make()));
        match poll(&mut place, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => {
                place.set(None);
                self.0.set(Some(place));
                Ok(output)
            }
            Poll::Pending => Err(place),
        }
    }
}

/// Polls the future of a place that has one.
pub(super) fn poll<F: Future>(place: &mut Pinned<F>, context: &mut Context<'_>) -> Poll<F::Output> {
    let future = place.as_mut().as_pin_mut();
    future.expect("it is there until it is ready").poll(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{poll_fn, ready};

    fn address<F>(place: &Place<F>) -> Option<*const Option<F>> {
        let pinned = place.0.take();
        let at = pinned.as_deref().map(std::ptr::from_ref);
        place.0.set(pinned);
        at
    }

    #[test]
    fn futures_that_are_ready_at_once_have_the_same_memory() {
        let place = Place::new();
        assert_eq!(place.begin(|| ready(1)).ok(), Some(1));
        let at = address(&place);
        assert!(at.is_some());
        assert_eq!(place.begin(|| ready(2)).ok(), Some(2));
        assert_eq!(address(&place), at);
    }

    #[tokio::test]
    async fn one_that_is_not_ready_leaves_the_next_one_memory_of_its_own() {
        let place = Place::new();
        let turns = |count: u32| {
            let mut left = count;
            poll_fn(move |context| match left {
                0 => Poll::Ready(count),
                _ => {
                    left -= 1;
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            })
        };
        let mut slow = place.begin(|| turns(2)).expect_err("it takes its turns");
        assert!(address(&place).is_none());
        assert_eq!(place.begin(|| turns(0)).ok(), Some(0));
        assert_eq!(poll_fn(|context| poll(&mut slow, context)).await, 2);
    }
}
