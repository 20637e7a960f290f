//! Messages: parts, contexts, defaults, the final one.

use crate::support::{framed, pair, tls_pair};
use portway::framer::{LengthPrefixed, TLV_TYPE, Tlv};
use portway::{
    Completion, Message, MessageContext, MessageProperties, Preconnection, ReceiveError, Security,
    SendError,
};

#[tokio::test]
async fn a_message_sent_in_parts_arrives_whole() {
    let (server, client) = tls_pair();
    let (client, server) = pair(&framed(server), &framed(client)).await;
    let mut partial = client.begin(MessageContext::new(), None);
    let first = partial.send("one ").await.expect("accepted");
    let second = partial.send("two ").await.expect("accepted");
    let last = partial.finish("three").await.expect("accepted");
    let message = server.receive().await.expect("a message");
    assert_eq!(&message[..], b"one two three");
    for receipt in [first, second, last] {
        assert_eq!(receipt.await, Completion::Sent);
    }
}

#[tokio::test]
async fn a_dropped_partial_send_never_looks_like_the_end_of_a_message() {
    let open = Preconnection::new(Security::disabled());
    let (client, server) = pair(&open, &open).await;
    let mut partial = client.begin(MessageContext::new(), None);
    partial.send("half").await.expect("accepted").await;
    let part = server.receive_partial(1, 64).await.expect("a part");
    assert!(!part.is_end);
    drop(partial);
    let error = server.receive_partial(1, 64).await.expect_err("a reset");
    assert!(matches!(error, ReceiveError::Failed(_)), "{error}");
}

#[tokio::test]
async fn a_long_message_comes_in_parts_of_one_context() {
    let preconnection = framed(Security::disabled());
    let (client, server) = pair(&preconnection, &preconnection).await;
    client.send(vec![9u8; 100]).await.expect("accepted");
    client.send("next").await.expect("accepted");
    let mut received = 0;
    let mut id = None;
    loop {
        let part = server.receive_partial(1, 40).await.expect("a part");
        assert!(part.len() <= 40);
        assert_eq!(*id.get_or_insert(part.id()), part.id());
        received += part.len();
        if part.is_end {
            break;
        }
    }
    assert_eq!(received, 100);
    let next = server.receive().await.expect("a message");
    assert_eq!(&next[..], b"next");
    assert_ne!(Some(next.id()), id);
}

#[tokio::test]
async fn a_context_tells_both_endpoints_and_a_framers_metadata() {
    let preconnection =
        Preconnection::new(Security::disabled()).framer(Tlv::u8(LengthPrefixed::u16()));
    let (client, server) = pair(&preconnection, &preconnection).await;
    let context = MessageContext::new().with_metadata(TLV_TYPE, 7u64);
    client
        .send(Message::new("typed").with_context(context))
        .await
        .expect("accepted");
    let message = server.receive().await.expect("a message");
    assert_eq!(
        message
            .context
            .metadata(TLV_TYPE)
            .and_then(portway::message::MetadataValue::as_number),
        Some(7)
    );
    assert_eq!(message.context.local_endpoint(), server.info().local);
    assert_eq!(message.context.remote_endpoint(), client.info().local);
    let reply = Message::new("same type").with_context(message.context.for_reply());
    server.send(reply).await.expect("accepted");
    let answer = client.receive().await.expect("a message");
    assert_eq!(
        answer
            .context
            .metadata(TLV_TYPE)
            .and_then(portway::message::MetadataValue::as_number),
        Some(7)
    );
}

#[tokio::test]
async fn a_final_message_ends_the_direction_and_the_other_one_goes_on() {
    let preconnection = framed(Security::disabled());
    let (client, server) = pair(&preconnection, &preconnection).await;
    let context = MessageContext::new().with_final();
    client
        .send(Message::new("last").with_context(context))
        .await
        .expect("accepted");
    let refused = client.send("too late").await;
    assert!(matches!(refused, Err(SendError::Closed(_))), "{refused:?}");
    assert!(!client.info().can_send);
    assert_eq!(&server.receive().await.expect("a message")[..], b"last");
    assert_eq!(server.receive().await, Err(ReceiveError::Finished));
    server.send("still here").await.expect("accepted");
    assert_eq!(
        &client.receive().await.expect("a message")[..],
        b"still here"
    );
}

#[tokio::test]
async fn the_defaults_of_messages_can_be_changed_on_a_live_connection() {
    let preconnection = framed(Security::disabled());
    let (client, server) = pair(&preconnection, &preconnection).await;
    client.send("as at first").await.expect("accepted");
    client.set_message_defaults(&MessageProperties::new().with_final(true));
    client.set_message_defaults(&MessageProperties::new());
    client.send("as at first again").await.expect("accepted");
    assert!(client.info().can_send);
    client.set_message_defaults(&MessageProperties::new().with_final(true));
    client.send("the last").await.expect("accepted");
    assert!(!client.info().can_send);
    for expected in ["as at first", "as at first again", "the last"] {
        let received = server.receive().await.expect("a message");
        assert_eq!(&received[..], expected.as_bytes());
    }
    let ended = server.receive().await;
    assert!(matches!(ended, Err(ReceiveError::Finished)), "{ended:?}");
}

#[tokio::test]
async fn a_final_message_that_is_refused_leaves_the_direction_open() {
    let short = LengthPrefixed::u32().max_length(4);
    let preconnection = Preconnection::new(Security::disabled()).framer(short);
    let (client, server) = pair(&preconnection, &preconnection).await;
    let context = MessageContext::new().with_final();
    let too_long = Message::new("too long").with_context(context);
    let completion = client.send(too_long).await.expect("accepted").await;
    assert!(
        matches!(completion, Completion::Failed(_)),
        "{completion:?}"
    );
    client.send("next").await.expect("the direction is open");
    assert_eq!(&server.receive().await.expect("a message")[..], b"next");
}

#[tokio::test]
async fn inconsistent_properties_are_an_error_of_the_send_alone() {
    let preconnection = framed(Security::disabled());
    let (client, server) = pair(&preconnection, &preconnection).await;
    let unreliable = MessageProperties::new().with_reliable(false);
    let mut context = MessageContext::new();
    *context.properties_mut() = unreliable;
    let refused = client.send(Message::new("no").with_context(context)).await;
    assert!(
        matches!(refused, Err(SendError::InconsistentProperties(_))),
        "{refused:?}"
    );
    client.send("yes").await.expect("accepted");
    assert_eq!(&server.receive().await.expect("a message")[..], b"yes");
}

#[tokio::test]
async fn what_waits_behind_a_partial_send_leaves_when_that_is_dropped() {
    let preconnection = framed(Security::disabled());
    let (client, server) = pair(&preconnection, &preconnection).await;
    let mut partial = client.begin(MessageContext::new(), None);
    partial.send("never complete").await.expect("accepted");
    let behind = client.send("behind").await.expect("accepted");
    drop(partial);
    assert_eq!(behind.await, Completion::Sent);
    assert_eq!(&server.receive().await.expect("a message")[..], b"behind");
    client.close().await.expect("closed");
}

#[tokio::test]
async fn a_final_message_sent_in_parts_ends_the_direction() {
    let preconnection = framed(Security::disabled());
    let (client, server) = pair(&preconnection, &preconnection).await;
    let mut partial = client.begin(MessageContext::new().with_final(), None);
    partial.send("la").await.expect("accepted");
    partial.finish("st").await.expect("accepted");
    assert_eq!(&server.receive().await.expect("a message")[..], b"last");
    assert_eq!(server.receive().await, Err(ReceiveError::Finished));
    assert!(!client.info().can_send);
}

#[tokio::test]
async fn a_partial_send_is_held_to_the_same_properties_as_a_whole_one() {
    let preconnection = framed(Security::disabled());
    let (client, _server) = pair(&preconnection, &preconnection).await;
    let mut context = MessageContext::new();
    *context.properties_mut() = MessageProperties::new().with_reliable(false);
    let mut partial = client.begin(context, None);
    let refused = partial.send("no").await;
    assert!(
        matches!(refused, Err(SendError::InconsistentProperties(_))),
        "{refused:?}"
    );
}
