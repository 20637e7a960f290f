//! The content of responses: files, parts of them, encoded ones, and what a request brought.
//!
//! Invariant: a file that became shorter meanwhile is an error, never a short response that looks
//! whole.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use portway_http::server::{BoxError, RequestBody};
use std::collections::VecDeque;
use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};

/// Content of any kind.
pub(super) enum SiteBody {
    /// What is in memory.
    Bytes(Bytes),
    /// A file, or parts of it.
    File(Box<FileBody>),
    /// What is made while it is read.
    Encoded(Pin<Box<dyn AsyncRead + Send>>),
    /// What the request brought.
    Request(RequestBody),
}

/// Parts of a file and what stands between them.
pub(super) struct FileBody {
    file: File,
    segments: VecDeque<Segment>,
    left: u64,
    is_seeking: bool,
}

pub(super) enum Segment {
    Bytes(Bytes),
    /// Bytes of the file from where to where they are, and whether the file stands there.
    File {
        first: u64,
        length: u64,
    },
}

impl FileBody {
    pub(super) fn new(file: File, segments: Vec<Segment>) -> Self {
        let length = |segment: &Segment| match segment {
            Segment::Bytes(bytes) => bytes.len() as u64,
            Segment::File { length, .. } => *length,
        };
        FileBody {
            file,
            left: segments.iter().map(length).sum(),
            segments: segments.into(),
            is_seeking: false,
        }
    }

    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            match self.segments.front_mut() {
                None => return Poll::Ready(None),
                Some(Segment::Bytes(bytes)) => {
                    let bytes = std::mem::take(bytes);
                    self.segments.pop_front();
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Some(Segment::File { length: 0, .. }) => {
                    self.segments.pop_front();
                    self.is_seeking = false;
                }
                Some(Segment::File { first, .. }) if !self.is_seeking => {
                    let first = *first;
                    Pin::new(&mut self.file).start_seek(SeekFrom::Start(first))?;
                    self.is_seeking = true;
                }
                Some(Segment::File { length, .. }) => {
                    ready!(Pin::new(&mut self.file).poll_complete(context))?;
                    let wanted = usize::try_from(*length).unwrap_or(CHUNK_BYTES);
                    let file = Pin::new(&mut self.file);
                    let bytes = ready!(poll_chunk(file, context, wanted))?;
                    if bytes.is_empty() {
                        self.segments.clear();
                        return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                    }
                    *length -= bytes.len() as u64;
                    return Poll::Ready(Some(Ok(bytes)));
                }
            }
        }
    }
}

/// Reads at most so many bytes; none is the end.
fn poll_chunk(
    reader: Pin<&mut (impl AsyncRead + ?Sized)>,
    context: &mut Context<'_>,
    wanted: usize,
) -> Poll<io::Result<Bytes>> {
    let mut chunk = vec![0; wanted.min(CHUNK_BYTES)];
    let mut buffer = ReadBuf::new(&mut chunk);
    ready!(reader.poll_read(context, &mut buffer))?;
    let read = buffer.filled().len();
    chunk.truncate(read);
    Poll::Ready(Ok(chunk.into()))
}

impl SiteBody {
    pub(super) const EMPTY: SiteBody = SiteBody::Bytes(Bytes::new());
}

impl Body for SiteBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let read = match self.get_mut() {
            SiteBody::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                return Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))));
            }
            SiteBody::Request(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
            }
            SiteBody::Encoded(reader) => {
                let chunk = ready!(poll_chunk(reader.as_mut(), context, CHUNK_BYTES));
                Some(chunk).filter(|chunk| chunk.as_ref().map_or(true, |bytes| !bytes.is_empty()))
            }
            SiteBody::File(file) => {
                let read = ready!(file.poll_bytes(context));
                if let Some(Ok(bytes)) = &read {
                    file.left -= bytes.len() as u64;
                }
                read
            }
        };
        Poll::Ready(read.map(|read| read.map(Frame::data).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            SiteBody::Bytes(bytes) => bytes.is_empty(),
            SiteBody::File(file) => file.left == 0,
            SiteBody::Encoded(_) => false,
            SiteBody::Request(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            SiteBody::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            SiteBody::File(file) => SizeHint::with_exact(file.left),
            SiteBody::Encoded(_) => SizeHint::default(),
            SiteBody::Request(body) => body.size_hint(),
        }
    }
}

const CHUNK_BYTES: usize = 64 * 1024;
