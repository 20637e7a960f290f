//! Content codings that are undone as the content comes: gzip, deflate, brotli and zstd.
//!
//! Invariant: what comes out is bounded, in all and as a multiple of what came in, and is made no
//! faster than it is read; content that was cut off is an error, never an end.

use super::error::{Error, ErrorClass};
use super::gauge::{Gauge, Meter, poll_read_filled};
use super::raw_body::RawBody;
use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use async_compression::zstd::DParameter;
use bytes::{Buf, Bytes};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue};
use http_body::Frame;
use portway_core::{Failure, FailureKind, Origin};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncBufRead, AsyncRead, BufReader, ReadBuf};

/// How content that was compressed for its transfer is taken.
///
/// A request that names no `accept-encoding` of its own, and no `range`, then asks for zstd,
/// brotli, gzip or deflate. A response to it that is coded so has the coding undone, and neither
/// `content-encoding` nor `content-length` among its fields, which describe what was sent. Content
/// in another coding, or in more than two upon each other, is left as it is.
///
/// Between two codings the ratio holds as for what comes out; a MiB that makes no content is an
/// error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decompression {
    /// So many bytes may come out of one response.
    pub content_max: u64,
    /// So many times more may come out than went in, once more than `ratio_from` bytes are out.
    pub ratio_max: u32,
    /// Less than this is not judged by its ratio.
    pub ratio_from: u64,
}

impl Default for Decompression {
    /// No bound for all of it, as for content that is not compressed; 200 times what came in, once
    /// it is more than 16 MiB.
    fn default() -> Self {
        Decompression {
            content_max: u64::MAX,
            ratio_max: 200,
            ratio_from: 16 * 1024 * 1024,
        }
    }
}

/// What is asked for, the preferred one first.
pub(super) const ACCEPTED: HeaderValue = HeaderValue::from_static("zstd, br, gzip, deflate");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The codings of a response in the order in which they were applied; `None` where one is not known
/// here, or nothing is to be undone.
pub(super) fn codings(headers: &HeaderMap) -> Option<Vec<Coding>> {
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        for name in value.to_str().ok()?.split(',') {
            let name = name.trim();
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            codings.push(match () {
                () if is("gzip") || is("x-gzip") => Coding::Gzip,
                () if is("deflate") => Coding::Deflate,
                () if is("br") => Coding::Brotli,
                () if is("zstd") => Coding::Zstd,
                () if is("identity") || name.is_empty() => continue,
                () => return None,
            });
        }
    }
    let is_possible = (1..=CODINGS_MAX).contains(&codings.len());
    is_possible.then_some(codings)
}

/// Takes the fields away that describe what was sent, and not what comes out.
pub(super) fn strip(headers: &mut HeaderMap) {
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
}

/// Content with its codings undone.
pub(super) struct Decoder {
    origin: Arc<Mutex<Received>>,
    stage: Stage,
    codings: Vec<Coding>,
    meter: Arc<Meter>,
    made: u64,
    scratch: Box<[u8]>,
}

enum Stage {
    /// Nothing has come yet; how it begins says which form of deflate it is.
    Beginning(Source),
    Decoding(Decoding),
    /// All is out; the rest of the exchange is still to come.
    Ending,
    Over,
}

/// What comes in.
struct Received {
    body: RawBody,
    meter: Arc<Meter>,
    trailers: Option<HeaderMap>,
}

impl Decoder {
    pub(super) fn new(body: RawBody, codings: Vec<Coding>, limits: Decompression) -> Self {
        let meter = Meter::new(limits);
        let origin = Arc::new(Mutex::new(Received {
            body,
            meter: meter.clone(),
            trailers: None,
        }));
        Decoder {
            stage: Stage::Beginning(Source {
                origin: origin.clone(),
                chunk: Bytes::new(),
                has_ended: false,
            }),
            origin,
            codings,
            meter,
            made: 0,
            scratch: vec![0; CHUNK_BYTES].into(),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = ready!(self.poll_next(context));
        if !matches!(&polled, Some(Ok(frame)) if frame.is_data()) {
            self.stage = Stage::Over;
        }
        Poll::Ready(polled)
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            match &mut self.stage {
                Stage::Over => return Poll::Ready(None),
                Stage::Beginning(source) => {
                    if let Err(error) = ready!(source.poll_begin(context)) {
                        return Poll::Ready(Some(Err(error)));
                    }
                    self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
                        // A length of zero is what some send with a coding for no content.
                        Stage::Beginning(source) if source.chunk.is_empty() => Stage::Ending,
                        Stage::Beginning(source) => {
                            Stage::Decoding(chain(source, &self.codings, &self.meter))
                        }
                        other => other,
                    };
                }
                Stage::Decoding(decoding) => {
                    let mut out = ReadBuf::new(&mut self.scratch);
                    if let Err(error) = ready!(decoding.as_mut().poll_read(context, &mut out)) {
                        return Poll::Ready(Some(Err(failure(error))));
                    }
                    if out.filled().is_empty() {
                        self.stage = Stage::Ending;
                        continue;
                    }
                    let data = Bytes::copy_from_slice(out.filled());
                    self.made += data.len() as u64;
                    let judged = self.meter.made(self.made).map(|()| Frame::data(data));
                    return Poll::Ready(Some(judged));
                }
                Stage::Ending => {
                    let mut origin = lock(&self.origin);
                    return Poll::Ready(match ready!(origin.poll_data(context)) {
                        Some(Ok(_)) => Some(Err(broken("there is more after its end"))),
                        Some(Err(error)) => Some(Err(error)),
                        None => origin.trailers.take().map(|it| Ok(Frame::trailers(it))),
                    });
                }
            }
        }
    }
}

impl Received {
    /// The next data; trailers are kept.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let frame = match ready!(self.body.poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    self.meter.take(data.len());
                    return Poll::Ready(Some(Ok(data)));
                }
                Err(frame) => self.trailers = frame.into_trailers().ok().or(self.trailers.take()),
            }
        }
    }
}

fn lock(origin: &Mutex<Received>) -> MutexGuard<'_, Received> {
    origin.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Its decoder would take the extension that allows windows of a GiB; RFC 7932 §9.1 ends at 16 MiB
/// and has no stream that begins so.
fn is_brotli(first: u8) -> Result<(), Error> {
    match first & 0x7f {
        0x11 => Err(broken("its window is larger than brotli's")),
        _ => Ok(()),
    }
}

type Decoding = Pin<Box<dyn AsyncRead + Send>>;

/// Undoes the codings, the one that was applied last first.
fn chain(source: Source, codings: &[Coding], meter: &Arc<Meter>) -> Decoding {
    let is_zlib = source.begins_as_zlib();
    let (last, others) = codings.split_last().expect("there is one coding at least");
    let mut decoding = decoder(*last, is_zlib, Gauge::new(source, meter));
    for coding in others.iter().rev() {
        let between = BufReader::with_capacity(CHUNK_BYTES, decoding);
        decoding = decoder(*coding, true, Gauge::new(between, meter));
    }
    decoding
}

fn decoder(
    coding: Coding,
    is_zlib: bool,
    from: Gauge<impl AsyncBufRead + Unpin + Send + 'static>,
) -> Decoding {
    match coding {
        Coding::Gzip => {
            let mut decoder = GzipDecoder::new(from);
            // RFC 1952 §2.2: a file is a series of members.
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        Coding::Deflate if is_zlib => Box::pin(ZlibDecoder::new(from)),
        Coding::Deflate => Box::pin(DeflateDecoder::new(from)),
        Coding::Brotli => Box::pin(BrotliDecoder::new(from.beginning(is_brotli))),
        Coding::Zstd => {
            // RFC 9659 §3: no window above 8 MB is to be accepted.
            let limits = [DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX)];
            let mut decoder = ZstdDecoder::with_params(from, &limits);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
    }
}

/// The content as it comes, for a decoder to read.
struct Source {
    origin: Arc<Mutex<Received>>,
    chunk: Bytes,
    has_ended: bool,
}

impl Source {
    /// Ready when two bytes are there, or all.
    fn poll_begin(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.chunk.len() < 2 && !self.has_ended {
            match ready!(lock(&self.origin).poll_data(context)) {
                None => self.has_ended = true,
                Some(Err(error)) => return Poll::Ready(Err(error)),
                Some(Ok(more)) if self.chunk.is_empty() => self.chunk = more,
                Some(Ok(more)) => self.chunk = [&self.chunk[..], &more[..]].concat().into(),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// RFC 9110 §8.4.1.2: deflate is zlib's format; some send it bare, which is told by its begin.
    fn begins_as_zlib(&self) -> bool {
        match self.chunk[..] {
            [first, second, ..] => {
                first & 0x0f == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31)
            }
            _ => true,
        }
    }
}

impl AsyncBufRead for Source {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let source = self.get_mut();
        if source.chunk.is_empty() && !source.has_ended {
            match ready!(lock(&source.origin).poll_data(context)) {
                None => source.has_ended = true,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                Some(Ok(data)) => source.chunk = data,
            }
        }
        Poll::Ready(Ok(&source.chunk))
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.chunk.advance(count);
    }
}

impl AsyncRead for Source {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        poll_read_filled(self, context, out)
    }
}

/// The client's own error that a decoder passed on, or what the decoder says itself.
fn failure(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(own) => own,
        Err(error) => broken(&error.to_string()).with_source(error),
    }
}

fn broken(why: &str) -> Error {
    let detail = format!("the compressed content is broken: {why}");
    let failure = Failure::new(Origin::Http, FailureKind::ProtocolViolation, detail);
    Error::new(ErrorClass::Encoding, failure)
}

/// More codings than these nobody has a use for, and each has a window.
const CODINGS_MAX: usize = 2;

const CHUNK_BYTES: usize = 16 * 1024;
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_are_known_by_their_names_and_the_unknown_is_left_alone() {
        let rows: [(&[&str], Option<Vec<Coding>>); 8] = [
            (&["gzip"], Some(vec![Coding::Gzip])),
            (&["X-GZip"], Some(vec![Coding::Gzip])),
            (&["br, zstd"], Some(vec![Coding::Brotli, Coding::Zstd])),
            (
                &["deflate", "gzip"],
                Some(vec![Coding::Deflate, Coding::Gzip]),
            ),
            (&["identity"], None),
            (&["gzip, unheard-of"], None),
            (&["gzip, gzip, gzip"], None),
            (&[], None),
        ];
        for (values, expected) in rows {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(codings(&headers), expected, "{values:?}");
        }
    }
}
