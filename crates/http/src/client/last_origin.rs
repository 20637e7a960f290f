//! Reading URLs, in short those of the origin that was asked last.
//!
//! Invariant: what is read in short is what `Url::parse` reads. Most of that is the host, and a
//! client seldom asks one only once.

use std::sync::Mutex;
use url::{ParseError, Url};

/// The origin of the latest URL that was read.
#[derive(Default)]
pub(super) struct LastOrigin(Mutex<Option<Known>>);

struct Known {
    /// As the application writes it.
    text: Box<str>,
    /// With an empty path.
    root: Url,
}

impl LastOrigin {
    pub(super) fn parse(&self, text: &str) -> Result<Url, ParseError> {
        if let Some(url) = self.in_short(text) {
            return Ok(url);
        }
        let url = Url::parse(text)?;
        if let Some(origin) = plain_origin(text)
            // Whoever has it now reads the same or another one; either is well known.
            && let Ok(mut known) = self.0.try_lock()
        {
            let mut root = url.clone();
            root.set_path("");
            root.set_query(None);
            root.set_fragment(None);
            *known = Some(Known {
                text: origin.into(),
                root,
            });
        }
        Ok(url)
    }

    fn in_short(&self, text: &str) -> Option<Url> {
        let known = self.0.try_lock().ok()?;
        let known = known.as_ref()?;
        let rest = text.strip_prefix(&*known.text)?;
        if !rest.starts_with('/') || !is_plain(rest) {
            return None;
        }
        let mut url = known.root.clone();
        match rest.split_once('?') {
            None => url.set_path(rest),
            Some((path, query)) => {
                url.set_path(path);
                url.set_query(Some(query));
            }
        }
        Some(url)
    }
}

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

    #[test]
    fn a_second_url_of_an_origin_is_read_in_short() {
        let origins = LastOrigin::default();
        for text in [
            "https://Example.com:443/",
            "https://[::1]:8443/a",
            "http://127.1/",
        ] {
            let first = origins.parse(text).unwrap();
            assert_eq!(Ok(first), Url::parse(text));
            let origin = plain_origin(text).unwrap();
            for rest in ["/", "//", "/a/b;c=1?", "/a?b=/.", "/a?b=?c", "/a:@!$()*"] {
                let text = format!("{origin}{rest}");
                let is_short = !rest.contains("/.");
                assert_eq!(origins.in_short(&text).is_some(), is_short, "{text}");
                assert_eq!(origins.parse(&text), Url::parse(&text));
            }
        }
    }

    #[test]
    fn what_is_not_plain_is_read_in_full() {
        let origins = LastOrigin::default();
        origins.parse("https://a.example/").unwrap();
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
            assert_eq!(origins.in_short(text), None, "{text}");
        }
        for text in ["https://user@a/", "https:///a/", "ftp://a/", "https://é/"] {
            assert_eq!(plain_origin(text), None, "{text}");
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
                    assert_eq!(origins.parse(&text), Url::parse(&text), "{text}");
                }
            }
        }
    }
}
