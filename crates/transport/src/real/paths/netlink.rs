//! Asks the kernel for paths, and hears of changes, over rtnetlink sockets.
//!
//! Invariant: a set of paths comes from complete dumps; one that was interrupted is an error.

use super::message::{self, Dump, Family, Link, Message, News};
use portway_core::path::{InterfaceKind, LocalAddress, Path, PathId};
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path as FilePath;
use std::time::Duration;

/// The paths as they are now. Takes some system calls, which do not block for long.
pub(super) fn dump() -> io::Result<Vec<Path>> {
    let mut result = dump_once();
    for _ in 1..TRIES_MAX {
        match &result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => result = dump_once(),
            _ => break,
        }
    }
    result
}

fn dump_once() -> io::Result<Vec<Path>> {
    let socket = open(Type::RAW, 0)?;
    socket.set_read_timeout(Some(ANSWER_MAX))?;
    let mut buffer = vec![0; ANSWER_BYTES];
    let mut links: Vec<Link> = Vec::new();
    let mut addresses: BTreeMap<u32, Vec<LocalAddress>> = BTreeMap::new();
    let mut routes: Vec<(Family, u32)> = Vec::new();
    let dumps = [
        Dump::Links,
        Dump::Addresses,
        Dump::Routes(Family::V4),
        Dump::Routes(Family::V6),
    ];
    for (sequence, dump) in (1..).zip(dumps) {
        ask(
            &socket,
            &mut buffer,
            (dump, sequence),
            |message| match message {
                Message::Link(link) => links.push(link),
                Message::Address(index, address) => {
                    addresses.entry(index).or_default().push(address)
                }
                Message::DefaultRoute(family, index) => routes.push((family, index)),
                Message::Done(_) | Message::Interrupted | Message::Other => {}
            },
        )?;
    }
    let is_usable = |link: &Link| link.is_running && !link.name.is_empty();
    let paths = links.into_iter().filter(is_usable).map(|link| Path {
        id: PathId(link.index),
        kind: kind(&link),
        addresses: addresses.remove(&link.index).unwrap_or_default(),
        has_ipv4_default: routes.contains(&(Family::V4, link.index)),
        has_ipv6_default: routes.contains(&(Family::V6, link.index)),
        mtu: link.mtu,
        // The kernel does not know; only a network manager does.
        is_metered: None,
        interface: link.name,
    });
    Ok(paths.collect())
}

/// A socket that becomes readable when paths may have changed.
pub(super) fn subscribe() -> io::Result<Socket> {
    let groups = [
        libc::RTMGRP_LINK,
        libc::RTMGRP_IPV4_IFADDR,
        libc::RTMGRP_IPV6_IFADDR,
        libc::RTMGRP_IPV4_ROUTE,
        libc::RTMGRP_IPV6_ROUTE,
    ];
    let groups = groups.into_iter().fold(0, |all, group| all | group as u32);
    open(Type::RAW.nonblocking(), groups)
}

/// Takes the waiting notifications and adds up what they may have changed. What it was does not
/// matter: the next dump, or the next attempt, has it.
pub(super) fn drain(mut socket: &Socket, news: &mut News) -> io::Result<()> {
    let mut buffer = [0; 8192];
    for _ in 0..NOTIFICATIONS_MAX {
        match socket.read(&mut buffer) {
            Ok(len) => news.add(&buffer[..len]),
            // The queue overflowed, so that something unknown changed.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => *news = News::ANYTHING,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn open(kind: Type, groups: u32) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::from(libc::AF_NETLINK),
        kind,
        Some(Protocol::from(libc::NETLINK_ROUTE)),
    )?;
    socket.bind(&address(groups))?;
    Ok(socket)
}

/// The kernel's address; as a local one, any port and these groups.
fn address(groups: u32) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_nl is plain data and smaller than the storage, and all zeroes is valid.
    let netlink = unsafe { storage.view_as::<libc::sockaddr_nl>() };
    netlink.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    netlink.nl_groups = groups;
    let len = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: the storage holds a valid sockaddr_nl of this length.
    unsafe { SockAddr::new(storage, len) }
}

/// Sends one request and hands on what answers it.
fn ask(
    mut socket: &Socket,
    buffer: &mut [u8],
    (dump, sequence): (Dump, u32),
    mut take: impl FnMut(Message),
) -> io::Result<()> {
    socket.send_to(&message::request(dump, sequence), &address(0))?;
    loop {
        let len = socket.read(buffer)?;
        for message in message::parse(&buffer[..len], Some(sequence)) {
            match message {
                Message::Done(0) => return Ok(()),
                // The kernel's tables changed under the dump, which may have lost entries.
                Message::Interrupted => return Err(io::ErrorKind::Interrupted.into()),
                Message::Done(code) => return Err(io::Error::from_raw_os_error(code)),
                message => take(message),
            }
        }
    }
}

fn kind(link: &Link) -> InterfaceKind {
    if link.is_loopback {
        return InterfaceKind::Loopback;
    }
    if link.virtual_kind.is_some() {
        // A modem's own interface has a kind too (rmnet).
        return match link.virtual_kind.as_deref() {
            Some("rmnet" | "wwan") => InterfaceKind::Cellular,
            _ => InterfaceKind::Virtual,
        };
    }
    let device = FilePath::new("/sys/class/net").join(&link.name);
    if device.join("wireless").exists() || device.join("phy80211").exists() {
        return InterfaceKind::WiFi;
    }
    let is_modem = std::fs::read_to_string(device.join("uevent"))
        .is_ok_and(|text| text.lines().any(|line| line == "DEVTYPE=wwan"));
    match link.hardware {
        _ if is_modem => InterfaceKind::Cellular,
        libc::ARPHRD_ETHER => InterfaceKind::Ethernet,
        libc::ARPHRD_PPP
        | libc::ARPHRD_NONE
        | libc::ARPHRD_TUNNEL
        | libc::ARPHRD_TUNNEL6
        | libc::ARPHRD_SIT => InterfaceKind::Virtual,
        _ => InterfaceKind::Other,
    }
}

/// The kernel answers at once; this only bounds what a broken one could do.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// The kernel fits a part of a dump to the buffer that it saw, and 32 KiB at most.
const ANSWER_BYTES: usize = 64 * 1024;
/// How often a dump is begun again because the tables changed under it.
const TRIES_MAX: usize = 4;
/// How many notifications are taken before the paths are looked at again.
const NOTIFICATIONS_MAX: usize = 256;
