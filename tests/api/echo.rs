//! Messages there and back over each stack.

use crate::support::{framed, pair, tls_pair};
use portway::security::{ClientAuthentication, Trust};
use portway::{
    Completion, ConnectionLimits, MessageContext, Preconnection, ReceiveError, RemoteEndpoint,
    Security, StackId,
};
use portway::{FailureKind, TlsVersion};
use portway_transport::tls::self_signed;
use std::time::Duration;

#[tokio::test]
async fn framed_messages_keep_their_boundaries_over_tcp() {
    let preconnection = framed(Security::disabled());
    let (client, server) = pair(&preconnection, &preconnection).await;
    for text in ["", "a", "hello"] {
        let receipt = client.send(text).await.expect("accepted");
        assert_eq!(receipt.await, Completion::Sent);
    }
    for text in ["", "a", "hello"] {
        let message = server.receive().await.expect("a message");
        assert_eq!(&message[..], text.as_bytes());
        assert!(message.is_complete());
    }
    assert_eq!(client.info().stack, Some(StackId::TCP));
    client.close().await.expect("acknowledged");
    assert_eq!(server.receive().await, Err(ReceiveError::Finished));
}

#[tokio::test]
async fn a_mebibyte_crosses_tls_both_ways() {
    let (server, client) = tls_pair();
    let (client, server) = pair(&framed(server), &framed(client)).await;
    let payload = vec![7u8; 1 << 20];
    for (from, to) in [(&client, &server), (&server, &client)] {
        let (sent, received) = tokio::join!(from.send(payload.clone()), to.receive());
        let received = received.expect("a message");
        assert_eq!(received.len(), payload.len());
        assert!(received.is_complete());
        assert_eq!(sent.expect("accepted").await, Completion::Sent);
    }
    let protection = client.info().protection.expect("protected");
    assert_eq!(client.info().stack, Some(StackId::TLS));
    assert_eq!(protection.server_name.as_deref(), Some("localhost"));
    client.close().await.expect("acknowledged");
    assert_eq!(server.receive().await, Err(ReceiveError::Finished));
    server.close().await.expect("acknowledged");
}

#[tokio::test]
async fn a_message_expires_while_the_connection_is_being_established() {
    let (listener, address) = crate::support::listen(&framed(Security::disabled())).await;
    let remote = RemoteEndpoint::from(address);
    // A listener that does not speak TLS keeps the handshake waiting.
    let connection = Preconnection::new(Security::tls())
        .remote(remote)
        .background()
        .expect("a plan");
    let context = MessageContext::new().with_lifetime(Duration::from_millis(1));
    let receipt = connection.send(("late", context)).await.expect("accepted");
    assert_eq!(receipt.await, Completion::Expired);
    drop(listener);
}

#[tokio::test]
async fn messages_behind_one_that_blocked_leave_without_another_send() {
    let (tls_server, tls_client) = tls_pair();
    let plain = (Security::disabled(), Security::disabled());
    for (server, client) in [plain, (tls_server, tls_client)] {
        let mut limits = ConnectionLimits::default();
        limits.send_queue_bytes = 64 << 20;
        let client = framed(client).limits(limits);
        let (client, server) = pair(&framed(server), &client).await;
        // More than the system takes, in messages that each fill the buffer behind the queue.
        for number in 0..6 {
            let receipt = client.send(vec![number; 3 << 20]).await.expect("accepted");
            drop(receipt);
        }
        for number in 0..6 {
            let message = server.receive().await.expect("a message");
            assert_eq!((message.len(), message[0]), (3 << 20, number));
        }
        client.close().await.expect("acknowledged");
    }
}

#[tokio::test]
async fn a_refusal_is_heard_although_sending_failed_first() {
    let (server, client) = tls_pair();
    let strangers = self_signed(&["client".to_owned()]).expect("an identity");
    let roots = Trust::Roots(strangers.chain.into());
    let demand = ClientAuthentication::Required(roots);
    let server = server.with_tls(|tls| tls.with_client_authentication(demand));
    let (_listener, address) = crate::support::listen(&framed(server)).await;
    // With TLS 1.3 the client is ready before the server has judged it.
    let client = framed(client.with_min_version(TlsVersion::Tls13))
        .remote(RemoteEndpoint::from(address))
        .initiate()
        .await
        .expect("a connection, as far as the client can tell");
    while client.send("more").await.is_ok() {
        tokio::task::yield_now().await;
    }
    let error = client.receive().await.expect_err("a refusal");
    assert_eq!(error.kind(), FailureKind::CredentialRequired, "{error}");
}
