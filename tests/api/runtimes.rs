//! Threads and runtimes: what may move between threads, and what outlives its runtime.

use crate::support::{datagrams, framed, listen, pair, tls_pair};
use portway::message::MessageContext;
use portway::{
    Action, Batch, ByteStream, Connection, Context, Events, Initiate, Listener, MessageSink,
    Messages, PartialSend, Preconnection, Receipt, RemoteEndpoint, Security, SendPermit, TlsRole,
};
use std::future::IntoFuture;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

fn is_send<T: Send>(_: T) {}
fn are_send<T: Send>() {}

/// Compiles only while every public future and handle may move between threads.
#[expect(dead_code, reason = "only its types matter")]
fn everything_public_is_send(
    preconnection: &Preconnection,
    connection: &Connection,
    listener: &mut Listener,
    parts: &mut (Messages, Events, Batch),
    mut partial: PartialSend,
) {
    are_send::<(Preconnection, Initiate, Listener, Connection, Context)>();
    are_send::<(Messages, MessageSink, ByteStream, Events)>();
    are_send::<(Batch, PartialSend, Receipt, SendPermit)>();
    is_send(preconnection.initiate().into_future());
    is_send(preconnection.listen());
    is_send(preconnection.resolve());
    is_send(preconnection.candidate_tree());
    is_send(connection.ready());
    is_send(connection.send("message"));
    is_send(connection.send_batch(["message"]));
    is_send(connection.reserve(1));
    is_send(connection.receive());
    is_send(connection.receive_partial(1, 1));
    is_send(connection.end_sending());
    is_send(connection.close());
    if let Some(tls) = Security::tls().tls_parameters() {
        is_send(connection.upgrade_tls(tls, TlsRole::Client, None));
    }
    is_send(listener.accept());
    is_send(parts.0.next());
    is_send(parts.1.next());
    is_send(parts.2.send("message"));
    is_send(partial.send("part"));
    is_send(partial.finish("part"));
    is_send(connection.begin(MessageContext::new(), None));
}

#[tokio::test]
async fn a_task_that_receives_what_is_there_lets_others_run() {
    let framed = framed(Security::disabled());
    let (client, server) = pair(&framed, &framed).await;
    let count = 12_000;
    client
        .send_batch(vec![[7u8]; count].iter().map(|one| &one[..]))
        .await
        .expect("accepted");
    server.receive().await.expect("a message");
    let has_run = Arc::new(AtomicBool::new(false));
    let other = has_run.clone();
    tokio::spawn(async move { other.store(true, Ordering::Relaxed) });
    let mut before = 0;
    for _ in 1..count {
        server.receive().await.expect("a message");
        before += usize::from(!has_run.load(Ordering::Relaxed));
    }
    assert!(before < count / 2, "{before} messages before anybody else");
}

fn current_thread() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

#[test]
fn echoes_of_many_connections_cross_the_threads_of_one_runtime() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (server, client) = tls_pair();
        let (mut listener, address) = listen(&framed(server)).await;
        let echoing = tokio::spawn(async move {
            while let Some(connection) = listener.accept().await {
                tokio::spawn(async move {
                    while let Ok(message) = connection.receive().await {
                        connection.send(message.data).await.expect("accepted");
                    }
                });
            }
        });
        let client = framed(client).remote(RemoteEndpoint::from(address));
        let mut clients = Vec::new();
        for number in 0..16u8 {
            let initiate = client.initiate();
            clients.push(tokio::spawn(async move {
                let connection = initiate.await.expect("a connection");
                for length in 0..50 {
                    let sent = vec![number; length * 97];
                    let (accepted, echo) =
                        tokio::join!(connection.send(sent.clone()), connection.receive());
                    accepted.expect("accepted");
                    assert_eq!(echo.expect("an echo").data, sent);
                }
                connection.close().await.expect("closed");
            }));
        }
        for client in clients {
            client.await.expect("no panic");
        }
        echoing.abort();
    });
}

#[test]
fn a_connection_whose_runtime_is_gone_fails_and_does_not_spin() {
    let (report, reported) = mpsc::channel();
    std::thread::spawn(move || {
        let first = current_thread();
        let open = framed(Security::disabled());
        let (client, server) = first.block_on(pair(&open, &open));
        drop(first);
        let second = current_thread();
        let received = second.block_on(client.receive());
        let _ = report.send(format!("received: {received:?}"));
        let sent = second.block_on(async {
            loop {
                match server.send(vec![0; 100_000]).await {
                    Ok(receipt) => drop(receipt),
                    Err(error) => break error,
                }
            }
        });
        let _ = report.send(format!("sent: {sent:?}"));
        let closed = second.block_on(server.close());
        let _ = report.send(format!("closed: {closed:?}"));
        drop((client, server));
        let _ = report.send("dropped".to_owned());
    });
    // Only a hang takes this long.
    let wait = || reported.recv_timeout(Duration::from_secs(20));
    for what in ["received: Err", "sent: ", "closed: Err", "dropped"] {
        let told = wait().unwrap_or_else(|error| panic!("no {what}: {error}"));
        assert!(told.starts_with(what), "{told}");
    }
}

#[test]
fn an_accepted_datagram_connection_whose_runtime_is_gone_fails() {
    let (report, reported) = mpsc::channel();
    std::thread::spawn(move || {
        let first = current_thread();
        let (client, server) = first.block_on(async {
            let (mut listener, address) = listen(&datagrams()).await;
            let client = datagrams().remote(RemoteEndpoint::from(address));
            let client = client.initiate().await.expect("a connection");
            client.send("hello").await.expect("accepted");
            (client, listener.accept().await.expect("a peer"))
        });
        let second = current_thread();
        let message = second.block_on(server.receive());
        assert_eq!(&message.expect("it has arrived")[..], b"hello");
        let waiting = server.clone();
        let waiting = second.spawn(async move { waiting.receive().await });
        second.block_on(tokio::task::yield_now());
        drop(first);
        let received = second.block_on(waiting).expect("no panic");
        let _ = report.send(format!("waited: {received:?}"));
        let received = second.block_on(client.receive());
        let _ = report.send(format!("received: {received:?}"));
        let sent = second.block_on(server.send("into the void"));
        let _ = report.send(format!("sent: {sent:?}"));
    });
    // Only a hang takes this long.
    let wait = || reported.recv_timeout(Duration::from_secs(20));
    for what in ["waited: Err", "received: Err", "sent: Err"] {
        let told = wait().unwrap_or_else(|error| panic!("no {what}: {error}"));
        assert!(told.starts_with(what), "{told}");
    }
}

#[test]
fn a_plan_needs_no_runtime() {
    let preconnection = Preconnection::new(Security::tls())
        .remote(RemoteEndpoint::host_name("example.com").port(443));
    let plan = preconnection.plan(Action::Initiate);
    assert!(plan.is_ok(), "{plan:?}");
}
