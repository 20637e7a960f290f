//! Cookies: who keeps them, and a jar that keeps them as RFC 6265 says.
//!
//! Invariant: a cookie goes to no host, path or scheme but those that its origin could set it for;
//! the number and size of those that are kept have limits.

use cookie_store::{Cookie, CookieDomain, CookieExpiration, CookieStore, RawCookie};
use http::header::HeaderValue;
use std::fmt::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use url::{Host, Url};

/// Keeps cookies between requests. A client asks it before each request, redirects included, that
/// has no `cookie` field of its own.
pub trait CookieJar: Send + Sync {
    /// Takes the `set-cookie` fields of a response from `url`. It must return at once.
    fn store(&self, url: &str, set_cookies: &mut dyn Iterator<Item = &HeaderValue>);

    /// The `cookie` field for a request to `url`, if there are cookies for it. It must return at
    /// once.
    fn cookies(&self, url: &str) -> Option<HeaderValue>;
}

/// A jar in memory, which can be read from and written to the files that curl and browsers use.
///
/// It refuses cookies for a public suffix such as `co.uk`, those that say `secure` without TLS,
/// and names that begin with `__Secure-` or `__Host-` where the rest does not keep that promise.
pub struct Cookies(Mutex<CookieStore>);

impl Cookies {
    /// An empty jar.
    pub fn new() -> Self {
        Cookies(Mutex::new(CookieStore::new()))
    }

    /// A jar with what is in a file in Netscape's format; lines that say nothing are passed over.
    pub fn from_netscape(text: &str) -> Self {
        let cookies = Cookies::new();
        for line in text.lines() {
            cookies.read_netscape(line);
        }
        cookies
    }

    /// What is kept and not yet stale, in Netscape's format. Cookies for a session are there too,
    /// with the time 0, as curl writes them.
    pub fn to_netscape(&self) -> String {
        let mut text = String::from("# Netscape HTTP Cookie File\n\n");
        for cookie in self.lock().iter_unexpired() {
            let (domain, is_deep) = match &cookie.domain {
                CookieDomain::Suffix(domain) => (format!(".{domain}"), true),
                CookieDomain::HostOnly(domain) => (domain.clone(), false),
                _ => continue,
            };
            let prefix = match cookie.http_only() {
                Some(true) => HTTP_ONLY,
                _ => "",
            };
            let expires = match cookie.expires {
                CookieExpiration::AtUtc(time) => time.unix_timestamp().max(0),
                CookieExpiration::SessionEnd => 0,
            };
            let is_secure = cookie.secure().unwrap_or(false);
            let (name, value) = cookie.name_value();
            let path = &*cookie.path;
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{prefix}{domain}\t{}\t{path}\t{}\t{expires}\t{name}\t{value}",
                upper(is_deep),
                upper(is_secure)
            );
        }
        text
    }

    /// Takes everything out.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, CookieStore> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_netscape(&self, line: &str) -> Option<()> {
        let (line, is_http_only) = match line.strip_prefix(HTTP_ONLY) {
            Some(line) => (line, true),
            None if line.starts_with('#') => return None,
            None => (line, false),
        };
        let fields: Vec<_> = line.split('\t').collect();
        let [domain, is_deep, path, is_secure, expires, name, value] = fields[..] else {
            return None;
        };
        let expires: i64 = expires.parse().ok()?;
        let host = domain.trim_start_matches('.');
        let is_secure = is_secure == "TRUE";
        let url = Url::parse(&format!("https://{host}/")).ok()?;
        let mut cookie = RawCookie::new(name, value);
        cookie.set_path(path);
        if is_deep == "TRUE" {
            cookie.set_domain(host);
        }
        cookie.set_secure(is_secure);
        cookie.set_http_only(is_http_only);
        let cookie = match expires {
            0 => cookie.to_string(),
            // Its own way of writing times is that of the crate behind it.
            _ => {
                let now = std::time::SystemTime::UNIX_EPOCH.elapsed().ok()?.as_secs();
                let left = expires.saturating_sub_unsigned(now);
                format!("{cookie}; Max-Age={}", left.max(0))
            }
        };
        self.keep(&cookie, &url);
        Some(())
    }

    fn keep(&self, set_cookie: &str, url: &Url) {
        if set_cookie.len() > COOKIE_BYTES_MAX {
            return;
        }
        let Ok(mut cookie) = RawCookie::parse(set_cookie) else {
            return;
        };
        if !is_acceptable(&cookie, url) {
            return;
        }
        if cookie.domain().is_some_and(is_public) {
            // RFC 6265 §5.3: it is the suffix's own host, and the cookie is for that alone.
            cookie.unset_domain();
        }
        // What it refuses is no cookie for this host.
        let Ok(cookie) = Cookie::try_from_raw_cookie(&cookie, url) else {
            return;
        };
        let Some(domain) = cookie.domain.as_cow() else {
            return;
        };
        let mut store = self.lock();
        if url.scheme() != "https" && shadows_protected(&store, &cookie) {
            return;
        }
        if !store.contains_any(&domain, &cookie.path, cookie.name()) && is_full(&store, url) {
            forget_stale(&mut store);
            if is_full(&store, url) {
                return;
            }
        }
        let _ = store.insert(cookie.into_owned(), url);
    }
}

/// Whether there is no room for one more from this host.
fn is_full(store: &CookieStore, url: &Url) -> bool {
    let (mut all, mut of_host) = (0, 0);
    for kept in store.iter_any() {
        all += 1;
        of_host += usize::from(kept.domain.matches(url));
    }
    all >= COOKIES_MAX || of_host >= COOKIES_OF_HOST_MAX
}

/// RFC 6265bis, its storage model: what came in cleartext takes the place of no cookie that goes
/// over TLS alone, nor stands before it.
fn shadows_protected(store: &CookieStore, cookie: &Cookie<'_>) -> bool {
    let Some(domain) = cookie.domain.as_cow() else {
        return false;
    };
    let is_below = |one: &str, other: &str| {
        let rest = one.strip_suffix(other);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    store.iter_unexpired().any(|kept| {
        let kept_domain = kept.domain.as_cow().unwrap_or_default();
        let (path, kept_path) = (&*cookie.path, &*kept.path);
        let rest = path.strip_prefix(kept_path);
        kept.secure() == Some(true)
            && kept.name() == cookie.name()
            && (is_below(&domain, &kept_domain) || is_below(&kept_domain, &domain))
            && rest.is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('/') || kept_path.ends_with('/')
            })
    })
}

/// What is refused beyond the rules of the store.
fn is_acceptable(cookie: &RawCookie<'_>, url: &Url) -> bool {
    let is_protected = url.scheme() == "https";
    let says_secure = cookie.secure().unwrap_or(false);
    if says_secure && !is_protected {
        return false;
    }
    let begins = |prefix: &str| {
        let begin = cookie.name().get(..prefix.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
    };
    // RFC 6265bis §4.1.3: the name is a promise that the rest has to keep.
    if begins("__Secure-") && !says_secure {
        return false;
    }
    let is_of_host = cookie.domain().is_none() && cookie.path() == Some("/");
    if begins("__Host-") && !(says_secure && is_of_host) {
        return false;
    }
    let Some(domain) = cookie.domain().map(|it| it.trim_start_matches('.')) else {
        return true;
    };
    let Some(Host::Domain(host)) = url.host() else {
        // RFC 6265 §5.1.3: an address has no domain above it, but may name itself.
        return url.host_str() == Some(domain);
    };
    // RFC 6265 §5.3: nobody may set a cookie for all who registered below a public suffix.
    let domain = domain.to_ascii_lowercase();
    !is_public(&domain) || host == domain
}

/// Whether others register names below this one.
fn is_public(domain: &str) -> bool {
    let domain = domain.trim_start_matches('.').to_ascii_lowercase();
    psl::suffix_str(&domain).is_some_and(|suffix| suffix == domain)
}

/// Takes out what is stale, which the store itself keeps.
fn forget_stale(store: &mut CookieStore) {
    let stale = store.iter_any().filter(|cookie| cookie.is_expired());
    let stale: Vec<_> = stale
        .filter_map(|cookie| {
            let domain = cookie.domain.as_cow()?.into_owned();
            Some((domain, cookie.path.to_string(), cookie.name().to_owned()))
        })
        .collect();
    for (domain, path, name) in stale {
        store.remove(&domain, &path, &name);
    }
}

impl Default for Cookies {
    fn default() -> Self {
        Cookies::new()
    }
}

impl CookieJar for Cookies {
    fn store(&self, url: &str, set_cookies: &mut dyn Iterator<Item = &HeaderValue>) {
        let Ok(url) = Url::parse(url) else {
            return;
        };
        for value in set_cookies {
            if let Ok(text) = std::str::from_utf8(value.as_bytes()) {
                self.keep(text, &url);
            }
        }
    }

    fn cookies(&self, url: &str) -> Option<HeaderValue> {
        let url = Url::parse(url).ok()?;
        let store = self.lock();
        let mut text = String::new();
        let mut cookies = store.matches(&url);
        // RFC 6265 §5.4: longer paths come first, then what was set first, as the store has it.
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        for cookie in cookies {
            let (name, value) = cookie.name_value();
            let separator = if text.is_empty() { "" } else { "; " };
            let _ = write!(text, "{separator}{name}={value}");
        }
        let mut value = HeaderValue::from_bytes(text.as_bytes()).ok()?;
        value.set_sensitive(true);
        (!value.is_empty()).then_some(value)
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.lock().iter_any().count();
        f.debug_struct("Cookies").field("count", &count).finish()
    }
}

fn upper(is: bool) -> &'static str {
    if is { "TRUE" } else { "FALSE" }
}

const HTTP_ONLY: &str = "#HttpOnly_";

/// RFC 6265 §6.1 names 4096, 50 and 3000 as what is kept at least.
const COOKIE_BYTES_MAX: usize = 4096;
const COOKIES_OF_HOST_MAX: usize = 180;
const COOKIES_MAX: usize = 3000;

#[cfg(test)]
mod tests;
