//! The head of a response, with where it came from.
//!
//! Invariant: it never changes, so that any number of threads can read it; reading a value that is
//! not valid leaves it where it is.

use super::address::Address;
use super::error::{Error, ErrorClass};
use super::event::ConnectionInfo;
use crate::pool::Version;
use http::{Extensions, HeaderMap, HeaderName, StatusCode};
use hyper::upgrade::OnUpgrade;
use portway_core::FailureKind;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Whether a field of this name is there. Among few it is looked for without a hash.
pub(super) fn has(headers: &HeaderMap, name: &HeaderName) -> bool {
    match headers.keys_len() <= FEW {
        true => headers.keys().any(|other| other == name),
        false => headers.contains_key(name),
    }
}

/// Names of fields that are compared quicker than one is hashed.
const FEW: usize = 8;

/// Everything that came of a response before its content. Clones share it.
#[derive(Clone, Debug)]
pub struct ResponseHead(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: http::response::Parts,
    url: Address,
    info: Arc<ConnectionInfo>,
    redirects: usize,
    is_reused: bool,
}

impl ResponseHead {
    pub(super) fn new(
        parts: http::response::Parts,
        url: Address,
        info: Arc<ConnectionInfo>,
        redirects: usize,
        is_reused: bool,
    ) -> Self {
        ResponseHead(Arc::new(Inner {
            parts,
            url,
            info,
            redirects,
            is_reused,
        }))
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.0.parts.status
    }

    /// The header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.parts.headers
    }

    /// What a field says, if it is there: the first of that name.
    ///
    /// # Errors
    /// Its value is not of visible ASCII ([`ErrorClass::Content`]); the bytes are still there among
    /// [`ResponseHead::headers`].
    pub fn header_text(&self, name: &str) -> Result<Option<&str>, Error> {
        let value = self.headers().get(name);
        let text = value.map(|value| value.to_str()).transpose();
        text.map_err(|_| {
            let detail = format!("the value of {name} is not of visible ASCII");
            Error::local(ErrorClass::Content, FailureKind::ProtocolViolation, detail)
        })
    }

    /// How long the server asks to wait before the next request, by its clock where it names a time
    /// (RFC 9110 §10.2.3), and a day at most; `None` where it asks nothing that can be understood.
    pub fn retry_after(&self) -> Option<Duration> {
        super::status::retry_after(self.headers(), SystemTime::now())
    }

    /// Nothing, or the failure that this head tells of.
    ///
    /// # Errors
    /// The status is 400 or higher: an error of [`ErrorClass::Status`] with the status as its code,
    /// and with the advice that follows from it and from [`ResponseHead::retry_after`].
    pub fn error_for_status(&self) -> Result<(), Error> {
        super::status::failure(self).map_or(Ok(()), Err)
    }

    /// What hyper has to say beyond the header, such as the reason phrase of HTTP/1.1.
    pub fn extensions(&self) -> &Extensions {
        &self.0.parts.extensions
    }

    /// The version of HTTP.
    pub fn version(&self) -> Version {
        self.0.info.version
    }

    /// The address that it came from, after redirects.
    pub fn url(&self) -> &str {
        self.0.url.as_str()
    }

    /// How many redirects were followed.
    pub fn redirects(&self) -> usize {
        self.0.redirects
    }

    /// The connection that it came over.
    pub fn connection(&self) -> &ConnectionInfo {
        &self.0.info
    }

    /// Whether that connection had carried a request before.
    pub fn is_connection_reused(&self) -> bool {
        self.0.is_reused
    }

    pub(super) fn shared_connection(&self) -> Arc<ConnectionInfo> {
        self.0.info.clone()
    }

    /// What a response that ends HTTP leads to.
    pub(super) fn take_upgrade(&mut self) -> Option<OnUpgrade> {
        // Clones of it lead to the same, of which the first to ask has it.
        self.0.parts.extensions.get::<OnUpgrade>().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_field_is_found_among_few_and_among_many() {
        let mut headers = HeaderMap::new();
        let name = |number: usize| HeaderName::try_from(format!("x-{number}")).unwrap();
        for number in 0..FEW * 2 {
            assert!(!has(&headers, &name(number)));
            headers.append(name(number), HeaderValue::from_static("a"));
            headers.append(name(number), HeaderValue::from_static("b"));
            assert!((0..=number).all(|number| has(&headers, &name(number))));
        }
    }
}
