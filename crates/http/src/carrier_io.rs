//! An established byte carrier as hyper reads and writes it, at either end.
//!
//! Invariant: plaintext that was accepted is on its way before more is accepted; a stream that TLS
//! did not end in its own way is an error, never an end; while nothing moves, no buffer is held,
//! and without TLS none at all.

use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use portway_core::{Failure, FailureKind};
#[cfg(feature = "client")]
use portway_transport::environment::TcpStream;
use portway_transport::established::ByteCarrier;
use std::cell::RefCell;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

/// Sees what goes through a carrier; it goes before the socket does.
pub(crate) trait WireWatch: Unpin {
    /// These bytes go to hyper as this leaves them, unless it fails, which ends the connection.
    fn on_read(&mut self, bytes: &mut [u8]) -> io::Result<()>;

    /// Nothing more has come for now.
    fn on_silent(&mut self) {}

    /// The wire takes nothing from now on, or it takes something again.
    fn on_blocked(&mut self, _is_blocked: bool) {}
}

/// Nobody looks at what goes through.
#[cfg(feature = "client")]
pub(crate) struct Unwatched;

#[cfg(feature = "client")]
impl WireWatch for Unwatched {
    fn on_read(&mut self, _bytes: &mut [u8]) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) struct CarrierIo<W> {
    // The first field: the end is told before the socket is closed.
    watch: W,
    carrier: ByteCarrier,
    plaintext: BytesMut,
    out: BytesMut,
    /// Nothing was read yet, and the layer may hold something already.
    is_fresh: bool,
    /// For how many turns nothing is read, nor corked words sent, unless a request is written
    /// before.
    turns_to_write: u8,
    has_ended: bool,
    /// What is written stays here until there is enough of it, or until a flush, and goes to TLS as
    /// one.
    corked: Option<Vec<u8>>,
    /// That was flushed already, so that what is written next is a request.
    is_held: bool,
    /// TLS has said that nothing more is written.
    is_shut: bool,
    is_blocked: bool,
    /// The socket was waited for, so that whoever comes again has probably been woken by it.
    was_silent: bool,
    /// A buffer may hold memory.
    has_memory: bool,
}

impl<W: WireWatch> CarrierIo<W> {
    pub(crate) fn new(carrier: ByteCarrier, watch: W) -> Self {
        CarrierIo {
            watch,
            carrier,
            plaintext: BytesMut::new(),
            out: BytesMut::new(),
            is_fresh: true,
            turns_to_write: 0,
            corked: None,
            is_held: false,
            has_ended: false,
            is_shut: false,
            is_blocked: false,
            was_silent: false,
            has_memory: true,
        }
    }

    /// Lets the first request go before anything is read: all that a server can have said by then
    /// is tickets, which are read while it works. Where no request comes, nothing waits for long.
    #[cfg(feature = "client")]
    pub(crate) fn request_first(mut self) -> Self {
        self.turns_to_write = TURNS_TO_WRITE;
        self
    }

    /// Keeps from TLS the first words until they are flushed: HTTP/2 says its preface and its
    /// settings apart, which would be a record and a packet each. The first request goes along, and
    /// before anything is read, as with [`CarrierIo::request_first`].
    #[cfg(feature = "client")]
    pub(crate) fn corked(mut self) -> Self {
        if self.carrier.layer.is_some() {
            self.corked = Some(Vec::with_capacity(WORDS_BYTES));
            self.turns_to_write = TURNS_TO_ASK;
        }
        self
    }

    /// Gives TLS what was kept from it.
    fn uncork(&mut self) -> io::Result<()> {
        let words = self.corked.take().unwrap_or_default();
        match &mut self.carrier.layer {
            Some(layer) if !words.is_empty() => {
                self.has_memory = true;
                layer.write(&[&words], &mut self.out).map_err(io_error)
            }
            _ => Ok(()),
        }
    }

    /// Lets everybody go before who can move now.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.turns_to_write -= 1;
        pin!(tokio::task::yield_now()).poll(context)
    }

    /// The socket with what was read of it, where nothing is between the two.
    #[cfg(feature = "client")]
    pub(crate) fn into_socket(mut self) -> Result<(Box<dyn TcpStream>, BytesMut), Box<Self>> {
        if self.carrier.layer.is_some() || !self.out.is_empty() || self.has_ended {
            return Err(Box::new(self));
        }
        self.plaintext.unsplit(self.carrier.unread);
        Ok((self.carrier.socket, self.plaintext))
    }

    /// Decrypts what has come, and queues what TLS answers.
    fn open_layer(&mut self) -> io::Result<()> {
        self.has_memory = true;
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
            if self.carrier.socket.poll_readable(context)?.is_pending() {
                self.rest();
                return Poll::Pending;
            }
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
                Err(error) if is_passing(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Reads into `out`, which has room, what nothing has to be decrypted of.
    fn poll_clear(
        &mut self,
        context: &mut Context<'_>,
        out: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            // A read that is in vain costs less than asking before each one.
            if !std::mem::take(&mut self.was_silent)
                && self.carrier.socket.poll_readable(context)?.is_pending()
            {
                self.was_silent = true;
                self.rest();
                return Poll::Pending;
            }
            let read = SCRATCH.with_borrow_mut(|scratch| {
                let room = scratch.len().min(out.remaining());
                let count = match self.carrier.socket.try_read(&mut scratch[..room]) {
                    Err(error) if is_passing(&error) => return Ok(None),
                    done => done?,
                };
                if count > 0 {
                    self.watch.on_read(&mut scratch[..count])?;
                    out.put_slice(&scratch[..count]);
                }
                io::Result::Ok(Some(count))
            });
            if let Some(count) = read? {
                self.has_ended = count == 0;
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Gives the memory of empty buffers back: thousands of connections may stay silent.
    fn rest(&mut self) {
        self.watch.on_silent();
        if !std::mem::take(&mut self.has_memory) {
            return;
        }
        for buffer in [&mut self.carrier.unread, &mut self.plaintext, &mut self.out] {
            // Its room may be used up and its memory held all the same.
            if buffer.is_empty() {
                *buffer = BytesMut::new();
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
                    if self.carrier.socket.poll_writable(context)?.is_pending() {
                        self.note_blocked(true);
                        return Poll::Pending;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => {
                    self.note_blocked(false);
                    return Poll::Ready(done);
                }
            }
        }
    }

    fn note_blocked(&mut self, is_blocked: bool) {
        if self.is_blocked != is_blocked {
            self.is_blocked = is_blocked;
            self.watch.on_blocked(is_blocked);
        }
    }

    fn poll_write_slices(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.corked.is_none() || self.is_held {
            // Whoever reads has been woken for its next turn.
            self.turns_to_write = 0;
        }
        if let Some(words) = &mut self.corked {
            let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
            if words.len() + bytes < CORKED_BYTES_MAX {
                for slice in slices {
                    words.extend_from_slice(slice);
                }
                return Poll::Ready(Ok(bytes));
            }
            self.uncork()?;
        }
        if self.carrier.layer.is_some() {
            // What is queued is the layer's.
            ready!(self.poll_out(context))?;
        }
        let Some(layer) = &mut self.carrier.layer else {
            return self.poll_wire(context, |io| io.carrier.socket.try_write_vectored(slices));
        };
        self.has_memory = true;
        let mut taken = 0;
        let mut plaintext = Vec::with_capacity(slices.len());
        for slice in slices {
            let fits = slice.len().min(WRITE_BYTES - taken);
            plaintext.push(&slice[..fits]);
            taken += fits;
        }
        layer.write(&plaintext, &mut self.out).map_err(io_error)?;
        match self.poll_out(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }
}

impl<W: WireWatch> Read for CarrierIo<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let io = &mut *self;
        if io.turns_to_write > 0 {
            ready!(io.poll_turn(context));
        }
        if io.plaintext.is_empty() && !io.has_ended {
            if std::mem::take(&mut io.is_fresh) {
                // What came with the handshake is read before the socket is asked.
                io.open_layer()?;
            }
            if io.plaintext.is_empty() {
                if io.carrier.layer.is_none() && out.remaining() > 0 {
                    return io.poll_clear(context, &mut out);
                }
                ready!(io.poll_more(context))?;
            }
        }
        let count = io.plaintext.len().min(out.remaining());
        if count > 0 {
            let mut bytes = io.plaintext.split_to(count);
            io.watch.on_read(&mut bytes)?;
            out.put_slice(&bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl<W: WireWatch> Write for CarrierIo<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_slices(context, &[IoSlice::new(bytes)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.corked.is_some() {
            if self.turns_to_write > 0 {
                self.is_held = true;
                ready!(self.poll_turn(context));
            }
            self.uncork()?;
        }
        match self.out.is_empty() {
            true => Poll::Ready(Ok(())),
            false => self.poll_out(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = &mut *self;
        io.uncork()?;
        ready!(io.poll_out(context))?;
        if let Some(layer) = io.carrier.layer.as_mut().filter(|_| !io.is_shut) {
            // RFC 8446 §6.1: this ends our direction; the peer's has an end of its own.
            io.has_memory = true;
            layer.close(&mut io.out);
            io.is_shut = true;
            // The wire ends after these words; a peer that has gone need not hear them.
            if io.poll_out(context).is_pending() {
                return Poll::Pending;
            }
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

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn io_error(failure: Failure) -> io::Error {
    let kind = match failure.kind {
        FailureKind::Reset | FailureKind::Closed => ErrorKind::UnexpectedEof,
        _ => ErrorKind::InvalidData,
    };
    io::Error::new(kind, failure)
}

/// The connection is moved once when it begins, and once more when it has its request.
#[cfg(feature = "client")]
const TURNS_TO_WRITE: u8 = 2;

/// A connection of HTTP/2 is moved by two tasks, of which the one that writes may be moved once
/// more before it has its request; it reads and flushes each time.
#[cfg(feature = "client")]
const TURNS_TO_ASK: u8 = 6;

/// What a connection and its first request mostly begin with.
#[cfg(feature = "client")]
const WORDS_BYTES: usize = 512;

/// What is kept before the first flush is less.
const CORKED_BYTES_MAX: usize = 4 * 1024;

const READ_BYTES: usize = 16 * 1024;

thread_local! {
    /// Where bytes are between a socket and hyper, whose memory is not for safe code to write to.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// Plaintext that is sealed at a time.
const WRITE_BYTES: usize = 64 * 1024;
