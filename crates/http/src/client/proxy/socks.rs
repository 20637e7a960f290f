//! SOCKS5 as a client speaks it (RFC 1928, RFC 1929): CONNECT, with user and password or without.
//!
//! Invariant: not a byte beyond the reply is taken, and no password is sent to a proxy that has
//! not chosen the method for it.

use super::fault::{ProxyLie, SocksFailure};
use bytes::{Buf, BytesMut};
use portway_transport::environment::TcpStream;
use portway_transport::establish::{read_some, write_all};
use std::net::{IpAddr, SocketAddr};

/// Where a proxy is to connect to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal<'a> {
    Address(SocketAddr),
    /// A name that the proxy resolves.
    Name(&'a str, u16),
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NotOpened {
    Fault(SocksFailure),
    /// It cannot be asked.
    Unaskable(&'static str),
}

/// Asks for a connection. What came behind the reply is left in `unread`.
pub(super) async fn open(
    socket: &dyn TcpStream,
    unread: &mut BytesMut,
    goal: Goal<'_>,
    login: Option<(&str, &str)>,
) -> Result<(), NotOpened> {
    let mut wire = Wire { socket, unread };
    // RFC 1928 §3: the proxy chooses; one that lets everybody through needs no password.
    let methods: &[u8] = match login {
        Some(_) => &[VERSION, 2, METHOD_NONE, METHOD_PASSWORD],
        None => &[VERSION, 1, METHOD_NONE],
    };
    wire.write(methods).await?;
    let [version, chosen] = wire.read().await?;
    if version != VERSION {
        return Err(lie(ProxyLie::Garbled));
    }
    match (chosen, login) {
        (METHOD_NONE, _) => {}
        (METHOD_PASSWORD, Some((user, password))) => {
            wire.log_in(user, password).await?;
        }
        (METHOD_NOT_ACCEPTABLE, _) => return Err(NotOpened::Fault(SocksFailure::NoMethod)),
        // It chose what was not offered.
        _ => return Err(lie(ProxyLie::Garbled)),
    }
    wire.write(&request(goal)?).await?;
    wire.read_reply().await
}

struct Wire<'a> {
    socket: &'a dyn TcpStream,
    unread: &'a mut BytesMut,
}

impl Wire<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), NotOpened> {
        let mut out = BytesMut::from(bytes);
        let written = write_all(self.socket, &mut out).await;
        written.map_err(|_| lie(ProxyLie::Truncated))
    }

    async fn fill(&mut self, count: usize) -> Result<(), NotOpened> {
        while self.unread.len() < count {
            // A connection that is reset in the middle of an answer has cut it off, too.
            if !matches!(read_some(self.socket, self.unread).await, Ok(true)) {
                return Err(lie(ProxyLie::Truncated));
            }
        }
        Ok(())
    }

    async fn read<const N: usize>(&mut self) -> Result<[u8; N], NotOpened> {
        self.fill(N).await?;
        let mut bytes = [0; N];
        self.unread.copy_to_slice(&mut bytes);
        Ok(bytes)
    }

    /// RFC 1929 §2.
    async fn log_in(&mut self, user: &str, password: &str) -> Result<(), NotOpened> {
        let mut message = vec![LOGIN_VERSION];
        for text in [user, password] {
            let length = u8::try_from(text.len())
                .map_err(|_| NotOpened::Unaskable("SOCKS5 takes 255 bytes of user or password"))?;
            message.push(length);
            message.extend_from_slice(text.as_bytes());
        }
        self.write(&message).await?;
        match self.read().await? {
            [LOGIN_VERSION, 0] => Ok(()),
            [LOGIN_VERSION, _] => Err(NotOpened::Fault(SocksFailure::CredentialsRejected)),
            _ => Err(lie(ProxyLie::Garbled)),
        }
    }

    /// RFC 1928 §6.
    async fn read_reply(&mut self) -> Result<(), NotOpened> {
        let [version, reply] = self.read().await?;
        if version != VERSION {
            return Err(lie(ProxyLie::Garbled));
        }
        if reply != 0 {
            let failure = SocksFailure::of(reply);
            return Err(NotOpened::Fault(failure));
        }
        // The address that the proxy has bound says nothing to anybody.
        let [_, kind] = self.read().await?;
        let length = match kind {
            ADDRESS_V4 => 4,
            ADDRESS_V6 => 16,
            ADDRESS_NAME => usize::from(self.read::<1>().await?[0]),
            _ => return Err(lie(ProxyLie::Garbled)),
        };
        self.fill(length + 2).await?;
        self.unread.advance(length + 2);
        Ok(())
    }
}

/// RFC 1928 §4.
fn request(goal: Goal<'_>) -> Result<Vec<u8>, NotOpened> {
    let mut message = vec![VERSION, COMMAND_CONNECT, 0];
    let port = match goal {
        Goal::Address(address) => {
            match address.ip() {
                IpAddr::V4(ip) => {
                    message.push(ADDRESS_V4);
                    message.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    message.push(ADDRESS_V6);
                    message.extend_from_slice(&ip.octets());
                }
            }
            address.port()
        }
        Goal::Name(name, port) => {
            let length = u8::try_from(name.len())
                .map_err(|_| NotOpened::Unaskable("SOCKS5 takes names of 255 bytes"))?;
            message.extend_from_slice(&[ADDRESS_NAME, length]);
            message.extend_from_slice(name.as_bytes());
            port
        }
    };
    message.extend_from_slice(&port.to_be_bytes());
    Ok(message)
}

fn lie(lie: ProxyLie) -> NotOpened {
    NotOpened::Fault(SocksFailure::Lied(lie))
}

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const METHOD_NONE: u8 = 0;
const METHOD_PASSWORD: u8 = 2;
const METHOD_NOT_ACCEPTABLE: u8 = 0xff;
const COMMAND_CONNECT: u8 = 1;
const ADDRESS_V4: u8 = 1;
const ADDRESS_NAME: u8 = 3;
const ADDRESS_V6: u8 = 4;
