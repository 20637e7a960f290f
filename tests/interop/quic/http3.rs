//! As much HTTP/3 as a peer of HTTP/3 needs to move bytes, written by hand over our streams.
//!
//! Invariant: frames are found by their lengths; of field sections nothing is read.

use portway::quic::{Connection, ReceiveStream, SendStream};

/// The streams that stay open as long as their connection (RFC 9114 §6.2.1).
pub(super) struct Critical {
    _control: SendStream,
    _peers: Vec<ReceiveStream>,
}

impl Critical {
    /// Opens the control stream, and accepts as many of the peer's; `None` when the connection
    /// has ended.
    pub(super) async fn open(connection: &Connection, peers: usize) -> Option<Critical> {
        let mut control = connection.open_uni().await.ok()?;
        control.write_all(CONTROL).await.ok()?;
        let mut all = Vec::new();
        for _ in 0..peers {
            all.push(connection.accept_uni().await.ok()?);
        }
        Some(Critical {
            _control: control,
            _peers: all,
        })
    }
}

/// A control stream with empty settings (RFC 9114 §6.2.1), so no dynamic table.
const CONTROL: &[u8] = b"\x00\x04\x00";

/// The number of bytes that a variable-length integer of this value takes here.
const LENGTH_BYTES: usize = 4;

/// A frame: its kind, its length in four bytes, its payload.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small") | 0x8000_0000;
    let mut frame = Vec::with_capacity(1 + LENGTH_BYTES + payload.len());
    frame.push(kind);
    frame.extend(length.to_be_bytes());
    frame.extend(payload);
    frame
}

/// HEADERS: GET, https, the authority and this path, by the static table of RFC 9204.
pub(super) fn request(path: &str) -> Vec<u8> {
    let mut section = b"\x00\x00\xd1\xd7\x50\x09localhost\x51".to_vec();
    section.push(u8::try_from(path.len()).expect("a short path"));
    section.extend(path.as_bytes());
    frame(1, &section)
}

/// HEADERS with status 200, and DATA.
pub(super) fn response(body: &[u8]) -> Vec<u8> {
    let mut response = frame(1, b"\x00\x00\xd9");
    response.extend(frame(0, body));
    response
}

/// What the DATA frames of a stream hold.
pub(super) fn body(mut stream: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while !stream.is_empty() {
        let kind = number(&mut stream);
        let length = usize::try_from(number(&mut stream)).expect("a length");
        let (payload, rest) = stream.split_at(length);
        if kind == 0 {
            body.extend_from_slice(payload);
        }
        stream = rest;
    }
    body
}

/// A variable-length integer (RFC 9000 §16).
fn number(stream: &mut &[u8]) -> u64 {
    let len = 1 << (stream[0] >> 6);
    let (bytes, rest) = stream.split_at(len);
    *stream = rest;
    let first = u64::from(bytes[0] & 0x3f);
    bytes[1..]
        .iter()
        .fold(first, |number, byte| number << 8 | u64::from(*byte))
}

#[test]
fn the_body_of_a_response_is_found_again() {
    let long = vec![7; 70_000];
    assert_eq!(body(&response(&long)), long);
    assert!(body(&request("/30000")).is_empty());
}
