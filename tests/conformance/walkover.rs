//! Races of one address that nobody watches: told afterwards as if somebody had.

use crate::support::*;
use portway::race::{EventKind, Report};
use portway::{ConnectionEvent, EstablishmentError, Preconnection, RemoteEndpoint, Security};
use portway_sim::Direction;
use portway_transport::environment::Environment;
use std::future::IntoFuture;
use std::time::Duration;

fn to_address(net: &Net, security: Security) -> Preconnection {
    Preconnection::new(security.with_server_name(NAME))
        .context(&net.at_client)
        .remote(RemoteEndpoint::address(ip(V6)).port(PORT))
}

/// The reports of the same active open, unwatched and watched, of the second one in each world:
/// the first has left its measurements.
fn both_reports(prepare: impl Fn(&Net), timeout: Option<Duration>) -> [Report; 2] {
    [false, true].map(|is_watched| {
        let net = Net::new(31);
        prepare(&net);
        let to = to_address(&net, client_tls());
        let mut last = None;
        for _ in 0..2 {
            let mut initiate = to.initiate();
            if let Some(timeout) = timeout {
                initiate = initiate.timeout(timeout);
            }
            if is_watched {
                initiate = initiate.on_event(|_| {});
            }
            let outcome = net.sim.block_on(initiate.into_future());
            last = Some(report_of(&outcome));
        }
        last.expect("two races")
    })
}

fn report_of(outcome: &Result<portway::Connection, EstablishmentError>) -> Report {
    match outcome {
        Ok(connection) => connection.report().expect("a race"),
        Err(error) => error.report().expect("a race").clone(),
    }
}

#[test]
fn an_unwatched_win_is_reported_like_a_watched_one() {
    let listening = |net: &Net| std::mem::forget(net.listen(server_tls()));
    for timeout in [None, Some(ms(700))] {
        let [unwatched, watched] = both_reports(listening, timeout);
        assert_eq!(unwatched, watched);
        assert!(unwatched.winner().is_some(), "{unwatched}");
    }
}

#[test]
fn an_unwatched_failure_is_reported_like_a_watched_one() {
    let [unwatched, watched] = both_reports(|_| {}, None);
    assert_eq!(unwatched, watched);
    assert!(story(&unwatched)[0].ends_with("failed: Refused"));
}

#[test]
fn an_unwatched_race_ends_at_its_deadline_like_a_watched_one() {
    let silent = |net: &Net| {
        net.sim.link("client", "server").black_hole(Direction::Both);
    };
    let [unwatched, watched] = both_reports(silent, Some(ms(700)));
    assert_eq!(unwatched, watched);
    let (when, _) = unwatched.outcome.expect("lost");
    assert_eq!(when.saturating_since(unwatched.started), ms(700));
}

#[test]
fn who_begins_to_listen_midway_hears_what_follows() {
    let net = Net::new(32);
    let _listener = net.listen(server_tls());
    let connection = to_address(&net, client_tls())
        .background()
        .expect("planned");
    // TCP takes one round trip of 20 ms, and TLS follows.
    net.sim.run_until(at(10));
    let mut events = connection.events();
    let mut heard = Vec::new();
    net.sim.block_on(async {
        loop {
            match events.next().await.expect("an event") {
                ConnectionEvent::Race(event) => heard.push(event.kind),
                ConnectionEvent::Ready => break,
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(
        matches!(heard.first(), Some(EventKind::Progressed { .. })),
        "{heard:?}"
    );
    assert!(
        heard
            .iter()
            .any(|kind| matches!(kind, EventKind::Won { .. })),
        "{heard:?}"
    );
    assert_eq!(
        story(&connection.report().expect("a race")),
        ["0 tls [2001:db8::2]:443 won"]
    );
}

#[test]
fn a_preconnection_plans_anew_when_the_paths_have_changed() {
    let net = Net::new(33);
    let _listener = net.listen(server_tls());
    let to = to_address(&net, client_tls());
    let first = net.sim.block_on(to.initiate().into_future());
    assert!(first.is_ok(), "{first:?}");
    let paths = net.client.paths();
    net.client.set_paths(Vec::new());
    let cut_off = net
        .sim
        .block_on(to.initiate().timeout(ms(100)).into_future());
    let report = report_of(&cut_off);
    assert!(report.attempts.is_empty(), "there is no route: {report}");
    net.client.set_paths(paths);
    let second = net.sim.block_on(to.initiate().into_future());
    assert!(second.is_ok(), "{second:?}");
}
