//! Addresses that the network or this host says cannot be reached.

use crate::log::Log;
use crate::names::{NAME, Names};
use crate::world::{FAR_V4, World, environment, initiate};
use portway::race::{EventKind, StartReason, Timing};
use portway::{Context, FailureKind, Preconnection, RemoteEndpoint, Security};
use portway_transport::real::DnsConfig;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// As near to `near` as [`FAR_V4`] is, so that the order of the answer decides.
const DEAD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);

/// Connects to a name with a dead address and a good one: the second attempt must follow the
/// failure of the first, as its delay never passes.
async fn second_attempt_follows_at_once(world: &World, expected: FailureKind) {
    let listener = world.far_listener(FAR_V4);
    let port = listener.local_addr().expect("bound").port();
    let addresses: [IpAddr; 2] = [DEAD.into(), FAR_V4.into()];
    let names = Names::start(world, &addresses, None);
    let timing = Timing {
        attempt_delay: Duration::from_secs(3600),
        attempt_delay_max: Duration::from_secs(3600),
        ..Timing::default()
    };
    let context = Context::builder(environment(DnsConfig::servers([names.address])))
        .timing(timing)
        .build();
    let preconnection = Preconnection::new(Security::disabled())
        .context(&context)
        .remote(RemoteEndpoint::host_name(NAME).port(port));
    let log = Log::default();
    let connection = initiate(&preconnection, &log).await.expect("one answers");
    eprintln!("{}\n", log.text());
    assert_eq!(connection.info().remote, Some((FAR_V4, port).into()));
    let starts = |address: Ipv4Addr, why: StartReason| {
        move |event: &EventKind| {
            matches!(event, EventKind::AttemptStarted { leaf, reason, .. }
                if leaf.remote.ip() == address && *reason == why)
        }
    };
    log.assert_order(&[
        (
            "the dead address",
            &starts(DEAD, StartReason::NothingRunning),
        ),
        ("its failure", &|event| {
            matches!(event, EventKind::AttemptFailed { attempt, failure }
                if attempt.0 == 0 && failure.kind == expected && failure.code.is_some())
        }),
        ("the good one", &starts(FAR_V4, StartReason::AttemptFailed)),
        (
            "which wins",
            &|event| matches!(event, EventKind::Won { attempt } if attempt.0 == 1),
        ),
    ]);
    let report = connection.report().expect("a race").to_string();
    let mut lines = report.lines();
    let is_told = lines.any(|line| line.contains(&DEAD.to_string()) && line.contains("failed"));
    assert!(is_told, "{report}");
}

#[test]
fn icmp_unreachable_starts_the_next_attempt_at_once() {
    let Some(world) = World::new("icmp_unreachable_starts_the_next_attempt_at_once") else {
        return;
    };
    let codes = [
        ("host-unreachable", FailureKind::Unreachable),
        ("net-unreachable", FailureKind::Unreachable),
        ("port-unreachable", FailureKind::Refused),
        ("admin-prohibited", FailureKind::Unreachable),
    ];
    world.far.command("ip addr add 192.0.2.3/24 dev far");
    world.run(|| async {
        for (code, expected) in codes {
            world
                .far
                .nft_input(&format!("ip daddr {DEAD} reject with icmp type {code}"));
            second_attempt_follows_at_once(&world, expected).await;
            world.far.nft_flush();
        }
    });
}

#[test]
fn an_unreachable_route_starts_the_next_attempt_at_once() {
    let Some(world) = World::new("an_unreachable_route_starts_the_next_attempt_at_once") else {
        return;
    };
    world.run(|| async {
        let kinds = [
            ("unreachable", FailureKind::Unreachable),
            ("prohibit", FailureKind::PermissionDenied),
        ];
        for (kind, expected) in kinds {
            world.near.command(&format!("ip route add {kind} {DEAD}"));
            second_attempt_follows_at_once(&world, expected).await;
            world.near.command(&format!("ip route del {kind} {DEAD}"));
        }
    });
}

#[test]
fn a_refused_port_starts_the_next_attempt_at_once() {
    let Some(world) = World::new("a_refused_port_starts_the_next_attempt_at_once") else {
        return;
    };
    world.far.command("ip addr add 192.0.2.3/24 dev far");
    world.run(|| async {
        second_attempt_follows_at_once(&world, FailureKind::Refused).await;
    });
}
