//! GETs and their responses of 1 KiB between two connections in one thread, without a transport.
//!
//! It shows every call that a driver makes, and its two halves are functions of their own, so that
//! a profiler can count what each side costs:
//! `valgrind --tool=callgrind --toggle-collect='*server_side*' target/release/examples/requests`.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use portway_h3::message::{RequestHead, ResponseHead};
use portway_h3::{
    Action, Config, Connection, Direction, Event, Finish, Incoming, Role, StreamId, Written,
};
use std::time::Duration;

/// What one side sends: the stream, its pieces and whether it ends.
type Sent = Vec<(StreamId, Vec<Bytes>, bool)>;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let requests = number(arguments.next(), 1000);
    let fields = number(arguments.next(), 0);
    let mut client = Side::new(Role::Client);
    let mut server = Side::new(Role::Server);
    // The tables are as they are in the middle of a connection.
    let mut received = run(&mut client, &mut server, 0..200, fields);
    received += run(&mut client, &mut server, 200..200 + requests, fields);
    println!("{} requests, {received} bytes of content", requests + 200);
}

fn number(argument: Option<String>, default: u64) -> u64 {
    argument.map_or(default, |text| text.parse().expect("a number"))
}

fn run(client: &mut Side, server: &mut Side, indices: std::ops::Range<u64>, fields: u64) -> usize {
    let content = Bytes::from(vec![7; 1024]);
    let request = request(fields);
    let response = response(fields);
    let mut received = 0;
    for index in indices {
        let stream = StreamId::nth(Role::Client, Direction::Bidirectional, index);
        let stream = stream.expect("in range");
        ask(client, stream, &request);
        answer(server, &client.sent, &response, &content);
        received += receive(client, &server.sent, stream);
        server.sent.clear();
        client.sent.clear();
        // Acknowledgments of field sections.
        client.work();
        server.take(&client.sent);
        client.sent.clear();
    }
    received
}

/// The client sends a request.
#[inline(never)]
fn ask(client: &mut Side, stream: StreamId, head: &RequestHead) {
    client_side(|| {
        let sent = client.connection.send_request(stream, head, Finish::Now);
        sent.expect("a request");
        client.work();
    });
}

/// The server takes it and answers.
#[inline(never)]
fn answer(server: &mut Side, arrived: &Sent, head: &ResponseHead, content: &Bytes) {
    server_side(|| {
        server.take(arrived);
        while let Some(event) = server.connection.poll_event() {
            let Event::Request(stream) = event else {
                continue;
            };
            while let Some(Ok(incoming)) = server.connection.receive(stream) {
                std::hint::black_box(&incoming);
            }
            let connection = &mut server.connection;
            let sent = connection.send_response(stream, head, Finish::Later);
            sent.expect("a response");
            let sent = connection.send_data(stream, content.clone(), Finish::Now);
            sent.expect("content");
        }
        server.work();
    });
}

/// The client takes the response.
#[inline(never)]
fn receive(client: &mut Side, arrived: &Sent, stream: StreamId) -> usize {
    let mut received = 0;
    client_side(|| {
        client.take(arrived);
        while client.connection.poll_event().is_some() {}
        while let Some(Ok(incoming)) = client.connection.receive(stream) {
            if let Incoming::Data(bytes) = incoming {
                received += bytes.len();
            }
        }
    });
    received
}

/// Everything that the client does.
#[inline(never)]
fn client_side(work: impl FnOnce()) {
    work();
}

/// Everything that the server does.
#[inline(never)]
fn server_side(work: impl FnOnce()) {
    work();
}

/// A connection and what it sends.
struct Side {
    connection: Connection,
    sent: Sent,
    opened: u64,
}

impl Side {
    fn new(role: Role) -> Self {
        Self {
            connection: Connection::new(role, Config::default()),
            sent: Vec::new(),
            opened: 0,
        }
    }

    /// What arrived, and what follows from it.
    fn take(&mut self, arrived: &Sent) {
        self.connection.set_time(Duration::ZERO);
        for (stream, pieces, fin) in arrived {
            let last = pieces.len().saturating_sub(1);
            for (at, piece) in pieces.iter().enumerate() {
                let ends = *fin && at == last;
                self.connection.on_stream_data(*stream, piece.clone(), ends);
            }
        }
    }

    /// Gives everything that waits to the other side.
    fn work(&mut self) {
        while self.connection.wants_unidirectional() {
            let role = self.connection.role();
            let stream = StreamId::nth(role, Direction::Unidirectional, self.opened);
            self.connection
                .on_unidirectional_opened(stream.expect("in range"));
            self.opened += 1;
        }
        while let Some(action) = self.connection.poll_action() {
            assert!(!matches!(action, Action::Reset(..)), "nothing fails here");
        }
        while let Some(transmit) = self.connection.poll_transmit() {
            let (stream, fin) = (transmit.stream, transmit.fin);
            let pieces: Vec<Bytes> = transmit.chunks.iter_mut().map(std::mem::take).collect();
            let written = Written {
                bytes: pieces.iter().map(Bytes::len).sum(),
                fin,
                is_blocked: false,
            };
            self.sent.push((stream, pieces, fin));
            self.connection.on_transmitted(stream, written);
        }
    }
}

fn request(fields: u64) -> RequestHead {
    let uri = "https://example.com/some/path".parse().expect("a target");
    let mut head = RequestHead::new(Method::GET, uri);
    fill(&mut head.headers, fields);
    head
}

fn response(fields: u64) -> ResponseHead {
    let mut head = ResponseHead::new(StatusCode::OK);
    let length = HeaderValue::from_static("1024");
    head.headers.insert(http::header::CONTENT_LENGTH, length);
    fill(&mut head.headers, fields);
    head
}

fn fill(headers: &mut HeaderMap, fields: u64) {
    for n in 0..fields {
        let name = http::HeaderName::try_from(format!("x-field-{n}")).expect("a name");
        let value = HeaderValue::try_from(format!("value number {n}")).expect("a value");
        headers.insert(name, value);
    }
}
