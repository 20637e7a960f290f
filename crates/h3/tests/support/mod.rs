//! Two connections over the network in memory, or one against a peer whose bytes are written by
//! hand.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use portway_h3::error::{Code, ConnectionError, StreamError};
use portway_h3::memory::{Network, Options};
use portway_h3::message::{RequestHead, ResponseHead};
use portway_h3::{
    Config, Connection, Direction, Event, Finish, Incoming, Role, StreamId, Transport, varint,
};

/// A client and a server.
pub(crate) struct Pair {
    pub(crate) network: Network,
    pub(crate) client: Connection,
    pub(crate) server: Connection,
    pub(crate) now: Duration,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(Config::default(), Config::default(), Options::default())
    }

    pub(crate) fn with(client: Config, server: Config, options: Options) -> Self {
        Self {
            network: Network::new(options),
            client: Connection::new(Role::Client, client),
            server: Connection::new(Role::Server, server),
            now: Duration::ZERO,
        }
    }

    /// Lets both ends and the network work until nothing moves.
    pub(crate) fn run(&mut self) {
        loop {
            self.client.drive(&mut self.network.client, self.now);
            self.server.drive(&mut self.network.server, self.now);
            if !self.network.step() {
                break;
            }
        }
    }

    /// Opens a stream and sends a request on it.
    pub(crate) fn request(&mut self, head: &RequestHead, finish: Finish) -> StreamId {
        let stream = self
            .network
            .client
            .open(Direction::Bidirectional)
            .expect("a stream");
        self.client
            .send_request(stream, head, finish)
            .expect("a request");
        stream
    }

    /// Sends a GET and gives its stream when the server's application has it.
    pub(crate) fn get(&mut self) -> StreamId {
        let stream = self.request(&get("/"), Finish::Now);
        self.run();
        stream
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, stream: StreamId, status: u16, content: &'static [u8]) {
        let head = response(status, &[]);
        let finish = if content.is_empty() {
            Finish::Now
        } else {
            Finish::Later
        };
        self.server
            .send_response(stream, &head, finish)
            .expect("a response");
        if !content.is_empty() {
            self.server
                .send_data(stream, Bytes::from_static(content), Finish::Now)
                .expect("content");
        }
        self.run();
    }
}

/// Everything that waits on a stream, pieces of content joined.
pub(crate) fn received(
    connection: &mut Connection,
    stream: StreamId,
) -> Vec<Result<Incoming, StreamError>> {
    let mut all: Vec<Result<Incoming, StreamError>> = Vec::new();
    while let Some(incoming) = connection.receive(stream) {
        if let (Ok(Incoming::Data(new)), Some(Ok(Incoming::Data(last)))) = (&incoming, all.last()) {
            let joined = [&last[..], new].concat();
            *all.last_mut().expect("there is one") = Ok(Incoming::Data(joined.into()));
        } else {
            all.push(incoming);
        }
    }
    all
}

/// The failure that a stream ended with.
#[track_caller]
pub(crate) fn failure(connection: &mut Connection, stream: StreamId) -> StreamError {
    let all = received(connection, stream);
    match all.last() {
        Some(Err(error)) => *error,
        other => panic!("no failure but {other:?}"),
    }
}

/// The content that came on a stream.
pub(crate) fn content(all: &[Result<Incoming, StreamError>]) -> Vec<u8> {
    let pieces = all.iter().filter_map(|incoming| match incoming {
        Ok(Incoming::Data(bytes)) => Some(&bytes[..]),
        _ => None,
    });
    pieces.flatten().copied().collect()
}

/// Every event that waits.
pub(crate) fn events(connection: &mut Connection) -> Vec<Event> {
    std::iter::from_fn(|| connection.poll_event()).collect()
}

pub(crate) fn get(path: &str) -> RequestHead {
    request(Method::GET, path, &[])
}

pub(crate) fn request(method: Method, path: &str, headers: &[(&'static str, &str)]) -> RequestHead {
    let uri = format!("https://example.com{path}")
        .parse()
        .expect("a target");
    let mut head = RequestHead::new(method, uri);
    head.headers = fields(headers);
    head
}

pub(crate) fn response(status: u16, headers: &[(&'static str, &str)]) -> ResponseHead {
    let mut head = ResponseHead::new(StatusCode::from_u16(status).expect("a status"));
    head.headers = fields(headers);
    head
}

pub(crate) fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    map
}

/// One connection, and a peer that writes what it likes.
pub(crate) struct Raw {
    pub(crate) network: Network,
    pub(crate) connection: Connection,
    pub(crate) now: Duration,
    peer: Role,
}

impl Raw {
    /// A server under test, and a client that opened its control stream with empty settings.
    pub(crate) fn server(config: Config) -> Self {
        Self::new(Role::Server, config, Options::default())
    }

    /// A client under test, and a server that opened its control stream with empty settings.
    pub(crate) fn client(config: Config) -> Self {
        Self::new(Role::Client, config, Options::default())
    }

    pub(crate) fn new(role: Role, config: Config, options: Options) -> Self {
        let mut raw = Self::silent(role, config, options);
        raw.write(raw.uni(0), &[0x00, 0x04, 0x00], false);
        raw
    }

    /// A peer that has sent nothing.
    pub(crate) fn silent(role: Role, config: Config, options: Options) -> Self {
        let peer = if role == Role::Client {
            Role::Server
        } else {
            Role::Client
        };
        Self {
            network: Network::new(options),
            connection: Connection::new(role, config),
            now: Duration::ZERO,
            peer,
        }
    }

    /// A unidirectional stream of the peer.
    pub(crate) fn uni(&self, index: u64) -> StreamId {
        StreamId::nth(self.peer, Direction::Unidirectional, index).expect("in range")
    }

    /// Lets the peer write, and the connection look at it.
    pub(crate) fn write(&mut self, stream: StreamId, bytes: &[u8], fin: bool) {
        self.network.end(self.peer).inject(stream, bytes, fin);
        self.run();
    }

    pub(crate) fn reset(&mut self, stream: StreamId, code: Code) {
        self.network.end(self.peer).reset(stream, code);
        self.run();
    }

    pub(crate) fn stop(&mut self, stream: StreamId, code: Code) {
        self.network.end(self.peer).stop(stream, code);
        self.run();
    }

    pub(crate) fn run(&mut self) {
        loop {
            let role = self.connection.role();
            self.connection.drive(self.network.end(role), self.now);
            if !self.network.step() {
                break;
            }
        }
    }

    /// The record of the connection's own end.
    pub(crate) fn record(&mut self) -> &portway_h3::memory::Record {
        let role = self.connection.role();
        self.network.end(role).record()
    }

    /// What the connection sent to the peer on a stream.
    pub(crate) fn sent(&mut self, stream: StreamId) -> Vec<u8> {
        self.network.end(self.peer).drain(stream)
    }

    /// The client under test sends a request.
    pub(crate) fn request(&mut self, head: &RequestHead, finish: Finish) -> StreamId {
        let stream = self
            .network
            .client
            .open(Direction::Bidirectional)
            .expect("a stream");
        self.connection
            .send_request(stream, head, finish)
            .expect("a request");
        self.run();
        stream
    }

    #[track_caller]
    pub(crate) fn assert_closed(&mut self, code: Code) {
        let error: Option<ConnectionError> = self.connection.error();
        assert_eq!(error.map(|error| error.code), Some(code), "{error:?}");
        let closed = self.record().closed.as_ref().map(|(code, _)| *code);
        assert_eq!(closed, Some(code), "the transport was told");
    }

    #[track_caller]
    pub(crate) fn assert_open(&self) {
        assert_eq!(self.connection.error(), None);
    }
}

/// The request stream with this number.
pub(crate) fn bidi(index: u64) -> StreamId {
    StreamId::nth(Role::Client, Direction::Bidirectional, index).expect("in range")
}

/// A frame.
pub(crate) fn frame(ty: u64, payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    varint::encode(ty, &mut wire);
    varint::encode(payload.len() as u64, &mut wire);
    wire.extend_from_slice(payload);
    wire
}

/// An encoded field section of literals.
pub(crate) fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_slice(&[0, 0]);
    for (name, value) in fields {
        prefixed(0x20, 3, name.len(), &mut out);
        out.put_slice(name.as_bytes());
        prefixed(0x00, 7, value.len(), &mut out);
        out.put_slice(value.as_bytes());
    }
    out.to_vec()
}

fn prefixed(first: u8, bits: u32, len: usize, out: &mut BytesMut) {
    let max = (1 << bits) - 1;
    if len < max {
        return out.put_u8(first | len as u8);
    }
    out.put_u8(first | max as u8);
    let mut rest = len - max;
    while rest >= 128 {
        out.put_u8(rest as u8 | 128);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// A HEADERS frame.
pub(crate) fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(0x01, &section(fields))
}

pub(crate) const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "example.com"),
    (":path", "/"),
];

pub(crate) const POST: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "example.com"),
    (":path", "/"),
];

pub(crate) const OK: [(&str, &str); 1] = [(":status", "200")];
