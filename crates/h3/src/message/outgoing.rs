//! Messages on their way out: checked, then walked field by field by the encoder.
//!
//! Invariant: nothing leaves that a strict peer would call malformed.

use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::cookie::Split;
use super::section::{FIELD_OVERHEAD, is_connection_specific};
use super::trailers::may_be_a_trailer;
use super::{Expected, RequestHead, ResponseHead, host};
use crate::capsule;
use crate::field::FieldName;
use crate::priority;

/// Why a message cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsendable {
    /// A field that HTTP/3 does not allow in this section.
    Field(HeaderName),
    /// The target or the status is not one that HTTP/3 can carry.
    Line(&'static str),
    /// The section is larger than the peer takes.
    TooLarge {
        /// Its size, as RFC 9114 §4.2.2 counts.
        size: u64,
        /// What the peer takes.
        limit: u64,
    },
}

impl std::fmt::Display for Unsendable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field(name) => write!(f, "the field {name} has no place here in HTTP/3"),
            Self::Line(reason) => f.write_str(reason),
            Self::TooLarge { size, limit } => {
                write!(f, "a field section of {size} bytes, the peer takes {limit}")
            }
        }
    }
}

impl std::error::Error for Unsendable {}

/// A field section to be encoded: its pseudo-header fields and its other fields.
#[derive(Debug, Clone)]
pub struct Outgoing<'a> {
    pseudo: [Option<(&'static FieldName, &'a [u8])>; 5],
    headers: &'a HeaderMap,
    checked: Checked,
}

/// What one look at the header fields has told.
#[derive(Debug, Clone)]
struct Seen {
    expected: Expected,
    has_capsules: bool,
    has_priority: bool,
    /// Their size as RFC 9114 §4.2.2 counts.
    size: usize,
}

/// What is left to know of a section that can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked {
    /// What the header fields declare of the content.
    pub(crate) expected: Expected,
    /// Whether a header field speaks of the message's priority.
    pub(crate) has_priority: bool,
    /// The size as RFC 9114 §4.2.2 counts.
    size: u64,
}

impl Checked {
    /// Checks the size against what the peer takes, if it said so.
    ///
    /// # Errors
    /// When the section is larger.
    // RFC 9114 §4.2.2: what exceeds the peer's limit should not be sent.
    pub(crate) fn check_size(&self, limit: Option<u64>) -> Result<(), Unsendable> {
        match limit {
            Some(limit) if self.size > limit => Err(Unsendable::TooLarge {
                size: self.size,
                limit,
            }),
            _ => Ok(()),
        }
    }
}

impl<'a> Outgoing<'a> {
    /// The header section of a request.
    ///
    /// # Errors
    /// When HTTP/3 cannot carry it.
    pub fn request(head: &'a RequestHead) -> Result<Self, Unsendable> {
        let seen = Seen::in_fields(&head.headers, |name| {
            *name != header::TE || is_te_trailers(&head.headers)
        })?;
        let authority = head.uri.authority().map(|authority| authority.as_str());
        if let (Some(authority), Some(host)) = (authority, head.headers.get(header::HOST))
            && authority.as_bytes() != host.as_bytes()
        {
            return Err(Unsendable::Line("host differs from the target's authority"));
        }
        let method = Some((&FieldName::Method, head.method.as_str().as_bytes()));
        let authority = authority.map(|authority| (&FieldName::Authority, authority.as_bytes()));
        if head.method == Method::CONNECT && head.protocol.is_none() {
            let target = authority.as_ref().map_or(&b""[..], |(_, target)| target);
            host::check_connect(target).map_err(Unsendable::Line)?;
            let pseudo = [method, authority, None, None, None];
            return Ok(Self::new(pseudo, &head.headers, &seen));
        }
        if head.protocol.is_some() && capsule::is_announced(&head.headers) {
            check_capsules(&head.headers, None)?;
        }
        if head.method != Method::CONNECT && head.protocol.is_some() {
            return Err(Unsendable::Line(
                "a protocol is asked for with CONNECT only",
            ));
        }
        let scheme = head.uri.scheme().or(head.scheme.as_ref());
        let scheme = scheme.ok_or(Unsendable::Line("the target has no scheme"))?;
        check_authority(
            scheme,
            authority.as_ref().map(|(_, value)| *value),
            &head.headers,
        )?;
        let protocol = head.protocol.as_ref();
        let pseudo = [
            method,
            Some((&FieldName::Scheme, scheme.as_str().as_bytes())),
            authority,
            Some((&FieldName::Path, path_of(head).as_bytes())),
            protocol.map(|protocol| (&FieldName::Protocol, protocol.as_str().as_bytes())),
        ];
        Ok(Self::new(pseudo, &head.headers, &seen))
    }

    /// The header section of a response, interim or final.
    ///
    /// # Errors
    /// When HTTP/3 cannot carry it.
    pub fn response(head: &'a ResponseHead) -> Result<Self, Unsendable> {
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Unsendable::Line("HTTP/3 has no 101"));
        }
        let seen = Seen::in_fields(&head.headers, |name| *name != header::TE)?;
        // RFC 9297 §3.4: only a success says that capsules are in use.
        if seen.has_capsules && capsule::is_announced(&head.headers) {
            if !head.status.is_success() {
                return Err(Unsendable::Line("capsules are announced without a success"));
            }
            check_capsules(&head.headers, Some(head.status))?;
        }
        let status = Some((&FieldName::Status, status_bytes(&head.status)));
        let pseudo = [status, None, None, None, None];
        Ok(Self::new(pseudo, &head.headers, &seen))
    }

    /// A trailer section.
    ///
    /// # Errors
    /// When HTTP/3 cannot carry it.
    pub fn trailers(trailers: &'a HeaderMap) -> Result<Self, Unsendable> {
        let seen = Seen::in_fields(trailers, may_be_a_trailer)?;
        Ok(Self::new([None; 5], trailers, &seen))
    }

    #[inline]
    fn new(
        pseudo: [Option<(&'static FieldName, &'a [u8])>; 5],
        headers: &'a HeaderMap,
        seen: &Seen,
    ) -> Self {
        let lines = pseudo.iter().flatten();
        let front: usize = lines
            .map(|(name, value)| line_size(name.as_bytes(), value))
            .sum();
        let checked = Checked {
            expected: seen.expected,
            has_priority: seen.has_priority,
            size: (front + seen.size) as u64,
        };
        Self {
            pseudo,
            headers,
            checked,
        }
    }

    /// What is left to know.
    #[inline]
    pub(crate) fn checked(&self) -> Checked {
        self.checked
    }

    /// Checks the size against what the peer takes, if it said so.
    ///
    /// # Errors
    /// When the section is larger.
    pub fn check_size(&self, limit: Option<u64>) -> Result<(), Unsendable> {
        self.checked.check_size(limit)
    }

    /// Gives every field in its order: name, value, and whether it must stay out of tables.
    pub fn for_each(&self, mut visit: impl FnMut(&'a [u8], &'a [u8], bool)) {
        for (name, value) in self.pseudo.iter().flatten() {
            visit(name.as_bytes(), value, false);
        }
        self.for_each_header(visit);
    }

    /// The same without pseudo-header fields.
    pub(crate) fn for_each_header(&self, mut visit: impl FnMut(&'a [u8], &'a [u8], bool)) {
        for (name, value) in self.headers {
            for_each_line(name, value, |name, bytes| {
                visit(name, bytes, value.is_sensitive());
            });
        }
    }

    /// The pseudo-header fields in their order.
    pub fn pseudo(&self) -> impl Iterator<Item = (&FieldName, &'a [u8])> {
        self.pseudo
            .iter()
            .flatten()
            .map(|(name, value)| (*name, *value))
    }

    /// The map that has the other fields.
    pub(crate) fn header_map(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The other fields.
    pub fn headers(&self) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
        self.headers.iter()
    }
}

/// The size of a section as RFC 9114 §4.2.2 counts it, without pseudo-header fields.
pub fn section_bytes(headers: &HeaderMap) -> usize {
    let len = |(name, value): (&HeaderName, &HeaderValue)| {
        name.as_str().len() + value.len() + FIELD_OVERHEAD
    };
    headers.iter().map(len).sum()
}

impl Seen {
    /// Looks at all fields, each of which has to be allowed.
    fn in_fields(
        headers: &HeaderMap,
        is_allowed: impl Fn(&HeaderName) -> bool,
    ) -> Result<Self, Unsendable> {
        let mut expected = Ok(Expected::Any);
        let mut has_capsules = false;
        let mut has_priority = false;
        let mut size = 0;
        for (name, value) in headers {
            // RFC 9114 §4.2: connection-specific fields are never generated.
            if is_connection_specific(name) || !is_allowed(name) {
                return Err(Unsendable::Field(name.clone()));
            }
            if *name == header::CONTENT_LENGTH {
                expected = expected.and_then(|expected| expected.and_declared(value));
            }
            if *name == capsule::NAME {
                has_capsules = true;
            }
            if *name == priority::NAME {
                has_priority = true;
            }
            for_each_line(name, value, |name, bytes| size += line_size(name, bytes));
        }
        Ok(Self {
            expected: expected.map_err(Unsendable::Line)?,
            has_capsules,
            has_priority,
            size,
        })
    }
}

/// The lines that a field is sent in.
#[inline]
fn for_each_line<'a>(
    name: &'a HeaderName,
    value: &'a HeaderValue,
    mut visit: impl FnMut(&'a [u8], &'a [u8]),
) {
    let bytes = trim(value.as_bytes());
    match *name == header::COOKIE {
        true => Split::new(bytes).for_each(|crumb| visit(b"cookie", trim(crumb))),
        false => visit(name.as_str().as_bytes(), bytes),
    }
}

// RFC 9114 §4.2.2: names, values and 32 bytes a field.
fn line_size(name: &[u8], value: &[u8]) -> usize {
    name.len() + value.len() + FIELD_OVERHEAD
}

// RFC 9297 §3.2: a message that uses capsules has no content of another kind.
fn check_capsules(headers: &HeaderMap, status: Option<StatusCode>) -> Result<(), Unsendable> {
    capsule::check_message(headers, status).map_err(|error| Unsendable::Line(error.reason))
}

fn is_te_trailers(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::TE).iter();
    values.all(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"))
}

fn check_authority(
    scheme: &Scheme,
    authority: Option<&[u8]>,
    headers: &HeaderMap,
) -> Result<(), Unsendable> {
    let is_web = *scheme == Scheme::HTTPS || *scheme == Scheme::HTTP;
    let host = || headers.get(header::HOST).map(HeaderValue::as_bytes);
    match authority.or_else(host) {
        _ if !is_web => Ok(()),
        None | Some(b"") => Err(Unsendable::Line("the target has no authority")),
        Some(authority) if authority.contains(&b'@') => {
            Err(Unsendable::Line("the target has user information"))
        }
        Some(_) => Ok(()),
    }
}

// RFC 9114 §4.3.1: no path is "/", and for OPTIONS it is an asterisk.
fn path_of(head: &RequestHead) -> &str {
    match head.uri.path_and_query().map_or("", |path| path.as_str()) {
        "" if head.method == Method::OPTIONS => "*",
        "" => "/",
        path => path,
    }
}

// The status lives as long as the head, and its digits are static.
fn status_bytes(status: &StatusCode) -> &[u8] {
    status.as_str().as_bytes()
}

// RFC 9110 §5.5: white space around a value is not part of it.
fn trim(value: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(first) = value.iter().position(|byte| !is_blank(byte)) else {
        return b"";
    };
    let last = value
        .iter()
        .rposition(|byte| !is_blank(byte))
        .unwrap_or(first);
    &value[first..=last]
}

#[cfg(test)]
mod tests;
