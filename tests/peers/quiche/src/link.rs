//! One connection.
//!
//! Invariant: what could not be written yet waits in the order in which it was asked for.

use crate::arguments::Mode;
use crate::{ID_BYTES, is_ready, path};
use quiche::{Connection, ConnectionId, Shutdown};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;

/// A connection and what it remembers.
pub(crate) struct Link {
    pub(crate) proto: Connection,
    is_server: bool,
    is_announced: bool,
    is_over: bool,
    /// The peer's address as it was last.
    peer: Option<SocketAddr>,
    waits_for_answer: bool,
    /// Streams that this side has opened, by direction.
    opened: [u64; 2],
    received: HashMap<u64, Received>,
    /// What waits to be written.
    unsent: BTreeMap<u64, Unsent>,
}

#[derive(Default)]
struct Unsent {
    data: Vec<u8>,
    /// How many of these bytes are written.
    written: usize,
    /// Whether the stream ends with them.
    is_end: bool,
}

struct Received {
    count: usize,
    digest: digest::Context,
    /// The first bytes.
    head: Vec<u8>,
}

impl Link {
    pub(crate) fn new(proto: Connection, is_server: bool) -> Link {
        Link {
            proto,
            is_server,
            is_announced: false,
            is_over: false,
            peer: None,
            waits_for_answer: false,
            opened: [0; 2],
            received: HashMap::new(),
            unsent: BTreeMap::new(),
        }
    }

    /// Takes a datagram; false where it was the first one and is none of a connection.
    pub(crate) fn receive(
        &mut self,
        datagram: &mut [u8],
        from: SocketAddr,
        local: SocketAddr,
    ) -> bool {
        match self.proto.recv(datagram, path(from, local)) {
            Ok(_) | Err(quiche::Error::Done) => {}
            Err(error) => {
                say(format!("failed {error}"));
                if self.is_server && self.proto.stats().recv == 0 {
                    return false;
                }
            }
        }
        if self.peer.replace(from).is_some_and(|before| before != from) {
            say(format!("path {} {}", from.ip(), from.port()));
        }
        if std::mem::take(&mut self.waits_for_answer) {
            say("ponged".to_owned());
        }
        true
    }

    /// Tells what has changed, and reads what came.
    pub(crate) fn look(&mut self, mode: Mode) {
        if self.proto.is_established() && !self.is_announced {
            self.is_announced = true;
            let alpn = String::from_utf8_lossy(self.proto.application_proto()).into_owned();
            let resumed = u8::from(self.proto.is_resumed());
            let early = u8::from(self.proto.early_data_reason() == EARLY_DATA_ACCEPTED);
            say(format!(
                "connected alpn={alpn} resumed={resumed} early={early}"
            ));
        }
        if is_ready(&self.proto) {
            let readable: Vec<u64> = self.proto.readable().collect();
            for stream in readable {
                self.read(stream, mode);
            }
        }
        let mut datagram = [0; 1500];
        while let Ok(len) = self.proto.dgram_recv(&mut datagram) {
            let text = String::from_utf8_lossy(&datagram[..len]);
            say(format!("datagram {len} {text}"));
            if mode == Mode::Echo {
                let _ = self.proto.dgram_send(&datagram[..len]);
            }
        }
        if let Some(error) = self.proto.peer_error()
            && !std::mem::replace(&mut self.is_over, true)
        {
            let kind = if error.is_app {
                "application"
            } else {
                "transport"
            };
            let reason = String::from_utf8_lossy(&error.reason);
            say(format!("terminated {kind} {} {reason}", error.error_code));
        }
    }

    fn read(&mut self, stream: u64, mode: Mode) {
        let mut buffer = [0; 65_536];
        loop {
            let (len, is_end) = match self.proto.stream_recv(stream, &mut buffer) {
                Ok(read) => read,
                Err(quiche::Error::StreamReset(code)) => {
                    say(format!("reset {stream} {code}"));
                    return;
                }
                Err(_) => return,
            };
            let data = &buffer[..len];
            let received = self.received.entry(stream).or_insert_with(|| Received {
                count: 0,
                digest: digest::Context::new(&digest::SHA256),
                head: Vec::new(),
            });
            received.count += len;
            received.digest.update(data);
            let missing = 8_usize.saturating_sub(received.head.len()).min(len);
            received.head.extend(&data[..missing]);
            if mode == Mode::Script && len > 0 {
                let text = String::from_utf8_lossy(&data[..len.min(64)]);
                say(format!("data {stream} {len} {text}"));
            }
            let is_own = (stream & 1 == 0) != self.is_server;
            if mode == Mode::Echo && !is_own && stream & 2 == 0 {
                let data = data.to_vec();
                self.write(stream, data, is_end);
            }
            if is_end {
                self.on_end(stream, mode);
                return;
            }
        }
    }

    fn on_end(&mut self, stream: u64, mode: Mode) {
        let Some(received) = self.received.remove(&stream) else {
            return;
        };
        let digest = hexadecimal(received.digest.finish().as_ref());
        say(format!("finished {stream} {} {digest}", received.count));
        if mode == Mode::Perf
            && stream & 2 == 0
            && let Ok(count) = <[u8; 8]>::try_from(&received.head[..])
        {
            let count = u64::from_be_bytes(count) as usize;
            self.write(stream, pattern(count), true);
        }
    }

    /// The next stream of this side.
    pub(crate) fn open(&mut self, is_one_way: bool) -> u64 {
        let number = &mut self.opened[usize::from(is_one_way)];
        let id = *number << 2 | u64::from(is_one_way) << 1 | u64::from(self.is_server);
        *number += 1;
        say(format!("opened {id}"));
        id
    }

    pub(crate) fn write(&mut self, stream: u64, data: Vec<u8>, is_end: bool) {
        let unsent = self.unsent.entry(stream).or_default();
        unsent.data.extend(data);
        unsent.is_end |= is_end;
        self.write_more();
    }

    /// Writes what there is room for.
    pub(crate) fn write_more(&mut self) {
        if !is_ready(&self.proto) {
            return;
        }
        let proto = &mut self.proto;
        self.unsent.retain(|stream, unsent| {
            let rest = &unsent.data[unsent.written..];
            match proto.stream_send(*stream, rest, unsent.is_end) {
                Ok(len) if len == rest.len() => return false,
                Ok(len) => unsent.written += len,
                Err(quiche::Error::Done | quiche::Error::StreamLimit) => {}
                Err(quiche::Error::StreamStopped(code)) => {
                    say(format!("stopped {stream} {code}"));
                    return false;
                }
                Err(error) => {
                    say(format!("failed {error}"));
                    return false;
                }
            }
            true
        });
    }

    /// Gives the peer identifiers for new paths, and says which.
    pub(crate) fn spare_identifiers(&mut self, random: &SystemRandom) -> Vec<Vec<u8>> {
        let mut given = Vec::new();
        while self.proto.is_established() && self.proto.scids_left() > 0 {
            let (mut identifier, mut token) = (vec![0; ID_BYTES], [0; 16]);
            random.fill(&mut identifier).expect("randomness");
            random.fill(&mut token).expect("randomness");
            let id = ConnectionId::from_ref(&identifier);
            let token = u128::from_be_bytes(token);
            if self.proto.new_scid(&id, token, false).is_err() {
                break;
            }
            given.push(identifier);
        }
        given
    }

    /// Carries a command out.
    pub(crate) fn obey(&mut self, words: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
        match words {
            ["open", kind] => {
                self.open(*kind == "uni");
            }
            ["write", stream, rest @ ..] => {
                self.write(stream.parse()?, rest.join(" ").into_bytes(), false);
            }
            ["fill", stream, count] => {
                let data = pattern(count.parse()?);
                let digest = digest::digest(&digest::SHA256, &data);
                say(format!("filled {stream} {}", hexadecimal(digest.as_ref())));
                self.write(stream.parse()?, data, false);
            }
            ["finish", stream] => self.write(stream.parse()?, Vec::new(), true),
            ["reset", stream, code] => {
                let (stream, code) = (stream.parse()?, code.parse()?);
                self.unsent.remove(&stream);
                self.proto.stream_shutdown(stream, Shutdown::Write, code)?;
            }
            ["stop", stream, code] => {
                let (stream, code) = (stream.parse()?, code.parse()?);
                self.proto.stream_shutdown(stream, Shutdown::Read, code)?;
            }
            ["datagram", rest @ ..] => self.proto.dgram_send(rest.join(" ").as_bytes())?,
            ["ping" | "rebind"] => {
                self.proto.send_ack_eliciting()?;
                self.waits_for_answer = true;
            }
            ["close", code, rest @ ..] => {
                let reason = rest.join(" ");
                match self.proto.close(true, code.parse()?, reason.as_bytes()) {
                    Ok(()) | Err(quiche::Error::Done) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            _ => say(format!("unknown {}", words[0])),
        }
        Ok(())
    }
}

/// `ssl_early_data_accepted` of BoringSSL.
const EARLY_DATA_ACCEPTED: u32 = 2;

/// One line; a test that has ended reads no more.
pub(crate) fn say(line: String) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// The bytes that transfers consist of: both sides can make and check them.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
