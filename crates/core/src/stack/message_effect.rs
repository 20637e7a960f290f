//! What the properties of a single message do on a stack, and why some do nothing.

use super::{CarrierKind, StackDescriptor, StackId};
use crate::property::{Effect, Property, PropertyValue, SelectionProperty, SpecialValue};

/// What a connection does for its messages that its stack alone does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageWays {
    /// A framer, or the stack, tells messages apart whatever their order.
    pub keeps_messages: bool,
    /// The system can give a single datagram a code point of its own.
    pub marks_datagrams: bool,
}

impl StackDescriptor {
    /// What a message property with this value does for a message on this stack.
    pub fn effect_on_message(
        &self,
        property: Property,
        value: &PropertyValue,
        ways: MessageWays,
    ) -> Effect {
        let is_datagrams = self.carrier == CarrierKind::Datagrams;
        let is_wanted = *value == PropertyValue::Boolean(true);
        match property {
            Property::MsgLifetime if *value == PropertyValue::Special(SpecialValue::Infinite) => {
                Effect::Applied
            }
            Property::MsgLifetime => {
                Effect::emulated("it ends the wait for being sent; what has left is not recalled")
            }
            Property::MsgPriority if ways.keeps_messages => Effect::emulated(
                "it orders what waits to be sent, as far as messages gave up their order",
            ),
            Property::MsgPriority => Effect::ignored(ORDER_HAS_MEANING),
            Property::MsgOrdered if is_datagrams && is_wanted => refused("datagrams have no order"),
            Property::MsgOrdered if is_datagrams || is_wanted => Effect::Applied,
            Property::MsgOrdered if ways.keeps_messages => Effect::emulated(
                "a more urgent message may go before it; what has left arrives in order",
            ),
            Property::MsgOrdered => Effect::ignored(ORDER_HAS_MEANING),
            Property::SafelyReplayable if is_wanted => self.effect_of_replay(),
            Property::SafelyReplayable if self.rejects_duplicates => Effect::Applied,
            Property::SafelyReplayable => refused("the network may deliver datagrams twice"),
            Property::Final if is_datagrams && is_wanted => {
                // RFC 9622 §9.1.3.5: without a signal for it the peer learns nothing.
                Effect::ignored("nothing more is sent, but the stack cannot tell the peer so")
            }
            Property::Final => Effect::Applied,
            Property::MsgChecksumLen
                if *value == PropertyValue::Special(SpecialValue::FullCoverage) =>
            {
                Effect::Applied
            }
            Property::MsgChecksumLen => {
                Effect::ignored("the checksum always covers everything; only UDP-Lite can do less")
            }
            Property::MsgReliable if is_datagrams && is_wanted => {
                refused("datagrams may be lost, and nothing repeats them")
            }
            Property::MsgReliable if is_datagrams || is_wanted => Effect::Applied,
            Property::MsgReliable => refused("a byte stream cannot leave a message out"),
            Property::MsgCapacityProfile => self.effect_of_profile(ways),
            Property::NoFragmentation | Property::NoSegmentation if !is_wanted => Effect::Applied,
            Property::NoFragmentation | Property::NoSegmentation if is_datagrams => Effect::Applied,
            Property::NoFragmentation => {
                Effect::emulated("the stack cuts its stream into packets that need no fragments")
            }
            Property::NoSegmentation => {
                Effect::ignored("a byte stream is cut into packets wherever one is full")
            }
            other => Effect::ignored(format!("{other} is no message property")),
        }
    }

    fn effect_of_replay(&self) -> Effect {
        let offer = self.offer(SelectionProperty::ZeroRttMsg);
        match self.rejects_duplicates && offer.provision == super::Provision::Never {
            true => Effect::ignored("the stack delivers a message once whatever is said"),
            false => Effect::Applied,
        }
    }

    fn effect_of_profile(&self, ways: MessageWays) -> Effect {
        match self.carrier {
            CarrierKind::Datagrams if self.id == StackId::QUIC_DATAGRAM => Effect::ignored(
                "packets of QUIC carry several messages, under one congestion controller",
            ),
            CarrierKind::Datagrams if ways.marks_datagrams => Effect::Applied,
            CarrierKind::Datagrams => {
                Effect::ignored("this system gives all datagrams of a socket one code point")
            }
            _ => Effect::ignored("a message in a stream has no packet of its own"),
        }
    }
}

const ORDER_HAS_MEANING: &str =
    "without a framer that tells messages apart in any order, another one has no meaning";

/// What would be no effect but an error of the send.
fn refused(why: &str) -> Effect {
    Effect::ignored(format!("a message that states it is refused: {why}"))
}
