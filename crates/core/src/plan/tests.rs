//! What plans decide, by table where a rule has many cases.

mod check;
mod display;
mod paths;
mod stacks;

use super::*;
use crate::path::{InterfaceKind, LocalAddress, PathId};
use crate::property::{Preference, Property, SelectionProperty, TransportProperties};
use crate::security::{Identity, SecurityParameters};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::IpAddr;

/// Properties that prefer and exclude nothing.
fn neutral() -> TransportProperties {
    let mut properties = TransportProperties::new();
    for &property in SelectionProperty::ALL {
        properties = properties.no_preference(property);
    }
    properties.set("multipath", "disabled").unwrap();
    properties.set("safelyReplayable", true).unwrap();
    properties
}

fn all_stacks() -> Vec<StackDescriptor> {
    vec![
        StackDescriptor::tcp(),
        StackDescriptor::tls(),
        StackDescriptor::udp(),
        StackDescriptor::quic(),
        StackDescriptor::quic_datagram(),
    ]
}

/// A request to a named host over any of the five stacks, without wishes.
fn initiate(security: SecurityParameters) -> PlanRequest {
    let mut request = PlanRequest::new(Action::Initiate, with_protocol(security));
    request.remotes = vec![remote("example.com:443")];
    request.properties = neutral();
    request.stacks = all_stacks();
    request
}

/// A request to listen everywhere with a certificate over the built-in stacks, without wishes.
fn listen(security: SecurityParameters) -> PlanRequest {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(vec![2]));
    let identity = Identity::new(vec![CertificateDer::from(vec![1])], key);
    let mut request = PlanRequest::new(Action::Listen, security.with_identity(identity));
    request.locals = vec![local("*:443")];
    request.properties = neutral();
    request
}

/// Names an application protocol where none is, so that QUIC can be used.
fn with_protocol(security: SecurityParameters) -> SecurityParameters {
    match security.tls_parameters() {
        Some(tls) if tls.alpn.is_empty() => security.with_alpn(["portway"]),
        _ => security,
    }
}

fn remote(text: &str) -> RemoteEndpoint {
    text.parse().unwrap()
}

fn local(text: &str) -> LocalEndpoint {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn address(text: &str) -> LocalAddress {
    LocalAddress {
        address: ip(text),
        prefix_len: 64,
        is_temporary: false,
        is_deprecated: false,
    }
}

fn temporary(text: &str) -> LocalAddress {
    LocalAddress {
        is_temporary: true,
        ..address(text)
    }
}

fn path(id: u32, interface: &str, kind: InterfaceKind) -> Path {
    Path {
        id: PathId(id),
        interface: interface.to_owned(),
        kind,
        addresses: vec![address("192.0.2.7"), address("2001:db8::7")],
        has_ipv4_default: true,
        has_ipv6_default: true,
        mtu: 1500,
        is_metered: None,
    }
}

/// The names of the eligible stacks with their ranks, in the order of the candidates.
fn ranked(plan: &Plan) -> Vec<(String, u32)> {
    plan.candidates()
        .iter()
        .map(|candidate| (candidate.stack.to_string(), candidate.rank))
        .collect()
}

fn names(plan: &Plan) -> Vec<String> {
    ranked(plan).into_iter().map(|(name, _)| name).collect()
}

fn interfaces(plan: &Plan) -> Vec<&str> {
    plan.paths()
        .iter()
        .map(|path| path.interface.as_str())
        .collect()
}

/// The verdicts, whether or not a stack is left.
fn verdicts(request: PlanRequest) -> Vec<StackVerdict> {
    match Plan::new(request) {
        Ok(plan) => plan.stacks().to_vec(),
        Err(PlanError::NoStack { verdicts }) => verdicts,
        Err(other) => panic!("{other}"),
    }
}

fn exclusions_of(request: PlanRequest, stack: &str) -> Vec<Reason> {
    let verdicts = verdicts(request);
    let verdict = verdicts.iter().find(|v| v.stack.as_str() == stack);
    verdict.expect("the stack was offered").exclusions.clone()
}
