//! Why a stack or a path is out.

use crate::property::SelectionProperty;
use crate::security::TlsVersion;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;

/// Why a stack or a path is out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// A required property is not provided.
    Required {
        /// The property.
        property: SelectionProperty,
        /// Why it is not provided.
        why: Cow<'static, str>,
    },
    /// A prohibited property cannot be had without.
    Prohibited {
        /// The property.
        property: SelectionProperty,
        /// Why it is always there.
        why: Cow<'static, str>,
    },
    /// The stack delivers duplicates, and messages are not safely replayable.
    NotReplayable,
    /// Protection is demanded, and the stack has none.
    NoProtection,
    /// Protection is disabled, and the stack cannot do without.
    ProtectionDisabled,
    /// None of the stack's TLS versions is within the bounds.
    TlsVersion {
        /// The lowest version that is accepted.
        min: TlsVersion,
        /// The highest version that is offered.
        max: TlsVersion,
    },
    /// The algorithms that are allowed are of no version that the stack speaks.
    TlsAlgorithms,
    /// The stack needs an application protocol, and none was named.
    NoApplicationProtocol,
    /// None of the application protocols that were named is defined over the stack.
    ApplicationProtocols,
    /// A protected stack listens with a certificate, and there is none.
    NoIdentity,
    /// Every endpoint of that side is for other stacks.
    NoEndpoint {
        /// The side.
        side: Side,
    },
    /// The interface or its type is prohibited.
    InterfaceProhibited {
        /// The interface or type.
        selector: String,
    },
    /// Another interface or type is required.
    InterfaceRequired {
        /// The interface or type.
        selector: String,
    },
    /// A provisioning domain is required, and the path is not known to have it.
    PvdRequired {
        /// The domain or type.
        selector: String,
    },
    /// No local endpoint can use the path.
    NotAtLocalEndpoint,
}

/// One of the two sides of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// This side.
    Local,
    /// The other side.
    Remote,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Local => "local",
            Side::Remote => "remote",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Required { property, why } => write!(f, "{property} is required, but {why}"),
            Reason::Prohibited { property, why } => {
                write!(f, "{property} is prohibited, but {why}")
            }
            Reason::NotReplayable => f.write_str(
                "it can deliver a message twice, and messages are not marked safelyReplayable",
            ),
            Reason::NoProtection => f.write_str("security is required, but it sends cleartext"),
            Reason::ProtectionDisabled => {
                f.write_str("security is disabled, but it is always encrypted")
            }
            Reason::TlsVersion { min, max } => {
                write!(f, "it speaks no version from {min} to {max}")
            }
            Reason::TlsAlgorithms => f.write_str(
                "the groups, cipher suites or signature algorithms that are allowed are of no \
                 TLS version that it speaks",
            ),
            Reason::NoApplicationProtocol => {
                f.write_str("it needs an application protocol (ALPN), and none is named")
            }
            Reason::ApplicationProtocols => {
                f.write_str("none of the application protocols that are named runs over it")
            }
            Reason::NoIdentity => {
                f.write_str("a listener with TLS needs a certificate, and none is given")
            }
            Reason::NoEndpoint { side } => {
                write!(f, "every {side} endpoint is for other stacks")
            }
            Reason::InterfaceProhibited { selector } => {
                write!(f, "interface {selector} is prohibited")
            }
            Reason::InterfaceRequired { selector } => {
                write!(f, "interface {selector} is required")
            }
            Reason::PvdRequired { selector } => write!(
                f,
                "pvd {selector} is required, but the system tells no provisioning domains"
            ),
            Reason::NotAtLocalEndpoint => {
                f.write_str("no local endpoint has its interface or one of its addresses")
            }
        }
    }
}
