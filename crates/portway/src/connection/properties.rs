//! Properties of a live connection (RFC 9622 §8): reading, changing, and what a change did.
//!
//! Invariant: a change that cannot have an effect says why and closes nothing.

use super::Connection;
use super::group::{Details, Group};
use super::info::ConnectionInfo;
use super::link::Link;
use crate::error::SendError;
use crate::event::ConnectionEvent;
use crate::options::tcp_options;
use portway_core::message::Message;
use portway_core::path::Path;
use portway_core::property::{
    ConnectionProperties, Effect, MessageProperties, Property, PropertyClass, PropertyError,
    PropertyValue, SpecialValue,
};
use portway_core::stack::{InUse, MessageWays, Moment};
use portway_core::{Failure, FailureKind, Origin};
use portway_transport::environment::TcpOptions;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

impl Connection {
    /// The value of a property, by its key or by its name. A connection property gives what was
    /// set or its default; a read-only one what is so at this moment (RFC 9622 §8.1.11), `None`
    /// where there is no limit; a selection property gives what was asked for before there is a
    /// stack, and then, as a boolean, whether the stack and path in use really provide it
    /// (RFC 9622 §8).
    ///
    /// # Errors
    /// There is no such property, or it is one of messages.
    pub fn get<K>(&self, key: K) -> Result<Option<PropertyValue>, PropertyError>
    where
        K: TryInto<Property>,
        PropertyError: From<K::Error>,
    {
        let property: Property = key.try_into()?;
        let paths = match property.class() {
            PropertyClass::Selection => self.shared().context.environment().paths(),
            _ => Vec::new(),
        };
        self.value_of(property, &self.shared().lock(), &paths)
    }

    /// Every property that has a value now, as [`Connection::get`] gives it, all of one moment.
    pub fn properties(&self) -> Vec<(Property, PropertyValue)> {
        let paths = self.shared().context.environment().paths();
        let group = self.shared().lock();
        let all = Property::ALL.iter();
        let all = all.filter(|property| property.class() != PropertyClass::Message);
        all.filter_map(|&property| {
            let value = self.value_of(property, &group, &paths).ok()?;
            Some((property, value?))
        })
        .collect()
    }

    /// The path in use: the interface that the local address belongs to, with what the system
    /// tells of it. `None` while there is no carrier, or when the address is on no interface any
    /// more.
    ///
    /// It is the provisioning domain in use as well: portway knows the implicit domains only, one
    /// for each interface (RFC 7556 §2).
    pub fn path(&self) -> Option<Path> {
        let local = self.shared().lock().link.as_ref()?.local_address().ip();
        let paths = self.shared().context.environment().paths();
        paths.into_iter().find(|path| has_address(path, local))
    }

    fn value_of(
        &self,
        property: Property,
        group: &Group,
        paths: &[Path],
    ) -> Result<Option<PropertyValue>, PropertyError> {
        let details = &group.details;
        match property.class() {
            PropertyClass::Selection => {}
            PropertyClass::ReadOnly => return Ok(ConnectionInfo::of(group).value_of(property)),
            _ => return details.properties.get(property).map(Some),
        }
        let stack = details.stack.as_ref();
        let stack = stack.and_then(|stack| self.shared().context.stack(stack));
        let Some(stack) = stack else {
            return details.selection.get(property);
        };
        let local = group.link.as_ref().map(|link| link.local_address().ip());
        let in_use = InUse {
            stack,
            path: local.and_then(|local| paths.iter().find(|path| has_address(path, local))),
            local,
            has_framer: !group.pipeline.is_empty(),
        };
        Ok(in_use.selected(property, &details.selection, details.action))
    }

    /// Changes a connection property, by its key or by its name, and says what that did. A
    /// property that cannot be set on this stack keeps its value for reading and changes nothing
    /// else.
    ///
    /// The other connections of the group follow, except for `connPriority`, which is each one's
    /// own (RFC 9622 §7.4). One that cannot follow leaves the group and tells it as
    /// [`ConnectionEvent::LeftGroup`].
    ///
    /// # Errors
    /// There is no such property, it cannot be changed on a live connection, or it does not take
    /// the value.
    pub fn set<K>(&self, key: K, value: impl Into<PropertyValue>) -> Result<Effect, PropertyError>
    where
        K: TryInto<Property>,
        PropertyError: From<K::Error>,
    {
        let (property, value) = (key.try_into()?, value.into());
        let effect = self.set_alone(property, value.clone())?;
        if property != Property::ConnPriority {
            for member in self.grouped_connections() {
                if !Arc::ptr_eq(member.shared(), self.shared()) {
                    member.follow(property, value.clone(), &effect)?;
                }
            }
        }
        Ok(effect)
    }

    /// Replaces the properties that messages of this connection have unless they state their own
    /// (RFC 9622 §9.1.3), for what is sent from now on, and says what each of them does, as
    /// [`Connection::effects_on`]. Others of the group keep theirs.
    pub fn set_message_defaults(&self, defaults: &MessageProperties) -> Vec<(Property, Effect)> {
        self.replace_message_defaults(defaults);
        self.effects_on(defaults)
    }

    /// What each property that is stated does for a message that is sent with it on this
    /// connection: most stacks cannot do everything, and say why.
    pub fn effects_on(&self, stated: &MessageProperties) -> Vec<(Property, Effect)> {
        let shared = self.shared();
        let group = shared.lock();
        let stack = group.details.stack.as_ref();
        let stack = stack.and_then(|stack| shared.context.stack(stack));
        let (Some(stack), Some(link)) = (stack, &group.link) else {
            let later = || Effect::emulated("it takes effect when the connection is established");
            let all = stated.explicit();
            return all.map(|(property, _)| (property, later())).collect();
        };
        let ways = MessageWays {
            keeps_messages: super::outbound::keeps_messages(&group.pipeline, link),
            marks_datagrams: match link {
                Link::Datagrams(link) => link.socket.code_point().is_some(),
                Link::Bytes(_) => false,
            },
        };
        let all = stated.explicit();
        all.map(|(property, value)| (property, stack.effect_on_message(property, &value, ways)))
            .collect()
    }

    fn replace_message_defaults(&self, defaults: &MessageProperties) {
        let mut group = self.shared().lock();
        let details = &mut group.details;
        let changed = details
            .defaults
            .with_message(defaults, &details.selection, details.action);
        details.defaults = Arc::new(changed);
    }

    /// Changes a property as another member of the group did, or leaves the group.
    fn follow(
        &self,
        property: Property,
        value: PropertyValue,
        expected: &Effect,
    ) -> Result<(), PropertyError> {
        let effect = self.set_alone(property, value)?;
        if expected.is_effective() && !effect.is_effective() {
            let mut group = self.shared().lock();
            group.details.siblings = None;
            group.emit(ConnectionEvent::LeftGroup(Failure::new(
                Origin::Local,
                FailureKind::Unsupported,
                format!("{property} was changed in the group, and here it has no effect: {effect}"),
            )));
        }
        Ok(())
    }

    /// Takes the properties over that another connection has.
    pub(super) fn adopt(&self, properties: ConnectionProperties) {
        let mut group = self.shared().lock();
        let group = &mut *group;
        group.details.properties = properties;
        if let Some(link) = &group.link {
            carry_out_changes(&group.details, link);
        }
    }

    fn set_alone(&self, property: Property, value: PropertyValue) -> Result<Effect, PropertyError> {
        let shared = self.shared();
        let mut group = shared.lock();
        let property = group.details.properties.set(property, value)?;
        let value = group.details.properties.get(property)?;
        let stack = group
            .details
            .stack
            .as_ref()
            .and_then(|stack| shared.context.stack(stack));
        let Some(stack) = stack else {
            return Ok(Effect::emulated(
                "it takes effect when the connection is established",
            ));
        };
        let effect = stack.effect_of(property, &value, Moment::Established);
        match effect.is_effective() {
            true => Ok(carry_out(&mut group, property, &value).unwrap_or(effect)),
            false => Ok(effect),
        }
    }
}

fn has_address(path: &Path, local: IpAddr) -> bool {
    path.addresses.iter().any(|own| own.address == local)
}

/// Does on a fresh socket what was changed since its race began.
pub(super) fn carry_out_changes(details: &Details, link: &Link) {
    let Link::Bytes(link) = link else { return };
    if details.properties == details.defaults.properties {
        return;
    }
    let now = tcp_options(&details.properties);
    if details.siblings.is_some() {
        // A stream of a transport that it has to itself has nothing to precede.
        let _ = link.socket.set_precedence(precedence(details));
    }
    if now != details.defaults.options {
        let mut changed = now;
        // What was asked for and no longer is goes back to the system's default.
        changed.keep_alive = changed.keep_alive.or(Some(None));
        changed.user_timeout = changed.user_timeout.or(Some(None));
        changed.dscp = changed.dscp.or(Some(0));
        // A property that the system refuses never ends a connection.
        let _ = link.socket.set_options(&changed);
    }
}

/// Does on the socket what a changed property asks for; `Some` when that is not what the stack's
/// descriptor says.
fn carry_out(group: &mut Group, property: Property, value: &PropertyValue) -> Option<Effect> {
    let Some(Link::Bytes(link)) = &group.link else {
        return None;
    };
    let properties = &group.details.properties;
    let all = tcp_options(properties);
    let mut changed = TcpOptions::default();
    match property {
        Property::ConnPriority => {
            let set = link.socket.set_precedence(precedence(&group.details));
            let refused = |error| Effect::ignored(format!("the stream has ended: {error}"));
            return set.err().map(refused);
        }
        Property::ConnTimeout => {
            changed.user_timeout = Some(all.user_timeout.flatten());
            // What the time-out is decides whether keep-alives make sense.
            changed.keep_alive = Some(all.keep_alive.flatten());
        }
        Property::KeepAliveTimeout => changed.keep_alive = Some(all.keep_alive.flatten()),
        Property::ConnCapacityProfile => {
            changed.no_delay = all.no_delay;
            changed.dscp = Some(all.dscp.unwrap_or(0));
        }
        _ => return None,
    }
    if let Err(error) = link.socket.set_options(&changed) {
        return Some(Effect::ignored(format!("the system refused it: {error}")));
    }
    let is_wanted = *value != PropertyValue::Special(SpecialValue::Disabled);
    (property == Property::KeepAliveTimeout && is_wanted && all.keep_alive.is_none())
        .then(|| Effect::emulated("keep-alives are off, as connTimeout ends the wait sooner"))
}

/// RFC 9622 §8.1.2: a lower number is a higher priority; a carrier's precedence runs the other way.
fn precedence(details: &Details) -> i32 {
    let priority = details.properties.conn_priority();
    i32::try_from(priority).map_or(i32::MIN, |priority| -priority)
}

/// Refuses a message whose properties contradict the connection (RFC 9622 §9.1.3).
pub(super) fn check_message(
    message: &mut Message,
    details: &Details,
    link: Option<&Link>,
) -> Result<(), SendError> {
    let is_datagram = matches!(link, Some(Link::Datagrams(_)));
    let may_double = matches!(link, Some(Link::Datagrams(link)) if !link.rejects_duplicates);
    let stated = message.context.properties();
    let states_reliability = stated.is_some_and(|stated| stated.is_reliable().is_some());
    let states_order = stated.is_some_and(|stated| stated.is_ordered().is_some());
    message.context.apply_defaults(&details.defaults.message);
    let Some(properties) = message.context.properties() else {
        return Ok(());
    };
    if properties.lifetime() == Some(Duration::ZERO) {
        return Err(inconsistent(
            "a lifetime of zero expires before it can be sent",
        ));
    }
    // RFC 9622 §9.1.3.7: reliability of single messages must have been negotiated.
    if properties.is_reliable() == Some(false) && !is_datagram && states_reliability {
        return Err(inconsistent(
            "msgReliable cannot be given up on a reliable byte stream",
        ));
    }
    // RFC 9622 §9.1.3: datagrams cannot keep what this message alone demands of them.
    if is_datagram && states_reliability && properties.is_reliable() == Some(true) {
        return Err(inconsistent("msgReliable cannot be had of datagrams"));
    }
    if is_datagram && states_order && properties.is_ordered() == Some(true) {
        return Err(inconsistent("msgOrdered cannot be had of datagrams"));
    }
    // RFC 9622 §9.1.3.4: UDP may deliver a message twice.
    if may_double && !properties.is_safely_replayable() {
        return Err(inconsistent("over UDP a message must be safelyReplayable"));
    }
    Ok(())
}

/// Whether a message must leave in one piece at the network layer.
pub(super) fn forbids_fragments(message: &Message) -> bool {
    message.context.properties().is_some_and(|properties| {
        properties.has_no_fragmentation() || properties.has_no_segmentation()
    })
}

fn inconsistent(why: &str) -> SendError {
    SendError::InconsistentProperties(why.to_owned())
}
