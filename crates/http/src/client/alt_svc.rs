//! What a server says of alternative services (RFC 7838 §3), read strictly.
//!
//! Invariant: a field that does not follow the grammar from its first byte to its last yields
//! nothing at all; no length that a peer chooses is kept beyond the limits of this file.

use std::net::Ipv6Addr;
use std::time::Duration;

/// What an Alt-Svc field says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AltSvc {
    /// There are no alternatives any more.
    Clear,
    /// These, the preferred one first, and no other.
    Services(Vec<Service>),
}

/// One alternative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// The name of the protocol as ALPN has it.
    pub(super) protocol: Vec<u8>,
    /// Another host, without the brackets of an address.
    pub(super) host: Option<String>,
    pub(super) port: u16,
    pub(super) max_age: Duration,
    /// Whether it outlives a change of the network.
    pub(super) persists: bool,
}

/// Reads a field's value; several lines are joined by commas before.
pub(super) fn parse(value: &[u8]) -> Option<AltSvc> {
    if value.len() > VALUE_BYTES_MAX {
        return None;
    }
    let mut input = Input(value);
    input.skip_space();
    // RFC 7838 §3: the word stands alone and in lower case.
    if trimmed(input.0) == b"clear" {
        return Some(AltSvc::Clear);
    }
    let mut services = Vec::new();
    loop {
        input.skip_space();
        // RFC 9110 §5.6.1.2: empty members of a list are passed over.
        if !matches!(input.0.first(), None | Some(b',')) {
            let service = input.service()?;
            if services.len() < SERVICES_MAX {
                services.push(service);
            }
        }
        input.skip_space();
        match input.next() {
            None => break,
            Some(b',') => {}
            Some(_) => return None,
        }
    }
    // RFC 7838 §3: there is one member at least.
    (!services.is_empty()).then_some(AltSvc::Services(services))
}

fn trimmed(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|byte| !is_space(*byte));
    &value[..end.map_or(0, |end| end + 1)]
}

/// What is left to be read.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn skip_space(&mut self) {
        while self.0.first().is_some_and(|byte| is_space(*byte)) {
            self.next();
        }
    }

    fn token(&mut self) -> Option<Vec<u8>> {
        let end = self.0.iter().position(|byte| !is_token(*byte));
        let (token, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        (!token.is_empty()).then(|| token.to_vec())
    }

    fn quoted(&mut self) -> Option<Vec<u8>> {
        self.take(b'"')?;
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Some(text),
                b'\\' => text.push(Some(self.next()?).filter(|byte| is_text(*byte))?),
                byte if is_text(byte) => text.push(byte),
                _ => return None,
            }
        }
    }

    fn service(&mut self) -> Option<Service> {
        let protocol = protocol(&self.token()?)?;
        self.take(b'=')?;
        let (host, port) = authority(&self.quoted()?)?;
        let mut service = Service {
            protocol,
            host,
            port,
            max_age: MAX_AGE,
            persists: false,
        };
        loop {
            let before = self.0;
            self.skip_space();
            if self.0.first() != Some(&b';') {
                self.0 = before;
                return Some(service);
            }
            self.next();
            self.skip_space();
            let name = self.token()?;
            self.take(b'=')?;
            let value = match self.0.first() {
                Some(b'"') => self.quoted()?,
                _ => self.token()?,
            };
            match &name[..] {
                b"ma" => service.max_age = seconds(&value)?,
                // RFC 7838 §3.1: other values than one mean nothing.
                b"persist" => service.persists = value == b"1",
                // RFC 7838 §3: what is not known is passed over.
                _ => {}
            }
        }
    }
}

/// RFC 7838 §3: bytes that a token cannot have are escaped, and only those, in upper case, so that
/// a protocol has one spelling.
fn protocol(token: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    let mut bytes = token.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            name.push(byte);
            continue;
        }
        let byte = digit(bytes.next()?)? << 4 | digit(bytes.next()?)?;
        if is_token(byte) && byte != b'%' {
            return None;
        }
        name.push(byte);
    }
    Some(name)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn authority(text: &[u8]) -> Option<(Option<String>, u16)> {
    let text = std::str::from_utf8(text).ok()?;
    let (host, port) = text.rsplit_once(':')?;
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let port = port.parse().ok().filter(|port| *port != 0)?;
    if host.is_empty() {
        return Some((None, port));
    }
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().ok()?.to_string(),
        None => {
            let is_name_byte =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            let is_name = host.len() <= HOST_BYTES_MAX && host.bytes().all(is_name_byte);
            is_name.then(|| host.to_ascii_lowercase())?
        }
    };
    Some((Some(host), port))
}

/// RFC 9111 §1.2.2: more than can be counted is as much as can be counted.
fn seconds(value: &[u8]) -> Option<Duration> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = std::str::from_utf8(value).ok()?.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(seconds).min(MAX_AGE_MAX))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// RFC 7838 §3.1: how long an alternative is fresh unless it says so itself.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long one is kept at most, whatever it says.
const MAX_AGE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A field that is longer is not read.
const VALUE_BYTES_MAX: usize = 4096;

/// Alternatives that are taken from one field.
const SERVICES_MAX: usize = 16;

/// RFC 1035 §2.3.4.
const HOST_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests;
