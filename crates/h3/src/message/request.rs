//! Request header sections: :method, :scheme, :authority, :path and :protocol.
//!
//! Invariant: the target of a request is one [`Uri`] that cannot be read in two ways.

use bytes::Bytes;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{Method, Uri};

use super::host;
use super::section::{Section, SectionFault, malformed};
use super::{Protocol, RequestHead};
use crate::capsule;

/// Remembers the authority of the last request, which most requests of a connection share.
#[derive(Debug, Default)]
pub struct AuthorityCache(Option<Authority>);

impl AuthorityCache {
    fn parse(&mut self, value: &[u8]) -> Result<Authority, SectionFault> {
        if let Some(last) = &self.0
            && last.as_str().as_bytes() == value
        {
            return Ok(last.clone());
        }
        let authority =
            Authority::try_from(value).map_err(|_| malformed("an invalid authority"))?;
        self.0 = Some(authority.clone());
        Ok(authority)
    }
}

impl Section {
    /// The request that these fields make; `extended_connect` is whether we announced it.
    ///
    /// # Errors
    /// The first rule that is broken or bound that is exceeded.
    pub fn into_request(
        mut self,
        extended_connect: bool,
        cache: &mut AuthorityCache,
    ) -> Result<RequestHead, SectionFault> {
        self.take_request(extended_connect, cache)
    }

    /// The same, leaving an empty section.
    pub(crate) fn take_request(
        &mut self,
        extended_connect: bool,
        cache: &mut AuthorityCache,
    ) -> Result<RequestHead, SectionFault> {
        self.complete()?;
        let pseudo = &self.pseudo;
        // RFC 9114 §4.3: the pseudo-header field of responses has no place in a request.
        if pseudo.status.is_some() {
            return Err(malformed(":status in a request"));
        }
        let method = pseudo.method.as_ref().ok_or(malformed("no :method"))?;
        let method =
            Method::from_bytes(method).map_err(|_| malformed("a :method that is not a token"))?;
        match (&pseudo.protocol, method == Method::CONNECT) {
            // RFC 9220 §3, RFC 8441 §4: only with CONNECT, and only after the server offered it.
            (Some(_), false) => Err(malformed(":protocol without CONNECT")),
            (Some(_), true) if !extended_connect => Err(malformed(
                ":protocol although extended CONNECT was not offered",
            )),
            (None, true) => self.take_connect(method, cache),
            _ => self.take_absolute(method, cache),
        }
    }

    fn take_connect(
        &mut self,
        method: Method,
        cache: &mut AuthorityCache,
    ) -> Result<RequestHead, SectionFault> {
        let pseudo = &self.pseudo;
        // RFC 9114 §4.4: CONNECT has :authority, and neither :scheme nor :path.
        if pseudo.scheme.is_some() || pseudo.path.is_some() {
            return Err(malformed(":scheme or :path in a CONNECT"));
        }
        let authority = pseudo
            .authority
            .as_ref()
            .ok_or(malformed("CONNECT without :authority"))?;
        host::agreed(Some(authority), &self.headers).map_err(malformed)?;
        host::check_connect(authority).map_err(malformed)?;
        let mut parts = Parts::default();
        parts.authority = Some(cache.parse(authority)?);
        let uri = Uri::from_parts(parts).map_err(|_| malformed("an invalid target"))?;
        Ok(RequestHead {
            method,
            uri,
            scheme: None,
            protocol: None,
            headers: std::mem::take(&mut self.headers),
        })
    }

    fn take_absolute(
        &mut self,
        method: Method,
        cache: &mut AuthorityCache,
    ) -> Result<RequestHead, SectionFault> {
        let pseudo = &mut self.pseudo;
        // RFC 9114 §4.3.1: one :method, :scheme and :path unless it is a CONNECT.
        let scheme = pseudo.scheme.as_ref().ok_or(malformed("no :scheme"))?;
        let scheme = parse_scheme(scheme)?;
        let path = pseudo.path.take().ok_or(malformed("no :path"))?;
        let is_web = scheme == Scheme::HTTPS || scheme == Scheme::HTTP;
        let path = parse_path(path, is_web, &method)?;
        let authority =
            host::agreed(pseudo.authority.as_ref(), &self.headers).map_err(malformed)?;
        // RFC 9220 §3: an extended CONNECT names its target like any other request.
        let authority = match is_web || method == Method::CONNECT {
            true => Some(host::check_web(authority).map_err(malformed)?),
            false => authority,
        };
        if authority.is_some_and(<[u8]>::is_empty) {
            return Err(malformed("an empty authority"));
        }
        let protocol = pseudo.protocol.as_deref().map(parse_protocol).transpose()?;
        // RFC 9297 §3.2: a request that uses capsules has no content of another kind.
        if protocol.is_some() && capsule::is_announced(&self.headers) {
            capsule::check_message(&self.headers, None).map_err(|error| malformed(error.reason))?;
        }
        let mut parts = Parts::default();
        parts.path_and_query = Some(path);
        let mut bare_scheme = None;
        match authority {
            Some(authority) => {
                parts.authority = Some(cache.parse(authority)?);
                parts.scheme = Some(scheme);
            }
            None => bare_scheme = Some(scheme),
        }
        let uri = Uri::from_parts(parts).map_err(|_| malformed("an invalid target"))?;
        Ok(RequestHead {
            method,
            uri,
            scheme: bare_scheme,
            protocol,
            headers: std::mem::take(&mut self.headers),
        })
    }
}

// RFC 3986 §3.1: a scheme starts with a letter; the parser of `http` also takes an empty one.
fn parse_scheme(value: &[u8]) -> Result<Scheme, SectionFault> {
    match Scheme::try_from(value) {
        Ok(scheme) if value.first().is_some_and(u8::is_ascii_alphabetic) => Ok(scheme),
        _ => Err(malformed("an invalid :scheme")),
    }
}

fn parse_path(path: Bytes, is_web: bool, method: &Method) -> Result<PathAndQuery, SectionFault> {
    match &path[..] {
        b"/" => return Ok(PathAndQuery::from_static("/")),
        // RFC 9114 §4.3.1: OPTIONS without a path has an asterisk.
        b"*" if *method == Method::OPTIONS => return Ok(PathAndQuery::from_static("*")),
        _ => {}
    }
    // RFC 9114 §4.3.1: not empty and absolute for "http" and "https".
    if is_web && path.first() != Some(&b'/') {
        return Err(malformed("a :path that is not absolute"));
    }
    // A fragment is never sent; the parser below would cut it off, which hides the difference.
    if path.contains(&b'#') {
        return Err(malformed("a fragment in :path"));
    }
    PathAndQuery::from_maybe_shared(path).map_err(|_| malformed("an invalid :path"))
}

fn parse_protocol(value: &[u8]) -> Result<Protocol, SectionFault> {
    std::str::from_utf8(value)
        .ok()
        .and_then(Protocol::new)
        .ok_or(malformed("a :protocol that is not a token"))
}
