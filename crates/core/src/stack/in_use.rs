//! Selection properties as an established connection reads them (RFC 9622 §6.2, §8).

use super::{CarrierKind, Provision, StackDescriptor};
use crate::path::Path;
use crate::property::{
    Action, Property, PropertyClass, PropertyValue, SelectionProperty, TransportProperties,
};
use std::net::IpAddr;

/// What an established connection uses.
#[derive(Clone, Copy, Debug)]
pub struct InUse<'a> {
    /// The stack that won.
    pub stack: &'a StackDescriptor,
    /// The path, when it is known.
    pub path: Option<&'a Path>,
    /// The local address, when it is known.
    pub local: Option<IpAddr>,
    /// Whether a framer keeps message boundaries.
    pub has_framer: bool,
}

impl InUse<'_> {
    /// What a selection property came to: a boolean for a preference, the value that was set for
    /// every other type; `None` for a property of another class.
    pub fn selected(
        &self,
        property: Property,
        wished: &TransportProperties,
        action: Action,
    ) -> Option<PropertyValue> {
        if property.class() != PropertyClass::Selection {
            return None;
        }
        let preference = SelectionProperty::ALL
            .iter()
            .find(|selection| selection.property() == property);
        match preference {
            Some(&selection) => {
                let is_provided = self.provides(selection, wished, action);
                Some(PropertyValue::Boolean(is_provided))
            }
            None => wished.value_for(property, action),
        }
    }

    /// Whether the connection really has the property.
    pub fn provides(
        &self,
        property: SelectionProperty,
        wished: &TransportProperties,
        action: Action,
    ) -> bool {
        let provision = self.stack.provides(property);
        match property {
            SelectionProperty::Metered => {
                self.path.is_some_and(|path| path.is_metered == Some(true))
            }
            SelectionProperty::UseTemporaryLocalAddress => self.has_temporary_address(),
            SelectionProperty::PreserveMsgBoundaries if provision == Provision::Never => {
                self.has_framer && self.stack.carrier != CarrierKind::Datagrams
            }
            // Either side may write first, whatever was wished.
            SelectionProperty::ActiveReadBeforeSend => provision != Provision::Never,
            other => provision.is_provided_at(wished.preference(other, action)),
        }
    }

    fn has_temporary_address(&self) -> bool {
        let addresses = self.path.map(|path| path.addresses.as_slice());
        addresses
            .unwrap_or_default()
            .iter()
            .any(|own| own.is_temporary && Some(own.address) == self.local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::{InterfaceKind, LocalAddress, PathId};
    use crate::property::Direction;

    fn path() -> Path {
        let address = |text: &str, is_temporary| LocalAddress {
            address: text.parse().unwrap(),
            prefix_len: 64,
            is_temporary,
            is_deprecated: false,
        };
        Path {
            id: PathId(1),
            interface: "eth0".to_owned(),
            kind: InterfaceKind::Ethernet,
            addresses: vec![address("2001:db8::1", false), address("2001:db8::2", true)],
            has_ipv4_default: true,
            has_ipv6_default: true,
            mtu: 1500,
            is_metered: None,
        }
    }

    fn read(in_use: InUse<'_>, property: &str, wished: &TransportProperties) -> String {
        let property: Property = property.parse().unwrap();
        in_use
            .selected(property, wished, Action::Initiate)
            .map_or_else(|| "none".to_owned(), |value| value.to_string())
    }

    #[test]
    fn preferences_read_back_as_what_the_stack_does() {
        let (tcp, udp) = (StackDescriptor::tcp(), StackDescriptor::udp());
        let over = |stack, has_framer| InUse {
            stack,
            path: None,
            local: None,
            has_framer,
        };
        let wished = TransportProperties::new()
            .avoid(SelectionProperty::Reliability)
            .prefer(SelectionProperty::PreserveMsgBoundaries)
            .with_direction(Direction::UnidirectionalSend);
        let alive = wished.clone().prefer(SelectionProperty::KeepAlive);
        for (in_use, property, wished, expected) in [
            (over(&tcp, false), "reliability", &wished, "true"),
            (over(&udp, false), "reliability", &wished, "false"),
            (over(&tcp, false), "multistreaming", &wished, "false"),
            (over(&tcp, false), "keepAlive", &wished, "false"),
            (over(&tcp, false), "keepAlive", &alive, "true"),
            (over(&udp, false), "keepAlive", &alive, "false"),
            (over(&tcp, false), "preserveMsgBoundaries", &wished, "false"),
            (over(&tcp, true), "preserveMsgBoundaries", &wished, "true"),
            (over(&udp, false), "preserveMsgBoundaries", &wished, "true"),
            (over(&tcp, false), "activeReadBeforeSend", &wished, "true"),
            (over(&udp, false), "activeReadBeforeSend", &wished, "false"),
            (
                over(&tcp, false),
                "useTemporaryLocalAddress",
                &wished,
                "false",
            ),
            (over(&tcp, false), "_portway.metered", &wished, "false"),
            (
                over(&tcp, false),
                "direction",
                &wished,
                "unidirectional-send",
            ),
            (over(&tcp, false), "multipath", &wished, "disabled"),
            (over(&tcp, false), "connTimeout", &wished, "none"),
        ] {
            let found = read(in_use, property, wished);
            assert_eq!(found, expected, "{} {property}", in_use.stack.id);
        }
    }

    #[test]
    fn path_properties_read_back_as_what_the_path_is() {
        let tcp = StackDescriptor::tcp();
        let wished = TransportProperties::new();
        let path = path();
        let metered = Path {
            is_metered: Some(true),
            ..path.clone()
        };
        let at = |path, local: Option<&str>| InUse {
            stack: &tcp,
            path: Some(path),
            local: local.map(|text| text.parse().unwrap()),
            has_framer: false,
        };
        let temporary = "useTemporaryLocalAddress";
        assert_eq!(
            read(at(&path, Some("2001:db8::2")), temporary, &wished),
            "true"
        );
        assert_eq!(
            read(at(&path, Some("2001:db8::1")), temporary, &wished),
            "false"
        );
        assert_eq!(read(at(&path, None), temporary, &wished), "false");
        assert_eq!(read(at(&path, None), "_portway.metered", &wished), "false");
        assert_eq!(
            read(at(&metered, None), "_portway.metered", &wished),
            "true"
        );
    }

    #[test]
    fn a_framer_over_datagrams_adds_no_boundaries() {
        let odd = StackDescriptor {
            carrier: CarrierKind::Datagrams,
            ..StackDescriptor::tcp()
        };
        let in_use = InUse {
            stack: &odd,
            path: None,
            local: None,
            has_framer: true,
        };
        let wished = TransportProperties::reliable_message();
        assert_eq!(read(in_use, "preserveMsgBoundaries", &wished), "false");
    }
}
