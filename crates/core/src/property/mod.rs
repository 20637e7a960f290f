//! Transport properties (RFC 9622 §4): what an application asks of protocols, paths and messages.
//!
//! Every fact about a property (name, type, default, section) is one row of `table.rs`; typed
//! accessors and string access read the same store, so they cannot disagree.

mod connection;
mod effect;
mod enumeration;
mod error;
mod message;
mod path_preference;
mod preference;
mod store;
mod table;
mod transport;
mod value;

#[cfg(test)]
mod tests;

pub use connection::ConnectionProperties;
pub use effect::Effect;
pub use enumeration::{
    Action, CapacityProfile, ConnectionState, Direction, Multipath, MultipathPolicy, Scheduler,
    UnknownName,
};
pub use error::PropertyError;
pub use message::{ChecksumCoverage, MessageProperties};
pub use path_preference::{InterfaceSelector, PathPreferences, PvdSelector};
pub use preference::Preference;
pub use table::{Property, PropertyClass, SelectionProperty};
pub use transport::TransportProperties;
pub use value::{PropertyType, PropertyValue, SpecialValue};
