//! Versions of HTTP, and sets of them.

use std::fmt;

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.1: one request at a time.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
}

impl Version {
    /// Every version, the newest first.
    pub const NEWEST_FIRST: [Version; 3] = [Version::Http3, Version::Http2, Version::Http1];

    /// Its name in the handshake of TLS (ALPN).
    pub fn alpn(self) -> &'static str {
        match self {
            Version::Http1 => "http/1.1",
            Version::Http2 => "h2",
            Version::Http3 => "h3",
        }
    }

    /// Whether one connection carries several requests at the same time.
    pub fn is_multiplexed(self) -> bool {
        self != Version::Http1
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Http1 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
            Version::Http3 => "HTTP/3",
        })
    }
}

/// The versions that a request can be sent over, or that a dial may come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Versions(u8);

impl Versions {
    /// Exactly these.
    pub fn of(versions: impl IntoIterator<Item = Version>) -> Self {
        let bits = versions.into_iter().map(bit);
        Versions(bits.fold(0, |all, bit| all | bit))
    }

    /// Exactly this one.
    pub(super) const fn from_version(version: Version) -> Self {
        Versions(bit(version))
    }

    /// Whether this one is among them.
    pub fn contains(self, version: Version) -> bool {
        self.0 & bit(version) != 0
    }

    /// Those that are in both.
    #[must_use]
    pub fn intersection(self, other: Versions) -> Versions {
        Versions(self.0 & other.0)
    }

    /// Those that are not in the other one.
    #[must_use]
    pub fn without(self, other: Versions) -> Versions {
        Versions(self.0 & !other.0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that carry several requests at the same time.
    #[must_use]
    pub fn multiplexed(self) -> Versions {
        self.intersection(Versions::of([Version::Http2, Version::Http3]))
    }

    /// Each of them, the newest first.
    pub fn newest_first(self) -> impl Iterator<Item = Version> {
        let all = Version::NEWEST_FIRST.into_iter();
        all.filter(move |version| self.contains(*version))
    }
}

impl From<Version> for Versions {
    fn from(version: Version) -> Self {
        Versions::from_version(version)
    }
}

const fn bit(version: Version) -> u8 {
    match version {
        Version::Http1 => 1,
        Version::Http2 => 2,
        Version::Http3 => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::Version::{Http1, Http2, Http3};
    use super::*;

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        let set = Versions::of([Http1, Http3]);
        assert_eq!(
            [Http1, Http2, Http3].map(|v| set.contains(v)),
            [true, false, true]
        );
        assert_eq!(set.newest_first().collect::<Vec<_>>(), [Http3, Http1]);
        assert_eq!(set.multiplexed(), Versions::from(Http3));
        assert_eq!(set.intersection(Versions::of([Http2, Http1])), Http1.into());
        assert!(set.intersection(Http2.into()).is_empty());
        assert_eq!(set.without(Versions::of([Http2, Http3])), Http1.into());
        assert!(!set.is_empty());
        assert_eq!(Versions::of([Http1, Http1]), Http1.into());
    }

    #[test]
    fn versions_are_called_by_their_names() {
        let names = Version::NEWEST_FIRST.map(|version| version.to_string());
        assert_eq!(names, ["HTTP/3", "HTTP/2", "HTTP/1.1"]);
        let in_handshakes = Version::NEWEST_FIRST.map(Version::alpn);
        assert_eq!(in_handshakes, ["h3", "h2", "http/1.1"]);
        assert_eq!(
            Version::NEWEST_FIRST.map(Version::is_multiplexed),
            [true, true, false]
        );
    }
}
