//! Requests that fail before any stack is looked at, and those that just do not.

use super::*;
use crate::endpoint::EndpointError;
use crate::failure::{Failure, FailureKind};
use crate::property::{Direction, MessageProperties};
use crate::security::TlsVersion;
use crate::stack::{StackId, WireProtocol};

fn contradiction(request: PlanRequest) -> Option<(String, String)> {
    match Plan::new(request) {
        Err(PlanError::Contradiction { first, second }) => Some((first, second)),
        _ => None,
    }
}

#[test]
fn each_action_needs_its_endpoints() {
    let cases = [
        (Action::Initiate, false, false, Some(Side::Remote)),
        (Action::Initiate, true, false, Some(Side::Remote)),
        (Action::Initiate, false, true, None),
        (Action::Initiate, true, true, None),
        (Action::Listen, false, false, Some(Side::Local)),
        (Action::Listen, true, false, None),
        (Action::Listen, false, true, Some(Side::Local)),
        (Action::Listen, true, true, None),
        (Action::Rendezvous, false, false, Some(Side::Local)),
        (Action::Rendezvous, true, false, Some(Side::Remote)),
        (Action::Rendezvous, false, true, Some(Side::Local)),
        (Action::Rendezvous, true, true, None),
    ];
    for (action, has_local, has_remote, missing) in cases {
        let mut request = PlanRequest::new(action, SecurityParameters::disabled());
        request.locals.extend(has_local.then(LocalEndpoint::any));
        request
            .remotes
            .extend(has_remote.then(|| remote("192.0.2.1:1")));
        let error = Plan::new(request).err();
        let expected = missing.map(|side| PlanError::MissingEndpoint { action, side });
        assert_eq!(error, expected, "{action} {has_local} {has_remote}");
    }
}

#[test]
fn a_wrong_endpoint_is_named_with_its_side_and_place() {
    let mut request = initiate(SecurityParameters::tls());
    request.remotes.push(RemoteEndpoint::host_name("a"));
    let error = Plan::new(request).unwrap_err();
    assert!(matches!(
        &error,
        PlanError::InvalidEndpoint {
            side: Side::Remote,
            index: 1,
            source: EndpointError::NoPort,
            ..
        }
    ));
    assert_eq!(
        error.to_string(),
        "the remote endpoint a cannot be used: neither a port nor a service is given"
    );
    assert!(std::error::Error::source(&error).is_some());
    assert_eq!(error.kind(), FailureKind::InvalidRequest);

    let mut request = initiate(SecurityParameters::tls());
    request
        .locals
        .push(LocalEndpoint::any().service("nonsense"));
    let error = Plan::new(request).unwrap_err();
    assert!(matches!(
        error,
        PlanError::InvalidEndpoint {
            side: Side::Local,
            index: 0,
            ..
        }
    ));
}

#[test]
fn multicast_is_unsupported_and_not_invalid() {
    let mut request = initiate(SecurityParameters::tls());
    request.remotes = vec![RemoteEndpoint::address(ip("224.0.0.1")).port(1)];
    let error = Plan::new(request).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unsupported);
    assert_eq!(Failure::from(&error).kind, FailureKind::Unsupported);
    assert_eq!(Failure::from(&error).detail, error.to_string());
}

#[test]
fn a_listeners_remote_needs_no_port_and_a_rendezvous_remote_does() {
    let mut request = listen(SecurityParameters::disabled());
    request.remotes = vec![RemoteEndpoint::host_name("a")];
    assert!(Plan::new(request.clone()).is_ok());
    request.action = Action::Rendezvous;
    assert!(matches!(
        Plan::new(request.clone()),
        Err(PlanError::InvalidEndpoint { .. })
    ));
    request.action = Action::Listen;
    request.remotes = vec![RemoteEndpoint::host_name("a b")];
    assert!(matches!(
        Plan::new(request),
        Err(PlanError::InvalidEndpoint { .. })
    ));
}

#[test]
fn per_message_reliability_contradicts_only_prohibited_reliability() {
    use Preference::{Avoid, Prefer, Prohibit, Require};
    for (per_message, reliability, is_contradiction) in [
        (Require, Prohibit, true),
        (Require, Avoid, false),
        (Require, Require, false),
        (Prefer, Prohibit, false),
    ] {
        let mut request = initiate(SecurityParameters::disabled());
        request.properties = neutral()
            .with_preference(SelectionProperty::PerMsgReliability, per_message)
            .with_preference(SelectionProperty::Reliability, reliability);
        assert_eq!(contradiction(request).is_some(), is_contradiction);
    }
}

#[test]
fn tls_bounds_that_leave_no_version_are_a_contradiction() {
    let bounds = |min, max| {
        let tls = SecurityParameters::tls()
            .with_min_version(min)
            .with_max_version(max);
        contradiction(initiate(tls)).is_some()
    };
    assert!(bounds(TlsVersion::Tls13, TlsVersion::Tls12));
    assert!(!bounds(TlsVersion::Tls12, TlsVersion::Tls12));
    assert!(!bounds(TlsVersion::Tls12, TlsVersion::Tls13));
}

#[test]
fn a_first_message_contradicts_a_direction_that_only_receives() {
    for (direction, has_message, is_contradiction) in [
        (Direction::UnidirectionalReceive, true, true),
        (Direction::UnidirectionalReceive, false, false),
        (Direction::UnidirectionalSend, true, false),
        (Direction::Bidirectional, true, false),
    ] {
        let mut request = initiate(SecurityParameters::tls());
        request.properties = neutral().with_direction(direction);
        request.first_message = has_message.then(MessageProperties::new);
        assert_eq!(contradiction(request).is_some(), is_contradiction);
    }
}

#[test]
fn two_required_interfaces_or_types_contradict_each_other() {
    let required = |entries: &str| {
        let mut request = initiate(SecurityParameters::tls());
        request.properties.set("interface", entries).unwrap();
        contradiction(request)
    };
    assert_eq!(
        required("require:eth0,require:eth1"),
        Some((
            "interface=require:eth0".to_owned(),
            "interface=require:eth1".to_owned()
        ))
    );
    assert!(required("require:type:wifi,require:type:cellular").is_some());
    assert!(required("require:eth0,require:type:wifi").is_none());
    assert!(required("require:eth0,prefer:eth1").is_none());
    assert!(required("prefer:type:wifi,require:type:cellular").is_none());
}

#[test]
fn both_sides_must_share_an_address_family() {
    let cases: [(&[&str], &[&str], bool); 9] = [
        (&["192.0.2.7:0"], &["[2001:db8::1]:1"], true),
        (&["[2001:db8::7]:0"], &["192.0.2.1:1"], true),
        (&["192.0.2.7:0"], &["192.0.2.1:1"], false),
        (&["[2001:db8::7]:0"], &["[2001:db8::1]:1"], false),
        (&["192.0.2.7:0", "[2001:db8::7]:0"], &["192.0.2.1:1"], false),
        (&["192.0.2.7:0"], &["192.0.2.1:1", "[2001:db8::1]:1"], false),
        (&["192.0.2.7:0"], &["example.com:1"], false),
        (&["*:0"], &["[2001:db8::1]:1"], false),
        (&[], &["[2001:db8::1]:1"], false),
    ];
    for (locals, remotes, is_contradiction) in cases {
        let mut request = initiate(SecurityParameters::tls());
        request.locals = locals.iter().map(|text| local(text)).collect();
        request.remotes = remotes.iter().map(|text| remote(text)).collect();
        let found = contradiction(request).is_some();
        assert_eq!(found, is_contradiction, "{locals:?} {remotes:?}");
    }
    let mut request = listen(SecurityParameters::disabled());
    request.locals = vec![local("[2001:db8::7]:1")];
    assert!(
        Plan::new(request).is_ok(),
        "a listener needs no remote of any family"
    );
}

#[test]
fn required_temporary_addresses_contradict_ipv4_remotes() {
    use Preference::{Prefer, Prohibit, Require};
    let cases: [(Preference, &[&str], bool); 6] = [
        (Require, &["192.0.2.1:1"], true),
        (Require, &["192.0.2.1:1", "[2001:db8::1]:1"], false),
        (Require, &["[2001:db8::1]:1"], false),
        (Require, &["example.com:1"], false),
        (Prefer, &["192.0.2.1:1"], false),
        (Prohibit, &["192.0.2.1:1"], false),
    ];
    for (level, remotes, is_contradiction) in cases {
        let mut request = initiate(SecurityParameters::tls());
        request.remotes = remotes.iter().map(|text| remote(text)).collect();
        request.properties =
            neutral().with_preference(SelectionProperty::UseTemporaryLocalAddress, level);
        let found = contradiction(request).is_some();
        assert_eq!(found, is_contradiction, "{level} {remotes:?}");
    }
}

#[test]
fn an_opportunistic_listener_cannot_share_a_port_between_tls_and_cleartext() {
    let request = listen(SecurityParameters::opportunistic());
    let error = Plan::new(request.clone()).unwrap_err();
    assert_eq!(
        error,
        PlanError::PortInTwoClasses {
            endpoint: "*:443".to_owned(),
            wire: WireProtocol::Tcp,
            first: StackId::TLS,
            second: StackId::TCP,
        }
    );
    assert!(
        error
            .to_string()
            .contains("tls and tcp would share the TCP port of *:443")
    );

    let mut rendezvous = request.clone();
    rendezvous.action = Action::Rendezvous;
    rendezvous.remotes = vec![remote("example.com:443")];
    assert!(matches!(
        Plan::new(rendezvous),
        Err(PlanError::PortInTwoClasses { .. })
    ));

    let mut initiating = request.clone();
    initiating.action = Action::Initiate;
    initiating.remotes = vec![remote("example.com:443")];
    assert!(
        Plan::new(initiating).is_ok(),
        "an active open needs no port of its own"
    );

    let mut apart = request.clone();
    apart.locals = vec![
        local("*:443").for_stack(StackId::TLS),
        local("*:80").for_stack(StackId::TCP),
    ];
    assert_eq!(names(&Plan::new(apart.clone()).unwrap()), ["tls", "tcp"]);
    apart.locals.push(local("*:8443"));
    assert!(matches!(
        Plan::new(apart),
        Err(PlanError::PortInTwoClasses { .. })
    ));

    let mut wires = request;
    wires.stacks = vec![StackDescriptor::tls(), StackDescriptor::udp()];
    assert_eq!(names(&Plan::new(wires).unwrap()), ["tls", "udp"]);
}

#[test]
fn stacks_of_one_class_share_a_port() {
    let plan = Plan::new(listen(SecurityParameters::disabled())).unwrap();
    assert_eq!(names(&plan), ["tcp", "udp"]);
    let mut request = listen(SecurityParameters::disabled());
    let other = StackDescriptor::tcp().with_id(StackId::new("other"));
    request.stacks = vec![StackDescriptor::tcp(), other];
    assert_eq!(names(&Plan::new(request).unwrap()), ["tcp", "other"]);
}

#[test]
fn an_endpoint_for_one_stack_replaces_the_general_one_of_its_host() {
    let mut request = initiate(SecurityParameters::tls());
    request.remotes = vec![
        remote("example.com:443"),
        remote("example.com:8443").for_stack(StackId::QUIC),
        remote("other.example:443"),
    ];
    request.stacks = vec![StackDescriptor::tls(), StackDescriptor::quic()];
    let plan = Plan::new(request).unwrap();
    let remotes: Vec<String> = plan.remotes().iter().map(ToString::to_string).collect();
    assert_eq!(
        remotes,
        [
            "example.com:443 for tls",
            "example.com:8443 for quic",
            "other.example:443"
        ]
    );
}

#[test]
fn an_endpoint_for_one_stack_leaves_the_same_name_at_another_address_alone() {
    let mut request = initiate(SecurityParameters::tls());
    let at = |address| {
        RemoteEndpoint::address(ip(address))
            .with_host_name("example.com")
            .port(1)
    };
    request.remotes = vec![at("192.0.2.1"), at("192.0.2.2").for_stack(StackId::TLS)];
    let plan = Plan::new(request).unwrap();
    assert_eq!(plan.remotes()[0].stack(), None);
    assert_eq!(plan.remotes().len(), 2);
}
