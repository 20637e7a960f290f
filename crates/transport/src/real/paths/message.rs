//! rtnetlink messages as far as paths need them: requests for dumps, and what dumps answer.
//!
//! Invariant: every length is checked against what was received; a message or attribute that is
//! cut ends the parse of its level and nothing else.

use portway_core::path::LocalAddress;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One answer of a dump, or one notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// An interface.
    Link(Link),
    /// An address of the interface with this index.
    Address(u32, LocalAddress),
    /// A default route of this family by the interface with this index.
    DefaultRoute(Family, u32),
    /// The end of a dump, with an errno or zero.
    Done(i32),
    /// The dump missed a change and has to be begun again.
    Interrupted,
    /// Anything that changes no path.
    Other,
}

/// An interface that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) mtu: u32,
    /// The hardware type (`ARPHRD_*`).
    pub(super) hardware: u16,
    /// The kind of a virtual interface, such as `veth`.
    pub(super) virtual_kind: Option<String>,
    pub(super) is_loopback: bool,
    /// Up, and with a carrier.
    pub(super) is_running: bool,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// What can be dumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dump {
    Links,
    Addresses,
    Routes(Family),
}

/// A request for `dump`.
pub(super) fn request(dump: Dump, sequence: u32) -> Vec<u8> {
    let (kind, family, body_len) = match dump {
        Dump::Links => (libc::RTM_GETLINK, libc::AF_UNSPEC, 16),
        Dump::Addresses => (libc::RTM_GETADDR, libc::AF_UNSPEC, 8),
        Dump::Routes(Family::V4) => (libc::RTM_GETROUTE, libc::AF_INET, 12),
        Dump::Routes(Family::V6) => (libc::RTM_GETROUTE, libc::AF_INET6, 12),
    };
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let mut bytes = Vec::with_capacity(HEADER + body_len);
    bytes.extend(((HEADER + body_len) as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.push(family as u8);
    bytes.resize(HEADER + body_len, 0);
    bytes
}

/// The messages of one datagram. With `sequence`, only answers to that request.
pub(super) fn parse(bytes: &[u8], sequence: Option<u32>) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut rest = bytes;
    while let Some((header, body, next)) = split_message(rest) {
        if sequence.is_none_or(|wanted| wanted == header.sequence) {
            messages.push(match header.flags & NLM_F_DUMP_INTR {
                0 => parse_body(header.kind, body).unwrap_or(Message::Other),
                _ => Message::Interrupted,
            });
        }
        rest = next;
    }
    messages
}

/// What notifications may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Something that paths tell.
    pub(super) paths: bool,
    /// A route was added that is no default route. Paths do not tell these; a router sees
    /// thousands of them.
    pub(super) routes: bool,
}

impl News {
    /// Notifications were lost.
    pub(super) const ANYTHING: News = News {
        paths: true,
        routes: true,
    };

    /// Adds what is in the notifications of one datagram.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((header, body, next)) = split_message(rest) {
            let is_route = matches!(header.kind, libc::RTM_NEWROUTE | libc::RTM_DELROUTE);
            match (body.get(1), body.get(7)) {
                (Some(1..), Some(kind)) if is_route => {
                    self.routes |= header.kind == libc::RTM_NEWROUTE && *kind == libc::RTN_UNICAST;
                }
                _ => self.paths = true,
            }
            rest = next;
        }
    }
}

struct Header {
    kind: u16,
    flags: u16,
    sequence: u32,
}

fn split_message(bytes: &[u8]) -> Option<(Header, &[u8], &[u8])> {
    let len = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let header = Header {
        kind: u16_at(bytes, 4)?,
        flags: u16_at(bytes, 6)?,
        sequence: u32_at(bytes, 8)?,
    };
    let body = bytes.get(HEADER..len)?;
    Some((header, body, bytes.get(aligned(len)..).unwrap_or_default()))
}

fn parse_body(kind: u16, body: &[u8]) -> Option<Message> {
    match kind {
        NLMSG_ERROR | NLMSG_DONE => {
            // The errno is negative; a dump that is complete ends with zero.
            let code = u32_at(body, 0).unwrap_or(0).cast_signed();
            Some(Message::Done(code.wrapping_neg()))
        }
        libc::RTM_NEWLINK => parse_link(body).map(Message::Link),
        libc::RTM_NEWADDR => parse_address(body),
        libc::RTM_NEWROUTE => parse_route(body),
        _ => None,
    }
}

/// `struct ifinfomsg`: family, padding, hardware type, index, flags, mask of changes.
fn parse_link(body: &[u8]) -> Option<Link> {
    let flags = u32_at(body, 8)?;
    let mut link = Link {
        index: u32_at(body, 4)?,
        name: String::new(),
        mtu: 0,
        hardware: u16_at(body, 2)?,
        virtual_kind: None,
        is_loopback: flags & libc::IFF_LOOPBACK as u32 != 0,
        is_running: flags & RUNNING == RUNNING,
    };
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_MTU => link.mtu = u32_at(value, 0)?,
            libc::IFLA_LINKINFO => {
                link.virtual_kind = attributes(value)
                    .find(|(kind, _)| *kind == IFLA_INFO_KIND)
                    .map(|(_, name)| text(name));
            }
            _ => {}
        }
    }
    Some(link)
}

/// `struct ifaddrmsg`: family, prefix length, flags, scope, index.
fn parse_address(body: &[u8]) -> Option<Message> {
    let (family, prefix_len) = (*body.first()?, *body.get(1)?);
    let mut flags = u32::from(*body.get(2)?);
    let index = u32_at(body, 4)?;
    let (mut address, mut local) = (None, None);
    for (kind, value) in attributes(body.get(8..)?) {
        match kind {
            libc::IFA_ADDRESS => address = ip(family, value),
            libc::IFA_LOCAL => local = ip(family, value),
            libc::IFA_FLAGS => flags = u32_at(value, 0)?,
            _ => {}
        }
    }
    // On a point-to-point interface IFA_ADDRESS is the peer's.
    let address = local.or(address)?;
    if flags & (libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED) != 0 && flags & IFA_F_OPTIMISTIC == 0
    {
        // Nothing can be sent from it yet, or ever.
        return None;
    }
    let is_ipv6 = address.is_ipv6();
    Some(Message::Address(
        index,
        LocalAddress {
            address,
            prefix_len,
            // For IPv4 the same bit says "secondary".
            is_temporary: is_ipv6 && flags & libc::IFA_F_TEMPORARY != 0,
            is_deprecated: flags & libc::IFA_F_DEPRECATED != 0,
        },
    ))
}

/// `struct rtmsg`: family, destination length, source length, service, table, protocol, scope,
/// type, flags.
fn parse_route(body: &[u8]) -> Option<Message> {
    let family = match i32::from(*body.first()?) {
        libc::AF_INET => Family::V4,
        libc::AF_INET6 => Family::V6,
        _ => return None,
    };
    let (destination_len, kind) = (*body.get(1)?, *body.get(7)?);
    if destination_len != 0 || kind != libc::RTN_UNICAST {
        return None;
    }
    let mut interface = None;
    for (kind, value) in attributes(body.get(12..)?) {
        match kind {
            libc::RTA_OIF => interface = u32_at(value, 0),
            // Several next hops: `struct rtnexthop` has its index at 4. The first one stands
            // for them.
            libc::RTA_MULTIPATH => interface = interface.or(u32_at(value, 4)),
            _ => {}
        }
    }
    Some(Message::DefaultRoute(family, interface?))
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & NLA_TYPE_MASK;
        let value = bytes.get(4..len)?;
        bytes = bytes.get(aligned(len)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => <[u8; 4]>::try_from(value)
            .ok()
            .map(|octets| Ipv4Addr::from(octets).into()),
        libc::AF_INET6 => <[u8; 16]>::try_from(value)
            .ok()
            .map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(4)
}

const HEADER: usize = 16;
const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;
const NLMSG_DONE: u16 = libc::NLMSG_DONE as u16;
/// Without the bits for nested and for network byte order.
const NLA_TYPE_MASK: u16 = 0x3fff;
const NLM_F_DUMP_INTR: u16 = libc::NLM_F_DUMP_INTR as u16;
const IFLA_INFO_KIND: u16 = 1;
const IFA_F_OPTIMISTIC: u32 = 4;
const RUNNING: u32 = (libc::IFF_UP | libc::IFF_RUNNING) as u32;

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(0u16.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(body);
        bytes
    }

    fn address_message(flags: u32) -> Vec<u8> {
        let mut body = vec![libc::AF_INET6 as u8, 64, 0, 0];
        body.extend(7u32.to_ne_bytes());
        body.extend(attribute(libc::IFA_ADDRESS, &Ipv6Addr::LOCALHOST.octets()));
        body.extend(attribute(libc::IFA_FLAGS, &flags.to_ne_bytes()));
        message(libc::RTM_NEWADDR, 1, &body)
    }

    #[test]
    fn a_link_has_name_mtu_and_virtual_kind() {
        let mut body = vec![0, 0];
        body.extend(1u16.to_ne_bytes());
        body.extend(7u32.to_ne_bytes());
        body.extend(RUNNING.to_ne_bytes());
        body.extend(0u32.to_ne_bytes());
        body.extend(attribute(libc::IFLA_IFNAME, b"veth0\0"));
        body.extend(attribute(libc::IFLA_MTU, &1400u32.to_ne_bytes()));
        let kind = attribute(IFLA_INFO_KIND, b"veth\0");
        body.extend(attribute(libc::IFLA_LINKINFO | 0x8000, &kind));
        let expected = Link {
            index: 7,
            name: "veth0".into(),
            mtu: 1400,
            hardware: 1,
            virtual_kind: Some("veth".into()),
            is_loopback: false,
            is_running: true,
        };
        let bytes = message(libc::RTM_NEWLINK, 3, &body);
        assert_eq!(parse(&bytes, Some(3)), [Message::Link(expected)]);
        assert_eq!(parse(&bytes, Some(4)), []);
    }

    #[test]
    fn flags_of_addresses_are_kept_and_unusable_ones_left_out() {
        let flags = libc::IFA_F_TEMPORARY | libc::IFA_F_DEPRECATED;
        let [Message::Address(7, address)] = parse(&address_message(flags), None)[..] else {
            panic!("no address");
        };
        assert!(address.is_temporary && address.is_deprecated);
        for unusable in [libc::IFA_F_TENTATIVE, libc::IFA_F_DADFAILED] {
            assert_eq!(parse(&address_message(unusable), None), [Message::Other]);
        }
    }

    #[test]
    fn only_unicast_default_routes_count() {
        let route = |destination_len: u8, kind: u8| {
            let mut body = vec![libc::AF_INET as u8, destination_len, 0, 0, 254, 0, 0, kind];
            body.extend([0; 4]);
            body.extend(attribute(libc::RTA_OIF, &2u32.to_ne_bytes()));
            let bytes = message(libc::RTM_NEWROUTE, 0, &body);
            let mut news = News::default();
            news.add(&bytes);
            assert_eq!(news.paths, destination_len == 0);
            assert_eq!(
                news.routes,
                destination_len > 0 && kind == libc::RTN_UNICAST
            );
            parse(&bytes, None)
        };
        let expected = Message::DefaultRoute(Family::V4, 2);
        assert_eq!(route(0, libc::RTN_UNICAST), [expected]);
        assert_eq!(route(24, libc::RTN_UNICAST), [Message::Other]);
        assert_eq!(route(0, libc::RTN_UNREACHABLE), [Message::Other]);
        assert_eq!(route(24, libc::RTN_UNREACHABLE), [Message::Other]);
    }

    #[test]
    fn a_cut_message_never_panics_and_gives_nothing() {
        let whole = address_message(0);
        for len in 0..whole.len() {
            assert_eq!(parse(&whole[..len], None), [], "cut at {len}");
        }
        let mut zero = whole.clone();
        zero[..4].copy_from_slice(&0u32.to_ne_bytes());
        assert_eq!(parse(&zero, None), []);
    }

    #[test]
    fn an_interrupted_dump_says_so() {
        let mut bytes = address_message(0);
        bytes[6..8].copy_from_slice(&NLM_F_DUMP_INTR.to_ne_bytes());
        assert_eq!(parse(&bytes, None), [Message::Interrupted]);
    }

    #[test]
    fn an_error_ends_a_dump_with_its_errno() {
        let body = (-libc::EPERM).to_ne_bytes();
        let bytes = message(NLMSG_ERROR, 1, &body);
        assert_eq!(parse(&bytes, Some(1)), [Message::Done(libc::EPERM)]);
        let bytes = message(NLMSG_DONE, 1, &0i32.to_ne_bytes());
        assert_eq!(parse(&bytes, Some(1)), [Message::Done(0)]);
    }
}
