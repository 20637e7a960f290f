//! Which application protocols a stack can carry.
//!
//! Invariant: a protocol that is in neither list may run over any stack that negotiates one.

use super::{StackDescriptor, WireProtocol};

impl StackDescriptor {
    /// Whether the stack cannot do without an application protocol.
    ///
    /// RFC 9001 §8.1: the peers of a QUIC connection agree on one by ALPN.
    pub fn needs_application_protocol(&self) -> bool {
        self.is_protected() && self.wire == WireProtocol::Udp
    }

    /// Whether an application protocol, by its ALPN name, is defined over this stack.
    pub fn carries(&self, protocol: &[u8]) -> bool {
        let elsewhere = match self.wire {
            WireProtocol::Tcp => OVER_QUIC_ONLY,
            WireProtocol::Udp => OVER_TCP_ONLY,
        };
        !elsewhere.contains(&protocol)
    }

    /// The protocols among `named` that the stack can carry, in their order.
    pub fn carried(&self, named: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let carried = named.iter().filter(|protocol| self.carries(protocol));
        carried.cloned().collect()
    }
}

/// Names of IANA's ALPN registry that stand for a mapping to QUIC.
const OVER_QUIC_ONLY: &[&[u8]] = &[b"h3", b"doq"];

/// Names of IANA's ALPN registry that stand for a mapping to TLS over TCP.
const OVER_TCP_ONLY: &[&[u8]] = &[
    b"http/0.9",
    b"http/1.0",
    b"http/1.1",
    b"h2",
    b"h2c",
    b"spdy/1",
    b"spdy/2",
    b"spdy/3",
    b"dot",
    b"ftp",
    b"imap",
    b"pop3",
    b"managesieve",
    b"xmpp-client",
    b"xmpp-server",
    b"postgresql",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_protocols_is_split_by_what_each_stack_carries() {
        let named = [&b"h3"[..], b"h2", b"http/1.1", b"portway"].map(<[u8]>::to_vec);
        let over = |stack: StackDescriptor| {
            let carried = stack.carried(&named);
            carried.join(&b' ')
        };
        assert_eq!(over(StackDescriptor::quic()), b"h3 portway");
        assert_eq!(over(StackDescriptor::quic_datagram()), b"h3 portway");
        assert_eq!(over(StackDescriptor::tls()), b"h2 http/1.1 portway");
    }

    #[test]
    fn only_quic_needs_an_application_protocol() {
        let needing = |stack: &StackDescriptor| stack.needs_application_protocol();
        let quic = [StackDescriptor::quic(), StackDescriptor::quic_datagram()];
        assert!(quic.iter().all(needing));
        let others = [
            StackDescriptor::tls(),
            StackDescriptor::tcp(),
            StackDescriptor::udp(),
        ];
        assert!(!others.iter().any(needing));
    }
}
