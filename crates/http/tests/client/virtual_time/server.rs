//! Servers on a simulated host: bytes, TLS, HTTP/2 by frames, and our own HTTP/3.

pub(super) use super::super::server::head;
use super::super::server::{Made, acceptor};
use super::Listening;
use portway_sim::SimEnvironment;
use portway_transport::environment::{Environment, ListenAddress, TcpOptions, TcpStream};
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::server::TlsStream;

/// A connection as a library takes it, with the environment of its host.
pub(super) struct Pipe {
    stream: Box<dyn TcpStream>,
    pub(super) environment: Arc<SimEnvironment>,
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.stream.try_read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_readable(context))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.stream.try_write_vectored(&[IoSlice::new(bytes)]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_writable(context))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown_write())
    }
}

pub(super) fn serve<F, R>(host: &Arc<SimEnvironment>, address: SocketAddr, talk: F) -> Listening
where
    F: Fn(usize, Pipe) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = host.tcp_listen(ListenAddress::on(address));
    let listener = listener.expect("the port is free");
    let accepted = Arc::new(AtomicUsize::new(0));
    let (counted, environment) = (accepted.clone(), host.clone());
    host.spawn(Box::pin(async move {
        loop {
            let stream = poll_fn(|context| listener.poll_accept(context)).await;
            let count = counted.fetch_add(1, Ordering::SeqCst);
            let stream = stream.expect("a connection");
            let mut options = TcpOptions::default();
            options.no_delay = Some(true);
            stream.set_options(&options).expect("it can be set");
            let pipe = Pipe {
                stream,
                environment: environment.clone(),
            };
            environment.spawn(Box::pin(talk(count, pipe)));
        }
    }));
    Listening { address, accepted }
}

/// The server's end of TLS with one application protocol; `None` where the client wants another
/// one, or has gone.
pub(super) async fn protected(
    made: &Made,
    pipe: Pipe,
    alpn: &'static [u8],
) -> Option<TlsStream<Pipe>> {
    acceptor(made, &[alpn]).accept(pipe).await.ok()
}

/// HTTP/2 in TLS with one client, and the stream of its first request; `None` when it has gone.
pub(super) async fn first_request(
    made: &Made,
    pipe: Pipe,
) -> Option<(Frames<TlsStream<Pipe>>, u32)> {
    let mut frames = Frames::begin(protected(made, pipe, b"h2").await?).await;
    let stream = frames.request().await?;
    Some((frames, stream))
}

/// An answer of HTTP/1.1 with two bytes of content.
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Whether the client still took it.
pub(super) async fn say(stream: &mut (impl AsyncWrite + Unpin), words: impl AsRef<[u8]>) -> bool {
    let is_said = stream.write_all(words.as_ref()).await.is_ok();
    stream.flush().await.is_ok() && is_said
}

/// Answers each request of HTTP/1.1 without content with these words, until the client goes.
pub(super) async fn answer_all(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), words: &str) {
    while head(stream).await.is_some() && say(stream, words).await {}
}

/// Waits until the client has gone.
pub(super) async fn gone(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

/// HTTP/2 by frames; the settings are exchanged.
pub(super) struct Frames<S>(S);

/// A frame: type, flags, stream, payload.
pub(super) type Frame = (u8, u8, u32, Vec<u8>);

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// A server that breaks the rule that it begins with settings.
    pub(super) async fn without_settings(mut stream: S) -> Self {
        let mut preface = [0; PREFACE_BYTES];
        stream.read_exact(&mut preface).await.expect("a preface");
        Frames(stream)
    }

    pub(super) async fn begin(stream: S) -> Self {
        let mut frames = Frames::without_settings(stream).await;
        frames.say(SETTINGS, 0, 0, &[]).await;
        frames.say(SETTINGS, ACK, 0, &[]).await;
        frames
    }

    /// Answers each request until the client goes.
    pub(super) async fn answer_all(mut self) {
        while let Some(stream) = self.request().await {
            self.answer(stream).await;
        }
    }

    pub(super) async fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("it is short");
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend_from_slice(&[kind, flags]);
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        say(&mut self.0, frame).await;
    }

    /// The next frame; `None` when the client has gone.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((head[3], head[4], stream, payload))
    }

    /// The stream of the next request; `None` when the client has gone.
    pub(super) async fn request(&mut self) -> Option<u32> {
        loop {
            let (kind, _, stream, _) = self.next().await?;
            if kind == HEADERS {
                return Some(stream);
            }
        }
    }

    /// 200 without content.
    pub(super) async fn answer(&mut self, stream: u32) {
        let flags = END_STREAM | END_HEADERS;
        self.say(HEADERS, flags, stream, &[STATUS_200]).await;
    }

    /// Tells that what comes behind this stream is not served.
    pub(super) async fn go_away(&mut self, last: u32) {
        let payload = [last.to_be_bytes(), [0; 4]].concat();
        self.say(GOAWAY, 0, 0, &payload).await;
    }
}

// RFC 9113 §6.
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
pub(super) const ALTSVC: u8 = 10;
const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
/// HPACK's reference to `:status: 200`.
pub(super) const STATUS_200: u8 = 0x88;
const PREFACE_BYTES: usize = 24;
