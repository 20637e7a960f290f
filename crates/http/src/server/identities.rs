//! The certificates that a server shows, by the name that a client asks for.
//!
//! Invariant: a handshake sees one whole set, the old one or the new one.

use portway_core::security::{ChallengeCallback, Identity, IdentityChallenge};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Certificates with their keys, which can be exchanged while the server runs. A clone is another
/// handle of the same set.
///
/// Connections that exist keep what they were made with.
#[derive(Clone)]
pub struct Identities {
    current: Arc<RwLock<Arc<IdentitySet>>>,
    callback: ChallengeCallback,
}

/// One set of certificates.
#[derive(Clone, Debug, Default)]
pub struct IdentitySet {
    default: Option<Arc<Identity>>,
    by_name: HashMap<String, Arc<Identity>>,
}

impl IdentitySet {
    /// This one for whatever name a client asks for.
    pub fn new(default: impl Into<Arc<Identity>>) -> Self {
        IdentitySet {
            default: Some(default.into()),
            by_name: HashMap::new(),
        }
    }

    /// None for names that are not added: such clients are refused.
    pub fn strict() -> Self {
        IdentitySet::default()
    }

    /// The same with this one for a name, in which `*.` stands for one label.
    #[must_use]
    pub fn with_name(mut self, name: &str, identity: impl Into<Arc<Identity>>) -> Self {
        self.by_name.insert(normal(name), identity.into());
        self
    }

    fn choose(&self, name: Option<&str>) -> Option<Arc<Identity>> {
        let named = name.and_then(|name| lookup(name, |name| self.by_name.get(name)));
        named.or(self.default.as_ref()).cloned()
    }
}

impl Identities {
    /// Shows these.
    pub fn new(set: IdentitySet) -> Self {
        let current = Arc::new(RwLock::new(Arc::new(set)));
        let asked = Arc::clone(&current);
        let callback = ChallengeCallback::new(move |challenge| match challenge {
            IdentityChallenge::ByClient { server_name, .. } => {
                let set = Arc::clone(&asked.read().unwrap_or_else(PoisonError::into_inner));
                set.choose(*server_name)
            }
            _ => None,
        });
        Identities { current, callback }
    }

    /// Shows these from now on. Handshakes that have begun may still show the old ones.
    pub fn replace(&self, set: IdentitySet) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(set);
    }

    /// Whom a handshake asks.
    pub(super) fn callback(&self) -> ChallengeCallback {
        self.callback.clone()
    }
}

impl From<Identity> for Identities {
    fn from(identity: Identity) -> Self {
        Identities::new(IdentitySet::new(identity))
    }
}

impl From<Arc<Identity>> for Identities {
    fn from(identity: Arc<Identity>) -> Self {
        Identities::new(IdentitySet::new(identity))
    }
}

impl From<IdentitySet> for Identities {
    fn from(set: IdentitySet) -> Self {
        Identities::new(set)
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identities")
    }
}

/// Finds a name, or the one with `*.` that stands for it.
pub(super) fn lookup<T>(name: &str, find: impl Fn(&str) -> Option<T>) -> Option<T> {
    let name = normal(name);
    let wildcard = || {
        let (_, rest) = name.split_once('.')?;
        find(&format!("*.{rest}"))
    };
    find(&name).or_else(wildcard)
}

/// RFC 6066 §3: a name without the dot at its end; case means nothing.
pub(super) fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_transport::tls::self_signed;

    #[test]
    fn the_nearest_name_is_shown() {
        let [default, exact, wild] =
            ["a", "b", "c"].map(|name| Arc::new(self_signed(&[name.to_owned()]).unwrap()));
        let set = IdentitySet::new(default.clone())
            .with_name("One.example.", exact.clone())
            .with_name("*.example", wild.clone());
        let rows = [
            (Some("one.EXAMPLE"), &exact),
            (Some("two.example"), &wild),
            (Some("deep.two.example"), &default),
            (Some("example"), &default),
            (None, &default),
        ];
        for (name, expected) in rows {
            let chosen = set.choose(name).unwrap();
            assert!(Arc::ptr_eq(&chosen, expected), "{name:?}");
        }
        let strict = IdentitySet::strict().with_name("one.example", exact);
        assert!(strict.choose(Some("two.example")).is_none());
        assert!(strict.choose(None).is_none());
    }
}
