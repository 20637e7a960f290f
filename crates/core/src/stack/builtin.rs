//! The stacks that portway itself brings: one line a property, each with its reason.

use super::{CarrierKind, Offer, Provision, StackDescriptor, StackId, WireProtocol};
use crate::property::SelectionProperty as P;
use crate::security::TlsVersion;
use std::borrow::Cow;

impl StackDescriptor {
    /// TCP without protection.
    pub fn tcp() -> Self {
        stack(StackId::TCP, WireProtocol::Tcp, CarrierKind::Bytes, TCP)
    }

    /// TLS over TCP.
    pub fn tls() -> Self {
        let mut tls = stack(StackId::TLS, WireProtocol::Tcp, CarrierKind::Bytes, TLS);
        tls.tls_versions = Cow::Borrowed(&[TlsVersion::Tls12, TlsVersion::Tls13]);
        tls
    }

    /// UDP without protection.
    pub fn udp() -> Self {
        let mut udp = stack(StackId::UDP, WireProtocol::Udp, CarrierKind::Datagrams, UDP);
        udp.opens_by_first_write = true;
        udp.rejects_duplicates = false;
        udp
    }

    /// A stream of a QUIC connection.
    pub fn quic() -> Self {
        let mut quic = stack(StackId::QUIC, WireProtocol::Udp, CarrierKind::Quic, QUIC);
        quic.tls_versions = Cow::Borrowed(&[TlsVersion::Tls13]);
        quic.opens_by_first_write = true;
        quic.has_multipath = true;
        quic
    }

    /// The datagrams of a QUIC connection.
    pub fn quic_datagram() -> Self {
        let mut quic = stack(
            StackId::QUIC_DATAGRAM,
            WireProtocol::Udp,
            CarrierKind::Datagrams,
            QUIC_DATAGRAM,
        );
        quic.tls_versions = Cow::Borrowed(&[TlsVersion::Tls13]);
        quic.has_multipath = true;
        quic
    }
}

fn stack(
    id: StackId,
    wire: WireProtocol,
    carrier: CarrierKind,
    offers: &'static [Offer],
) -> StackDescriptor {
    StackDescriptor {
        offers: Cow::Borrowed(offers),
        ..StackDescriptor::new(id, wire, carrier)
    }
}

const fn always(property: P, reason: &'static str) -> Offer {
    Offer::fixed(property, Provision::Always, reason)
}

const fn optional(property: P, reason: &'static str) -> Offer {
    Offer::fixed(property, Provision::Optional, reason)
}

const fn never(property: P, reason: &'static str) -> Offer {
    Offer::fixed(property, Provision::Never, reason)
}

// Reasons that several stacks share.
const RETRANSMITS: &str = "lost bytes are sent again until they are acknowledged";
const NO_BOUNDARIES: &str = "a byte stream keeps no message boundaries without a framer";
const ALL_OR_NONE: &str = "every message has the reliability of its stack";
const IN_ORDER: &str = "bytes are delivered in the order of their sends";
const ONE_STREAM: &str = "each connection has a transport connection of its own";
const CONTROLLED: &str = "the transport controls congestion";
const PROBES: &str = "the transport can send keep-alive probes";
const NO_SOFT_ERRORS: &str = "ICMP errors are not reported by this stack yet";
const EITHER_FIRST: &str = "either side may write first once the handshake is done";
const TCP_CHECKSUM: &str = "TCP's checksum always covers the whole segment";
const UDP_CHECKSUM: &str = "UDP's checksum always covers the whole datagram";
const AUTHENTICATED: &str = "every byte is authenticated";
const ANY_ADDRESS: &str = "the path decides the local address";
const ANY_PATH: &str = "the path decides what is metered";
const QUIC_EARLY: &str = "a resumed connection can carry data in its first packets";
const TLS_EARLY: &str = "a resumed session can carry data with its first flight";
const DATAGRAMS: &str = "a message is one datagram";

const TCP: &[Offer] = &[
    always(P::Reliability, RETRANSMITS),
    never(P::PreserveMsgBoundaries, NO_BOUNDARIES),
    never(P::PerMsgReliability, ALL_OR_NONE),
    always(P::PreserveOrder, IN_ORDER),
    never(P::ZeroRttMsg, "TCP Fast Open is not supported yet"),
    never(P::Multistreaming, ONE_STREAM),
    always(P::FullChecksumSend, TCP_CHECKSUM),
    always(P::FullChecksumRecv, TCP_CHECKSUM),
    always(P::CongestionControl, CONTROLLED),
    optional(P::KeepAlive, PROBES),
    optional(P::UseTemporaryLocalAddress, ANY_ADDRESS),
    never(P::SoftErrorNotify, NO_SOFT_ERRORS),
    optional(P::ActiveReadBeforeSend, EITHER_FIRST),
    optional(P::Metered, ANY_PATH),
];

const TLS: &[Offer] = &[
    always(P::Reliability, RETRANSMITS),
    never(P::PreserveMsgBoundaries, NO_BOUNDARIES),
    never(P::PerMsgReliability, ALL_OR_NONE),
    always(P::PreserveOrder, IN_ORDER),
    optional(P::ZeroRttMsg, TLS_EARLY),
    never(P::Multistreaming, ONE_STREAM),
    always(P::FullChecksumSend, AUTHENTICATED),
    always(P::FullChecksumRecv, AUTHENTICATED),
    always(P::CongestionControl, CONTROLLED),
    optional(P::KeepAlive, PROBES),
    optional(P::UseTemporaryLocalAddress, ANY_ADDRESS),
    never(P::SoftErrorNotify, NO_SOFT_ERRORS),
    optional(P::ActiveReadBeforeSend, EITHER_FIRST),
    optional(P::Metered, ANY_PATH),
];

const UDP: &[Offer] = &[
    never(P::Reliability, "datagrams can be lost or doubled"),
    always(P::PreserveMsgBoundaries, DATAGRAMS),
    never(P::PerMsgReliability, ALL_OR_NONE),
    never(P::PreserveOrder, "datagrams can overtake one another"),
    never(
        P::ZeroRttMsg,
        "there is no establishment that a message could travel with",
    ),
    never(P::Multistreaming, ONE_STREAM),
    always(P::FullChecksumSend, UDP_CHECKSUM),
    always(P::FullChecksumRecv, UDP_CHECKSUM),
    never(
        P::CongestionControl,
        "nothing limits the rate but the application",
    ),
    never(P::KeepAlive, "UDP has no keep-alive packets"),
    optional(P::UseTemporaryLocalAddress, ANY_ADDRESS),
    always(
        P::SoftErrorNotify,
        "ICMP errors about datagrams are told as soft errors",
    ),
    never(
        P::ActiveReadBeforeSend,
        "the peer learns of the connection by the first datagram",
    ),
    optional(P::Metered, ANY_PATH),
];

const QUIC: &[Offer] = &[
    always(P::Reliability, RETRANSMITS),
    never(P::PreserveMsgBoundaries, NO_BOUNDARIES),
    never(P::PerMsgReliability, ALL_OR_NONE),
    always(P::PreserveOrder, IN_ORDER),
    optional(P::ZeroRttMsg, QUIC_EARLY),
    always(
        P::Multistreaming,
        "connections of a group are streams of one QUIC connection",
    ),
    always(P::FullChecksumSend, AUTHENTICATED),
    always(P::FullChecksumRecv, AUTHENTICATED),
    always(P::CongestionControl, CONTROLLED),
    optional(P::KeepAlive, PROBES),
    optional(P::UseTemporaryLocalAddress, ANY_ADDRESS),
    never(P::SoftErrorNotify, NO_SOFT_ERRORS),
    never(P::ActiveReadBeforeSend, "a stream opens by its first write"),
    optional(P::Metered, ANY_PATH),
];

const QUIC_DATAGRAM: &[Offer] = &[
    never(P::Reliability, "lost datagrams are not sent again"),
    always(P::PreserveMsgBoundaries, DATAGRAMS),
    never(P::PerMsgReliability, ALL_OR_NONE),
    never(P::PreserveOrder, "datagrams can overtake one another"),
    never(
        P::ZeroRttMsg,
        "datagrams wait for the handshake, since nothing would repeat a rejected one",
    ),
    never(
        P::Multistreaming,
        "datagrams of one QUIC connection are not told apart",
    ),
    always(P::FullChecksumSend, AUTHENTICATED),
    always(P::FullChecksumRecv, AUTHENTICATED),
    always(P::CongestionControl, CONTROLLED),
    optional(P::KeepAlive, PROBES),
    optional(P::UseTemporaryLocalAddress, ANY_ADDRESS),
    never(P::SoftErrorNotify, NO_SOFT_ERRORS),
    optional(P::ActiveReadBeforeSend, EITHER_FIRST),
    optional(P::Metered, ANY_PATH),
];
