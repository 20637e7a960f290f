//! What carries requests, whichever way: the raw QUIC driver, two kinds of HTTP/3, and HTTP/2.
//!
//! Invariant: every client sends the same fields, every server reads a request to its end and then
//! answers the same content in one piece.

use crate::quic::{Identity, Stack};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use tokio::task::JoinSet;

/// A protocol stack with a client and a server.
pub trait Web: 'static {
    /// One connection of it.
    type Client: Asks;

    /// Starts a server in the runtime that this is called in.
    fn start(identity: &Identity, at: IpAddr) -> SocketAddr;

    /// Connects from an address of this host.
    fn connect(
        identity: &Identity,
        from: IpAddr,
        to: SocketAddr,
    ) -> impl Future<Output = Self::Client> + Send;
}

/// Serves each connection that comes to an endpoint in a task of its own; gives its address.
pub fn accept_all<S: Stack, F>(
    endpoint: S,
    serve: impl Fn(S::Connection) -> F + Send + Sync + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let address = endpoint.address();
    tokio::spawn(async move {
        loop {
            let connection = endpoint.accept().await;
            tokio::spawn(serve(connection));
        }
    });
    address
}

/// A client's connection.
pub trait Asks: Clone + Send + Sync + 'static {
    /// Gets the resource with these fields; how many bytes of content came.
    fn get(&self, fields: &HeaderMap) -> impl Future<Output = usize> + Send;
}

/// What is asked for at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests in flight.
    pub in_flight: usize,
    /// Header fields of each, besides those that every request has.
    pub fields: usize,
}

impl Load {
    /// So many requests in flight, without fields of the application's.
    pub const fn plain(in_flight: usize) -> Load {
        Load {
            in_flight,
            fields: 0,
        }
    }

    /// So many requests in flight, with twenty fields each.
    pub const fn with_fields(in_flight: usize) -> Load {
        Load {
            in_flight,
            fields: FIELDS.len(),
        }
    }

    /// The load of a name: `get-32`, `fields-32`.
    pub fn named(name: &str) -> Option<Load> {
        let (kind, in_flight) = name.split_once('-')?;
        let in_flight = in_flight.parse().ok()?;
        match kind {
            "get" => Some(Load::plain(in_flight)),
            "fields" => Some(Load::with_fields(in_flight)),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> String {
        match self.fields {
            0 => format!("get-{}", self.in_flight),
            _ => format!("fields-{}", self.in_flight),
        }
    }

    /// Sends so many requests and reads the answers.
    pub async fn apply<C: Asks>(self, client: C, times: usize) {
        let fields = fields(self.fields);
        if self.in_flight == 1 {
            for _ in 0..times {
                assert_eq!(client.get(&fields).await, CONTENT.len());
            }
            return;
        }
        // Whoever is ready takes the next one, so that all of them end at about the same time.
        let left = Arc::new(AtomicUsize::new(times / self.in_flight * self.in_flight));
        let mut tasks = JoinSet::new();
        for _ in 0..self.in_flight {
            let (client, fields, left) = (client.clone(), fields.clone(), left.clone());
            tasks.spawn(async move {
                let take = |left: usize| left.checked_sub(1);
                while left.fetch_update(Relaxed, Relaxed, take).is_ok() {
                    assert_eq!(client.get(&fields).await, CONTENT.len());
                }
            });
        }
        tasks.join_all().await;
    }
}

/// A request with these fields.
pub(super) fn request<B>(fields: &HeaderMap, body: B) -> Request<B> {
    let mut request = Request::new(body);
    *request.uri_mut() = TARGET.clone();
    *request.headers_mut() = fields.clone();
    request
}

/// The answer of every server that speaks HTTP.
pub(super) fn response<B>(body: B) -> Response<B> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("1024"));
    response
}

/// The content of every answer.
pub(super) fn content() -> Bytes {
    Bytes::from_static(CONTENT)
}

fn fields(count: usize) -> HeaderMap {
    let fields = FIELDS.iter().take(count);
    let fields = fields.map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    fields.collect()
}

static CONTENT: &[u8] = &[7; 1024];
/// What every client asks for; like a client that asks the same server again, none parses it anew.
pub(super) static TARGET: LazyLock<Uri> =
    LazyLock::new(|| Uri::from_static("https://localhost/resource"));

/// What a browser sends with each request, most of it the same each time.
const FIELDS: [(&str, &str); 20] = [
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "de-CH,de;q=0.9,en;q=0.7"),
    ("cache-control", "no-cache"),
    (
        "cookie",
        "session=6f0d9c1e2b7a4835; theme=dark; consent=all",
    ),
    ("dnt", "1"),
    ("if-none-match", "\"5d8c72a5edda8d6a:0\""),
    ("origin", "https://localhost"),
    ("pragma", "no-cache"),
    ("priority", "u=1, i"),
    ("referer", "https://localhost/articles/2026/11/index.html"),
    (
        "sec-ch-ua",
        "\"Browser\";v=\"140\", \"Not A Brand\";v=\"99\"",
    ),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-site", "same-origin"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) Browser/140.0",
    ),
    ("x-request-kind", "resource"),
    ("x-requested-with", "XMLHttpRequest"),
];
