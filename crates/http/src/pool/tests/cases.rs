//! Named cases: who is served by what, and what a failure touches. Those that .NET's handler is
//! tested for are among them.

use super::world::{H1, H2, H3, World, either, seconds};
use crate::pool::{
    Action, After, CancelReason, CloseReason, Config, Event, FailReason, RequestId, Version,
    Versions,
};
use portway_core::Time;

fn world() -> World {
    World::new(Config::default())
}

/// A connection of this version that carries nothing and takes 100 requests at a time.
fn with_idle(version: Version) -> World {
    let mut world = world();
    let request = world.request(0, version);
    let connection = world.connect(world.only_dial(), version);
    if version != H1 {
        world.streams(connection, 100);
    }
    world.finish(request, After::Reuse);
    world.log.clear();
    world
}

fn assigned(world: &World) -> Vec<RequestId> {
    let requests = world.log.iter().filter_map(|action| match action {
        Action::Assign { request, .. } => Some(*request),
        _ => None,
    });
    requests.collect()
}

#[test]
fn twenty_first_requests_share_one_http2_dial() {
    let mut world = world();
    let requests: Vec<_> = (0..20).map(|_| world.request(0, either())).collect();
    assert_eq!(world.dials.len(), 1);
    let connection = world.connect(world.only_dial(), H2);
    assert_eq!(
        assigned(&world),
        requests[..1],
        "until the peer has said how many it takes"
    );
    world.streams(connection, 100);
    assert_eq!(assigned(&world), requests);
    assert_eq!(world.open.len(), 1);
}

#[test]
fn twenty_first_requests_have_a_dial_each_where_only_http1_is_taken() {
    let mut world = world();
    for _ in 0..20 {
        world.request(0, H1);
    }
    assert_eq!(world.dials.len(), 20);
}

#[test]
fn a_further_http2_connection_is_opened_when_streams_run_out() {
    let mut world = world();
    let requests: Vec<_> = (0..3).map(|_| world.request(0, H2)).collect();
    let first = world.connect(world.only_dial(), H2);
    assert!(world.dials.is_empty(), "the peer may take all three");
    world.streams(first, 1);
    let second = world.connect(world.only_dial(), H2);
    assert_eq!(world.assigned[&requests[1]], second);
    world.streams(second, 1);
    assert_eq!(world.dials.len(), 1, "one pending dial at a time");
}

#[test]
fn a_further_http3_connection_is_opened_only_when_asked_for() {
    for (has_further_http3, dials) in [(false, 0), (true, 1)] {
        let mut world = World::new(Config {
            has_further_http3,
            ..Config::default()
        });
        let requests = [world.request(0, H3), world.request(0, H3)];
        let first = world.connect(world.only_dial(), H3);
        world.streams(first, 1);
        assert_eq!(world.dials.len(), dials);
        world.finish(requests[0], After::Reuse);
        assert_eq!(world.assigned[&requests[1]], first);
    }
}

#[test]
fn a_request_runs_on_whatever_is_free_first_and_its_dial_is_kept() {
    let mut world = world();
    let first = world.request(0, H1);
    let connection = world.connect(world.only_dial(), H1);
    let second = world.request(0, H1);
    let dial = world.only_dial();
    world.finish(first, After::Reuse);
    assert_eq!(world.assigned[&second], connection);
    assert!(
        world
            .log
            .contains(&Action::Tell(Event::DialAbandoned(dial)))
    );
    let third = world.request(0, H1);
    assert_eq!(
        world.only_dial(),
        dial,
        "the pending dial serves the next request"
    );
    let other = world.connect(dial, H1);
    assert_eq!(world.assigned[&third], other);
}

#[test]
fn a_dial_without_takers_becomes_an_idle_connection() {
    let mut world = world();
    let request = world.request(0, H1);
    let dial = world.only_dial();
    world.cancel(request);
    world.pass(seconds(4));
    world.connect(dial, H1);
    assert_eq!(world.pool.counts().idle, 1);
    let next = world.request(0, H1);
    assert!(world.assigned.contains_key(&next) && world.dials.is_empty());
}

#[test]
fn a_stalled_dial_is_dropped_after_its_request_was_cancelled() {
    let mut world = world();
    let request = world.request(0, either());
    let dial = world.only_dial();
    world.pass(seconds(1));
    world.cancel(request);
    let waiter = world.request(0, either());
    world.pass(seconds(5));
    let dropped = Action::CancelDial {
        dial,
        reason: CancelReason::Abandoned,
    };
    assert!(world.log.contains(&dropped));
    assert_ne!(world.dial_of(waiter), dial, "who waits is dialled for");
    assert_eq!(
        world.pool.on_connected(world.now, dial, H2),
        None,
        "too late"
    );
}

#[test]
fn an_abandoned_dial_has_no_more_time_than_any_other() {
    let config = Config {
        dial_max: seconds(3),
        ..Config::default()
    };
    let mut world = World::new(config);
    let request = world.request(0, H2);
    world.pass(seconds(2));
    world.cancel(request);
    world.pass(seconds(1));
    assert!(world.dials.is_empty());
    assert_eq!(world.now, Time::ZERO + seconds(3));
}

#[test]
fn the_connect_time_limit_fails_the_initiator_only() {
    let mut world = world();
    let first = world.request(0, H2);
    let second = world.request(0, H2);
    let dial = world.only_dial();
    world.pass(seconds(30));
    let timed_out = Action::Fail {
        request: first,
        reason: FailReason::DialTimedOut(dial),
    };
    let cancelled = Action::CancelDial {
        dial,
        reason: CancelReason::TimedOut,
    };
    assert!(world.log.contains(&timed_out) && world.log.contains(&cancelled));
    assert_eq!(world.only_dial(), world.dial_of(second));
}

#[test]
fn a_failed_dial_fails_only_its_initiator() {
    let mut world = world();
    let requests: Vec<_> = (0..3).map(|_| world.request(0, H2)).collect();
    let dial = world.only_dial();
    world.fail(dial);
    assert!(!world.waiting.contains_key(&requests[0]));
    assert_eq!(world.waiting.len(), 2);
    world.connect(world.dial_of(requests[1]), H2);
    assert!(world.assigned.contains_key(&requests[1]));
}

#[test]
fn a_failed_dial_fails_nobody_when_its_initiator_was_served_elsewhere() {
    let mut world = world();
    let requests = [world.request(0, H1), world.request(0, H1)];
    let dials = requests.map(|request| world.dial_of(request));
    world.connect(dials[1], H1);
    world.finish(requests[1], After::Reuse);
    assert!(world.assigned.contains_key(&requests[0]));
    world.fail(dials[0]);
    assert!(world.assigned.contains_key(&requests[0]));
    assert!(
        !world
            .log
            .iter()
            .any(|action| matches!(action, Action::Fail { .. }))
    );
}

#[test]
fn a_downgrade_to_http1_gives_everybody_a_dial() {
    let mut world = world();
    let requests: Vec<_> = (0..4).map(|_| world.request(0, either())).collect();
    let exact = world.request(0, H2);
    world.connect(world.only_dial(), H1);
    assert!(world.assigned.contains_key(&requests[0]));
    assert_eq!(world.dials.len(), 4);
    let wrong = Action::Fail {
        request: exact,
        reason: FailReason::WrongVersion(H1),
    };
    world.connect(world.dial_of(exact), H1);
    assert!(
        world.log.contains(&wrong),
        "exactly HTTP/2 is not to be had"
    );
    world.connect(world.dial_of(requests[2]), H2);
    let mut latecomers = 0;
    while world.dials.len() < 3 && latecomers < 3 {
        world.request(0, either());
        latecomers += 1;
    }
    assert_eq!(
        latecomers, 3,
        "HTTP/2 after all: those who come now share it"
    );
}

#[test]
fn a_dial_for_http1_alone_says_nothing_of_what_the_peer_speaks() {
    let mut world = world();
    world.request(0, H1);
    world.connect(world.only_dial(), H1);
    world.request(0, either());
    world.request(0, either());
    assert_eq!(world.dials.len(), 1);
}

#[test]
fn retries_are_limited_and_keep_their_place() {
    let mut world = with_idle(H2);
    let request = world.request(0, H2);
    let connection = world.assigned[&request];
    for _ in 0..3 {
        assert!(world.retry(request));
        assert_eq!(world.assigned[&request], connection);
    }
    assert!(!world.retry(request), "three times are enough");
    assert!(!world.assigned.contains_key(&request));
    assert!(
        !world.pool.retry(world.now, request, H2.into()),
        "it is forgotten"
    );

    let older = world.request(1, H1);
    let connection = world.connect(world.only_dial(), H1);
    let younger = world.request(1, H1);
    let dial = world.dial_of(younger);
    world.closed(connection);
    assert!(world.retry(older));
    world.connect(dial, H1);
    assert!(
        world.assigned.contains_key(&younger),
        "its own dial serves it first"
    );
    world.finish(younger, After::Reuse);
    assert!(world.assigned.contains_key(&older));
}

#[test]
fn a_retry_may_take_other_versions() {
    let mut world = with_idle(H2);
    let request = world.request(0, either());
    assert!(world.pool.retry(world.now, request, H1.into()));
    let Some(Action::Dial { versions, .. }) = world.pool.poll_action() else {
        panic!("the connection is of the wrong version");
    };
    assert_eq!(versions, Versions::from(H1));
}

#[test]
fn a_connection_that_broke_is_not_used_again() {
    let mut world = with_idle(H1);
    let request = world.request(0, H1);
    world.finish(request, After::Discard);
    assert!(world.open.is_empty());
    let mut world = with_idle(H2);
    let request = world.request(0, H2);
    world.finish(request, After::Discard);
    assert_eq!(
        world.open.len(),
        1,
        "a stream's end is not the connection's"
    );
}

#[test]
fn idle_http1_connections_are_used_last_in_first_out() {
    let mut world = world();
    let requests: Vec<_> = (0..3).map(|_| world.request(0, H1)).collect();
    let connections: Vec<_> = requests
        .iter()
        .map(|request| world.connect(world.dial_of(*request), H1))
        .collect();
    for index in [1, 2, 0] {
        world.finish(requests[index], After::Reuse);
    }
    let again = [(); 3].map(|()| world.request(0, H1));
    let order = again.map(|request| world.assigned[&request]);
    assert_eq!(order, [connections[0], connections[2], connections[1]]);
}

#[test]
fn a_connection_that_goes_away_ends_with_its_last_request() {
    let mut world = with_idle(H2);
    let (kept, last) = (world.request(0, H2), world.request(0, H2));
    let connection = world.assigned[&kept];
    world.go_away(connection);
    let next = world.request(0, H2);
    assert!(world.waiting.contains_key(&next));
    world.finish(kept, After::Reuse);
    assert!(world.open.contains_key(&connection));
    world.finish(last, After::Reuse);
    let drained = Action::Close {
        connection,
        reason: CloseReason::Drained,
    };
    assert!(world.log.contains(&drained));
}

#[test]
fn the_newest_version_with_room_is_used_and_its_oldest_connection() {
    let mut world = with_idle(H1);
    let request = world.request(0, H2);
    let second = world.connect(world.only_dial(), H2);
    world.streams(second, 2);
    let next = world.request(0, either());
    assert_eq!(world.assigned[&next], second);
    let third = world.request(0, either());
    assert_eq!(world.open[&world.assigned[&third]].version, H1);
    world.finish(request, After::Reuse);
    let fourth = world.request(0, either());
    assert_eq!(world.assigned[&fourth], second);
}

#[test]
fn keys_do_not_share_connections() {
    let mut world = with_idle(H2);
    world.request(1, H2);
    assert_eq!(world.dials.len(), 1);
}

#[test]
fn what_happens_too_late_or_twice_has_no_effect() {
    let mut world = with_idle(H2);
    let connection = *world.open.keys().next().unwrap();
    let request = world.request(0, H2);
    world.cancel(RequestId(u64::MAX));
    world.pool.cancel(world.now, request);
    assert_eq!(
        world.pool.counts().active,
        1,
        "what is sent is ended by on_finished"
    );
    world.finish(request, After::Reuse);
    world.pool.on_finished(world.now, request, After::Reuse);
    world.closed(connection);
    world.pool.on_closed(world.now, connection);
    world.pool.on_draining(world.now, connection);
    world.pool.on_streams_max(world.now, connection, 5);
    assert_eq!(world.pool.poll_action(), None);
    assert_eq!(world.pool.counts(), crate::pool::Counts::default());
}

#[test]
fn an_assignment_can_be_taken_by_its_request_when_it_is_the_next_thing_to_do() {
    let mut pool = crate::pool::Pool::new(Config::default());
    let first = pool.request(Time::ZERO, 0, H2.into());
    assert_eq!(pool.take_assignment(first), None, "it is dialled for");
    let Some(Action::Dial { dial, .. }) = pool.poll_action() else {
        panic!("nothing is there yet")
    };
    let connection = pool.on_connected(Time::ZERO, dial, H2).unwrap();
    pool.on_streams_max(Time::ZERO, connection, 10);
    let second = pool.request(Time::ZERO, 0, H2.into());
    assert_eq!(
        pool.take_assignment(second),
        None,
        "another one comes first"
    );
    let taken = pool.take_assignment(first).unwrap();
    assert_eq!((taken.connection, taken.is_reused), (connection, false));
    let taken = pool.take_assignment(second).unwrap();
    assert_eq!((taken.connection, taken.is_reused), (connection, true));
    assert_eq!(pool.poll_action(), None);
}
