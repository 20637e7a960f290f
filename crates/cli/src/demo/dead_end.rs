//! An address that swallows what is sent to it, without any privilege.
//!
//! Invariant: the listener never accepts. Its queue has room for one connection, which the demo
//! itself takes up; a Linux system then drops every further SYN, as a broken IPv6 network does.

use crate::error::CommandError;
use portway::Context;
use portway_transport::environment::{ListenAddress, TcpConnect, TcpListener, TcpStream};
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

pub(super) enum DeadEnd {
    /// Nothing that is sent to the address is answered.
    Silent {
        address: SocketAddr,
        /// Held, and never asked to accept.
        _listener: Box<dyn TcpListener>,
        /// Fills the listener's queue.
        _filler: Box<dyn TcpStream>,
    },
    /// This host has no IPv6, so the system itself says no at once.
    NoIpv6,
}

impl DeadEnd {
    /// A dead end at this port of the IPv6 loopback address.
    ///
    /// # Errors
    /// The port is in use.
    pub(super) async fn at(context: &Context, port: u16) -> Result<DeadEnd, CommandError> {
        let environment = context.environment();
        let address = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port);
        let mut request = ListenAddress::on(address);
        request.backlog = 0;
        let listener = match environment.tcp_listen(request) {
            Ok(listener) => listener,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                return Err(CommandError::failed(format!("{address} is in use")));
            }
            Err(_) => return Ok(DeadEnd::NoIpv6),
        };
        let filler = environment.tcp_connect(TcpConnect::to(address)).await;
        match filler {
            Ok(filler) => Ok(DeadEnd::Silent {
                address,
                _listener: listener,
                _filler: filler,
            }),
            Err(error) => Err(CommandError::failed(format!("{address}: {error}"))),
        }
    }
}

impl fmt::Display for DeadEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeadEnd::Silent { address, .. } => write!(
                f,
                "{address} is a socket that never accepts\n  and whose queue is full, so the \
                 system drops every attempt without an answer"
            ),
            DeadEnd::NoIpv6 => f.write_str("this host has no IPv6, and says so at once"),
        }
    }
}
