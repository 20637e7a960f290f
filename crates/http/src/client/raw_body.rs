//! The content of a response as it was sent, with the hold on its connection.
//!
//! Invariant: the connection is given back once, at the end of the content; a body that is dropped
//! before gives up the rest, or has a short rest read away.

use super::content::Content;
use super::error::{Error, Phase};
use super::lease::Lease;
use super::timeouts::{Deadline, within};
use crate::pool::Version;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The content as it was sent, until the end of the exchange.
pub(super) struct RawBody {
    /// Until the end.
    open: Option<Open>,
    total: Option<Deadline>,
    idle: Option<(Deadline, Duration)>,
}

/// A body that has not ended.
struct Open {
    content: Content,
    lease: Lease,
}

impl RawBody {
    pub(super) fn new(
        content: Content,
        lease: Lease,
        total: Option<Deadline>,
        is_left: bool,
    ) -> Self {
        let settings = lease.settings();
        let idle = settings.timeouts.body_idle.map(|limit| {
            let environment = &**settings.context.environment();
            let at = environment.now() + limit;
            (Deadline::new(environment, at, Phase::BodyIdle), limit)
        });
        let mut body = RawBody {
            open: Some(Open { content, lease }),
            total,
            idle,
        };
        // What is not HTTP any more stays in use until the application has done with it.
        if !is_left {
            body.note_end();
        }
        body
    }

    /// What ends it at some time, for the request that follows instead.
    pub(super) fn into_limit(mut self) -> Option<Deadline> {
        self.total.take()
    }

    /// The hold on a connection that is not HTTP any more.
    pub(super) fn into_lease(mut self) -> Option<Lease> {
        self.open.take().map(|open| open.lease)
    }

    /// Gives the connection back as soon as nothing more comes.
    fn note_end(&mut self) {
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.content.is_end_stream())
        {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.content.let_go();
            open.lease.complete();
        }
    }

    fn poll_limits(&mut self, context: &mut Context<'_>) -> Poll<Error> {
        if let Some(total) = &mut self.total
            && let Poll::Ready(error) = total.poll(context)
        {
            return Poll::Ready(error);
        }
        match &mut self.idle {
            Some((idle, _)) => idle.poll(context),
            None => Poll::Pending,
        }
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let body = self;
        let Some(open) = &mut body.open else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = open.content.poll_frame(context) else {
            let error = ready!(body.poll_limits(context));
            body.open = None;
            return Poll::Ready(Some(Err(error)));
        };
        match frame {
            None => {
                body.end();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                body.open = None;
                Poll::Ready(Some(Err(error)))
            }
            Some(Ok(frame)) => {
                if let Some((idle, limit)) = &mut body.idle {
                    let environment = open.lease.settings().context.environment();
                    idle.reset(environment.now() + *limit);
                }
                // The end may be known with the last part; then nobody need ask once more.
                body.note_end();
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.open
            .as_ref()
            .is_none_or(|open| open.content.is_end_stream())
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match &self.open {
            Some(open) => open.content.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for RawBody {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        let settings = open.lease.settings();
        let max = settings.drain_max;
        let is_short = max > 0 && open.content.size_hint().lower() <= max;
        if open.lease.info().version == Version::Http1 && is_short {
            let environment = settings.context.environment().clone();
            let limit = settings.timeouts.drain;
            let limit = Deadline::after(&*environment, limit, Phase::Drain);
            environment.spawn(Box::pin(drain(open, max, limit)));
        }
    }
}

/// Reads what nobody wants, so that its connection can be used again.
async fn drain(mut open: Open, bytes_max: u64, mut limit: Option<Deadline>) {
    let mut left = bytes_max;
    let reading = async {
        while let Some(frame) = poll_fn(|context| open.content.poll_frame(context)).await {
            if let Some(data) = frame?.data_ref() {
                let read = u64::try_from(data.len()).unwrap_or(u64::MAX);
                let too_much = || Error::timed_out(Phase::Drain);
                left = left.checked_sub(read).ok_or_else(too_much)?;
            }
        }
        Ok(())
    };
    if within(&mut limit, reading).await.is_ok() {
        open.lease.complete();
    }
}
