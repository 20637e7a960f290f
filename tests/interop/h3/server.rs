//! Our server in this process, which tells what a peer's own words do not.
//!
//! Invariant: what is told of a connection was seen on that connection.

use crate::authority::Authority;
use crate::quic::{context, loopback};
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, LINK};
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Response, StatusCode};
use portway::Security;
use portway::h3::{Incoming, Options, ReceiveBody, Responder, ServerConnection};
use portway::quic::{Connection, Listener, ListenerOptions};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, mpsc};

type Failure = Box<dyn Error + Send + Sync>;

/// A server that answers, until its test ends:
///
/// | request | answer |
/// |---|---|
/// | `/bytes/N` | N bytes of the pattern |
/// | `/sink` | how many bytes came, and whether they are the pattern |
/// | `/interim` | 103 twice, then as any other |
/// | `/trailers` | content and a trailer |
/// | `/hold` | as any other, when it is told to |
/// | a page that it was given | the page |
/// | any other | its content, with the priority it is scheduled by in `x-priority` |
pub(super) struct Server {
    pub(super) address: SocketAddr,
    accepted: mpsc::UnboundedReceiver<Arc<Served>>,
    known: Vec<Arc<Served>>,
    held: mpsc::UnboundedReceiver<()>,
    release: Arc<Notify>,
}

/// One connection.
pub(super) struct Served {
    pub(super) quic: Connection,
    pub(super) http: ServerConnection,
    /// The method, path and priority of each request.
    seen: Mutex<Vec<String>>,
}

/// What a server gives besides: path, type, content.
pub(super) type Pages = &'static [(&'static str, &'static str, &'static str)];

/// What the answers to requests need.
struct Desk {
    pages: Pages,
    held: mpsc::UnboundedSender<()>,
    release: Arc<Notify>,
}

/// A listener for HTTP/3 that lets clients send early data.
pub(super) fn early_listener(authority: &Authority) -> Listener {
    let mut options = ListenerOptions::default();
    options.context = Some(context());
    options.early_data = true;
    let security = Security::tls().with_identity(authority.server.identity());
    let listener = Listener::bind_with(loopback(), security.with_alpn(["h3"]), options);
    listener.expect("a port")
}

impl Server {
    pub(super) fn start(authority: &Authority, pages: Pages) -> Server {
        let listener = early_listener(authority);
        let address = listener.local_address();
        let (connections, accepted) = mpsc::unbounded_channel();
        let (holding, held) = mpsc::unbounded_channel();
        let release = Arc::new(Notify::new());
        let desk = Arc::new(Desk {
            pages,
            held: holding,
            release: release.clone(),
        });
        tokio::spawn(async move {
            while let Some(accepted) = listener.accept().await {
                let Ok(quic) = accepted else { continue };
                let http = ServerConnection::new(&quic, &options_of(&quic)).expect("free");
                let served = Arc::new(Served {
                    quic,
                    http,
                    seen: Mutex::default(),
                });
                tokio::spawn(serve(served.clone(), desk.clone()));
                let _ = connections.send(served);
            }
        });
        Server {
            address,
            accepted,
            known: Vec::new(),
            held,
            release,
        }
    }

    /// The next connection.
    pub(super) async fn connection(&mut self) -> Arc<Served> {
        let served = self.accepted.recv().await.expect("it listens");
        self.known.push(served.clone());
        served
    }

    /// The connection on which this path was asked for.
    pub(super) fn serving(&mut self, path: &str) -> Arc<Served> {
        while let Ok(served) = self.accepted.try_recv() {
            self.known.push(served);
        }
        let path = format!(" {path} ");
        let has_seen = |served: &Arc<Served>| served.seen().iter().any(|line| line.contains(&path));
        let served = self.known.iter().find(|served| has_seen(served));
        served.expect("it was asked for").clone()
    }

    /// Whether another connection has come.
    pub(super) fn has_another(&mut self) -> bool {
        !self.accepted.is_empty()
    }

    /// Waits until a request is held back.
    pub(super) async fn held(&mut self) {
        self.held.recv().await.expect("it listens");
    }

    /// Answers what is held back.
    pub(super) fn release(&self) {
        self.release.notify_one();
    }
}

impl Served {
    /// What was asked so far.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic while it is held").clone()
    }

    /// Says GOAWAY, and ends in good order.
    pub(super) fn shut_down(self: &Arc<Self>) {
        let served = self.clone();
        tokio::spawn(async move { served.http.shutdown().await });
    }
}

/// Everything that peers may have is offered.
fn options_of(quic: &Connection) -> Options {
    let mut options = Options::default().with_grease(u64::from(quic.remote_address().port()));
    options.http.datagrams.rfc9297 = true;
    options.http.extended_connect = true;
    options
}

async fn serve(served: Arc<Served>, desk: Arc<Desk>) {
    while let Ok(Some(incoming)) = served.http.accept().await {
        let (served, desk) = (served.clone(), desk.clone());
        tokio::spawn(async move {
            let path = incoming.request.uri().path().to_owned();
            if let Err(error) = answer(&served, &desk, incoming).await {
                eprintln!("{path}: {error}");
            }
        });
    }
}

async fn answer(served: &Served, desk: &Desk, incoming: Incoming) -> Result<(), Failure> {
    let Incoming {
        request,
        mut responder,
    } = incoming;
    let path = request.uri().path().to_owned();
    let priority = priority(&responder);
    let line = format!("{} {path} {priority}", request.method());
    served
        .seen
        .lock()
        .expect("no panic while it is held")
        .push(line);
    if let Some(count) = path.strip_prefix("/bytes/") {
        return bytes(count.parse()?, responder).await;
    }
    if let Some((_, ty, text)) = desk.pages.iter().find(|(page, _, _)| *page == path) {
        let response = Response::builder().header("content-type", *ty);
        return Ok(responder.send(response.body(Bytes::from_static(text.as_bytes()))?)?);
    }
    match path.as_str() {
        "/sink" => return sink(request.into_body(), responder).await,
        "/interim" => {
            for _ in 0..2 {
                let hint = Response::builder().status(StatusCode::EARLY_HINTS);
                responder.send_interim(hint.header(LINK, "</style>; rel=preload").body(())?)?;
            }
        }
        "/hold" => {
            desk.held.send(())?;
            desk.release.notified().await;
        }
        "/push" => push(&request, &mut responder).await?,
        _ => {}
    }
    let (content, trailers) = request.into_body().read_all(CONTENT_MAX).await?;
    let response = Response::builder().header(X_PRIORITY, self::priority(&responder));
    let trailers = match path.as_str() {
        "/trailers" => Some(HeaderMap::from_iter([(
            X_TRAILER,
            HeaderValue::from_static("one"),
        )])),
        _ => trailers,
    };
    let Some(trailers) = trailers else {
        return Ok(responder.send(response.body(content)?)?);
    };
    let mut body = responder.send_response(response.body(())?)?;
    body.send_data(content).await?;
    Ok(body.send_trailers(&trailers)?)
}

/// The priority as a field's value.
fn priority(responder: &Responder) -> String {
    let text = responder.priority().map(|priority| priority.to_string());
    match text.as_deref() {
        None => "over".to_owned(),
        Some("") => "default".to_owned(),
        Some(text) => text.replace(", ", ","),
    }
}

async fn push(request: &Request<ReceiveBody>, responder: &mut Responder) -> Result<(), Failure> {
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static("/pushed"));
    let promised = Request::get(http::Uri::from_parts(parts)?).body(())?;
    let pushed = responder.push(promised)?.fulfil().await?;
    Ok(pushed.send(Response::new("pushed".into()))?)
}

async fn bytes(count: usize, responder: Responder) -> Result<(), Failure> {
    let response = Response::builder().header(http::header::CONTENT_LENGTH, count);
    let mut body = responder.send_response(response.body(())?)?;
    let piece = Bytes::from(crate::quic::pattern(PIECE));
    let mut left = count;
    while left > 0 {
        let len = left.min(PIECE);
        body.send_data(piece.slice(..len)).await?;
        left -= len;
    }
    Ok(body.finish()?)
}

async fn sink(mut body: ReceiveBody, responder: Responder) -> Result<(), Failure> {
    let expected = crate::quic::pattern(2 * PIECE);
    let (mut count, mut is_whole) = (0, true);
    while let Some(piece) = body.data().await {
        let piece = piece?;
        for part in piece.chunks(PIECE) {
            is_whole &= *part == expected[count % 251..][..part.len()];
            count += part.len();
        }
    }
    let word = if is_whole { "whole" } else { "broken" };
    let response = Response::builder().header(X_SINK, format!("{count},{word}"));
    Ok(responder.send(response.body(Bytes::new())?)?)
}

const X_PRIORITY: HeaderName = HeaderName::from_static("x-priority");
const X_SINK: HeaderName = HeaderName::from_static("x-sink");
const X_TRAILER: HeaderName = HeaderName::from_static("x-trailer");
/// The largest content that is sent back.
const CONTENT_MAX: usize = 64 << 20;
/// A whole number of the pattern's periods.
const PIECE: usize = 251 << 8;
