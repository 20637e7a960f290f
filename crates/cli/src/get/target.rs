//! A URL of the arguments, and what may be told of it.
//!
//! Invariant: user and password stand in neither what is sent nor what is told.

use super::access::Login;
use url::Url;

pub(super) struct Target {
    /// Without user and password, unless it is no URL at all.
    pub(super) url: String,
    /// For people to read.
    pub(super) shown: String,
    pub(super) login: Option<Login>,
    pub(super) is_cleartext: bool,
}

impl Target {
    pub(super) fn new(text: &str) -> Self {
        let Ok(mut parsed) = Url::parse(text) else {
            // Where a password would end is not known then.
            let shown = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
            return Target {
                url: text.to_owned(),
                shown: shown.to_owned(),
                login: None,
                is_cleartext: false,
            };
        };
        let login = Login::of_url(text);
        // Both can fail for URLs without a host only.
        let _ = parsed.set_username("");
        let _ = parsed.set_password(None);
        let is_cleartext = parsed.scheme() == "http";
        let url = match login {
            None => text.to_owned(),
            Some(_) => without_user(text, &parsed).unwrap_or_else(|| parsed.into()),
        };
        Target {
            shown: url.clone(),
            url,
            login,
            is_cleartext,
        }
    }
}

/// The text as it was typed but for the user, where that means the URL `parsed`.
fn without_user(text: &str, parsed: &Url) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let host = rest[..end].rfind('@')? + 1;
    let url = format!("{scheme}://{}", &rest[host..]);
    (Url::parse(&url).as_ref() == Ok(parsed)).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_url_has_no_password() {
        let rows = [
            ("http://a.test/b c", "http://a.test/b c", false),
            ("http://a.test/@b", "http://a.test/@b", false),
            (
                "http://u:s3cret@a.test/b c?d@e",
                "http://a.test/b c?d@e",
                true,
            ),
            ("HTTP://u:s3@cret@a.test", "HTTP://a.test", true),
            ("http:/u:s3cret@a.test/b c", "http://a.test/b%20c", true),
            ("http://\t/u:s3cret@a.test/", "http://a.test/", true),
            ("http://u:s3cret@a.test:x/", "a.test:x/", false),
            ("http://u:s3/cret@a.test/", "a.test/", false),
        ];
        for (text, shown, has_login) in rows {
            let target = Target::new(text);
            assert_eq!(target.shown, shown, "{text}");
            assert_eq!(target.login.is_some(), has_login, "{text}");
        }
    }
}
