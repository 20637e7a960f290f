//! A URL with what follows from it alone, which is worked out once for all requests that share it.
//!
//! Invariant: what is kept belongs to the URL as it is; a change leaves nothing of it.

use super::error::Error;
use super::key::Key;
use http::Uri;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use url::{Position, Url};

/// A URL, whose clones share it.
#[derive(Clone, Debug)]
pub(super) struct Address(Arc<Known>);

#[derive(Clone, Debug)]
struct Known {
    url: Url,
    key: OnceLock<Key>,
    uri: OnceLock<Uri>,
}

impl Address {
    pub(super) fn new(url: Url) -> Self {
        Address::of_origin(url, None)
    }

    /// One of an origin whose key may be known.
    pub(super) fn of_origin(url: Url, key: Option<Key>) -> Self {
        Address(Arc::new(Known {
            url,
            key: key.map(OnceLock::from).unwrap_or_default(),
            uri: OnceLock::new(),
        }))
    }

    /// The key of connections to it, where nothing else than the URL says which.
    pub(super) fn key(&self) -> Result<&Key, Error> {
        match self.0.key.get() {
            Some(key) => Ok(key),
            None => {
                let key = Key::of(&self.0.url, None)?;
                Ok(self.0.key.get_or_init(|| key))
            }
        }
    }

    /// As the target of a request that has all of it; `None` where it is no such URI, or names a
    /// user.
    pub(super) fn uri(&self) -> Option<&Uri> {
        if let Some(uri) = self.0.uri.get() {
            return Some(uri);
        }
        let url = &self.0.url;
        if !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let uri = url[..Position::AfterQuery].parse().ok()?;
        Some(self.0.uri.get_or_init(|| uri))
    }

    /// The URL, for a change.
    pub(super) fn change(&mut self) -> &mut Url {
        let known = Arc::make_mut(&mut self.0);
        known.key.take();
        known.uri.take();
        &mut known.url
    }
}

impl Deref for Address {
    type Target = Url;

    fn deref(&self) -> &Url {
        &self.0.url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::new(Url::parse(text).unwrap())
    }

    #[test]
    fn a_change_leaves_nothing_of_what_was_known_and_no_trace_in_clones() {
        let one = address("https://a.example/b?c");
        let mut other = one.clone();
        assert_eq!(one.key().unwrap().host(), "a.example");
        assert_eq!(one.uri().unwrap().path(), "/b");
        assert_eq!(other.key().unwrap(), one.key().unwrap());
        other.change().set_host(Some("d.example")).unwrap();
        other.change().set_path("/e");
        assert_eq!(other.key().unwrap().host(), "d.example");
        assert_eq!(other.uri().unwrap(), "https://d.example/e?c");
        assert_eq!(one.key().unwrap().host(), "a.example");
        assert_eq!(one.uri().unwrap(), "https://a.example/b?c");
    }

    #[test]
    fn what_is_no_target_is_none() {
        assert_eq!(address("https://user@a.example/").uri(), None);
        assert_eq!(address("https://:word@a.example/").uri(), None);
        let part = address("https://a.example/b#part");
        assert_eq!(part.uri().unwrap(), "https://a.example/b");
        assert!(address("ftp://a.example/").key().is_err());
    }
}
