//! Which dials wait for which.

use super::world::{H1, H2, H3, World, either, seconds};
use crate::pool::{After, Config, Versions};

#[test]
fn dials_of_different_versions_do_not_wait_for_one_another() {
    let mut world = World::new(Config::default());
    world.request(0, H2);
    world.request(0, H3);
    world.request(0, H1);
    assert_eq!(world.dials.len(), 3);
    world.request(0, Versions::of([H1, H2, H3]));
    assert_eq!(
        world.dials.len(),
        3,
        "either of two pending dials may serve it"
    );
}

#[test]
fn a_cancelled_request_without_a_dial_leaves_the_dial_alone() {
    let mut world = World::new(Config::default());
    let first = world.request(0, H2);
    let second = world.request(0, H2);
    world.cancel(second);
    world.pass(seconds(10));
    assert_eq!(world.only_dial(), world.dial_of(first));
}

#[test]
fn dials_left_over_serve_those_who_come_instead_of_new_ones() {
    let mut world = World::new(Config::default());
    let requests: Vec<_> = (0..3).map(|_| world.request(0, H1)).collect();
    requests.iter().for_each(|request| world.cancel(*request));
    for _ in 0..3 {
        world.request(0, H1);
    }
    assert_eq!(world.dials.len(), 3);
    world.request(0, H1);
    assert_eq!(world.dials.len(), 4);
}

#[test]
fn the_first_without_a_dial_is_dialled_for() {
    let mut world = World::new(Config::default());
    let old = world.request(0, H1);
    world.connect(world.only_dial(), H1);
    let early = world.request(0, either());
    let late = world.request(0, H1);
    world.connect(world.dial_of(early), H1);
    assert_eq!(world.only_dial(), world.dial_of(late));
    world.finish(old, After::Reuse);
    assert!(world.assigned.contains_key(&late));
}

#[test]
fn what_waits_for_streams_is_dialled_for_when_the_connection_goes_away() {
    let mut world = World::new(Config::default());
    world.request(0, H3);
    let waiter = world.request(0, H3);
    let connection = world.connect(world.only_dial(), H3);
    assert!(world.dials.is_empty());
    world.go_away(connection);
    assert_eq!(world.only_dial(), world.dial_of(waiter));
}

#[test]
fn who_takes_other_versions_too_does_not_wait_for_quic_alone() {
    let mut world = World::new(Config::default());
    let exact = world.request(0, H3);
    let quic = world.dial_of(exact);
    let any = world.request(0, Versions::of([H1, H2, H3]));
    let dial = world.dial_of(any);
    assert_eq!(
        world.dials[&dial].versions,
        either(),
        "HTTP/3 is dialled already"
    );
    world.request(0, Versions::of([H1, H2, H3]));
    assert_eq!(world.dials.len(), 2);
    world.connect(dial, H2);
    assert!(world.assigned.contains_key(&any));
    world.fail(quic);
    assert!(!world.waiting.contains_key(&exact));
}

#[test]
fn an_upgrade_is_dialled_beside_a_connection_in_use_and_then_preferred() {
    let mut world = World::new(Config::default());
    let all = Versions::of([H1, H2, H3]);
    world.request(0, all);
    let old = world.connect(world.only_dial(), H2);
    world.streams(old, 100);
    assert!(world.dial_ahead(0, H3));
    assert!(!world.dial_ahead(0, H3), "it is on its way");
    let meanwhile = world.request(0, all);
    assert_eq!(world.assigned[&meanwhile], old, "nobody waits for it");
    let new = world.connect(world.only_dial(), H3);
    assert!(!world.dial_ahead(0, H3), "it is there");
    let next = world.request(0, all);
    assert_eq!(world.assigned[&next], new);
}

#[test]
fn an_upgrade_that_fails_or_stalls_is_nobodys_failure() {
    let mut world = World::new(Config::default());
    assert!(!world.dial_ahead(0, H1), "it carries one request only");
    assert!(world.dial_ahead(0, H3));
    world.fail(world.only_dial());
    assert!(world.dial_ahead(0, H3));
    let waiting = world.request(0, Versions::of([H1, H2, H3]));
    assert_eq!(world.dials[&world.dial_of(waiting)].versions, either());
    world.pass(seconds(5));
    assert_eq!(world.only_dial(), world.dial_of(waiting), "5 s are enough");
    world.request(0, Versions::of([H1, H2, H3]));
    assert_eq!(
        world.dials.len(),
        1,
        "the other one serves it, and cannot fail for QUIC's sake"
    );
    world.connect(world.only_dial(), H2);
    assert!(world.assigned.contains_key(&waiting));
}

#[test]
fn an_upgrade_takes_no_place_from_others() {
    for (config, dials) in [
        (Config::default(), true),
        (limited(1, 9), false),
        (limited(9, 1), false),
        (limited(2, 2), true),
    ] {
        let mut world = World::new(config);
        let request = world.request(0, H2);
        world.connect(world.only_dial(), H2);
        world.finish(request, After::Reuse);
        assert_eq!(world.dial_ahead(0, H3), dials);
        assert_eq!(world.pool.counts().idle, 1);
    }
}

fn limited(connections_per_key_max: usize, connections_max: usize) -> Config {
    Config {
        connections_per_key_max,
        connections_max,
        ..Config::default()
    }
}
