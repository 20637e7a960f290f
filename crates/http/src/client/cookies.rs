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
mod tests {
    use super::*;

    fn set(cookies: &Cookies, url: &str, value: &str) {
        let value = value.parse().unwrap();
        cookies.store(url, &mut [value].iter());
    }

    fn sent(cookies: &Cookies, url: &str) -> String {
        let value = cookies.cookies(url);
        let value = value.as_ref().map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    }

    #[test]
    fn a_cookie_goes_where_its_origin_could_set_it_and_nowhere_else() {
        let rows = [
            ("https://a.test/x/y", "n=v", "https://a.test/x/z", true),
            ("https://a.test/x/y", "n=v", "https://a.test/z", false),
            ("https://a.test/", "n=v", "https://b.a.test/", false),
            (
                "https://b.a.test/",
                "n=v; Domain=a.test",
                "https://c.a.test/",
                true,
            ),
            (
                "https://b.a.test/",
                "n=v; Domain=a.test",
                "https://nota.test/",
                false,
            ),
            (
                "https://b.a.test/",
                "n=v; Domain=c.a.test",
                "https://c.a.test/",
                false,
            ),
            (
                "https://a.test/",
                "n=v; Domain=b.test",
                "https://b.test/",
                false,
            ),
            ("https://a.test/", "n=v; Secure", "http://a.test/", false),
            ("http://a.test/", "n=v; Secure", "https://a.test/", false),
            (
                "http://a.co.uk/",
                "n=v; Domain=co.uk",
                "http://b.co.uk/",
                false,
            ),
            ("http://a.com/", "n=v; Domain=com", "http://b.com/", false),
            (
                "http://127.0.0.1/",
                "n=v; Domain=0.0.1",
                "http://2.0.0.1/",
                false,
            ),
            (
                "https://a.test/",
                "__Host-n=v; Secure; Path=/",
                "https://a.test/",
                true,
            ),
            (
                "https://a.test/",
                "__Host-n=v; Path=/",
                "https://a.test/",
                false,
            ),
            (
                "https://a.test/",
                "__host-n=v; Secure; Path=/; Domain=a.test",
                "https://a.test/",
                false,
            ),
            ("https://a.test/", "__Secure-n=v", "https://a.test/", false),
            (
                "https://a.test/",
                "n=v; Max-Age=0",
                "https://a.test/",
                false,
            ),
        ];
        for (from, value, to, expected) in rows {
            let cookies = Cookies::new();
            set(&cookies, from, value);
            assert_eq!(
                !sent(&cookies, to).is_empty(),
                expected,
                "{from} {value} {to}"
            );
        }
    }

    #[test]
    fn a_later_cookie_replaces_and_a_stale_one_removes() {
        let cookies = Cookies::new();
        set(&cookies, "https://a.test/", "n=1");
        set(&cookies, "https://a.test/", "n=2");
        set(&cookies, "https://a.test/deep/", "m=3; Path=/deep");
        assert_eq!(sent(&cookies, "https://a.test/deep/x"), "m=3; n=2");
        set(&cookies, "https://a.test/", "n=; Max-Age=0");
        assert_eq!(sent(&cookies, "https://a.test/"), "");
    }

    #[test]
    fn the_netscape_format_keeps_what_it_can_say() {
        let text = "# Netscape HTTP Cookie File\n\n\
            .a.test\tTRUE\t/\tFALSE\t4102444800\tdeep\t1\n\
            #HttpOnly_a.test\tFALSE\t/p\tTRUE\t0\tsession\ta=b c\n\
            a.test\tFALSE\t/\tFALSE\t1\tstale\t1\n\
            # a comment\n\
            too\tfew\tfields\n";
        let cookies = Cookies::from_netscape(text);
        assert_eq!(sent(&cookies, "http://b.a.test/"), "deep=1");
        assert_eq!(sent(&cookies, "https://a.test/p"), "session=a=b c; deep=1");
        let again = cookies.to_netscape();
        assert!(
            again.contains(".a.test\tTRUE\t/\tFALSE\t41024448"),
            "{again}"
        );
        assert!(
            again.contains("#HttpOnly_a.test\tFALSE\t/p\tTRUE\t0\tsession\ta=b c\n"),
            "{again}"
        );
        assert!(!again.contains("stale"));
        let back = Cookies::from_netscape(&again);
        assert_eq!(sent(&back, "https://a.test/p"), "session=a=b c; deep=1");
    }

    #[test]
    fn cookies_of_one_host_and_of_all_have_limits() {
        let cookies = Cookies::new();
        for number in 0..COOKIES_OF_HOST_MAX + 20 {
            set(&cookies, "https://a.test/", &format!("n{number}=v"));
        }
        assert_eq!(cookies.lock().iter_any().count(), COOKIES_OF_HOST_MAX);
        set(&cookies, "https://a.test/", "n1=other");
        assert!(sent(&cookies, "https://a.test/").contains("n1=other"));
        // The same name under another path is another cookie.
        for number in 0..COOKIES_OF_HOST_MAX + 20 {
            let value = format!("n=v; Path=/{number}");
            set(&cookies, "https://paths.test/", &value);
        }
        let count = cookies.lock().iter_any().count();
        assert_eq!(count, 2 * COOKIES_OF_HOST_MAX);
        for host in 0..COOKIES_MAX / COOKIES_OF_HOST_MAX {
            for number in 0..COOKIES_OF_HOST_MAX {
                let value = format!("n=v; Path=/{number}");
                set(&cookies, &format!("https://h{host}.test/"), &value);
            }
        }
        assert_eq!(cookies.lock().iter_any().count(), COOKIES_MAX);
        set(&cookies, "https://paths.test/", "n=other; Path=/7");
        assert_eq!(sent(&cookies, "https://paths.test/7"), "n=other");
        let long = format!("long={}", "x".repeat(COOKIE_BYTES_MAX));
        set(&cookies, "https://b.test/", &long);
        assert_eq!(sent(&cookies, "https://b.test/"), "");
    }

    #[test]
    fn a_public_suffix_sets_cookies_for_its_own_host_only() {
        let cookies = Cookies::new();
        set(&cookies, "https://github.io/", "n=v; Domain=github.io");
        set(&cookies, "https://github.io/", "m=v; Domain=.GitHub.io");
        let own = sent(&cookies, "https://github.io/");
        assert!(own.contains("n=v") && own.contains("m=v"), "{own}");
        assert_eq!(sent(&cookies, "https://victim.github.io/"), "");
    }

    #[test]
    fn cleartext_does_not_replace_what_was_set_under_tls() {
        let rows = [
            ("http://a.test/", "n=evil", "n=v"),
            ("http://a.test/", "n=; Max-Age=0", "n=v"),
            ("http://a.test/", "n=evil; Path=/deep", "n=v"),
            ("http://b.a.test/", "n=evil; Domain=a.test", "n=v"),
            ("http://a.test/", "other=fine", "n=v; other=fine"),
            ("https://a.test/", "n=new", "n=new"),
        ];
        for (from, value, expected) in rows {
            let cookies = Cookies::new();
            set(&cookies, "https://a.test/", "n=v; Secure; Path=/");
            set(&cookies, from, value);
            let sent = sent(&cookies, "https://a.test/deep/x");
            let mut sent: Vec<_> = sent.split("; ").collect();
            sent.sort_unstable();
            assert_eq!(sent.join("; "), expected, "{from} {value}");
        }
        let cookies = Cookies::new();
        set(&cookies, "http://a.test/", "n=1");
        set(&cookies, "http://a.test/", "n=2");
        assert_eq!(sent(&cookies, "http://a.test/"), "n=2");
    }
}
