//! Trailer sections: fields only.
//!
//! Invariant: no pseudo-header field, and nothing that says where a message ends or where it goes.

use http::{HeaderMap, HeaderName, header};

use super::section::{Section, SectionFault, malformed};

impl Section {
    /// The trailers that these fields make.
    ///
    /// # Errors
    /// The first rule that is broken or bound that is exceeded.
    pub fn into_trailers(mut self) -> Result<HeaderMap, SectionFault> {
        self.take_trailers()
    }

    /// The same, leaving an empty section.
    pub(crate) fn take_trailers(&mut self) -> Result<HeaderMap, SectionFault> {
        self.complete()?;
        let pseudo = &self.pseudo;
        let any = [
            &pseudo.method,
            &pseudo.scheme,
            &pseudo.authority,
            &pseudo.path,
            &pseudo.status,
            &pseudo.protocol,
        ];
        // RFC 9114 §4.3: trailers have no pseudo-header fields.
        if any.iter().any(|field| field.is_some()) {
            return Err(malformed("a pseudo-header field in trailers"));
        }
        if self.headers.keys().any(|name| !may_be_a_trailer(name)) {
            return Err(malformed("a field that no trailer section may have"));
        }
        Ok(std::mem::take(&mut self.headers))
    }
}

/// Whether a field may come after the content.
// RFC 9110 §6.5.1: fields for framing and routing are not allowed in trailers.
pub(super) fn may_be_a_trailer(name: &HeaderName) -> bool {
    *name != header::CONTENT_LENGTH && *name != header::HOST && *name != header::TE
}
