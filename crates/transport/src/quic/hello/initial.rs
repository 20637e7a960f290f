//! Initial packets: finding them in a datagram, and removing their protection (RFC 9001 §5).
//!
//! Invariant: a packet that is cut, foreign or not authentic is passed over, never an error.

use crate::tls::quic_initial_keys;
use rustls::quic::DirectionalKeys;

/// An Initial packet of version 1 with its protection on.
pub(super) struct Packet<'a> {
    /// The whole packet.
    bytes: &'a [u8],
    /// Where its packet number begins.
    number_at: usize,
    /// The destination connection identifier.
    pub(super) destination: &'a [u8],
}

/// The Initial packets among those that a datagram holds (RFC 9000 §12.2).
pub(super) fn packets(mut datagram: &[u8]) -> impl Iterator<Item = Packet<'_>> {
    std::iter::from_fn(move || {
        loop {
            let mut fields = Fields(datagram);
            let long = long_packet(&mut fields)?;
            let (bytes, rest) = datagram.split_at_checked(long.end)?;
            datagram = rest;
            if long.kind == KIND_INITIAL {
                return Some(Packet {
                    bytes,
                    number_at: long.number_at,
                    destination: long.destination,
                });
            }
        }
    })
}

struct Long<'a> {
    kind: u8,
    destination: &'a [u8],
    number_at: usize,
    end: usize,
}

/// A packet with a long header and a length (RFC 9000 §17.2).
fn long_packet<'a>(fields: &mut Fields<'a>) -> Option<Long<'a>> {
    let total = fields.0.len();
    let first = fields.byte()?;
    if first & 0x80 == 0 || fields.take(4)? != VERSION_1 {
        return None;
    }
    let destination = fields.identifier()?;
    fields.identifier()?;
    let kind = first >> 4 & 3;
    if kind == KIND_RETRY {
        return None;
    }
    if kind == KIND_INITIAL {
        let token_len = fields.length()?;
        fields.take(token_len)?;
    }
    let len = fields.length()?;
    let number_at = total - fields.0.len();
    Some(Long {
        kind,
        destination,
        number_at,
        end: number_at.checked_add(len)?,
    })
}

/// The keys of a client's Initial packets.
pub(super) struct Keys(DirectionalKeys);

impl Keys {
    /// The keys that come from a client's first choice of identifier.
    pub(super) fn of(destination: &[u8]) -> Self {
        Keys(quic_initial_keys(destination, rustls::Side::Server).remote)
    }

    /// Removes the protection. Gives the packet's number and its payload, which is in `scratch`.
    pub(super) fn open<'s>(
        &self,
        packet: &Packet<'_>,
        largest: Option<u64>,
        scratch: &'s mut Vec<u8>,
    ) -> Option<(u64, &'s [u8])> {
        scratch.clear();
        scratch.extend_from_slice(packet.bytes);
        let (header, rest) = scratch.split_at_mut_checked(packet.number_at)?;
        // RFC 9001 §5.4.2: the sample begins where the longest packet number would end.
        let (number, sampled) = rest.split_at_mut_checked(NUMBER_LEN_MAX)?;
        let sample = sampled.get(..self.0.header.sample_len())?;
        let first = header.first_mut()?;
        self.0.header.decrypt_in_place(sample, first, number).ok()?;
        let number_len = usize::from(*first & 3) + 1;
        // RFC 9000 §17.2: these two bits are zero under the protection.
        if *first & 0x0c != 0 {
            return None;
        }
        let truncated = number[..number_len]
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        let number = full_number(truncated, number_len, largest);
        let (header, payload) = scratch.split_at_mut(packet.number_at + number_len);
        let payload = self
            .0
            .packet
            .decrypt_in_place(number, header, payload)
            .ok()?;
        Some((number, payload))
    }
}

/// RFC 9000 §A.3: the number nearest to the one expected that ends in these bits.
fn full_number(truncated: u64, len: usize, largest: Option<u64>) -> u64 {
    let window = 1_u64 << (8 * len);
    let expected = largest.map_or(0, |largest| largest + 1);
    let candidate = expected & !(window - 1) | truncated;
    if candidate + window / 2 <= expected && candidate + window <= NUMBER_MAX {
        candidate + window
    } else if candidate > expected + window / 2 && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

/// Bytes that are read from the front.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// RFC 9000 §16: the two highest bits say how long the number is.
    pub(super) fn number(&mut self) -> Option<u64> {
        let first = self.byte()?;
        let more = self.take((1 << (first >> 6)) - 1)?;
        let number = u64::from(first & 0x3f);
        Some(
            more.iter()
                .fold(number, |it, byte| it << 8 | u64::from(*byte)),
        )
    }

    pub(super) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    /// RFC 9000 §17.2: in version 1 an identifier has at most 20 bytes.
    fn identifier(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.byte()?);
        (len <= 20).then(|| self.take(len))?
    }
}

const VERSION_1: [u8; 4] = [0, 0, 0, 1];
const KIND_INITIAL: u8 = 0;
const KIND_RETRY: u8 = 3;
const NUMBER_LEN_MAX: usize = 4;
const NUMBER_MAX: u64 = (1 << 62) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_near_the_expected_one() {
        // RFC 9000 §A.3's own example.
        assert_eq!(full_number(0x9b32, 2, Some(0xa82f_30ea)), 0xa82f_9b32);
        assert_eq!(full_number(0, 1, None), 0);
        assert_eq!(full_number(255, 1, None), 255);
        assert_eq!(full_number(0, 1, Some(255)), 256);
        assert_eq!(full_number(255, 1, Some(256)), 255);
        assert_eq!(
            full_number(3, 4, Some(NUMBER_MAX - 5)),
            NUMBER_MAX - 0xffff_fffc
        );
    }

    #[test]
    fn numbers_of_each_length_are_read_and_none_beyond_the_end() {
        for (bytes, number) in [
            (&[0x25][..], 37),
            (&[0x7b, 0xbd], 15_293),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c],
                151_288_809_941_952_652,
            ),
        ] {
            assert_eq!(Fields(bytes).number(), Some(number));
            for len in 0..bytes.len() {
                assert_eq!(Fields(&bytes[..len]).number(), None);
            }
        }
    }
}
