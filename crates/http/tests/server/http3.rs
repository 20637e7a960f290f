//! HTTP/3 on the simulated network: the server's limits hold as they do over HTTP/1.1 and 2, and
//! requests of early data are known.

use crate::net::{Net, Quic};
use crate::support::{fetch3, get3, identity, whole};
use bytes::Bytes;
use http::Request;
use portway_http::server::{End, Server};
use portway_transport::environment::Environment;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn protected(server: Server) -> Server {
    server.identities(identity())
}

fn post3(path: &str) -> http::request::Builder {
    Request::post(format!("https://localhost{path}"))
}

#[test]
fn requests_of_early_data_are_marked_and_unsafe_ones_are_too_early() {
    let early = |server: Server| protected(server).early_data();
    Net::run(early, async |net| {
        let quic = Quic::new(net);
        let first = quic.connect().await;
        assert_eq!(fetch3(&first, get3("/early")).await.body(), "false");
        net.sleep(seconds(1)).await;
        drop(first);
        let again = quic.connect_early();
        let post = post3("/").body(Bytes::new()).expect("a request");
        let (get, refused) = (again.send(get3("/early")), again.send(post.clone()));
        let (get, refused) = (get.await.expect("sent"), refused.await.expect("sent"));
        let get = get.response().await.expect("an answer");
        assert_eq!(whole(get.into_body()).await, "true");
        let refused = refused.response().await.expect("an answer");
        assert_eq!(refused.status(), 425);
        assert_eq!(again.quic().is_early_data_accepted(), Some(true));
        // RFC 8470 §5.2: it may be sent again when the handshake is complete.
        assert_eq!(fetch3(&again, post).await.status(), 200);
        assert_eq!(fetch3(&again, get3("/early")).await.body(), "false");
        drop(again);
        quic.close().await;
    });
}

#[test]
fn heads_with_too_many_fields_are_answered_with_431() {
    let limited = |server: Server| protected(server).limits(|limits| limits.fields_max = 10);
    Net::run(limited, async |net| {
        let quic = Quic::new(net);
        let client = quic.connect().await;
        for (fields, status) in [(10, 200), (11, 431)] {
            let mut request = get3("/");
            for index in 0..fields {
                let name: http::HeaderName = format!("x-{index}").parse().expect("a name");
                request
                    .headers_mut()
                    .insert(name, "y".parse().expect("a value"));
            }
            let answer = fetch3(&client, request).await;
            assert_eq!(answer.status(), status, "{fields}");
        }
        assert_eq!(fetch3(&client, get3("/")).await.status(), 200);
        drop(client);
        quic.close().await;
    });
}

#[test]
fn a_handler_that_panics_fails_its_request_and_no_other() {
    Net::run(protected, async |net| {
        let quic = Quic::new(net);
        let client = quic.connect().await;
        let held = client.send(get3("/hold")).await.expect("sent");
        net.app.held.notified().await;
        let fault = client.send(get3("/fault")).await.expect("sent");
        fault.response().await.expect_err("nobody answers it");
        assert_eq!(fetch3(&client, get3("/")).await.body(), "hello");
        net.app.release.notify_one();
        let answer = held.response().await.expect("an answer");
        assert_eq!(whole(answer.into_body()).await, "released");
        drop(client);
        quic.close().await;
    });
}

#[test]
fn others_have_their_turn_between_many_requests_of_one_connection() {
    Net::run(protected, async |net| {
        let quic = Quic::new(net);
        let client = quic.connect().await;
        let mut sent = Vec::new();
        for _ in 0..64 {
            sent.push(client.send(get3("/hold")).await.expect("sent"));
        }
        // This has its turn when the first handler was called.
        net.app.held.notified().await;
        let calls = net.app.calls.load(Ordering::Relaxed);
        assert!(calls <= 16, "{calls} came first");
        drop((sent, client));
        quic.close().await;
    });
}

#[test]
fn content_that_is_too_long_is_refused_or_fails() {
    let limited = |server: Server| protected(server).limits(|limits| limits.body_bytes_max = 8);
    Net::run(limited, async |net| {
        let quic = Quic::new(net);
        let client = quic.connect().await;
        for (length, status) in [(8, 200), (9, 413)] {
            let request = post3("/length").header("content-length", length);
            let request = request.body(Bytes::from(vec![7; length]));
            let answer = fetch3(&client, request.expect("a request")).await;
            assert_eq!(answer.status(), status);
        }
        let request = post3("/length").body(()).expect("a request");
        let mut stream = client.send_request(request).await.expect("sent");
        let content = Bytes::from_static(b"123456789");
        stream
            .body()
            .send_data(content)
            .await
            .expect("there is room");
        let answer = stream.finish().expect("ended").response().await;
        // axum says so when a body fails.
        assert_eq!(answer.expect("an answer").status(), 400);
        drop(client);
        quic.close().await;
    });
}

#[test]
fn content_that_stops_coming_fails_its_request() {
    let brief = |server: Server| protected(server).times(|times| times.body_idle = seconds(8));
    Net::run(brief, async |net| {
        let quic = Quic::new(net);
        let client = quic.connect().await;
        let start = net.client.now();
        let request = post3("/length").body(()).expect("a request");
        let mut stream = client.send_request(request).await.expect("sent");
        let content = Bytes::from_static(b"abc");
        stream
            .body()
            .send_data(content)
            .await
            .expect("there is room");
        let (body, pending) = stream.split();
        let answer = pending.response().await.expect("an answer");
        assert_eq!(answer.status(), 400, "axum says so when a body fails");
        assert!((seconds(8)..seconds(9)).contains(&net.since(start)));
        drop((body, answer, client));
        quic.close().await;
    });
}

#[test]
fn a_head_that_does_not_end_in_time_ends_its_request_alone() {
    let brief = |server: Server| protected(server).times(|times| times.head = seconds(8));
    Net::run(brief, async |net| {
        let quic = Quic::new(net);
        // A client by hand.
        let client = quic.connect_raw().await;
        let start = net.client.now();
        let (mut send, mut receive) = client.open_bi().await.expect("a stream");
        // The head of a HEADERS frame, and three bytes of 32.
        let begun = Bytes::from_static(&[1, 32, 0, 0, 0xd1]);
        send.write_all(&begun).await.expect("there is room");
        let ended = receive.read_to_end(100).await;
        assert!(ended.is_err(), "it is not answered");
        assert!((seconds(8)..seconds(9)).contains(&net.since(start)));
        let (mut again, mut answer) = client.open_bi().await.expect("a stream");
        // GET, https, / by the static table of QPACK, and the authority "a".
        let whole = Bytes::from_static(&[1, 8, 0, 0, 0xd1, 0xd7, 0xc1, 0x50, 1, b'a']);
        again.write_and_finish(whole).await.expect("there is room");
        let answer = answer.read_to_end(1000).await.expect("an answer");
        assert!(answer.ends_with(b"hello"), "{answer:?}");
        drop((again, answer));
        drop((send, receive, client));
        quic.close().await;
    });
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let brief = |server: Server| protected(server).times(|times| times.unread = seconds(12));
    Net::run(brief, async |net| {
        let quic = Quic::new(net);
        let client = quic.connect().await;
        let start = net.client.now();
        let pending = client.send(get3("/large")).await.expect("sent");
        let deaf = pending.response().await.expect("an answer");
        while net.serving.requests() > 0 {
            net.sleep(seconds(1)).await;
            eprintln!(
                "{:?} {} {:?}",
                net.since(start),
                net.serving.requests(),
                net.ends()
            );
        }
        assert!((seconds(12)..seconds(20)).contains(&net.since(start)));
        assert!(deaf.into_body().read_all(1 << 30).await.is_err());
        assert_eq!(net.ended(1).await, [End::Unread]);
        drop(client);
        quic.close().await;
    });
}

#[test]
fn a_connection_without_requests_ends_after_the_idle_time() {
    let brief = |server: Server| protected(server).times(|times| times.keep_alive = seconds(10));
    Net::run(brief, async |net| {
        let quic = Quic::new(net);
        let start = net.client.now();
        let client = quic.connect().await;
        net.sleep(seconds(5)).await;
        assert_eq!(fetch3(&client, get3("/")).await.status(), 200);
        client.going_away().await;
        assert!((seconds(15)..seconds(16)).contains(&net.since(start)));
        assert_eq!(net.ended(1).await, [End::Idle]);
        drop(client);
        quic.close().await;
    });
}

#[test]
fn requests_are_as_many_at_a_time_as_was_said() {
    let limited = |server: Server| protected(server).limits(|limits| limits.streams_max = 3);
    Net::run(limited, async |net| {
        let quic = Quic::new(net);
        let client = quic.connect().await;
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(client.send(get3("/hold")).await.expect("sent"));
        }
        let mut fourth = Box::pin(client.send(get3("/")));
        tokio::select! {
            biased;
            _ = fourth.as_mut() => panic!("a fourth stream was opened"),
            () = net.sleep(seconds(5)) => {}
        }
        assert_eq!(net.serving.requests(), 3);
        net.app.release.notify_waiters();
        for pending in held {
            let answer = pending.response().await.expect("an answer");
            assert_eq!(whole(answer.into_body()).await, "released");
        }
        let answer = fourth.await.expect("sent").response().await;
        assert_eq!(answer.expect("an answer").status(), 200);
        drop(client);
        quic.close().await;
    });
}

#[test]
fn rapid_resets_end_the_connection_and_no_other() {
    let limited = |server: Server| protected(server).limits(|limits| limits.glitch_burst = 100);
    Net::run(limited, async |net| {
        let quic = Quic::new(net);
        let (other, flooding) = (quic.connect().await, quic.connect().await);
        let mut sent = 0;
        while sent < 10_000 && flooding.error().is_none() {
            if let Ok(pending) = flooding.send(get3("/hold")).await {
                // The request leaves before it is given up.
                net.sleep(Duration::from_millis(1)).await;
                drop(pending);
            }
            sent += 1;
        }
        assert!((100..1000).contains(&sent), "{sent}");
        let ends = net.ended(1).await;
        assert!(matches!(ends[0], End::Flood(_)), "{ends:?}");
        assert_eq!(net.serving.requests(), 0);
        assert_eq!(fetch3(&other, get3("/")).await.status(), 200);
        drop((other, flooding));
        quic.close().await;
    });
}

#[test]
fn connections_beyond_the_limit_wait_and_are_not_lost() {
    let limited = |server: Server| protected(server).limits(|limits| limits.connections_max = 2);
    Net::run(limited, async |net| {
        let quic = Quic::new(net);
        let (one, two) = (quic.connect().await, quic.connect().await);
        for client in [&one, &two] {
            assert_eq!(fetch3(client, get3("/")).await.status(), 200);
        }
        let three = quic.connect().await;
        let pending = three.send(get3("/")).await.expect("sent");
        net.sleep(seconds(5)).await;
        assert_eq!(net.serving.connections(), 2);
        one.close(portway_http::h3::Code::H3_NO_ERROR, "");
        assert_eq!(pending.response().await.expect("an answer").status(), 200);
        drop((one, two, three));
        quic.close().await;
    });
}
