//! CONNECT and extended CONNECT: byte streams and capsules.

use crate::net::{Net, Setup, bytes, ok, ok_begun};
use bytes::Bytes;
use http::{Method, Request, Response};
use portway_http::h3::{
    Capsule, CapsuleType, ConnectError, Incoming, Protocol, ReceiveCapsules, SendCapsules,
    SendError, ServerConnection, Tunnel,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A CONNECT request, extended when it names a protocol.
pub(crate) fn connect(protocol: Option<&str>) -> Request<()> {
    let target = match protocol {
        Some(_) => "https://server.example/tunnel",
        None => "far.example:443",
    };
    let mut request = Request::builder().method(Method::CONNECT).uri(target);
    if let Some(name) = protocol {
        request = request.extension(Protocol::new(name).expect("a token"));
    }
    request.body(()).expect("a request")
}

pub(crate) fn extended() -> Setup {
    let mut setup = Setup::default();
    setup.server.http.extended_connect = true;
    setup.server.http.datagrams.rfc9297 = true;
    setup.client.http.datagrams.rfc9297 = true;
    setup
}

/// The server's end of a tunnel.
async fn accept_tunnel(server: &ServerConnection) -> (Request<()>, Tunnel) {
    let Incoming { request, responder } = server.accept().await.expect("open").expect("one");
    let send = responder.send_response(ok_begun()).expect("sent");
    let (parts, body) = request.into_parts();
    (Request::from_parts(parts, ()), Tunnel::new(body, send))
}

#[test]
fn a_tunnel_carries_bytes_both_ways_and_each_way_ends_by_itself() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        let connecting = client.connect(connect(None));
        let (tunnel, (head, mut far)) = tokio::join!(connecting, accept_tunnel(&server));
        let mut near = tunnel.expect("connected").into_body();
        assert_eq!(head.method(), Method::CONNECT);
        assert_eq!(head.uri(), "far.example:443");
        let sent = bytes(300_000);
        let speaking = async {
            near.write_all(&sent).await.expect("written");
            near.shutdown().await.expect("ended");
            let mut back = Vec::new();
            near.read_to_end(&mut back).await.expect("an end");
            back
        };
        let answering = async {
            let mut came = Vec::new();
            far.read_to_end(&mut came).await.expect("an end");
            // The client's way has ended, and this one goes on.
            far.write_all(&came).await.expect("written");
            far.shutdown().await.expect("ended");
        };
        let (back, ()) = tokio::join!(speaking, answering);
        assert_eq!(back, sent);
        drop((near, far));
        assert_eq!((client.in_flight(), server.in_flight()), (0, 0));
    });
}

#[test]
fn a_tunnel_that_is_dropped_is_cut_off_and_not_ended() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        let connecting = client.connect(connect(None));
        let (tunnel, (_, mut far)) = tokio::join!(connecting, accept_tunnel(&server));
        drop(tunnel.expect("connected"));
        let mut came = Vec::new();
        let error = far.read_to_end(&mut came).await.expect_err("cut off");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let error = far.write_all(b"more").await.expect_err("stopped");
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_refusal_is_a_response() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        let refusing = async {
            let incoming = server.accept().await.expect("open").expect("a request");
            let mut refusal = ok("no way");
            *refusal.status_mut() = http::StatusCode::BAD_GATEWAY;
            incoming.responder.send(refusal).expect("sent");
        };
        let (refused, ()) = tokio::join!(client.connect(connect(None)), refusing);
        let Err(ConnectError::Refused(response)) = refused else {
            panic!("refused");
        };
        assert_eq!(response.status(), 502);
        let (content, _) = response.into_body().read_all(100).await.expect("whole");
        assert_eq!(content, "no way");
    });
}

#[test]
fn extended_connect_waits_for_the_servers_word() {
    Net::run(Setup::default(), async |net| {
        let (client, _server) = net.pair().await;
        let refused = client.connect(connect(Some("any-thing"))).await;
        let Err(ConnectError::Send(error)) = refused else {
            panic!("it was not offered");
        };
        assert_eq!(error, SendError::NotOffered("extended CONNECT"));
    });
    Net::run(extended(), async |net| {
        let (client, server) = net.pair().await;
        let connecting = client.connect(connect(Some("any-thing")));
        let (tunnel, (head, _far)) = tokio::join!(connecting, accept_tunnel(&server));
        assert!(tunnel.is_ok());
        let protocol = head.extensions().get::<Protocol>();
        assert_eq!(protocol.map(Protocol::as_str), Some("any-thing"));
    });
}

/// Both ends of an extended CONNECT as capsules.
async fn capsules(net: &Net) -> (SendCapsules, ReceiveCapsules) {
    let (client, server) = net.pair().await;
    let connecting = client.connect(connect(Some("any-thing")));
    let (tunnel, (_, far)) = tokio::join!(connecting, accept_tunnel(&server));
    let (_, send, _) = tunnel.expect("connected").into_body().into_parts();
    let (receive, _, _) = far.into_parts();
    (SendCapsules::new(send), ReceiveCapsules::new(receive, 100))
}

#[test]
fn capsules_of_any_type_come_whole_or_in_pieces() {
    Net::run(extended(), async |net| {
        let (mut send, mut receive) = capsules(&net).await;
        let ty = CapsuleType::new(0x1234).expect("62 bits");
        send.send(CapsuleType::DATAGRAM, b"short")
            .await
            .expect("room");
        send.begin(ty, 5000).await.expect("room");
        let early = send.send(ty, b"").await.expect_err("one is open");
        assert!(matches!(early, SendError::OutOfOrder(_)), "{early}");
        send.value(bytes(3000)).await.expect("room");
        let long = send.value(bytes(2001)).await.expect_err("too long");
        assert!(matches!(long, SendError::OutOfOrder(_)), "{long}");
        send.value(bytes(2000)).await.expect("room");
        send.send(ty, b"").await.expect("room");
        send.finish().expect("ended");
        let first = receive.next().await.expect("one").expect("whole");
        let (datagram, value) = (CapsuleType::DATAGRAM, Bytes::from_static(b"short"));
        assert_eq!(
            first,
            Capsule::Whole {
                ty: datagram,
                value
            }
        );
        let mut long = 0;
        loop {
            match receive.next().await.expect("one").expect("whole") {
                Capsule::Piece { bytes, is_last, .. } => {
                    long += bytes.len();
                    if is_last {
                        break;
                    }
                }
                whole @ Capsule::Whole { .. } => panic!("{whole:?}"),
            }
        }
        assert_eq!(long, 5000);
        let last = receive.next().await.expect("one").expect("whole");
        let value = Bytes::new();
        assert_eq!(last, Capsule::Whole { ty, value });
        assert_eq!(receive.next().await, None);
    });
}

#[test]
fn a_capsule_that_is_cut_off_is_an_error() {
    Net::run(extended(), async |net| {
        let (mut send, mut receive) = capsules(&net).await;
        let ty = CapsuleType::new(7).expect("62 bits");
        send.begin(ty, 10).await.expect("room");
        assert!(matches!(send.finish(), Err(SendError::OutOfOrder(_))));
        // It was dropped unfinished.
        receive
            .next()
            .await
            .expect("an answer")
            .expect_err("cut off");
    });
}

#[test]
fn responses_to_connect_keep_their_head() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        let answering = async {
            let incoming = server.accept().await.expect("open").expect("a request");
            let response = Response::builder().header("x-far", "yes").body(());
            let response = response.expect("a response");
            let send = incoming.responder.send_response(response).expect("sent");
            Tunnel::new(incoming.request.into_body(), send)
        };
        let (tunnel, _far) = tokio::join!(client.connect(connect(None)), answering);
        assert_eq!(tunnel.expect("connected").headers()["x-far"], "yes");
    });
}
