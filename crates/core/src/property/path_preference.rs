//! Preferences for interfaces and provisioning domains (RFC 9622 §6.2.11, §6.2.12).
//!
//! Invariant: each instance or type carries at most one preference; a later one replaces it.

use super::Preference;
use super::enumeration::UnknownName;
use crate::path::InterfaceKind;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// An interface by its name, or every interface of one type.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum InterfaceSelector {
    /// The interface of this name.
    Instance(String),
    /// Every interface of this type.
    Kind(InterfaceKind),
}

/// A provisioning domain by its identifier, or every domain of one type.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PvdSelector {
    /// The domain of this identifier (RFC 8801: a fully qualified name).
    Instance(String),
    /// Every domain of this type, which is the system's to define.
    Kind(String),
}

/// A set of (preference, instance or type).
///
/// Its text form is a comma-separated list such as `require:eth0,avoid:type:cellular`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPreferences<S> {
    entries: BTreeMap<S, Preference>,
}

impl<S> PathPreferences<S> {
    /// No preference for anything.
    pub const fn new() -> Self {
        PathPreferences {
            entries: BTreeMap::new(),
        }
    }

    /// Whether nothing is preferred, avoided, required or prohibited.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in a stable order.
    pub fn iter(&self) -> impl Iterator<Item = (&S, Preference)> {
        self.entries
            .iter()
            .map(|(selector, level)| (selector, *level))
    }
}

impl<S: Ord> PathPreferences<S> {
    /// Adds a preference, in place of an earlier one for the same instance or type.
    #[must_use]
    pub fn with(mut self, preference: Preference, selector: impl Into<S>) -> Self {
        self.set(preference, selector);
        self
    }

    /// Adds a preference, in place of an earlier one for the same instance or type.
    pub fn set(&mut self, preference: Preference, selector: impl Into<S>) {
        let selector = selector.into();
        // An entry without a preference says nothing, so it is not kept.
        if preference == Preference::NoPreference {
            self.entries.remove(&selector);
        } else {
            self.entries.insert(selector, preference);
        }
    }
}

impl<S> Default for PathPreferences<S> {
    fn default() -> Self {
        PathPreferences::new()
    }
}

impl<S: fmt::Display> fmt::Display for PathPreferences<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (selector, preference)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{preference}:{selector}")?;
        }
        Ok(())
    }
}

impl<S: Ord + FromStr<Err = UnknownName>> FromStr for PathPreferences<S> {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let mut set = PathPreferences::new();
        for entry in text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            let (preference, selector) = entry.split_once(':').ok_or(UnknownName)?;
            set.set(preference.parse()?, selector.parse::<S>()?);
        }
        Ok(set)
    }
}

impl From<InterfaceKind> for InterfaceSelector {
    fn from(kind: InterfaceKind) -> Self {
        InterfaceSelector::Kind(kind)
    }
}

impl From<&str> for InterfaceSelector {
    fn from(name: &str) -> Self {
        InterfaceSelector::Instance(name.to_owned())
    }
}

impl From<&str> for PvdSelector {
    fn from(identifier: &str) -> Self {
        PvdSelector::Instance(identifier.to_owned())
    }
}

impl fmt::Display for InterfaceSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InterfaceSelector::Instance(name) => f.write_str(name),
            InterfaceSelector::Kind(kind) => write!(f, "type:{}", kind_name(*kind)),
        }
    }
}

impl FromStr for InterfaceSelector {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text.strip_prefix("type:") {
            Some(name) => KINDS
                .iter()
                .find(|kind| kind_name(**kind).eq_ignore_ascii_case(name))
                .map(|kind| InterfaceSelector::Kind(*kind))
                .ok_or(UnknownName),
            None if text.is_empty() => Err(UnknownName),
            None => Ok(InterfaceSelector::Instance(text.to_owned())),
        }
    }
}

impl fmt::Display for PvdSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PvdSelector::Instance(identifier) => f.write_str(identifier),
            PvdSelector::Kind(kind) => write!(f, "type:{kind}"),
        }
    }
}

impl FromStr for PvdSelector {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text.strip_prefix("type:") {
            Some("") => Err(UnknownName),
            Some(kind) => Ok(PvdSelector::Kind(kind.to_owned())),
            None if text.is_empty() => Err(UnknownName),
            None => Ok(PvdSelector::Instance(text.to_owned())),
        }
    }
}

/// The interface types, those that this system lacks included (RFC 9622 §6.2.11).
const KINDS: &[InterfaceKind] = &[
    InterfaceKind::Loopback,
    InterfaceKind::Ethernet,
    InterfaceKind::WiFi,
    InterfaceKind::Cellular,
    InterfaceKind::Virtual,
    InterfaceKind::Other,
];

fn kind_name(kind: InterfaceKind) -> &'static str {
    match kind {
        InterfaceKind::Loopback => "loopback",
        InterfaceKind::Ethernet => "ethernet",
        InterfaceKind::WiFi => "wifi",
        InterfaceKind::Cellular => "cellular",
        InterfaceKind::Virtual => "virtual",
        InterfaceKind::Other => "other",
    }
}
