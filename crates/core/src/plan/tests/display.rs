//! What people and programs read of a plan.

use super::*;

#[test]
fn a_plan_is_printed_as_a_tree_with_reasons() {
    let mut request = PlanRequest::new(Action::Initiate, SecurityParameters::tls());
    request.remotes = vec![remote("example.com:443"), remote("192.0.2.1:443")];
    request.locals = vec![local("*:0")];
    request.paths = vec![
        path(1, "lte0", InterfaceKind::Cellular),
        path(2, "eth0", InterfaceKind::Ethernet),
    ];
    request.properties = TransportProperties::new()
        .with_interface(Preference::Prohibit, InterfaceKind::Cellular)
        .prefer(SelectionProperty::KeepAlive)
        .avoid(SelectionProperty::Reliability);
    let text = Plan::new(request).unwrap().to_string();
    let expected = "\
initiate from *:0 to example.com:443, 192.0.2.1:443
├─ security: TLS 1.2 or later, platform roots, peer example.com or 192.0.2.1
├─ paths, the preferred one first
│  ├─ 1. eth0
│  └─ out: lte0: interface type:cellular is prohibited
└─ protocols, the preferred one first
   ├─ 1. tls; reliability is avoided, but lost bytes are sent again until they are acknowledged; \
multistreaming is preferred by default, but each connection has a transport connection of its \
own; keepAlive is preferred, and the transport can send keep-alive probes
   ├─ out: quic: it needs an application protocol (ALPN), and none is named
   ├─ out: tcp: security is required, but it sends cleartext
   ├─ out: quic-datagram: it needs an application protocol (ALPN), and none is named; \
preserveOrder is required, but datagrams can overtake one another
   └─ out: udp: security is required, but it sends cleartext; it can deliver a message twice, and \
messages are not marked safelyReplayable; preserveOrder is required, but datagrams can overtake \
one another; congestionControl is required, but nothing limits the rate but the application";
    assert_eq!(text, expected);
}

#[test]
fn a_plan_without_wishes_is_printed_without_them() {
    let mut request = initiate(SecurityParameters::opportunistic());
    request.stacks = StackDescriptor::builtin();
    let text = Plan::new(request.clone()).unwrap().to_string();
    let expected = "\
initiate to example.com:443
├─ security: TLS 1.2 or later, any peer
├─ security: cleartext
├─ paths: none is known yet
└─ protocols, the preferred one first
   ├─ 1. quic
   ├─ 1. tls
   ├─ 1. quic-datagram
   ├─ 2. tcp
   └─ 2. udp";
    assert_eq!(text, expected);
    request.paths = vec![path(1, "eth0", InterfaceKind::Ethernet)];
    let text = Plan::new(request).unwrap().to_string();
    assert!(
        text.contains("├─ paths, of which the system's routing chooses\n│  └─ 1. eth0"),
        "{text}"
    );
}

#[test]
fn a_plan_is_serialised_with_machine_readable_reasons() {
    let mut request = initiate(SecurityParameters::tls());
    request.stacks = vec![StackDescriptor::tls(), StackDescriptor::tcp()];
    request.properties = neutral().require(SelectionProperty::Reliability);
    request.paths = vec![path(1, "eth0", InterfaceKind::Ethernet)];
    let json = serde_json::to_value(Plan::new(request).unwrap()).unwrap();
    assert_eq!(json["action"], "initiate");
    assert_eq!(json["remotes"][0], "example.com:443");
    assert_eq!(json["stacks"][0]["rank"], 0);
    assert_eq!(json["stacks"][1]["exclusions"][0]["kind"], "no-protection");
    assert_eq!(json["path_verdicts"][0]["interface"], "eth0");
    assert_eq!(json["pins_paths"], false);
}

#[test]
fn every_reason_reads_as_a_clause() {
    let selector = || "eth0".to_owned();
    let property = SelectionProperty::Reliability;
    let why = || "it loses data".into();
    for (reason, text) in [
        (
            Reason::Required {
                property,
                why: why(),
            },
            "reliability is required, but it loses data",
        ),
        (
            Reason::Prohibited {
                property,
                why: why(),
            },
            "reliability is prohibited, but it loses data",
        ),
        (
            Reason::ProtectionDisabled,
            "security is disabled, but it is always encrypted",
        ),
        (
            Reason::TlsAlgorithms,
            "the groups, cipher suites or signature algorithms that are allowed are of no TLS \
             version that it speaks",
        ),
        (
            Reason::NoApplicationProtocol,
            "it needs an application protocol (ALPN), and none is named",
        ),
        (
            Reason::ApplicationProtocols,
            "none of the application protocols that are named runs over it",
        ),
        (
            Reason::NoIdentity,
            "a listener with TLS needs a certificate, and none is given",
        ),
        (
            Reason::NoEndpoint { side: Side::Local },
            "every local endpoint is for other stacks",
        ),
        (
            Reason::NoEndpoint { side: Side::Remote },
            "every remote endpoint is for other stacks",
        ),
        (
            Reason::InterfaceProhibited {
                selector: selector(),
            },
            "interface eth0 is prohibited",
        ),
        (
            Reason::InterfaceRequired {
                selector: selector(),
            },
            "interface eth0 is required",
        ),
        (
            Reason::PvdRequired {
                selector: selector(),
            },
            "pvd eth0 is required, but the system tells no provisioning domains",
        ),
        (
            Reason::NotAtLocalEndpoint,
            "no local endpoint has its interface or one of its addresses",
        ),
    ] {
        assert_eq!(reason.to_string(), text);
    }
}

#[test]
fn a_missing_endpoint_is_named_with_its_action() {
    let error = PlanError::MissingEndpoint {
        action: Action::Listen,
        side: Side::Local,
    };
    assert_eq!(error.to_string(), "listen needs a local endpoint");
    let error = PlanError::Contradiction {
        first: "a".to_owned(),
        second: "b".to_owned(),
    };
    assert_eq!(error.to_string(), "a contradicts b");
    assert!(std::error::Error::source(&error).is_none());
}
