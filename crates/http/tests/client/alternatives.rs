//! Alternative services: learned, raced, used, refused, blocked, kept.

use super::http3_server::{Http3Server, say};
use super::server::{Made, Server, Speaks, answer};
use super::until;
use bytes::Bytes;
use http::{HeaderValue, Response};
use portway_core::race::EventKind;
use portway_http::Client;
use portway_http::client::{ClientEvent, Reason};
use portway_http::h3::Incoming;
use portway_http::pool::Version;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const H2: &[&[u8]] = &[b"h2", b"http/1.1"];

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("it works")
}

/// A server over TCP that says this of alternative services, `PORT` being a number.
async fn saying(made: &Made, says: impl Into<String>) -> Server {
    let says = HeaderValue::try_from(says.into()).expect("it works");
    Server::start_with(made, Speaks::Tls(H2), 100, move |_| {
        let says = says.clone();
        async move {
            let mut answer = answer(200, "origin");
            answer.headers_mut().insert("alt-svc", says);
            answer
        }
    })
    .await
}

/// Tells over QUIC by which way the request came.
async fn tell_way(incoming: Incoming) {
    let used = incoming.request.headers().get("alt-used").cloned();
    let mut response = Response::new(Bytes::from_static(b"alternative"));
    if let Some(used) = used {
        response.headers_mut().insert("x-used", used);
    }
    let _ = incoming.responder.send(response);
}

type Events = Arc<Mutex<Vec<ClientEvent>>>;

fn client(made: &Made) -> (Client, Events) {
    let events = Events::default();
    let sink = events.clone();
    let builder = Client::builder().security(made.security());
    let builder = builder.on_event(move |event| sink.lock().expect("it works").push(event.clone()));
    (builder.build(), events)
}

async fn text(client: &Client, url: &str) -> String {
    let response = client.get(url).send().await.expect("it works");
    response.text().await.expect("it works")
}

#[tokio::test]
async fn an_alternative_at_another_port_is_used_and_told_of() {
    let made = Made::new();
    let quic = Http3Server::start(&made, loopback(), tell_way);
    let origin = saying(&made, format!("h3=\":{}\"; ma=60", quic.address.port())).await;
    let (client, _) = client(&made);
    assert_eq!(text(&client, &origin.url("/")).await, "origin");
    until(|| quic.connections().len() == 1 && client.counts().dials == 0).await;
    let response = client.get(origin.url("/")).send().await.unwrap();
    assert_eq!(response.version(), Version::Http3);
    assert_eq!(response.headers()["x-used"], quic.address.to_string());
    let connection = response.connection();
    assert_eq!(connection.reason, Reason::Alternative);
    assert_eq!(connection.alternative, Some(quic.address.to_string()));
    assert_eq!(response.text().await.unwrap(), "alternative");
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn what_was_stored_races_from_the_first_request_on() {
    let made = Made::new();
    let quic = Http3Server::start(&made, loopback(), tell_way);
    let port = quic.address.port();
    let origin = saying(&made, format!("h3=\":{port}\"; ma=60; persist=1")).await;
    let (first, _) = client(&made);
    text(&first, &origin.url("/")).await;
    let stored = first.alternatives();
    assert_eq!(stored.len(), 1);
    assert!(stored[0].persists && stored[0].port == port);
    let builder = Client::builder().security(made.security());
    let second = builder.alternatives(stored).build();
    let response = second.get(origin.url("/")).send().await.unwrap();
    assert_eq!(response.version(), Version::Http3);
    assert_eq!(
        origin.accepted(),
        1,
        "only the first client has asked the origin"
    );
}

#[tokio::test]
async fn where_udp_is_blocked_http2_follows_after_one_attempt_delay() {
    let made = Made::new();
    // Packets go in and nothing comes out.
    let silent = UdpSocket::bind(loopback()).unwrap();
    let port = silent.local_addr().unwrap().port();
    let origin = saying(&made, format!("h3=\":{port}\"")).await;
    let (first, _) = client(&made);
    text(&first, &origin.url("/")).await;
    let events = Events::default();
    let sink = events.clone();
    let builder = Client::builder().security(made.security());
    let builder = builder.alternatives(first.alternatives());
    let second = builder
        .on_event(move |event| sink.lock().unwrap().push(event.clone()))
        .build();
    let response = second.get(origin.url("/")).send().await.unwrap();
    assert_eq!(response.version(), Version::Http2);
    let why = response.connection().reason.to_string();
    assert!(why.contains("HTTP/3 was not answered in time"), "{why}");
    let starts: Vec<_> = {
        let events = events.lock().unwrap();
        let starts = events.iter().filter_map(|event| match event {
            ClientEvent::Race(_, event) => match &event.kind {
                EventKind::AttemptStarted {
                    leaf, next_after, ..
                } => Some((leaf.stack.to_string(), event.at, *next_after)),
                _ => None,
            },
            _ => None,
        });
        starts.collect()
    };
    assert_eq!(starts.len(), 2);
    assert_eq!((&*starts[0].0, &*starts[1].0), ("quic", "tls"));
    assert!(starts[0].2 <= std::time::Duration::from_millis(250));
    assert!(
        starts[1].1 >= starts[0].1 + starts[0].2,
        "QUIC had its time"
    );
    let is_blocked = |event: &ClientEvent| matches!(event, ClientEvent::AlternativeBlocked { .. });
    assert!(events.lock().unwrap().iter().any(is_blocked));
    text(&second, &origin.url("/")).await;
    assert_eq!(
        second.counts().dials,
        0,
        "it is not tried again for a while"
    );
}

#[tokio::test]
async fn an_alternative_that_is_not_there_is_blocked_and_nobody_notices() {
    let made = Made::new();
    let free = UdpSocket::bind(loopback()).unwrap().local_addr().unwrap();
    let origin = saying(&made, format!("h3=\":{}\"", free.port())).await;
    let (client, events) = client(&made);
    assert_eq!(text(&client, &origin.url("/")).await, "origin");
    let is_blocked = |event: &ClientEvent| matches!(event, ClientEvent::AlternativeBlocked { .. });
    until(|| events.lock().unwrap().iter().any(is_blocked)).await;
    assert_eq!(text(&client, &origin.url("/")).await, "origin");
    assert_eq!(client.counts().dials, 0);
    assert_eq!(client.alternatives().len(), 1, "it is known all the same");
}

#[tokio::test]
async fn an_alternative_must_prove_to_be_the_origin() {
    let (made, other) = (Made::new(), Made::new());
    let quic = Http3Server::start(&other, loopback(), tell_way);
    let origin = saying(&made, format!("h3=\":{}\"", quic.address.port())).await;
    let (client, events) = client(&made);
    text(&client, &origin.url("/")).await;
    let is_blocked = |event: &ClientEvent| matches!(event, ClientEvent::AlternativeBlocked { .. });
    until(|| events.lock().unwrap().iter().any(is_blocked)).await;
    assert_eq!(text(&client, &origin.url("/")).await, "origin");
}

#[tokio::test]
async fn a_misdirected_request_goes_to_the_origin_and_the_alternative_is_blocked() {
    let made = Made::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let quic = Http3Server::start(&made, loopback(), move |incoming| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let response = Response::builder().status(421).body(Bytes::new());
            let _ = incoming.responder.send(response.unwrap());
        }
    });
    let origin = saying(&made, format!("h3=\":{}\"", quic.address.port())).await;
    let (client, _) = client(&made);
    text(&client, &origin.url("/")).await;
    until(|| quic.connections().len() == 1 && client.counts().dials == 0).await;
    let response = client
        .post(origin.url("/"))
        .body("even this")
        .send()
        .await
        .unwrap();
    assert_eq!(response.version(), Version::Http2);
    assert_eq!(response.text().await.unwrap(), "origin");
    assert_eq!(text(&client, &origin.url("/")).await, "origin");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_taken_back_is_not_used() {
    let made = Made::new();
    let count = Arc::new(AtomicUsize::new(0));
    let origin = Server::start_with(&made, Speaks::Tls(&H2[1..]), 1, move |_| {
        let says = match count.fetch_add(1, Ordering::SeqCst) {
            0 => "h2=\":1\", h3=\":1\"; ma=60",
            1 => "nonsense",
            2 => "clear",
            _ => "h3=\":1\"; ma=0",
        };
        async move {
            let mut answer = answer(200, "origin");
            answer
                .headers_mut()
                .insert("alt-svc", HeaderValue::from_static(says));
            answer
        }
    })
    .await;
    let client = Client::builder().security(made.security()).build();
    let mut known = Vec::new();
    for _ in 0..4 {
        // A request that would not take HTTP/3 learns of it all the same.
        let request = client.get(origin.url("/")).versions(Version::Http1);
        request.send().await.unwrap().bytes().await.unwrap();
        known.push(client.alternatives().len());
    }
    assert_eq!(known, [1, 1, 0, 0]);
}

#[tokio::test]
async fn http3_tells_of_alternatives_too() {
    let made = Made::new();
    let quic = Http3Server::start(&made, loopback(), |incoming| async move {
        let response = Response::builder().header("alt-svc", "h3=\":9\", h3=\":8\"");
        let response = response.body(Bytes::new()).unwrap();
        let _ = incoming.responder.send(response);
    });
    let (client, _) = client(&made);
    let request = client.get(quic.url("/")).versions(Version::Http3);
    request.send().await.unwrap().bytes().await.unwrap();
    let ports: Vec<_> = client
        .alternatives()
        .iter()
        .map(|known| known.port)
        .collect();
    assert_eq!(ports, [9, 8]);
}

#[tokio::test]
async fn cleartext_origins_have_no_alternatives() {
    let server = Server::start(Speaks::Http1, 1, |_| async {
        let mut answer = answer(200, "origin");
        answer
            .headers_mut()
            .insert("alt-svc", HeaderValue::from_static("h3=\":1\""));
        answer
    })
    .await;
    let client = Client::builder().build();
    text(&client, &server.url("/")).await;
    assert!(client.alternatives().is_empty());
}

#[tokio::test]
async fn requests_run_on_while_an_upgrade_is_dialled() {
    let made = Made::new();
    let quic = Http3Server::start(
        &made,
        loopback(),
        |incoming| async move { say(incoming, "3") },
    );
    let origin = saying(&made, format!("h3=\":{}\"", quic.address.port())).await;
    let (client, _) = client(&made);
    let mut answers = Vec::new();
    while answers.last().is_none_or(|answer| answer != "3") {
        answers.push(text(&client, &origin.url("/")).await);
    }
    assert_eq!(answers[0], "origin");
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn an_alternative_that_is_taken_back_gets_no_further_request() {
    let made = Made::new();
    let quic = Http3Server::start(&made, loopback(), |incoming| async move {
        let response = Response::builder().header("alt-svc", "clear");
        let response = response.body(Bytes::from_static(b"3")).unwrap();
        let _ = incoming.responder.send(response);
    });
    let origin = saying(&made, format!("h3=\":{}\"", quic.address.port())).await;
    let (client, _) = client(&made);
    text(&client, &origin.url("/")).await;
    until(|| quic.connections().len() == 1 && client.counts().dials == 0).await;
    assert_eq!(text(&client, &origin.url("/")).await, "3");
    assert_eq!(text(&client, &origin.url("/")).await, "origin");
}

#[tokio::test]
async fn an_address_that_is_dead_does_not_block_an_alternative_that_another_one_reaches() {
    let made = Made::for_names(&["127.0.0.1", "localhost"]);
    let quic = Http3Server::start(&made, loopback(), tell_way);
    let port = quic.address.port();
    // The name has an address of IPv6 too, where nobody listens.
    let origin = saying(&made, format!("h3=\"localhost:{port}\"; ma=60")).await;
    let (client, events) = client(&made);
    assert_eq!(text(&client, &origin.url("/")).await, "origin");
    until(|| quic.connections().len() == 1 && client.counts().dials == 0).await;
    assert_eq!(text(&client, &origin.url("/")).await, "alternative");
    let is_blocked = |event: &ClientEvent| matches!(event, ClientEvent::AlternativeBlocked { .. });
    assert!(!events.lock().unwrap().iter().any(is_blocked));
}
