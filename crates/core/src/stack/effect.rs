//! Which connection properties a stack applies, and why it ignores the others.

use super::{CarrierKind, StackDescriptor, WireProtocol};
use crate::property::{Effect, Property, PropertyValue, SpecialValue};

/// When a connection property is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// On a Preconnection, so that it holds from the first packet on.
    BeforeEstablishment,
    /// On a live connection.
    Established,
}

impl StackDescriptor {
    /// What setting a connection property to an acceptable value does on this stack.
    pub fn effect_of(&self, property: Property, value: &PropertyValue, moment: Moment) -> Effect {
        let is_tcp = self.wire == WireProtocol::Tcp;
        match property {
            Property::ConnTimeout | Property::KeepAliveTimeout if is_tcp => Effect::Applied,
            Property::KeepAliveTimeout
                if self.is_protected() && moment == Moment::BeforeEstablishment =>
            {
                Effect::Applied
            }
            Property::ConnTimeout if self.carrier == CarrierKind::Datagrams => {
                // RFC 9622 §8.1.3: it acts only where delivery is reliable.
                Effect::ignored("nothing is delivered reliably that could time out")
            }
            Property::KeepAliveTimeout if self.carrier == CarrierKind::Datagrams => {
                Effect::ignored("the stack has no keep-alive packets")
            }
            Property::ConnTimeout | Property::KeepAliveTimeout => {
                Effect::ignored("this stack's timers cannot be set yet")
            }
            Property::ConnCapacityProfile if is_tcp || moment == Moment::BeforeEstablishment => {
                Effect::Applied
            }
            Property::ConnCapacityProfile => {
                Effect::ignored("the code point is fixed when the socket is opened")
            }
            Property::RecvChecksumLen if is_full(value) => Effect::Applied,
            Property::RecvChecksumLen => {
                Effect::ignored("the checksum always covers everything; only UDP-Lite can do less")
            }
            // Connections of its group are streams of one transport, which has an order for them.
            Property::ConnPriority if self.carrier == CarrierKind::Quic => Effect::Applied,
            Property::ConnPriority | Property::ConnScheduler | Property::GroupConnLimit => {
                // RFC 9622 §8.1.2: without a group there is nothing to compare with.
                Effect::ignored("it acts within a group, and this connection is alone in its group")
            }
            Property::MultipathPolicy => Effect::ignored("the connection uses a single path"),
            Property::MinSendRate
            | Property::MinRecvRate
            | Property::MaxSendRate
            | Property::MaxRecvRate
                if *value == PropertyValue::Special(SpecialValue::Unlimited) =>
            {
                Effect::Applied
            }
            Property::MinSendRate
            | Property::MinRecvRate
            | Property::MaxSendRate
            | Property::MaxRecvRate => Effect::ignored("rates are not measured nor limited yet"),
            Property::IsolateSession if *value == PropertyValue::Boolean(false) => Effect::Applied,
            Property::IsolateSession => Effect::ignored("caches are not kept apart yet"),
            Property::TcpUserTimeoutEnabled
            | Property::TcpUserTimeoutValue
            | Property::TcpUserTimeoutChangeable
                if is_tcp =>
            {
                Effect::ignored("this system's TCP does not exchange the user timeout option")
            }
            Property::TcpUserTimeoutEnabled
            | Property::TcpUserTimeoutValue
            | Property::TcpUserTimeoutChangeable => {
                Effect::ignored("only TCP has a user timeout option")
            }
            other => Effect::ignored(format!("{other} is no connection property")),
        }
    }
}

fn is_full(value: &PropertyValue) -> bool {
    *value == PropertyValue::Special(SpecialValue::FullCoverage)
}
