//! Early resolution: what it gives is what a race would go to (RFC 9622 §7.3).

use crate::support::*;
use portway::{FailureKind, Preconnection, RemoteEndpoint, StackId};
use portway_core::dns::{RecordKind, ServerRecord, ServiceBinding};
use portway_transport::environment::Environment;

/// The address, port, name and stack of every candidate.
fn told(remotes: &[RemoteEndpoint]) -> Vec<String> {
    let line = |remote: &RemoteEndpoint| {
        let address = remote.ip_address().expect("it is resolved");
        let port = remote.resolved_port().expect("it has a port");
        let name = remote.host().unwrap_or("nobody");
        let stack = remote.stack().map_or("all", StackId::as_str);
        format!("{address} {port} {name} {stack}")
    };
    remotes.iter().map(line).collect()
}

fn to(net: &Net, service: &str) -> Preconnection {
    Preconnection::new(client_tls().with_alpn(["one"]))
        .context(&net.at_client)
        .remote(RemoteEndpoint::host_name(NAME).service(service))
}

#[test]
fn service_records_are_part_of_what_resolving_gives() {
    let net = Net::new(1);
    let record = ServiceBinding {
        priority: 1,
        target: "other.example".to_owned(),
        alpn: vec![b"one".to_vec()],
        no_default_alpn: true,
        port: Some(8443),
        ..ServiceBinding::default()
    };
    let dns = net.client.dns();
    dns.answer(NAME, RecordKind::Https, ms(5), vec![record]);
    dns.zone("other.example", &[V4]);
    dns.zone(NAME, &[V6]);
    let to = to(&net, "https");
    let resolved = net.sim.block_on(to.resolve()).expect("resolved");
    assert_eq!(
        told(&resolved.remotes),
        [
            "198.18.0.2 8443 server.example all",
            "2001:db8::2 443 server.example all"
        ]
    );
    // Whoever goes there later asks nothing more and proves the peer's name as before.
    let asked = net.client.dns().questions().len();
    let server = Preconnection::new(server_tls().with_alpn(["one"]))
        .context(&net.at_server)
        .local(portway::LocalEndpoint::any().port(8443));
    let _listener = net.listen_with(&server);
    let later = Preconnection::new(client_tls().with_alpn(["one"]))
        .context(&net.at_client)
        .remote(resolved.remotes[0].clone());
    let raced = net.race(&later);
    let protection = raced.connection().info().protection.expect("protected");
    assert_eq!(protection.server_name.as_deref(), Some(NAME));
    assert_eq!(net.client.dns().questions().len(), asked);
}

#[test]
fn servers_of_an_srv_record_come_in_its_order_with_their_ports_and_stack() {
    let net = Net::new(2);
    let server = |priority, port, target: &str| ServerRecord {
        priority,
        weight: 0,
        port,
        target: target.to_owned(),
    };
    let records = vec![server(20, 5223, "b.example"), server(10, 5222, "a.example")];
    let name = format!("_xmpp-client._tcp.{NAME}");
    let dns = net.client.dns();
    dns.answer(&name, RecordKind::Srv, ms(5), records);
    dns.zone("a.example", &[V4]);
    dns.zone("b.example", &[V6]);
    let to = to(&net, "_xmpp-client._tcp");
    let resolved = net.sim.block_on(to.resolve()).expect("resolved");
    assert_eq!(
        told(&resolved.remotes),
        [
            "198.18.0.2 5222 server.example tls",
            "2001:db8::2 5223 server.example tls"
        ]
    );
}

#[test]
fn an_endpoint_for_one_stack_is_told_instead_of_the_general_one() {
    let net = Net::new(4);
    net.client.dns().zone(NAME, &[V4]);
    let alternative = |port, stack: &'static str| {
        let remote = RemoteEndpoint::host_name(NAME).port(port);
        remote.for_stack(StackId::new(stack))
    };
    let to = Preconnection::new(client_tls().with_alpn(["one"]))
        .context(&net.at_client)
        .remote(RemoteEndpoint::host_name(NAME).port(443))
        .remote(alternative(8443, "tls"))
        .remote(alternative(9443, "quic"));
    let resolved = net.sim.block_on(to.resolve()).expect("resolved");
    let mut told = told(&resolved.remotes);
    told.sort();
    assert_eq!(
        told,
        [
            "198.18.0.2 8443 server.example tls",
            "198.18.0.2 9443 server.example quic"
        ]
    );
}

#[test]
fn what_a_record_offers_to_one_stack_is_a_candidate_of_that_stack_alone() {
    let net = Net::new(3);
    let record = ServiceBinding {
        priority: 1,
        target: ".".to_owned(),
        alpn: vec![b"h3".to_vec()],
        no_default_alpn: true,
        port: Some(8443),
        ..ServiceBinding::default()
    };
    let dns = net.client.dns();
    dns.answer(NAME, RecordKind::Https, ms(5), vec![record]);
    dns.zone(NAME, &[V4]);
    let to = Preconnection::new(client_tls().with_alpn(["h3", "h2"]))
        .context(&net.at_client)
        .remote(RemoteEndpoint::host_name(NAME).service("https"));
    let resolved = net.sim.block_on(to.resolve()).expect("resolved");
    assert_eq!(
        told(&resolved.remotes),
        [
            "198.18.0.2 8443 server.example quic",
            "198.18.0.2 443 server.example all"
        ]
    );
}

#[test]
fn a_service_that_is_not_offered_and_a_name_without_address_are_errors() {
    let net = Net::new(4);
    let none = ServerRecord {
        priority: 0,
        weight: 0,
        port: 0,
        target: ".".to_owned(),
    };
    let name = format!("_xmpp-client._tcp.{NAME}");
    let dns = net.client.dns();
    dns.answer(&name, RecordKind::Srv, ms(5), vec![none]);
    let refused = net.sim.block_on(to(&net, "_xmpp-client._tcp").resolve());
    let error = refused.expect_err("there is no such service");
    assert_eq!(error.kind(), FailureKind::InvalidRequest);
    assert!(error.to_string().contains("not available"), "{error}");
    for kind in [RecordKind::Https, RecordKind::Aaaa, RecordKind::A] {
        dns.no_data(NAME, kind, ms(5));
    }
    let error = net.sim.block_on(to(&net, "https").resolve());
    let error = error.expect_err("there is no address");
    assert_eq!(error.kind(), FailureKind::NameNotFound);
    assert!(
        error
            .report()
            .is_some_and(|report| report.queries.len() == 3)
    );
}

#[test]
fn a_link_local_answer_keeps_the_interface_that_it_is_reached_by() {
    let net = Net::new(6);
    let path = net.client.paths().remove(0);
    net.client.dns().zone(NAME, &["fe80::7", V6]);
    let local = portway::LocalEndpoint::any().interface(path.interface.clone());
    let to = to(&net, "https").local(local);
    let resolved = net.sim.block_on(to.resolve()).expect("resolved");
    let interface_of = |address: &str| {
        let address = address.parse().ok();
        let mut remotes = resolved.remotes.iter();
        let remote = remotes.find(|remote| remote.ip_address() == address);
        let remote = remote.expect("it was resolved");
        remote.validate().expect("one can connect to it");
        remote.interface_name()
    };
    assert_eq!(interface_of("fe80::7"), Some(&*path.interface));
    assert_eq!(interface_of(V6), None);
}

#[test]
fn without_remote_endpoints_resolving_gives_this_sides_addresses_alone() {
    let net = Net::new(5);
    let local = net.for_server(server_tls());
    let resolved = net.sim.block_on(local.resolve()).expect("resolved");
    assert!(resolved.remotes.is_empty());
    assert!(!resolved.locals.is_empty());
    let ports = resolved.locals.iter().map(|local| local.resolved_port());
    assert!(ports.into_iter().all(|port| port == Some(PORT)));
    assert_eq!(net.client.dns().questions(), []);
}
