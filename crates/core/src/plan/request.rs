//! What is to be planned.

use super::Action;
use crate::endpoint::{LocalEndpoint, RemoteEndpoint};
use crate::path::Path;
use crate::property::{MessageProperties, TransportProperties};
use crate::security::SecurityParameters;
use crate::stack::StackDescriptor;

/// What is to be planned: a snapshot of a Preconnection and of the system.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlanRequest {
    /// What the application calls.
    pub action: Action,
    /// The protection demanded.
    pub security: SecurityParameters,
    /// This side; none leaves it to the system.
    pub locals: Vec<LocalEndpoint>,
    /// The other side.
    pub remotes: Vec<RemoteEndpoint>,
    /// Selection properties, and defaults of the others.
    pub properties: TransportProperties,
    /// The stacks to choose from, in the order in which equals are tried.
    pub stacks: Vec<StackDescriptor>,
    /// The paths as they are now; none is "not known yet", which is waited for.
    pub paths: Vec<Path>,
    /// Whether a framer is set that keeps message boundaries.
    pub has_framer: bool,
    /// Whether all messages may arrive twice without harm. The property `safelyReplayable` among
    /// `properties` says the same.
    pub is_safely_replayable: bool,
    /// The first message, when it is sent with the establishment.
    pub first_message: Option<MessageProperties>,
}

impl PlanRequest {
    /// A request with the defaults of RFC 9622 and the built-in stacks.
    pub fn new(action: Action, security: SecurityParameters) -> Self {
        PlanRequest {
            action,
            security,
            locals: Vec::new(),
            remotes: Vec::new(),
            properties: TransportProperties::new(),
            stacks: StackDescriptor::builtin(),
            paths: Vec::new(),
            has_framer: false,
            is_safely_replayable: false,
            first_message: None,
        }
    }

    /// Whether no message, the first one included, minds to arrive twice.
    pub(super) fn all_messages_are_replayable(&self) -> bool {
        let defaults = self.properties.message_properties(self.action);
        let is_default = self.is_safely_replayable || defaults.is_safely_replayable();
        // RFC 9622 §9.1.3.4: one message that must not be doubled is an error on such a stack.
        let is_first_against = self.first_message.is_some_and(|message| {
            message.is_explicit(crate::property::Property::SafelyReplayable)
                && !message.is_safely_replayable()
        });
        is_default && !is_first_against
    }
}
