//! The ends of connections on real sockets: aborts, resets, and what each send comes to.

use crate::support::{framed, listen, loopback, pair, tls_pair};
use portway::{
    CloseError, Completion, Connection, ConnectionEvent, ConnectionLimits, ConnectionState, Events,
    FailureKind, Origin, Preconnection, Receipt, ReceiveError, RemoteEndpoint, Security, SendError,
    StackId, TlsRole,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn byte_streams() -> [(Security, Security); 2] {
    [(Security::disabled(), Security::disabled()), tls_pair()]
}

/// Writes down how each send ends, in the order in which they do.
#[derive(Clone, Default)]
struct Outcomes {
    told: Arc<Mutex<Vec<(usize, Completion)>>>,
}

impl Outcomes {
    /// Waits for `receipt`, in a task of its own, as the outcome of send `number`.
    fn follow(&self, number: usize, receipt: Receipt) -> tokio::task::JoinHandle<()> {
        let told = self.told.clone();
        tokio::spawn(async move {
            let completion = receipt.await;
            told.lock().expect("no panic").push((number, completion));
        })
    }

    /// The outcomes, which must have the order of the sends: some were sent, the others failed.
    fn failures_behind_what_was_sent(&self) -> Vec<SendError> {
        let told = std::mem::take(&mut *self.told.lock().expect("no panic"));
        let numbers: Vec<usize> = told.iter().map(|(number, _)| *number).collect();
        assert!(numbers.is_sorted(), "told in the order {numbers:?}");
        let sent = told
            .iter()
            .take_while(|(_, completion)| *completion == Completion::Sent)
            .count();
        assert!(sent > 0, "the first message left");
        let failed = told[sent..].iter().map(|(number, completion)| {
            let Completion::Failed(error) = completion else {
                panic!("send {number} is {completion:?} behind one that failed");
            };
            error.clone()
        });
        failed.collect()
    }
}

/// Sends until the queue is full.
async fn fill(connection: &Connection) -> (Outcomes, Vec<tokio::task::JoinHandle<()>>) {
    let outcomes = Outcomes::default();
    let mut following = Vec::new();
    let first = connection.send("first").await.expect("accepted");
    following.push(outcomes.follow(0, first));
    while let Ok(receipt) = connection.try_send(vec![7; 100_000]) {
        following.push(outcomes.follow(following.len(), receipt));
    }
    (outcomes, following)
}

async fn all(following: Vec<tokio::task::JoinHandle<()>>) {
    for task in following {
        task.await.expect("no panic");
    }
}

/// The events up to the last one.
async fn rest_of(mut events: Events) -> Vec<ConnectionEvent> {
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        seen.push(event);
    }
    seen
}

#[tokio::test]
async fn an_abort_tells_both_sides_why_and_completes_every_send_in_order() {
    for (server, client) in byte_streams() {
        let (client, server) = pair(&framed(server), &framed(client)).await;
        let (outcomes, following) = fill(&client).await;
        let (at_client, at_server) = (client.events(), server.events());
        assert_eq!(client.state(), ConnectionState::Established);
        client.abort();
        assert_eq!(client.state(), ConnectionState::Closed);
        all(following).await;
        let failures = outcomes.failures_behind_what_was_sent();
        assert!(!failures.is_empty(), "the queue was full");
        for failure in failures {
            assert_eq!(failure.kind(), FailureKind::Cancelled, "{failure}");
        }
        let events = rest_of(at_client).await;
        assert!(
            matches!(&events[..], [ConnectionEvent::ConnectionError(failure)]
                if failure.kind == FailureKind::Cancelled && failure.origin == Origin::Local),
            "{events:?}"
        );
        let closed = client.close().await.expect_err("it was aborted");
        assert!(matches!(closed, CloseError::Failed(_)), "{closed}");

        assert_eq!(&server.receive().await.expect("it had left")[..], b"first");
        let error = loop {
            match server.receive().await {
                Ok(message) => assert_eq!(message.len(), 100_000, "whole or not at all"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ReceiveError::Failed(_)), "{error}");
        assert_eq!(error.kind(), FailureKind::Reset, "{error}");
        let events = rest_of(at_server).await;
        assert!(
            matches!(&events[..], [ConnectionEvent::ConnectionError(failure)]
                if failure.kind == FailureKind::Reset),
            "{events:?}"
        );
        assert_eq!(server.state(), ConnectionState::Closed);
        let refused = server.send("too late").await.expect_err("it has ended");
        assert_eq!(refused.kind(), FailureKind::Reset, "{refused}");
    }
}

#[tokio::test]
async fn both_sides_may_close_at_once_over_each_stack() {
    let (server, client) = tls_pair();
    let over_quic = (server.with_alpn(["close"]), client.with_alpn(["close"]));
    let [plain, tls] = byte_streams();
    let stacks = [StackId::TCP, StackId::TLS, StackId::QUIC];
    for ((server, client), stack) in [plain, tls, over_quic].into_iter().zip(stacks) {
        let (mut listener, address) = listen(&framed(server)).await;
        let to = framed(client).remote(RemoteEndpoint::from(address));
        let client = to.initiate().await.expect("a connection");
        assert_eq!(client.info().stack, Some(stack.clone()));
        client.send("first").await.expect("accepted");
        let server = listener.accept().await.expect("a peer");
        assert_eq!(&server.receive().await.expect("a message")[..], b"first");
        let closed = tokio::join!(client.close(), server.close());
        assert_eq!(closed, (Ok(()), Ok(())), "{stack}");
        assert_eq!(client.state(), ConnectionState::Closed);
        assert_eq!(server.state(), ConnectionState::Closed);
    }
}

#[tokio::test]
async fn a_reset_by_the_peer_completes_every_send_in_order() {
    let listener = std::net::TcpListener::bind((loopback(), 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let client = framed(Security::disabled()).remote(RemoteEndpoint::from(address));
    let client = client.initiate().await.expect("a connection");
    let (peer, _) = listener.accept().expect("a connection");
    let (outcomes, following) = fill(&client).await;
    let events = client.events();
    // Closing a socket with unread bytes is a reset.
    drop(peer);
    let error = client.receive().await.expect_err("a reset");
    assert_eq!(error.kind(), FailureKind::Reset, "{error}");
    all(following).await;
    for failure in outcomes.failures_behind_what_was_sent() {
        assert_eq!(failure.kind(), FailureKind::Reset, "{failure}");
    }
    let events = rest_of(events).await;
    assert!(
        matches!(&events[..], [ConnectionEvent::ConnectionError(failure)]
            if failure.kind == FailureKind::Reset && failure.code.is_some()),
        "{events:?}"
    );
    let closed = client.close().await.expect_err("it was reset");
    assert_eq!(closed.kind(), FailureKind::Reset, "{closed}");
}

#[tokio::test]
async fn a_close_and_an_upgrade_without_an_answer_end_after_their_limits() {
    let mut limits = ConnectionLimits::default();
    limits.linger = Duration::from_millis(50);
    limits.handshake_timeout = Duration::from_millis(50);
    let plain = Preconnection::new(Security::disabled()).limits(limits);
    let (client, silent) = pair(&plain, &plain).await;
    let security = Security::tls();
    let tls = security.tls_parameters().expect("TLS");
    let upgrade = client.upgrade_tls(tls, TlsRole::Client, Some("localhost"));
    let error = upgrade.await.expect_err("nobody answers");
    assert_eq!(error.kind(), FailureKind::TimedOut, "{error}");
    assert_eq!(client.state(), ConnectionState::Closed);
    drop(silent);

    let (client, _silent) = pair(&plain, &plain).await;
    let (outcomes, following) = fill(&client).await;
    let error = client.close().await.expect_err("nobody reads");
    assert!(
        matches!(error, CloseError::TimedOut { unacknowledged } if unacknowledged > 0),
        "{error}"
    );
    all(following).await;
    for failure in outcomes.failures_behind_what_was_sent() {
        assert_eq!(failure.kind(), FailureKind::TimedOut, "{failure}");
    }
}

#[tokio::test]
async fn the_states_of_a_connection_come_in_their_order() {
    let preconnection = framed(Security::disabled());
    let (mut listener, address) = listen(&preconnection).await;
    let client = preconnection.remote(RemoteEndpoint::from(address));
    let connection = client.background().expect("a plan");
    assert_eq!(connection.state(), ConnectionState::Establishing);
    let events = connection.events();
    connection.ready().await.expect("a peer");
    assert_eq!(connection.state(), ConnectionState::Established);
    let server = listener.accept().await.expect("a peer");
    // More than the system takes, so that the end has to wait for the peer.
    let (outcomes, following) = fill(&connection).await;
    let messages = following.len();
    let closing = {
        let connection = connection.clone();
        tokio::spawn(async move { connection.close().await })
    };
    while connection.state() == ConnectionState::Established {
        tokio::task::yield_now().await;
    }
    assert_eq!(connection.state(), ConnectionState::Closing);
    let refused = connection.send("too late").await;
    assert!(matches!(refused, Err(SendError::Closed(_))), "{refused:?}");
    for _ in 0..messages {
        let delivered = server.receive().await;
        assert!(delivered.is_ok(), "it was accepted before: {delivered:?}");
    }
    assert_eq!(server.receive().await, Err(ReceiveError::Finished));
    assert_eq!(closing.await.expect("no panic"), Ok(()));
    all(following).await;
    assert_eq!(outcomes.failures_behind_what_was_sent(), []);
    assert_eq!(connection.state(), ConnectionState::Closed);
    let mut events = rest_of(events).await;
    events.retain(|event| !matches!(event, ConnectionEvent::Race(_)));
    assert_eq!(events, [ConnectionEvent::Ready, ConnectionEvent::Closed]);
}

#[tokio::test]
async fn a_peer_that_never_reads_makes_senders_wait_within_the_bounds() {
    for (server, client) in byte_streams() {
        let (client, server) = pair(&framed(server), &framed(client)).await;
        let (outcomes, following) = fill(&client).await;
        let queued = client.info().queued_bytes;
        assert!(queued > 0 && queued <= 1024 * 1024, "{queued} bytes wait");
        let messages = following.len();
        let waiting = {
            let client = client.clone();
            tokio::spawn(async move { client.send(vec![8; 100_000]).await })
        };
        for _ in 0..64 {
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished(), "there is no room");
        }
        assert_eq!(&server.receive().await.expect("a message")[..], b"first");
        for _ in 1..messages {
            assert_eq!(server.receive().await.expect("a message")[0], 7);
        }
        assert_eq!(server.receive().await.expect("a message")[0], 8);
        all(following).await;
        assert_eq!(outcomes.failures_behind_what_was_sent(), []);
        let receipt = waiting.await.expect("no panic").expect("accepted");
        assert_eq!(receipt.await, Completion::Sent);
    }
}
