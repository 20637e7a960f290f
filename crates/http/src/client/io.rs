//! An established byte carrier as hyper reads and writes it.
//!
//! Invariant: plaintext that was accepted is on its way before more is accepted; a stream that TLS
//! did not end in its own way is an error, never an end.

use super::frames::{Frames, Said};
use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use portway_core::Failure;
use portway_transport::established::ByteCarrier;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Who hears of a connection as a whole.
pub(super) trait Listener: Send + Sync + 'static {
    fn on_said(&self, said: Said);
    fn on_closed(&self);
}

pub(super) struct CarrierIo {
    carrier: ByteCarrier,
    plaintext: BytesMut,
    out: BytesMut,
    frames: Option<Frames>,
    has_ended: bool,
    listener: Arc<dyn Listener>,
}

impl CarrierIo {
    /// `frames` is there where HTTP/2 is to be listened to.
    pub(super) fn new(
        carrier: ByteCarrier,
        frames: Option<Frames>,
        listener: Arc<dyn Listener>,
    ) -> Self {
        CarrierIo {
            carrier,
            plaintext: BytesMut::new(),
            out: BytesMut::new(),
            frames,
            has_ended: false,
            listener,
        }
    }

    /// Decrypts what has come, and queues what TLS answers.
    fn open_layer(&mut self) -> io::Result<()> {
        let Some(layer) = &mut self.carrier.layer else {
            let unread = std::mem::take(&mut self.carrier.unread);
            self.plaintext.unsplit(unread);
            return Ok(());
        };
        layer
            .on_wire_into(&mut self.carrier.unread, &mut self.plaintext, &mut self.out)
            .map_err(io_error)
    }

    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.carrier.unread.reserve(READ_BYTES);
            match self.carrier.socket.try_read_buf(&mut self.carrier.unread) {
                Ok(0) => {
                    self.has_ended = true;
                    if let Some(layer) = &mut self.carrier.layer {
                        layer.on_end().map_err(io_error)?;
                    }
                    return Poll::Ready(Ok(()));
                }
                Ok(_) => {
                    let opened = self.open_layer();
                    // An alert tells the peer why; whether it gets there changes nothing here.
                    let _ = self.poll_out(context);
                    opened?;
                    if !self.plaintext.is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.carrier.socket.poll_readable(context))?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes what is queued.
    fn poll_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = ready!(self.poll_wire(context, |io| {
                let slices = [IoSlice::new(&io.out)];
                io.carrier.socket.try_write_vectored(&slices)
            }))?;
            self.out.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_wire(
        &mut self,
        context: &mut Context<'_>,
        write: impl Fn(&Self) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(self) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.carrier.socket.poll_writable(context))?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_write_slices(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_out(context))?;
        if self.carrier.layer.is_none() {
            return self.poll_wire(context, |io| io.carrier.socket.try_write_vectored(slices));
        }
        let mut taken = 0;
        let mut plaintext = Vec::with_capacity(slices.len());
        for slice in slices {
            let fits = slice.len().min(WRITE_BYTES - taken);
            plaintext.push(&slice[..fits]);
            taken += fits;
        }
        if let Some(layer) = &mut self.carrier.layer {
            layer.write(&plaintext, &mut self.out).map_err(io_error)?;
        }
        match self.poll_out(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }
}

impl Read for CarrierIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let io = &mut *self;
        if io.plaintext.is_empty() && !io.has_ended {
            // What came with the handshake is read before the socket is asked.
            io.open_layer()?;
            if io.plaintext.is_empty() {
                ready!(io.poll_more(context))?;
            }
        }
        let count = io.plaintext.len().min(out.remaining());
        let bytes = io.plaintext.split_to(count);
        out.put_slice(&bytes);
        if let Some(frames) = &mut io.frames {
            frames.read(&bytes, |said| io.listener.on_said(said));
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for CarrierIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_slices(context, &[IoSlice::new(bytes)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_out(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = &mut *self;
        ready!(io.poll_out(context))?;
        if let Some(mut layer) = io.carrier.layer.take() {
            layer.close(&mut io.out);
            io.has_ended = true;
            let _ = io.poll_out(context);
        }
        Poll::Ready(io.carrier.socket.shutdown_write())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_slices(context, slices)
    }
}

impl Drop for CarrierIo {
    fn drop(&mut self) {
        self.listener.on_closed();
    }
}

fn io_error(failure: Failure) -> io::Error {
    let kind = match failure.kind {
        portway_core::FailureKind::Reset | portway_core::FailureKind::Closed => {
            ErrorKind::UnexpectedEof
        }
        _ => ErrorKind::InvalidData,
    };
    io::Error::new(kind, failure)
}

const READ_BYTES: usize = 16 * 1024;

/// Plaintext that is sealed at a time.
const WRITE_BYTES: usize = 64 * 1024;
