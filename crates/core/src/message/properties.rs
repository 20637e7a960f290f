//! The message properties that the send queue reads.

use std::time::Duration;

/// Properties of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageProperties {
    /// msgLifetime: `None` is infinite.
    pub lifetime: Option<Duration>,
    /// msgPriority: lower is more urgent.
    pub priority: u32,
    /// final: nothing is sent after this message.
    pub is_final: bool,
}

impl Default for MessageProperties {
    fn default() -> Self {
        MessageProperties {
            lifetime: None,
            priority: 100,
            is_final: false,
        }
    }
}
