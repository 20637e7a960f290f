//! The request that the arguments describe, the same for every URL.

use super::content::{Content, Reading};
use crate::arguments::{GetRequest, HttpVersion, Policy};
use crate::error::CommandError;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue, PROXY_AUTHORIZATION,
    USER_AGENT,
};
use http::{HeaderMap, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portway_http::Client;
use portway_http::client::{Cookies, RequestBuilder, VersionPolicy};
use portway_http::pool::Version;
use std::sync::Arc;

pub(super) struct Prepared {
    method: Method,
    headers: HeaderMap,
    content: Content,
    is_repeatable: bool,
    version: Option<(Version, VersionPolicy)>,
}

impl Prepared {
    pub(super) fn new(arguments: &GetRequest) -> Result<Self, CommandError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let agent = HeaderValue::from_static(concat!("portway/", env!("CARGO_PKG_VERSION")));
        headers.insert(USER_AGENT, agent);
        let content = Content::new(arguments)?;
        if let Content::Bytes(_, kind) = &content {
            headers.insert(CONTENT_TYPE, kind.clone());
            if arguments.json.is_some() {
                headers.insert(ACCEPT, kind.clone());
            }
        }
        let cookies: Vec<_> = given_cookies(arguments).collect();
        if !cookies.is_empty() {
            let value = HeaderValue::from_str(&cookies.join("; "));
            let mut value = value.map_err(|error| CommandError::usage(error.to_string()))?;
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
        set_headers(&mut headers, &arguments.headers)?;
        let method = match &arguments.method {
            Some(method) => Method::from_bytes(method.as_bytes())
                .map_err(|error| CommandError::usage(format!("{method}: {error}")))?,
            None if arguments.head => Method::HEAD,
            None if content.is_upload() => Method::PUT,
            None if content.is_none() => Method::GET,
            None => Method::POST,
        };
        Ok(Prepared {
            method,
            headers,
            is_repeatable: content.is_repeatable(),
            content,
            version: arguments.http.map(|version| {
                let version = match version {
                    HttpVersion::One => Version::Http1,
                    HttpVersion::Two => Version::Http2,
                    HttpVersion::Three => Version::Http3,
                };
                let policy = match arguments.policy {
                    Policy::Exact => VersionPolicy::Exact,
                    Policy::OrLower => VersionPolicy::OrLower,
                    Policy::OrHigher => VersionPolicy::OrHigher,
                };
                (version, policy)
            }),
        })
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// Whether it can be made anew with the same content.
    pub(super) fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }

    /// The header fields, credentials left out.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.headers
            .iter()
            .filter(|(_, value)| !value.is_sensitive())
    }

    /// Where a URL leads: one that ends in a slash takes the name of the file that is sent.
    pub(super) fn target(&self, url: &str) -> String {
        match self.content.file_name().filter(|_| url.ends_with('/')) {
            Some(name) => format!("{url}{}", utf8_percent_encode(name, NON_ALPHANUMERIC)),
            None => url.to_owned(),
        }
    }

    pub(super) async fn build(
        &self,
        client: &Client,
        url: &str,
        reading: Reading,
    ) -> Result<RequestBuilder, CommandError> {
        let mut request = client
            .request(self.method.clone(), self.target(url))
            .headers(&self.headers);
        if let Some((version, policy)) = self.version {
            request = request.version(version, policy);
        }
        self.content.put_into(request, reading).await
    }
}

/// The cookies that were given as such; what has no `=` is a file.
fn given_cookies(arguments: &GetRequest) -> impl Iterator<Item = &str> {
    let cookies = arguments.cookie.iter().map(String::as_str);
    cookies.filter(|cookie| cookie.contains('='))
}

/// A jar with the cookies of the files that were given, where any is to be kept.
pub(super) fn jar(
    arguments: &GetRequest,
    is_written: bool,
) -> Result<Option<Arc<Cookies>>, CommandError> {
    let files: Vec<_> = arguments
        .cookie
        .iter()
        .filter(|it| !it.contains('='))
        .collect();
    if files.is_empty() && !is_written {
        return Ok(None);
    }
    let mut text = String::new();
    for file in files {
        // A file that is not there yet is one without cookies, as for curl.
        match std::fs::read(file) {
            Ok(read) => text.push_str(&String::from_utf8_lossy(&read)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(CommandError::failed(format!("{file}: {error}"))),
        }
        text.push('\n');
    }
    Ok(Some(Arc::new(Cookies::from_netscape(&text))))
}

/// Sets `name: value`; `name:` takes the field away.
fn set_headers(headers: &mut HeaderMap, fields: &[String]) -> Result<(), CommandError> {
    let wrong =
        |field: &str| CommandError::usage(format!("{field:?} is not of the form name: value"));
    let mut own: HeaderMap = HeaderMap::new();
    for field in fields {
        let (name, value) = field.split_once(':').ok_or_else(|| wrong(field))?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong(field))?;
        headers.remove(&name);
        if !value.trim().is_empty() {
            let mut value = HeaderValue::from_str(value.trim()).map_err(|_| wrong(field))?;
            value.set_sensitive([AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(&name));
            own.append(name, value);
        }
    }
    headers.extend(own);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_user_replace_ours_and_may_repeat() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, HeaderValue::from_static("portway"));
        let fields = ["accept: a", "Accept:b", "user-agent:"].map(str::to_owned);
        set_headers(&mut headers, &fields).unwrap();
        let accepted: Vec<_> = headers.get_all(ACCEPT).iter().collect();
        assert_eq!(accepted, ["a", "b"]);
        assert!(!headers.contains_key(USER_AGENT));
        for wrong in ["no colon", "a b: c", ": x"] {
            assert!(
                set_headers(&mut headers, &[wrong.to_owned()]).is_err(),
                "{wrong}"
            );
        }
    }
}
