//! An IP packet whose addresses, mark and payload can be changed.
//!
//! Invariant: after each change the checksums are right again, so that the kernel delivers it.

use std::net::Ipv4Addr;

/// A packet of either family; only UDP without extension headers is looked into.
pub(super) struct Packet {
    bytes: Vec<u8>,
    /// Where the UDP header starts.
    udp: Option<usize>,
}

impl Packet {
    pub(super) fn new(bytes: Vec<u8>) -> Packet {
        let (protocol, start) = match bytes.first().map_or(0, |first| first >> 4) {
            4 => (bytes.get(9), usize::from(bytes[0] & 0xf) * 4),
            6 => (bytes.get(6), 40),
            _ => (None, 0),
        };
        let is_udp = protocol == Some(&UDP) && bytes.len() >= start + UDP_HEADER;
        let udp = is_udp.then_some(start);
        Packet { bytes, udp }
    }

    pub(super) fn is_udp(&self) -> bool {
        self.udp.is_some()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn payload_bytes(&self) -> usize {
        self.udp
            .map_or(0, |start| self.bytes.len() - start - UDP_HEADER)
    }

    /// The two bits of explicit congestion notification.
    pub(super) fn ecn(&self) -> u8 {
        match self.is_v4() {
            true => self.bytes[1] & 0b11,
            false => self.bytes.get(1).map_or(0, |byte| byte >> 4 & 0b11),
        }
    }

    /// Marks it: congestion experienced.
    pub(super) fn mark(&mut self) {
        match self.is_v4() {
            true => self.bytes[1] |= 0b11,
            false => self.bytes[1] |= 0b11 << 4,
        }
        self.correct();
    }

    /// Changes one byte of the payload.
    pub(super) fn corrupt(&mut self, place: u64, change: u64) {
        let Some(start) = self.udp.filter(|_| self.payload_bytes() > 0) else {
            return;
        };
        let place = (place % self.payload_bytes() as u64) as usize;
        self.bytes[start + UDP_HEADER + place] ^= (change % 255 + 1) as u8;
        self.correct();
    }

    /// Where a UDP packet over IPv4 comes from.
    pub(super) fn source(&self) -> Option<(Ipv4Addr, u16)> {
        self.end(12, 0)
    }

    /// Where a UDP packet over IPv4 goes to.
    pub(super) fn destination(&self) -> Option<(Ipv4Addr, u16)> {
        self.end(16, 2)
    }

    pub(super) fn set_source(&mut self, end: (Ipv4Addr, u16)) {
        self.set_end(12, 0, end);
    }

    pub(super) fn set_destination(&mut self, end: (Ipv4Addr, u16)) {
        self.set_end(16, 2, end);
    }

    fn end(&self, address: usize, port: usize) -> Option<(Ipv4Addr, u16)> {
        let start = self.udp.filter(|_| self.is_v4())?;
        let octets: [u8; 4] = self.bytes[address..address + 4].try_into().ok()?;
        let port = &self.bytes[start + port..start + port + 2];
        Some((octets.into(), u16::from_be_bytes([port[0], port[1]])))
    }

    fn set_end(&mut self, address: usize, port: usize, (to, number): (Ipv4Addr, u16)) {
        let start = self.udp.expect("only UDP is translated");
        self.bytes[address..address + 4].copy_from_slice(&to.octets());
        self.bytes[start + port..start + port + 2].copy_from_slice(&number.to_be_bytes());
        self.correct();
    }

    fn is_v4(&self) -> bool {
        self.bytes.first().is_some_and(|first| first >> 4 == 4)
    }

    fn correct(&mut self) {
        if self.is_v4() {
            let end = usize::from(self.bytes[0] & 0xf) * 4;
            self.bytes[10..12].fill(0);
            let sum = checksum(0, &self.bytes[..end]);
            self.bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        let Some(start) = self.udp else {
            return;
        };
        let addresses = match self.is_v4() {
            true => 12..20,
            false => 8..40,
        };
        self.bytes[start + 6..start + 8].fill(0);
        // RFC 768: the sum is over the addresses, the protocol, the length and the packet.
        let length = (self.bytes.len() - start) as u32;
        let pseudo = checksum(length + u32::from(UDP), &self.bytes[addresses]);
        let sum = checksum(u32::from(!pseudo), &self.bytes[start..]);
        let sum = if sum == 0 { 0xffff } else { sum };
        self.bytes[start + 6..start + 8].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The Internet checksum (RFC 1071) of these bytes and of what was summed before.
fn checksum(before: u32, bytes: &[u8]) -> u16 {
    let mut sum = u64::from(before);
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u64::from(u16::from_be_bytes([pair[0], low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

const UDP: u8 = 17;
const UDP_HEADER: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of four bytes as a kernel made it.
    const SENT: [u8; 32] = [
        0x45, 0x02, 0x00, 0x20, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb6, 0xc5, 192, 0, 2, 1, 192,
        0, 2, 2, 0x04, 0x00, 0x11, 0x51, 0x00, 0x0c, 0x00, 0x00, 1, 2, 3, 4,
    ];

    /// Zero when the checksums over what they cover are right.
    fn errors(packet: &Packet) -> (u16, u16) {
        let bytes = packet.bytes();
        let pseudo = checksum(12 + 17, &bytes[12..20]);
        let udp = checksum(u32::from(!pseudo), &bytes[20..]);
        (checksum(0, &bytes[..20]), udp)
    }

    #[test]
    fn a_changed_packet_has_right_checksums() {
        let mut packet = Packet::new(SENT.to_vec());
        assert_eq!(packet.source(), Some((Ipv4Addr::new(192, 0, 2, 1), 1024)));
        packet.set_source((Ipv4Addr::new(192, 0, 2, 20), 1100));
        assert_eq!(errors(&packet), (0, 0));
        assert_eq!(packet.source(), Some((Ipv4Addr::new(192, 0, 2, 20), 1100)));
        packet.mark();
        assert_eq!((packet.ecn(), errors(&packet)), (0b11, (0, 0)));
        packet.corrupt(1, 7);
        assert_eq!(errors(&packet), (0, 0));
        assert_eq!(packet.bytes()[28..], [1, 2 ^ 8, 3, 4]);
    }
}
