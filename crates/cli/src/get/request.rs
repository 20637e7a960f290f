//! The request that the arguments describe, the same for every URL.

use crate::arguments::{GetRequest, HttpVersion, Policy};
use crate::error::CommandError;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method};
use portway_http::Client;
use portway_http::client::{Error, RequestBuilder, VersionPolicy};
use portway_http::pool::Version;

pub(super) struct Prepared {
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    version: Option<(Version, VersionPolicy)>,
}

impl Prepared {
    pub(super) fn new(arguments: &GetRequest) -> Result<Self, CommandError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let agent = HeaderValue::from_static(concat!("portway/", env!("CARGO_PKG_VERSION")));
        headers.insert(USER_AGENT, agent);
        let mut body = Bytes::new();
        if let Some(json) = &arguments.json {
            body = content(json)?.into();
            let kind = HeaderValue::from_static("application/json");
            headers.insert(CONTENT_TYPE, kind.clone());
            headers.insert(ACCEPT, kind);
        } else if !arguments.data.is_empty() {
            let parts = arguments.data.iter().map(|data| content(data));
            body = parts.collect::<Result<Vec<_>, _>>()?.join(&b'&').into();
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, kind);
        }
        set_headers(&mut headers, &arguments.headers)?;
        let has_content = arguments.json.is_some() || !arguments.data.is_empty();
        let method = match &arguments.method {
            Some(method) => Method::from_bytes(method.as_bytes())
                .map_err(|error| CommandError::usage(format!("{method}: {error}")))?,
            None if arguments.head => Method::HEAD,
            None if has_content => Method::POST,
            None => Method::GET,
        };
        Ok(Prepared {
            method,
            headers,
            body,
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

    /// The header fields, credentials left out.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.headers
            .iter()
            .filter(|(_, value)| !value.is_sensitive())
    }

    pub(super) fn build(&self, client: &Client, url: &str) -> Result<RequestBuilder, Error> {
        let mut request = client
            .request(self.method.clone(), url)
            .headers(&self.headers)
            .body(self.body.clone());
        if let Some((version, policy)) = self.version {
            request = request.version(version, policy);
        }
        Ok(request)
    }
}

/// Text as it is, or what is in the file behind an `@`, its line ends left out.
fn content(text: &str) -> Result<Vec<u8>, CommandError> {
    let Some(file) = text.strip_prefix('@') else {
        return Ok(text.into());
    };
    let read = std::fs::read(file);
    let mut read = read.map_err(|error| CommandError::failed(format!("{file}: {error}")))?;
    read.retain(|byte| !b"\r\n".contains(byte));
    Ok(read)
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
            let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong(field))?;
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
