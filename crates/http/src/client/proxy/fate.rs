//! A tunnel beside others on one connection to its proxy, and what became of it.
//!
//! Invariant: that the proxy broke a tunnel off is known here before whoever uses the tunnel hears
//! of an error; that the target's connection failed is no fault of the proxy, nor is what our own
//! end has closed.

use super::trunk::Berth;
use super::{Proxy, ProxyFault};
use crate::client::error::Error;
use crate::h3::{Code, SendError, StreamError};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

/// What became of a tunnel.
#[derive(Clone, Debug)]
pub(in crate::client) struct Fate(Arc<Known>);

#[derive(Debug)]
struct Known {
    proxy: Proxy,
    /// Why the proxy broke it off, once it has.
    cause: OnceLock<String>,
}

impl Fate {
    pub(super) fn new(proxy: &Proxy) -> Self {
        Fate(Arc::new(Known {
            proxy: proxy.clone(),
            cause: OnceLock::new(),
        }))
    }

    /// What an error of what is spoken through a tunnel is where the proxy has broken that off.
    pub(in crate::client) fn explain(fate: Option<&Self>, error: Error) -> Error {
        let broken = fate.and_then(|Fate(known)| Some((known, known.cause.get()?)));
        match broken {
            Some((known, cause)) => error.by_proxy(&known.proxy, ProxyFault::Broken, cause),
            None => error,
        }
    }

    fn note<T>(&self, way: Way, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled
            && is_proxys(way, error)
        {
            let _ = self.0.cause.set(error.to_string());
        }
        polled
    }
}

/// Which way an error came of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// Whether it was the proxy that broke the tunnel off.
fn is_proxys(way: Way, error: &io::Error) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let is_own = error.is_reset() && !error.is_remote() && !error.is_library();
            // RFC 9113 §8.5: the proxy's word for a failure of the target's connection.
            return error.reason() != Some(h2::Reason::CONNECT_ERROR) && !is_own;
        }
        if let Some(error) = error.downcast_ref::<StreamError>() {
            // RFC 9114 §4.4: as above.
            return error.code != Code::H3_CONNECT_ERROR;
        }
        if let Some(SendError::OutOfOrder(_) | SendError::UnknownStream) = error.downcast_ref() {
            return false;
        }
        next = error.source();
    }
    // hyper says no more of a half that we have closed; what is read breaks with the connection.
    let is_closed = error.kind() == io::ErrorKind::BrokenPipe && error.get_ref().is_none();
    way == Way::In || !is_closed
}

/// A tunnel beside others; its place is given back when it goes.
pub(super) struct Beside<I> {
    // Before its place, so that the stream has ended when the next tunnel takes that.
    io: I,
    fate: Fate,
    _berth: Berth,
}

impl<I> Beside<I> {
    pub(super) fn new(io: I, fate: Fate, berth: Berth) -> Self {
        Beside {
            io,
            fate,
            _berth: berth,
        }
    }
}

impl<I: Read + Unpin> Read for Beside<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(context, out);
        self.fate.note(Way::In, polled)
    }
}

impl<I: Write + Unpin> Write for Beside<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(context, bytes);
        self.fate.note(Way::Out, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(context);
        self.fate.note(Way::Out, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(context);
        self.fate.note(Way::Out, polled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h3::{ConnectionError, Retry};
    use portway_h3::error::Origin;

    #[test]
    fn a_failure_of_the_target_or_an_end_of_ours_is_no_fault_of_the_proxy() {
        use io::ErrorKind::BrokenPipe;
        let h2 = |reason| io::Error::other(h2::Error::from(reason));
        let h3 = |error| io::Error::new(BrokenPipe, error);
        let stopped = |code| {
            h3(SendError::Stream(StreamError {
                code,
                origin: Origin::Peer,
                reason: "stopped",
                retry: Retry::Unknown,
            }))
        };
        let lost = SendError::Connection(ConnectionError {
            code: Code::H3_NO_ERROR,
            origin: Origin::Peer,
            reason: "closed",
        });
        let proxy = Proxy::parse("https://proxy.test").unwrap();
        let rows = [
            (Way::In, h2(h2::Reason::CONNECT_ERROR), false),
            (Way::Out, h2(h2::Reason::INTERNAL_ERROR), true),
            (Way::In, BrokenPipe.into(), true),
            (Way::Out, BrokenPipe.into(), false),
            (Way::Out, io::ErrorKind::ConnectionReset.into(), true),
            (Way::Out, stopped(Code::H3_CONNECT_ERROR), false),
            (Way::Out, stopped(Code::H3_NO_ERROR), true),
            (Way::Out, h3(lost), true),
            (Way::Out, h3(SendError::UnknownStream), false),
            (Way::Out, h3(SendError::OutOfOrder("it has ended")), false),
        ];
        for (way, error, is_by_proxy) in rows {
            let said = format!("{way:?}: {error}");
            let fate = Fate::new(&proxy);
            let _ = fate.note::<()>(way, Poll::Ready(Err(error)));
            let error = Fate::explain(Some(&fate), Error::invalid("it broke"));
            let blamed = is_by_proxy.then_some(ProxyFault::Broken);
            assert_eq!(error.proxy(), blamed, "{said}");
        }
    }
}
