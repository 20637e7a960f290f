//! Messages, their pieces and their contexts.

use super::*;
use crate::FailureKind;
use std::time::Duration;

#[test]
fn a_message_can_be_made_of_anything_that_is_bytes() {
    let expected = Message::new(Bytes::from_static(b"abc"));
    assert_eq!(Message::from("abc"), expected);
    assert_eq!(Message::from(String::from("abc")), expected);
    assert_eq!(Message::from(b"abc"), expected);
    assert_eq!(Message::from(&b"abc"[..]), expected);
    assert_eq!(Message::from(b"abc".to_vec()), expected);
    assert_eq!(Message::from(Bytes::from_static(b"abc")), expected);
    assert_eq!(Message::from(("abc", MessageContext::new())), expected);
}

#[test]
fn owned_bytes_are_not_copied() {
    let owned = vec![1; 100];
    let address = owned.as_ptr();
    assert_eq!(Message::from(owned).data.into_bytes().as_ptr(), address);
}

#[test]
fn pieces_count_as_one_run_of_bytes() {
    let pieces = ["", "ab", "", "c", ""].map(|piece| Bytes::from_static(piece.as_bytes()));
    let chunks: Chunks = pieces.to_vec().into();
    assert_eq!((chunks.len(), chunks.is_empty()), (3, false));
    assert_eq!(chunks.iter().count(), 2);
    assert_eq!(chunks, Chunks::from("abc"));
    assert_ne!(chunks, Chunks::from("abd"));
    assert_ne!(chunks, Chunks::from("ab"));
    assert_eq!(chunks.clone().into_iter().collect::<Vec<_>>(), ["ab", "c"]);
    assert_eq!(chunks.into_bytes(), "abc");
    assert!(Chunks::new().is_empty());
    assert_eq!(Chunks::new().into_iter().count(), 0);
}

#[test]
fn a_change_after_a_send_does_not_reach_what_was_sent() {
    let mut context = MessageContext::new()
        .with_priority(1)
        .with_metadata("a.b", 1);
    let sent = Message::new("x").with_context(context.clone());
    context
        .set("msgPriority", 7_u64)
        .expect("a message property");
    context.set_metadata("a.b", 2);
    assert_eq!((sent.context.priority(), context.priority()), (1, 7));
    assert_eq!(
        sent.context.metadata("a.b"),
        Some(&MetadataValue::Number(1))
    );
    assert_eq!(context.metadata("a.b"), Some(&MetadataValue::Number(2)));
    assert_eq!(context.all_metadata().count(), 1);
}

#[test]
fn defaults_of_rfc_9622_hold_where_nothing_was_set() {
    let context = MessageContext::new();
    assert_eq!((context.lifetime(), context.priority()), (None, 100));
    assert!(!context.is_final() && context.properties().is_none());
    let set = context.with_lifetime(Duration::from_secs(1)).with_final();
    assert_eq!(set.lifetime(), Some(Duration::from_secs(1)));
    assert!(set.is_final());
}

#[test]
fn a_connections_defaults_fill_only_what_was_not_set() {
    let defaults = MessageContext::new()
        .with_priority(5)
        .with_lifetime(Duration::from_secs(9));
    let mut plain = MessageContext::new();
    plain.apply_defaults(&defaults);
    assert_eq!(
        (plain.priority(), plain.lifetime()),
        (5, Some(Duration::from_secs(9)))
    );
    let mut own = MessageContext::new()
        .with_priority(1)
        .with_metadata("a.b", "c");
    own.apply_defaults(&defaults);
    assert_eq!(
        (own.priority(), own.lifetime()),
        (1, Some(Duration::from_secs(9)))
    );
    assert_eq!(
        own.metadata("a.b").and_then(MetadataValue::as_text),
        Some("c")
    );
    let before = own.clone();
    own.apply_defaults(&MessageContext::new());
    assert_eq!(own, before);
}

#[test]
fn a_reply_keeps_the_framers_metadata_and_nothing_else() {
    let mut received = MessageContext::new().with_metadata("tlv.type", 7);
    received.set_id(MessageId(3));
    received.set_received_final();
    received.set_early_data();
    received.set_ecn(Ecn::Ect0);
    assert!(received.is_final());
    let finality = received.get("final").expect("a message property");
    assert_eq!(finality, Some(true.into()));
    let reply = received.for_reply();
    assert_eq!(reply, MessageContext::new().with_metadata("tlv.type", 7));
}

#[test]
fn ecn_is_two_bits() {
    let all = [0, 1, 2, 3].map(Ecn::from_bits);
    assert_eq!(all, [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce]);
    assert_eq!(Ecn::from_bits(0xfe), Ecn::Ect0);
}

#[test]
fn metadata_values_convert_only_where_that_makes_sense() {
    let number = MetadataValue::from(7);
    assert_eq!((number.as_number(), number.as_bytes()), (Some(7), None));
    let text = MetadataValue::from(String::from("x"));
    assert_eq!(
        (text.as_text(), text.as_bytes()),
        (Some("x"), Some(&b"x"[..]))
    );
    let bytes = MetadataValue::from(Bytes::from_static(b"x"));
    assert_eq!((bytes.as_text(), bytes.as_bytes()), (None, Some(&b"x"[..])));
    assert_eq!(bytes.as_number(), None);
}

#[test]
fn typed_values_survive_the_trip_and_bad_ones_are_named() {
    let typed = Typed::<(u32, String)>::json();
    let value = (7, String::from("seven"));
    let sent = typed.encode(&value).expect("json").data.into_bytes();
    let whole = ReceivedMessage::whole(sent.clone(), MessageContext::new());
    assert_eq!(typed.clone().decode(&whole), Ok(value));
    let part = ReceivedMessage {
        is_end: false,
        ..whole
    };
    assert!(typed.decode(&part).is_err());
    for end in 0..sent.len() {
        let cut = ReceivedMessage::whole(sent.slice(..end), MessageContext::new());
        let failure = typed.decode(&cut).expect_err("cut json");
        assert_eq!(failure.kind, FailureKind::ProtocolViolation);
        assert!(
            failure
                .detail
                .starts_with("message cannot be decoded: json: ")
        );
    }
    let unkeyed = Typed::<std::collections::BTreeMap<Vec<u8>, u8>>::json();
    let failure = unkeyed
        .encode(&[(vec![1], 2)].into())
        .expect_err("no such key in json");
    assert_eq!(failure.kind, FailureKind::InvalidRequest);
}
