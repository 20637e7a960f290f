//! What a Preconnection asks for, and what comes of it.

use crate::support::{framed, listen, loopback, tls_pair};
use portway::{
    Action, Completion, ConnectionEvent, EstablishmentError, FailureKind, LengthPrefixed,
    Preconnection, RemoteEndpoint, Security, SelectionProperty, StackId, TransportProperties,
};
use std::net::SocketAddr;
use std::time::Duration;

/// An address of this host where nothing listens.
fn refused() -> SocketAddr {
    let socket = std::net::TcpListener::bind((loopback(), 0)).expect("a port");
    socket.local_addr().expect("an address")
}

#[tokio::test]
async fn one_preconnection_serves_many_actions_and_later_changes_do_not_reach_back() {
    let preconnection = framed(Security::disabled());
    let (mut listener, address) = listen(&preconnection).await;
    let client = preconnection.remote(RemoteEndpoint::from(address));
    let action = client.initiate();
    let _changed = client.clone().remote(RemoteEndpoint::from(refused()));
    for connection in [action.await, client.initiate().await] {
        connection
            .expect("a connection")
            .send("hello")
            .await
            .expect("accepted");
        let server = listener.accept().await.expect("a peer");
        assert_eq!(&server.receive().await.expect("a message")[..], b"hello");
    }
}

#[tokio::test]
async fn a_contradiction_is_told_before_any_packet() {
    let (_listener, address) = listen(&framed(Security::disabled())).await;
    let properties = TransportProperties::new()
        .require(SelectionProperty::Reliability)
        .require(SelectionProperty::Multistreaming);
    let preconnection = Preconnection::new(Security::tls())
        .remote(RemoteEndpoint::from(address))
        .properties(properties);
    let planned = preconnection
        .plan(Action::Initiate)
        .expect_err("no stack has both");
    assert!(planned.to_string().contains("multistreaming"), "{planned}");
    let error = preconnection
        .initiate()
        .await
        .expect_err("nothing was tried");
    assert!(matches!(error, EstablishmentError::Plan(_)), "{error}");
    assert!(error.report().is_none(), "there was no race");
    let nowhere = Preconnection::new(Security::tls()).initiate().await;
    assert!(matches!(nowhere, Err(EstablishmentError::Plan(_))));
}

#[tokio::test]
async fn a_refused_remote_leaves_the_race_to_the_next_one() {
    let preconnection = framed(Security::disabled());
    let (_listener, address) = listen(&preconnection).await;
    let client = preconnection
        .remote(RemoteEndpoint::from(refused()))
        .remote(RemoteEndpoint::from(address));
    let connection = client.initiate().await.expect("the second remote answers");
    assert_eq!(connection.info().remote, Some(address));
    assert_eq!(connection.report().expect("a race").attempts.len(), 2);
}

#[tokio::test]
async fn an_error_lists_every_attempt_with_its_cause() {
    let client = framed(Security::disabled())
        .remote(RemoteEndpoint::from(refused()))
        .remote(RemoteEndpoint::from(refused()));
    let error = client.initiate().await.expect_err("nobody listens");
    assert_eq!(error.kind(), FailureKind::Refused);
    assert!(error.is_retryable());
    let report = error.report().expect("a race");
    assert_eq!(report.attempts.len(), 2);
    assert!(report.to_string().contains("refused"), "{report}");
}

#[tokio::test]
async fn an_endpoint_for_one_stack_is_used_by_that_stack_only() {
    let preconnection = framed(Security::disabled());
    let (_listener, address) = listen(&preconnection).await;
    let client = preconnection
        .remote(RemoteEndpoint::from(refused()).for_stack(StackId::UDP))
        .remote(RemoteEndpoint::from(address).for_stack(StackId::TCP));
    let connection = client.initiate().await.expect("a connection");
    assert_eq!(connection.info().stack, Some(StackId::TCP));
    assert_eq!(connection.report().expect("a race").attempts.len(), 1);
}

#[tokio::test]
async fn a_time_limit_ends_the_race_with_its_attempts() {
    let (listener, address) = listen(&framed(Security::disabled())).await;
    // The listener speaks no TLS and stays silent, so only the limit ends the handshake.
    let client = Preconnection::new(Security::tls()).remote(RemoteEndpoint::from(address));
    let attempt = client.initiate().timeout(Duration::from_millis(50)).await;
    let error = attempt.expect_err("nobody answers");
    assert_eq!(error.kind(), FailureKind::TimedOut, "{error}");
    assert_eq!(error.report().expect("a race").attempts.len(), 1);
    drop(listener);
}

#[tokio::test]
async fn a_first_message_and_those_sent_meanwhile_leave_when_ready() {
    let (server, client) = tls_pair();
    let (mut listener, address) = listen(&framed(server)).await;
    let client = framed(client).remote(RemoteEndpoint::from(address));
    let connection = client
        .initiate()
        .first_message("first")
        .background()
        .expect("a plan");
    connection
        .send("second")
        .await
        .expect("accepted while establishing");
    connection.ready().await.expect("ready");
    let server = listener.accept().await.expect("a peer");
    for expected in ["first", "second"] {
        let message = server.receive().await.expect("a message");
        assert_eq!(&message[..], expected.as_bytes());
    }
}

#[tokio::test]
async fn a_first_message_is_lost_with_its_establishment_and_tells_nothing_more() {
    let client = framed(Security::disabled()).remote(RemoteEndpoint::from(refused()));
    let error = client.initiate().first_message("first").await;
    let error = error.expect_err("nobody listens");
    assert_eq!(error.kind(), FailureKind::Refused, "{error}");

    let connection = client.initiate().first_message("first").background();
    let connection = connection.expect("a plan");
    let mut events = connection.events();
    let second = connection.send("second").await.expect("accepted");
    let failure = connection.ready().await.expect_err("nobody listens");
    assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
    let completion = second.await;
    assert!(
        matches!(&completion, Completion::Failed(error) if error.kind() == FailureKind::Refused),
        "{completion:?}"
    );
    let mut errors = 0;
    while let Some(event) = events.next().await {
        match event {
            ConnectionEvent::Race(_) => {}
            ConnectionEvent::ConnectionError(told) => {
                assert_eq!(told, failure);
                errors += 1;
            }
            other => panic!("{other:?} of an establishment that failed"),
        }
    }
    assert_eq!(errors, 1);
}

#[tokio::test]
async fn nothing_is_received_before_a_connection_is_ready() {
    let (listener, address) = listen(&Preconnection::new(Security::disabled())).await;
    let framed = Preconnection::new(Security::tls()).remote(RemoteEndpoint::from(address));
    let connection = framed.background().expect("a plan");
    // What a peer says in the handshake is no message.
    let mut listener = listener;
    let peer = listener.accept().await.expect("a connection");
    let hello = peer.receive_partial(1, 5).await.expect("a client hello");
    assert_eq!(hello[0], 22, "a handshake record");
    let mut receive = std::pin::pin!(connection.receive());
    for _ in 0..64 {
        tokio::select! {
            biased;
            received = &mut receive => panic!("{received:?} before it is ready"),
            () = tokio::task::yield_now() => {}
        }
    }
    peer.send("no handshake at all").await.expect("accepted");
    let error = receive.await.expect_err("it never is");
    assert_eq!(connection.state(), portway::ConnectionState::Closed);
    assert_eq!(error.kind(), FailureKind::ProtocolViolation, "{error}");
}

#[tokio::test]
async fn a_recorded_race_replays_to_the_same_decisions() {
    let preconnection = framed(Security::disabled());
    let (_listener, address) = listen(&preconnection).await;
    let client = preconnection
        .remote(RemoteEndpoint::from(refused()))
        .remote(RemoteEndpoint::from(address));
    let connection = client.initiate().record().await.expect("a connection");
    let recording = connection.take_recording().expect("it was asked for");
    let replayed = recording.replay().expect("the same decisions");
    assert_eq!(Some(replayed), connection.report());
}

#[tokio::test]
async fn a_wrong_authority_is_a_certificate_failure_and_nothing_weaker_is_tried() {
    let (server, _) = tls_pair();
    let (_, stranger) = tls_pair();
    let (mut listener, address) = listen(&framed(server)).await;
    let client = Preconnection::new(stranger)
        .framer(LengthPrefixed::u32())
        .remote(RemoteEndpoint::from(address));
    let (error, _) = tokio::join!(async { client.initiate().await }, async {
        tokio::select! {
            biased;
            _ = listener.accept() => panic!("no connection is ready"),
            () = tokio::task::yield_now() => {}
        }
    });
    let error = error.expect_err("another authority");
    assert_eq!(error.kind(), FailureKind::CertificateRejected, "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_context_remembers_its_latest_races_only() {
    use portway::{Context, RealConfig, RealEnvironment};
    let environment = std::sync::Arc::new(RealEnvironment::new(RealConfig::default()));
    let context = Context::builder(environment).reports_max(1).build();
    let preconnection = framed(Security::disabled());
    let (_listener, address) = listen(&preconnection).await;
    let client = preconnection
        .context(&context)
        .remote(RemoteEndpoint::from(address));
    let first = client.initiate().await.expect("a connection");
    assert!(first.report().is_some());
    let second = client.initiate().await.expect("a connection");
    assert!(first.report().is_none(), "forgotten");
    assert!(
        second
            .report()
            .is_some_and(|report| report.winner().is_some())
    );
}
