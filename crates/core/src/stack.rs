//! Protocol stacks as data: their names, what they run over and what they give.
//!
//! Invariant: whatever a stack does not provide or apply has a reason that a person can read.

mod application;
mod builtin;
mod effect;
mod in_use;
mod message_effect;

#[cfg(test)]
mod tests;

pub use effect::Moment;
pub use in_use::InUse;
pub use message_effect::MessageWays;

use crate::property::{Preference, SelectionProperty};
use crate::security::TlsVersion;
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
        f.pad(&self.0)
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

impl fmt::Display for WireProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WireProtocol::Tcp => "TCP",
            WireProtocol::Udp => "UDP",
        })
    }
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

/// Whether a stack provides a selection property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provision {
    /// It cannot be had without.
    Always,
    /// It is there when it is wanted.
    Optional,
    /// It cannot be had.
    Never,
}

impl Provision {
    /// Whether a connection has the property when the application's preference is `level`.
    ///
    /// This is the boolean that a connection reads back (RFC 9622 §6.2).
    pub fn is_provided_at(self, level: Preference) -> bool {
        match self {
            Provision::Always => true,
            Provision::Optional => level.is_wanted(),
            Provision::Never => false,
        }
    }

    /// Whether a stack with this provision may be used at all.
    pub fn allows(self, level: Preference) -> bool {
        match level {
            Preference::Require => self != Provision::Never,
            Preference::Prohibit => self != Provision::Always,
            Preference::Prefer | Preference::NoPreference | Preference::Avoid => true,
        }
    }
}

/// What a stack says of one selection property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The property.
    pub property: SelectionProperty,
    /// Whether it is provided.
    pub provision: Provision,
    /// Why it is so: a clause with the stack or its nature as its subject.
    pub reason: Cow<'static, str>,
}

impl Offer {
    const fn fixed(
        property: SelectionProperty,
        provision: Provision,
        reason: &'static str,
    ) -> Self {
        Offer {
            property,
            provision,
            reason: Cow::Borrowed(reason),
        }
    }
}

/// A protocol stack that a plan can choose.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackDescriptor {
    /// The name.
    pub id: StackId,
    /// The port space that it uses.
    pub wire: WireProtocol,
    /// What it hands to those above it.
    pub carrier: CarrierKind,
    /// The TLS versions that protect it; empty for a stack without protection.
    pub tls_versions: Cow<'static, [TlsVersion]>,
    /// Whether nothing reaches the peer before this side's first write, so that a peer cannot
    /// write first.
    pub opens_by_first_write: bool,
    /// Whether a message that the network doubled is delivered once.
    pub rejects_duplicates: bool,
    /// Whether it can use several paths at once or move between them.
    pub has_multipath: bool,
    offers: Cow<'static, [Offer]>,
}

impl StackDescriptor {
    /// A stack that provides nothing yet; see [`StackDescriptor::with_offer`].
    pub fn new(id: StackId, wire: WireProtocol, carrier: CarrierKind) -> Self {
        StackDescriptor {
            id,
            wire,
            carrier,
            tls_versions: Cow::Borrowed(&[]),
            opens_by_first_write: false,
            rejects_duplicates: true,
            has_multipath: false,
            offers: Cow::Borrowed(&[]),
        }
    }

    /// The stacks that portway itself brings, in the order in which equals are tried.
    pub fn builtin() -> Vec<StackDescriptor> {
        vec![
            StackDescriptor::quic(),
            StackDescriptor::tls(),
            StackDescriptor::tcp(),
            StackDescriptor::quic_datagram(),
            StackDescriptor::udp(),
        ]
    }

    /// Says whether a property is provided, in place of what was said before.
    #[must_use]
    pub fn with_offer(
        mut self,
        property: SelectionProperty,
        provision: Provision,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        let offers = self.offers.to_mut();
        offers.retain(|offer| offer.property != property);
        offers.push(Offer {
            property,
            provision,
            reason: reason.into(),
        });
        self
    }

    /// The same stack under another name, as a start for one that differs little.
    #[must_use]
    pub fn with_id(mut self, id: StackId) -> Self {
        self.id = id;
        self
    }

    /// Says which TLS versions protect the stack.
    #[must_use]
    pub fn with_tls_versions(mut self, versions: &'static [TlsVersion]) -> Self {
        self.tls_versions = Cow::Borrowed(versions);
        self
    }

    /// Whether everything that the stack sends is encrypted.
    pub fn is_protected(&self) -> bool {
        !self.tls_versions.is_empty()
    }

    /// Whether the stack provides the property.
    pub fn provides(&self, property: SelectionProperty) -> Provision {
        self.offer(property).provision
    }

    /// Whether the stack provides the property, and why.
    pub fn offer(&self, property: SelectionProperty) -> Offer {
        self.offers
            .iter()
            .find(|offer| offer.property == property)
            .cloned()
            .unwrap_or(Offer::fixed(
                property,
                Provision::Never,
                "the stack does not say that it does",
            ))
    }
}
