//! Credentials for servers and proxies: Basic (RFC 7617), Digest (RFC 7616) and Bearer (RFC 6750).
//!
//! Invariant: credentials go to the origin or proxy that they are for and to nobody else; a
//! password that was rejected is not sent again for the same challenge.

mod challenge;
mod digest;
mod spaces;

use super::error::Error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
pub(super) use digest::Asked;
use http::HeaderValue;
pub(super) use spaces::{Keyring, Place, Sent};
use std::fmt;
use std::sync::Arc;
use url::Url;

/// What proves who asks, without saying to whom.
///
/// ```
/// use portway_http::client::{Client, CredentialScope, Credentials};
///
/// # fn main() -> Result<(), portway_http::client::Error> {
/// let scope = CredentialScope::origin("https://api.example")?.realm("reports");
/// let password = Credentials::password("me", "secret");
/// let client = Client::builder().credentials(scope, password).build();
/// let request = client.get("https://other.example/").credentials(Credentials::bearer("token"));
/// # drop(request);
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Credentials {
    kind: Kind,
    user: Arc<str>,
    secret: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Basic,
    Digest,
    /// Whatever is asked for.
    Password,
    Bearer,
}

impl Credentials {
    /// A password that is shown by Basic, at once and without being asked for it: whoever reads
    /// the connection reads the password.
    pub fn basic(user: &str, password: &str) -> Self {
        Credentials::new(Kind::Basic, user, password)
    }

    /// A password that is proven by Digest, when it is asked for. With SHA-512/256, SHA-256 or
    /// MD5, the strongest that is offered.
    pub fn digest(user: &str, password: &str) -> Self {
        Credentials::new(Kind::Digest, user, password)
    }

    /// A password that is proven by Digest, or shown by Basic where nothing better is asked for.
    pub fn password(user: &str, password: &str) -> Self {
        Credentials::new(Kind::Password, user, password)
    }

    /// A token that is shown at once.
    pub fn bearer(token: &str) -> Self {
        Credentials::new(Kind::Bearer, "", token)
    }

    fn new(kind: Kind, user: &str, secret: &str) -> Self {
        Credentials {
            kind,
            user: user.into(),
            secret: secret.into(),
        }
    }

    /// What stands before the host of a URL, with its escapes undone and for Basic; `None` where
    /// nothing stands there, or it is no URL.
    pub fn of_url(url: &str) -> Option<Self> {
        Url::parse(url).ok().and_then(|url| Credentials::of(&url))
    }

    fn of(url: &Url) -> Option<Self> {
        if url.username().is_empty() && url.password().is_none() {
            return None;
        }
        let decoded = |text: &str| {
            let decoded = percent_encoding::percent_decode_str(text);
            decoded.decode_utf8_lossy().into_owned()
        };
        let user = decoded(url.username());
        let password = decoded(url.password().unwrap_or_default());
        Some(Credentials::basic(&user, &password))
    }

    /// The same, of which the URL keeps nothing.
    pub(super) fn take_from(url: &mut Url) -> Option<Self> {
        let credentials = Credentials::of(url)?;
        // Both can fail for URLs without a host only.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Some(credentials)
    }

    /// User and password; `None` for a token.
    pub fn user_and_password(&self) -> Option<(&str, &str)> {
        (self.kind != Kind::Bearer).then_some((&*self.user, &*self.secret))
    }

    /// What is sent without being asked for.
    fn unasked(&self) -> Result<Option<HeaderValue>, Error> {
        match self.kind {
            Kind::Basic | Kind::Bearer => self.shown().map(Some),
            Kind::Digest | Kind::Password => Ok(None),
        }
    }

    /// The field that shows the secret itself.
    fn shown(&self) -> Result<HeaderValue, Error> {
        if self.kind == Kind::Bearer {
            return sensitive(format!("Bearer {}", self.secret));
        }
        // RFC 7617 §2: the first colon ends the user, and controls are nowhere.
        if self.user.contains(':') {
            return Err(Error::invalid("a user of Basic has no colon"));
        }
        if self
            .user
            .chars()
            .chain(self.secret.chars())
            .any(char::is_control)
        {
            return Err(Error::invalid(
                "a user and password have no control characters",
            ));
        }
        let both = STANDARD.encode(format!("{}:{}", self.user, self.secret));
        sensitive(format!("Basic {both}"))
    }
}

fn sensitive(value: String) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(value.into_bytes())
        .map_err(|_| Error::invalid("these credentials cannot be written in a header field"))?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for Credentials {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("kind", &self.kind)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Whom credentials are for: an origin, or one realm there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialScope {
    origin: String,
    realm: Option<String>,
}

impl CredentialScope {
    /// The origin of this URL: scheme, host and port.
    ///
    /// # Errors
    /// It is no URL with a host.
    pub fn origin(url: &str) -> Result<Self, Error> {
        let parsed = Url::parse(url).map_err(|error| Error::invalid(format!("{url}: {error}")))?;
        if !parsed.has_host() {
            return Err(Error::invalid(format!("{url} names no host")));
        }
        Ok(CredentialScope {
            origin: parsed.origin().ascii_serialization(),
            realm: None,
        })
    }

    /// Only this realm: the credentials are sent when it is named by a challenge, and afterwards
    /// where it was.
    #[must_use]
    pub fn realm(mut self, realm: &str) -> Self {
        self.realm = Some(realm.to_owned());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn userinfo_leaves_the_url_and_is_decoded() {
        let mut url = Url::parse("http://a%40b:c%3Ad@host.test/x").unwrap();
        let credentials = Credentials::take_from(&mut url).unwrap();
        assert_eq!(credentials, Credentials::basic("a@b", "c:d"));
        assert_eq!(url.as_str(), "http://host.test/x");
        assert!(Credentials::take_from(&mut url).is_none());
        assert!(Credentials::of_url(url.as_str()).is_none());
    }

    #[test]
    fn basic_is_what_rfc_7617_says() {
        let shown = Credentials::basic("Aladdin", "open sesame")
            .shown()
            .unwrap();
        assert_eq!(shown, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(shown.is_sensitive());
        let utf8 = Credentials::basic("test", "123£").shown().unwrap();
        assert_eq!(utf8, "Basic dGVzdDoxMjPCow==");
        for (user, password) in [("a:b", ""), ("a\n", ""), ("a", "\u{7f}")] {
            assert!(Credentials::basic(user, password).shown().is_err());
        }
        assert!(Credentials::bearer("a\r\nb: c").shown().is_err());
    }

    #[test]
    fn secrets_are_not_shown_by_debug() {
        for credentials in [
            Credentials::basic("me", "s3cret"),
            Credentials::bearer("s3cret"),
        ] {
            assert!(!format!("{credentials:?}").contains("s3cret"));
        }
    }
}
