//! The five levels of a selection property (RFC 9622 §6.2, table 1).

use serde::{Deserialize, Serialize};

/// How much a selection property matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preference {
    /// Only protocols and paths that do not provide the property.
    Prohibit,
    /// Rather protocols and paths that do not provide the property.
    Avoid,
    /// Indifferent.
    NoPreference,
    /// Rather protocols and paths that provide the property.
    Prefer,
    /// Only protocols and paths that provide the property.
    Require,
}

impl Preference {
    /// Whether this level excludes candidates instead of only ordering them.
    pub fn is_binding(self) -> bool {
        matches!(self, Preference::Require | Preference::Prohibit)
    }

    /// Whether the property is wanted.
    pub fn is_wanted(self) -> bool {
        matches!(self, Preference::Require | Preference::Prefer)
    }

    /// Whether the property is unwanted.
    pub fn is_unwanted(self) -> bool {
        matches!(self, Preference::Prohibit | Preference::Avoid)
    }
}
