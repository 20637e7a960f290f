//! UDP of the real environment.
//!
//! Invariant: a datagram leaves whole or not at all and arrives whole or as an error.

mod control;
#[cfg_attr(not(target_os = "linux"), path = "errors_other.rs")]
mod errors;
mod packets;
mod receive;
#[cfg(target_os = "linux")]
mod receive_linux;
#[cfg(target_os = "linux")]
mod send_linux;
#[cfg(target_os = "linux")]
mod steering;
#[cfg_attr(not(unix), path = "watched_other.rs")]
mod watched;

use crate::environment::{
    BoxFuture, DatagramBatch, ReceivedDatagram, Transmit, UdpBind, UdpProfile, UdpSocket,
};
use crate::real::{system, tcp};
use packets::Packets;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use watched::Watched;

/// Binds as `request` says, unless there is a socket that is bound so already.
pub(super) fn bind(request: &UdpBind, inherited: Option<Socket>) -> io::Result<Arc<dyn UdpSocket>> {
    let is_bound = inherited.is_some();
    if is_bound && request.shards.is_some() {
        let words = "a UDP socket that was handed over serves one thread";
        return Err(io::Error::new(io::ErrorKind::Unsupported, words));
    }
    let socket = match inherited {
        Some(socket) => socket,
        None => fresh(request)?,
    };
    socket.set_nonblocking(true)?;
    if let Some(code) = request.dscp {
        tcp::set_dscp(&SockRef::from(&socket), request.local.ip(), code)?;
    }
    control::request_all(&socket, request.local.ip());
    let is_shared = request.remote.is_none() && request.profile == UdpProfile::Datagrams;
    if is_shared {
        errors::request(&socket, request.local.ip());
    }
    tcp::bind_to_path(&socket, request.path)?;
    if !is_bound {
        bind_shared(&socket, request)?;
    }
    let packets = match request.profile {
        UdpProfile::Packets => Some(Packets::new(&socket)?),
        UdpProfile::Datagrams => None,
    };
    if let Some(remote) = request.remote {
        socket.connect(&remote.into())?;
    }
    let socket = Arc::new(Watched::new(socket.into())?);
    let local = socket.socket().local_addr()?;
    Ok(Arc::new(RealUdpSocket {
        errors: (is_shared || request.remote.is_some()).then(|| Mutex::new(None)),
        socket,
        local,
        peer: request.remote,
        dscp: request.dscp.unwrap_or(0),
        #[cfg(target_os = "linux")]
        mark: send_linux::Mark::new(request.dscp.unwrap_or(0)),
        packets,
    }))
}

fn fresh(request: &UdpBind) -> io::Result<Socket> {
    let domain = Domain::for_address(request.local);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if request.local.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn bind_shared(socket: &Socket, request: &UdpBind) -> io::Result<()> {
    if request.shards.is_some() {
        steering::share_port(socket)?;
    }
    socket.bind(&request.local.into())?;
    match request.shards {
        Some(shards) => steering::steer(socket, shards.max(1)),
        None => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn bind_shared(socket: &Socket, request: &UdpBind) -> io::Result<()> {
    match request.shards {
        Some(_) => Err(io::ErrorKind::Unsupported.into()),
        None => socket.bind(&request.local.into()),
    }
}

struct RealUdpSocket {
    socket: Arc<Watched>,
    local: SocketAddr,
    peer: Option<SocketAddr>,
    dscp: u8,
    /// Where it is connected.
    #[cfg(target_os = "linux")]
    mark: send_linux::Mark,
    /// On a socket for packets.
    packets: Option<Packets>,
    /// Waits for an ICMP error. Such an error makes a socket neither readable nor writable, and
    /// tokio has no `poll` function for it.
    errors: Option<Mutex<Option<BoxFuture<io::Result<()>>>>>,
}

impl UdpSocket for RealUdpSocket {
    fn try_send(&self, datagram: &[u8], remote: Option<SocketAddr>) -> io::Result<()> {
        self.socket.try_write(|| {
            let _unmarked = self.unmarked();
            let socket = self.socket();
            match remote {
                None => socket.send(datagram),
                Some(remote) => socket.send_to(datagram, &remote.into()),
            }
        })?;
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn try_send_batch(&self, datagrams: &[&[u8]], remote: Option<SocketAddr>) -> io::Result<usize> {
        if datagrams.is_empty() {
            return Ok(0);
        }
        let remote = remote.map(socket2::SockAddr::from);
        self.socket.try_write(|| {
            let _unmarked = self.unmarked();
            send_linux::send_many(self.socket.socket(), datagrams, remote.as_ref(), None)
        })
    }

    #[cfg(target_os = "linux")]
    fn try_send_batch_from(
        &self,
        datagrams: &[&[u8]],
        remote: SocketAddr,
        source: IpAddr,
    ) -> io::Result<usize> {
        if datagrams.is_empty() {
            return Ok(0);
        }
        let remote = socket2::SockAddr::from(remote);
        self.socket.try_write(|| {
            let _unmarked = self.unmarked();
            send_linux::send_many(self.socket.socket(), datagrams, Some(&remote), Some(source))
        })
    }

    #[cfg(target_os = "linux")]
    fn take_error(&self) -> Option<(SocketAddr, io::Error)> {
        errors::take(self.socket.socket())
    }

    #[cfg(not(target_os = "linux"))]
    fn try_send_batch(&self, datagrams: &[&[u8]], remote: Option<SocketAddr>) -> io::Result<usize> {
        for (sent, datagram) in datagrams.iter().enumerate() {
            match self.try_send(datagram, remote) {
                Err(_) if sent > 0 => return Ok(sent),
                result => result?,
            }
        }
        Ok(datagrams.len())
    }

    fn try_transmit(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        transmit.check(self.gso_segments_max())?;
        self.socket.try_write(|| match &self.packets {
            Some(packets) => packets.send(transmit, |transmit| self.send_one(transmit)),
            None => self.send_one(transmit),
        })
    }

    fn try_receive(&self, out: &mut [u8]) -> io::Result<ReceivedDatagram> {
        if self.packets.is_some() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.when_readable(|| receive::receive(&self.socket(), out))
    }

    fn try_receive_batch(&self, batch: &mut DatagramBatch) -> io::Result<usize> {
        let mut taken = None;
        let result = self.when_readable(|| {
            if taken.is_some() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = self.receive_many(batch)?;
            // One call takes all that waits, so one that found more room says that nothing does.
            // tokio is told so, which saves the call that would only find that out.
            if count < MESSAGES_MAX && !batch.is_full() && cfg!(target_os = "linux") {
                taken = Some(count);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(count)
        });
        taken.map_or(result, Ok)
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.socket.poll_readable(context) {
            Poll::Pending => self.poll_error(context),
            ready => ready,
        }
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_writable(context)
    }

    fn gso_segments_max(&self) -> usize {
        self.packets.as_ref().map_or(1, Packets::gso_segments_max)
    }

    fn gro_segments_max(&self) -> usize {
        self.packets.as_ref().map_or(1, Packets::gro_segments_max)
    }

    fn may_fragment(&self) -> bool {
        self.packets.as_ref().is_none_or(Packets::may_fragment)
    }

    #[cfg(target_os = "linux")]
    fn code_point(&self) -> Option<u8> {
        Some(self.dscp)
    }

    fn payload_max(&self, remote: SocketAddr, may_fragment: bool) -> usize {
        let (limit, headers) = match remote {
            SocketAddr::V4(_) => (PAYLOAD_MAX_V4, HEADERS_V4),
            SocketAddr::V6(_) => (PAYLOAD_MAX_V6, HEADERS_V6),
        };
        if may_fragment {
            return limit;
        }
        match self.path_mtu(remote) {
            Ok(mtu) => mtu.saturating_sub(headers).min(limit),
            // What every host must be able to take: RFC 791 for IPv4, RFC 8200 §5 for IPv6.
            Err(_) if remote.is_ipv4() => 576 - 60 - 8,
            Err(_) => 1280 - HEADERS_V6,
        }
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}

impl RealUdpSocket {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.socket.socket())
    }

    /// Keeps the socket from adding what [`UdpSocket::try_transmit`] has had it add.
    #[cfg(target_os = "linux")]
    fn unmarked(&self) -> Option<std::sync::MutexGuard<'_, u8>> {
        let peer = self.peer?;
        let field = self.dscp << 2;
        self.mark.hold(self.socket.socket(), field, peer.is_ipv4())
    }

    #[cfg(not(target_os = "linux"))]
    fn unmarked(&self) -> Option<()> {
        None
    }

    fn when_readable<T>(&self, mut receive: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        match self.socket.try_read(Interest::READABLE, &mut receive) {
            // tokio takes one interest at a time, and an error alone is not readable.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.errors.is_some() => {
                self.socket.try_read(Interest::ERROR, receive)
            }
            result => result,
        }
    }

    #[cfg(target_os = "linux")]
    fn receive_many(&self, batch: &mut DatagramBatch) -> io::Result<usize> {
        receive_linux::receive_many(self.socket.socket(), batch)
    }

    #[cfg(not(target_os = "linux"))]
    fn receive_many(&self, batch: &mut DatagramBatch) -> io::Result<usize> {
        match &self.packets {
            Some(packets) => packets.receive(self.socket.socket(), batch),
            None => receive::receive_some(&self.socket(), batch),
        }
    }

    #[cfg(target_os = "linux")]
    fn send_one(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let peer = self.peer.map(|peer| (peer, &self.mark));
        send_linux::transmit(self.socket.socket(), transmit, peer, self.dscp)
    }

    #[cfg(not(target_os = "linux"))]
    fn send_one(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if transmit.dscp.is_some() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        match &self.packets {
            Some(packets) => packets.transmit(self.socket.socket(), transmit),
            // Without the system's help there is neither a choice of source nor one of ECN bits.
            None if transmit.source.is_some() || transmit.ecn.is_some() => {
                Err(io::ErrorKind::Unsupported.into())
            }
            None => {
                let socket = self.socket();
                let remote = transmit.remote.into();
                socket.send_to(transmit.contents, &remote).map(drop)
            }
        }
    }

    /// Ready when an error waits; the next receive returns it.
    fn poll_error(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(errors) = &self.errors else {
            return Poll::Pending;
        };
        let mut waiting = errors.lock().unwrap_or_else(PoisonError::into_inner);
        let future = waiting.get_or_insert_with(|| {
            let socket = Arc::clone(&self.socket);
            Box::pin(async move { socket.has_error().await })
        });
        let result = ready!(future.as_mut().poll(context));
        *waiting = None;
        Poll::Ready(result)
    }

    fn path_mtu(&self, remote: SocketAddr) -> io::Result<usize> {
        if self.peer.is_some() {
            return system::path_mtu(&self.socket(), remote);
        }
        // Only a connected socket knows its path. Connecting one of UDP sends nothing.
        let probe = Socket::new(
            Domain::for_address(remote),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        probe.connect(&remote.into())?;
        system::path_mtu(&SockRef::from(&probe), remote)
    }
}

/// The IPv4 total length, less the two headers.
const PAYLOAD_MAX_V4: usize = 65_535 - HEADERS_V4;
/// The IPv6 payload length, less the UDP header.
const PAYLOAD_MAX_V6: usize = 65_535 - 8;
const HEADERS_V4: usize = 20 + 8;
const HEADERS_V6: usize = 40 + 8;
/// The most messages of one call.
const MESSAGES_MAX: usize = 32;
