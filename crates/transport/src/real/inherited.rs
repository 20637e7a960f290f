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
    socket: Socket,
}

impl Inherited {
    /// Takes what `LISTEN_PID` and `LISTEN_FDS` say was handed over to this process; `None` without
    /// any. It gives them once.
    ///
    /// # Errors
    /// A socket is neither a listener of TCP nor bound for UDP, there are more than 64, or the
    /// system hands none over.
    pub fn take() -> Result<Option<Arc<Inherited>>, Failure> {
        static IS_TAKEN: AtomicBool = AtomicBool::new(false);
        let said = |name: &str| std::env::var(name).ok();
        let (process, count) = (said("LISTEN_PID"), said("LISTEN_FDS"));
        let count = announced(process.as_deref(), count.as_deref(), std::process::id())?;
        if count == 0 || IS_TAKEN.swap(true, Ordering::SeqCst) {
            return Ok(None);
        }
        let sockets = (0..count).map(take_one).collect::<Result<_, _>>()?;
        Ok(Some(Arc::new(Inherited { sockets })))
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

    /// Another descriptor of the listener at an address.
    pub(super) fn listener(&self, local: SocketAddr) -> Option<io::Result<Socket>> {
        self.find(local, true)
    }

    /// Another descriptor of the socket for datagrams at an address.
    pub(super) fn datagrams(&self, local: SocketAddr) -> Option<io::Result<Socket>> {
        self.find(local, false)
    }

    fn find(&self, local: SocketAddr, is_listener: bool) -> Option<io::Result<Socket>> {
        let handed = self.sockets.iter().find(|handed| {
            handed.is_listener == is_listener
                && handed.address.ip() == local.ip()
                && handed.address.port() == local.port()
        });
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

fn take_one(index: usize) -> Result<Handed, Failure> {
    let number = FIRST_DESCRIPTOR + i32::try_from(index).expect("there are 64 at most");
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
}
