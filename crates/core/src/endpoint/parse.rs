//! Endpoints from text: `host:port`, `address:port`, `[address%zone]:port`.

use super::{EndpointError, LocalEndpoint, RemoteEndpoint, service};
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Reads an address in text form, in brackets or not, with its zone if it has one.
pub(super) fn address_literal(text: &str) -> Option<(IpAddr, Option<&str>)> {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if inner.is_none()
        && let Ok(address) = text.parse::<IpAddr>()
    {
        return Some((address, None));
    }
    let inner = inner.unwrap_or(text);
    let (address, zone) = match inner.split_once('%') {
        Some((_, "")) => return None,
        Some((address, zone)) => (address, Some(zone)),
        None => (inner, None),
    };
    let address: Ipv6Addr = address.parse().ok()?;
    Some((address.into(), zone))
}

impl FromStr for RemoteEndpoint {
    type Err = EndpointError;

    /// Reads `host:port`; a service name may stand for the port.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (host, port) = split(text)?;
        let endpoint = RemoteEndpoint::host_name(host);
        let endpoint = match port.parse::<u16>() {
            Ok(port) => endpoint.port(port),
            Err(_) => endpoint.service(named_service(text, port)?),
        };
        endpoint.validate()?;
        Ok(endpoint)
    }
}

impl FromStr for LocalEndpoint {
    type Err = EndpointError;

    /// Reads `address:port`; `*` stands for any address, `*%eth0` for any of an interface.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (host, port) = split(text)?;
        let mut endpoint = match (host.strip_prefix('*'), address_literal(host)) {
            (Some(""), _) => LocalEndpoint::any(),
            (Some(rest), _) => match rest.strip_prefix('%') {
                Some(zone) if !zone.is_empty() => LocalEndpoint::any().interface(zone),
                _ => return Err(unreadable(text, "only % and an interface may follow *")),
            },
            (None, Some((address, zone))) => LocalEndpoint {
                interface: zone.map(str::to_owned),
                ..LocalEndpoint::address(address)
            },
            (None, None) => {
                return Err(unreadable(text, "this side is an address or *, not a name"));
            }
        };
        endpoint = match port.parse::<u16>() {
            Ok(port) => endpoint.port(port),
            Err(_) => endpoint.service(named_service(text, port)?),
        };
        endpoint.validate()?;
        Ok(endpoint)
    }
}

/// Splits at the last colon, which must not be one of an IPv6 address.
fn split(text: &str) -> Result<(&str, &str), EndpointError> {
    let (host, port) = text
        .rsplit_once(':')
        .ok_or_else(|| unreadable(text, "there is no port"))?;
    if host.is_empty() {
        return Err(unreadable(text, "there is no host"));
    }
    if host.contains(':') && !host.starts_with('[') {
        return Err(unreadable(text, "an IPv6 address needs brackets"));
    }
    if host.starts_with('[') && address_literal(host).is_none() {
        return Err(unreadable(text, "there is no IPv6 address in the brackets"));
    }
    Ok((host, port))
}

fn named_service<'a>(text: &str, port: &'a str) -> Result<&'a str, EndpointError> {
    if port.is_empty() {
        return Err(unreadable(text, "there is no port"));
    }
    if port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unreadable(text, "the port is above 65535"));
    }
    service::check(Some(port)).map(|()| port)
}

fn unreadable(text: &str, problem: &'static str) -> EndpointError {
    EndpointError::Unreadable {
        text: text.to_owned(),
        problem,
    }
}
