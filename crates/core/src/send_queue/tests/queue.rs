//! What the queue promises, one promise a test.

use super::*;
use crate::message::Chunks;

fn part(data: &str) -> Chunks {
    data.into()
}

#[test]
fn sends_go_in_the_order_in_which_they_came() {
    let mut queue = queue(1000, 100);
    queue.push(at(0), TWO, "a".into(), "a").expect("room");
    queue.push(at(0), ONE, "b".into(), "b").expect("room");
    queue.push(at(0), TWO, "c".into(), "c").expect("room");
    assert_eq!(popped(&mut queue, at(0)), ["a", "b", "c"]);
    queue.on_sent(TWO, 2);
    queue.on_sent(ONE, 1);
    assert_eq!(
        completed(&mut queue),
        [
            ("a", Outcome::Sent),
            ("c", Outcome::Sent),
            ("b", Outcome::Sent)
        ]
    );
    assert!(queue.is_idle());
    assert_eq!((queue.queued_bytes(), queue.queued_sends()), (0, 0));
}

#[test]
fn strict_priority_serves_connections_before_messages() {
    let mut queue = SendQueue::new(Policy::StrictPriority, QueueLimits::default());
    queue.add_connection(ONE, 1);
    queue.add_connection(TWO, 0);
    let urgent = MessageContext::new().with_priority(0);
    let usual = MessageContext::new().with_priority(1);
    queue
        .push(at(0), ONE, ("low", urgent.clone()).into(), ())
        .expect("room");
    queue
        .push(at(0), TWO, ("first", usual.clone()).into(), ())
        .expect("room");
    assert_eq!(popped(&mut queue, at(0)), ["first", "low"]);
    queue.add_connection(TWO, 1);
    queue
        .push(at(0), ONE, ("later", usual.clone()).into(), ())
        .expect("room");
    queue
        .push(at(0), TWO, ("now", urgent).into(), ())
        .expect("room");
    queue
        .push(at(0), TWO, ("last", usual).into(), ())
        .expect("room");
    assert_eq!(popped(&mut queue, at(0)), ["now", "later", "last"]);
}

#[test]
fn a_blocked_connection_holds_up_only_itself() {
    let mut queue = queue(1000, 100);
    queue.push(at(0), ONE, "a".into(), "a").expect("room");
    queue.push(at(0), TWO, "b".into(), "b").expect("room");
    queue.set_blocked(ONE, true).expect("known");
    assert_eq!(
        queue.may_send_directly(ONE, &MessageContext::new()),
        Ok(false)
    );
    assert_eq!(popped(&mut queue, at(0)), ["b"]);
    queue.set_blocked(ONE, false).expect("known");
    assert_eq!(popped(&mut queue, at(0)), ["a"]);
}

#[test]
fn a_message_expires_at_its_lifetime_and_not_before() {
    let mut queue = queue(1000, 100);
    queue.push(at(0), ONE, living("a", 10), "a").expect("room");
    queue.push(at(0), ONE, living("b", 5), "b").expect("room");
    queue.push(at(0), ONE, "c".into(), "c").expect("room");
    assert_eq!(queue.next_expiry(), Some(at(5)));
    queue.expire(at(4));
    assert!(completed(&mut queue).is_empty());
    queue.expire(at(5));
    assert_eq!(completed(&mut queue), [("b", Outcome::Expired)]);
    assert_eq!(
        (queue.next_expiry(), queue.queued_bytes()),
        (Some(at(10)), 2)
    );
    assert_eq!(popped(&mut queue, at(10)), ["c"]);
    assert_eq!(completed(&mut queue), [("a", Outcome::Expired)]);
    assert_eq!(queue.next_expiry(), None);
}

#[test]
fn what_left_the_queue_does_not_expire() {
    let mut queue = queue(1000, 100);
    queue.push(at(0), ONE, living("a", 10), "a").expect("room");
    let (open, _) = queue
        .begin(at(0), ONE, living("b", 10), None, "b1")
        .expect("room");
    assert_eq!(popped(&mut queue, at(9)), ["a", "b"]);
    assert_eq!(queue.next_expiry(), None);
    queue
        .append(open, part("2"), EndOfMessage::No, "b2")
        .expect("open");
    queue.push(at(0), TWO, living("c", 20), "c").expect("room");
    queue.expire(at(50));
    assert_eq!(completed(&mut queue), [("c", Outcome::Expired)]);
    assert_eq!(popped(&mut queue, at(50)), ["2"]);
}

#[test]
fn all_parts_of_a_waiting_message_expire_and_so_do_later_ones() {
    let mut queue = queue(1000, 100);
    queue.set_blocked(ONE, true).expect("known");
    let (open, _) = queue
        .begin(at(0), ONE, living("a", 10), None, "1")
        .expect("room");
    queue
        .append(open, part("b"), EndOfMessage::No, "2")
        .expect("open");
    queue.expire(at(10));
    assert_eq!(
        completed(&mut queue),
        [("1", Outcome::Expired), ("2", Outcome::Expired)]
    );
    queue
        .append(open, part("c"), EndOfMessage::No, "3")
        .expect("expires at once");
    queue
        .append(open, part("d"), EndOfMessage::Yes, "4")
        .expect("expires at once");
    assert_eq!(
        completed(&mut queue),
        [("3", Outcome::Expired), ("4", Outcome::Expired)]
    );
    let ended = queue.append(open, part("e"), EndOfMessage::Yes, "5");
    assert_eq!(ended, Err(QueueError::MessageEnded));
    assert!(queue.is_idle());
}

#[test]
fn nothing_follows_a_final_message_unless_it_was_never_sent() {
    let mut queue = queue(1000, 100);
    let (open, _) = queue
        .begin(at(0), ONE, "a".into(), None, "a")
        .expect("room");
    queue.push(at(0), ONE, last("z"), "z").expect("room");
    assert_eq!(
        queue.push(at(0), ONE, "x".into(), "x"),
        Err(QueueError::AfterFinal)
    );
    assert_eq!(
        queue.may_send_directly(ONE, &MessageContext::new()),
        Err(QueueError::AfterFinal)
    );
    queue
        .push(at(0), TWO, "y".into(), "y")
        .expect("another connection goes on");
    queue
        .append(open, part("b"), EndOfMessage::Yes, "b")
        .expect("begun before");
    let mut sends: Vec<_> = std::iter::from_fn(|| queue.pop(at(0))).collect();
    let order: Vec<_> = sends.iter().map(|s| s.ends_direction()).collect();
    assert_eq!(order, [false, false, false, true]);
    assert_eq!(sends[3].part().data, part("z"));
    assert!(queue.begin(at(0), ONE, "x".into(), None, "x").is_err());

    let context = MessageContext::new()
        .with_final()
        .with_lifetime(Duration::from_millis(5));
    queue
        .push(at(0), TWO, ("gone", context).into(), "gone")
        .expect("room");
    queue.expire(at(5));
    queue
        .push(at(5), TWO, "again".into(), "again")
        .expect("the final one never left");
}

#[test]
fn only_the_end_of_a_final_message_ends_the_direction() {
    let mut queue = queue(1000, 100);
    let (open, _) = queue.begin(at(0), ONE, last("a"), None, "1").expect("room");
    assert!(!queue.pop(at(0)).expect("streams").ends_direction());
    queue
        .append(open, part("b"), EndOfMessage::Yes, "2")
        .expect("open");
    assert!(queue.pop(at(0)).expect("streams").ends_direction());
}

#[test]
fn bounds_hold_and_a_single_message_may_exceed_them() {
    let mut queue = queue(10, 2);
    assert!(queue.has_room(100));
    queue
        .push(at(0), ONE, "0123456789ab".into(), "big")
        .expect("alone");
    assert!(!queue.has_room(0));
    let full = QueueError::Full {
        sends: 1,
        bytes: 12,
    };
    assert_eq!(queue.push(at(0), ONE, "".into(), "x"), Err(full));
    popped(&mut queue, at(0));
    assert!(!queue.has_room(0), "in flight counts");
    queue.on_sent(ONE, 1);
    queue.push(at(0), ONE, "0123".into(), "a").expect("room");
    assert!(queue.has_room(6) && !queue.has_room(7) && !queue.has_room(usize::MAX));
    queue
        .push(at(0), TWO, "012345".into(), "b")
        .expect("to the brim");
    assert!(!queue.has_room(0), "two sends are the most");
    assert_eq!((queue.queued_sends(), queue.queued_bytes()), (2, 10));
}

#[test]
fn reserved_room_is_kept_for_its_owner() {
    let mut queue = queue(10, 2);
    let mine = queue.reserve(8).expect("room");
    assert_eq!((queue.queued_sends(), queue.queued_bytes()), (1, 8));
    assert!(queue.has_room(2) && !queue.has_room(3));
    assert!(queue.reserve(3).is_none());
    let other = queue.reserve(2).expect("room");
    assert!(queue.push(at(0), ONE, "".into(), "x").is_err());
    queue.release(mine);
    queue
        .push(at(0), ONE, "01234567".into(), "x")
        .expect("released for it");
    queue.release(other);
    assert_eq!((queue.queued_sends(), queue.queued_bytes()), (1, 8));
}

#[test]
fn the_message_that_all_others_wait_for_has_bounds_of_its_own() {
    let mut queue = queue(10, 3);
    let (open, _) = queue
        .begin(at(0), ONE, "abc".into(), None, "1")
        .expect("room");
    let (behind, _) = queue
        .begin(at(0), ONE, "0123456".into(), None, "2")
        .expect("room");
    assert!(!queue.has_room(1));
    assert!(queue.has_room_for_part(open, 7) && !queue.has_room_for_part(open, 8));
    assert!(!queue.has_room_for_part(behind, 1));
    assert!(
        queue
            .append(behind, part("x"), EndOfMessage::No, "x")
            .is_err()
    );
    queue
        .append(open, part("d"), EndOfMessage::No, "3")
        .expect("it is first");
    queue
        .append(open, part("e"), EndOfMessage::No, "4")
        .expect("it is first");
    assert!(
        !queue.has_room_for_part(open, 1),
        "three sends are the most"
    );
    assert_eq!(popped(&mut queue, at(0)), ["abc", "d", "e"]);
    assert!(!queue.has_room_for_part(open, 1), "in flight counts");
    queue.on_sent(ONE, 2);
    assert!(queue.has_room_for_part(open, 9) && !queue.has_room_for_part(open, 10));
}

#[test]
fn parts_stand_together_and_nothing_overtakes_them() {
    let mut queue = queue(1000, 100);
    let (first, _) = queue
        .begin(at(0), ONE, "a1".into(), None, "a1")
        .expect("room");
    let (second, _) = queue
        .begin(at(0), ONE, "b1".into(), None, "b1")
        .expect("room");
    queue.push(at(0), ONE, "c".into(), "c").expect("room");
    assert_eq!(popped(&mut queue, at(0)), ["a1"]);
    assert!(!queue.is_connection_idle(ONE) && queue.is_connection_idle(TWO));
    queue
        .append(second, part("b2"), EndOfMessage::Yes, "b2")
        .expect("open");
    assert!(popped(&mut queue, at(0)).is_empty());
    queue
        .append(first, part("a2"), EndOfMessage::No, "a2")
        .expect("open");
    queue
        .append(first, part("a3"), EndOfMessage::Yes, "a3")
        .expect("open");
    assert_eq!(popped(&mut queue, at(0)), ["a2", "a3", "b1", "b2", "c"]);
    queue.on_sent(ONE, 6);
    let receipts: Vec<_> = completed(&mut queue).into_iter().map(|(r, _)| r).collect();
    assert_eq!(receipts, ["a1", "a2", "a3", "b1", "b2", "c"]);
    assert!(queue.is_idle());
}

#[test]
fn an_open_message_keeps_its_connection_busy() {
    let mut queue = queue(1000, 100);
    let (open, _) = queue
        .begin(at(0), ONE, "a".into(), None, "1")
        .expect("room");
    popped(&mut queue, at(0));
    queue.on_sent(ONE, 1);
    assert!(!queue.is_idle() && !queue.is_connection_idle(ONE));
    assert_eq!(
        queue.may_send_directly(ONE, &MessageContext::new()),
        Ok(false)
    );
    queue
        .append(open, part("b"), EndOfMessage::Yes, "2")
        .expect("open");
    popped(&mut queue, at(0));
    queue.on_sent(ONE, 1);
    assert!(queue.is_idle());
}

#[test]
fn assembled_messages_wait_for_their_end_and_know_their_length() {
    let mut queue = queue(10, 100);
    queue
        .set_partial_sends(ONE, PartialSends::Assemble)
        .expect("known");
    let (open, _) = queue
        .begin(at(0), ONE, "abc".into(), None, "1")
        .expect("room");
    assert!(queue.pop(at(0)).is_none());
    queue
        .append(open, part("de"), EndOfMessage::No, "2")
        .expect("open");
    assert!(queue.pop(at(0)).is_none());
    let too_long = QueueError::TooLongToAssemble {
        bytes: 11,
        limit: 10,
    };
    let refused = queue.append(open, part("fghijk"), EndOfMessage::No, "3");
    assert_eq!(refused, Err(too_long));
    queue
        .append(open, part("fghij"), EndOfMessage::Yes, "3")
        .expect("ten bytes");
    let sends: Vec<_> = std::iter::from_fn(|| queue.pop(at(0))).collect();
    let shape: Vec<_> = sends
        .iter()
        .map(|s| (s.is_start, s.is_end, s.length))
        .collect();
    assert_eq!(
        shape,
        [
            (true, false, Some(10)),
            (false, false, None),
            (false, true, None)
        ]
    );
}

#[test]
fn a_part_too_many_to_assemble_is_refused() {
    let mut queue = queue(100, 3);
    queue
        .set_partial_sends(ONE, PartialSends::Assemble)
        .expect("known");
    let (open, _) = queue
        .begin(at(0), ONE, "a".into(), None, "1")
        .expect("room");
    for data in ["b", "c"] {
        let part = queue.append(open, part(data), EndOfMessage::No, "2");
        part.expect("one of three parts");
    }
    let refused = queue.append(open, part("d"), EndOfMessage::Yes, "4");
    let error = QueueError::TooManyPartsToAssemble { parts: 4, limit: 3 };
    assert_eq!(refused, Err(error));
}

#[test]
fn parts_of_an_announced_length_wait_for_room_instead_of_being_refused() {
    let mut queue = queue(10, 100);
    queue
        .set_partial_sends(ONE, PartialSends::Assemble)
        .expect("known");
    let (open, _) = queue
        .begin(at(0), ONE, "abcdefgh".into(), Some(12), "1")
        .expect("room");
    let full = queue.append(open, part("ijkl"), EndOfMessage::Yes, "2");
    assert_eq!(full, Err(QueueError::Full { sends: 1, bytes: 8 }));
}

#[test]
fn a_first_part_too_long_to_assemble_is_refused() {
    let mut queue = queue(3, 100);
    queue
        .set_partial_sends(ONE, PartialSends::Assemble)
        .expect("known");
    let refused = queue.begin(at(0), ONE, "abcd".into(), None, "1");
    let error = QueueError::TooLongToAssemble { bytes: 4, limit: 3 };
    assert_eq!(refused, Err(error));
    queue
        .begin(at(0), TWO, "abcd".into(), None, "1")
        .expect("streams");
    popped(&mut queue, at(0));
    queue.on_sent(TWO, 1);
    queue
        .begin(at(0), ONE, "abcd".into(), Some(9), "1")
        .expect("its length is known");
    assert_eq!(popped(&mut queue, at(0)), ["abcd"]);
}

#[test]
fn an_announced_length_is_kept() {
    let mut queue = queue(1000, 100);
    queue
        .set_partial_sends(ONE, PartialSends::Assemble)
        .expect("known");
    let mismatch = |given, announced| Err(QueueError::LengthMismatch { given, announced });
    let begun = queue.begin(at(0), ONE, "abc".into(), Some(2), "1");
    assert_eq!(begun.map(|_| ()), mismatch(3, 2));
    let (open, _) = queue
        .begin(at(0), ONE, "abc".into(), Some(5), "1")
        .expect("room");
    assert_eq!(queue.pop(at(0)).expect("known").length, Some(5));
    let end =
        |queue: &mut SendQueue<_>, data, end| queue.append(open, part(data), end, "2").map(|_| ());
    assert_eq!(end(&mut queue, "d", EndOfMessage::Yes), mismatch(1, 2));
    assert_eq!(end(&mut queue, "def", EndOfMessage::No), mismatch(3, 2));
    assert_eq!(end(&mut queue, "d", EndOfMessage::No), Ok(()));
    assert_eq!(end(&mut queue, "e", EndOfMessage::Yes), Ok(()));
    assert_eq!(popped(&mut queue, at(0)), ["d", "e"]);
}

#[test]
fn an_aborted_message_breaks_its_stream_only_when_a_part_has_left() {
    let mut queue = queue(1000, 100);
    let failure = dropped_in_mid_message();
    let (waits, _) = queue
        .begin(at(0), ONE, "a".into(), None, "a")
        .expect("room");
    queue.push(at(0), ONE, "b".into(), "b").expect("room");
    assert_eq!(queue.abort(waits, &failure), Aborted::Withdrawn);
    assert_eq!(
        completed(&mut queue),
        [("a", Outcome::Failed(failure.clone()))]
    );
    assert_eq!(
        queue.abort(waits, &failure),
        Aborted::Withdrawn,
        "without effect"
    );
    assert_eq!(popped(&mut queue, at(0)), ["b"]);

    let (open, _) = queue
        .begin(at(0), ONE, "c".into(), None, "c")
        .expect("room");
    let (behind, _) = queue
        .begin(at(0), ONE, "d".into(), None, "d")
        .expect("room");
    assert_eq!(popped(&mut queue, at(0)), ["c"]);
    queue
        .append(open, part("2"), EndOfMessage::No, "c2")
        .expect("open");
    assert_eq!(queue.abort(open, &failure), Aborted::StreamBroken);
    assert_eq!(completed(&mut queue), [("c2", Outcome::Failed(failure))]);
    assert!(queue.pop(at(0)).is_none());
    let broken = Err(QueueError::StreamBroken);
    assert_eq!(queue.push(at(0), ONE, "e".into(), "e"), broken);
    assert_eq!(
        queue.append(behind, part("2"), EndOfMessage::No, "d2"),
        broken
    );
    assert_eq!(
        queue.append(open, part("3"), EndOfMessage::No, "c3"),
        Err(QueueError::MessageEnded)
    );
}

#[test]
fn a_message_that_cannot_be_framed_fails_alone() {
    let mut queue = queue(1000, 100);
    let failure = reset();
    queue.push(at(0), ONE, "a".into(), "a").expect("room");
    let (open, _) = queue.begin(at(0), ONE, last("b"), None, "b").expect("room");
    queue
        .append(open, part("2"), EndOfMessage::No, "b2")
        .expect("open");
    queue.pop(at(0)).expect("a goes");
    let refused = queue.pop(at(0)).expect("b goes");
    queue.refuse(&refused, &failure, false);
    let failed = Outcome::Failed(failure.clone());
    assert_eq!(
        completed(&mut queue),
        [("b", failed.clone()), ("b2", failed.clone())]
    );
    assert_eq!(
        queue.append(open, part("3"), EndOfMessage::No, "b3"),
        Err(QueueError::MessageEnded)
    );
    queue
        .push(at(0), ONE, "c".into(), "c")
        .expect("the final message was not sent");
    let broken = queue.pop(at(0)).expect("c goes");
    queue.refuse(&broken, &failure, true);
    assert_eq!(
        queue.push(at(0), ONE, "d".into(), "d"),
        Err(QueueError::StreamBroken)
    );
    queue.on_sent(ONE, 1);
    assert_eq!(completed(&mut queue), [("c", failed), ("a", Outcome::Sent)]);
    assert_eq!((queue.queued_bytes(), queue.queued_sends()), (0, 0));
}

#[test]
fn a_failed_connection_fails_what_it_has_in_order_and_nothing_else() {
    let mut queue = queue(1000, 100);
    queue.push(at(0), ONE, "a".into(), "a").expect("room");
    queue.push(at(0), ONE, living("b", 5), "b").expect("room");
    queue.push(at(0), TWO, "c".into(), "c").expect("room");
    let (other, _) = queue
        .begin(at(0), TWO, "d".into(), None, "d")
        .expect("room");
    queue.pop(at(0)).expect("a goes");
    queue.fail_connection(ONE, &reset());
    let failed = Outcome::Failed(reset());
    assert_eq!(
        completed(&mut queue),
        [("a", failed.clone()), ("b", failed.clone())]
    );
    assert_eq!(queue.next_expiry(), None);
    assert_eq!(queue.queued_bytes(), 2);
    queue
        .push(at(0), ONE, "e".into(), "e")
        .expect("no message was cut");
    queue
        .append(other, part("d2"), EndOfMessage::No, "d2")
        .expect("not concerned");
    queue.fail_all(&reset());
    let receipts: Vec<_> = completed(&mut queue).into_iter().map(|(r, _)| r).collect();
    assert_eq!(receipts, ["e", "c", "d", "d2"]);
    let ended = queue.append(other, part("d3"), EndOfMessage::No, "d3");
    assert_eq!(ended, Err(QueueError::MessageEnded));
    assert!(queue.is_idle());
}

#[test]
fn a_connection_that_failed_in_mid_message_takes_nothing_more() {
    let mut queue = queue(1000, 100);
    queue
        .begin(at(0), ONE, "a".into(), None, "a")
        .expect("room");
    popped(&mut queue, at(0));
    queue.fail_connection(ONE, &reset());
    assert!(queue.is_idle());
    assert_eq!(
        queue.push(at(0), ONE, "b".into(), "b"),
        Err(QueueError::StreamBroken)
    );
}

#[test]
fn a_removed_connection_is_unknown() {
    let mut queue = queue(1000, 100);
    queue.push(at(0), ONE, "a".into(), "a").expect("room");
    queue.remove_connection(ONE, &reset());
    assert_eq!(completed(&mut queue), [("a", Outcome::Failed(reset()))]);
    let unknown = QueueError::UnknownConnection(ONE);
    assert_eq!(queue.push(at(0), ONE, "b".into(), "b"), Err(unknown));
    assert_eq!(queue.track(ONE, 1, "b"), Err(unknown));
    assert_eq!(queue.set_blocked(ONE, true), Err(unknown));
    assert_eq!(
        queue.set_partial_sends(ONE, PartialSends::Stream),
        Err(unknown)
    );
    assert!(queue.is_connection_idle(ONE));
    queue
        .push(at(0), TWO, "c".into(), "c")
        .expect("still there");
    queue.add_connection(TWO, 7);
    assert_eq!(
        popped(&mut queue, at(0)),
        ["c"],
        "adding again keeps its messages"
    );
}

#[test]
fn a_direct_send_needs_an_idle_connection_and_counts_when_it_blocks() {
    let mut queue = queue(10, 100);
    let plain = MessageContext::new();
    assert_eq!(queue.may_send_directly(ONE, &plain), Ok(true));
    assert!(queue.is_idle() && queue.has_room(10));
    queue.track(ONE, 4, "a").expect("known");
    assert!(queue.has_room(6) && !queue.has_room(7));
    assert_eq!(queue.may_send_directly(ONE, &plain), Ok(false));
    assert_eq!(queue.may_send_directly(TWO, &plain), Ok(true));
    queue.on_sent(ONE, 1);
    assert_eq!(completed(&mut queue), [("a", Outcome::Sent)]);
    queue.push(at(0), ONE, "b".into(), "b").expect("room");
    assert_eq!(queue.may_send_directly(ONE, &plain), Ok(false));
    let ends = plain.with_final();
    assert_eq!(queue.may_send_directly(ONE, &ends), Ok(false));
    queue
        .push(at(0), ONE, "c".into(), "c")
        .expect("the final one was not taken");
    assert_eq!(
        queue.may_send_directly(TWO, &ends),
        Ok(false),
        "idle, but final"
    );
    assert!(!queue.has_final(TWO));
    let last = Message::new("last").with_context(ends);
    queue.push(at(0), TWO, last, "last").expect("room");
    assert!(queue.has_final(TWO) && !queue.has_final(ONE));
    assert_eq!(
        queue.may_send_directly(TWO, &MessageContext::new()),
        Err(QueueError::AfterFinal)
    );
}

#[test]
fn a_connection_is_idle_for_a_plain_message_when_nothing_is_before_it() {
    let idle = |queue: &SendQueue<&'static str>| (queue.is_idle_for(ONE), queue.is_idle_for(TWO));
    let mut queue = queue(100, 100);
    assert_eq!(idle(&queue), (true, true));
    assert!(!queue.is_idle_for(ConnectionId(3)), "it is unknown");
    queue.push(at(0), ONE, "a".into(), "a").expect("room");
    assert_eq!(idle(&queue), (false, true), "one waits");
    assert_eq!(popped(&mut queue, at(0)), ["a"]);
    assert_eq!(idle(&queue), (false, true), "one is in flight");
    queue.on_sent(ONE, 1);
    assert_eq!(idle(&queue), (true, true));
    queue.set_blocked(ONE, true).expect("known");
    assert_eq!(idle(&queue), (false, true), "its wire is full");
    queue.set_blocked(ONE, false).expect("known");
    let (open, _) = queue
        .begin(at(0), ONE, "b".into(), None, "b")
        .expect("room");
    assert_eq!(popped(&mut queue, at(0)), ["b"]);
    queue.on_sent(ONE, 1);
    assert_eq!(idle(&queue), (false, true), "the rest of a message follows");
    let aborted = queue.abort(open, &dropped_in_mid_message());
    assert_eq!(aborted, Aborted::StreamBroken);
    queue.push(at(0), TWO, last("z"), "z").expect("room");
    assert_eq!(popped(&mut queue, at(0)), ["z"]);
    queue.on_sent(TWO, 1);
    assert_eq!(idle(&queue), (false, false), "one is broken, one has ended");
}

#[test]
fn errors_say_what_to_change() {
    let full = QueueError::Full { sends: 3, bytes: 9 };
    assert_eq!(
        full.to_string(),
        "send queue is full with 3 sends and 9 bytes"
    );
    let mismatch = QueueError::LengthMismatch {
        given: 3,
        announced: 2,
    };
    assert!(mismatch.to_string().contains("3 bytes given where 2"));
    assert_eq!(
        QueueError::UnknownConnection(ConnectionId(4)).to_string(),
        "connection 4 is not in the group"
    );
    assert_eq!(dropped_in_mid_message().kind, FailureKind::Cancelled);
}
