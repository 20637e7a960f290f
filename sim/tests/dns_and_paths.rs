//! Scripted name resolution and paths.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod support;

use portway_core::dns::{Answer, AnswerData, Question, RecordKind, ServiceBinding};
use portway_core::path::PathId;
use portway_core::{Failure, FailureKind};
use portway_sim::SimEnvironment;
use portway_transport::environment::{Environment, TcpConnect, UdpBind};
use std::net::SocketAddr;
use support::*;

fn ask(
    pair: &Pair,
    host: &SimEnvironment,
    name: &str,
    kind: RecordKind,
) -> Result<Answer, Failure> {
    let name = name.to_owned();
    pair.sim.block_on(host.resolve(Question { name, kind }))
}

#[test]
fn answers_come_when_scripted_and_only_on_that_host() {
    let pair = pair(1);
    pair.client
        .dns()
        .answer("a.example", RecordKind::Aaaa, ms(70), ["2001:db8::9"])
        .fail(
            "a.example",
            RecordKind::A,
            ms(10),
            FailureKind::ResolverFailed,
        );
    let answer = ask(&pair, &pair.client, "A.Example.", RecordKind::Aaaa).unwrap();
    let expected = vec!["2001:db8::9".parse().unwrap()];
    assert_eq!(answer.data, AnswerData::Addresses(expected));
    assert_eq!(pair.sim.now(), at(70));
    let failure = ask(&pair, &pair.client, "a.example", RecordKind::A).unwrap_err();
    assert_eq!(failure.kind, FailureKind::ResolverFailed);
    assert_eq!(pair.sim.now(), at(80));
    let failure = ask(&pair, &pair.server, "a.example", RecordKind::A).unwrap_err();
    assert_eq!(failure.kind, FailureKind::NameNotFound);
}

#[test]
fn zone_has_both_families_and_no_data_of_other_types() {
    let pair = pair(1);
    let dns = pair.client.dns();
    dns.zone("b.example", &["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
    let answer = ask(&pair, &pair.client, "b.example", RecordKind::A).unwrap();
    let expected = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
    assert_eq!(answer.data, AnswerData::Addresses(expected.to_vec()));
    let answer = ask(&pair, &pair.client, "b.example", RecordKind::Https).unwrap();
    assert_eq!(answer.data, AnswerData::Services(Vec::new()));
    let kinds: Vec<_> = dns.questions().iter().map(|(_, q)| q.kind).collect();
    assert_eq!(kinds, [RecordKind::A, RecordKind::Https]);
}

#[test]
fn later_script_changes_later_answers_only() {
    let pair = pair(1);
    let service = ServiceBinding {
        priority: 1,
        target: ".".to_owned(),
        port: Some(8443),
        ..ServiceBinding::default()
    };
    let expected = service.clone();
    let dns = pair.client.dns();
    dns.no_data("c.example", RecordKind::Https, ms(100));
    pair.sim.at(at(50), move |world| {
        let dns = world.host("client").dns();
        dns.answer("c.example", RecordKind::Https, ms(1), vec![service]);
    });
    let first = ask(&pair, &pair.client, "c.example", RecordKind::Https).unwrap();
    assert_eq!(first.data, AnswerData::Services(Vec::new()));
    let second = ask(&pair, &pair.client, "c.example", RecordKind::Https).unwrap();
    assert_eq!(second.data, AnswerData::Services(vec![expected]));
}

#[test]
fn path_change_wakes_who_waits_for_it() {
    let pair = pair(1);
    let paths = pair.client.paths();
    assert_eq!((paths.len(), paths[0].id), (1, PathId(2)));
    pair.sim.at(at(500), |world| {
        world.host("client").set_paths(Vec::new());
    });
    let changed = pair.sim.block_on(pair.client.paths_changed(paths.clone()));
    assert_eq!(pair.sim.now(), at(500));
    assert!(changed.is_empty());
    let at_once = pair.sim.block_on(pair.client.paths_changed(paths));
    assert!(at_once.is_empty());
    let request = TcpConnect::to(pair.remote());
    let error = pair.sim.block_on(pair.client.tcp_connect(request)).err();
    let code = error.and_then(|error| error.raw_os_error());
    assert_eq!(code, Some(libc::ENETUNREACH));
}

#[test]
fn request_for_a_path_starts_from_its_address() {
    let pair = pair(1);
    let mut paths = pair.client.paths();
    let mut wifi = paths[0].clone();
    wifi.id = PathId(3);
    wifi.interface = "wlan0".to_owned();
    wifi.addresses[0].address = "2001:db8:3::1".parse().unwrap();
    wifi.addresses[1].address = "203.0.113.1".parse().unwrap();
    paths.push(wifi);
    pair.client.set_paths(paths);
    pair.sim.link("2001:db8:3::/48", "server").set_delay(ms(40));
    let _listener = pair.listen();
    let mut request = TcpConnect::to(pair.remote());
    request.path = Some(PathId(3));
    let stream = pair.sim.block_on(pair.client.tcp_connect(request.clone()));
    let local = stream.unwrap().local_address();
    assert_eq!(local.ip().to_string(), "2001:db8:3::1");
    assert_eq!(pair.sim.now(), at(80), "the path has a link of its own");
    request.path = Some(PathId(9));
    let error = pair.sim.block_on(pair.client.tcp_connect(request)).err();
    let code = error.and_then(|error| error.raw_os_error());
    assert_eq!(code, Some(libc::ENODEV));
    let mut foreign = UdpBind::to(pair.remote());
    foreign.local = SocketAddr::new("2001:db8:3::77".parse().unwrap(), 0);
    let error = pair.client.udp_bind(foreign).err();
    let code = error.and_then(|error| error.raw_os_error());
    assert_eq!(code, Some(libc::EADDRNOTAVAIL));
}
