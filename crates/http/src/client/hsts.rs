//! Hosts that are spoken to over TLS only, because they have said so (RFC 6797).
//!
//! Invariant: only a host with a name, over a connection whose certificate was judged, is believed;
//! however much is told, the number of hosts that are kept has a limit.

use super::response_head::has;
use http::HeaderMap;
use http::header::STRICT_TRANSPORT_SECURITY;
use portway_core::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use url::{Host, Origin, Url};

/// A host that is spoken to over TLS only, in a form that can be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StrictHost {
    /// The name.
    pub host: String,
    /// Whether that holds for every name below it.
    pub includes_subdomains: bool,
    /// Until when.
    pub expires: SystemTime,
}

impl StrictHost {
    /// A host that is known to want TLS without having said so yet, as from a preload list.
    pub fn new(host: impl Into<String>, includes_subdomains: bool, expires: SystemTime) -> Self {
        StrictHost {
            host: host.into(),
            includes_subdomains,
            expires,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Known {
    until: Time,
    includes_subdomains: bool,
}

/// The hosts that the clones of a client know.
#[derive(Debug, Default)]
pub(super) struct Strict(Mutex<BTreeMap<String, Known>>);

impl Strict {
    fn hosts(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether [`Strict::upgrade`] has anything to look for.
    pub(super) fn may_want(&self, url: &Url) -> bool {
        url.scheme() == "http" && !self.hosts().is_empty()
    }

    /// Makes https of http where the host wants that; says which origin it was then.
    pub(super) fn upgrade(&self, url: &mut Url, now: Time) -> Option<Origin> {
        if url.scheme() != "http" || !name(url).is_some_and(|name| self.contains(name, now)) {
            return None;
        }
        let asked = url.origin();
        // RFC 6797 §8.3: a port that was named stays, and 80 becomes 443, both as URLs do it.
        let changed = url.set_scheme("https");
        debug_assert!(changed.is_ok(), "both are special schemes");
        Some(asked)
    }

    fn contains(&self, name: &str, now: Time) -> bool {
        let hosts = self.hosts();
        if hosts.is_empty() {
            return false;
        }
        let holds = |name: &str| hosts.get(name).filter(|known| known.until > now).copied();
        if holds(name).is_some() {
            return true;
        }
        let mut rest = name;
        while let Some((_, above)) = rest.split_once('.') {
            if holds(above).is_some_and(|known| known.includes_subdomains) {
                return true;
            }
            rest = above;
        }
        false
    }

    /// Takes what a response over TLS says.
    pub(super) fn learn(&self, url: &Url, headers: &HeaderMap, now: impl FnOnce() -> Time) {
        let Some(name) = name(url) else {
            return;
        };
        if !has(headers, &STRICT_TRANSPORT_SECURITY) {
            return;
        }
        // RFC 6797 §8.1: the first field counts, further ones do not.
        let Some(value) = headers.get(STRICT_TRANSPORT_SECURITY) else {
            return;
        };
        let Some((max_age, includes_subdomains)) = value.to_str().ok().and_then(parse) else {
            return;
        };
        let now = now();
        let until = now + max_age;
        self.keep(
            name,
            now,
            Known {
                until,
                includes_subdomains,
            },
        );
    }

    fn keep(&self, name: &str, now: Time, known: Known) {
        let mut hosts = self.hosts();
        if known.until <= now {
            hosts.remove(name);
            return;
        }
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(name) {
            hosts.retain(|_, known| known.until > now);
        }
        if hosts.len() < HOSTS_MAX || hosts.contains_key(name) {
            hosts.insert(name.to_owned(), known);
        }
    }

    pub(super) fn export(&self, now: Time) -> Vec<StrictHost> {
        let clock = SystemTime::now();
        let hosts = self.hosts();
        let stored = hosts.iter().filter(|(_, known)| known.until > now);
        let stored = stored.filter_map(|(host, known)| {
            Some(StrictHost {
                host: host.clone(),
                includes_subdomains: known.includes_subdomains,
                expires: clock.checked_add(known.until - now)?,
            })
        });
        stored.collect()
    }

    pub(super) fn import(&self, now: Time, stored: Vec<StrictHost>) {
        let clock = SystemTime::now();
        for stored in stored {
            let Ok(left) = stored.expires.duration_since(clock) else {
                continue;
            };
            let Ok(Host::Domain(name)) = Host::parse(&stored.host) else {
                continue;
            };
            self.keep(
                name.trim_end_matches('.'),
                now,
                Known {
                    until: now + left.min(AGE_MAX),
                    includes_subdomains: stored.includes_subdomains,
                },
            );
        }
    }
}

/// The name of a URL's host. An address has none that could be strict (RFC 6797 §8.1.1), and a dot
/// at the end makes no other host of it.
fn name(url: &Url) -> Option<&str> {
    match url.host()? {
        Host::Domain(name) => Some(name.strip_suffix('.').unwrap_or(name)),
        _ => None,
    }
}

/// For how long, and whether for the names below too; `None` where the rules of the field are
/// broken, which then says nothing.
fn parse(value: &str) -> Option<(Duration, bool)> {
    let mut max_age = None;
    let mut includes_subdomains = false;
    for directive in value.split(';').map(str::trim).filter(|it| !it.is_empty()) {
        let (name, value) = match directive.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (directive, None),
        };
        if name.eq_ignore_ascii_case("max-age") {
            let value = value?;
            let digits = value
                .strip_prefix('"')
                .and_then(|value| value.strip_suffix('"'))
                .unwrap_or(value);
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            // RFC 6797 §6.1: no directive may be there twice.
            if !is_number || max_age.is_some() {
                return None;
            }
            let seconds = digits.parse().unwrap_or(u64::MAX);
            max_age = Some(Duration::from_secs(seconds).min(AGE_MAX));
        } else if name.eq_ignore_ascii_case("includesubdomains") {
            if includes_subdomains || value.is_some() {
                return None;
            }
            includes_subdomains = true;
        }
    }
    Some((max_age?, includes_subdomains))
}

/// Hosts that are kept at most.
const HOSTS_MAX: usize = 10_000;

/// Longer than anybody means it: ten years.
const AGE_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::default() + Duration::from_secs(seconds)
    }

    fn told(strict: &Strict, url: &str, value: &str) {
        let mut headers = HeaderMap::new();
        let value = value.parse().unwrap();
        headers.insert(STRICT_TRANSPORT_SECURITY, value);
        strict.learn(&Url::parse(url).unwrap(), &headers, || at(0));
    }

    fn upgraded(strict: &Strict, url: &str, now: Time) -> String {
        let mut url = Url::parse(url).unwrap();
        strict.upgrade(&mut url, now);
        url.into()
    }

    #[test]
    fn a_host_is_strict_for_as_long_and_as_deep_as_it_says() {
        let strict = Strict::default();
        told(&strict, "https://one.test/", "max-age=10");
        told(
            &strict,
            "https://all.test/",
            "max-age=\"10\"; includeSubDomains",
        );
        let rows = [
            ("http://one.test/a", 9, "https://one.test/a"),
            ("http://ONE.test./a", 9, "https://one.test./a"),
            ("http://one.test:8080/", 9, "https://one.test:8080/"),
            ("http://one.test/", 10, "http://one.test/"),
            ("http://below.one.test/", 0, "http://below.one.test/"),
            ("http://a.b.all.test/", 0, "https://a.b.all.test/"),
            ("http://small.test/", 0, "http://small.test/"),
            ("http://notall.test/", 0, "http://notall.test/"),
        ];
        for (url, now, expected) in rows {
            assert_eq!(upgraded(&strict, url, at(now)), expected);
        }
        told(&strict, "https://one.test/", "max-age=0");
        assert_eq!(
            upgraded(&strict, "http://one.test/", at(0)),
            "http://one.test/"
        );
    }

    #[test]
    fn addresses_and_broken_fields_are_not_believed() {
        let strict = Strict::default();
        told(&strict, "https://127.0.0.1/", "max-age=10");
        told(&strict, "https://[::1]/", "max-age=10");
        for broken in [
            "includeSubDomains",
            "max-age=",
            "max-age=1x",
            "max-age=1; max-age=2",
            "max-age=1; includeSubDomains; includeSubDomains",
        ] {
            told(&strict, "https://a.test/", broken);
        }
        assert_eq!(strict.export(at(0)), []);
        told(&strict, "https://a.test/", "MAX-AGE=1 ; unheard-of=\"x\";");
        assert_eq!(strict.export(at(0)).len(), 1);
    }

    #[test]
    fn what_was_stored_is_known_again_and_what_is_stale_is_not() {
        let later = SystemTime::now() + Duration::from_secs(100);
        let strict = Strict::default();
        strict.import(
            at(0),
            vec![
                StrictHost::new("Stored.test", true, later),
                StrictHost::new("stale.test", true, SystemTime::UNIX_EPOCH),
                StrictHost::new("127.0.0.1", false, later),
            ],
        );
        let exported = strict.export(at(0));
        assert_eq!(exported.len(), 1);
        assert_eq!(exported[0].host, "stored.test");
        assert!(exported[0].includes_subdomains);
        assert_eq!(
            upgraded(&strict, "http://a.stored.test/", at(0)),
            "https://a.stored.test/"
        );
    }

    #[test]
    fn the_number_of_hosts_has_a_limit() {
        let strict = Strict::default();
        for number in 0..HOSTS_MAX + 10 {
            told(&strict, &format!("https://h{number}.test/"), "max-age=10");
        }
        assert_eq!(strict.export(at(0)).len(), HOSTS_MAX);
    }
}
