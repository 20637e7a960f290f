//! Any order of events keeps the rules of [`World`], and nothing is left behind.

use super::world::{H1, H2, H3, World, either, seconds};
use crate::pool::{After, Config, Version, Versions};
use std::time::Duration;

/// splitmix64: a seed is a whole run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn pick<T: Copy>(&mut self, of: impl IntoIterator<Item = T>) -> Option<T> {
        let all: Vec<T> = of.into_iter().collect();
        (!all.is_empty()).then(|| all[self.below(all.len())])
    }
}

fn config(dice: &mut Dice) -> Config {
    Config {
        connections_per_key_max: 1 + dice.below(5),
        connections_max: 1 + dice.below(8),
        waiting_max: [2, 1000][dice.below(2)],
        idle_max: seconds(7),
        lifetime_max: [None, Some(seconds(20))][dice.below(2)],
        dial_max: seconds([3, 11][dice.below(2)]),
        abandoned_dial_max: seconds(5),
        retries_max: dice.below(4) as u32,
        has_further_http3: dice.below(2) == 0,
    }
}

fn versions(dice: &mut Dice) -> Versions {
    match dice.below(6) {
        0 => H1.into(),
        1 => H2.into(),
        2 => H3.into(),
        3 => Versions::of([H1, H2, H3]),
        _ => either(),
    }
}

/// What a peer chooses, which is not always what was offered.
fn choice(dice: &mut Dice, offered: Versions) -> Version {
    match dice.below(8) {
        0 => H1,
        _ => dice
            .pick(offered.newest_first())
            .expect("something is offered"),
    }
}

fn step(world: &mut World, dice: &mut Dice) {
    let (dials, open, assigned, waiting) = (
        world.dials.keys().copied().collect::<Vec<_>>(),
        world.open.keys().copied().collect::<Vec<_>>(),
        world.assigned.keys().copied().collect::<Vec<_>>(),
        world.waiting.keys().copied().collect::<Vec<_>>(),
    );
    match dice.below(17) {
        0..=4 => {
            let key = dice.below(3) as u8;
            let versions = versions(dice);
            world.request(key, versions);
        }
        5..=7 => {
            if let Some(dial) = dice.pick(dials) {
                let version = choice(dice, world.dials[&dial].versions);
                world.connect(dial, version);
            }
        }
        8 => dice
            .pick(dials)
            .into_iter()
            .for_each(|dial| world.fail(dial)),
        9..=10 => {
            if let Some(request) = dice.pick(assigned) {
                let after = [After::Reuse, After::Reuse, After::Discard][dice.below(3)];
                world.finish(request, after);
            }
        }
        11 => {
            if let Some(request) = dice.pick(assigned) {
                world.retry(request);
            }
        }
        12 => dice.pick(waiting).into_iter().for_each(|r| world.cancel(r)),
        13 => {
            let shared = |id: &_| world.open[id].version != H1;
            if let Some(id) = dice.pick(open.into_iter().filter(shared)) {
                world.streams(id, dice.below(5) as u32);
            }
        }
        14 => {
            if let Some(connection) = dice.pick(open) {
                match dice.below(2) {
                    0 => world.closed(connection),
                    _ => go_away(world, connection),
                }
            }
        }
        15 => {
            let (key, version) = (dice.below(3) as u8, [H1, H2, H3][dice.below(3)]);
            world.dial_ahead(key, version);
        }
        _ => world.pass(Duration::from_millis(dice.below(6000) as u64)),
    }
}

fn go_away(world: &mut World, connection: crate::pool::ConnectionId) {
    if world.open.contains_key(&connection) {
        world.go_away(connection);
    }
}

/// Every dial succeeds and every request is answered, until nobody waits.
fn settle(world: &mut World) {
    for _ in 0..10_000 {
        for id in world.open.keys().copied().collect::<Vec<_>>() {
            let limit = world.open.get(&id).map(|open| (open.version, open.max));
            if let Some((H2 | H3, None | Some(0))) = limit {
                world.streams(id, 2);
            }
        }
        let dial = world.dials.iter().next();
        let dial = dial.map(|(id, dial)| (*id, dial.versions));
        if let Some((dial, versions)) = dial {
            let version = versions
                .newest_first()
                .next()
                .expect("something is offered");
            let connection = world.connect(dial, version);
            if version != H1 && world.open.contains_key(&connection) {
                world.streams(connection, 2);
            }
        } else if let Some(request) = world.assigned.keys().next().copied() {
            world.finish(request, After::Reuse);
        } else {
            break;
        }
    }
    assert!(
        world.waiting.is_empty(),
        "{} wait for ever",
        world.waiting.len()
    );
}

#[test]
fn random_events_keep_the_rules() {
    let base = 0x1f2e_3d4c;
    let runs = match std::env::var_os("PORTWAY_LONG") {
        Some(_) => 20_000,
        None => 400,
    };
    for seed in base..base + runs {
        println!("seed {seed:#x}");
        let mut dice = Dice(seed);
        let mut world = World::new(config(&mut dice));
        for _ in 0..120 {
            step(&mut world, &mut dice);
        }
        settle(&mut world);
        world.pass(seconds(100));
        assert!(world.open.is_empty() && world.dials.is_empty());
        let pool = &world.pool;
        assert!(
            pool.ids.is_empty() && pool.hosts.is_empty(),
            "no key is left"
        );
        assert!(
            pool.requests.is_empty() && pool.wanting.is_empty(),
            "no request is left"
        );
        assert!(pool.touched.is_empty(), "every change was reviewed");
        assert!(
            pool.timers.is_empty() && pool.poll_timeout().is_none(),
            "no timer is left"
        );
    }
}
