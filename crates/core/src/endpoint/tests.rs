//! What endpoints accept, refuse and print.

use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn problem_of(name: &str) -> Option<&'static str> {
    match RemoteEndpoint::host_name(name).port(1).validate() {
        Err(EndpointError::InvalidName { problem, .. }) => Some(problem),
        Err(other) => panic!("{name}: {other}"),
        Ok(()) => None,
    }
}

#[test]
fn host_names_of_the_allowed_form_are_accepted() {
    let label = "a".repeat(63);
    let longest = [label.as_str(), &label, &label, &"b".repeat(61)].join(".");
    assert_eq!(longest.len(), 253);
    for name in [
        "example.com",
        "example.com.",
        "localhost",
        "a-b.c",
        "_x.y",
        "1.example",
        "xn--e1a.de",
    ] {
        assert_eq!(problem_of(name), None, "{name}");
    }
    assert_eq!(problem_of(&longest), None);
    assert_eq!(problem_of(&format!("{longest}.")), None);
    assert!(problem_of(&format!("{longest}b")).unwrap().contains("253"));
}

#[test]
fn host_names_of_another_form_are_refused_with_the_reason() {
    let long = "a".repeat(64);
    for (name, word) in [
        ("", "empty"),
        (".", "empty"),
        ("a..b", "empty label"),
        (long.as_str(), "63"),
        ("-a.example", "hyphen"),
        ("a-.example", "hyphen"),
        ("a b", "allowed"),
        ("a/b", "allowed"),
        ("café.example", "ASCII"),
        ("1.2.3", "IPv4"),
        ("256.1.1.1", "IPv4"),
    ] {
        let problem = problem_of(name).unwrap_or_else(|| panic!("{name:?} was accepted"));
        assert!(problem.contains(word), "{name:?}: {problem}");
    }
}

#[test]
fn a_name_that_is_an_address_is_an_address() {
    let remote = RemoteEndpoint::host_name("192.0.2.1");
    assert_eq!(
        (remote.ip_address(), remote.host()),
        (Some(Ipv4Addr::new(192, 0, 2, 1).into()), None)
    );
    for text in ["fe80::1%eth0", "[fe80::1%eth0]"] {
        let remote = RemoteEndpoint::host_name(text);
        assert_eq!(remote.ip_address(), Some("fe80::1".parse().unwrap()));
        assert_eq!(remote.interface_name(), Some("eth0"));
    }
    assert_eq!(
        RemoteEndpoint::host_name("[::1]").ip_address(),
        Some(Ipv6Addr::LOCALHOST.into())
    );
    assert_eq!(RemoteEndpoint::host_name("fe80::1%").ip_address(), None);
    assert_eq!(RemoteEndpoint::host_name("[192.0.2.1]").ip_address(), None);
}

#[test]
fn a_second_value_replaces_the_first() {
    let remote = RemoteEndpoint::host_name("a.example")
        .with_host_name("b.example")
        .port(1)
        .port(2)
        .service("http")
        .service("https")
        .interface("eth0")
        .interface("eth1");
    assert_eq!(remote.host(), Some("b.example"));
    assert_eq!(remote.resolved_port(), Some(2));
    assert_eq!(remote.service_name(), Some("https"));
    assert_eq!(remote.interface_name(), Some("eth1"));
    let local = LocalEndpoint::any()
        .port(1)
        .port(2)
        .interface("eth0")
        .interface("eth1");
    assert_eq!(
        (local.resolved_port(), local.interface_name()),
        (Some(2), Some("eth1"))
    );
}

#[test]
fn a_port_wins_over_the_service_and_the_service_gives_its_port() {
    let remote = RemoteEndpoint::host_name("a.example");
    assert_eq!(remote.resolved_port(), None);
    for (service, port) in [
        ("https", 443),
        ("HTTP", 80),
        ("smtp", 25),
        ("imap", 143),
        ("imaps", 993),
        ("ldap", 389),
        ("postgresql", 5432),
        ("xmpp-client", 5222),
        ("domain", 53),
        ("ssh", 22),
    ] {
        assert_eq!(remote.clone().service(service).resolved_port(), Some(port));
        assert_eq!(
            LocalEndpoint::any().service(service).resolved_port(),
            Some(port)
        );
    }
    assert_eq!(
        remote.service("https").port(8443).resolved_port(),
        Some(8443)
    );
}

#[test]
fn an_srv_name_needs_no_port_but_a_host() {
    let remote = RemoteEndpoint::host_name("example.com").service("_xmpp-client._tcp");
    assert_eq!(remote.validate(), Ok(()));
    assert_eq!(remote.resolved_port(), None);
    assert_eq!(
        remote.srv_name().as_deref(),
        Some("_xmpp-client._tcp.example.com")
    );
    assert_eq!(
        RemoteEndpoint::host_name("example.com")
            .service("https")
            .srv_name(),
        None
    );
    let address = RemoteEndpoint::address(Ipv4Addr::LOCALHOST).service("_x._udp");
    assert_eq!(address.validate(), Err(EndpointError::NoPort));
    assert_eq!(address.srv_name(), None);
    for service in [
        "_x._sctp",
        "x._tcp",
        "_._tcp",
        "_x",
        "_a b._tcp",
        "nonsense",
        "",
    ] {
        let remote = RemoteEndpoint::host_name("example.com")
            .service(service)
            .port(1);
        let error = remote.validate().unwrap_err();
        assert_eq!(
            error,
            EndpointError::UnknownService {
                service: service.to_owned()
            }
        );
    }
    let local = LocalEndpoint::any().service("_x._tcp");
    assert!(matches!(
        local.validate(),
        Err(EndpointError::UnknownService { .. })
    ));
    assert_eq!(local.port(1).validate(), Ok(()));
}

#[test]
fn remotes_that_nobody_can_connect_to_are_refused() {
    let remote =
        |address: &str| RemoteEndpoint::address(address.parse::<IpAddr>().unwrap()).port(1);
    assert_eq!(
        RemoteEndpoint::default().validate(),
        Err(EndpointError::NoHost)
    );
    assert_eq!(
        RemoteEndpoint::host_name("a").validate(),
        Err(EndpointError::NoPort)
    );
    assert_eq!(
        RemoteEndpoint::host_name("a").port(0).validate(),
        Err(EndpointError::PortZero)
    );
    assert!(matches!(
        remote("0.0.0.0").validate(),
        Err(EndpointError::Unspecified { .. })
    ));
    assert!(matches!(
        remote("224.0.0.1").validate(),
        Err(EndpointError::Multicast { .. })
    ));
    assert!(matches!(
        remote("ff02::1").validate(),
        Err(EndpointError::Multicast { .. })
    ));
    assert!(matches!(
        remote("fe80::1").validate(),
        Err(EndpointError::NoScopeZone { .. })
    ));
    assert_eq!(remote("fe80::1").interface("eth0").validate(), Ok(()));
    assert_eq!(remote("2001:db8::1").validate(), Ok(()));
    let named = remote("192.0.2.1").with_host_name("a b");
    assert!(matches!(
        named.validate(),
        Err(EndpointError::InvalidName { .. })
    ));
    let group = LocalEndpoint::address(Ipv4Addr::new(224, 0, 0, 1));
    assert!(matches!(
        group.validate(),
        Err(EndpointError::Multicast { .. })
    ));
    assert_eq!(
        LocalEndpoint::address(Ipv4Addr::UNSPECIFIED).validate(),
        Ok(())
    );
}

#[test]
fn remotes_are_read_from_text_and_printed_back() {
    for (text, printed) in [
        ("example.com:443", "example.com:443"),
        ("example.com:https", "example.com:https"),
        ("192.0.2.1:80", "192.0.2.1:80"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ("[fe80::1%eth0]:80", "[fe80::1%eth0]:80"),
        ("example.com:_x._tcp", "example.com:_x._tcp"),
    ] {
        assert_eq!(text.parse::<RemoteEndpoint>().unwrap().to_string(), printed);
    }
    let quic = RemoteEndpoint::host_name("a.example")
        .port(8443)
        .for_stack(StackId::QUIC);
    assert_eq!(quic.to_string(), "a.example:8443 for quic");
    assert!(quic.serves(&StackId::QUIC) && !quic.serves(&StackId::TLS));
    let named = RemoteEndpoint::address(Ipv4Addr::LOCALHOST)
        .with_host_name("a.example")
        .port(1);
    assert_eq!(named.to_string(), "a.example at 127.0.0.1:1");
    assert_eq!(RemoteEndpoint::default().to_string(), "nowhere");
    let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
    assert_eq!(RemoteEndpoint::from(address).to_string(), "192.0.2.1:80");
    assert_eq!(LocalEndpoint::from(address).to_string(), "192.0.2.1:80");
}

#[test]
fn locals_are_read_from_text_and_printed_back() {
    for text in [
        "*:443",
        "*%eth0:443",
        "0.0.0.0:0",
        "[::1]:https",
        "[fe80::1%eth0]:1",
    ] {
        let expected = text.replace("*%", "%");
        assert_eq!(text.parse::<LocalEndpoint>().unwrap().to_string(), expected);
    }
    for text in ["localhost:1", "*x:1", "*%:1"] {
        assert!(text.parse::<LocalEndpoint>().is_err(), "{text}");
    }
    let local = LocalEndpoint::any().for_stack(StackId::UDP);
    assert!(local.serves(&StackId::UDP) && !local.serves(&StackId::TCP));
    assert!(LocalEndpoint::any().serves(&StackId::TCP));
    assert_eq!(local.to_string(), "* for udp");
}

#[test]
fn text_that_is_no_endpoint_is_refused_with_the_reason() {
    for (text, word) in [
        ("example.com", "no port"),
        ("example.com:", "no port"),
        (":443", "no host"),
        ("2001:db8::1:443", "brackets"),
        ("[example]:443", "no IPv6"),
        ("example.com:65536", "65535"),
        ("example.com:nonsense", "nonsense"),
        ("a b:1", "host name"),
    ] {
        let error = text.parse::<RemoteEndpoint>().unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
}
