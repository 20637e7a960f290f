//! Sockets that a service manager has opened for this process (socket activation).
//!
//! Invariant: a descriptor that was handed over is owned here and nowhere else; programs that are
//! started from here do not get it.

use super::system;
use portway_core::{Failure, FailureKind, Origin};
use socket2::{Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Listening TCP sockets and bound UDP sockets that were handed over, as systemd does it. With them
/// in its [`Config`](super::Config), an environment uses them where it is asked to listen on or
/// bind to one of their addresses; everything else is opened as ever.
///
/// They stay open as long as this does, so that clients may connect while no server accepts.
#[derive(Debug)]
pub struct Inherited {
    sockets: Vec<Handed>,
}

#[derive(Debug)]
struct Handed {
    address: SocketAddr,
    is_listener: bool,
    /// It takes IPv4 beside IPv6.
    takes_both: bool,
    socket: Socket,
}

impl Inherited {
    /// Takes what `LISTEN_PID` and `LISTEN_FDS` say was handed over to this process; `None` without
    /// any. It gives them once.
    ///
    /// # Errors
    /// A socket is neither a listener of TCP nor bound for UDP, two of a kind are at one address,
    /// there are more than 64, or the system hands none over.
    pub fn take() -> Result<Option<Arc<Inherited>>, Failure> {
        static IS_TAKEN: AtomicBool = AtomicBool::new(false);
        let said = |name: &str| std::env::var(name).ok();
        let (process, count) = (said("LISTEN_PID"), said("LISTEN_FDS"));
        let count = announced(process.as_deref(), count.as_deref(), std::process::id())?;
        if count == 0 || IS_TAKEN.swap(true, Ordering::SeqCst) {
            return Ok(None);
        }
        let numbers = (FIRST_DESCRIPTOR..).take(count);
        Ok(Some(Arc::new(Inherited {
            sockets: take_all(numbers)?,
        })))
    }

    /// Their addresses, each once.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let mut all = Vec::new();
        for handed in &self.sockets {
            if !all.contains(&handed.address) {
                all.push(handed.address);
            }
        }
        all
    }

    /// Whether a listener for IPv6 takes those, too, who connect to this address of IPv4. Nothing
    /// else can listen there.
    pub fn takes_ipv4(&self, local: SocketAddr) -> bool {
        let takes = |handed: &Handed| {
            handed.takes_both
                && handed.is_listener
                && handed.address.ip().is_unspecified()
                && handed.address.port() == local.port()
        };
        local.is_ipv4() && self.sockets.iter().any(takes)
    }

    /// Another descriptor of the listener at an address.
    pub(super) fn listener(&self, local: SocketAddr) -> Option<io::Result<Socket>> {
        self.find(local, true)
    }

    /// Another descriptor of the socket for datagrams at an address.
    pub(super) fn datagrams(&self, local: SocketAddr) -> Option<io::Result<Socket>> {
        self.find(local, false)
    }

    fn find(&self, local: SocketAddr, is_listener: bool) -> Option<io::Result<Socket>> {
        let mut all = self.sockets.iter();
        let handed =
            all.find(|handed| handed.is_listener == is_listener && handed.address == local);
        handed.map(|handed| handed.socket.try_clone())
    }
}

/// How many sockets are for the process with this number.
fn announced(process: Option<&str>, count: Option<&str>, own: u32) -> Result<usize, Failure> {
    let (Some(process), Some(count)) = (process, count) else {
        return Ok(0);
    };
    // They may be for the process that has started this one.
    if process.parse() != Ok(own) {
        return Ok(0);
    }
    match count.parse() {
        Ok(count) if count <= SOCKETS_MAX => Ok(count),
        Ok(count) => Err(invalid(&format!(
            "{count} sockets were handed over, and {SOCKETS_MAX} are taken at most"
        ))),
        Err(_) => Err(invalid("LISTEN_FDS is no number")),
    }
}

fn take_all(numbers: impl Iterator<Item = i32>) -> Result<Vec<Handed>, Failure> {
    // All of them are taken before one is refused: programs that are started get none.
    let taken: Vec<_> = numbers.map(take_one).collect();
    let sockets = taken.into_iter().collect::<Result<Vec<Handed>, _>>()?;
    for (index, handed) in sockets.iter().enumerate() {
        let is_same = |other: &Handed| {
            other.is_listener == handed.is_listener && other.address == handed.address
        };
        if sockets[..index].iter().any(is_same) {
            let kind = if handed.is_listener { "TCP" } else { "UDP" };
            let address = handed.address;
            let detail = format!("two {kind} sockets at {address} were handed over");
            return Err(invalid(&detail));
        }
    }
    Ok(sockets)
}

fn take_one(number: i32) -> Result<Handed, Failure> {
    let unusable =
        |error: io::Error| invalid(&format!("the descriptor {number} is not usable: {error}"));
    let socket = system::take_descriptor(number).map_err(unusable)?;
    let address = socket.local_addr().map_err(unusable)?.as_socket();
    let kind = socket.r#type().map_err(unusable)?;
    let is_listener = kind == Type::STREAM && socket.is_listener().map_err(unusable)?;
    match address {
        Some(address) if is_listener || kind == Type::DGRAM => {
            let takes_both = address.is_ipv6() && !socket.only_v6().map_err(unusable)?;
            if takes_both && !is_listener {
                let words = "takes IPv4, too: BindIPv6Only=ipv6-only is needed";
                return Err(invalid(&format!("the UDP socket at {address} {words}")));
            }
            Ok(Handed {
                address,
                is_listener,
                takes_both,
                socket,
            })
        }
        _ => Err(invalid(&format!(
            "the descriptor {number} is neither a listener of TCP nor a socket of UDP"
        ))),
    }
}

fn invalid(detail: &str) -> Failure {
    Failure::new(Origin::Local, FailureKind::InvalidRequest, detail)
}

/// Those before are the standard ones.
const FIRST_DESCRIPTOR: i32 = 3;

const SOCKETS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_os = "linux")]
    use std::{
        net::{TcpListener, UdpSocket},
        os::fd::IntoRawFd,
    };

    #[test]
    fn sockets_are_for_the_process_that_is_named() {
        let rows = [
            (None, None, Some(0)),
            (Some("7"), None, Some(0)),
            (None, Some("2"), Some(0)),
            (Some("7"), Some("2"), Some(2)),
            (Some("7"), Some("0"), Some(0)),
            (Some("8"), Some("2"), Some(0)),
            (Some("x"), Some("2"), Some(0)),
            (Some("7"), Some("64"), Some(64)),
            (Some("7"), Some("65"), None),
            (Some("7"), Some("-1"), None),
        ];
        for (process, count, expected) in rows {
            let told = announced(process, count, 7).ok();
            assert_eq!(told, expected, "{process:?} {count:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_bad_socket_does_not_keep_those_after_it_from_being_taken() {
        let bad = std::os::unix::net::UnixDatagram::unbound()
            .unwrap()
            .into_raw_fd();
        let good = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = good.local_addr().unwrap();
        let failure = take_all([bad, good.into_raw_fd()].into_iter()).unwrap_err();
        assert!(failure.to_string().contains("neither"), "{failure}");
        // It was taken, thus it is closed, and its address is free.
        UdpSocket::bind(address).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn two_sockets_of_a_kind_at_one_address_are_refused() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let numbers = [tcp.try_clone().unwrap().into_raw_fd(), tcp.into_raw_fd()];
        let failure = take_all(numbers.into_iter()).unwrap_err();
        let words = format!("two TCP sockets at {address}");
        assert!(failure.to_string().contains(&words), "{failure}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_listener_of_both_families_takes_the_ipv4_of_its_port() {
        for only_v6 in [false, true] {
            let tcp = Socket::new(socket2::Domain::IPV6, Type::STREAM, None).unwrap();
            tcp.set_only_v6(only_v6).unwrap();
            let any: SocketAddr = "[::]:0".parse().unwrap();
            tcp.bind(&any.into()).unwrap();
            tcp.listen(1).unwrap();
            let port = tcp.local_addr().unwrap().as_socket().unwrap().port();
            let sockets = take_all(std::iter::once(tcp.into_raw_fd())).unwrap();
            let inherited = Inherited { sockets };
            let at = |ip: &str, port| SocketAddr::new(ip.parse().unwrap(), port);
            assert_eq!(inherited.takes_ipv4(at("0.0.0.0", port)), !only_v6);
            assert_eq!(inherited.takes_ipv4(at("127.0.0.1", port)), !only_v6);
            assert!(!inherited.takes_ipv4(at("0.0.0.0", port ^ 1)));
            assert!(!inherited.takes_ipv4(at("::1", port)));
            let scoped = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), port, 0, 2);
            assert!(inherited.listener(scoped.into()).is_none());
        }
    }
}
