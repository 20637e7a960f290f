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
