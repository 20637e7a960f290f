//! Protocol stacks as data: their names, what they run over and what they give.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// The name of a protocol stack, such as `tcp` or `tls`.
///
/// Open: a layer above may register stacks of its own under new names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StackId(Cow<'static, str>);

impl StackId {
    /// TCP without protection.
    pub const TCP: StackId = StackId(Cow::Borrowed("tcp"));
    /// TLS over TCP.
    pub const TLS: StackId = StackId(Cow::Borrowed("tls"));
    /// UDP without protection.
    pub const UDP: StackId = StackId(Cow::Borrowed("udp"));
    /// Streams of a QUIC connection.
    pub const QUIC: StackId = StackId(Cow::Borrowed("quic"));
    /// Datagrams of a QUIC connection.
    pub const QUIC_DATAGRAM: StackId = StackId(Cow::Borrowed("quic-datagram"));

    /// A stack that another layer registers.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        StackId(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The IP protocol below a stack, which decides the port space that it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum WireProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What a ready stack hands to those above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CarrierKind {
    /// An ordered stream of bytes.
    Bytes,
    /// Datagrams whose boundaries are kept.
    Datagrams,
    /// A QUIC connection.
    Quic,
}
