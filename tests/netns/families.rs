//! One address family that is silent.

use crate::log::Log;
use crate::names::{NAME, Names};
use crate::world::{FAR_V4, FAR_V6, World, context_with_dns, initiate};
use portway::race::{CancelReason, EventKind, StartReason};
use portway::{Preconnection, RemoteEndpoint, Security, StackId};

#[test]
fn dropped_ipv6_gives_way_to_ipv4_after_the_delay() {
    let Some(world) = World::new("dropped_ipv6_gives_way_to_ipv4_after_the_delay") else {
        return;
    };
    world.run(|| async {
        let listener = world.far_listener(FAR_V4);
        let port = listener.local_addr().expect("bound").port();
        world
            .far
            .nft_input("meta nfproto ipv6 meta l4proto tcp drop");
        let names = Names::start(&world, &[FAR_V4.into(), FAR_V6.into()], None);
        let preconnection = Preconnection::new(Security::disabled())
            .context(&context_with_dns(names.address))
            .remote(RemoteEndpoint::host_name(NAME).port(port));
        let log = Log::default();
        let connection = initiate(&preconnection, &log).await.expect("IPv4 answers");
        eprintln!("{}", log.text());

        assert_eq!(connection.info().remote, Some((FAR_V4, port).into()));
        assert_eq!(connection.info().stack, Some(StackId::TCP));
        log.assert_order(&[
            ("IPv6 first, alone", &|event| {
                matches!(event, EventKind::AttemptStarted { leaf, reason, .. }
                    if leaf.remote.is_ipv6() && *reason == StartReason::NothingRunning)
            }),
            ("IPv4 after the delay", &|event| {
                matches!(event, EventKind::AttemptStarted { leaf, reason, .. }
                    if leaf.remote.is_ipv4() && *reason == StartReason::DelayPassed)
            }),
            ("IPv6 ended", &|event| {
                matches!(event, EventKind::AttemptCancelled { attempt, reason }
                    if attempt.0 == 0 && *reason == CancelReason::AnotherWon)
            }),
            (
                "IPv4 won",
                &|event| matches!(event, EventKind::Won { attempt } if attempt.0 == 1),
            ),
        ]);
        // What `explain` prints.
        let report = connection.report().expect("a race").to_string();
        eprintln!("{report}");
        let line = |text: &str| {
            let mut lines = report.lines();
            let line = lines.find(|line| line.contains(text));
            line.unwrap_or_else(|| panic!("{text} in {report}"))
        };
        assert!(line(&format!("[{FAR_V6}]:{port}")).contains("cancelled"));
        assert!(line(&format!("{FAR_V4}:{port}")).contains("won"));
    });
}
