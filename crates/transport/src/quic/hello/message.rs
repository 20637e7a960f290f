//! The client hello of TLS 1.3 (RFC 8446 §4.1.2).
//!
//! Invariant: every length is checked against what is there, and nothing may follow.

use super::initial::Fields;
use super::{ClientHello, HelloError};
use rustls_pki_types::DnsName;

/// Parses the body of the message.
pub(super) fn parse(body: &[u8]) -> Result<ClientHello, HelloError> {
    let mut hello = ClientHello::default();
    let mut fields = Fields(body);
    let extensions = read_to_extensions(&mut fields, &mut hello).ok_or(CUT)?;
    if !fields.0.is_empty() {
        return Err(HelloError::Malformed("something follows its extensions"));
    }
    let mut seen = Vec::new();
    let mut fields = Fields(extensions);
    while !fields.0.is_empty() {
        let (kind, data) = extension(&mut fields).ok_or(CUT)?;
        // RFC 8446 §4.2: one of each kind.
        if seen.contains(&kind) {
            return Err(HelloError::Malformed("an extension comes twice"));
        }
        // As many kinds as this do not exist; the search above shall stay short.
        if seen.len() == EXTENSIONS_MAX {
            return Err(HelloError::TooLong("too many extensions"));
        }
        seen.push(kind);
        on_extension(kind, data, &mut hello)?;
    }
    Ok(hello)
}

/// Everything before the extensions; gives these.
fn read_to_extensions<'a>(fields: &mut Fields<'a>, hello: &mut ClientHello) -> Option<&'a [u8]> {
    // The legacy version and the random bytes.
    fields.take(2 + 32)?;
    fields.short_list()?;
    hello.cipher_suites = pairs(fields.long_list()?)?;
    fields.short_list()?;
    fields.long_list()
}

fn extension<'a>(fields: &mut Fields<'a>) -> Option<(u16, &'a [u8])> {
    Some((fields.pair()?, fields.long_list()?))
}

fn on_extension(kind: u16, data: &[u8], hello: &mut ClientHello) -> Result<(), HelloError> {
    match kind {
        SERVER_NAME => hello.server_name = server_name(data)?,
        ALPN => {
            let malformed = HelloError::Malformed("its application protocols");
            hello.alpn = protocols(data).ok_or(malformed)?;
        }
        SUPPORTED_VERSIONS => {
            let mut fields = Fields(data);
            let versions = fields.short_list().filter(|_| fields.0.is_empty());
            let malformed = HelloError::Malformed("its versions");
            hello.versions = versions.and_then(pairs).ok_or(malformed)?;
        }
        TRANSPORT_PARAMETERS => hello.has_transport_parameters = true,
        PRE_SHARED_KEY => hello.offers_session = true,
        EARLY_DATA => hello.offers_early_data = true,
        _ => {}
    }
    Ok(())
}

/// RFC 6066 §3: a list that in practice has one entry, which is a DNS name.
fn server_name(data: &[u8]) -> Result<Option<String>, HelloError> {
    let malformed = HelloError::Malformed("its server name");
    let mut fields = Fields(data);
    let list = fields.long_list().filter(|_| fields.0.is_empty());
    let mut fields = Fields(list.ok_or(malformed)?);
    let mut found = None;
    while !fields.0.is_empty() {
        let kind = fields.byte().ok_or(malformed)?;
        let name = fields.long_list().ok_or(malformed)?;
        if kind != HOST_NAME {
            continue;
        }
        if found.is_some() {
            return Err(malformed);
        }
        let name = std::str::from_utf8(name).map_err(|_| malformed)?;
        let name = DnsName::try_from(name).map_err(|_| malformed)?;
        found = Some(name.as_ref().to_ascii_lowercase());
    }
    Ok(found)
}

/// RFC 7301 §3.1: a list of names that are not empty.
fn protocols(data: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut fields = Fields(data);
    let list = fields.long_list().filter(|_| fields.0.is_empty())?;
    let mut fields = Fields(list);
    let mut protocols = Vec::new();
    while !fields.0.is_empty() {
        let name = fields.short_list().filter(|name| !name.is_empty())?;
        protocols.push(name.to_vec());
    }
    (!protocols.is_empty()).then_some(protocols)
}

fn pairs(bytes: &[u8]) -> Option<Vec<u16>> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
}

impl<'a> Fields<'a> {
    fn pair(&mut self) -> Option<u16> {
        let bytes = self.take(2)?.try_into().ok()?;
        Some(u16::from_be_bytes(bytes))
    }

    /// Bytes behind a length of one byte.
    fn short_list(&mut self) -> Option<&'a [u8]> {
        let len = self.byte()?;
        self.take(len.into())
    }

    /// Bytes behind a length of two bytes.
    fn long_list(&mut self) -> Option<&'a [u8]> {
        let len = self.pair()?;
        self.take(len.into())
    }
}

const CUT: HelloError = HelloError::Malformed("it is cut");
const EXTENSIONS_MAX: usize = 128;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;
/// RFC 9001 §8.2.
const TRANSPORT_PARAMETERS: u16 = 0x39;
const HOST_NAME: u8 = 0;
