//! An HTTP/3 server that answers with what it was asked: `cargo run --package portway --example
//! h3_echo_server -- --listen 127.0.0.1:4433 --cert FILE --key FILE`.
//!
//! | request | answer |
//! |---|---|
//! | `GET /bytes/N` | N bytes |
//! | `POST /sink` | how many bytes came |
//! | `GET /push` | pushes `/pushed` first if the client takes pushes, then as any other |
//! | `GET /interim` | 103 twice, then as any other |
//! | any other | its method and path in `x-method` and `x-path`, its content and its trailers |
//!
//! SIGTERM ends it in good order: requests that are on their way are answered.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, LINK};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use portway::h3::{
    Incoming, Options, ReadAllError, ReceiveBody, Responder, SendBody, SendError, ServerConnection,
};
use portway::quic::{Connection, Listener};
use portway::{Security, load_identity};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let identity = load_identity(&arguments.cert, &arguments.key)?;
    let security = Security::tls().with_identity(identity).with_alpn(["h3"]);
    let listener = Listener::bind(arguments.listen, security)?;
    println!("listening {}", listener.local_address());
    let mut terminate = signal(SignalKind::terminate())?;
    let (ending, ended) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = terminate.recv() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Some(Ok(connection)) => {
                connections.spawn(serve(connection, ended.clone()));
            }
            Some(Err(error)) => eprintln!("{}: {}", error.remote, error.cause),
            None => break,
        }
        while connections.try_join_next().is_some() {}
    }
    ending.send_replace(true);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Serves one connection until its end, or until the server is to end.
async fn serve(connection: Connection, mut ended: watch::Receiver<bool>) {
    let remote = connection.remote_address();
    let options = Options::default().with_grease(u64::from(remote.port()));
    let connection = match ServerConnection::new(&connection, &options) {
        Ok(connection) => Arc::new(connection),
        Err(error) => return eprintln!("{remote}: {error}"),
    };
    let ending = {
        let connection = Arc::clone(&connection);
        tokio::spawn(async move {
            if ended.wait_for(|is_ended| *is_ended).await.is_ok() {
                connection.shutdown().await;
            }
        })
    };
    loop {
        match connection.accept().await {
            Ok(Some(incoming)) => {
                tokio::spawn(async move {
                    let path = incoming.request.uri().path().to_owned();
                    if let Err(error) = answer(incoming).await {
                        eprintln!("{remote}: {path}: {error}");
                    }
                });
            }
            Ok(None) => break,
            Err(error) => {
                eprintln!("{remote}: {error}");
                break;
            }
        }
    }
    match connection.error() {
        // It was shut down: the last answers may be on their way still.
        None => drop(ending.await),
        Some(_) => ending.abort(),
    }
}

async fn answer(incoming: Incoming) -> Result<(), Failure> {
    let Incoming {
        request,
        mut responder,
    } = incoming;
    let path = request.uri().path().to_owned();
    if let (&Method::GET, Some(count)) = (request.method(), path.strip_prefix("/bytes/")) {
        return send_bytes(count.parse(), responder).await;
    }
    if path == "/sink" {
        return count_bytes(request.into_body(), responder).await;
    }
    if path == "/interim" {
        for _ in 0..2 {
            let hint = Response::builder().status(StatusCode::EARLY_HINTS);
            responder.send_interim(hint.header(LINK, "</style>; rel=preload").body(())?)?;
        }
    }
    if path == "/push" {
        push(request.uri(), &mut responder).await?;
    }
    echo(request, responder).await
}

/// Pushes one resource, if the client takes pushes.
async fn push(uri: &Uri, responder: &mut Responder) -> Result<(), Failure> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static("/pushed"));
    let request = Request::get(Uri::from_parts(parts)?).body(())?;
    let promise = match responder.push(request) {
        Ok(promise) => promise,
        Err(SendError::NotOffered(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match promise.fulfil().await {
        Ok(pushed) => Ok(pushed.send(Response::new("pushed".into()))?),
        // The client has changed its mind.
        Err(SendError::Stream(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Answers with what came.
async fn echo(request: Request<ReceiveBody>, responder: Responder) -> Result<(), Failure> {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query();
    let target = target.map_or(parts.uri.path(), |target| target.as_str());
    let response = Response::builder()
        .header(X_METHOD, parts.method.as_str())
        .header(X_PATH, HeaderValue::from_str(target)?);
    let (content, trailers) = match body.read_all(ECHO_BYTES_MAX).await {
        Ok(whole) => whole,
        Err(ReadAllError::TooLong { .. }) => {
            let refusal = response.status(StatusCode::PAYLOAD_TOO_LARGE);
            return Ok(responder.send(refusal.body(Bytes::new())?)?);
        }
        Err(error) => return Err(error.into()),
    };
    match trailers {
        None => responder.send(response.body(content)?)?,
        Some(trailers) => {
            let mut body = responder.send_response(response.body(())?)?;
            body.send_data(content).await?;
            body.send_trailers(&trailers)?;
        }
    }
    Ok(())
}

/// Answers with so many bytes.
async fn send_bytes(
    count: Result<u64, std::num::ParseIntError>,
    responder: Responder,
) -> Result<(), Failure> {
    let Ok(mut left) = count else {
        let refusal = Response::builder().status(StatusCode::BAD_REQUEST);
        return Ok(responder.send(refusal.body(Bytes::new())?)?);
    };
    let response = Response::builder().header(http::header::CONTENT_LENGTH, left);
    let mut body: SendBody = responder.send_response(response.body(())?)?;
    while left > 0 {
        let len = left.min(PIECE.len() as u64);
        left -= len;
        body.send_data(Bytes::from_static(&PIECE[..len as usize]))
            .await?;
    }
    Ok(body.finish()?)
}

/// Answers with the number of bytes that came.
async fn count_bytes(mut body: ReceiveBody, responder: Responder) -> Result<(), Failure> {
    let mut count = 0;
    while let Some(piece) = body.data().await {
        count += piece?.len() as u64;
    }
    Ok(responder.send(Response::new(count.to_string().into()))?)
}

struct Arguments {
    listen: SocketAddr,
    cert: PathBuf,
    key: PathBuf,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let (mut listen, mut cert, mut key) = (None, None, None);
        while let Some(word) = words.next() {
            let value = words.next().ok_or(USAGE)?;
            match word.as_str() {
                "--listen" => listen = Some(value.parse()?),
                "--cert" => cert = Some(value.into()),
                "--key" => key = Some(value.into()),
                _ => return Err(USAGE.into()),
            }
        }
        Ok(Arguments {
            listen: listen.ok_or(USAGE)?,
            cert: cert.ok_or(USAGE)?,
            key: key.ok_or(USAGE)?,
        })
    }
}

const USAGE: &str = "usage: h3_echo_server --listen ADDR:PORT --cert FILE --key FILE";
const X_METHOD: HeaderName = HeaderName::from_static("x-method");
const X_PATH: HeaderName = HeaderName::from_static("x-path");
/// The largest content that is sent back.
const ECHO_BYTES_MAX: usize = 64 << 20;
static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
