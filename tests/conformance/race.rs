//! Races through the whole stack: scripted names, TCP, TLS and framers.

use crate::support::*;
use portway::property::InterfaceSelector;
use portway::race::EventKind;
use portway::{
    ConnectionEvent, FailureKind, LocalEndpoint, Preconnection, Preference, RemoteEndpoint,
    Security, TransportProperties,
};
use portway_core::dns::{RecordKind, ServiceBinding};
use portway_core::path::{InterfaceKind, LocalAddress, PathId};
use portway_core::race::{OpenReason, Progress, ReadyReason, StartReason};
use portway_sim::{Direction, Unreachable};
use portway_transport::environment::{Environment, ListenAddress};
use std::future::IntoFuture;

fn binding(priority: u16, target: &str) -> ServiceBinding {
    ServiceBinding {
        priority,
        target: target.to_owned(),
        ..ServiceBinding::default()
    }
}

#[test]
fn ipv6_starts_first_when_both_families_answer_at_once() {
    let net = Net::named(1);
    let _listener = net.listen(server_tls());
    let raced = net.race(&net.to_server(client_tls()));
    assert_eq!(raced.story(), ["5 tls [2001:db8::2]:443 won"]);
    let ready = |kind: &EventKind| {
        matches!(kind, EventKind::EndpointsReady { reason, .. }
            if *reason == ReadyReason::PreferredAnswers)
    };
    assert_eq!(raced.when(ready), Some(at(5)));
    let asked: Vec<_> = net.client.dns().questions();
    let asked: Vec<_> = asked
        .iter()
        .map(|(time, asked)| (*time, asked.kind))
        .collect();
    let order = [RecordKind::Https, RecordKind::Aaaa, RecordKind::A];
    assert_eq!(asked, order.map(|kind| (at(0), kind)));
}

#[test]
fn delayed_aaaa_is_waited_for_during_the_resolution_delay() {
    let net = Net::new(2);
    net.client.dns().answer(NAME, RecordKind::A, ms(10), [V4]);
    net.client
        .dns()
        .answer(NAME, RecordKind::Aaaa, ms(40), [V6]);
    let _listener = net.listen(server_tls());
    let raced = net.race(&net.to_server(client_tls()));
    assert_eq!(raced.story(), ["40 tls [2001:db8::2]:443 won"]);
}

#[test]
fn aaaa_that_never_comes_holds_ipv4_back_for_the_resolution_delay_only() {
    let net = Net::new(3);
    net.client.dns().answer(NAME, RecordKind::A, ms(10), [V4]);
    net.client.dns().never(NAME, RecordKind::Aaaa);
    let _listener = net.listen(server_tls());
    let raced = net.race(&net.to_server(client_tls()));
    assert_eq!(raced.story(), ["60 tls 198.18.0.2:443 won"]);
    let ready = |kind: &EventKind| {
        matches!(kind, EventKind::EndpointsReady { reason, .. }
            if *reason == ReadyReason::ResolutionDelay)
    };
    assert_eq!(raced.when(ready), Some(at(60)));
}

#[test]
fn aaaa_that_fails_does_not_hold_ipv4_back() {
    let net = Net::new(4);
    net.client.dns().answer(NAME, RecordKind::A, ms(10), [V4]);
    net.client
        .dns()
        .fail(NAME, RecordKind::Aaaa, ms(15), FailureKind::ResolverFailed);
    let _listener = net.listen(server_tls());
    let raced = net.race(&net.to_server(client_tls()));
    assert_eq!(raced.story(), ["15 tls 198.18.0.2:443 won"]);
}

#[test]
fn dead_ipv6_costs_one_attempt_delay() {
    let net = Net::named(5);
    net.sim.link("client", V6).black_hole(Direction::Both);
    let _listener = net.listen(server_tls());
    let raced = net.race(&net.to_server(client_tls()));
    assert_eq!(
        raced.story(),
        [
            "5 tls [2001:db8::2]:443 cancelled",
            "255 tls 198.18.0.2:443 won"
        ]
    );
    let second = &raced.report().attempts[1];
    assert_eq!(second.reason, StartReason::DelayPassed);
}

#[test]
fn unreachable_ipv6_starts_ipv4_at_once() {
    let net = Net::named(6);
    net.sim.set_unreachable(ip(V6), Some(Unreachable::Host));
    let _listener = net.listen(server_tls());
    let raced = net.race(&net.to_server(client_tls()));
    assert_eq!(
        raced.story(),
        [
            "5 tls [2001:db8::2]:443 failed: Unreachable",
            "25 tls 198.18.0.2:443 won"
        ]
    );
    let second = &raced.report().attempts[1];
    assert_eq!(second.reason, StartReason::AttemptFailed);
}

#[test]
fn refused_first_attempt_starts_the_next_at_once() {
    let net = Net::named(7);
    let only_v4 = Preconnection::new(server_tls())
        .context(&net.at_server)
        .local(LocalEndpoint::address(ip(V4)).port(PORT));
    let _listener = net.listen_with(&only_v4);
    let to = Preconnection::new(client_tls())
        .context(&net.at_client)
        .remote(RemoteEndpoint::host_name(NAME).port(PORT));
    let raced = net.race(&to);
    assert_eq!(
        raced.story(),
        [
            "5 tls [2001:db8::2]:443 failed: Refused",
            "25 tls 198.18.0.2:443 won"
        ]
    );
}

#[test]
fn hints_are_used_until_real_answers_replace_them() {
    let net = Net::new(8);
    let dns = net.client.dns();
    let mut record = binding(1, ".");
    record.ipv6_hints = vec!["2001:db8::66".parse().expect("an address")];
    dns.answer(NAME, RecordKind::Https, ms(5), vec![record]);
    dns.answer(NAME, RecordKind::Aaaa, ms(120), [V6]);
    dns.never(NAME, RecordKind::A);
    let _listener = net.listen(server_tls());
    let raced = net.race(&net.to_server(client_tls()));
    assert_eq!(
        raced.story(),
        [
            "5 tls [2001:db8::66]:443 cancelled",
            "255 tls [2001:db8::2]:443 won"
        ],
        "the answer replaces the hint among what has not started, and cancels nothing"
    );
}

#[test]
fn service_record_sets_target_port_and_alpn() {
    let net = Net::named(9);
    let dns = net.client.dns();
    let mut record = binding(1, "other.example");
    record.port = Some(8443);
    record.alpn = vec![b"h2".to_vec()];
    let mut foreign = binding(1, "foreign.example");
    foreign.alpn = vec![b"unheard-of".to_vec()];
    foreign.no_default_alpn = true;
    record.priority = 2;
    dns.answer(NAME, RecordKind::Https, ms(5), vec![foreign, record]);
    dns.zone("foreign.example", &[V6]);
    dns.zone("other.example", &[V4]);
    let server = Preconnection::new(server_tls().with_alpn(["h2", "http/1.1"]))
        .context(&net.at_server)
        .local(LocalEndpoint::any().port(8443));
    let _listener = net.listen_with(&server);
    let to = Preconnection::new(client_tls().with_alpn(["h2", "http/1.1"]))
        .context(&net.at_client)
        .remote(RemoteEndpoint::host_name(NAME).service("https"));
    let raced = net.race(&to);
    assert_eq!(
        raced.story(),
        ["10 tls 198.18.0.2:8443 won"],
        "neither the name's own addresses nor the record of a protocol that we lack come first"
    );
    let protection = raced.connection().info().protection.expect("protected");
    assert_eq!(protection.alpn.as_deref(), Some(&b"h2"[..]));
    assert_eq!(
        protection.server_name.as_deref(),
        Some(NAME),
        "the name that the application asked for is checked, not the target"
    );
}

#[test]
fn alias_chain_is_followed_to_the_service() {
    let net = Net::new(10);
    let dns = net.client.dns();
    dns.answer(
        NAME,
        RecordKind::Https,
        ms(5),
        vec![binding(0, "a.example")],
    );
    dns.answer(
        "a.example",
        RecordKind::Https,
        ms(5),
        vec![binding(0, "b.example")],
    );
    dns.zone("b.example", &[V6]);
    let _listener = net.listen(server_tls());
    let raced = net.race(&net.to_server(client_tls()));
    assert_eq!(raced.story(), ["15 tls [2001:db8::2]:443 won"]);
    let follows = |from: &'static str, to: &'static str| {
        raced.place(move |kind| {
            matches!(kind, EventKind::AliasFollowed { owner, target }
                if owner == from && target == to)
        })
    };
    assert!(follows(NAME, "a.example") < follows("a.example", "b.example"));
}

#[test]
fn alias_loop_ends_and_leaves_the_addresses_of_the_name() {
    let net = Net::named(11);
    let dns = net.client.dns();
    dns.answer(
        NAME,
        RecordKind::Https,
        ms(5),
        vec![binding(0, "a.example")],
    );
    dns.answer(
        "a.example",
        RecordKind::Https,
        ms(5),
        vec![binding(0, NAME)],
    );
    let _listener = net.listen(server_tls());
    let raced = net.race(&net.to_server(client_tls()));
    raced.place(|kind| matches!(kind, EventKind::AliasRefused { .. }));
    assert!(raced.outcome.is_ok());
    assert!(net.client.dns().questions().len() < 20);
}

#[test]
fn slow_tls_after_fast_tcp_postpones_the_next_attempt() {
    let net = Net::named(12);
    net.sim.link("client", "server").set_delay(ms(100));
    // Accepts and never speaks.
    let silent = ListenAddress::on(socket("[2001:db8::2]:443"));
    let _silent = net.server.tcp_listen(silent).expect("a listener");
    let v4 = Preconnection::new(server_tls())
        .context(&net.at_server)
        .local(LocalEndpoint::address(ip(V4)).port(PORT));
    let _listener = net.listen_with(&v4);
    let to = Preconnection::new(client_tls())
        .context(&net.at_client)
        .remote(RemoteEndpoint::host_name(NAME).port(PORT));
    let raced = net.race(&to);
    let connected = raced.place(|kind| {
        matches!(
            kind,
            EventKind::Progressed {
                progress: Progress::TransportConnected { .. },
                ..
            }
        )
    });
    let postponed = raced.place(|kind| matches!(kind, EventKind::NextAttemptPostponed { .. }));
    assert!(connected < postponed);
    let story = raced.story();
    assert_eq!(story[0], "5 tls [2001:db8::2]:443 cancelled");
    assert!(story[1].ends_with("tls 198.18.0.2:443 won"), "{story:?}");
    let second = raced.report().attempts[1].started;
    assert!(second > at(255), "postponed beyond the delay: {second}");
}

#[test]
fn answers_after_the_win_are_taken_for_a_second_and_no_longer() {
    let net = Net::new(13);
    let dns = net.client.dns();
    dns.answer(NAME, RecordKind::Aaaa, ms(5), [V6]);
    dns.answer(NAME, RecordKind::Https, ms(500), vec![binding(1, ".")]);
    dns.never(NAME, RecordKind::A);
    let _listener = net.listen(server_tls());
    let raced = net.race(&net.to_server(client_tls()));
    assert_eq!(raced.story(), ["55 tls [2001:db8::2]:443 won"]);
    assert_eq!(
        net.client.tasks_alive(),
        1,
        "the one that waits for answers"
    );
    let won = net.sim.now();
    net.sim.run_until(won + ms(999));
    assert_eq!(net.client.tasks_alive(), 1);
    net.sim.run_until(won + ms(1001));
    assert_eq!(net.client.tasks_alive(), 0);
}

#[test]
fn without_a_route_the_race_waits_and_resumes_when_one_comes() {
    let net = Net::new(14);
    let _listener = net.listen(server_tls());
    let paths = net.client.paths();
    net.client.set_paths(Vec::new());
    let client = net.client.clone();
    net.sim.at(at(3000), move |_| client.set_paths(paths));
    let to = Preconnection::new(client_tls().with_server_name(NAME))
        .context(&net.at_client)
        .remote(RemoteEndpoint::address(ip(V6)).port(PORT));
    let connection = to.background().expect("planned");
    let mut events = connection.events();
    let (mut waiting, mut resumed, mut ready) = (None, None, None);
    net.sim.block_on(async {
        while ready.is_none() {
            match events.next().await.expect("an event") {
                ConnectionEvent::Waiting(reason) => waiting = Some((net.sim.now(), reason)),
                ConnectionEvent::Race(event) if event.kind == EventKind::Resumed => {
                    resumed = Some(event.at);
                }
                ConnectionEvent::Ready => ready = Some(net.sim.now()),
                _ => {}
            }
        }
    });
    let (since, reason) = waiting.expect("the application is told that there is no route");
    assert_eq!(since, at(0));
    assert!(reason.contains("route"), "{reason}");
    assert_eq!(resumed, Some(at(3000)));
    assert_eq!(ready, Some(at(3040)));
}

#[test]
fn deadline_ends_the_race_and_names_every_attempt() {
    let net = Net::named(15);
    net.sim.link("client", "server").black_hole(Direction::Both);
    let to = net.to_server(client_tls());
    let outcome = net
        .sim
        .block_on(to.initiate().timeout(ms(700)).into_future());
    let error = outcome.expect_err("nothing answers");
    assert_eq!(net.sim.now(), at(700));
    assert_eq!(error.kind(), FailureKind::TimedOut);
    let report = error.report().expect("a report");
    assert_eq!(
        story(report),
        [
            "5 tls [2001:db8::2]:443 cancelled",
            "255 tls 198.18.0.2:443 cancelled"
        ]
    );
    assert_eq!(net.sim.sockets_open(), 0);
    assert_eq!(net.sim.tasks_alive(), 0);
}

#[test]
fn dropping_the_open_cancels_every_attempt_and_question() {
    let net = Net::named(16);
    net.sim.link("client", V6).black_hole(Direction::Both);
    let initiate = net.to_server(client_tls()).initiate().into_future();
    let mut initiate = Box::pin(initiate);
    net.sim.block_on(async {
        let sleep = portway_transport::listen::sleep(&net.at_client, ms(260));
        tokio::select! {
            biased;
            _ = &mut initiate => panic!("it cannot be ready yet"),
            () = sleep => {}
        }
    });
    assert_eq!(net.client.sockets_open(), 2, "both attempts are under way");
    drop(initiate);
    assert_eq!(net.client.sockets_open(), 0);
    net.sim.run_until_idle();
    assert_eq!(net.client.tasks_alive(), 0);
}

#[test]
fn several_remotes_are_raced_as_equals() {
    let net = Net::new(17);
    net.client.dns().zone("dead.example", &["198.18.9.9"]);
    net.client.dns().zone(NAME, &[V4]);
    let _listener = net.listen(server_tls());
    let to = Preconnection::new(client_tls().with_server_name(NAME))
        .context(&net.at_client)
        .remote(RemoteEndpoint::host_name("dead.example").port(PORT))
        .remote(RemoteEndpoint::host_name(NAME).port(PORT))
        .framer(portway::LengthPrefixed::u32());
    let raced = net.race(&to);
    assert_eq!(
        raced.story(),
        [
            "5 tls 198.18.9.9:443 cancelled",
            "255 tls 198.18.0.2:443 won"
        ]
    );
}

#[test]
fn many_addresses_alternate_between_the_families() {
    let net = Net::new(18);
    let dead = [
        "2001:db8:9::1",
        "2001:db8:9::2",
        "203.0.113.1",
        "203.0.113.2",
    ];
    net.client.dns().zone(NAME, &dead);
    let outcome = net.sim.block_on(
        net.to_server(client_tls())
            .initiate()
            .timeout(ms(2000))
            .into_future(),
    );
    let report = outcome.expect_err("all are dead").report().cloned();
    let story = story(&report.expect("a report"));
    let families: Vec<bool> = story.iter().map(|line| line.contains("2001")).collect();
    assert_eq!(families, [true, false, true, false], "{story:?}");
    let starts: Vec<_> = story.iter().map(|line| line.split(' ').next()).collect();
    assert_eq!(starts, ["5", "255", "505", "755"].map(Some));
}

#[test]
fn name_that_does_not_exist_is_told_at_once() {
    let net = Net::new(19);
    let raced = net.race(&net.to_server(client_tls()));
    assert_eq!(raced.error().kind(), FailureKind::NameNotFound);
    assert_eq!(net.sim.now(), at(5));
    assert!(
        raced.error().to_string().contains(NAME),
        "{}",
        raced.error()
    );
}

#[test]
fn refusal_everywhere_is_reported_with_every_attempt() {
    let net = Net::named(20);
    let raced = net.race(&net.to_server(client_tls()));
    assert_eq!(raced.error().kind(), FailureKind::Refused);
    assert_eq!(
        raced.story(),
        [
            "5 tls [2001:db8::2]:443 failed: Refused",
            "25 tls 198.18.0.2:443 failed: Refused"
        ]
    );
    let failure = match &raced.report().attempts[0].outcome {
        portway::race::AttemptOutcome::Failed(failure) => failure.clone(),
        other => panic!("{other:?}"),
    };
    assert!(failure.detail.contains("[2001:db8::2]:443"), "{failure}");
}

#[test]
fn measured_round_trip_time_shortens_the_delay_of_the_next_race() {
    let net = Net::named(21);
    let _listener = net.listen(server_tls());
    let to = net.to_server(client_tls());
    let first = net.race(&to);
    assert_eq!(first.story(), ["5 tls [2001:db8::2]:443 won"]);
    net.sim.run_for(ms(2000));
    net.sim.link("client", V6).black_hole(Direction::Both);
    let second = net.race(&to);
    assert_eq!(
        second.story(),
        [
            "5 tls [2001:db8::2]:443 cancelled",
            "105 tls 198.18.0.2:443 won"
        ],
        "100 ms, the recommended minimum"
    );
}

#[test]
fn race_is_won_only_when_the_framers_handshake_is_complete() {
    let net = Net::named(22);
    // The stack below is ready first on IPv6, but nobody answers the framer there.
    let v6 = Preconnection::new(Security::disabled())
        .context(&net.at_server)
        .local(LocalEndpoint::address(ip(V6)).port(PORT));
    let _mute = net.listen_with(&v6);
    let v4 = Preconnection::new(Security::disabled())
        .context(&net.at_server)
        .local(LocalEndpoint::address(ip(V4)).port(PORT))
        .framer(greeting());
    let _listener = net.listen_with(&v4);
    let to = Preconnection::new(Security::disabled())
        .context(&net.at_client)
        .remote(RemoteEndpoint::host_name(NAME).port(PORT))
        .framer(greeting());
    let raced = net.race(&to);
    let story = raced.story();
    assert_eq!(story[0], "5 tcp [2001:db8::2]:443 cancelled");
    assert!(story[1].ends_with("tcp 198.18.0.2:443 won"), "{story:?}");
}

#[test]
fn second_path_follows_one_attempt_delay_after_a_silent_first_one() {
    let net = Net::new(23);
    let mut wired = net.client.paths().remove(0);
    wired.addresses = vec![local_address("198.18.0.1")];
    wired.has_ipv6_default = false;
    let mut wireless = wired.clone();
    wireless.id = PathId(3);
    wireless.interface = "wlan0".to_owned();
    wireless.kind = InterfaceKind::WiFi;
    wireless.addresses = vec![local_address("198.18.7.1")];
    net.client.set_paths(vec![wired, wireless]);
    net.client
        .dns()
        .zone(NAME, &[V4, "198.18.0.3", "198.18.0.4"]);
    net.sim.link("198.18.0.1", "*").black_hole(Direction::Both);
    let _listener = net.listen(server_tls());
    let properties = TransportProperties::default()
        .with_interface(
            Preference::Prefer,
            InterfaceSelector::Instance("eth0".to_owned()),
        )
        .with_interface(
            Preference::Avoid,
            InterfaceSelector::Instance("lo".to_owned()),
        );
    let raced = net.race(&net.to_server(client_tls()).properties(properties));
    assert_eq!(
        raced.story(),
        [
            "5 tls 198.18.0.2:443 cancelled",
            "255 tls 198.18.0.2:443 won"
        ]
    );
    let opened = |kind: &EventKind| {
        matches!(kind, EventKind::GroupOpened { reason, .. }
            if *reason == OpenReason::NothingAnswered)
    };
    assert_eq!(raced.when(opened), Some(at(255)));
    let paths = raced.report().attempts.into_iter();
    let paths: Vec<_> = paths.map(|attempt| attempt.leaf.path).collect();
    assert_eq!(paths, [Some(PathId(2)), Some(PathId(3))]);
}

fn local_address(address: &str) -> LocalAddress {
    LocalAddress {
        address: ip(address),
        prefix_len: 24,
        is_temporary: false,
        is_deprecated: false,
    }
}
