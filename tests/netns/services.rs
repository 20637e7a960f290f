//! Service records through a name server: aliases, priorities, hints, ports, what is not
//! understood, and the way back to the plain endpoint (RFC 9460, Happy Eyeballs v3).

use crate::log::Log;
use crate::names::{A, AAAA, HTTPS, NAME, Names, Zone};
use crate::world::{FAR_V4, FAR_V6, World, block_on, environment, initiate};
use portway::race::{CancelReason, EventKind, Timing};
use portway::{Connection, Context, LocalEndpoint, Preconnection, RemoteEndpoint, Security};
use portway_transport::real::DnsConfig;
use portway_transport::tls::self_signed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::mpsc;
use std::time::Duration;

/// Further addresses of `far`, where nothing listens.
const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3));
const THIRD: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 4));
const SECOND_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3));

// The keys of service parameters.
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const MANDATORY: u16 = 0;
/// A key of the range for private use.
const UNKNOWN: u16 = 65_280;

fn world(test: &str) -> Option<World> {
    let world = World::new(test)?;
    world.far.command("ip addr add 192.0.2.3/24 dev far");
    world.far.command("ip addr add 192.0.2.4/24 dev far");
    world
        .far
        .command("ip addr add 2001:db8::3/64 dev far nodad");
    Some(world)
}

/// Who owns the records of the service `https` on a port (RFC 9460 §9.1).
fn owner(port: u16) -> String {
    match port {
        443 => NAME.to_owned(),
        port => format!("_{port}._https.{NAME}"),
    }
}

/// A race to the service `https` of [`NAME`], in cleartext, with its events.
struct Race {
    preconnection: Preconnection,
    names: Names,
    log: Log,
}

impl Race {
    fn new(world: &World, zone: Zone, port: u16) -> Race {
        Race::with(world, zone, port, &[], Timing::default())
    }

    fn with(world: &World, zone: Zone, port: u16, held: &[u16], timing: Timing) -> Race {
        let names = Names::serve(world, zone, held);
        let environment = environment(DnsConfig::servers([names.address]));
        let context = Context::builder(environment).timing(timing).build();
        let remote = RemoteEndpoint::host_name(NAME).service("https").port(port);
        Race {
            preconnection: Preconnection::new(Security::disabled())
                .context(&context)
                .remote(remote),
            names,
            log: Log::default(),
        }
    }

    async fn run(&self) -> Connection {
        let connection = initiate(&self.preconnection, &self.log).await;
        eprintln!("{}\n", self.log.text());
        connection.expect("a connection")
    }

    /// Where the attempts went, in their order.
    fn attempts(&self) -> Vec<SocketAddr> {
        self.log.attempts()
    }

    fn has(&self, wanted: impl Fn(&EventKind) -> bool) -> bool {
        self.log.position(wanted).is_some()
    }
}

#[test]
fn an_alias_chain_leads_to_a_service_with_a_port_of_its_own() {
    let Some(world) = world("an_alias_chain_leads_to_a_service_with_a_port_of_its_own") else {
        return;
    };
    world.run(|| async {
        let listener = world.far_listener(SECOND);
        let address = listener.local_addr().expect("bound");
        let port = address.port().to_be_bytes();
        let zone = Zone::default()
            .addresses(NAME, &[FAR_V4.into()])
            // The parameters of an alias mean nothing, nor do services beside it.
            .https(&owner(9), 0, "one.example", &[(PORT, &[0, 9])])
            .https(&owner(9), 1, "wrong.example", &[(PORT, &[0, 9])])
            .addresses("wrong.example", &[THIRD])
            .https("one.example", 0, "two.example", &[])
            // The root stands for the record's own name.
            .https("two.example", 1, ".", &[(PORT, &port)])
            .addresses("two.example", &[SECOND]);
        let race = Race::new(&world, zone, 9);
        let connection = race.run().await;
        assert_eq!(connection.info().remote, Some(address));
        assert_eq!(race.attempts(), [address]);
        let follows = |to: &'static str| {
            move |event: &EventKind| {
                matches!(event, EventKind::AliasFollowed { target, .. } if target == to)
            }
        };
        race.log.assert_order(&[
            ("the first alias", &follows("one.example")),
            ("the second alias", &follows("two.example")),
        ]);
        assert_eq!(race.names.questions("wrong.example", A), 0);
    });
}

#[test]
fn an_alias_loop_ends_at_the_plain_endpoint() {
    let Some(world) = world("an_alias_loop_ends_at_the_plain_endpoint") else {
        return;
    };
    world.run(|| async {
        let listener = world.far_listener(FAR_V4);
        let address = listener.local_addr().expect("bound");
        let zone = Zone::default()
            .addresses(NAME, &[FAR_V4.into()])
            .https(&owner(address.port()), 0, "one.example", &[])
            .https("one.example", 0, &owner(address.port()), &[]);
        let race = Race::new(&world, zone, address.port());
        let connection = race.run().await;
        assert_eq!(connection.info().remote, Some(address));
        assert!(race.has(|event| matches!(event, EventKind::AliasRefused { .. })));
    });
}

#[test]
fn services_are_tried_by_priority_and_the_plain_endpoint_after_them() {
    let Some(world) = world("services_are_tried_by_priority_and_the_plain_endpoint_after_them")
    else {
        return;
    };
    world.run(|| async {
        let listener = world.far_listener(FAR_V4);
        let address = listener.local_addr().expect("bound");
        let zone = Zone::default()
            .addresses(NAME, &[FAR_V4.into()])
            .https(
                &owner(address.port()),
                2,
                "second.example",
                &[(PORT, &[0, 8])],
            )
            .https(
                &owner(address.port()),
                1,
                "first.example",
                &[(PORT, &[0, 7])],
            )
            .addresses("first.example", &[SECOND])
            .addresses("second.example", &[THIRD]);
        let race = Race::new(&world, zone, address.port());
        let connection = race.run().await;
        assert_eq!(connection.info().remote, Some(address));
        let refused = [SocketAddr::new(SECOND, 7), SocketAddr::new(THIRD, 8)];
        assert_eq!(race.attempts(), [refused[0], refused[1], address]);
    });
}

#[test]
fn services_that_are_not_understood_are_not_attempted() {
    let Some(world) = world("services_that_are_not_understood_are_not_attempted") else {
        return;
    };
    world.run(|| async {
        let listener = world.far_listener(FAR_V4);
        let address = listener.local_addr().expect("bound");
        let port = address.port().to_be_bytes();
        let unknown = UNKNOWN.to_be_bytes();
        let zone = Zone::default()
            .addresses(NAME, &[THIRD])
            .addresses("wrong.example", &[SECOND])
            .addresses("right.example", &[FAR_V4.into()])
            // A key that must be understood and is not; one that must be there and is not.
            .https(&owner(9), 1, "wrong.example", &[(MANDATORY, &unknown), (UNKNOWN, b"x")])
            .https(&owner(9), 2, "wrong.example", &[(MANDATORY, &PORT.to_be_bytes())])
            // No protocol at all, and none of ours.
            .https(&owner(9), 3, "wrong.example", &[(NO_DEFAULT_ALPN, b"")])
            .https(&owner(9), 4, "wrong.example", &[(ALPN, b"\x05other"), (NO_DEFAULT_ALPN, b"")])
            // An unknown key that nobody insists on.
            .https(&owner(9), 5, "right.example", &[(PORT, &port), (UNKNOWN, b"x")]);
        let race = Race::new(&world, zone, 9);
        let connection = race.run().await;
        assert_eq!(connection.info().remote, Some(address));
        assert_eq!(race.attempts(), [address]);
        for wrong in 1..=4u16 {
            let is_ignored = |event: &EventKind| {
                matches!(event, EventKind::RecordIgnored { priority, .. } if *priority == wrong)
            };
            assert!(race.has(is_ignored), "priority {wrong}");
        }
    });
}

#[test]
fn a_malformed_record_rejects_its_whole_set() {
    let Some(world) = world("a_malformed_record_rejects_its_whole_set") else {
        return;
    };
    world.run(|| async {
        let malformed: [&[(u16, &[u8])]; 4] = [
            // Keys out of order, one twice, a port of one byte, half of an address.
            &[(PORT, &[0, 9]), (ALPN, b"\x02h2")],
            &[(PORT, &[0, 9]), (PORT, &[0, 9])],
            &[(PORT, &[9])],
            &[(IPV4_HINT, &[192, 0])],
        ];
        for parameters in malformed {
            let listener = world.far_listener(FAR_V4);
            let address = listener.local_addr().expect("bound");
            let zone = Zone::default()
                .addresses(NAME, &[FAR_V4.into()])
                .addresses("good.example", &[SECOND])
                .https(
                    &owner(address.port()),
                    1,
                    "good.example",
                    &[(PORT, &[0, 7])],
                )
                .https(&owner(address.port()), 2, "bad.example", parameters);
            let race = Race::new(&world, zone, address.port());
            let connection = race.run().await;
            assert_eq!(connection.info().remote, Some(address));
            assert_eq!(race.attempts(), [address], "with {parameters:?}");
        }
    });
}

#[test]
fn hints_are_attempted_until_addresses_come() {
    let Some(world) = world("hints_are_attempted_until_addresses_come") else {
        return;
    };
    world.run(|| async {
        let listener = world.far_listener(FAR_V4);
        let address = listener.local_addr().expect("bound");
        // The hints lead to silence, and to a host that the answers do not confirm.
        world.far.nft_input("ip daddr 192.0.2.3 drop");
        let zone = Zone::default()
            .https(
                &owner(address.port()),
                1,
                NAME,
                &[(IPV4_HINT, &[192, 0, 2, 3, 192, 0, 2, 4])],
            )
            .addresses(NAME, &[SECOND, FAR_V4.into()]);
        let timing = Timing {
            attempt_delay: Duration::from_secs(1),
            ..Timing::default()
        };
        let race = Race::with(&world, zone, address.port(), &[A, AAAA], timing);
        let release = async {
            let is_started = |event: &EventKind| matches!(event, EventKind::AttemptStarted { .. });
            race.log.wait_for(is_started).await;
            race.names.release();
        };
        let (connection, ()) = tokio::join!(race.run(), release);
        assert_eq!(connection.info().remote, Some(address));
        let hinted = SocketAddr::new(SECOND, address.port());
        assert_eq!(race.attempts(), [hinted, address]);
        race.log.assert_order(&[
            ("a hint is attempted", &|event| {
                matches!(event, EventKind::AttemptStarted { leaf, .. } if leaf.remote == hinted)
            }),
            ("answers", &|event| {
                matches!(event, EventKind::Answered { records: 2, .. })
            }),
            ("which are sorted in", &|event| {
                matches!(event, EventKind::Ordered { leaves } if !leaves.is_empty())
            }),
            ("an address is attempted", &|event| {
                matches!(event, EventKind::AttemptStarted { leaf, .. } if leaf.remote == address)
            }),
            ("and only its win ends the first", &|event| {
                matches!(event, EventKind::AttemptCancelled { attempt, reason }
                    if attempt.0 == 0 && *reason == CancelReason::AnotherWon)
            }),
        ]);
    });
}

#[test]
fn a_service_sets_port_and_application_protocol_and_not_the_name_that_is_proved() {
    let test = "a_service_sets_port_and_application_protocol_and_not_the_name_that_is_proved";
    let Some(world) = world(test) else { return };
    let identity = self_signed(&[NAME.to_owned()]).expect("an identity");
    let roots = [identity.chain[0].clone()];
    let (sender, bound) = mpsc::channel();
    let server = world.far.spawn(move || {
        block_on(async move {
            let security = Security::tls().with_identity(identity);
            let mut listener = Preconnection::new(security.with_alpn(["h2", "http/1.1"]))
                .local(LocalEndpoint::address(FAR_V4))
                .listen()
                .await
                .expect("a listener");
            sender.send(listener.port()).expect("the test waits");
            let connection = listener.accept().await.expect("a connection");
            let _ = connection.receive().await;
        });
    });
    let address = SocketAddr::new(FAR_V4.into(), bound.recv().expect("a port"));
    world.run(|| async {
        let port = address.port().to_be_bytes();
        let foreign = b"\x0aunheard-of";
        let zone = Zone::default()
            .addresses(NAME, &[THIRD])
            .addresses("foreign.example", &[SECOND])
            .addresses("other.example", &[FAR_V4.into()])
            .https(
                NAME,
                1,
                "foreign.example",
                &[(ALPN, foreign), (NO_DEFAULT_ALPN, b"")],
            )
            .https(
                NAME,
                2,
                "other.example",
                &[(ALPN, b"\x02h2"), (PORT, &port)],
            );
        let mut race = Race::new(&world, zone, 9);
        let security = Security::tls().with_roots(roots);
        let names = environment(DnsConfig::servers([race.names.address]));
        race.preconnection = Preconnection::new(security.with_alpn(["h2", "http/1.1"]))
            .context(&Context::new(names))
            .remote(RemoteEndpoint::host_name(NAME).service("https"));
        let connection = race.run().await;
        let info = connection.info();
        assert_eq!(info.remote, Some(address));
        assert_eq!(race.attempts(), [address]);
        let protection = info.protection.expect("protected");
        assert_eq!(protection.alpn.as_deref(), Some(&b"h2"[..]));
        assert_eq!(protection.server_name.as_deref(), Some(NAME));
        connection.close().await.expect("acknowledged");
    });
    server.join().expect("the server ends");
}

#[test]
fn a_service_of_an_srv_name_is_found_and_its_servers_tried_in_their_order() {
    let test = "a_service_of_an_srv_name_is_found_and_its_servers_tried_in_their_order";
    let Some(world) = world(test) else { return };
    world.run(|| async {
        let listener = world.far_listener(FAR_V4);
        let address = listener.local_addr().expect("bound");
        let zone = Zone::default()
            .srv(
                "_echo._tcp.host.example",
                20,
                address.port(),
                "right.example",
            )
            .srv("_echo._tcp.host.example", 10, 7, "refused.example")
            .addresses("right.example", &[FAR_V4.into()])
            .addresses("refused.example", &[SECOND]);
        let mut race = Race::new(&world, zone, 9);
        let names = environment(DnsConfig::servers([race.names.address]));
        race.preconnection = Preconnection::new(Security::disabled())
            .context(&Context::new(names))
            .remote(RemoteEndpoint::host_name(NAME).service("_echo._tcp"));
        let connection = race.run().await;
        assert_eq!(connection.info().remote, Some(address));
        assert_eq!(race.attempts(), [SocketAddr::new(SECOND, 7), address]);
    });
}

#[test]
fn an_endpoint_with_an_address_leads_to_that_address_only() {
    let Some(world) = world("an_endpoint_with_an_address_leads_to_that_address_only") else {
        return;
    };
    world.run(|| async {
        let address = SocketAddr::new(SECOND, 9);
        let zone = Zone::default().addresses(NAME, &[FAR_V4.into(), THIRD]);
        let mut race = Race::new(&world, zone, 9);
        let names = environment(DnsConfig::servers([race.names.address]));
        race.preconnection = Preconnection::new(Security::disabled())
            .context(&Context::new(names))
            .remote(RemoteEndpoint::from(address).with_host_name(NAME));
        let refused = initiate(&race.preconnection, &race.log).await;
        assert!(refused.is_err(), "nobody listens there");
        assert_eq!(race.attempts(), [address]);
        let asked = [A, AAAA, HTTPS].map(|kind| race.names.questions(NAME, kind));
        assert_eq!(asked, [0, 0, 0]);
    });
}

#[test]
fn families_alternate_while_addresses_last() {
    let Some(world) = world("families_alternate_while_addresses_last") else {
        return;
    };
    world.run(|| async {
        let zone = Zone::default().addresses(
            NAME,
            &[FAR_V6.into(), SECOND_V6, FAR_V4.into(), SECOND, THIRD],
        );
        let race = Race::new(&world, zone, 9);
        let error = initiate(&race.preconnection, &race.log).await;
        let error = error.expect_err("nobody listens");
        eprintln!("{}\n", race.log.text());
        let attempts = error.report().expect("a race").attempts.len();
        assert_eq!(attempts, 5, "each address was refused");
        let families: Vec<bool> = race.attempts().iter().map(SocketAddr::is_ipv6).collect();
        assert_eq!(families, [true, false, true, false, false]);
    });
}

#[test]
fn a_family_without_connectivity_is_not_asked_for() {
    let Some(world) = World::unconnected("a_family_without_connectivity_is_not_asked_for") else {
        return;
    };
    world.near.command("ip addr add 192.0.2.1/24 dev near");
    world.near.command("ip route add default via 192.0.2.2");
    world.run(|| async {
        let listener = world.far_listener(FAR_V4);
        let address = listener.local_addr().expect("bound");
        let zone = Zone::default().addresses(NAME, &[FAR_V6.into(), FAR_V4.into()]);
        let race = Race::new(&world, zone, address.port());
        let connection = race.run().await;
        assert_eq!(connection.info().remote, Some(address));
        assert_eq!(race.names.questions(NAME, AAAA), 0);
        assert_eq!(race.names.questions(NAME, A), 1);
    });
}

#[test]
fn a_round_trip_that_was_measured_shortens_the_delays_of_the_next_race() {
    let test = "a_round_trip_that_was_measured_shortens_the_delays_of_the_next_race";
    let Some(world) = world(test) else { return };
    world.run(|| async {
        let listener = world.far_listener(FAR_V4);
        let port = listener.local_addr().expect("bound").port();
        let zone = Zone::default().addresses(NAME, &[FAR_V4.into()]);
        let race = Race::new(&world, zone, port);
        let delays = || {
            race.log.find_map(|event| match event {
                EventKind::AttemptStarted { next_after, .. } => Some(*next_after),
                _ => None,
            })
        };
        race.run().await;
        assert_eq!(delays(), [Duration::from_millis(250)], "without history");
        race.run().await;
        // The cable is quicker than the least delay that is recommended.
        assert_eq!(delays()[1], Duration::from_millis(100));
    });
}

#[test]
fn an_answer_after_the_win_is_kept_for_the_next_race() {
    let Some(world) = world("an_answer_after_the_win_is_kept_for_the_next_race") else {
        return;
    };
    world.run(|| async {
        let listener = world.far_listener(FAR_V4);
        let port = listener.local_addr().expect("bound").port();
        let zone =
            Zone::default()
                .addresses(NAME, &[FAR_V4.into()])
                .https(&owner(port), 1, ".", &[]);
        let timing = Timing {
            late_answers: Duration::from_secs(3600),
            ..Timing::default()
        };
        let race = Race::with(&world, zone, port, &[HTTPS], timing);
        race.run().await;
        let is_late =
            |event: &EventKind| matches!(event, EventKind::Answered { is_late: true, .. });
        assert!(!race.has(is_late));
        race.names.release();
        race.run().await;
        assert_eq!(
            race.names.questions(&owner(port), HTTPS),
            1,
            "the answer was kept"
        );
        assert_eq!(race.names.questions(NAME, A), 1);
    });
}
