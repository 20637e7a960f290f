//! Collects the fields of one section, in whatever order a peer sends them.
//!
//! Invariant: what is held never exceeds the bounds, the pseudo-header fields come first and once,
//! and no connection-specific field passes.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Expected;
use super::cookie::Crumbs;
use crate::field::{FieldName, FieldValue};
use crate::limits::Limits;

/// Why a section is not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionFault {
    /// It breaks a rule: a stream error of type H3_MESSAGE_ERROR.
    Malformed(&'static str),
    /// It is larger than we take: 431 where a response is possible, else a stream error.
    TooLarge(&'static str),
}

/// How large a section may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The sum of names, values and 32 bytes a field.
    pub bytes: usize,
    /// The number of fields.
    pub fields: usize,
}

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Self {
        Self {
            bytes: limits.field_section_bytes,
            fields: limits.fields,
        }
    }
}

/// The most fields that room is made for before they come.
const LIKELY_FIELDS_MAX: usize = 64;

/// What RFC 9114 §4.2.2 adds to the size of every field.
pub(super) const FIELD_OVERHEAD: usize = 32;

/// A field section that is being received.
#[derive(Debug)]
pub struct Section {
    pub(super) pseudo: Pseudo,
    pub(super) headers: HeaderMap,
    crumbs: Crumbs,
    bytes_left: usize,
    fields_left: usize,
    /// How many fields to make room for at once, if that is known and was not done.
    likely_fields: Option<usize>,
    has_regular: bool,
    pub(super) has_te: bool,
    declared: Result<Expected, &'static str>,
    fault: Option<SectionFault>,
}

/// The pseudo-header fields that were there.
#[derive(Debug, Default)]
pub(super) struct Pseudo {
    pub(super) method: Option<Bytes>,
    pub(super) scheme: Option<Bytes>,
    pub(super) authority: Option<Bytes>,
    pub(super) path: Option<Bytes>,
    pub(super) status: Option<Bytes>,
    pub(super) protocol: Option<Bytes>,
}

impl Section {
    /// An empty section.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            pseudo: Pseudo::default(),
            headers: HeaderMap::new(),
            crumbs: Crumbs::None,
            bytes_left: bounds.bytes,
            fields_left: bounds.fields,
            likely_fields: None,
            has_regular: false,
            has_te: false,
            declared: Ok(Expected::Any),
            fault: None,
        }
    }

    /// The same section, with room for as many fields as sections before it had. It is only a
    /// hint, and is taken up by the first field.
    pub(crate) fn with_likely_fields(mut self, fields: usize) -> Self {
        self.likely_fields = Some(fields.min(LIKELY_FIELDS_MAX));
        self
    }

    /// How many fields it has, those in front not counted.
    pub(crate) fn fields(&self) -> usize {
        self.headers.len()
    }

    /// Takes the next field. A value that was never indexed is sensitive, and stays so when it is
    /// forwarded.
    ///
    /// # Errors
    /// The first rule that is broken or bound that is exceeded; later fields get the same answer.
    pub fn push(&mut self, name: FieldName, value: FieldValue) -> Result<(), SectionFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let pushed = self
            .count(name.as_bytes().len() + value.as_bytes().len())
            .and_then(|()| self.check_and_keep(name, value));
        self.fault = pushed.err();
        pushed
    }

    /// The same for a field that a table keeps.
    #[inline]
    pub(crate) fn push_kept(
        &mut self,
        name: &FieldName,
        value: &FieldValue,
    ) -> Result<(), SectionFault> {
        let FieldValue::Pseudo(bytes) = value else {
            return self.push(name.clone(), value.clone());
        };
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let pushed = self
            .count(name.as_bytes().len() + bytes.len())
            .and_then(|()| check_blanks(bytes))
            .and_then(|()| self.keep_pseudo(name, bytes.clone()));
        self.fault = pushed.err();
        pushed
    }

    /// The first fault, so that a section that was read to its end is not mistaken for a good one.
    pub fn fault(&self) -> Option<SectionFault> {
        self.fault
    }

    /// What the header fields declare of the content.
    ///
    /// # Errors
    /// As [`Expected::declared`].
    pub(crate) fn declared(&self) -> Result<Expected, &'static str> {
        self.declared
    }

    /// Gives the header fields, the cookie among them.
    pub(super) fn complete(&mut self) -> Result<(), SectionFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if let Some(cookie) = std::mem::take(&mut self.crumbs).join() {
            self.append(header::COOKIE, cookie)?;
        }
        Ok(())
    }

    // RFC 9114 §4.2.2: the size is that of the uncompressed names and values plus 32 a field.
    #[inline]
    fn count(&mut self, len: usize) -> Result<(), SectionFault> {
        match self
            .bytes_left
            .checked_sub(len.saturating_add(FIELD_OVERHEAD))
        {
            Some(left) => self.bytes_left = left,
            None => {
                return Err(SectionFault::TooLarge(
                    "a field section above the size limit",
                ));
            }
        }
        match self.fields_left.checked_sub(1) {
            Some(left) => self.fields_left = left,
            None => return Err(SectionFault::TooLarge("too many fields in a section")),
        }
        Ok(())
    }

    fn check_and_keep(&mut self, name: FieldName, value: FieldValue) -> Result<(), SectionFault> {
        // RFC 9114 §10.3: names and values with characters that HTTP does not allow are malformed.
        if let FieldValue::Malformed(_) = value {
            return Err(malformed("a character that no field value may have"));
        }
        check_blanks(value.as_bytes())?;
        match (name, value) {
            (FieldName::Header(name), FieldValue::Valid(value)) => self.keep_regular(name, value),
            // RFC 9114 §4.2, §4.3: upper-case letters, unknown pseudo-header fields.
            (FieldName::Malformed(_) | FieldName::Header(_), _) => {
                Err(malformed("a name that no field may have"))
            }
            (pseudo, FieldValue::Pseudo(value)) => self.keep_pseudo(&pseudo, value),
            (pseudo, value) => self.keep_pseudo(&pseudo, Bytes::copy_from_slice(value.as_bytes())),
        }
    }

    #[inline]
    fn keep_pseudo(&mut self, name: &FieldName, value: Bytes) -> Result<(), SectionFault> {
        // RFC 9114 §4.3: pseudo-header fields come before the others.
        if self.has_regular {
            return Err(malformed("a pseudo-header field after others"));
        }
        let slot = match name {
            FieldName::Method => &mut self.pseudo.method,
            FieldName::Scheme => &mut self.pseudo.scheme,
            FieldName::Authority => &mut self.pseudo.authority,
            FieldName::Path => &mut self.pseudo.path,
            FieldName::Status => &mut self.pseudo.status,
            FieldName::Protocol => &mut self.pseudo.protocol,
            _ => return Err(malformed("an unknown pseudo-header field")),
        };
        // RFC 9114 §4.3.1: exactly one value for each.
        if slot.replace(value).is_some() {
            return Err(malformed("a pseudo-header field occurs twice"));
        }
        Ok(())
    }

    fn keep_regular(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), SectionFault> {
        self.has_regular = true;
        if is_connection_specific(&name) {
            return Err(malformed("a connection-specific field"));
        }
        // RFC 9114 §4.2: TE may say "trailers" and nothing else.
        if name == header::TE {
            self.has_te = true;
            if !value.as_bytes().eq_ignore_ascii_case(b"trailers") {
                return Err(malformed("te with a value other than trailers"));
            }
        }
        if name == header::CONTENT_LENGTH {
            self.declared = self.declared.and_then(|it| it.and_declared(&value));
        }
        if name == header::COOKIE {
            self.crumbs.push(value);
            return Ok(());
        }
        self.append(name, value)
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), SectionFault> {
        if let Some(likely) = self.likely_fields.take() {
            // Without room the map grows step by step.
            let _ = self.headers.try_reserve(likely);
        }
        // The map refuses more than 24,576 names, whatever the limits allow.
        self.headers
            .try_append(name, value)
            .map(|_| ())
            .map_err(|_| SectionFault::TooLarge("too many fields in a section"))
    }
}

// RFC 9110 §5.5: white space around a value is not part of it, so that it cannot be here.
#[inline]
fn check_blanks(value: &[u8]) -> Result<(), SectionFault> {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    match is_blank(value.first()) || is_blank(value.last()) {
        true => Err(malformed("white space around a field value")),
        false => Ok(()),
    }
}

/// Whether a field belongs to one connection of HTTP/1.1 and has no place in HTTP/3: a message with
/// one is malformed.
// RFC 9114 §4.2, §4.1: connection-specific fields and Transfer-Encoding make a message malformed.
#[inline]
pub fn is_connection_specific(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
}

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

pub(super) const fn malformed(reason: &'static str) -> SectionFault {
    SectionFault::Malformed(reason)
}
