//! Dials that stall, that outlive their request, and that take too long.

use super::server::{Frames, OK, answer_all, gone, protected};
use super::{Listening, Net, ROUND_TRIP, config, millis, sleep, text, timeouts};
use portway_http::client::{ClientEvent, ErrorClass, Phase};
use portway_http::pool::{Counts, Version};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A server of one version whose first connection gets nowhere: when its client gave it up.
fn stalling(net: &Net, version: Version) -> (Listening, Arc<Mutex<Option<Duration>>>) {
    let (made, ended) = (net.made.clone(), Arc::new(Mutex::new(None)));
    let (tell, sim) = (ended.clone(), net.near.clone());
    let listening = net.serve(move |count, mut pipe| {
        let (made, tell, sim) = (made.clone(), tell.clone(), sim.clone());
        async move {
            if count == 0 {
                gone(&mut pipe).await;
                let now = portway_transport::environment::Environment::now(&*sim);
                *tell.lock().expect("no panic") = Some(now.since_origin());
                return;
            }
            match version {
                Version::Http1 => {
                    let Some(mut stream) = protected(&made, pipe, b"http/1.1").await else {
                        return;
                    };
                    answer_all(&mut stream, OK).await;
                }
                _ => {
                    let Some(stream) = protected(&made, pipe, b"h2").await else {
                        return;
                    };
                    Frames::begin(stream).await.answer_all().await;
                }
            }
        }
    });
    (listening, ended)
}

#[test]
fn a_stalled_dial_is_dropped_and_then_stalls_nobody() {
    for version in [Version::Http1, Version::Http2] {
        for abandoned_max in [Some(millis(100)), None] {
            Net::run(async |net| {
                let (server, ended) = stalling(net, version);
                let own = config(|config| {
                    config.abandoned_dial_max = abandoned_max.unwrap_or(config.abandoned_dial_max);
                });
                let abandoned_max = own.abandoned_dial_max;
                let client = net.client().pool(own).build();
                let url = server.url("https");
                let request = client.get(&url).versions(version).send();
                net.cut(millis(100), request).await;
                assert_eq!(client.counts().dials, 1, "it goes on for a while");
                for number in 0..3 {
                    let (_, took) = net.timed(text(&client, &url, version)).await;
                    // The first waits until the stalled dial is given up; then TCP, TLS and the
                    // request have a round trip each.
                    let expected = match number {
                        0 => abandoned_max + 3 * ROUND_TRIP,
                        _ => ROUND_TRIP,
                    };
                    assert_eq!(took, expected, "{version:?} {number}");
                }
                net.sleep(abandoned_max).await;
                let ended = ended.lock().expect("no panic").expect("it was given up");
                assert_eq!(ended, millis(100) + abandoned_max + ROUND_TRIP / 2);
                assert_eq!(
                    server.accepted(),
                    2,
                    "the stalled one, and one for all requests"
                );
            });
        }
    }
}

#[test]
fn a_pending_dial_is_kept_as_long_as_it_may_go_on() {
    for abandoned_max in [Duration::from_secs(20), Duration::MAX] {
        Net::run(async |net| {
            let made = net.made.clone();
            let server = net.serve(move |_, pipe| {
                let made = made.clone();
                async move {
                    sleep(&*pipe.environment.clone(), Duration::from_secs(10)).await;
                    let Some(mut stream) = protected(&made, pipe, b"http/1.1").await else {
                        return;
                    };
                    answer_all(&mut stream, OK).await;
                }
            });
            let own = config(|config| config.abandoned_dial_max = abandoned_max);
            let patient = timeouts(|limits| limits.handshake = None);
            let client = net.client().pool(own).timeouts(patient).build();
            let url = server.url("https");
            net.cut(millis(100), client.get(&url).send()).await;
            net.sleep(Duration::from_secs(11)).await;
            assert_eq!(
                client.counts().idle,
                1,
                "what came of it is there for others"
            );
            text(&client, &url, Version::Http1).await;
            assert_eq!(server.accepted(), 1);
        });
    }
}

#[test]
fn the_phases_of_a_dial_are_told_whether_or_not_its_race_is_watched() {
    for is_watched in [false, true] {
        Net::run(async |net| {
            let made = net.made.clone();
            let server = net.serve(move |_, pipe| {
                let made = made.clone();
                async move {
                    if let Some(mut stream) = protected(&made, pipe, b"http/1.1").await {
                        answer_all(&mut stream, OK).await;
                    }
                }
            });
            let events = Arc::<Mutex<usize>>::default();
            let count = events.clone();
            let client = match is_watched {
                true => net
                    .client()
                    .on_event(move |event| {
                        let is_of_race = matches!(event, ClientEvent::Race(..));
                        *count.lock().expect("no panic") += usize::from(is_of_race);
                    })
                    .build(),
                false => net.client().build(),
            };
            let response = client.get(server.url("https")).send().await;
            let phases = response.expect("an answer").connection().phases;
            assert_eq!(phases.resolved, Duration::ZERO);
            assert_eq!(phases.connected, ROUND_TRIP);
            assert_eq!(phases.ready, 2 * ROUND_TRIP);
            assert_eq!(*events.lock().expect("no panic") > 0, is_watched);
        });
    }
}

#[test]
fn tls_that_does_not_begin_fails_at_the_limit_of_its_phase() {
    for version in [Version::Http1, Version::Http2] {
        Net::run(async |net| {
            let server = net.serve(|_, mut pipe| async move { gone(&mut pipe).await });
            let limits = timeouts(|limits| limits.handshake = Some(Duration::from_secs(1)));
            let client = net.client().timeouts(limits).build();
            let request = client.get(server.url("https")).versions(version).send();
            let (outcome, took) = net.timed(request).await;
            let error = outcome.expect_err("nobody answers");
            assert_eq!(error.class(), ErrorClass::TimedOut(Phase::Handshake));
            assert_eq!(took, ROUND_TRIP + Duration::from_secs(1));
            assert_eq!(client.counts(), Counts::default());
        });
    }
}

#[test]
fn a_host_that_does_not_answer_fails_at_the_limit_for_connecting() {
    for version in [Version::Http1, Version::Http2, Version::Http3] {
        Net::run(async |net| {
            let address = match version {
                Version::Http3 => net.silent_udp(),
                _ => {
                    let address = net.free_address();
                    let protocol = portway_core::stack::WireProtocol::Tcp;
                    net.far.silence(protocol, address.port());
                    address
                }
            };
            let limits = timeouts(|limits| limits.connect = Some(Duration::from_secs(1)));
            let client = net.client().timeouts(limits).build();
            let request = client.get(format!("https://{address}/"));
            let (outcome, took) = net.timed(request.versions(version).send()).await;
            let error = outcome.expect_err("nobody answers");
            assert_eq!(error.class(), ErrorClass::TimedOut(Phase::Connect));
            assert_eq!(took, Duration::from_secs(1), "{version:?}");
        });
    }
}
