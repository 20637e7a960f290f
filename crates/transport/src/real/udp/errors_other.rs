//! Errors of single peers, which this system does not tell.
//!
//! Invariant: asking for them has no effect.

use super::watched::Inner;
use socket2::Socket;
use std::net::IpAddr;

/// Does nothing.
pub(super) fn request(_socket: &Socket, _local: IpAddr) {}
