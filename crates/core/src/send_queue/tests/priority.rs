//! Messages of one connection by their priority (RFC 9622 §9.1.3.2).

use super::*;

/// A message that gave up its order.
fn unordered(data: &str, priority: u32) -> Message {
    let mut message = ordered(data, priority);
    let properties = message.context.properties_mut();
    *properties = properties.with_ordered(false);
    message
}

fn ordered(data: &str, priority: u32) -> Message {
    Message::from(data).with_context(MessageContext::new().with_priority(priority))
}

fn reordering() -> SendQueue<&'static str> {
    let mut queue = queue(1000, 100);
    queue.set_reorders(ONE, true).expect("known");
    queue
}

fn push_all(queue: &mut SendQueue<&'static str>, messages: impl IntoIterator<Item = Message>) {
    for message in messages {
        queue.push(at(0), ONE, message, "").expect("room");
    }
}

#[test]
fn the_more_urgent_of_two_messages_without_order_goes_first() {
    let mut queue = reordering();
    push_all(
        &mut queue,
        [
            unordered("a", 100),
            unordered("b", 7),
            unordered("c", 200),
            unordered("d", 7),
            unordered("e", 0),
            unordered("f", 100),
        ],
    );
    assert_eq!(popped(&mut queue, at(0)), ["e", "b", "d", "a", "f", "c"]);
}

#[test]
fn messages_that_keep_their_order_keep_it_among_themselves() {
    let mut queue = reordering();
    push_all(
        &mut queue,
        [
            ordered("1", 50),
            unordered("slow", 90),
            ordered("2", 10),
            unordered("fast", 5),
            ordered("3", 70),
            "4".into(),
        ],
    );
    // "2" passes "slow", which gave up its order, and not "1".
    assert_eq!(
        popped(&mut queue, at(0)),
        ["fast", "1", "2", "3", "slow", "4"]
    );
}

#[test]
fn nothing_overtakes_where_messages_are_not_kept_apart() {
    let mut queue = queue(1000, 100);
    push_all(&mut queue, [unordered("a", 9), unordered("b", 1)]);
    assert_eq!(popped(&mut queue, at(0)), ["a", "b"]);
    assert_eq!(
        queue.set_reorders(ConnectionId(9), true),
        Err(QueueError::UnknownConnection(ConnectionId(9)))
    );
}

#[test]
fn what_waits_already_is_put_in_order_when_that_becomes_possible() {
    let mut queue = queue(1000, 100);
    push_all(&mut queue, [unordered("a", 9), unordered("b", 1)]);
    queue.set_reorders(ONE, true).expect("known");
    push_all(&mut queue, [unordered("c", 1)]);
    assert_eq!(popped(&mut queue, at(0)), ["b", "c", "a"]);
    push_all(&mut queue, [unordered("d", 9)]);
    queue.set_reorders(ONE, false).expect("known");
    push_all(&mut queue, [unordered("e", 1)]);
    assert_eq!(popped(&mut queue, at(0)), ["d", "e"]);
}

#[test]
fn a_final_message_stays_the_last_one() {
    let mut queue = reordering();
    push_all(&mut queue, [unordered("a", 100), unordered("b", 50)]);
    let mut end = unordered("end", 0);
    end.context = end.context.with_final();
    push_all(&mut queue, [end]);
    assert_eq!(popped(&mut queue, at(0)), ["b", "a", "end"]);
}

#[test]
fn a_message_in_parts_keeps_its_place() {
    let mut queue = reordering();
    push_all(&mut queue, [unordered("a", 50)]);
    let begun = queue.begin(at(0), ONE, unordered("1", 40), None, "");
    let (open, _) = begun.expect("room");
    push_all(&mut queue, [unordered("c", 0), unordered("d", 60)]);
    let part = queue.append(open, "2".into(), EndOfMessage::Yes, "");
    part.expect("room");
    // Neither does it pass "a", nor does anything pass it.
    assert_eq!(popped(&mut queue, at(0)), ["a", "1", "2", "c", "d"]);
}

#[test]
fn nothing_gets_between_the_parts_of_a_message_that_has_begun_to_leave() {
    let mut queue = reordering();
    let begun = queue.begin(at(0), ONE, unordered("1", 90), None, "");
    let (open, _) = begun.expect("room");
    assert_eq!(popped(&mut queue, at(0)), ["1"]);
    push_all(&mut queue, [unordered("b", 50), unordered("c", 0)]);
    assert!(popped(&mut queue, at(0)).is_empty());
    let part = queue.append(open, "2".into(), EndOfMessage::No, "");
    part.expect("room");
    push_all(&mut queue, [unordered("d", 0)]);
    let part = queue.append(open, "3".into(), EndOfMessage::Yes, "");
    part.expect("room");
    assert_eq!(popped(&mut queue, at(0)), ["2", "3", "c", "d", "b"]);
}

#[test]
fn completions_come_in_the_order_in_which_messages_left() {
    let mut queue = reordering();
    for (data, priority) in [("low", 9), ("high", 1)] {
        let message = unordered(data, priority);
        queue.push(at(0), ONE, message, data).expect("room");
    }
    assert_eq!(popped(&mut queue, at(0)), ["high", "low"]);
    queue.on_sent(ONE, 2);
    let expected = [("high", Outcome::Sent), ("low", Outcome::Sent)];
    assert_eq!(completed(&mut queue), expected);
}

#[test]
fn the_first_of_each_connection_is_what_connections_are_compared_by() {
    let mut queue = SendQueue::new(Policy::StrictPriority, QueueLimits::default());
    for connection in [ONE, TWO] {
        queue.add_connection(connection, 0);
        queue.set_reorders(connection, true).expect("known");
    }
    for (connection, data, priority) in [
        (ONE, "a", 30),
        (ONE, "b", 10),
        (TWO, "c", 20),
        (TWO, "d", 5),
    ] {
        let message = unordered(data, priority);
        queue.push(at(0), connection, message, ()).expect("room");
    }
    assert_eq!(popped(&mut queue, at(0)), ["d", "b", "c", "a"]);
}
