//! HTTP messages as field sections: what a request, a response, a promise and trailers may hold.
//!
//! Invariant: a [`RequestHead`], a [`ResponseHead`] or trailers that came from a peer kept every
//! rule of RFC 9114 §4.1 to §4.4, so that nothing malformed reaches an application or is forwarded.

mod content_length;
mod cookie;
mod host;
mod outgoing;
mod promise;
mod request;
mod response;
mod secret;
mod section;
mod trailers;

use std::fmt;
use std::sync::Arc;

use http::uri::Scheme;
use http::{HeaderMap, Method, StatusCode, Uri};

pub use content_length::Expected;
pub(crate) use outgoing::Checked;
pub use outgoing::{Outgoing, Unsendable, section_bytes};
pub use promise::push_refusal;
pub use request::AuthorityCache;
pub(crate) use secret::has_secret;
pub use section::{Bounds, Section, SectionFault, is_connection_specific};

/// The protocol that an extended CONNECT asks for, the value of `:protocol` (RFC 9220).
///
/// Put it into the extensions of an `http::Request` to send an extended CONNECT.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Protocol(Box<str>);

impl Protocol {
    /// The protocol of this name; `None` unless the name is a token.
    pub fn new(name: &str) -> Option<Self> {
        let is_token = !name.is_empty() && name.bytes().all(is_token_char);
        is_token.then(|| Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The header section of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The target: absolute, except for CONNECT (an authority) and for schemes that do without an
    /// authority (a path).
    pub uri: Uri,
    /// The scheme of a target without an authority, which [`Uri`] cannot hold.
    pub scheme: Option<Scheme>,
    /// What an extended CONNECT asks for.
    pub protocol: Option<Protocol>,
    /// The header fields; crumbs of the cookie are joined.
    pub headers: HeaderMap,
}

impl RequestHead {
    /// A request without header fields.
    pub fn new(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            ..Self::default()
        }
    }

    /// Whether the stream becomes a tunnel when the response is a success.
    pub fn is_connect(&self) -> bool {
        self.method == Method::CONNECT
    }

    /// The request with this body.
    #[inline]
    pub fn with_body<B>(self, body: B) -> http::Request<B> {
        let mut request = http::Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = http::Version::HTTP_3;
        *request.headers_mut() = self.headers;
        if let Some(protocol) = self.protocol {
            request.extensions_mut().insert(protocol);
        }
        request
    }

    /// The request with this body, of a head that others may have, too. It is neither moved nor
    /// copied as a whole before it is taken apart.
    #[inline]
    pub fn shared_with_body<B>(self: Arc<Self>, body: B) -> http::Request<B> {
        let head = match Arc::try_unwrap(self) {
            Ok(head) => return head.with_body(body),
            Err(shared) => shared,
        };
        let mut request = http::Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = head.uri.clone();
        *request.version_mut() = http::Version::HTTP_3;
        if !head.headers.is_empty() {
            *request.headers_mut() = head.headers.clone();
        }
        if let Some(protocol) = &head.protocol {
            request.extensions_mut().insert(protocol.clone());
        }
        request
    }
}

impl From<http::request::Parts> for RequestHead {
    #[inline]
    fn from(mut parts: http::request::Parts) -> Self {
        Self {
            method: parts.method,
            uri: parts.uri,
            scheme: None,
            protocol: parts.extensions.remove::<Protocol>(),
            headers: parts.headers,
        }
    }
}

impl From<RequestHead> for http::Request<()> {
    fn from(head: RequestHead) -> Self {
        head.with_body(())
    }
}

/// The header section of a response, interim or final.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseHead {
    /// The status code.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
}

impl ResponseHead {
    /// A response without header fields.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
        }
    }

    /// The response with this body.
    #[inline]
    pub fn with_body<B>(self, body: B) -> http::Response<B> {
        let mut response = http::Response::new(body);
        *response.status_mut() = self.status;
        *response.version_mut() = http::Version::HTTP_3;
        *response.headers_mut() = self.headers;
        response
    }

    /// The response with this body, of a head that others may have, too.
    #[inline]
    pub fn shared_with_body<B>(self: Arc<Self>, body: B) -> http::Response<B> {
        let head = match Arc::try_unwrap(self) {
            Ok(head) => return head.with_body(body),
            Err(shared) => shared,
        };
        let mut response = http::Response::new(body);
        *response.status_mut() = head.status;
        *response.version_mut() = http::Version::HTTP_3;
        if !head.headers.is_empty() {
            *response.headers_mut() = head.headers.clone();
        }
        response
    }
}

impl From<http::response::Parts> for ResponseHead {
    fn from(parts: http::response::Parts) -> Self {
        Self {
            status: parts.status,
            headers: parts.headers,
        }
    }
}

impl From<ResponseHead> for http::Response<()> {
    fn from(head: ResponseHead) -> Self {
        head.with_body(())
    }
}

/// Whether `byte` may be part of a token (RFC 9110 §5.6.2).
pub(crate) fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
