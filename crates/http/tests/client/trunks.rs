//! Tunnels to several origins beside each other on one connection to their proxy.

use super::begin;
use super::connectors::hyper_client;
use super::http3_server::Http3Server;
use super::relay::Relay;
use super::server::{Made, Server, Speaks, answer};
use super::until;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::rt::TokioExecutor;
use portway_http::client::{
    ClientBuilder, Connector, Credentials, ErrorClass, Proxy, ProxyFault, RetryBudget,
};
use portway_http::h3::Tunnel;
use portway_http::pool::Version;
use portway_http::{Client, pool};
use portway_transport::quic::TransportOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

const H2: &[&[u8]] = &[b"h2", b"http/1.1"];
const H1: &[&[u8]] = &[b"http/1.1"];

/// Origins that answer with their number.
async fn origins(made: &Made, count: usize) -> Vec<Server> {
    let mut origins = Vec::new();
    for number in 0..count {
        let handler = move |_| async move { answer(200, number.to_string()) };
        origins.push(Server::start_with(made, Speaks::Tls(H2), 100, handler).await);
    }
    origins
}

fn through(made: &Made, relay: &Relay) -> ClientBuilder {
    let proxy = Proxy::parse(&format!("https://{}", relay.address)).expect("it is valid");
    let client = Client::builder().security(made.security());
    client.proxy(proxy.security(made.security()))
}

async fn text(client: &Client, origin: &Server) -> String {
    let response = client.get(origin.url("/")).send().await.expect("an answer");
    response.text().await.expect("whole")
}

#[tokio::test]
async fn tunnels_to_several_origins_share_a_connection_of_http2() {
    let made = Made::new();
    let (origins, relay) = (origins(&made, 4).await, Relay::start(&made, H2, 100).await);
    let client = through(&made, &relay).build();
    // All at once, and each once more.
    for _ in 0..2 {
        let asked = [0, 1, 2, 3].map(|at| text(&client, &origins[at]));
        let [a, b, c, d] = asked;
        let said = tokio::join!(a, b, c, d);
        assert_eq!(
            (&*said.0, &*said.1, &*said.2, &*said.3),
            ("0", "1", "2", "3")
        );
    }
    assert_eq!(relay.opened(), 1);
    assert_eq!(relay.heard.all().len(), 4, "one tunnel for each origin");
    let shared = client.get(origins[0].url("/")).send().await.unwrap();
    assert_eq!(shared.connection().remote, relay.address);
    assert_eq!(
        shared.connection().proxy.as_deref(),
        Some(&*format!("https://{}", relay.address))
    );
}

#[tokio::test]
async fn a_proxy_that_chooses_http1_gets_a_connection_for_each_tunnel() {
    let made = Made::new();
    let (origins, relay) = (origins(&made, 3).await, Relay::start(&made, H1, 0).await);
    let client = through(&made, &relay).build();
    let asked = [0, 1, 2].map(|at| text(&client, &origins[at]));
    let [a, b, c] = asked;
    let said = tokio::join!(a, b, c);
    assert_eq!((&*said.0, &*said.1, &*said.2), ("0", "1", "2"));
    assert_eq!((relay.opened(), relay.heard.all().len()), (3, 3));
}

#[tokio::test]
async fn a_connection_without_room_gets_another_beside_it() {
    let made = Made::new();
    for (streams_max, connections) in [(1, 5), (2, 3), (5, 1)] {
        let (origins, relay) = (
            origins(&made, 5).await,
            Relay::start(&made, H2, streams_max).await,
        );
        let client = through(&made, &relay).build();
        let asked = [0, 1, 2, 3, 4].map(|at| text(&client, &origins[at]));
        let [a, b, c, d, e] = asked;
        let _ = tokio::join!(a, b, c, d, e);
        assert_eq!(relay.opened(), connections, "{streams_max} streams");
        assert_eq!(relay.heard.all().len(), 5);
    }
}

#[tokio::test]
async fn a_place_that_a_tunnel_leaves_is_for_the_next() {
    let made = Made::new();
    let (origins, relay) = (origins(&made, 3).await, Relay::start(&made, H2, 1).await);
    let mut config = pool::Config::default();
    // The tunnel before gives way.
    config.connections_max = 1;
    let client = through(&made, &relay).pool(config).build();
    for (number, origin) in origins.iter().enumerate() {
        assert_eq!(text(&client, origin).await, number.to_string());
    }
    assert_eq!((relay.opened(), relay.heard.all().len()), (1, 3));
}

#[tokio::test]
async fn a_connection_that_goes_away_keeps_its_tunnels_and_gets_no_further_one() {
    let made = Made::new();
    let (origins, relay) = (origins(&made, 2).await, Relay::start(&made, H2, 100).await);
    let client = through(&made, &relay).build();
    assert_eq!(text(&client, &origins[0]).await, "0");
    relay.go_away();
    // The word is there before the answer to what was asked after it.
    until(|| relay.gone_away() == 1).await;
    assert_eq!(text(&client, &origins[0]).await, "0");
    assert_eq!(text(&client, &origins[1]).await, "1");
    assert_eq!(text(&client, &origins[0]).await, "0");
    assert_eq!(relay.opened(), 2);
    assert_eq!(relay.heard.all().len(), 2, "the first tunnel is still open");
}

#[tokio::test]
async fn the_loss_of_a_connection_fails_its_tunnels_and_names_the_proxy() {
    let (made, reached) = (Made::new(), Arc::new(AtomicUsize::new(0)));
    let relay = Relay::start(&made, H2, 100).await;
    let client = through(&made, &relay)
        .retry_budget(RetryBudget::new(0.0, 0))
        .build();
    let mut servers = Vec::new();
    for protocols in [H2, H1] {
        let reached = reached.clone();
        let silent = move |_| {
            reached.fetch_add(1, Ordering::SeqCst);
            std::future::pending()
        };
        servers.push(Server::start_with(&made, Speaks::Tls(protocols), 100, silent).await);
    }
    let requests = servers.iter().map(|server| {
        let request = client.post(server.url("/")).body("content");
        tokio::spawn(request.send())
    });
    let requests: Vec<_> = requests.collect();
    until(|| reached.load(Ordering::SeqCst) == 2).await;
    assert_eq!(relay.opened(), 1);
    relay.cut();
    for request in requests {
        let error = request.await.unwrap().unwrap_err();
        assert_eq!(error.class(), ErrorClass::Closed, "{error}");
        assert_eq!(error.proxy(), Some(ProxyFault::Broken), "{error}");
        let named = format!("the proxy https://{} broke the tunnel off", relay.address);
        assert!(error.to_string().contains(&named), "{error}");
    }
    let origin = &origins(&made, 1).await[0];
    assert_eq!(text(&client, origin).await, "0", "over a new one");
    assert_eq!(relay.opened(), 2);
}

#[tokio::test]
async fn content_that_a_lost_connection_cuts_off_names_the_proxy() {
    let made = Made::new();
    let relay = Relay::start(&made, H2, 100).await;
    let client = through(&made, &relay).build();
    for protocols in [H2, H1] {
        let long = |_| async { answer(200, vec![7; 20_000_000]) };
        let server = Server::start_with(&made, Speaks::Tls(protocols), 100, long).await;
        let response = client.get(server.url("/")).send().await.unwrap();
        relay.cut();
        let error = response.bytes().await.unwrap_err();
        assert_eq!(error.proxy(), Some(ProxyFault::Broken), "{error}");
        assert!(error.to_string().contains("the proxy https://"), "{error}");
    }
}

/// Leaves tunnels unread while others are used, then reads them.
async fn leave_unread(made: &Made, client: Client) {
    let (mut unread, mut servers) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        // What is inside reads no further than it is asked to.
        let long = |_| async { answer(200, vec![7; 10_000_000]) };
        let server = Server::start_with(made, Speaks::Tls(H1), 100, long).await;
        let response = client.get(server.url("/")).send().await;
        unread.push(response.expect("an answer"));
        servers.push(server);
    }
    let origin = &origins(made, 1).await[0];
    for _ in 0..3 {
        assert_eq!(text(&client, origin).await, "0");
    }
    for response in unread {
        let content = response.bytes().await.expect("whole");
        assert_eq!(content.len(), 10_000_000);
    }
}

#[tokio::test]
async fn tunnels_that_nobody_reads_hold_up_no_other() {
    let made = Made::new();
    let relay = Relay::start(&made, H2, 100).await;
    leave_unread(&made, through(&made, &relay).build()).await;
    assert_eq!(relay.opened(), 1);
}

#[tokio::test]
async fn tunnels_of_http3_that_nobody_reads_hold_up_no_other() {
    let made = Made::new();
    let relay = over_http3(&made, 100);
    let proxy = Proxy::parse(&relay.url("")).unwrap();
    let proxy = proxy.security(made.security()).versions(Version::Http3);
    let client = Client::builder().security(made.security());
    leave_unread(&made, client.proxy(proxy).build()).await;
    assert_eq!(relay.connections().len(), 1);
}

#[tokio::test]
async fn credentials_are_proven_for_each_tunnel_and_part_connections() {
    let made = Made::new();
    let (origins, relay) = (origins(&made, 2).await, Relay::start(&made, H2, 100).await);
    relay.demand("Basic bWU6c2VjcmV0");
    let proxy = Proxy::parse(&format!("https://{}", relay.address)).unwrap();
    let proxy = proxy.security(made.security());
    let client = Client::builder().security(made.security()).build();
    let get = async |origin: &Server, password: &str| {
        let own = Credentials::password("me", password);
        let request = client
            .get(origin.url("/"))
            .proxy(proxy.clone().credentials(own));
        request.send().await
    };
    let right = proxy
        .clone()
        .credentials(Credentials::password("me", "secret"));
    for origin in [&origins[0], &origins[1], &origins[0]] {
        let request = client.get(origin.url("/")).proxy(right.clone());
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(relay.opened(), 1);
    assert_eq!(
        relay.heard.all().len(),
        3,
        "once without, then with what was asked for"
    );
    let error = get(&origins[0], "wrong").await.unwrap_err();
    assert_eq!(error.proxy(), Some(ProxyFault::NeedsCredentials));
    assert_eq!(relay.opened(), 2, "who is somebody else comes by himself");
}

#[tokio::test]
async fn a_refused_tunnel_leaves_the_others() {
    let made = Made::new();
    let (origins, relay) = (origins(&made, 2).await, Relay::start(&made, H2, 100).await);
    let client = through(&made, &relay).build();
    assert_eq!(text(&client, &origins[0]).await, "0");
    let nowhere = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let url = format!("https://{nowhere}/");
    let error = client.get(url).send().await.unwrap_err();
    let refused = ProxyFault::Refused(StatusCode::BAD_GATEWAY);
    assert_eq!(error.proxy(), Some(refused));
    assert_eq!(text(&client, &origins[0]).await, "0");
    assert_eq!(text(&client, &origins[1]).await, "1");
    assert_eq!((relay.opened(), relay.heard.all().len()), (1, 3));
}

#[tokio::test]
async fn connections_end_with_their_client() {
    let made = Made::new();
    let (origins, relay) = (origins(&made, 1).await, Relay::start(&made, H2, 100).await);
    let client = through(&made, &relay).build();
    assert_eq!(text(&client, &origins[0]).await, "0");
    assert_eq!(relay.open(), 1);
    drop(client);
    until(|| relay.open() == 0).await;
}

#[tokio::test]
async fn a_connector_shares_connections_to_a_proxy_too() {
    let made = Made::new();
    let (origins, relay) = (origins(&made, 3).await, Relay::start(&made, H2, 100).await);
    let proxy = Proxy::parse(&format!("https://{}", relay.address)).unwrap();
    let connector = Connector::new().security(made.security());
    let connector = connector.proxy(proxy.security(made.security()));
    let client = hyper_client(connector.clone());
    let other: HyperClient<Connector, Empty<Bytes>> =
        HyperClient::builder(TokioExecutor::new()).build(connector);
    for (number, origin) in origins.iter().enumerate() {
        let url: http::Uri = origin.url("/").parse().unwrap();
        let response = match number {
            2 => other.get(url).await,
            _ => {
                client
                    .request(http::Request::get(url).body(Full::default()).unwrap())
                    .await
            }
        };
        let content = response.unwrap().into_body().collect().await.unwrap();
        assert_eq!(content.to_bytes(), number.to_string());
    }
    assert_eq!((relay.opened(), relay.heard.all().len()), (1, 3));
}

/// A proxy over HTTP/3 that allows so many streams.
fn over_http3(made: &Made, streams_max: u32) -> Http3Server {
    let any = "127.0.0.1:0".parse().expect("an address");
    let mut transport = TransportOptions::default();
    transport.streams.bidirectional_max = streams_max;
    Http3Server::start_with(made, any, transport, |incoming| async move {
        let target = incoming.request.uri().to_string();
        let response = http::Response::new(());
        let send = incoming.responder.send_response(response).expect("sent");
        let mut near = Tunnel::new(incoming.request.into_body(), send);
        let mut far = TcpStream::connect(target).await.expect("the target");
        let _ = copy_bidirectional(&mut near, &mut far).await;
    })
}

#[tokio::test]
async fn tunnels_over_http3_share_connections_as_far_as_streams_go() {
    let made = Made::new();
    for (streams_max, connections) in [(100, 1), (3, 2), (1, 5)] {
        let origins = origins(&made, 5).await;
        let relay = over_http3(&made, streams_max);
        let proxy = Proxy::parse(&relay.url("")).unwrap();
        let proxy = proxy.security(made.security()).versions(Version::Http3);
        let client = Client::builder().security(made.security());
        let client = client.proxy(proxy).build();
        let asked = [0, 1, 2, 3, 4].map(|at| text(&client, &origins[at]));
        let [a, b, c, d, e] = asked;
        let said = tokio::join!(a, b, c, d, e);
        assert_eq!((&*said.0, &*said.4), ("0", "4"));
        let count = relay.connections().len();
        assert_eq!(count, connections, "{streams_max} streams");
        for (number, origin) in origins.iter().enumerate() {
            assert_eq!(text(&client, origin).await, number.to_string());
        }
    }
}

#[tokio::test]
async fn streams_of_http3_that_tunnels_leave_are_used_again() {
    let made = Made::new();
    let (origins, relay) = (origins(&made, 6).await, over_http3(&made, 2));
    let proxy = Proxy::parse(&relay.url("")).unwrap();
    let proxy = proxy.security(made.security()).versions(Version::Http3);
    let mut config = pool::Config::default();
    config.connections_max = 2;
    let client = Client::builder().security(made.security());
    let client = client.proxy(proxy).pool(config).build();
    for (number, origin) in origins.iter().enumerate() {
        assert_eq!(text(&client, origin).await, number.to_string());
    }
    assert!(relay.connections().len() <= 2);
}

#[tokio::test]
async fn the_end_of_a_connection_of_http3_fails_its_tunnels_and_names_the_proxy() {
    let (made, reached) = (Made::new(), Arc::new(AtomicUsize::new(0)));
    let seen = reached.clone();
    let silent = move |_| {
        seen.fetch_add(1, Ordering::SeqCst);
        std::future::pending()
    };
    let server = Server::start_with(&made, Speaks::Tls(H2), 100, silent).await;
    let relay = over_http3(&made, 100);
    let proxy = Proxy::parse(&relay.url("")).unwrap();
    let proxy = proxy.security(made.security()).versions(Version::Http3);
    let client = Client::builder().security(made.security());
    let client = client.proxy(proxy).build();
    let mut request = Box::pin(client.post(server.url("/")).body("content").send());
    begin(&mut request).await;
    let asked = async {
        until(|| reached.load(Ordering::SeqCst) == 1).await;
        drop(relay);
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        answered = request => answered.unwrap_err(),
        () = asked => unreachable!("it has no end"),
    };
    assert_eq!(error.proxy(), Some(ProxyFault::Broken), "{error}");
    assert_eq!(error.class(), ErrorClass::Closed);
}
