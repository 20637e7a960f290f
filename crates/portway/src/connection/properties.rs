//! Properties of a live connection (RFC 9622 §8): reading, changing, and what a change did.
//!
//! Invariant: a change that cannot have an effect says why and closes nothing.

use super::Connection;
use super::group::{Details, Group};
use super::link::Link;
use crate::error::SendError;
use crate::options::tcp_options;
use portway_core::message::Message;
use portway_core::property::{
    ConnectionProperties, Effect, Property, PropertyError, PropertyValue, SelectionProperty,
};
use std::time::Duration;

impl Connection {
    /// The value of a connection property, or of a selection property as it was asked for.
    ///
    /// # Errors
    /// There is no such property.
    pub fn get(&self, name: &str) -> Result<Option<PropertyValue>, PropertyError> {
        let group = self.shared().lock();
        match group.details.properties.get(name) {
            Ok(value) => Ok(Some(value)),
            Err(_) => group.details.selection.get(name),
        }
    }

    /// Whether the stack in use really provides a selection property (RFC 9622 §8); `None`
    /// before there is a stack.
    pub fn provides(&self, property: SelectionProperty) -> Option<bool> {
        let group = self.shared().lock();
        let stack = group.details.stack.as_ref()?;
        let descriptor = self.shared().context.stack(stack)?;
        let wish = group
            .details
            .selection
            .preference(property, portway_core::property::Action::Initiate);
        Some(descriptor.provides(property).is_provided_at(wish))
    }

    /// Changes a connection property and says what that did. A property that cannot be set on
    /// this stack keeps its value for reading and changes nothing else.
    ///
    /// # Errors
    /// There is no such property, it cannot be changed on a live connection, or it does not take
    /// the value.
    pub fn set(
        &self,
        name: &str,
        value: impl Into<PropertyValue>,
    ) -> Result<Effect, PropertyError> {
        let mut group = self.shared().lock();
        let property = group.details.properties.set(name, value)?;
        Ok(apply(&mut group, property))
    }
}

/// Carries a changed property out.
fn apply(group: &mut Group, property: Property) -> Effect {
    let properties = &group.details.properties;
    match property {
        Property::ConnTimeout => conn_timeout(group),
        Property::KeepAliveTimeout => keep_alive(group),
        Property::ConnCapacityProfile => socket_options(group, properties.clone()),
        Property::ConnPriority => Effect::ignored(
            "this connection shares its transport with no other, so nothing competes with it",
        ),
        Property::TcpUserTimeoutValue | Property::TcpUserTimeoutEnabled => user_timeout(group),
        Property::TcpUserTimeoutChangeable => {
            Effect::ignored("the system does not take the peer's user timeout option into account")
        }
        Property::ConnScheduler => {
            Effect::ignored("a group of one connection has nothing to schedule")
        }
        Property::IsolateSession => {
            Effect::ignored("isolation is decided before establishment, by the context")
        }
        _ => Effect::ignored("no stack of this version acts on it"),
    }
}

fn conn_timeout(group: &mut Group) -> Effect {
    match &group.link {
        Some(Link::Bytes(link)) => {
            let mut options = portway_transport::environment::TcpOptions::default();
            options.user_timeout = Some(group.details.properties.conn_timeout());
            applied(link.socket.set_options(&options))
        }
        Some(Link::Datagrams(_)) => Effect::ignored("UDP acknowledges nothing"),
        None => Effect::emulated("taken into account when the connection is established"),
    }
}

fn keep_alive(group: &mut Group) -> Effect {
    let properties = &group.details.properties;
    let interval = properties.keep_alive_timeout();
    // RFC 9622 §8.1.4: probes that come later than the abort are of no use.
    let is_useless = matches!(
        (interval, properties.conn_timeout()),
        (Some(interval), Some(timeout)) if interval > timeout
    );
    match &group.link {
        Some(Link::Bytes(link)) => {
            let mut options = portway_transport::environment::TcpOptions::default();
            options.keep_alive = Some(interval.filter(|_| !is_useless));
            let effect = applied(link.socket.set_options(&options));
            match (is_useless, effect) {
                (true, Effect::Applied) => {
                    Effect::emulated("keep-alives are off, as connTimeout ends sooner")
                }
                (_, effect) => effect,
            }
        }
        Some(Link::Datagrams(_)) => Effect::ignored("UDP has no keep-alives"),
        None => Effect::emulated("taken into account when the connection is established"),
    }
}

fn user_timeout(group: &mut Group) -> Effect {
    let properties = &group.details.properties;
    let value = properties
        .tcp_user_timeout_value()
        .filter(|_| properties.tcp_user_timeout_enabled());
    match &group.link {
        Some(Link::Bytes(link)) => {
            let mut options = portway_transport::environment::TcpOptions::default();
            options.user_timeout = Some(value.or(properties.conn_timeout()));
            match applied(link.socket.set_options(&options)) {
                Effect::Applied => Effect::emulated(
                    "the timeout holds here; this system does not advertise it to the peer",
                ),
                other => other,
            }
        }
        Some(Link::Datagrams(_)) => Effect::ignored("the stack is not TCP"),
        None => Effect::emulated("taken into account when the connection is established"),
    }
}

fn socket_options(group: &mut Group, properties: ConnectionProperties) -> Effect {
    match &group.link {
        Some(Link::Bytes(link)) => {
            let mut options = tcp_options(&properties);
            options.keep_alive = None;
            options.user_timeout = None;
            options.dscp.get_or_insert(0);
            applied(link.socket.set_options(&options))
        }
        Some(Link::Datagrams(_)) => {
            Effect::ignored("the code point of a UDP socket is set when it is opened")
        }
        None => Effect::emulated("taken into account when the connection is established"),
    }
}

fn applied(result: std::io::Result<()>) -> Effect {
    match result {
        Ok(()) => Effect::Applied,
        Err(error) => Effect::ignored(format!("the system refused it: {error}")),
    }
}

/// Refuses a message whose properties contradict the connection (RFC 9622 §9.1.3).
pub(super) fn check_message(
    message: &mut Message,
    details: &Details,
    is_datagram: bool,
) -> Result<(), SendError> {
    let stated = message.context.properties().copied();
    let properties = match (stated, &details.message_defaults) {
        (None, None) => return Ok(()),
        (Some(stated), None) => stated,
        (stated, Some(defaults)) => {
            let merged = stated.unwrap_or_default().or(defaults);
            *message.context.properties_mut() = merged;
            merged
        }
    };
    if properties.lifetime() == Some(Duration::ZERO) {
        return Err(inconsistent(
            "a lifetime of zero expires before it can be sent",
        ));
    }
    // RFC 9622 §9.1.3.7: reliability of single messages must have been negotiated.
    if properties.is_reliable() == Some(false)
        && !is_datagram
        && stated.is_some_and(|stated| stated.is_reliable().is_some())
    {
        return Err(inconsistent(
            "msgReliable cannot be given up on a reliable byte stream",
        ));
    }
    // RFC 9622 §9.1.3.4: UDP may deliver a message twice.
    if is_datagram && !properties.is_safely_replayable() {
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
