//! The end of a connection in good order, and how requests learn of it.

use crate::net::{Net, Setup, bytes, get, ok, ok_begun, post, whole};
use portway_http::h3::{Code, Retry, SendError};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_server_answers_what_is_on_its_way_and_then_closes() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        let server = Arc::new(server);
        let before = client.send_request(post("/before")).await.expect("sent");
        let incoming = server.accept().await.expect("open").expect("a request");
        let during = client.send(get("/during")).await.expect("sent");
        let shutting_down = server.shutdown();
        let going_on = async {
            let during = server.accept().await.expect("open").expect("a request");
            during.responder.send(ok("during")).expect("sent");
            drop(during.request);
            // It waits for its last request, however long that takes.
            net.sleep(Duration::from_secs(5)).await;
            assert!(server.error().is_none());
            let send = incoming.responder.send_response(ok_begun()).expect("sent");
            send.send_body(incoming.request.into_body())
                .await
                .expect("sent");
            assert!(server.accept().await.expect("in good order").is_none());
        };
        let asking = async {
            let response = during.response().await.expect("answered");
            assert_eq!(whole(response.into_body()).await, "during");
            net.sleep(Duration::from_secs(2)).await;
            assert!(client.is_going_away());
            let refused = client.send(get("/after")).await.expect_err("it goes away");
            assert_eq!(refused, SendError::GoingAway);
            assert_eq!(refused.retry(), Retry::SafeOnNewConnection);
            let (mut send, pending) = before.split();
            send.send_data(bytes(1_000_000)).await.expect("room");
            send.finish().expect("ended");
            let response = pending.response().await.expect("answered");
            whole(response.into_body()).await.len()
        };
        let ((), (), len) = tokio::join!(shutting_down, going_on, asking);
        assert_eq!(len, 1_000_000, "nothing of the last answer was cut off");
        client.quic().closed().await;
        let closed = client.error().expect("it is over");
        assert_eq!(closed.code, Code::H3_NO_ERROR);
        assert!(closed.is_graceful());
    });
}

#[test]
fn a_request_that_waits_for_a_stream_learns_that_the_server_goes_away() {
    let mut setup = Setup::default();
    setup.server_quic.streams.bidirectional_max = 1;
    Net::run(setup, async |net| {
        let (client, server) = net.pair().await;
        let first = client.send(get("/first")).await.expect("sent");
        let incoming = server.accept().await.expect("open").expect("a request");
        let answering = async {
            net.sleep(Duration::from_secs(1)).await;
            incoming.responder.send(ok("first")).expect("sent");
            drop(incoming.request);
            server.accept().await.expect("in good order").is_none()
        };
        let (waiting, (), is_last, response) = tokio::join!(
            client.send(get("/waiting")),
            server.shutdown(),
            answering,
            async { whole(first.response().await.expect("answered").into_body()).await },
        );
        assert_eq!(waiting.expect_err("no stream"), SendError::GoingAway);
        assert!(is_last);
        assert_eq!(response, "first");
    });
}

#[test]
fn a_client_takes_its_last_response_and_then_closes() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        let pending = client.send(get("/last")).await.expect("sent");
        let incoming = server.accept().await.expect("open").expect("a request");
        let answering = async {
            net.sleep(Duration::from_secs(1)).await;
            incoming.responder.send(ok("last")).expect("sent");
            drop(incoming.request);
            assert!(server.accept().await.expect("in good order").is_none());
        };
        let taking = async {
            let response = pending.response().await.expect("answered");
            assert_eq!(whole(response.into_body()).await, "last");
        };
        tokio::join!(client.shutdown(), answering, taking);
        let closed = server.error().expect("it is over");
        assert_eq!(closed.code, Code::H3_NO_ERROR);
    });
}

#[test]
fn everything_in_flight_fails_when_the_connection_is_lost() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        let pending = client.send(get("/lost")).await.expect("sent");
        let mut incoming = server.accept().await.expect("open").expect("a request");
        let losing = async {
            net.sleep(Duration::from_secs(1)).await;
            client.close(Code::H3_INTERNAL_ERROR, "lost");
        };
        let (response, stopped, accepted, ()) = tokio::join!(
            pending.response(),
            incoming.responder.stopped(),
            server.accept(),
            losing,
        );
        let error = response.expect_err("no response");
        assert_eq!(
            (error.code, error.retry),
            (Code::H3_INTERNAL_ERROR, Retry::Unknown)
        );
        assert!(matches!(stopped, SendError::Connection(_)), "{stopped}");
        let error = accepted.expect_err("it failed");
        assert_eq!(error.code, Code::H3_INTERNAL_ERROR);
        assert!(matches!(
            client.send(get("/")).await,
            Err(SendError::Connection(_))
        ));
        // The halves still have to go.
        drop(incoming);
        assert_eq!((client.in_flight(), server.in_flight()), (0, 0));
    });
}
