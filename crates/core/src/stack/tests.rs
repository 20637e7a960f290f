//! What the built-in stacks provide, apply and ignore.

use super::*;
use crate::property::{
    Action, CapacityProfile, Effect, Property, PropertyClass, PropertyValue, SpecialValue,
};
use std::time::Duration;

fn all() -> [StackDescriptor; 5] {
    [
        StackDescriptor::tcp(),
        StackDescriptor::tls(),
        StackDescriptor::udp(),
        StackDescriptor::quic(),
        StackDescriptor::quic_datagram(),
    ]
}

#[test]
fn every_stack_says_once_of_each_property_whether_it_provides_it() {
    for stack in all() {
        for &property in SelectionProperty::ALL {
            let said = stack.offers.iter().filter(|o| o.property == property);
            assert_eq!(said.count(), 1, "{} {property}", stack.id);
        }
        assert_eq!(stack.offers.len(), SelectionProperty::ALL.len());
    }
}

#[test]
fn provisions_are_those_of_the_protocols() {
    use Provision::{Always, Never, Optional};
    // Columns: tcp, tls, udp, quic, quic-datagram.
    let table = [
        (
            SelectionProperty::Reliability,
            [Always, Always, Never, Always, Never],
        ),
        (
            SelectionProperty::PreserveMsgBoundaries,
            [Never, Never, Always, Never, Always],
        ),
        (SelectionProperty::PerMsgReliability, [Never; 5]),
        (
            SelectionProperty::PreserveOrder,
            [Always, Always, Never, Always, Never],
        ),
        (
            SelectionProperty::ZeroRttMsg,
            [Never, Optional, Never, Optional, Never],
        ),
        (
            SelectionProperty::Multistreaming,
            [Never, Never, Never, Always, Never],
        ),
        (SelectionProperty::FullChecksumSend, [Always; 5]),
        (SelectionProperty::FullChecksumRecv, [Always; 5]),
        (
            SelectionProperty::CongestionControl,
            [Always, Always, Never, Always, Always],
        ),
        (
            SelectionProperty::KeepAlive,
            [Optional, Optional, Never, Optional, Optional],
        ),
        (SelectionProperty::UseTemporaryLocalAddress, [Optional; 5]),
        (
            SelectionProperty::SoftErrorNotify,
            [Never, Never, Always, Never, Never],
        ),
        (
            SelectionProperty::ActiveReadBeforeSend,
            [Optional, Optional, Never, Never, Optional],
        ),
        (SelectionProperty::Metered, [Optional; 5]),
    ];
    assert_eq!(table.len(), SelectionProperty::ALL.len());
    for (property, expected) in table {
        let provided = all().map(|stack| stack.provides(property));
        assert_eq!(provided, expected, "{property}");
    }
}

#[test]
fn only_stacks_that_open_by_a_write_refuse_that_the_peer_writes_first() {
    for stack in all() {
        assert_eq!(
            stack.opens_by_first_write,
            stack.provides(SelectionProperty::ActiveReadBeforeSend) == Provision::Never,
            "{}",
            stack.id
        );
    }
}

#[test]
fn a_later_offer_replaces_an_earlier_one() {
    let stack = StackDescriptor::tcp()
        .with_offer(
            SelectionProperty::ZeroRttMsg,
            Provision::Optional,
            "it learned it",
        )
        .with_tls_versions(&[TlsVersion::Tls13]);
    assert_eq!(
        stack.provides(SelectionProperty::ZeroRttMsg),
        Provision::Optional
    );
    assert_eq!(
        stack.offer(SelectionProperty::ZeroRttMsg).reason,
        "it learned it"
    );
    assert_eq!(
        stack.provides(SelectionProperty::Reliability),
        Provision::Always
    );
    assert!(stack.is_protected() && !StackDescriptor::tcp().is_protected());
}

#[test]
fn a_stack_that_says_nothing_provides_nothing() {
    let stack = StackDescriptor::new(StackId::new("new"), WireProtocol::Tcp, CarrierKind::Bytes);
    assert_eq!(
        stack.provides(SelectionProperty::Reliability),
        Provision::Never
    );
}

#[test]
fn provisions_meet_preferences_as_table_1_says() {
    use Preference::{Avoid, NoPreference, Prefer, Prohibit, Require};
    for level in [Require, Prefer, NoPreference, Avoid, Prohibit] {
        assert_eq!(Provision::Always.allows(level), level != Prohibit);
        assert_eq!(Provision::Never.allows(level), level != Require);
        assert!(Provision::Optional.allows(level));
        assert!(Provision::Always.is_provided_at(level));
        assert!(!Provision::Never.is_provided_at(level));
        let is_wanted = matches!(level, Require | Prefer);
        assert_eq!(Provision::Optional.is_provided_at(level), is_wanted);
    }
}

#[test]
fn every_connection_property_has_an_effect_or_a_reason() {
    for stack in all() {
        for &property in Property::ALL {
            let value = property.default_for(Action::Initiate);
            let (PropertyClass::Connection, Some(value)) = (property.class(), value) else {
                continue;
            };
            if let Effect::Ignored(why) =
                stack.effect_of(property, &value, Moment::BeforeEstablishment)
            {
                assert!(!why.contains("no connection property"), "{property}: {why}");
            }
        }
    }
}

#[test]
fn effects_differ_by_stack_value_and_moment() {
    let seconds = PropertyValue::Duration(Duration::from_secs(9));
    let profile = PropertyValue::from(CapacityProfile::Scavenger);
    let full = PropertyValue::from(SpecialValue::FullCoverage);
    let unlimited = PropertyValue::from(SpecialValue::Unlimited);
    let (no, yes, seven) = (false.into(), true.into(), PropertyValue::Integer(7));
    use Moment::{BeforeEstablishment as Before, Established as Live};
    let (tcp, udp) = (StackDescriptor::tcp(), StackDescriptor::udp());
    let (tls, quic) = (StackDescriptor::tls(), StackDescriptor::quic());
    let rows: [(&StackDescriptor, Property, &PropertyValue, Moment, bool); 25] = [
        (&tcp, Property::ConnTimeout, &seconds, Live, true),
        (&tls, Property::ConnTimeout, &seconds, Live, true),
        (&udp, Property::ConnTimeout, &seconds, Before, false),
        (&quic, Property::ConnTimeout, &seconds, Before, false),
        (&tcp, Property::KeepAliveTimeout, &seconds, Live, true),
        (&udp, Property::KeepAliveTimeout, &seconds, Before, false),
        (&tcp, Property::ConnCapacityProfile, &profile, Live, true),
        (&udp, Property::ConnCapacityProfile, &profile, Before, true),
        (&udp, Property::ConnCapacityProfile, &profile, Live, false),
        (&tcp, Property::RecvChecksumLen, &full, Live, true),
        (&udp, Property::RecvChecksumLen, &seven, Live, false),
        (&tcp, Property::ConnPriority, &seven, Live, false),
        (&tcp, Property::GroupConnLimit, &seven, Live, false),
        (&tcp, Property::MaxSendRate, &seven, Live, false),
        (&tcp, Property::MinSendRate, &seven, Live, false),
        (&tcp, Property::MaxRecvRate, &seven, Live, false),
        (&tcp, Property::MinRecvRate, &unlimited, Live, true),
        (&tcp, Property::MaxRecvRate, &unlimited, Live, true),
        (&tls, Property::IsolateSession, &no, Before, true),
        (&tls, Property::IsolateSession, &yes, Before, false),
        (&tcp, Property::TcpUserTimeoutEnabled, &yes, Live, false),
        (&udp, Property::TcpUserTimeoutEnabled, &yes, Live, false),
        (&tcp, Property::TcpUserTimeoutValue, &seconds, Live, false),
        (&udp, Property::TcpUserTimeoutChangeable, &yes, Live, false),
        (&tcp, Property::Reliability, &yes, Live, false),
    ];
    for (stack, property, value, moment, is_effective) in rows {
        let effect = stack.effect_of(property, value, moment);
        assert_eq!(
            effect.is_effective(),
            is_effective,
            "{} {property} {effect}",
            stack.id
        );
    }
}

#[test]
fn reasons_name_the_cause_that_fits_the_stack() {
    let live = Moment::Established;
    let value = PropertyValue::Duration(Duration::from_secs(9));
    let why =
        |stack: StackDescriptor, property| stack.effect_of(property, &value, live).to_string();
    let udp = why(StackDescriptor::udp(), Property::ConnTimeout);
    assert!(udp.contains("reliably"), "{udp}");
    let quic = why(StackDescriptor::quic(), Property::ConnTimeout);
    assert!(quic.contains("timers"), "{quic}");
    let udp = why(StackDescriptor::udp(), Property::KeepAliveTimeout);
    assert!(udp.contains("keep-alive"), "{udp}");
    let udp = why(StackDescriptor::udp(), Property::TcpUserTimeoutValue);
    assert!(udp.contains("only TCP"), "{udp}");
    let tcp = why(StackDescriptor::tcp(), Property::TcpUserTimeoutValue);
    assert!(tcp.contains("system"), "{tcp}");
    let other = why(StackDescriptor::tcp(), Property::Reliability);
    assert!(other.contains("no connection property"), "{other}");
}

/// Ways of a connection: whether messages are kept apart, whether datagrams are marked.
fn ways(keeps_messages: bool, marks_datagrams: bool) -> MessageWays {
    MessageWays {
        keeps_messages,
        marks_datagrams,
    }
}

#[test]
fn every_message_property_has_an_effect_or_a_reason_on_every_stack() {
    for stack in all() {
        for &property in Property::ALL {
            if property.class() != PropertyClass::Message {
                continue;
            }
            for value in [true.into(), false.into(), PropertyValue::Integer(7)] {
                let effect = stack.effect_on_message(property, &value, ways(true, true));
                let told = effect.to_string();
                assert!(!told.contains("no message property"), "{property}: {told}");
            }
        }
    }
    let tcp = StackDescriptor::tcp();
    let effect = tcp.effect_on_message(Property::ConnPriority, &true.into(), ways(true, true));
    let told = effect.to_string();
    assert!(told.contains("no message property"), "{told}");
}

#[test]
fn what_a_message_asks_for_is_told_by_stack_and_value() {
    use Property as P;
    let (no, yes, seven) = (false.into(), true.into(), PropertyValue::Integer(7));
    let seconds = PropertyValue::Duration(Duration::from_secs(9));
    let profile = PropertyValue::from(CapacityProfile::Scavenger);
    let full = PropertyValue::from(SpecialValue::FullCoverage);
    let ever = PropertyValue::from(SpecialValue::Infinite);
    let (framed, bare) = (ways(true, true), ways(false, false));
    // Applied, emulated, ignored or refused on: tcp, tls, udp, quic, quic-datagram.
    let rows: [(Property, &PropertyValue, MessageWays, &str); 21] = [
        (P::MsgLifetime, &ever, bare, "aaaaa"),
        (P::MsgLifetime, &seconds, bare, "eeeee"),
        (P::MsgPriority, &seven, framed, "eeeee"),
        (P::MsgPriority, &seven, bare, "iiiii"),
        (P::MsgOrdered, &yes, bare, "aarar"),
        (P::MsgOrdered, &no, framed, "eeaea"),
        (P::MsgOrdered, &no, bare, "iiaia"),
        (P::SafelyReplayable, &yes, bare, "iaaai"),
        (P::SafelyReplayable, &no, bare, "aaraa"),
        (P::Final, &yes, bare, "aaiai"),
        (P::Final, &no, bare, "aaaaa"),
        (P::MsgChecksumLen, &full, bare, "aaaaa"),
        (P::MsgChecksumLen, &seven, bare, "iiiii"),
        (P::MsgReliable, &yes, bare, "aarar"),
        (P::MsgReliable, &no, bare, "rrara"),
        (P::MsgCapacityProfile, &profile, framed, "iiaii"),
        (P::MsgCapacityProfile, &profile, bare, "iiiii"),
        (P::NoFragmentation, &no, bare, "aaaaa"),
        (P::NoFragmentation, &yes, bare, "eeaea"),
        (P::NoSegmentation, &no, bare, "aaaaa"),
        (P::NoSegmentation, &yes, bare, "iiaia"),
    ];
    for (property, value, ways, expected) in rows {
        for (stack, expected) in all().iter().zip(expected.chars()) {
            let effect = stack.effect_on_message(property, value, ways);
            let is_as_expected = match &effect {
                Effect::Applied => expected == 'a',
                Effect::Emulated(_) => expected == 'e',
                Effect::Ignored(why) if why.contains("is refused") => expected == 'r',
                Effect::Ignored(_) => expected == 'i',
            };
            assert!(is_as_expected, "{} {property}: {effect}", stack.id);
        }
    }
}

#[test]
fn why_a_message_has_no_code_point_of_its_own_depends_on_the_stack() {
    let profile = PropertyValue::from(CapacityProfile::Scavenger);
    let reasons = [
        "no packet of its own",
        "no packet of its own",
        "one code point",
        "no packet of its own",
        "several messages",
    ];
    for (stack, reason) in all().iter().zip(reasons) {
        let effect =
            stack.effect_on_message(Property::MsgCapacityProfile, &profile, ways(true, false));
        assert!(effect.to_string().contains(reason), "{} {effect}", stack.id);
    }
}
