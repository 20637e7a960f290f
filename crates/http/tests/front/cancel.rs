//! Every future of the front, dropped at every point where it can be: nothing panics, nothing
//! stays, and other streams go on.
//!
//! Invariant: one harness; an operation is polled n times and dropped, for all n until it ends.

use crate::net::{Net, Setup, bytes, fetch, get, ok, ok_begun, post};
use crate::tunnels::connect;
use http::Request;
use portway_http::h3::{
    ClientConnection, Code, Incoming, Promise, ReceiveCapsules, SendCapsules, ServerConnection,
    Tunnel,
};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Polls a future at most `polls` times and drops it; whether it has ended.
async fn at_most(polls: usize, future: impl Future<Output = ()>) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(true),
            // The last poll is done: it is dropped at this point, without waiting for a wake.
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// What an operation is given.
struct Scene {
    client: ClientConnection,
    server: Arc<ServerConnection>,
    net: Rc<Net>,
}

fn setup() -> Setup {
    let mut setup = Setup::default();
    setup.server.http.extended_connect = true;
    setup.server.http.datagrams.rfc9297 = true;
    setup.client.http.datagrams.rfc9297 = true;
    setup.client.http.pushes = 1;
    // Small, so that there is something to wait for.
    setup.client_quic.streams.window_bytes = 3000;
    setup.server_quic.streams.window_bytes = 3000;
    setup.client.http.limits.send_buffer_bytes = 3000;
    setup.server.http.limits.send_buffer_bytes = 3000;
    setup
}

/// Drops the operation at every point. `operation` gives the future that is dropped and one that
/// runs beside it, as a peer does, for as long as it is of use.
fn drop_everywhere<O, P>(make: impl Fn(Scene) -> (O, P))
where
    O: Future<Output = ()>,
    P: Future<Output = ()>,
{
    let mut has_ended = false;
    for polls in 1.. {
        assert!(polls < 500, "it never ends");
        Net::run(setup(), async |net| {
            let (client, server) = net.pair().await;
            let server = Arc::new(server);
            // Another stream, begun before and to be ended after.
            let mut beside = client.send_request(post("/beside")).await.expect("sent");
            let incoming = server.accept().await.expect("open").expect("a request");
            let scene = Scene {
                client: client.clone(),
                server: Arc::clone(&server),
                net: Rc::clone(&net),
            };
            {
                let (operation, peer) = make(scene);
                let mut peer = pin!(peer);
                let mut operation = pin!(at_most(polls, operation));
                let mut has_peer_ended = false;
                has_ended = std::future::poll_fn(|context| {
                    if !has_peer_ended {
                        has_peer_ended = peer.as_mut().poll(context).is_ready();
                    }
                    operation.as_mut().poll(context)
                })
                .await;
            }
            beside.body().send_data(bytes(10)).await.expect("room");
            let pending = beside.finish().expect("ended");
            let (content, _) = incoming
                .request
                .into_body()
                .read_all(10)
                .await
                .expect("whole");
            assert_eq!(content, bytes(10));
            incoming.responder.send(ok("beside")).expect("sent");
            assert_eq!(pending.response().await.expect("answered").status(), 200);
            let mut server = server;
            if server.error().is_none() && !client.is_going_away() {
                server = net.echo(Arc::into_inner(server).expect("nobody else has it"));
                assert_eq!(fetch(&client, "/after").await.len(), 0);
            }
            net.sleep(Duration::from_secs(1)).await;
            assert_eq!(client.in_flight(), 0, "after {polls} polls");
            assert_eq!(server.in_flight(), 0, "after {polls} polls");
            client.close(Code::H3_NO_ERROR, "done");
            client.quic().closed().await;
            net.sleep(Duration::from_secs(1)).await;
        });
        if has_ended {
            return;
        }
    }
}

/// The server's next request that can still be answered.
async fn accept(scene: &Scene) -> Incoming {
    let accepted = scene.server.accept().await;
    accepted.expect("open").expect("a request")
}

/// Answers one request with a long response and reads all of its content.
async fn answer(scene: &Scene) {
    let Incoming { request, responder } = accept(scene).await;
    let body = request.into_body();
    let reading = async { drop(body.read_all(1 << 20).await) };
    let writing = async {
        if let Ok(mut send) = responder.send_response(ok_begun()) {
            for _ in 0..4 {
                if send.send_data(bytes(2500)).await.is_err() {
                    return;
                }
            }
            // A client that is gone has stopped it.
            let _ = send.finish();
        }
    };
    tokio::join!(reading, writing);
}

#[test]
fn a_request_with_its_response() {
    drop_everywhere(|scene| {
        let client = scene.client.clone();
        let operation = async move {
            let mut pending = client.send(get("/")).await.expect("sent");
            assert!(pending.interim().await.expect("a response").is_none());
            let response = pending.response().await.expect("answered");
            let mut body = response.into_body();
            while let Some(piece) = body.data().await {
                piece.expect("whole");
            }
        };
        (operation, async move { answer(&scene).await })
    });
}

#[test]
fn an_upload_that_waits_for_room() {
    drop_everywhere(|scene| {
        let client = scene.client.clone();
        let operation = async move {
            let mut stream = client.send_request(post("/")).await.expect("sent");
            for _ in 0..4 {
                stream.body().send_data(bytes(2500)).await.expect("room");
            }
            let (send, pending) = stream.split();
            send.send_last(bytes(2500)).await.expect("room");
            let response = pending.response().await.expect("answered");
            response.into_body().read_all(1 << 20).await.expect("whole");
        };
        (operation, async move { answer(&scene).await })
    });
}

#[test]
fn a_server_at_work() {
    drop_everywhere(|scene| {
        let client = scene.client.clone();
        let asking = async move {
            let stream = client.send_request(post("/")).await.expect("sent");
            let (send, pending) = stream.split();
            let sending = async {
                let mut send = send;
                while send.send_data(bytes(2500)).await.is_ok() {
                    if send.stream_id().index() > 1 {
                        break;
                    }
                }
                let _ = send.finish();
            };
            let receiving = async {
                if let Ok(response) = pending.response().await {
                    drop(response.into_body().read_all(1 << 20).await);
                }
            };
            tokio::join!(sending, receiving);
        };
        let operation = async move {
            let Incoming { request, responder } = accept(&scene).await;
            let mut body = request.into_body();
            for _ in 0..3 {
                body.data().await.expect("more").expect("it came");
            }
            drop(body);
            let mut send = responder.send_response(ok_begun()).expect("sent");
            for _ in 0..4 {
                send.send_data(bytes(2500)).await.expect("room");
            }
            send.finish().expect("ended");
        };
        (operation, asking)
    });
}

#[test]
fn a_body_that_is_sent_whole() {
    drop_everywhere(|scene| {
        let client = scene.client.clone();
        let asking = async move {
            let mut stream = client.send_request(post("/")).await.expect("sent");
            for _ in 0..4 {
                if stream.body().send_data(bytes(2500)).await.is_err() {
                    return;
                }
            }
            if let Ok(pending) = stream.finish()
                && let Ok(response) = pending.response().await
            {
                drop(response.into_body().read_all(1 << 20).await);
            }
        };
        let operation = async move {
            let Incoming { request, responder } = accept(&scene).await;
            let send = responder.send_response(ok_begun()).expect("sent");
            send.send_body(request.into_body()).await.expect("sent");
        };
        (operation, asking)
    });
}

#[test]
fn those_who_wait_for_a_stopped_stream_and_for_settings() {
    drop_everywhere(|scene| {
        let client = scene.client.clone();
        let operation = async move {
            client.settings().await.expect("they come");
            let mut stream = client.send_request(post("/")).await.expect("sent");
            stream.body().stopped().await;
        };
        let refusing = async move { accept(&scene).await.responder.reject().expect("unanswered") };
        (operation, refusing)
    });
}

#[test]
fn a_push_at_the_client() {
    drop_everywhere(|scene| {
        let client = scene.client.clone();
        let operation = async move {
            let pending = client.send(get("/page")).await.expect("sent");
            let push = client.accept_push().await.expect("open").expect("a push");
            let response = push.response().await.expect("pushed");
            response.into_body().read_all(100).await.expect("whole");
            drop(pending.response().await.expect("answered"));
        };
        let pushing = async move {
            let mut incoming = accept(&scene).await;
            let Ok(promise) = promise(&mut incoming) else {
                return;
            };
            if let Ok(responder) = promise.fulfil().await {
                // A client that is gone has stopped it.
                let _ = responder.send(ok("style"));
            }
            let _ = incoming.responder.send(ok("page"));
        };
        (operation, pushing)
    });
}

#[test]
fn a_push_at_the_server() {
    drop_everywhere(|scene| {
        let client = scene.client.clone();
        let asking = async move {
            let pending = client.send(get("/page")).await.expect("sent");
            if let Ok(Some(push)) = client.accept_push().await {
                drop(push.response().await);
            }
            drop(pending.response().await);
        };
        let operation = async move {
            let mut incoming = accept(&scene).await;
            let promise = promise(&mut incoming).expect("it is allowed");
            let responder = promise.fulfil().await.expect("a stream");
            responder.send(ok("style")).expect("sent");
            incoming.responder.send(ok("page")).expect("sent");
        };
        (operation, asking)
    });
}

fn promise(incoming: &mut Incoming) -> Result<Promise, portway_http::h3::SendError> {
    let request = Request::get("https://server.example/style");
    incoming
        .responder
        .push(request.body(()).expect("a request"))
}

/// The server's end of a tunnel, which gives back what comes.
async fn reflect(scene: &Scene) {
    let Incoming { request, responder } = accept(scene).await;
    let Ok(send) = responder.send_response(ok_begun()) else {
        return;
    };
    let mut tunnel = Tunnel::new(request.into_body(), send);
    let datagrams = tunnel.datagrams();
    if let Some(datagram) = datagrams.receive().await {
        let _ = datagrams.send(&datagram.payload);
    }
    let mut piece = [0; 1000];
    while let Ok(len @ 1..) = tunnel.read(&mut piece).await {
        if tunnel.write_all(&piece[..len]).await.is_err() {
            return;
        }
    }
    // A client that is gone has stopped it.
    let _ = tunnel.shutdown().await;
}

#[test]
fn a_tunnel_with_datagrams() {
    drop_everywhere(|scene| {
        let client = scene.client.clone();
        let operation = async move {
            let request = connect(Some("any-thing"));
            let mut tunnel = client.connect(request).await.expect("open").into_body();
            let datagrams = tunnel.datagrams();
            datagrams.send(b"datagram").expect("sent");
            assert_eq!(datagrams.receive().await.expect("one").payload, "datagram");
            tunnel.write_all(&bytes(1500)).await.expect("room");
            tunnel.shutdown().await.expect("ended");
            let mut back = Vec::new();
            tunnel.read_to_end(&mut back).await.expect("whole");
            assert_eq!(back, bytes(1500));
        };
        (operation, async move { reflect(&scene).await })
    });
}

#[test]
fn capsules_both_ways() {
    drop_everywhere(|scene| {
        let client = scene.client.clone();
        let operation = async move {
            let request = connect(Some("any-thing"));
            let tunnel = client.connect(request).await.expect("open").into_body();
            tunnel.datagrams().send(b"go").expect("sent");
            let (receive, send, _) = tunnel.into_parts();
            let mut send = SendCapsules::new(send);
            let mut receive = ReceiveCapsules::new(receive, 1000);
            let ty = portway_http::h3::CapsuleType::new(9).expect("62 bits");
            send.send(ty, &bytes(100)).await.expect("room");
            send.begin(ty, 3000).await.expect("room");
            for _ in 0..2 {
                send.value(bytes(1500)).await.expect("room");
            }
            send.finish().expect("ended");
            while let Some(capsule) = receive.next().await {
                capsule.expect("whole");
            }
        };
        (operation, async move { reflect(&scene).await })
    });
}

#[test]
fn the_shutdown_of_either_end() {
    drop_everywhere(|scene| {
        let operation = async move {
            scene.net.sleep(Duration::from_millis(10)).await;
            // The stream beside is open, so that neither ends before it is dropped.
            tokio::select! {
                () = scene.server.shutdown() => unreachable!("a request is open"),
                () = scene.net.sleep(Duration::from_secs(5)) => {}
            }
        };
        (operation, async {})
    });
    drop_everywhere(|scene| {
        let operation = async move {
            tokio::select! {
                () = scene.client.shutdown() => unreachable!("a request is open"),
                () = scene.net.sleep(Duration::from_secs(5)) => {}
            }
        };
        (operation, async {})
    });
}
