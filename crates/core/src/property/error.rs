//! Why a property could not be set or read.

use super::PropertyType;
use std::convert::Infallible;

/// Why a property could not be set or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PropertyError {
    /// No property has this name.
    #[error("there is no property {name:?}")]
    UnknownName {
        /// The name as given.
        name: String,
    },
    /// The value is not one that the property takes.
    #[error("{name} takes {expected}, not {given}")]
    UnacceptableValue {
        /// The property's name.
        name: &'static str,
        /// What it takes.
        expected: PropertyType,
        /// The value as given.
        given: String,
    },
    /// The property is the system's to say.
    #[error("{name} is read-only")]
    ReadOnly {
        /// The property's name.
        name: &'static str,
    },
    /// The property does not belong to what it was set on.
    #[error("{name} is a {class} property and cannot be {operation} here")]
    WrongClass {
        /// The property's name.
        name: &'static str,
        /// What kind of property it is.
        class: super::PropertyClass,
        /// `set` or `read`.
        operation: &'static str,
    },
}

impl From<Infallible> for PropertyError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
