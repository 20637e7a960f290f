//! The PROXY protocol, versions 1 and 2: who the client is, as a proxy in front says it.
//!
//! Invariant: what is not exactly a header is an error and never passed on as the client's words;
//! who may say it is the caller's to know.

use portway_core::{Failure, FailureKind, Origin};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// The client's address and the one that it connected to.
    Proxied { peer: SocketAddr, local: SocketAddr },
    /// The proxy speaks for itself, or does not know.
    Own,
}

/// Reads a header at the beginning of `bytes`; how long it is, or `None` while it is not whole.
///
/// # Errors
/// It is none.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Failure> {
    if bytes.starts_with(&SIGNATURE) {
        return binary(bytes);
    }
    if SIGNATURE.starts_with(bytes) {
        return Ok(None);
    }
    text(bytes)
}

/// Version 1: one line.
fn text(bytes: &[u8]) -> Result<Option<(Header, usize)>, Failure> {
    let known = bytes.len().min(PREFIX.len());
    if bytes[..known] != PREFIX[..known] {
        return Err(malformed("it begins with neither version"));
    }
    let looked_at = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = looked_at.windows(2).position(|it| it == b"\r\n") else {
        return match bytes.len() < LINE_BYTES_MAX {
            true => Ok(None),
            false => Err(malformed("its line is too long")),
        };
    };
    let line = std::str::from_utf8(&bytes[PREFIX.len()..end])
        .map_err(|_| malformed("its line is no text"))?;
    let header = match line.split(' ').collect::<Vec<_>>()[..] {
        ["UNKNOWN", ..] => Header::Own,
        ["TCP4", peer, local, peer_port, local_port] => {
            let ip = |text: &str| text.parse::<Ipv4Addr>().ok().map(IpAddr::from);
            proxied((ip(peer), ip(local)), (peer_port, local_port))?
        }
        ["TCP6", peer, local, peer_port, local_port] => {
            let ip = |text: &str| text.parse::<Ipv6Addr>().ok().map(IpAddr::from);
            proxied((ip(peer), ip(local)), (peer_port, local_port))?
        }
        _ => return Err(malformed("its line has other words")),
    };
    Ok(Some((header, end + 2)))
}

fn proxied(
    (peer, local): (Option<IpAddr>, Option<IpAddr>),
    (peer_port, local_port): (&str, &str),
) -> Result<Header, Failure> {
    let (Some(peer), Some(local)) = (peer, local) else {
        return Err(malformed("an address is none of its family"));
    };
    Ok(Header::Proxied {
        peer: SocketAddr::new(peer, port(peer_port)?),
        local: SocketAddr::new(local, port(local_port)?),
    })
}

/// Decimal without sign or leading zeros.
fn port(text: &str) -> Result<u16, Failure> {
    let is_canonical = text == "0" || !text.starts_with(['0', '+']);
    let number = text.parse().ok().filter(|_| is_canonical);
    number.ok_or_else(|| malformed("a port is no number"))
}

/// Version 2: a head of sixteen bytes, addresses, and values that are passed over.
fn binary(bytes: &[u8]) -> Result<Option<(Header, usize)>, Failure> {
    let Some(head) = bytes.get(SIGNATURE.len()..BINARY_HEAD_BYTES) else {
        return Ok(None);
    };
    let (version, command) = (head[0] >> 4, head[0] & 0xf);
    let (family, transport) = (head[1] >> 4, head[1] & 0xf);
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if version != 2 || command > 1 || family > 3 || transport > 2 {
        return Err(malformed("its head has values that are not known"));
    }
    if length > REST_BYTES_MAX {
        return Err(malformed("it is too long"));
    }
    let whole = BINARY_HEAD_BYTES + length;
    let Some(rest) = bytes.get(BINARY_HEAD_BYTES..whole) else {
        return Ok(None);
    };
    let header = match (command, family, transport) {
        (0, _, _) | (1, 0, _) => Header::Own,
        (1, 1, STREAM) => addresses::<4>(rest)?,
        (1, 2, STREAM) => addresses::<16>(rest)?,
        _ => return Err(malformed("it speaks of something else than TCP")),
    };
    Ok(Some((header, whole)))
}

/// Two addresses of so many bytes, then two ports.
fn addresses<const N: usize>(rest: &[u8]) -> Result<Header, Failure>
where
    IpAddr: From<[u8; N]>,
{
    let field = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; N] = rest.get(at..at + N)?.try_into().ok()?;
        Some(bytes.into())
    };
    let port = |at: usize| -> Option<u16> {
        let bytes: [u8; 2] = rest.get(at..at + 2)?.try_into().ok()?;
        Some(u16::from_be_bytes(bytes))
    };
    let both = || {
        Some(Header::Proxied {
            peer: SocketAddr::new(field(0)?, port(2 * N)?),
            local: SocketAddr::new(field(N)?, port(2 * N + 2)?),
        })
    };
    both().ok_or_else(|| malformed("its addresses are cut off"))
}

fn malformed(why: &str) -> Failure {
    Failure::new(
        Origin::Local,
        FailureKind::ProtocolViolation,
        format!("the PROXY header is malformed: {why}"),
    )
}

const PREFIX: &[u8] = b"PROXY ";
/// The longest line of version 1, its end included.
const LINE_BYTES_MAX: usize = 107;
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const BINARY_HEAD_BYTES: usize = 16;
const STREAM: u8 = 1;
/// Addresses and values of one header.
const REST_BYTES_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, local: &str) -> Header {
        Header::Proxied {
            peer: peer.parse().unwrap(),
            local: local.parse().unwrap(),
        }
    }

    fn version2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        let head = [0x20 | command, family, length[0], length[1]];
        [&SIGNATURE[..], &head, rest].concat()
    }

    #[test]
    fn headers_are_read_wherever_they_are_cut() {
        let v4 = [1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 1, 187];
        let v6: Vec<u8> = (0..32).chain([0, 80, 1, 187]).collect();
        let text6 = "[1:203:405:607:809:a0b:c0d:e0f]:80";
        let rows: [(Vec<u8>, Header); 7] = [
            (
                b"PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n".to_vec(),
                from("1.2.3.4:80", "5.6.7.8:443"),
            ),
            (
                b"PROXY TCP6 ::1 2001:db8::1 80 443\r\n".to_vec(),
                from("[::1]:80", "[2001:db8::1]:443"),
            ),
            (b"PROXY UNKNOWN what ever\r\n".to_vec(), Header::Own),
            (version2(1, 0x11, &v4), from("1.2.3.4:80", "5.6.7.8:443")),
            (
                version2(1, 0x21, &v6),
                from(text6, "[1011:1213:1415:1617:1819:1a1b:1c1d:1e1f]:443"),
            ),
            (
                version2(1, 0x11, &[&v4[..], &[3, 0, 4, 0, 0, 0, 0]].concat()),
                from("1.2.3.4:80", "5.6.7.8:443"),
            ),
            (version2(0, 0, &[]), Header::Own),
        ];
        for (bytes, expected) in rows {
            for length in 0..bytes.len() {
                assert_eq!(parse(&bytes[..length]).unwrap(), None, "{length}");
            }
            let with_more = [&bytes[..], b"GET / HTTP/1.1"].concat();
            assert_eq!(parse(&with_more).unwrap(), Some((expected, bytes.len())));
        }
    }

    #[test]
    fn what_is_not_exactly_a_header_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE_BYTES_MAX));
        let rows: [&[u8]; 14] = [
            b"GET / HTTP/1.1\r\n",
            b"proxy TCP4 1.2.3.4 5.6.7.8 80 443\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 80\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 80 443 9\r\n",
            b"PROXY TCP4  1.2.3.4 5.6.7.8 80 443\r\n",
            b"PROXY TCP4 ::1 5.6.7.8 80 443\r\n",
            b"PROXY TCP6 1.2.3.4 5.6.7.8 80 443\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 080 443\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 +80 443\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 443\r\n",
            long.as_bytes(),
            &version2(2, 0x11, &[0; 12]),
            &version2(1, 0x11, &[0; 11]),
            &version2(1, 0x12, &[0; 12]),
        ];
        for bytes in rows {
            let text = String::from_utf8_lossy(bytes);
            assert!(parse(bytes).is_err(), "{text:?}");
        }
    }
}
