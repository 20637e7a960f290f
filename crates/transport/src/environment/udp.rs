//! UDP sockets as the environment gives them.
//!
//! Invariant: a datagram leaves whole or not at all, and arrives whole or as an error.

use bytes::BytesMut;
use portway_core::path::PathId;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

/// A request for a UDP socket.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UdpBind {
    /// The local address; port zero lets the system choose.
    pub local: SocketAddr,
    /// The peer, when the socket shall be connected.
    pub remote: Option<SocketAddr>,
    /// The path to be bound to.
    pub path: Option<PathId>,
    /// The differentiated services code point, 0 to 63.
    pub dscp: Option<u8>,
    /// What the socket is for.
    pub profile: UdpProfile,
    /// How many sockets share the address, when it is shared: each packet goes to the one that
    /// [`shard_of`] names, counted in the order in which they were bound. A socket that is closed
    /// ends that order, and packets may then come to any of them.
    pub shards: Option<u16>,
}

impl UdpBind {
    /// A socket bound to `local`.
    pub fn on(local: SocketAddr) -> Self {
        UdpBind {
            local,
            remote: None,
            path: None,
            dscp: None,
            profile: UdpProfile::Datagrams,
            shards: None,
        }
    }

    /// A socket connected to `remote` from wherever the system likes.
    pub fn to(remote: SocketAddr) -> Self {
        let any: IpAddr = match remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        UdpBind {
            remote: Some(remote),
            ..UdpBind::on(SocketAddr::new(any, 0))
        }
    }

    /// The same socket, for the packets of a protocol such as QUIC.
    #[must_use]
    pub fn for_packets(mut self) -> Self {
        self.profile = UdpProfile::Packets;
        self
    }

    /// The same socket, as one of so many that share the address.
    #[must_use]
    pub fn sharded(mut self, shards: u16) -> Self {
        self.shards = Some(shards);
        self
    }
}

/// What a UDP socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UdpProfile {
    /// Datagrams one by one. IP fragments those that are too long for the path.
    Datagrams,
    /// The packets of a protocol that finds the path's MTU itself: none is fragmented, and many
    /// are sent and received at a time. Only [`UdpSocket::try_receive_batch`] receives.
    Packets,
}

/// Which of so many sockets a QUIC packet is for: the first two bytes of its destination connection
/// identifier, modulo their number. What is too short for that is for the first one.
///
/// A server puts the shard into the identifiers that it issues. A client's own first choice is
/// random and at least eight bytes long (RFC 9000 §7.2), so new connections spread, and all packets
/// of one meet at one shard from the first on.
pub fn shard_of(packet: &[u8], shards: u16) -> u16 {
    let number = packet.first().and_then(|first| {
        let at = shard_offset(*first);
        let bytes: [u8; 2] = packet.get(at..at + 2)?.try_into().ok()?;
        Some(u16::from_be_bytes(bytes))
    });
    number.unwrap_or(0) % shards.max(1)
}

/// Where the destination connection identifier begins: behind the first byte, or in a long header
/// behind the version and a length as well (RFC 8999 §5).
pub(crate) fn shard_offset(first: u8) -> usize {
    match first & 0x80 {
        0 => 1,
        _ => 6,
    }
}

/// A UDP socket. The `try_` methods never block and never register a waker.
pub trait UdpSocket: Send + Sync {
    /// Sends one datagram; `remote` is `None` on a connected socket.
    ///
    /// # Errors
    /// `WouldBlock`, `EMSGSIZE` for one that is too large, or a pending ICMP error.
    fn try_send(&self, datagram: &[u8], remote: Option<SocketAddr>) -> io::Result<()>;

    /// Sends several datagrams to the same peer with as few system calls as possible and says
    /// how many were taken.
    ///
    /// # Errors
    /// As [`UdpSocket::try_send`], for the first one.
    fn try_send_batch(&self, datagrams: &[&[u8]], remote: Option<SocketAddr>) -> io::Result<usize>;

    /// Sends one datagram, or several of one length in one call, from a chosen address.
    ///
    /// # Errors
    /// As [`UdpSocket::try_send`]; `InvalidInput` for more segments than
    /// [`UdpSocket::gso_segments_max`] or a source of another family than the remote's. When
    /// several segments were given, an error says that none was sent; success may, like the
    /// network, have lost some.
    fn try_transmit(&self, transmit: &Transmit<'_>) -> io::Result<()>;

    /// As [`UdpSocket::try_send_batch`] on a socket that is not connected, from a chosen address.
    ///
    /// # Errors
    /// As [`UdpSocket::try_transmit`], for the first one.
    fn try_send_batch_from(
        &self,
        datagrams: &[&[u8]],
        remote: SocketAddr,
        source: IpAddr,
    ) -> io::Result<usize> {
        for (sent, datagram) in datagrams.iter().enumerate() {
            let mut transmit = Transmit::to(remote, datagram);
            transmit.source = Some(source);
            match self.try_transmit(&transmit) {
                Err(_) if sent > 0 => return Ok(sent),
                result => result?,
            }
        }
        Ok(datagrams.len())
    }

    /// Takes what the network told about a datagram that was sent, with the peer that it was for,
    /// on a socket that is not connected and where the system tells such things. Sending or
    /// receiving fails before, whomever it was for, as [`UdpSocket::poll_readable`] is ready.
    fn take_error(&self) -> Option<(SocketAddr, io::Error)> {
        None
    }

    /// Receives one datagram. A datagram longer than `out` is an error, never cut.
    ///
    /// # Errors
    /// `WouldBlock`, `InvalidData` for one that did not fit, a pending ICMP error, or
    /// `Unsupported` on a socket for packets.
    fn try_receive(&self, out: &mut [u8]) -> io::Result<ReceivedDatagram>;

    /// Replaces what is in `batch` by what waits to be received, as much as finds room, and says
    /// how many messages that are.
    ///
    /// # Errors
    /// `WouldBlock` or a pending ICMP error; then `batch` is empty.
    fn try_receive_batch(&self, batch: &mut DatagramBatch) -> io::Result<usize>;

    /// Ready when `try_receive` may give something. Only the last waker is kept.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ready when `try_send` may take something. Only the last waker is kept.
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// How many segments one [`UdpSocket::try_transmit`] may have. It becomes one for good when
    /// the system turns out not to segment.
    fn gso_segments_max(&self) -> usize {
        1
    }

    /// How many datagrams one received message may hold.
    fn gro_segments_max(&self) -> usize {
        1
    }

    /// The code point of datagrams for which [`Transmit::dscp`] says none; `None` where datagrams
    /// cannot be given one of their own.
    fn code_point(&self) -> Option<u8> {
        None
    }

    /// Whether IP may fragment what is sent, so that the path's MTU cannot be probed.
    fn may_fragment(&self) -> bool {
        true
    }

    /// The largest payload in bytes that can be sent now; without fragmentation when asked.
    fn payload_max(&self, remote: SocketAddr, may_fragment: bool) -> usize;

    /// The local address.
    fn local_address(&self) -> SocketAddr;
}

/// What [`UdpSocket::try_transmit`] sends.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'a> {
    /// Where to.
    pub remote: SocketAddr,
    /// The local address to send from, where a socket has several; `None` leaves the choice to
    /// the system's routing.
    pub source: Option<IpAddr>,
    /// The two ECN bits.
    pub ecn: Option<u8>,
    /// The code point, where it is another than that of the socket and
    /// [`UdpSocket::code_point`] says that there can be one.
    pub dscp: Option<u8>,
    /// The payload of one datagram, or of several one after the other.
    pub contents: &'a [u8],
    /// The length of each datagram when there are several; the last one may be shorter.
    pub segment_size: Option<usize>,
}

impl<'a> Transmit<'a> {
    /// One datagram to `remote`.
    pub fn to(remote: SocketAddr, contents: &'a [u8]) -> Self {
        Transmit {
            remote,
            source: None,
            ecn: None,
            dscp: None,
            contents,
            segment_size: None,
        }
    }

    /// The datagrams, at least one.
    pub fn segments(&self) -> impl Iterator<Item = &'a [u8]> {
        datagrams(self.contents, self.segment_size)
    }

    /// The segment size, when there is more than one segment.
    pub fn effective_segment_size(&self) -> Option<usize> {
        self.segment_size
            .filter(|size| *size < self.contents.len() && *size > 0)
    }

    /// Refuses what no socket with so many segments could send.
    ///
    /// # Errors
    /// See [`UdpSocket::try_transmit`].
    pub fn check(&self, gso_segments_max: usize) -> io::Result<()> {
        let invalid = |reason: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        if let Some(source) = self.source
            && source.is_ipv4() != self.remote.is_ipv4()
        {
            return invalid("the source address is of another family than the remote one");
        }
        if self.segment_size == Some(0) {
            return invalid("segments have no length");
        }
        if let Some(size) = self.effective_segment_size()
            && self.contents.len().div_ceil(size) > gso_segments_max
        {
            return invalid("more segments than the socket sends at a time");
        }
        Ok(())
    }
}

/// What is known of a datagram that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedDatagram {
    /// The length in bytes.
    pub len: usize,
    /// Who sent it.
    pub remote: SocketAddr,
    /// The address that it was sent to, when the system says.
    pub local: Option<IpAddr>,
    /// The two ECN bits, when the system says.
    pub ecn: Option<u8>,
}

/// Several received datagrams of one sender, with one length and one set of ECN bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedMessage<'a> {
    /// The payloads, one after the other.
    pub contents: &'a [u8],
    /// The length of each; the last one may be shorter.
    pub stride: usize,
    /// Who sent them.
    pub remote: SocketAddr,
    /// The address that they were sent to, when the system says.
    pub local: Option<IpAddr>,
    /// The two ECN bits, when the system says.
    pub ecn: Option<u8>,
}

impl<'a> ReceivedMessage<'a> {
    /// The payloads one by one, at least one.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> {
        datagrams(self.contents, Some(self.stride))
    }
}

fn datagrams(contents: &[u8], size: Option<usize>) -> impl Iterator<Item = &[u8]> {
    let size = size.unwrap_or(contents.len()).max(1);
    let empty = contents.is_empty().then_some(contents);
    empty.into_iter().chain(contents.chunks(size))
}

/// Room for several received messages, each as long as UDP lets one be. What no message needed so
/// far is not allocated.
#[derive(Debug)]
pub struct DatagramBatch {
    /// As many as were needed so far; those of received messages hold their bytes.
    slots: Vec<BytesMut>,
    received: Vec<Slot>,
    messages_max: usize,
    /// How often in a row little of it was used.
    calm: u32,
}

/// What is known of the message in the slot of the same index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) stride: usize,
    pub(crate) remote: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    pub(crate) ecn: Option<u8>,
}

impl DatagramBatch {
    /// Room for so many messages, at least one.
    pub fn new(messages_max: usize) -> Self {
        DatagramBatch {
            slots: Vec::new(),
            received: Vec::new(),
            messages_max: messages_max.max(1),
            calm: 0,
        }
    }

    /// No room at all, and no memory.
    pub(crate) const fn empty() -> Self {
        DatagramBatch {
            slots: Vec::new(),
            received: Vec::new(),
            messages_max: 0,
            calm: 0,
        }
    }

    /// How many messages it holds.
    pub fn len(&self) -> usize {
        self.received.len()
    }

    /// Whether it holds no message.
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// Whether there is no room for another message.
    pub fn is_full(&self) -> bool {
        self.received.len() == self.messages_max
    }

    /// How many messages it has room for.
    pub fn messages_max(&self) -> usize {
        self.messages_max
    }

    /// Makes room for twice as many messages, up to a bound, after one that was full, and for half
    /// as many, `messages_min` at least, when little of it was used for long.
    pub(crate) fn adapt(&mut self, received: usize, messages_min: usize, messages_max: usize) {
        if received == self.messages_max {
            self.messages_max = messages_max.min(self.messages_max * 2);
        }
        self.calm = match received * 4 <= self.messages_max {
            true => self.calm + 1,
            false => 0,
        };
        if self.calm == CALM_MAX {
            self.calm = 0;
            self.messages_max = messages_min.max(self.messages_max / 2);
        }
    }

    /// The messages in the order of their arrival.
    pub fn messages(&self) -> impl Iterator<Item = ReceivedMessage<'_>> {
        std::iter::zip(&self.slots, &self.received).map(|(contents, slot)| slot.message(contents))
    }

    /// Takes the messages out: what is known of each, without its contents, and the contents. Those
    /// that fill a good part of their memory keep it, so that they are not copied.
    pub fn drain(&mut self) -> impl Iterator<Item = (ReceivedMessage<'static>, BytesMut)> {
        std::iter::zip(&mut self.slots, self.received.drain(..)).map(|(contents, slot)| {
            let taken = match contents.len() < KEPT_BYTES_MIN {
                true => BytesMut::from(&contents[..]),
                false => contents.split(),
            };
            (slot.message(&[]), taken)
        })
    }

    /// Forgets the messages and keeps the memory.
    pub fn clear(&mut self) {
        self.received.clear();
    }

    /// Adds a message, for environments; false when there is no room.
    pub fn push(&mut self, message: ReceivedMessage<'_>) -> bool {
        let index = self.received.len();
        if self.is_full() || message.contents.len() > MESSAGE_BYTES_MAX {
            return false;
        }
        let room = self.room(index);
        room.clear();
        room.extend_from_slice(message.contents);
        self.received.push(Slot {
            stride: message.stride,
            remote: message.remote,
            local: message.local,
            ecn: message.ecn,
        });
        true
    }

    /// Forgets the messages and gives the slot of this index, empty and with memory for any.
    pub(crate) fn empty_slot(&mut self, index: usize) -> &mut BytesMut {
        self.received.truncate(index);
        let room = self.room(index);
        room.clear();
        room.reserve(MESSAGE_BYTES_MAX);
        room
    }

    /// Takes note of the message that was written into the next slot.
    pub(crate) fn note(&mut self, slot: Slot) {
        self.received.push(slot);
    }

    /// The slot of this index, whatever it holds.
    pub(crate) fn room(&mut self, index: usize) -> &mut BytesMut {
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, BytesMut::new);
        }
        &mut self.slots[index]
    }
}

impl Slot {
    fn message<'a>(&self, contents: &'a [u8]) -> ReceivedMessage<'a> {
        ReceivedMessage {
            contents,
            stride: self.stride,
            remote: self.remote,
            local: self.local,
            ecn: self.ecn,
        }
    }
}

/// The most that a system gives at a time: UDP's length field has sixteen bits.
pub(crate) const MESSAGE_BYTES_MAX: usize = 65_536;
/// A message of so many bytes keeps its memory when it is taken out: whoever holds on to all of it
/// holds four times as much at most.
const KEPT_BYTES_MIN: usize = MESSAGE_BYTES_MAX / 4;
/// How often in a row little of a batch is used before it has room for less: what has no message is
/// prepared for the system each time.
const CALM_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(contents: &[u8], stride: usize) -> ReceivedMessage<'_> {
        ReceivedMessage {
            contents,
            stride,
            remote: SocketAddr::from(([192, 0, 2, 1], 7)),
            local: None,
            ecn: Some(2),
        }
    }

    #[test]
    fn a_batch_grows_when_it_is_full_and_shrinks_when_it_is_little_used_for_long() {
        let mut batch = DatagramBatch::new(4);
        batch.adapt(3, 4, 16);
        assert_eq!(batch.messages_max(), 4);
        for max in [8, 16, 16] {
            batch.adapt(batch.messages_max(), 4, 16);
            assert_eq!(batch.messages_max(), max);
        }
        for _ in 1..CALM_MAX {
            batch.adapt(4, 4, 16);
        }
        batch.adapt(5, 4, 16);
        for _ in 1..CALM_MAX {
            batch.adapt(4, 4, 16);
        }
        assert_eq!(batch.messages_max(), 16, "not so long in a row");
        for max in [8, 4, 4] {
            for _ in 0..CALM_MAX {
                batch.adapt(1, 4, 16);
            }
            assert_eq!(batch.messages_max(), max);
        }
    }

    #[test]
    fn a_batch_gives_back_what_was_put_in_until_it_is_full() {
        let mut batch = DatagramBatch::new(2);
        assert!(batch.push(message(b"aabbc", 2)));
        assert!(!batch.push(message(&[0; MESSAGE_BYTES_MAX + 1], 1)));
        assert!(batch.push(message(b"", 0)));
        assert!(batch.is_full());
        assert!(!batch.push(message(b"x", 1)));
        let all: Vec<Vec<&[u8]>> = batch
            .messages()
            .map(|message| message.datagrams().collect())
            .collect();
        let expected: [&[&[u8]]; 2] = [&[b"aa", b"bb", b"c"], &[b""]];
        assert_eq!(all, expected);
        batch.clear();
        assert!(batch.is_empty());
        assert!(batch.push(message(b"again", 5)));
    }

    #[test]
    fn a_long_message_is_taken_out_without_a_copy_and_its_memory_comes_back() {
        let mut batch = DatagramBatch::new(2);
        let long = vec![7; KEPT_BYTES_MIN];
        assert!(batch.push(message(&long, 1200)));
        assert!(batch.push(message(&long[1..], 1200)));
        let places: Vec<_> = batch.messages().map(|it| it.contents.as_ptr()).collect();
        let taken: Vec<_> = batch.drain().collect();
        assert_eq!(taken[0].1.as_ptr(), places[0]);
        assert_ne!(taken[1].1.as_ptr(), places[1]);
        assert_eq!(taken[0].0.stride, 1200);
        assert_eq!(taken[1].1, long[1..]);
        assert!(batch.is_empty());
        let slot = batch.empty_slot(0);
        assert!(slot.capacity() >= MESSAGE_BYTES_MAX && slot.is_empty());
    }

    #[test]
    fn packets_of_both_headers_are_for_the_shard_of_their_identifier() {
        let long = [0xc0, 0, 0, 0, 1, 8, 0x01, 0x05, 9, 9];
        let short = [0x40, 0x01, 0x05, 9, 9];
        for shards in [1, 2, 3, 256, u16::MAX] {
            assert_eq!(shard_of(&long, shards), 0x0105 % shards);
            assert_eq!(shard_of(&short, shards), 0x0105 % shards);
        }
        assert_eq!(shard_of(&long[..7], 4), 0);
        assert_eq!(shard_of(&[], 4), 0);
        assert_eq!(shard_of(&short, 0), 0);
    }

    #[test]
    fn transmits_that_no_socket_sends_are_refused() {
        let remote = SocketAddr::from(([192, 0, 2, 1], 7));
        let mut transmit = Transmit::to(remote, b"aabbc");
        transmit.segment_size = Some(2);
        assert!(transmit.check(3).is_ok());
        let kind = |transmit: &Transmit<'_>, max| transmit.check(max).map_err(|it| it.kind());
        assert_eq!(kind(&transmit, 2), Err(io::ErrorKind::InvalidInput));
        transmit.segment_size = Some(5);
        assert_eq!(transmit.effective_segment_size(), None);
        assert!(transmit.check(1).is_ok());
        transmit.segment_size = Some(0);
        assert_eq!(kind(&transmit, 9), Err(io::ErrorKind::InvalidInput));
        transmit.segment_size = None;
        transmit.source = Some(Ipv6Addr::LOCALHOST.into());
        assert_eq!(kind(&transmit, 9), Err(io::ErrorKind::InvalidInput));
    }
}
