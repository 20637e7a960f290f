//! What passes into the decoders of content, measured.
//!
//! Invariant: however codings are nested, one poll does a bounded amount of work, what passes
//! between two of them grows no more than what comes out may, and bytes that make nothing end.

use super::decode::Decompression;
use super::error::{Error, ErrorClass};
use portway_core::FailureKind;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// What the stages of one content have done together.
pub(super) struct Meter {
    limits: Decompression,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Came from the peer.
    taken: u64,
    /// Went into any stage since anything came out of the last one.
    barren: usize,
    /// Went into any stage since the task yielded.
    since_yield: usize,
}

impl Meter {
    pub(super) fn new(limits: Decompression) -> Arc<Self> {
        Arc::new(Meter {
            limits,
            counts: Mutex::default(),
        })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So much has come from the peer.
    pub(super) fn take(&self, bytes: usize) {
        self.counts().taken += bytes as u64;
    }

    /// Something has come out of the last stage, so much in all. An error where that is beyond its
    /// bounds.
    pub(super) fn made(&self, all: u64) -> Result<(), Error> {
        let mut counts = self.counts();
        (counts.barren, counts.since_yield) = (0, 0);
        let content_max = self.limits.content_max;
        if all > content_max {
            let detail =
                format!("the content is longer than {content_max} bytes when decompressed");
            return Err(exceeded(detail));
        }
        self.judge(all, counts.taken)
    }

    fn judge(&self, made: u64, taken: u64) -> Result<(), Error> {
        let ratio_max = u64::from(self.limits.ratio_max.max(1));
        if made > self.limits.ratio_from && made / ratio_max > taken {
            let detail = format!("the content grows more than {ratio_max} times when decompressed");
            return Err(exceeded(detail));
        }
        Ok(())
    }
}

fn exceeded(detail: String) -> Error {
    Error::local(ErrorClass::LimitReached, FailureKind::LimitReached, detail)
}

/// What one stage reads from.
pub(super) struct Gauge<R> {
    inner: R,
    meter: Arc<Meter>,
    /// So much went into the stage.
    passed: u64,
    /// Whether content may begin so.
    begins: fn(u8) -> Result<(), Error>,
}

impl<R> Gauge<R> {
    pub(super) fn new(inner: R, meter: &Arc<Meter>) -> Self {
        Gauge {
            inner,
            meter: meter.clone(),
            passed: 0,
            begins: |_| Ok(()),
        }
    }

    /// The same, but content must begin so.
    pub(super) fn beginning(self, begins: fn(u8) -> Result<(), Error>) -> Self {
        Gauge { begins, ..self }
    }

    fn poll_pass(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut counts = self.meter.counts();
        if counts.barren > BARREN_MAX {
            let detail = format!("more than {BARREN_MAX} compressed bytes make no content");
            return Poll::Ready(Err(exceeded(detail)));
        }
        self.meter.judge(self.passed, counts.taken)?;
        if counts.since_yield >= POLL_BYTES {
            counts.since_yield = 0;
            // A decoder reads on until it has something or has to wait.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncBufRead + Unpin> AsyncBufRead for Gauge<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let gauge = self.get_mut();
        ready!(gauge.poll_pass(context)).map_err(io::Error::other)?;
        let filled = ready!(Pin::new(&mut gauge.inner).poll_fill_buf(context))?;
        if let (0, [first, ..]) = (gauge.passed, filled) {
            (gauge.begins)(*first).map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(&filled[..filled.len().min(FILL_BYTES)]))
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        let gauge = self.get_mut();
        gauge.passed += count as u64;
        {
            let mut counts = gauge.meter.counts();
            counts.barren += count;
            counts.since_yield += count;
        }
        Pin::new(&mut gauge.inner).consume(count);
    }
}

impl<R: AsyncBufRead + Unpin> AsyncRead for Gauge<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        poll_read_filled(self, context, out)
    }
}

/// Reads from what is filled.
pub(super) fn poll_read_filled(
    mut from: Pin<&mut impl AsyncBufRead>,
    context: &mut Context<'_>,
    out: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let available = ready!(from.as_mut().poll_fill_buf(context))?;
    let count = available.len().min(out.remaining());
    out.put_slice(&available[..count]);
    from.consume(count);
    Poll::Ready(Ok(()))
}

/// A decoder may take so much without making anything: the longest frames without content that
/// anybody has a use for are far below.
const BARREN_MAX: usize = 1024 * 1024;

/// The stages take so much together before others get their turn.
const POLL_BYTES: usize = 64 * 1024;

/// A decoder is given so much at once, all of which it may turn into nothing.
const FILL_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_poll_takes_a_bounded_amount_and_bytes_that_make_nothing_end() {
        let bytes = vec![0; 2 * BARREN_MAX];
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut context = Context::from_waker(&waker);
        let meter = Meter::new(Decompression::default());
        let mut gauge = Gauge::new(&bytes[..], &meter);
        let (mut taken, mut since_yield, mut yields) = (0, 0, 0);
        let error = loop {
            match Pin::new(&mut gauge).poll_fill_buf(&mut context) {
                Poll::Pending => {
                    yields += 1;
                    since_yield = 0;
                    assert_eq!(wakes.0.load(Ordering::Relaxed), yields);
                }
                Poll::Ready(Err(error)) => break error,
                Poll::Ready(Ok(filled)) => {
                    let count = filled.len();
                    assert!(count > 0 && count <= FILL_BYTES);
                    taken += count;
                    since_yield += count;
                    assert!(since_yield <= POLL_BYTES);
                    Pin::new(&mut gauge).consume(count);
                }
            }
        };
        assert!(error.to_string().contains("make no content"), "{error}");
        assert!(taken <= BARREN_MAX + FILL_BYTES);
        assert_eq!(yields, BARREN_MAX / POLL_BYTES);
    }
}
