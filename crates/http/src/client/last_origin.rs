//! Reading URLs, in short those of the origin that was asked last.
//!
//! Invariant: what is read in short is what `Url::parse` reads. Most of that is the host, and a
//! client seldom asks one only once.

use super::address::Address;
use std::sync::Mutex;
use url::{ParseError, Url};

/// The origin of the latest URL that was read.
#[derive(Default)]
pub(super) struct LastOrigin(Mutex<Option<Known>>);

struct Known {
    /// As the application writes it.
    text: Box<str>,
    /// The URL that was read in full; where that is long, its origin.
    first: Address,
    /// The latest path and query that were short, with the URL that they make.
    latest: Option<(Box<str>, Address)>,
}

impl LastOrigin {
    /// Reads a URL for a request; `prepare` makes one of what is read, where that is not plain.
    pub(super) fn read(
        &self,
        text: &str,
        prepare: impl FnOnce(&mut Url),
    ) -> Result<Address, ParseError> {
        if let Some(address) = self.in_short(text) {
            return Ok(address);
        }
        let mut url = Url::parse(text)?;
        prepare(&mut url);
        let address = Address::new(url);
        if let Some(origin) = plain_origin(text)
            // Whoever has it now reads the same or another one; either is well known.
            && let Ok(mut known) = self.0.try_lock()
        {
            *known = Some(Known {
                text: origin.into(),
                first: match text.len() - origin.len() <= LATEST_MAX {
                    true => address.clone(),
                    false => Address::new(bare(Url::clone(&address))),
                },
                latest: None,
            });
        }
        Ok(address)
    }

    fn in_short(&self, text: &str) -> Option<Address> {
        let mut known = self.0.try_lock().ok()?;
        let known = known.as_mut()?;
        let rest = text.strip_prefix(&*known.text)?;
        if let Some((latest, address)) = &known.latest
            && **latest == *rest
        {
            return Some(address.clone());
        }
        if !rest.starts_with('/') || !is_plain(rest) {
            return None;
        }
        let (path, query) = match rest.split_once('?') {
            None => (rest, None),
            Some((path, query)) => (path, Some(query)),
        };
        let mut url = Url::clone(&known.first);
        url.set_fragment(None);
        url.set_query(query);
        url.set_path(path);
        let address = Address::of_origin(url, known.first.key().ok().cloned());
        known.latest = (rest.len() <= LATEST_MAX).then(|| (rest.into(), address.clone()));
        Some(address)
    }
}

/// The same with an empty path.
fn bare(mut url: Url) -> Url {
    url.set_path("");
    url.set_query(None);
    url
}

/// Bytes of a path and its query that are kept.
const LATEST_MAX: usize = 1024;

/// Scheme and authority, where nothing stands there but a host and perhaps a port.
fn plain_origin(text: &str) -> Option<&str> {
    let scheme = ["https://", "http://"]
        .into_iter()
        .find(|scheme| text.starts_with(scheme))?;
    let authority = &text[scheme.len()..];
    let authority = &authority[..authority.find('/')?];
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let is_whole = !authority.is_empty() && authority.bytes().all(is_plain);
    is_whole.then(|| &text[..scheme.len() + authority.len()])
}

/// Whether a path and its query are written as they stand: nothing in them is encoded, stands for
/// another segment or begins a fragment.
fn is_plain(rest: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/?-_.~=&+,;:@!$()*".contains(&byte);
    rest.bytes().all(is_plain) && !rest.contains("/.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(origins: &LastOrigin, text: &str) -> Result<Url, ParseError> {
        origins.read(text, |_| {}).map(|address| (*address).clone())
    }

    #[test]
    fn a_second_url_of_an_origin_is_read_in_short() {
        let origins = LastOrigin::default();
        let long = format!("https://a.example/b?{}#d", "c".repeat(LATEST_MAX));
        for text in [
            "https://Example.com:443/",
            "https://b.example/a?b#c",
            &long,
            "https://[::1]:8443/a",
            "http://127.1/",
        ] {
            let first = parse(&origins, text).unwrap();
            assert_eq!(Ok(first), Url::parse(text));
            let origin = plain_origin(text).unwrap();
            for rest in ["/", "//", "/a/b;c=1?", "/a?b=/.", "/a?b=?c", "/a:@!$()*"] {
                let text = format!("{origin}{rest}");
                let is_short = !rest.contains("/.");
                assert_eq!(origins.in_short(&text).is_some(), is_short, "{text}");
                assert_eq!(parse(&origins, &text), Url::parse(&text));
                // And once more, when it is the latest.
                assert_eq!(parse(&origins, &text), Url::parse(&text));
            }
        }
    }

    #[test]
    fn what_is_not_plain_is_read_in_full() {
        let origins = LastOrigin::default();
        parse(&origins, "https://a.example/").unwrap();
        for text in [
            "https://a.example",
            "https://a.example.org/",
            "https://a.example:1/",
            "https://a.example@b.example/",
            "HTTPS://a.example/",
            "https://a.example/#part",
            "https://a.example/%2e%2e/b",
            "https://a.example/x/../b",
            "https://a.example\\b",
            "https://a.example/ö",
            "https://a.example/a\tb",
            "https://a.example/a'b",
        ] {
            assert!(origins.in_short(text).is_none(), "{text}");
        }
        for text in ["https://user@a/", "https:///a/", "ftp://a/", "https://é/"] {
            assert_eq!(plain_origin(text), None, "{text}");
        }
    }

    #[test]
    fn the_latest_address_is_shared_unless_it_is_long() {
        let origins = LastOrigin::default();
        let is_shared = |text: &str| {
            let read = || origins.read(text, |_| {}).unwrap();
            read();
            std::ptr::eq(&*read(), &*read())
        };
        let long = |length: usize| format!("https://a.example/{}", "b".repeat(length - 1));
        assert!(is_shared("https://a.example/b?c"));
        assert!(is_shared(&long(LATEST_MAX)));
        assert!(!is_shared(&long(LATEST_MAX + 1)));
        assert!(is_shared("https://a.example/"));
        let read = |path: &str| {
            let text = format!("https://b.example/{path}");
            origins.read(&text, |_| {}).unwrap()
        };
        let all = [read("#part"), read("x"), read("y")];
        let keys = all.each_ref().map(|address| address.key().unwrap());
        for key in keys {
            assert!(std::ptr::eq(&**key, &**keys[0]), "one origin has one key");
        }
    }

    #[test]
    fn what_is_not_plain_is_prepared() {
        let origins = LastOrigin::default();
        for _ in 0..2 {
            let read = origins.read("https://a.example/#part", |url| url.set_fragment(None));
            assert_eq!(read.unwrap().as_str(), "https://a.example/");
        }
    }

    /// Every text of up to three of the characters that mean something, behind each origin.
    #[test]
    fn what_is_read_in_short_is_what_is_read_in_full() {
        let characters: Vec<char> = "/?.a%#:@;\\ '|^&=~-".chars().collect();
        let mut rests = vec![String::new()];
        let mut begin = 0;
        for _ in 0..3 {
            let end = rests.len();
            for at in begin..end {
                let longer = characters.iter().map(|last| format!("{}{last}", rests[at]));
                let longer: Vec<_> = longer.collect();
                rests.extend(longer);
            }
            begin = end;
        }
        for origin in ["https://b.EX:443", "http://127.1", "https://[::1]:8443"] {
            let origins = LastOrigin::default();
            for rest in &rests {
                for text in [format!("{origin}/{rest}"), format!("{origin}{rest}")] {
                    assert_eq!(parse(&origins, &text), Url::parse(&text), "{text}");
                }
            }
        }
    }
}
