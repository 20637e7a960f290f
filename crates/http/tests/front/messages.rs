//! Requests and responses.

use crate::net::{Net, Setup, bytes, fetch, get, ok, ok_begun, post, whole};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use portway_http::h3::{
    ClientConnection, Code, NotAttached, Options, Retry, SendError, ServerConnection,
};

#[test]
fn a_request_is_answered_with_content_and_trailers_both_ways() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        let asking = async {
            let mut stream = client.send_request(post("/up")).await.expect("sent");
            stream.body().send_data(bytes(100_000)).await.expect("room");
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("7"));
            let pending = stream.finish_with(&trailers).expect("ended");
            let response = pending.response().await.expect("answered");
            assert_eq!(response.status(), StatusCode::CREATED);
            assert_eq!(response.headers()["x-path"], "/up");
            assert_eq!(response.body().size_hint().exact(), Some(100_000));
            response.into_body().read_all(100_000).await.expect("whole")
        };
        let answering = async {
            let incoming = server.accept().await.expect("open").expect("a request");
            let (head, body) = incoming.request.into_parts();
            assert_eq!(head.method, Method::POST);
            let (content, trailers) = body.read_all(1 << 20).await.expect("whole");
            let response = Response::builder()
                .status(StatusCode::CREATED)
                .header("x-path", head.uri.path())
                .header("content-length", content.len());
            let response = response.body(()).expect("a response");
            let mut send = incoming.responder.send_response(response).expect("sent");
            send.send_data(content).await.expect("room");
            send.send_trailers(&trailers.expect("trailers"))
                .expect("sent");
        };
        let ((content, trailers), ()) = tokio::join!(asking, answering);
        assert_eq!(content, bytes(100_000));
        assert_eq!(trailers.expect("trailers")["x-sum"], "7");
        assert_eq!((client.in_flight(), server.in_flight()), (0, 0));
        let statistics = (client.statistics(), server.statistics());
        assert_eq!((statistics.0.requests, statistics.1.requests), (1, 1));
    });
}

#[test]
fn early_data_that_was_refused_before_http_began_refuses_no_request() {
    let setup = Setup {
        has_early_data: true,
        ..Setup::default()
    };
    Net::run(setup, async |net| {
        let (client, server) = net.pair().await;
        let server = net.echo(server);
        fetch(&client, "/ticket").await;
        drop((client, server));
        // It offers the ticket, which this server cannot read, and says nothing early.
        let (client, server) = net.quic_to_other().await;
        assert_eq!(client.is_early_data_accepted(), Some(false));
        let (client, server) = (net.client_over(&client), net.server_over(&server));
        let _server = net.echo(server);
        assert_eq!(fetch(&client, "/first").await, "");
    });
}

#[test]
fn a_request_is_handed_out_before_its_content() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        let mut silent = client.send_request(post("/silent")).await.expect("sent");
        let first = server.accept().await.expect("open").expect("a request");
        // The silent one blocks nobody.
        let second = client.send(get("/second")).await.expect("sent");
        let incoming = server.accept().await.expect("open").expect("a request");
        assert_eq!(incoming.request.uri().path(), "/second");
        incoming.responder.send(ok("two")).expect("sent");
        let response = second.response().await.expect("answered");
        assert_eq!(whole(response.into_body()).await, "two");
        silent.body().send_data("late".into()).await.expect("room");
        let pending = silent.finish().expect("ended");
        assert_eq!(whole(first.request.into_body()).await, "late");
        first.responder.send(ok("one")).expect("sent");
        assert_eq!(pending.response().await.expect("answered").status(), 200);
    });
}

#[test]
fn interim_responses_are_seen_or_passed_over() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        for is_looking in [true, false] {
            let mut pending = client.send(get("/")).await.expect("sent");
            let incoming = server.accept().await.expect("open").expect("a request");
            let mut responder = incoming.responder;
            for hint in ["a", "b"] {
                let hint = Response::builder().status(103).header("x-hint", hint);
                let hint = hint.body(()).expect("a response");
                responder.send_interim(hint).expect("sent");
            }
            responder.send(ok("end")).expect("sent");
            if is_looking {
                for hint in ["a", "b"] {
                    let interim = pending.interim().await.expect("it came");
                    let interim = interim.expect("an interim one");
                    assert_eq!(interim.status(), StatusCode::EARLY_HINTS);
                    assert_eq!(interim.headers()["x-hint"], hint);
                }
                assert!(pending.interim().await.expect("it came").is_none());
            }
            let response = pending.response().await.expect("answered");
            assert_eq!(whole(response.into_body()).await, "end");
        }
    });
}

#[test]
fn a_dropped_request_is_cancelled_and_others_go_on() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        let dropped = client.send_request(post("/dropped")).await.expect("sent");
        let kept = client.send_request(post("/kept")).await.expect("sent");
        let first = server.accept().await.expect("open").expect("a request");
        let second = server.accept().await.expect("open").expect("a request");
        drop(dropped);
        let cut_off = first.request.into_body().read_all(100).await;
        let error = cut_off.expect_err("it was cut off").to_string();
        assert!(error.contains("H3_REQUEST_CANCELLED"), "{error}");
        let mut responder = first.responder;
        let SendError::Stream(stopped) = responder.stopped().await else {
            panic!("the stream was stopped");
        };
        assert_eq!(stopped.code, Code::H3_REQUEST_CANCELLED);
        let pending = kept.finish().expect("ended");
        second.responder.send(ok("kept")).expect("sent");
        let response = pending.response().await.expect("answered");
        assert_eq!(whole(response.into_body()).await, "kept");
        drop((responder, second.request));
        assert_eq!((client.in_flight(), server.in_flight()), (0, 0));
    });
}

#[test]
fn a_dropped_responder_cancels_and_a_rejection_may_be_retried() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        for is_rejected in [false, true] {
            let pending = client.send(get("/")).await.expect("sent");
            let incoming = server.accept().await.expect("open").expect("a request");
            match is_rejected {
                true => incoming.responder.reject().expect("nothing was sent"),
                false => drop(incoming),
            }
            let error = pending.response().await.expect_err("no response");
            let expected = match is_rejected {
                true => (Code::H3_REQUEST_REJECTED, Retry::Safe),
                false => (Code::H3_REQUEST_CANCELLED, Retry::Unknown),
            };
            assert_eq!((error.code, error.retry), expected);
        }
    });
}

#[test]
fn an_early_response_ends_the_upload_and_is_kept() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        let mut stream = client.send_request(post("/")).await.expect("sent");
        let incoming = server.accept().await.expect("open").expect("a request");
        incoming.responder.send(ok("enough")).expect("sent");
        drop(incoming.request);
        let SendError::Stream(stopped) = stream.body().stopped().await else {
            panic!("the stream was stopped");
        };
        assert_eq!(stopped.code.effective(), Code::H3_NO_ERROR);
        let (send, pending) = stream.split();
        drop(send);
        let response = pending.response().await.expect("answered");
        assert_eq!(whole(response.into_body()).await, "enough");
    });
}

#[test]
fn bodies_are_streamed_through_both_ends() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        net.echo(server);
        let (send, pending) = client.send_request(post("/")).await.expect("sent").split();
        let sending = async {
            let mut send = send;
            for _ in 0..64 {
                send.send_data(bytes(50_000)).await.expect("room");
            }
            send.finish().expect("ended");
        };
        let receiving = async {
            let response = pending.response().await.expect("answered");
            whole(response.into_body()).await.len()
        };
        let ((), len) = tokio::join!(sending, receiving);
        assert_eq!(len, 64 * 50_000);
        client.close(Code::H3_NO_ERROR, "done");
        client.quic().closed().await;
    });
}

#[test]
fn what_cannot_be_sent_is_refused_and_the_stream_is_used_again() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        net.echo(server);
        let mut refused = post("/");
        refused
            .headers_mut()
            .insert("connection", HeaderValue::from_static("close"));
        let error = client.send_request(refused).await.expect_err("not HTTP/3");
        assert!(matches!(error, SendError::Unsendable(_)), "{error}");
        let pending = client.send(get("/")).await.expect("sent");
        assert_eq!(pending.stream_id().index(), 0);
        assert_eq!(pending.response().await.expect("answered").status(), 200);
        client.close(Code::H3_NO_ERROR, "done");
        client.quic().closed().await;
    });
}

#[test]
fn content_must_be_as_long_as_was_said() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        let pending = client.send(get("/")).await.expect("sent");
        let incoming = server.accept().await.expect("open").expect("a request");
        let response = Response::builder().header("content-length", 5);
        let response = response.body(()).expect("a response");
        let mut send = incoming.responder.send_response(response).expect("sent");
        let too_long = send.send_data(bytes(6)).await;
        assert_eq!(too_long, Err(SendError::ContentLength));
        send.send_data(bytes(4)).await.expect("room");
        let response = pending.response().await.expect("answered");
        // It is dropped unfinished, and so the client does not take it for whole.
        assert_eq!(send.finish(), Err(SendError::ContentLength));
        response
            .into_body()
            .read_all(10)
            .await
            .expect_err("cut off");
    });
}

#[test]
fn a_connection_has_one_protocol_and_its_own_side() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.quic().await;
        let options = Options::default();
        let error = ServerConnection::new(&client, &options).expect_err("a client");
        assert_eq!(error, NotAttached::WrongSide);
        let error = ClientConnection::new(&server, &options).expect_err("a server");
        assert_eq!(error, NotAttached::WrongSide);
        let first = ClientConnection::new(&client, &options).expect("a client");
        let error = ClientConnection::new(&client, &options).expect_err("taken");
        assert_eq!(error, NotAttached::InUse);
        drop(first);
    });
}

#[test]
fn requests_that_came_before_the_server_began_are_answered() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.quic().await;
        let client = ClientConnection::new(&client, &Options::default()).expect("a client");
        let pending = client.send(get("/early")).await.expect("sent");
        client.quic().sleep(std::time::Duration::from_secs(1)).await;
        let server = ServerConnection::new(&server, &Options::default()).expect("a server");
        let incoming = server.accept().await.expect("open").expect("a request");
        assert_eq!(incoming.request.uri().path(), "/early");
        incoming.responder.send(ok("late")).expect("sent");
        let response = pending.response().await.expect("answered");
        assert_eq!(whole(response.into_body()).await, "late");
    });
}

#[test]
fn dropping_the_server_refuses_what_was_not_accepted() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        let accepted = client.send(get("/accepted")).await.expect("sent");
        let incoming = server.accept().await.expect("open").expect("a request");
        drop(server);
        let refused = client.send(get("/refused")).await.expect("sent");
        let error = refused.response().await.expect_err("nobody accepts it");
        assert_eq!(
            (error.code, error.retry),
            (Code::H3_REQUEST_REJECTED, Retry::Safe)
        );
        incoming.responder.send(ok("still")).expect("sent");
        let response = accepted.response().await.expect("answered");
        assert_eq!(whole(response.into_body()).await, "still");
    });
}

#[test]
fn a_method_without_content_has_none() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        let request = Request::head("https://server.example/").body(bytes(0));
        let pending = client
            .send(request.expect("a request"))
            .await
            .expect("sent");
        let incoming = server.accept().await.expect("open").expect("a request");
        let response = Response::builder().header("content-length", 1000);
        let response = response.body(bytes(0)).expect("a response");
        incoming.responder.send(response).expect("sent");
        let response = pending.response().await.expect("answered");
        assert_eq!(response.headers()["content-length"], "1000");
        assert_eq!(whole(response.into_body()).await.len(), 0);
        assert_eq!(
            fetch_twice(&client, &server).await,
            ("a".into(), "b".into())
        );
    });
}

async fn fetch_twice(client: &ClientConnection, server: &ServerConnection) -> (String, String) {
    let asking = async { (fetch(client, "/a").await, fetch(client, "/b").await) };
    let answering = async {
        for answer in ["a", "b"] {
            let incoming = server.accept().await.expect("open").expect("a request");
            let send = incoming.responder.send_response(ok_begun()).expect("sent");
            send.send_last(answer.into()).await.expect("room");
        }
    };
    let ((a, b), ()) = tokio::join!(asking, answering);
    let text = |content: bytes::Bytes| String::from_utf8_lossy(&content).into_owned();
    (text(a), text(b))
}
