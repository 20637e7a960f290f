//! Tests of the encoder's table.
//!
//! Invariant: hashes are given by the tests, so that they collide where it matters.

use super::{CHAIN_MAX, DynamicTable, LINE_OVERHEAD, Line, SLOTS_MAX};

/// A line whose hashes are given, so that they collide.
fn line<'a>(name: &'a str, value: &'a str, hash: u32) -> Line<'a> {
    Line {
        name: name.as_bytes(),
        value: value.as_bytes(),
        name_hash: hash,
        line_hash: hash,
    }
}

fn of_capacity(capacity: usize) -> DynamicTable {
    let mut table = DynamicTable::default();
    table.set_capacity(capacity);
    table
}

#[test]
fn lines_with_equal_hashes_are_told_apart() {
    let mut table = of_capacity(4096);
    assert_eq!(table.insert(&line("ab", "cd", 7)), 0);
    let found = |name, value, hash| table.find_line(&line(name, value, hash), u64::MAX);
    assert_eq!(found("ab", "cd", 7), Some(0));
    for (name, value) in [("ab", "ce"), ("ax", "cd"), ("abc", "d"), ("a", "bcd")] {
        assert_eq!(found(name, value, 7), None, "{name} {value}");
    }
    for (name, value) in [("ab", "cdd"), ("ab", "d"), ("ab", ""), ("xab", "cd")] {
        assert_eq!(found(name, value, 7), None, "{name} {value}");
    }
    assert_eq!(found("ab", "cd", 7 + 256), None, "the same slot");
    let named = |name, hash| table.find_name(&line(name, "", hash), u64::MAX);
    assert_eq!(named("ab", 7), Some(0));
    assert_eq!(named("ac", 7), None);
    assert_eq!(named("ab", 7 + 256), None);
}

#[test]
fn the_newest_below_a_limit_is_found_through_collisions() {
    let mut table = of_capacity(4096);
    for (name, value) in [("a", "1"), ("b", "1"), ("a", "1"), ("c", "1")] {
        table.insert(&line(name, value, 7));
    }
    for (below, newest) in [
        (4, Some(2)),
        (3, Some(2)),
        (2, Some(0)),
        (1, Some(0)),
        (0, None),
    ] {
        assert_eq!(table.find_line(&line("a", "1", 7), below), newest);
        assert_eq!(table.find_name(&line("a", "", 7), below), newest);
    }
}

#[test]
fn the_index_grows_with_the_table() {
    let mut table = of_capacity(0);
    assert_eq!(table.slots.len(), 0);
    table.set_capacity(LINE_OVERHEAD - 1);
    assert_eq!(table.slots.len(), 0);
    table.set_capacity(70);
    assert_eq!(table.slots.len(), 0, "nothing is in it");
    table.insert(&line("a", "1", 7));
    assert_eq!(table.slots.len(), 4);
    table.insert(&line("a", "2", 5));
    table.set_capacity(4096);
    assert_eq!(table.slots.len(), 256);
    assert_eq!(table.find_line(&line("a", "1", 7), u64::MAX), Some(0));
    assert_eq!(table.find_line(&line("a", "2", 5), u64::MAX), Some(1));
    table.set_capacity(70);
    assert_eq!(table.slots.len(), 256);
    table.set_capacity(1 << 30);
    assert_eq!(table.slots.len(), 2 * SLOTS_MAX);
    assert_eq!(table.find_name(&line("a", "", 5), u64::MAX), Some(1));
}

#[test]
fn evicted_entries_are_not_found() {
    // Room for three entries.
    let mut table = of_capacity(102);
    for (number, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        assert_eq!(table.insert(&line(name, "1", 7)), number as u64);
    }
    assert_eq!(table.find_line(&line("a", "1", 7), u64::MAX), None);
    assert_eq!(table.find_line(&line("b", "1", 7), u64::MAX), Some(1));
    table.set_capacity(0);
    assert_eq!(table.find_line(&line("d", "1", 7), u64::MAX), None);
    table.set_capacity(102);
    assert_eq!(table.insert(&line("a", "1", 7)), 4);
    assert_eq!(table.find_line(&line("a", "1", 7), u64::MAX), Some(4));
}

#[test]
fn indices_are_found_beyond_sixteen_bits() {
    let mut table = of_capacity(102);
    let most = u64::from(u16::MAX) + 3;
    for number in 0..most {
        let value = number.to_string();
        assert_eq!(table.insert(&line("", &value, number as u32)), number);
        assert_eq!(
            table.find_line(&line("", &value, number as u32), u64::MAX),
            Some(number)
        );
    }
    assert_eq!(table.find_line(&line("", "0", 0), u64::MAX), None);
    assert_eq!(table.duplicate(most - 1), Some(most));
    assert_eq!(table.duplicate(most - 10), None);
}

#[test]
fn what_collides_costs_a_bounded_search() {
    let mut table = of_capacity(4096);
    table.insert(&line("a", "first", 7));
    for number in 0..CHAIN_MAX - 1 {
        table.insert(&line("a", &number.to_string(), 7));
    }
    assert_eq!(table.find_line(&line("a", "first", 7), u64::MAX), Some(0));
    table.insert(&line("a", "one more", 7));
    assert_eq!(table.find_line(&line("a", "first", 7), u64::MAX), None);
}

#[test]
fn what_fits_is_known_before_it_is_done() {
    let mut table = of_capacity(102);
    for name in ["a", "b", "c"] {
        assert!(table.has_room(34));
        table.insert(&line(name, "1", 7));
    }
    assert!(!table.has_room(1) && table.has_room(0));
    // Whole entries leave, those below the given index only.
    for (size, evictable, may) in [(34, 0, false), (34, 1, true), (35, 1, false), (35, 2, true)] {
        assert_eq!(table.can_insert(size, evictable), may, "{size} {evictable}");
    }
    assert!(table.can_insert(102, 3) && !table.can_insert(103, 3));
    assert!(table.can_shrink_to(102, 0) && !table.can_shrink_to(101, 0));
    assert!(table.can_shrink_to(68, 1) && !table.can_shrink_to(67, 1));
}

#[test]
fn an_eighth_of_the_table_drains() {
    let mut table = of_capacity(340);
    let mut drained = Vec::new();
    for number in 0..13 {
        table.insert(&line("a", &(number % 10).to_string(), number));
        drained.push(table.draining());
    }
    // Ten entries fit; 42 bytes are an eighth, which the first two entries make up.
    assert_eq!(drained, [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5]);
    // Nothing drains while that much is free, and evicted entries do not count.
    table.set_capacity(1000);
    assert_eq!(table.draining(), 5);
    table.set_capacity(340);
    assert_eq!(table.draining(), 5);
    table.set_capacity(68);
    assert_eq!(table.draining(), 12);
    table.set_capacity(0);
    assert_eq!(table.draining(), 13);
}

#[test]
fn entries_of_different_sizes_drain_by_their_own() {
    let mut table = of_capacity(400);
    table.insert(&line("", "1", 1));
    table.insert(&line("", &"2".repeat(28), 2));
    assert_eq!(table.draining(), 0);
    table.insert(&line("", &"3".repeat(275), 3));
    // Nothing is free; 33 bytes are not yet an eighth, and 60 more are.
    assert_eq!((table.draining(), table.draining_size), (2, 93));
    // Exactly an eighth is free.
    let mut table = of_capacity(272);
    for number in 0..7 {
        table.insert(&line("a", "1", number));
    }
    assert_eq!(table.draining(), 0);
}
