//! What setting a property did (ledger T10).

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// What setting a property did. Never an error: a property that cannot be set closes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Effect {
    /// The protocol stack does it.
    Applied,
    /// portway does it above the stack; the text says how.
    Emulated(Cow<'static, str>),
    /// Nothing changes; the text says why.
    Ignored(Cow<'static, str>),
}

impl Effect {
    /// Done above the stack, in this way.
    pub fn emulated(how: impl Into<Cow<'static, str>>) -> Self {
        Effect::Emulated(how.into())
    }

    /// Without effect, for this reason.
    pub fn ignored(why: impl Into<Cow<'static, str>>) -> Self {
        Effect::Ignored(why.into())
    }

    /// Whether the property has an effect at all.
    pub fn is_effective(&self) -> bool {
        !matches!(self, Effect::Ignored(_))
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Applied => f.write_str("applied"),
            Effect::Emulated(how) => write!(f, "emulated: {how}"),
            Effect::Ignored(why) => write!(f, "ignored: {why}"),
        }
    }
}
