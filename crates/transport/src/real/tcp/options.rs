//! TCP options in the system's terms.
//!
//! Invariant: an option that is `None` is not touched.

use crate::environment::TcpOptions;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::IpAddr;

/// Sets what `options` names on a socket of `address`'s family.
pub(super) fn apply(socket: SockRef<'_>, address: IpAddr, options: &TcpOptions) -> io::Result<()> {
    if let Some(no_delay) = options.no_delay {
        socket.set_tcp_nodelay(no_delay)?;
    }
    match options.keep_alive {
        None => {}
        Some(None) => socket.set_keepalive(false)?,
        Some(Some(idle)) => {
            // The system counts in whole seconds and refuses zero.
            let idle = idle.max(std::time::Duration::from_secs(1));
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))?;
        }
    }
    if let Some(timeout) = options.user_timeout {
        set_user_timeout(&socket, timeout)?;
    }
    match options.dscp {
        Some(code) => set_dscp(&socket, address, code),
        None => Ok(()),
    }
}

/// Sets the differentiated services code point; the two ECN bits stay the system's.
pub(in crate::real) fn set_dscp(socket: &SockRef<'_>, address: IpAddr, code: u8) -> io::Result<()> {
    if code > 63 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the code point {code} is above 63"),
        ));
    }
    let field = u32::from(code) << 2;
    match address {
        IpAddr::V4(_) => socket.set_tos_v4(field),
        IpAddr::V6(_) => set_traffic_class(socket, field),
    }
}

#[cfg(target_os = "linux")]
fn set_user_timeout(socket: &SockRef<'_>, limit: Option<std::time::Duration>) -> io::Result<()> {
    // RFC 5482 as Linux has it: milliseconds; zero, the same as none, is the system's default.
    let limit = limit.map(|limit| limit.max(std::time::Duration::from_millis(1)));
    socket.set_tcp_user_timeout(limit)
}

#[cfg(target_os = "linux")]
fn set_traffic_class(socket: &SockRef<'_>, field: u32) -> io::Result<()> {
    socket.set_tclass_v6(field)
}

#[cfg(not(target_os = "linux"))]
fn set_user_timeout(_: &SockRef<'_>, _: Option<std::time::Duration>) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(not(target_os = "linux"))]
fn set_traffic_class(_: &SockRef<'_>, _: u32) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
