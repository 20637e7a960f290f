//! The client hello of a connection that is not accepted yet, read from its Initial packets.
//!
//! Invariant: any bytes give a hello, a wish for more, or an error; what is held is bounded by
//! [`HelloLimits`], and a hello that could be read in two ways is an error. Nothing here is proven:
//! anybody who sees a client's first packet can make others like it.

mod initial;
mod message;
mod stream;
#[cfg(test)]
mod tests;

use crate::tls::QuicHandshake;
use initial::Keys;
use stream::CryptoStream;

/// What a client says before anything is agreed upon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientHello {
    /// The name of the server that it wants, in lower case.
    pub server_name: Option<String>,
    /// The application protocols that it offers, the preferred one first.
    pub alpn: Vec<Vec<u8>>,
    /// The TLS versions that it offers, as numbers.
    pub versions: Vec<u16>,
    /// The cipher suites that it offers, as numbers.
    pub cipher_suites: Vec<u16>,
    /// Whether it sends QUIC transport parameters, without which nothing is accepted.
    pub has_transport_parameters: bool,
    /// Whether it wants to resume a session.
    pub offers_session: bool,
    /// Whether it sends early data.
    pub offers_early_data: bool,
}

impl ClientHello {
    /// Whether it offers this application protocol.
    pub fn offers(&self, protocol: &[u8]) -> bool {
        self.alpn.iter().any(|offered| offered == protocol)
    }

    /// Whether a handshake that has ended was begun by this hello, as far as it decided anything:
    /// packets that this side has not kept could have changed what TLS saw.
    pub fn agrees_with(&self, handshake: &QuicHandshake) -> bool {
        let name = handshake.server_name.as_deref();
        let is_name_same = match (&self.server_name, name) {
            (Some(own), Some(name)) => own.eq_ignore_ascii_case(name),
            (own, name) => own.is_none() && name.is_none(),
        };
        is_name_same && handshake.alpn.as_deref().is_none_or(|it| self.offers(it))
    }
}

/// Bounds on what a client can make a [`HelloReader`] hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HelloLimits {
    /// Bytes of the hello. One with a post-quantum key share and a ticket has about 2000.
    pub bytes_max: usize,
    /// Packets that it may come in.
    pub packets_max: usize,
    /// Pieces that may wait for what is missing between them.
    pub pieces_max: usize,
}

impl Default for HelloLimits {
    fn default() -> Self {
        HelloLimits {
            bytes_max: 16 * 1024,
            packets_max: 32,
            pieces_max: 64,
        }
    }
}

/// Why there is no client hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelloError {
    /// It breaks the rules of QUIC or TLS in this place.
    #[error("the client hello is malformed: {0}")]
    Malformed(&'static str),
    /// It is longer, or in more pieces, than is taken.
    #[error("the client hello is longer than is taken: {0}")]
    TooLong(&'static str),
    /// Two of its packets contradict each other.
    #[error("the client hello contradicts itself")]
    Contradiction,
}

/// Reads the hello of one client from its datagrams.
///
/// ```
/// use portway_transport::quic::HelloReader;
///
/// let mut reader = HelloReader::default();
/// // Not a packet of QUIC: it is ignored, as the protocol ignores it.
/// assert_eq!(reader.on_datagram(b"not a packet"), Ok(None));
/// ```
#[derive(Default)]
pub struct HelloReader {
    limits: HelloLimits,
    /// The client's first choice of identifier, and the keys that come from it.
    keys: Option<(Vec<u8>, Keys)>,
    /// Packets that were read.
    numbers: Vec<u64>,
    stream: CryptoStream,
    scratch: Vec<u8>,
}

impl HelloReader {
    /// A reader with these limits.
    pub fn new(limits: HelloLimits) -> Self {
        HelloReader {
            limits,
            ..HelloReader::default()
        }
    }

    /// The identifier by which a client's first datagrams are told from another's, if this datagram
    /// begins with an Initial packet.
    pub fn identifier(datagram: &[u8]) -> Option<&[u8]> {
        initial::packets(datagram)
            .next()
            .map(|packet| packet.destination)
    }

    /// Takes the next datagram of the client; gives the hello when it is whole.
    ///
    /// Packets that do not authenticate, are of another kind or have been seen are ignored.
    ///
    /// # Errors
    /// See [`HelloError`]; the reader is of no more use then.
    pub fn on_datagram(&mut self, datagram: &[u8]) -> Result<Option<ClientHello>, HelloError> {
        for packet in initial::packets(datagram) {
            self.on_packet(&packet)?;
        }
        let Some(hello) = self.stream.hello(&self.limits)? else {
            return Ok(None);
        };
        message::parse(hello).map(Some)
    }

    fn on_packet(&mut self, packet: &initial::Packet<'_>) -> Result<(), HelloError> {
        let (identifier, keys) = self.keys.get_or_insert_with(|| {
            let keys = Keys::of(packet.destination);
            (packet.destination.to_vec(), keys)
        });
        // RFC 9000 §7.2: until the server has answered, a client keeps its first choice.
        if identifier != packet.destination {
            return Ok(());
        }
        let largest = self.numbers.iter().max().copied();
        let Some((number, payload)) = keys.open(packet, largest, &mut self.scratch) else {
            return Ok(());
        };
        // RFC 9000 §12.3: a number is used once.
        if self.numbers.contains(&number) {
            return Ok(());
        }
        if self.numbers.len() >= self.limits.packets_max {
            return Err(HelloError::TooLong("it comes in too many packets"));
        }
        self.numbers.push(number);
        self.stream.on_frames(payload, &self.limits)
    }
}

impl std::fmt::Debug for HelloReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HelloReader")
            .field("packets", &self.numbers.len())
            .finish_non_exhaustive()
    }
}
