//! What a slow, silent or greedy peer can make an end hold, and for how long.

use crate::net::{Net, Setup, bytes, fetch, get, ok, ok_begun, post, whole};
use bytes::Bytes;
use portway_http::h3::{Code, SendError};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

#[test]
fn a_reader_that_stops_holds_at_most_its_window() {
    const WINDOW: usize = 100_000;
    const BUFFER: usize = 20_000;
    let mut setup = Setup::default();
    setup.client_quic.streams.window_bytes = WINDOW as u32;
    setup.client.http.limits.receive_buffer_bytes = BUFFER;
    setup.server.http.limits.send_buffer_bytes = BUFFER;
    Net::run(setup, async |net| {
        let (client, server) = net.pair().await;
        let pending = client.send(get("/endless")).await.expect("sent");
        let incoming = server.accept().await.expect("open").expect("a request");
        let mut send = incoming.responder.send_response(ok_begun()).expect("sent");
        let response = pending.response().await.expect("answered");
        let piece = bytes(10_000);
        let mut sent = 0;
        // Nobody reads: sending comes to a stop, and stays so.
        loop {
            let stalled = {
                let mut sending = pin!(send.send_data(piece.clone()));
                let mut limit = pin!(net.sleep(Duration::from_secs(10)));
                std::future::poll_fn(|context| {
                    if let Poll::Ready(sent) = sending.as_mut().poll(context) {
                        return Poll::Ready(sent.map(|()| false));
                    }
                    limit.as_mut().poll(context).map(|()| Ok(true))
                })
                .await
                .expect("the peer is there")
            };
            if stalled {
                break;
            }
            sent += piece.len();
        }
        // What both ends buffer, what QUIC may have sent, and a piece at each edge.
        assert!(
            sent <= WINDOW + 2 * BUFFER + 3 * piece.len(),
            "{sent} bytes"
        );
        assert!(sent >= WINDOW, "{sent} bytes");
        // Other streams go on meanwhile, and this one when it is read.
        let beside = async {
            let incoming = server.accept().await.expect("open").expect("a request");
            incoming.responder.send(ok("beside")).expect("sent");
        };
        let (content, ()) = tokio::join!(fetch(&client, "/beside"), beside);
        assert_eq!(content, "beside");
        let ending = async {
            send.send_data(piece.clone()).await.expect("room");
            send.finish().expect("ended");
        };
        let (content, ()) = tokio::join!(whole(response.into_body()), ending);
        assert_eq!(content.len(), sent + piece.len());
    });
}

#[test]
fn requests_wait_for_streams_in_their_order() {
    let mut setup = Setup::default();
    setup.server_quic.streams.bidirectional_max = 2;
    Net::run(setup, async |net| {
        let (client, server) = net.pair().await;
        let _server = net.echo(server);
        let mut stalled = Vec::new();
        for _ in 0..2 {
            stalled.push(client.send_request(post("/")).await.expect("sent"));
        }
        let order = std::cell::RefCell::new(Vec::new());
        let ask = async |name: &str| {
            let pending = client.send(get(name)).await.expect("sent");
            order.borrow_mut().push(name.to_owned());
            pending.response().await.expect("answered");
        };
        let releasing = async {
            net.sleep(Duration::from_secs(1)).await;
            assert!(order.borrow().is_empty());
            stalled.pop().expect("two").finish().expect("ended")
        };
        let (.., released) = tokio::join!(ask("/a"), ask("/b"), ask("/c"), ask("/d"), releasing);
        drop(released);
        assert_eq!(*order.borrow(), ["/a", "/b", "/c", "/d"]);
        drop(stalled);
        client.close(Code::H3_NO_ERROR, "done");
        client.quic().closed().await;
    });
}

#[test]
fn a_header_section_that_never_ends_is_given_up_in_time() {
    let mut setup = Setup::default();
    setup.server.http.limits.patience.section = Some(Duration::from_secs(5));
    setup.client_quic.times.keep_alive = Some(Duration::from_secs(1));
    Net::run(setup, async |net| {
        let (client, server) = net.quic().await;
        let server = net.server_over(&server);
        // A client by hand: a control stream, and a HEADERS frame of which most is missing.
        let mut control = client.open_uni().await.expect("a stream");
        control.write_all(b"\x00\x04\x00").await.expect("written");
        let (mut send, mut receive) = client.open_bi().await.expect("a stream");
        send.write_all(b"\x01\x20\x00\x00").await.expect("written");
        let ended = receive.read_chunk(100).await.expect_err("it is given up");
        let reset = format!("{ended:?}");
        assert!(reset.contains("Reset"), "{reset}");
        assert!(server.error().is_none(), "the connection goes on");
    });
}

#[test]
fn more_requests_than_are_handled_at_a_time_are_rejected() {
    let mut setup = Setup::default();
    setup.server.http.limits.requests = 2;
    Net::run(setup, async |net| {
        let (client, server) = net.pair().await;
        let mut pending = Vec::new();
        for path in ["/a", "/b", "/c"] {
            pending.push(client.send(get(path)).await.expect("sent"));
        }
        let third = pending.pop().expect("three");
        let error = third.response().await.expect_err("one too many");
        assert_eq!(error.code, Code::H3_REQUEST_REJECTED);
        assert!(error.retry.is_safe());
        for pending in pending {
            let incoming = server.accept().await.expect("open").expect("a request");
            incoming.responder.send(ok("one of two")).expect("sent");
            drop(incoming.request);
            assert_eq!(pending.response().await.expect("answered").status(), 200);
        }
    });
}

#[test]
fn a_field_section_that_is_too_large_is_answered_with_431() {
    let mut setup = Setup::default();
    setup.server.http.limits.field_section_bytes = 1000;
    Net::run(setup, async |net| {
        let (client, server) = net.pair().await;
        // The client does not know the limit yet.
        let mut large = get("/");
        let value = "x".repeat(2000).parse().expect("a value");
        large.headers_mut().insert("x-large", value);
        let pending = client.send(large.clone()).await.expect("sent");
        let response = pending.response().await.expect("answered");
        assert_eq!(response.status(), 431);
        drop(response);
        // Now it does, and sends nothing that would be refused.
        let error = client.send(large).await.expect_err("too large");
        assert!(matches!(error, SendError::Unsendable(_)), "{error}");
        let answering = async {
            let incoming = server.accept().await.expect("open").expect("a request");
            incoming.responder.send(ok("small")).expect("sent");
        };
        let (content, ()) = tokio::join!(fetch(&client, "/small"), answering);
        assert_eq!(content, Bytes::from_static(b"small"));
    });
}
