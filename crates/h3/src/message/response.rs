//! Response header sections: :status.
//!
//! Invariant: the status code has three digits and is not 101, which HTTP/3 does not have.

use http::StatusCode;

use super::ResponseHead;
use super::section::{Section, SectionFault, malformed};

impl Section {
    /// The response, interim or final, that these fields make.
    ///
    /// # Errors
    /// The first rule that is broken or bound that is exceeded.
    pub fn into_response(mut self) -> Result<ResponseHead, SectionFault> {
        self.take_response()
    }

    /// The same, leaving an empty section.
    pub(crate) fn take_response(&mut self) -> Result<ResponseHead, SectionFault> {
        self.complete()?;
        let pseudo = &self.pseudo;
        // RFC 9114 §4.3: pseudo-header fields of requests have no place in a response.
        let of_requests = [
            &pseudo.method,
            &pseudo.scheme,
            &pseudo.authority,
            &pseudo.path,
            &pseudo.protocol,
        ];
        if of_requests.iter().any(|field| field.is_some()) {
            return Err(malformed("a pseudo-header field of requests in a response"));
        }
        // RFC 9114 §4.3.2: every response has :status.
        let status = pseudo.status.as_ref().ok_or(malformed("no :status"))?;
        let status = StatusCode::from_bytes(status)
            .map_err(|_| malformed("a :status that is not a status code"))?;
        // RFC 9114 §4.5: there is no 101 here.
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(malformed("101 in HTTP/3"));
        }
        // RFC 9114 §4.2: TE is a field of requests.
        if self.has_te {
            return Err(malformed("te in a response"));
        }
        Ok(ResponseHead {
            status,
            headers: std::mem::take(&mut self.headers),
        })
    }
}
