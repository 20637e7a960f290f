//! Every bound of a pool, hit.

use super::world::{H1, H2, World, either, seconds};
use crate::pool::{Action, After, CloseReason, Config, Counts, FailReason};

fn closed(world: &World) -> Vec<CloseReason> {
    let reasons = world.log.iter().filter_map(|action| match action {
        Action::Close { reason, .. } => Some(*reason),
        _ => None,
    });
    reasons.collect()
}

/// A pool with room for one connection.
fn of_one_place() -> World {
    World::new(Config {
        connections_max: 1,
        ..Config::default()
    })
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = Config::default();
    assert_eq!(config.connections_per_key_max, 256);
    assert_eq!(config.connections_max, 1024);
    assert_eq!(config.waiting_max, 65_536);
    assert_eq!(config.idle_max, seconds(90));
    assert_eq!(config.lifetime_max, None);
    assert_eq!(config.dial_max, seconds(30));
    assert_eq!(config.abandoned_dial_max, seconds(5));
    assert_eq!(config.retries_max, 3);
    assert!(!config.has_further_http3);
}

#[test]
fn connections_to_one_key_are_limited() {
    let config = Config {
        connections_per_key_max: 2,
        ..Config::default()
    };
    let mut world = World::new(config);
    let requests: Vec<_> = (0..3).map(|_| world.request(0, H1)).collect();
    assert_eq!(world.dials.len(), 2);
    world.connect(world.dial_of(requests[0]), H1);
    assert_eq!(world.dials.len(), 1, "dials and connections count together");
    world.finish(requests[0], After::Discard);
    assert_eq!(world.dials.len(), 2, "a place that is free is used");
    world.request(1, H1);
    assert_eq!(world.dials.len(), 3, "another key has places of its own");
}

#[test]
fn an_idle_connection_of_the_same_key_gives_way_to_another_version() {
    let config = Config {
        connections_per_key_max: 1,
        ..Config::default()
    };
    let mut world = World::new(config);
    let request = world.request(0, H1);
    world.connect(world.only_dial(), H1);
    let other = world.request(0, H2);
    assert!(world.dials.is_empty());
    world.finish(request, After::Reuse);
    assert_eq!(closed(&world), [CloseReason::Evicted]);
    world.connect(world.dial_of(other), H2);
    assert!(world.assigned.contains_key(&other));
}

#[test]
fn connections_in_all_are_limited_and_the_longest_idle_gives_way() {
    let config = Config {
        connections_max: 2,
        ..Config::default()
    };
    let mut world = World::new(config);
    let requests = [world.request(0, H1), world.request(1, H1)];
    let connections = requests.map(|request| world.connect(world.dial_of(request), H1));
    let waiters = [
        world.request(2, H1),
        world.request(3, H1),
        world.request(2, H1),
    ];
    assert!(world.dials.is_empty());
    world.finish(requests[1], After::Reuse);
    assert!(!world.open.contains_key(&connections[1]));
    assert_eq!(
        world.only_dial(),
        world.dial_of(waiters[0]),
        "the oldest is first"
    );
    world.closed(connections[0]);
    world.dial_of(waiters[1]);
    world.fail(world.dial_of(waiters[1]));
    world.dial_of(waiters[2]);
    assert_eq!(world.dials.len(), 2);
}

#[test]
fn a_place_goes_to_the_oldest_of_all_keys() {
    let mut world = of_one_place();
    let first = world.request(0, H1);
    let second = world.request(1, H1);
    let third = world.request(0, H1);
    world.fail(world.dial_of(first));
    world.fail(world.dial_of(second));
    world.dial_of(third);
}

#[test]
fn a_request_that_left_needs_no_place() {
    let mut world = of_one_place();
    let first = world.request(0, H1);
    let second = world.request(1, H1);
    let third = world.request(2, H1);
    world.cancel(second);
    assert_eq!(world.pool.wanting.len(), 1);
    world.fail(world.dial_of(first));
    world.dial_of(third);
    assert!(world.pool.wanting.is_empty());
}

#[test]
fn a_full_queue_takes_nobody() {
    let config = Config {
        waiting_max: 1,
        connections_max: 1,
        ..Config::default()
    };
    let mut world = World::new(config);
    let first = world.request(0, H1);
    let second = world.request(1, H1);
    let full = Action::Fail {
        request: second,
        reason: FailReason::QueueFull,
    };
    assert!(world.log.contains(&full));
    assert!(world.waiting.contains_key(&first));
    assert_eq!(world.pool.hosts.len(), 1, "nothing of the other is kept");
}

#[test]
fn what_carries_nothing_is_closed_after_the_idle_time() {
    let mut world = World::new(Config::default());
    for version in [H1, H2] {
        let request = world.request(0, version);
        world.connect(world.only_dial(), version);
        world.pass(seconds(200));
        assert_eq!(world.open.len(), 1, "what carries something is not idle");
        world.finish(request, After::Reuse);
        world.pass(seconds(89));
        let request = world.request(0, version);
        world.finish(request, After::Reuse);
        world.pass(seconds(89));
        assert_eq!(world.open.len(), 1, "the time starts anew");
        world.pass(seconds(1));
        assert!(world.open.is_empty());
        assert_eq!(world.pool.counts(), Counts::default());
    }
}

#[test]
fn an_old_connection_gets_no_request_and_is_closed_without_one() {
    let config = Config {
        lifetime_max: Some(seconds(10)),
        ..Config::default()
    };
    let mut world = World::new(config);
    let request = world.request(0, either());
    let connection = world.connect(world.only_dial(), H2);
    world.streams(connection, 100);
    world.pass(seconds(9));
    let other = world.request(0, either());
    assert_eq!(world.assigned[&other], connection);
    world.pass(seconds(1));
    assert!(
        world.open.contains_key(&connection),
        "what it carries goes on"
    );
    world.request(0, either());
    assert_eq!(world.dials.len(), 1);
    world.finish(request, After::Reuse);
    world.finish(other, After::Reuse);
    assert_eq!(closed(&world), [CloseReason::Lifetime]);
    let young = world.connect(world.only_dial(), H1);
    let carried = *world.open[&young].carries.first().unwrap();
    world.finish(carried, After::Reuse);
    world.pass(seconds(10));
    assert_eq!(
        closed(&world),
        [CloseReason::Lifetime; 2],
        "idle ones close at once"
    );
}

#[test]
fn events_that_come_late_find_done_what_was_due() {
    let config = Config {
        lifetime_max: Some(seconds(10)),
        ..Config::default()
    };
    let mut world = World::new(config);
    let request = world.request(0, H1);
    world.connect(world.only_dial(), H1);
    world.finish(request, After::Reuse);
    let later = world.now + seconds(10);
    world.pool.request(later, 0, H1.into());
    let actions: Vec<_> = std::iter::from_fn(|| world.pool.poll_action()).collect();
    assert!(matches!(
        actions[0],
        Action::Close {
            reason: CloseReason::Lifetime,
            ..
        }
    ));
    assert!(matches!(actions[1], Action::Dial { .. }));
}
