//! Name servers that are slow for one type of record (Happy Eyeballs v3 §4.2).

use crate::log::Log;
use crate::names::{A, AAAA, HTTPS, NAME, Names};
use crate::world::{FAR_V4, FAR_V6, World, environment, initiate};
use portway::race::{EventKind, ReadyReason, Timing};
use portway::{Connection, Context, Preconnection, RemoteEndpoint, Security};
use portway_core::dns::RecordKind;
use portway_transport::real::DnsConfig;
use std::net::TcpListener;
use std::time::Duration;

/// A name with one address of each family, whose answers of type `held` do not come by
/// themselves.
struct Slow {
    preconnection: Preconnection,
    names: Names,
    log: Log,
    _listeners: [TcpListener; 2],
}

impl Slow {
    fn new(world: &World, held: u16, timing: Timing) -> Slow {
        let v4 = world.far_listener(FAR_V4);
        let port = v4.local_addr().expect("bound").port();
        let v6 = world.far.run(|| TcpListener::bind((FAR_V6, port)));
        let names = Names::start(world, &[FAR_V4.into(), FAR_V6.into()], Some(held));
        let environment = environment(DnsConfig::servers([names.address]));
        let context = Context::builder(environment).timing(timing).build();
        let remote = RemoteEndpoint::host_name(NAME).service("https").port(port);
        Slow {
            preconnection: Preconnection::new(Security::disabled())
                .context(&context)
                .remote(remote),
            names,
            log: Log::default(),
            _listeners: [v4, v6.expect("a free port")],
        }
    }

    /// Connects, and lets the slow answer go when `when` has happened.
    async fn connect(&self, when: impl Fn(&EventKind) -> bool) -> Connection {
        let release = async {
            self.log.wait_for(when).await;
            self.names.release();
        };
        let (connection, ()) = tokio::join!(initiate(&self.preconnection, &self.log), release);
        eprintln!("{}\n", self.log.text());
        connection.expect("a connection")
    }
}

fn is_asked(kind: RecordKind) -> impl Fn(&EventKind) -> bool {
    move |event| matches!(event, EventKind::Asked { question, .. } if question.kind == kind)
}

fn is_delayed(event: &EventKind) -> bool {
    matches!(event, EventKind::ResolutionDelayStarted { .. })
}

fn is_ready(why: ReadyReason) -> impl Fn(&EventKind) -> bool {
    move |event| matches!(event, EventKind::EndpointsReady { reason, .. } if *reason == why)
}

fn is_started(is_ipv4: bool) -> impl Fn(&EventKind) -> bool {
    move |event| match event {
        EventKind::AttemptStarted { leaf, .. } => leaf.remote.is_ipv4() == is_ipv4,
        _ => false,
    }
}

/// Delays that end only by the event that they wait for.
fn patient() -> Timing {
    Timing {
        resolution_delay: Duration::from_secs(3600),
        ..Timing::default()
    }
}

#[test]
fn slow_aaaa_is_waited_for_no_longer_than_the_delay() {
    let Some(world) = World::new("slow_aaaa_is_waited_for_no_longer_than_the_delay") else {
        return;
    };
    world.run(|| async {
        let slow = Slow::new(&world, AAAA, Timing::default());
        let connection = slow.connect(is_started(true)).await;
        assert!(connection.info().remote.expect("a peer").is_ipv4());
        slow.log.assert_order(&[
            ("AAAA asked", &is_asked(RecordKind::Aaaa)),
            ("A asked", &is_asked(RecordKind::A)),
            ("the delay starts", &is_delayed),
            ("the delay ends", &is_ready(ReadyReason::ResolutionDelay)),
            ("IPv4 starts", &is_started(true)),
        ]);
    });
}

#[test]
fn aaaa_that_comes_within_the_delay_is_attempted_first() {
    let Some(world) = World::new("aaaa_that_comes_within_the_delay_is_attempted_first") else {
        return;
    };
    world.run(|| async {
        let slow = Slow::new(&world, AAAA, patient());
        let connection = slow.connect(is_delayed).await;
        assert!(connection.info().remote.expect("a peer").is_ipv6());
        slow.log.assert_order(&[
            ("the delay starts", &is_delayed),
            ("all is there", &is_ready(ReadyReason::PreferredAnswers)),
            ("IPv6 starts", &is_started(false)),
        ]);
        assert_eq!(
            slow.log.position(is_started(true)),
            None,
            "IPv4 was not needed"
        );
    });
}

#[test]
fn slow_https_records_are_waited_for_no_longer_than_the_delay() {
    let Some(world) = World::new("slow_https_records_are_waited_for_no_longer_than_the_delay")
    else {
        return;
    };
    world.run(|| async {
        let slow = Slow::new(&world, HTTPS, Timing::default());
        let connection = slow.connect(is_started(false)).await;
        assert!(connection.info().remote.expect("a peer").is_ipv6());
        slow.log.assert_order(&[
            ("HTTPS asked first", &is_asked(RecordKind::Https)),
            ("AAAA asked", &is_asked(RecordKind::Aaaa)),
            ("the delay starts", &is_delayed),
            ("the delay ends", &is_ready(ReadyReason::ResolutionDelay)),
            ("IPv6 starts", &is_started(false)),
        ]);
    });
}

#[test]
fn a_slow_a_record_delays_nothing() {
    let Some(world) = World::new("a_slow_a_record_delays_nothing") else {
        return;
    };
    world.run(|| async {
        let slow = Slow::new(&world, A, patient());
        let connection = slow.connect(is_started(false)).await;
        assert!(connection.info().remote.expect("a peer").is_ipv6());
        let ready = slow.log.position(is_ready(ReadyReason::PreferredAnswers));
        assert!(ready.is_some(), "{}", slow.log.text());
    });
}
