//! What servers and proxies have asked for, and what they are answered with from then on.
//!
//! Invariant: an answer is made of credentials that are for its origin and realm; the number of
//! spaces has a limit, and the longest unused one gives way.

use super::challenge::{Challenge, challenges, parameters};
use super::digest::{Asked, Session, hex, is_yes};
use super::{CredentialScope, Credentials, Kind, sensitive};
use crate::client::error::Error;
use http::HeaderValue;
use http::header::GetAll;
use portway_transport::environment::Environment;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use url::Url;

/// The credentials of a client, and what is known of where they are wanted.
#[derive(Default)]
pub(in crate::client) struct Keyring {
    scoped: Vec<(CredentialScope, Credentials)>,
    /// The latest used last.
    spaces: Mutex<Vec<Space>>,
    /// Where content was taken without a challenge, the latest last.
    unasked: Mutex<VecDeque<(String, String)>>,
}

/// Where a request goes, and the credentials that are its own.
#[derive(Clone, Copy)]
pub(in crate::client) struct Place<'a> {
    /// The origin of a server, or a name that no origin has.
    pub(in crate::client) whom: &'a str,
    /// The path at a server; nothing at a proxy.
    pub(in crate::client) path: &'a str,
    pub(in crate::client) own: Option<&'a Credentials>,
}

impl<'a> Place<'a> {
    /// A proxy, which has one space and credentials of its own.
    pub(in crate::client) fn at_proxy(whom: &'a str, own: &'a Credentials) -> Self {
        Place {
            whom,
            path: "",
            own: Some(own),
        }
    }

    /// Its path without the last part.
    fn directory(&self) -> &'a str {
        let end = self.path.rfind('/').map_or(0, |slash| slash + 1);
        &self.path[..end]
    }
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) enum Sent {
    /// The secret itself.
    Shown(Credentials),
    /// An answer to a challenge of this realm.
    Digest(String),
}

/// A protection space (RFC 9110 §11.5).
struct Space {
    whom: String,
    realm: String,
    /// What the paths inside of it begin with.
    prefixes: Vec<String>,
    credentials: Credentials,
    answer: Answer,
}

enum Answer {
    Shown,
    Digest(Box<Session>),
}

impl Keyring {
    pub(in crate::client) fn new(scoped: Vec<(CredentialScope, Credentials)>) -> Self {
        Keyring {
            scoped,
            ..Keyring::default()
        }
    }

    /// Whether there are credentials only where requests bring their own.
    pub(in crate::client) fn is_empty(&self) -> bool {
        self.scoped.is_empty()
    }

    /// Whether anything is kept of what servers and proxies have asked for.
    pub(in crate::client) fn was_asked(&self) -> bool {
        !self.spaces().is_empty()
    }

    fn spaces(&self) -> MutexGuard<'_, Vec<Space>> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The field of a request, where anything is known to be wanted or is sent unasked.
    pub(in crate::client) fn authorize(
        &self,
        place: Place,
        asked: &Asked,
    ) -> Result<Option<(HeaderValue, Sent)>, Error> {
        let mut spaces = self.spaces();
        if let Some(at) = find(&spaces, |space| self.is_for(space, place)) {
            let mut space = spaces.remove(at);
            let answered = space.answer(asked);
            spaces.push(space);
            return answered;
        }
        drop(spaces);
        let everywhere = |scoped: &&(CredentialScope, Credentials)| {
            scoped.0.origin == place.whom && scoped.0.realm.is_none()
        };
        let scoped = self.scoped.iter().find(everywhere);
        let Some(credentials) = place.own.or(scoped.map(|(_, credentials)| credentials)) else {
            return Ok(None);
        };
        let unasked = credentials.unasked()?;
        Ok(unasked.map(|value| (value, Sent::Shown(credentials.clone()))))
    }

    /// Whether there are credentials for a place that answer a challenge only, with whether one has
    /// come; `None` where there are none.
    pub(in crate::client) fn is_challenge_known(&self, place: Place) -> Option<bool> {
        let scoped = self.scoped.iter();
        let mut scoped = scoped.filter(|(scope, _)| scope.origin == place.whom);
        let waits =
            |credentials: &Credentials| matches!(credentials.kind, Kind::Digest | Kind::Password);
        let is_any = match place.own {
            Some(own) => waits(own),
            None => scoped.any(|(_, credentials)| waits(credentials)),
        };
        let spaces = self.spaces();
        is_any.then(|| find(&spaces, |space| self.is_for(space, place)).is_some())
    }

    /// Whether credentials for a place wait for a challenge that is yet to be expected: none has
    /// come, and content was not taken without one.
    pub(in crate::client) fn awaits_challenge(&self, place: Place) -> bool {
        let is_it = |(whom, at): &(String, String)| whom == place.whom && at == place.directory();
        self.is_challenge_known(place) == Some(false) && !self.unasked().iter().any(is_it)
    }

    /// Content was taken here without a challenge.
    pub(in crate::client) fn on_unasked(&self, place: Place) {
        if !self.awaits_challenge(place) {
            return;
        }
        let mut unasked = self.unasked();
        if unasked.len() >= UNASKED_MAX {
            unasked.pop_front();
        }
        unasked.push_back((place.whom.to_owned(), place.directory().to_owned()));
    }

    /// A challenge has come: whatever is there may be asked for from now on.
    pub(in crate::client) fn on_asked(&self, place: Place) {
        self.unasked().retain(|(whom, _)| whom != place.whom);
    }

    fn unasked(&self) -> MutexGuard<'_, VecDeque<(String, String)>> {
        self.unasked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes challenges, and says whether another try may help: whether there is something to
    /// answer with that was not rejected by them.
    pub(in crate::client) fn on_challenge(
        &self,
        place: Place,
        fields: GetAll<'_, HeaderValue>,
        sent: Option<&Sent>,
        environment: &dyn Environment,
    ) -> bool {
        let challenges = challenges(fields);
        let realm = |challenge: &Challenge| challenge.parameter("realm").unwrap_or("").to_owned();
        let mut best: Option<(u8, Space, bool)> = None;
        for challenge in &challenges {
            let realm = realm(challenge);
            let Some(credentials) = self.credentials_for(place, &realm) else {
                continue;
            };
            let Some((strength, answer)) = answer_to(challenge, credentials, environment) else {
                continue;
            };
            if best.as_ref().is_some_and(|(other, ..)| *other >= strength) {
                continue;
            }
            let is_stale = challenge.parameter("stale").is_some_and(is_yes);
            let is_rejected = match (&answer, sent) {
                (Answer::Shown, Some(Sent::Shown(shown))) => shown == credentials,
                (Answer::Digest(_), Some(Sent::Digest(of))) => *of == realm && !is_stale,
                _ => false,
            };
            let space = Space {
                whom: place.whom.to_owned(),
                prefixes: prefixes(place, challenge, &answer),
                realm,
                credentials: credentials.clone(),
                answer,
            };
            best = Some((strength, space, is_rejected));
        }
        let Some((_, space, is_rejected)) = best else {
            return false;
        };
        let mut spaces = self.spaces();
        let is_same = |other: &Space| {
            other.whom == space.whom
                && other.realm == space.realm
                && other.credentials == space.credentials
        };
        let known = find(&spaces, is_same).map(|at| spaces.remove(at));
        if is_rejected {
            return false;
        }
        let mut space = space;
        if let (Some(known), Answer::Shown) = (known, &space.answer) {
            let new = std::mem::replace(&mut space.prefixes, known.prefixes);
            space.prefixes.truncate(PREFIXES_MAX - 1);
            space.prefixes.extend(new);
        }
        if spaces.len() >= SPACES_MAX {
            spaces.remove(0);
        }
        spaces.push(space);
        true
    }

    /// Takes what a response says of the nonce to be used next.
    pub(in crate::client) fn on_info(
        &self,
        place: Place,
        field: &HeaderValue,
        environment: &dyn Environment,
    ) {
        let info = field.to_str().map(parameters).unwrap_or_default();
        let Some(next) = info.parameter("nextnonce") else {
            return;
        };
        let mut spaces = self.spaces();
        if let Some(at) = find(&spaces, |space| self.is_for(space, place))
            && let Answer::Digest(session) = &mut spaces[at].answer
        {
            session.renew(next, cnonce(environment));
        }
    }

    fn is_for(&self, space: &Space, place: Place) -> bool {
        let is_inside = |prefix: &String| place.path.starts_with(&**prefix);
        space.whom == place.whom
            && space.prefixes.iter().any(is_inside)
            && self.credentials_for(place, &space.realm) == Some(&space.credentials)
    }

    fn credentials_for<'a>(&'a self, place: Place<'a>, realm: &str) -> Option<&'a Credentials> {
        let fits = |scope: &CredentialScope| {
            let is_realm = scope.realm.as_deref().is_none_or(|only| only == realm);
            scope.origin == place.whom && is_realm
        };
        let scoped = || {
            // One for the realm before one for everything.
            let mut all = self.scoped.iter().filter(|(scope, _)| fits(scope));
            let named = all.clone().find(|(scope, _)| scope.realm.is_some());
            named
                .or_else(|| all.next())
                .map(|(_, credentials)| credentials)
        };
        place.own.or_else(scoped)
    }
}

impl Space {
    fn answer(&mut self, asked: &Asked) -> Result<Option<(HeaderValue, Sent)>, Error> {
        let Credentials { user, secret, .. } = &self.credentials;
        match &mut self.answer {
            Answer::Shown => {
                let shown = self.credentials.shown()?;
                Ok(Some((shown, Sent::Shown(self.credentials.clone()))))
            }
            Answer::Digest(session) => match session.answer(user, secret, asked) {
                None => Ok(None),
                Some(value) => Ok(Some((sensitive(value)?, Sent::Digest(self.realm.clone())))),
            },
        }
    }
}

/// What answers a challenge, and how strong that is.
fn answer_to(
    challenge: &Challenge,
    credentials: &Credentials,
    environment: &dyn Environment,
) -> Option<(u8, Answer)> {
    match (&*challenge.scheme, credentials.kind) {
        ("basic", Kind::Basic | Kind::Password) | ("bearer", Kind::Bearer) => {
            Some((0, Answer::Shown))
        }
        ("digest", Kind::Digest | Kind::Password) => {
            let session = Session::new(challenge, cnonce(environment))?;
            // RFC 7616 §3.7: the strongest is this client's own policy.
            Some((1 + session.strength(), Answer::Digest(Box::new(session))))
        }
        _ => None,
    }
}

/// What the paths of the space begin with that a challenge is of.
fn prefixes(place: Place, challenge: &Challenge, answer: &Answer) -> Vec<String> {
    if let Answer::Shown = answer {
        // RFC 7617 §2.2: everything at the depth of the path, and below.
        return vec![place.directory().to_owned()];
    }
    let all = vec![String::new()];
    let Some(domain) = challenge
        .parameter("domain")
        .filter(|_| !place.path.is_empty())
    else {
        return all;
    };
    // RFC 7616 §3.3: relative to the origin; others are not this space's.
    let base = Url::parse(place.whom).ok();
    let inside = domain.split_ascii_whitespace().filter_map(|part| {
        let url = base.as_ref()?.join(part).ok()?;
        let is_own = url.origin().ascii_serialization() == place.whom;
        is_own.then(|| url.path().to_owned())
    });
    let mut inside: Vec<String> = inside.take(PREFIXES_MAX).collect();
    if inside.is_empty() {
        inside = all;
    }
    inside
}

fn cnonce(environment: &dyn Environment) -> String {
    let mut random = [0; 16];
    environment.fill_random(&mut random);
    hex(&random)
}

/// The latest that fits.
fn find(spaces: &[Space], fits: impl Fn(&Space) -> bool) -> Option<usize> {
    spaces.iter().rposition(fits)
}

const SPACES_MAX: usize = 256;
const PREFIXES_MAX: usize = 16;
const UNASKED_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_ask_nothing_are_remembered_until_one_asks() {
        let whom = "https://a.test";
        let own = Credentials::digest("a", "b");
        let keyring = Keyring::default();
        let place = |path| Place {
            whom,
            path,
            own: Some(&own),
        };
        keyring.on_unasked(place("/in/1"));
        assert!(!keyring.awaits_challenge(place("/in/2")));
        assert!(keyring.awaits_challenge(place("/other")));
        keyring.on_asked(place("/other"));
        assert!(keyring.awaits_challenge(place("/in/2")));
        let paths: Vec<String> = (0..=UNASKED_MAX).map(|at| format!("/{at}/")).collect();
        for path in &paths {
            keyring.on_unasked(place(path));
        }
        assert_eq!(keyring.unasked().len(), UNASKED_MAX);
        assert!(
            keyring.awaits_challenge(place("/0/")),
            "the oldest gave way"
        );
        assert!(!keyring.awaits_challenge(place("/1/")));
    }
}
