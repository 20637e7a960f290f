//! Server push through both ends.

use crate::net::{Net, Setup, fetch, get, ok, post, whole};
use portway_http::h3::{
    ClientConnection, Code, Incoming, PendingResponse, Promise, Push, SendError, ServerConnection,
};

fn setup(pushes: u64) -> Setup {
    let mut setup = Setup::default();
    setup.client.http.pushes = pushes;
    setup
}

/// The request of a page at both ends, with a promise of its style.
async fn promised(
    client: &ClientConnection,
    server: &ServerConnection,
) -> ((PendingResponse, Incoming), Promise) {
    let pending = client.send(get("/page")).await.expect("sent");
    let mut incoming = server.accept().await.expect("open").expect("a request");
    let promise = incoming.responder.push(style()).expect("it is allowed");
    ((pending, incoming), promise)
}

fn style() -> http::Request<()> {
    let request = http::Request::get("https://server.example/style");
    request.body(()).expect("a request")
}

async fn next_push(client: &ClientConnection) -> Push {
    client.accept_push().await.expect("open").expect("a push")
}

#[test]
fn a_push_is_promised_and_fulfilled() {
    Net::run(setup(2), async |net| {
        let (client, server) = net.pair().await;
        let pending = client.send(get("/page")).await.expect("sent");
        let mut incoming = server.accept().await.expect("open").expect("a request");
        assert_eq!(server.pushes_available(), 2);
        let promise = incoming.responder.push(style()).expect("it is allowed");
        incoming.responder.send(ok("page")).expect("sent");
        let push = next_push(&client).await;
        assert_eq!(push.request().uri(), "https://server.example/style");
        assert_eq!(push.promised_for(), pending.stream_id());
        let responder = promise.fulfil().await.expect("a stream");
        responder.send(ok("style")).expect("sent");
        let style = push.response().await.expect("pushed");
        assert_eq!(whole(style.into_body()).await, "style");
        let page = pending.response().await.expect("answered");
        assert_eq!(whole(page.into_body()).await, "page");
        assert_eq!(client.statistics().pushes, 1);
        drop(incoming.request);
        assert_eq!((client.in_flight(), server.in_flight()), (0, 0));
    });
}

#[test]
fn push_is_off_unless_asked_for_and_more_can_be_allowed() {
    Net::run(Setup::default(), async |net| {
        let (client, server) = net.pair().await;
        let _pending = client.send(get("/page")).await.expect("sent");
        let mut incoming = server.accept().await.expect("open").expect("a request");
        let refused = incoming.responder.push(style()).expect_err("it is off");
        assert_eq!(refused, SendError::NotOffered("another push"));
        client.allow_pushes(1);
        let _next = client.send(get("/next")).await.expect("sent");
        let mut incoming = server.accept().await.expect("open").expect("a request");
        assert_eq!(server.pushes_available(), 1);
        drop(incoming.responder.push(style()).expect("it is allowed"));
    });
}

#[test]
fn a_push_that_is_dropped_is_cancelled() {
    Net::run(setup(4), async |net| {
        let (client, server) = net.pair().await;
        // Before its stream, which the server then need not open.
        let (page, promise) = promised(&client, &server).await;
        drop(next_push(&client).await);
        drop(page);
        fetch_beside(&client, &server).await;
        let error = promise.fulfil().await.expect_err("it is not wanted");
        assert!(matches!(error, SendError::Stream(_)), "{error}");
        // After it has begun.
        let (page, promise) = promised(&client, &server).await;
        let push = next_push(&client).await;
        let mut responder = promise.fulfil().await.expect("a stream");
        fetch_beside(&client, &server).await;
        drop(push);
        let SendError::Stream(stopped) = responder.stopped().await else {
            panic!("the stream was stopped");
        };
        assert_eq!(stopped.code, Code::H3_REQUEST_CANCELLED);
        drop((responder, page));
        assert_eq!((client.in_flight(), server.in_flight()), (0, 0));
    });
}

#[test]
fn a_promise_that_is_dropped_is_withdrawn() {
    Net::run(setup(1), async |net| {
        let (client, server) = net.pair().await;
        let (_page, promise) = promised(&client, &server).await;
        let push = next_push(&client).await;
        drop(promise);
        let error = push.response().await.expect_err("it does not come");
        assert_eq!(error.code, Code::H3_REQUEST_CANCELLED);
    });
}

#[test]
fn only_what_may_be_pushed_is_promised() {
    Net::run(setup(1), async |net| {
        let (client, server) = net.pair().await;
        let _pending = client.send(get("/page")).await.expect("sent");
        let mut incoming = server.accept().await.expect("open").expect("a request");
        let refused = incoming
            .responder
            .push(post("/form"))
            .expect_err("not safe");
        assert!(matches!(refused, SendError::Unsendable(_)), "{refused}");
        assert_eq!(server.pushes_available(), 1);
    });
}

/// A request beside, which also lets pass what is on its way.
async fn fetch_beside(client: &ClientConnection, server: &ServerConnection) {
    let answering = async {
        let incoming = server.accept().await.expect("open").expect("a request");
        incoming.responder.send(ok("beside")).expect("sent");
    };
    let (content, ()) = tokio::join!(fetch(client, "/beside"), answering);
    assert_eq!(content, "beside");
}
