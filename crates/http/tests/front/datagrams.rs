//! Datagrams of requests through both ends.

use crate::net::{Net, ok_begun};
use crate::tunnels::{connect, extended};
use portway_http::h3::{Datagrams, Profile, SendBody, SendError, Tunnel};
use std::time::Duration;

/// Both ends of an extended CONNECT: what keeps it open, and the datagrams.
async fn sessions(net: &Net) -> (Tunnel, Tunnel) {
    let (client, server) = net.pair().await;
    let accepting = async {
        let incoming = server.accept().await.expect("open").expect("a request");
        let send: SendBody = incoming.responder.send_response(ok_begun()).expect("sent");
        Tunnel::new(incoming.request.into_body(), send)
    };
    let connecting = client.connect(connect(Some("connect-udp")));
    let (near, far) = tokio::join!(connecting, accepting);
    (near.expect("connected").into_body(), far)
}

#[test]
fn datagrams_cross_beside_the_stream() {
    Net::run(extended(), async |net| {
        let (near, far) = sessions(&net).await;
        let (client, server) = (near.datagrams(), far.datagrams());
        assert_eq!(client.profile(), Some(Profile::Rfc9297));
        for payload in [&b"one"[..], b"", b"three"] {
            client.send(payload).expect("sent");
            let came = server.receive().await.expect("it came");
            assert_eq!(came.payload, payload);
            server.send(&came.payload).expect("sent");
            let back = client.receive().await.expect("it came");
            assert_eq!((back.context, &back.payload[..]), (0, payload));
        }
        let max = client.payload_max(0).expect("the peer takes datagrams");
        client.send(&vec![1; max]).expect("sent");
        assert_eq!(server.receive().await.expect("it came").payload.len(), max);
        let error = client.send(&vec![1; max + 1]).expect_err("too long");
        assert_eq!(error, SendError::DatagramTooLarge { max });
    });
}

#[test]
fn datagrams_end_with_their_request() {
    Net::run(extended(), async |net| {
        let (near, far) = sessions(&net).await;
        let (client, server) = (near.datagrams(), far.datagrams());
        let waiting = async { server.receive().await };
        let ending = async {
            near_future().await;
            drop(near);
            drop(far);
        };
        let (last, ()) = tokio::join!(waiting, ending);
        assert_eq!(last, None);
        assert_eq!(client.receive().await, None);
        client.send(b"late").expect_err("the request is over");
    });
}

/// Lets others go first.
async fn near_future() {
    let mut is_first = true;
    std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        match std::mem::take(&mut is_first) {
            true => std::task::Poll::Pending,
            false => std::task::Poll::Ready(()),
        }
    })
    .await;
}

#[test]
fn what_nobody_reads_is_bounded_and_the_newest_is_kept() {
    let mut setup = extended();
    setup.server.http.limits.datagrams.queued = 4;
    Net::run(setup, async |net| {
        let (near, far) = sessions(&net).await;
        let (client, server) = (near.datagrams(), far.datagrams());
        for number in 0..10u8 {
            client.send(&[number]).expect("sent");
            sleep(&net).await;
        }
        for number in 6..10u8 {
            assert_eq!(
                server.receive().await.expect("it came").payload[..],
                [number]
            );
        }
        client.send(b"next").expect("sent");
        assert_eq!(receive(&server).await, b"next");
    });
}

async fn receive(session: &Datagrams) -> Vec<u8> {
    session.receive().await.expect("it came").payload.to_vec()
}

/// Long enough for a packet to arrive.
async fn sleep(net: &Net) {
    net.sleep(Duration::from_millis(200)).await;
}
