//! Which versions of HTTP a request takes: a version, and what may be done instead.
//!
//! Invariant: what a request is sent over is always among the versions that its policy names; the
//! table is in `docs/http-versions.md`, with a test for each cell.

use super::error::{Error, ErrorClass};
use crate::pool::{Version, Versions};
use portway_core::FailureKind;

/// What may be used instead of a request's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VersionPolicy {
    /// That version and no other one.
    Exact,
    /// That version, or a lower one where the peer does not speak it.
    OrLower,
    /// That version, or the highest that the peer offers.
    OrHigher,
}

/// What a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) versions: Versions,
    /// Whether HTTP/3 is tried even though nobody has said that the peer offers it.
    pub(super) tries_http3: bool,
}

impl Wish {
    pub(super) fn of(version: Version, policy: VersionPolicy) -> Self {
        let takes = |other: &Version| match policy {
            VersionPolicy::Exact => *other == version,
            VersionPolicy::OrLower => *other <= version,
            VersionPolicy::OrHigher => *other >= version,
        };
        Wish {
            versions: Versions::of(Version::NEWEST_FIRST.into_iter().filter(takes)),
            tries_http3: version == Version::Http3,
        }
    }

    /// One of these; HTTP/3 without being offered only where nothing else is left.
    pub(super) fn exactly(versions: Versions) -> Self {
        Wish {
            versions,
            tries_http3: versions == Version::Http3.into(),
        }
    }

    /// What is left of it with https, or without.
    pub(super) fn in_scheme(self, is_protected: bool) -> Result<Wish, Error> {
        if is_protected {
            return Ok(self);
        }
        // In cleartext the peer cannot be asked what it speaks: HTTP/1.1 is what all of them do,
        // and HTTP/2 is spoken without asking where nothing lower is taken.
        let possible = [Version::Http1, Version::Http2];
        let mut possible = possible.into_iter().filter(|v| self.versions.contains(*v));
        match possible.next() {
            Some(version) => Ok(Wish {
                versions: version.into(),
                tries_http3: false,
            }),
            None => Err(Error::local(
                ErrorClass::Version,
                FailureKind::Unsupported,
                "HTTP/3 is spoken with https only",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Version::{Http1, Http2, Http3};
    use super::VersionPolicy::{Exact, OrHigher, OrLower};
    use super::*;

    #[test]
    fn nine_cells_name_their_versions() {
        let cells = [
            (Http1, Exact, vec![Http1]),
            (Http1, OrLower, vec![Http1]),
            (Http1, OrHigher, vec![Http1, Http2, Http3]),
            (Http2, Exact, vec![Http2]),
            (Http2, OrLower, vec![Http1, Http2]),
            (Http2, OrHigher, vec![Http2, Http3]),
            (Http3, Exact, vec![Http3]),
            (Http3, OrLower, vec![Http1, Http2, Http3]),
            (Http3, OrHigher, vec![Http3]),
        ];
        for (version, policy, versions) in cells {
            let wish = Wish::of(version, policy);
            assert_eq!(
                wish.versions,
                Versions::of(versions),
                "{version} {policy:?}"
            );
            assert_eq!(wish.tries_http3, version == Http3);
            assert_eq!(wish.in_scheme(true).unwrap(), wish);
        }
    }

    #[test]
    fn cleartext_is_http1_unless_only_http2_is_taken() {
        let rows = [
            (Http1, OrHigher, Some(Http1)),
            (Http2, Exact, Some(Http2)),
            (Http2, OrLower, Some(Http1)),
            (Http2, OrHigher, Some(Http2)),
            (Http3, OrLower, Some(Http1)),
            (Http3, Exact, None),
        ];
        for (version, policy, expected) in rows {
            let wish = Wish::of(version, policy).in_scheme(false);
            let versions = wish.ok().map(|wish| wish.versions);
            assert_eq!(
                versions,
                expected.map(Versions::from),
                "{version} {policy:?}"
            );
        }
    }

    #[test]
    fn a_set_tries_http3_unoffered_only_when_nothing_else_is_taken() {
        assert!(Wish::exactly(Http3.into()).tries_http3);
        assert!(!Wish::exactly(Versions::of([Http2, Http3])).tries_http3);
    }
}
