//! What a live connection is: stack, addresses, protection, and its read-only properties
//! (RFC 9622 §8.1.11).

use super::Connection;
use super::group::{Group, Sending};
use super::link::Link;
use portway_core::StackId;
use portway_core::property::{ConnectionState, Property, PropertyValue, SpecialValue};
use portway_core::race::{Recording, Report};
use portway_core::security::Protection;
use std::net::SocketAddr;
use std::time::Duration;

/// A snapshot of what a connection is. Everything is of the moment of the call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// `connState`.
    pub state: ConnectionState,
    /// The protocol stack, once established.
    pub stack: Option<StackId>,
    /// The local address, while there is a carrier.
    pub local: Option<SocketAddr>,
    /// The peer's address, while there is a carrier.
    pub remote: Option<SocketAddr>,
    /// What was negotiated; `None` in cleartext.
    pub protection: Option<Protection>,
    /// `canSend`: whether a message would be taken.
    pub can_send: bool,
    /// `canReceive`: whether a message can still arrive.
    pub can_receive: bool,
    /// `singularTransmissionMsgMaxLen`: the longest message in bytes that leaves in one packet;
    /// `None` where the protocol has no such notion.
    pub singular_transmission_message_bytes: Option<usize>,
    /// `sendMsgMaxLen`: the longest message in bytes that can be sent; `None` is no limit.
    pub send_message_bytes: Option<usize>,
    /// `recvMsgMaxLen`: the longest message in bytes that can be received in one piece.
    pub receive_message_bytes: usize,
    /// Bytes that were accepted and not sent.
    pub queued_bytes: usize,
    /// The measured round-trip time, where the protocol measures it.
    pub rtt: Option<Duration>,
    /// Whether early data was taken, this side's or the peer's; `None` when there was none.
    pub is_early_data_accepted: Option<bool>,
}

impl Connection {
    /// What the connection is now.
    pub fn info(&self) -> ConnectionInfo {
        ConnectionInfo::of(&self.shared().lock())
    }

    /// How the race that led to this connection went; `None` for one that a peer opened. The
    /// context remembers its latest races only (`ContextBuilder::reports_max`), so that idle
    /// connections stay small.
    pub fn report(&self) -> Option<Report> {
        let race = self.shared().lock().details.race?;
        self.shared().context.report(race)
    }

    /// Everything that went into the race and came out, if it was recorded. The second call
    /// gives `None`.
    pub fn take_recording(&self) -> Option<Recording> {
        self.shared()
            .lock()
            .details
            .recording
            .take()
            .map(|recording| *recording)
    }
}

impl ConnectionInfo {
    pub(super) fn of(group: &Group) -> Self {
        let details = &group.details;
        let link = group.link.as_ref();
        let direction = details.direction;
        let (singular, longest, rtt) = match link {
            Some(Link::Bytes(link)) => (None, None, link.socket.rtt()),
            Some(Link::Datagrams(link)) => (
                Some(link.socket.payload_max(link.peer, false)),
                Some(link.socket.payload_max(link.peer, true)),
                None,
            ),
            None => (None, None, None),
        };
        let is_datagram = matches!(link, Some(Link::Datagrams(_)));
        ConnectionInfo {
            state: group.state(),
            stack: details.stack.clone(),
            local: link.map(Link::local_address),
            remote: link.map(Link::peer_address),
            protection: details.protection.clone(),
            can_send: matches!(
                group.state(),
                ConnectionState::Establishing | ConnectionState::Established
            ) && matches!(group.sending, Sending::Open | Sending::Held)
                && !group.outbound.ends()
                && direction.can_send(),
            can_receive: group.state() != ConnectionState::Closed
                && !group.inbound.has_ended()
                && direction.can_receive(),
            singular_transmission_message_bytes: singular,
            send_message_bytes: longest,
            receive_message_bytes: if is_datagram {
                DATAGRAM_BYTES_MAX.min(details.limits.receive_message_bytes)
            } else {
                details.limits.receive_message_bytes
            },
            queued_bytes: group.outbound.queue.queued_bytes(),
            rtt,
            is_early_data_accepted: details
                .siblings
                .as_ref()
                .and_then(|siblings| siblings.is_early_data_accepted())
                .or_else(|| link.and_then(Link::is_early_data_accepted)),
        }
    }

    /// A read-only property; `None` where it has no bound, and for every other property.
    pub(super) fn value_of(&self, property: Property) -> Option<PropertyValue> {
        let bytes = |bytes: usize| PropertyValue::Integer(bytes as u64);
        match property {
            Property::ConnState => Some(PropertyValue::ConnectionState(self.state)),
            Property::CanSend => Some(PropertyValue::Boolean(self.can_send)),
            Property::CanReceive => Some(PropertyValue::Boolean(self.can_receive)),
            Property::SingularTransmissionMsgMaxLen => {
                let none = PropertyValue::Special(SpecialValue::NotApplicable);
                Some(self.singular_transmission_message_bytes.map_or(none, bytes))
            }
            Property::SendMsgMaxLen => self.send_message_bytes.map(bytes),
            Property::RecvMsgMaxLen => Some(bytes(self.receive_message_bytes)),
            _ => None,
        }
    }
}

/// The longest UDP payload over IPv6 without jumbograms.
const DATAGRAM_BYTES_MAX: usize = 65_527;
