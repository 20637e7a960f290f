//! Tunnels beside each other on one connection to their proxy: when they are open, what becomes of
//! them, and when their connection ends.

use super::super::http3_server::Http3Server;
use super::super::server::acceptor;
use super::server::{
    END_HEADERS, Frames, HEADERS, OK, Pipe, STATUS_200, answer_all, gone, protected,
};
use super::{Listening, Net, ROUND_TRIP, config, millis, timeouts};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use portway_core::dns::{Answer, AnswerData, RecordKind};
use portway_http::Client;
use portway_http::client::{
    ClientBuilder, Connector, ErrorClass, Phase, Proxy, ProxyFault, Timeouts,
};
use portway_http::h3::Tunnel;
use portway_http::pool::Version;
use portway_sim::{Direction, SimEnvironment};
use portway_transport::context::Context;
use portway_transport::environment::Environment;
use portway_transport::quic::{StreamKind, TransportOptions};
use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tower_service::Service;

/// What a proxy does when it is asked for a tunnel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    /// It plays the target itself, whichever that is.
    Opens,
    /// It closes the connection instead.
    Cuts,
    /// It says nothing.
    Waits,
}

/// A proxy over HTTP/2, told by the numbers of connection and tunnel what to do. The connections
/// that it refuses end before TLS.
fn proxy(
    net: &Net,
    refuses: fn(usize) -> bool,
    does: fn(usize, usize) -> Does,
) -> (Listening, Arc<AtomicUsize>) {
    let (made, ended) = (net.made.clone(), Arc::new(AtomicUsize::new(0)));
    let told = ended.clone();
    let listening = net.serve(move |connection, pipe| {
        let (made, ended) = (made.clone(), told.clone());
        async move {
            let host = pipe.environment.clone();
            if refuses(connection) {
                return;
            }
            let Some(stream) = protected(&made, pipe, b"h2").await else {
                return;
            };
            let (tunnels, cut) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
            let cutting = cut.clone();
            let near = host.clone();
            let service = service_fn(move |mut request: Request<Incoming>| {
                let tunnel = tunnels.fetch_add(1, Ordering::SeqCst);
                let (made, host, cut) = (made.clone(), near.clone(), cutting.clone());
                async move {
                    match does(connection, tunnel) {
                        Does::Opens => {}
                        Does::Cuts => cut.notify_one(),
                        Does::Waits => pending().await,
                    }
                    host.spawn(Box::pin(async move {
                        let Ok(near) = hyper::upgrade::on(&mut request).await else {
                            return;
                        };
                        let tls = acceptor(&made, &[b"http/1.1"]);
                        if let Ok(mut stream) = tls.accept(TokioIo::new(near)).await {
                            answer_all(&mut stream, OK).await;
                        }
                    }));
                    Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                }
            });
            let serving = hyper::server::conn::http2::Builder::new(Tasks(host))
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                biased;
                () = cut.notified() => {}
                _ = serving => {}
            }
            ended.fetch_add(1, Ordering::SeqCst);
        }
    });
    (listening, ended)
}

/// Runs hyper's tasks on a host.
#[derive(Clone)]
struct Tasks(Arc<SimEnvironment>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.spawn(Box::pin(task));
    }
}

fn opens(_: usize, _: usize) -> Does {
    Does::Opens
}

fn through(net: &Net, proxy: &Listening) -> ClientBuilder {
    let proxy = Proxy::parse(&proxy.url("https")).expect("it is valid");
    net.client().proxy(proxy.security(net.made.security()))
}

/// A proxy over HTTP/3 that plays each target itself.
fn over_http3(net: &Net, transport: TransportOptions) -> Http3Server {
    let made = net.made.clone();
    let (host, address) = (net.far.clone(), net.free_address());
    Http3Server::start_in(host, &net.made, address, transport, move |incoming| {
        let made = made.clone();
        async move {
            let sent = incoming.responder.send_response(Response::new(()));
            let near = Tunnel::new(incoming.request.into_body(), sent.expect("sent"));
            let tls = acceptor(&made, &[b"http/1.1"]);
            if let Ok(mut stream) = tls.accept(near).await {
                answer_all(&mut stream, OK).await;
            }
        }
    })
}

fn through_http3(net: &Net, proxy: &Http3Server) -> ClientBuilder {
    let proxy = Proxy::parse(&proxy.url("")).expect("it is valid");
    let proxy = proxy.security(net.made.security());
    net.client().proxy(proxy.versions(Version::Http3))
}

fn connector(net: &Net, proxy: &Listening, timeouts: Timeouts) -> Connector {
    let proxy = Proxy::parse(&proxy.url("https")).expect("it is valid");
    let security = net.made.security();
    let connector = Connector::new().context(&Context::new(net.near.clone()));
    let connector = connector.security(security.clone()).timeouts(timeouts);
    connector.proxy(proxy.security(security))
}

/// An origin of its own, which only a proxy can reach.
fn origin(number: u16) -> String {
    format!("https://10.0.0.2:{}/", 9000 + number)
}

async fn get(client: &Client, number: u16) -> String {
    let response = client.get(origin(number)).send().await.expect("an answer");
    response.text().await.expect("whole")
}

#[test]
fn a_further_tunnel_costs_neither_connection_nor_handshake() {
    Net::run(async |net| {
        let (proxy, _) = proxy(net, |_| false, opens);
        let client = through(net, &proxy).build();
        // TCP, TLS with the proxy, CONNECT, TLS with the target, the request.
        assert_eq!(net.timed(get(&client, 1)).await.1, 5 * ROUND_TRIP);
        assert_eq!(net.timed(get(&client, 2)).await.1, 3 * ROUND_TRIP);
        assert_eq!(net.timed(get(&client, 2)).await.1, ROUND_TRIP);
        assert_eq!(proxy.accepted(), 1);
    });
}

#[test]
fn tunnels_at_the_same_time_wait_for_one_dial() {
    Net::run(async |net| {
        let (proxy, _) = proxy(net, |_| false, opens);
        let client = through(net, &proxy).build();
        let asked = async { tokio::join!(get(&client, 1), get(&client, 2), get(&client, 3)) };
        let (_, took) = net.timed(asked).await;
        // How many tunnels there may be is known with the answer to the first one at the latest.
        assert!(took <= 6 * ROUND_TRIP, "{took:?}");
        assert_eq!(proxy.accepted(), 1);
    });
}

#[test]
fn an_idle_connection_to_a_proxy_ends_after_its_last_tunnel() {
    Net::run(async |net| {
        let (proxy, ended) = proxy(net, |_| false, opens);
        let own = config(|config| config.idle_max = Duration::from_secs(10));
        let client = through(net, &proxy).pool(own).build();
        get(&client, 1).await;
        net.sleep(Duration::from_secs(15)).await;
        assert_eq!(client.counts().idle, 0, "the tunnel has ended");
        assert_eq!(ended.load(Ordering::SeqCst), 0, "its connection has not");
        let (_, took) = net.timed(get(&client, 2)).await;
        assert_eq!(took, 3 * ROUND_TRIP, "which takes another");
        net.sleep(Duration::from_millis(20_200)).await;
        assert_eq!(ended.load(Ordering::SeqCst), 1);
        assert_eq!(proxy.accepted(), 1);
    });
}

#[test]
fn a_failed_dial_to_a_proxy_fails_its_own_tunnel_only() {
    Net::run(async |net| {
        let (proxy, _) = proxy(net, |connection| connection == 0, opens);
        let client = through(net, &proxy).build();
        let failing = async { client.get(origin(1)).send().await };
        let (failed, other) = tokio::join!(failing, get(&client, 2));
        let error = failed.expect_err("the dial was its own");
        assert!(error.proxy().is_some(), "{error}");
        assert_eq!(other, "ok");
        assert_eq!(proxy.accepted(), 2);
    });
}

#[test]
fn a_tunnel_is_asked_for_again_where_a_used_connection_ends_instead_of_answering() {
    Net::run(async |net| {
        let does = |connection, tunnel| match (connection, tunnel) {
            (0, 1) => Does::Cuts,
            _ => Does::Opens,
        };
        let (proxy, _) = proxy(net, |_| false, does);
        let client = through(net, &proxy).build();
        get(&client, 1).await;
        // Nothing of this request has been sent, so that it need not be one to be repeated.
        let request = client.post(origin(2)).body("content");
        let response = request.send().await.expect("an answer over a new one");
        assert_eq!(response.status(), 200);
        assert_eq!(proxy.accepted(), 2);
    });
}

#[test]
fn a_new_connection_that_ends_instead_of_answering_is_the_proxys_fault() {
    Net::run(async |net| {
        let (proxy, _) = proxy(net, |_| false, |_, _| Does::Cuts);
        let client = through(net, &proxy).build();
        let error = client.get(origin(1)).send().await.expect_err("no tunnel");
        assert_eq!(error.class(), ErrorClass::Proxy, "{error}");
        assert!(
            matches!(error.proxy(), Some(ProxyFault::Lied(_))),
            "{error}"
        );
        assert_eq!(proxy.accepted(), 1);
    });
}

#[test]
fn a_tunnel_that_waits_holds_up_no_other_and_is_dropped_with_its_request() {
    Net::run(async |net| {
        let does = |_, tunnel| match tunnel {
            1 => Does::Waits,
            _ => Does::Opens,
        };
        let (proxy, _) = proxy(net, |_| false, does);
        let own = config(|config| config.abandoned_dial_max = millis(100));
        let client = through(net, &proxy).pool(own).build();
        get(&client, 1).await;
        let mut silent = pin!(client.get(origin(2)).send());
        let meanwhile = async {
            net.sleep(millis(10)).await;
            let (_, took) = net.timed(get(&client, 3)).await;
            assert_eq!(took, 3 * ROUND_TRIP);
        };
        tokio::select! {
            biased;
            _ = silent.as_mut() => panic!("nobody answers it"),
            () = meanwhile => {}
        }
        assert_eq!(proxy.accepted(), 1);
    });
}

/// A client that waits a second for each phase of a dial.
fn hasty(net: &Net, proxy: &Listening) -> Client {
    let second = Some(Duration::from_secs(1));
    let limits = timeouts(|limits| (limits.connect, limits.handshake) = (second, second));
    through(net, proxy).timeouts(limits).build()
}

#[test]
fn a_connection_that_keeps_silent_to_a_tunnel_gets_no_further_one() {
    Net::run(async |net| {
        let does = |connection, tunnel| match (connection, tunnel) {
            (0, 1..) => Does::Waits,
            _ => Does::Opens,
        };
        let (proxy, ended) = proxy(net, |_| false, does);
        let client = hasty(net, &proxy);
        get(&client, 1).await;
        let error = client.get(origin(2)).send().await.expect_err("silence");
        assert_eq!(error.class(), ErrorClass::TimedOut(Phase::Handshake));
        // It has a connection of its own: TCP, TLS, CONNECT, TLS, the request.
        assert_eq!(net.timed(get(&client, 3)).await.1, 5 * ROUND_TRIP);
        assert_eq!(proxy.accepted(), 2);
        // The tunnel that was there goes on.
        assert_eq!(net.timed(get(&client, 1)).await.1, ROUND_TRIP);
        assert_eq!(net.timed(get(&client, 4)).await.1, 3 * ROUND_TRIP);
        assert_eq!((proxy.accepted(), ended.load(Ordering::SeqCst)), (2, 0));
    });
}

#[test]
fn a_connection_that_serves_others_meanwhile_is_not_silent() {
    Net::run(async |net| {
        let does = |_, tunnel| match tunnel {
            1 => Does::Waits,
            _ => Does::Opens,
        };
        let (proxy, _) = proxy(net, |_| false, does);
        let client = hasty(net, &proxy);
        get(&client, 1).await;
        let meanwhile = async {
            net.sleep(millis(100)).await;
            get(&client, 3).await;
        };
        let (silent, ()) = tokio::join!(client.get(origin(2)).send(), meanwhile);
        assert!(silent.is_err());
        assert_eq!(net.timed(get(&client, 4)).await.1, 3 * ROUND_TRIP);
        assert_eq!(proxy.accepted(), 1);
    });
}

#[test]
fn a_connection_that_is_heard_of_after_a_tunnel_was_dropped_is_not_silent() {
    Net::run(async |net| {
        let (proxy, _) = proxy(net, |_| false, opens);
        let own = config(|config| config.abandoned_dial_max = Duration::ZERO);
        let client = through(net, &proxy).pool(own).build();
        get(&client, 1).await;
        net.cut(millis(1), client.get(origin(2)).send()).await;
        net.sleep(ROUND_TRIP).await;
        assert_eq!(net.timed(get(&client, 3)).await.1, 3 * ROUND_TRIP);
        assert_eq!(proxy.accepted(), 1);
    });
}

#[test]
fn a_silent_connection_of_http3_gets_no_further_tunnel() {
    Net::run(async |net| {
        let proxy = over_http3(net, TransportOptions::default());
        let second = Some(Duration::from_secs(1));
        let limits = timeouts(|limits| (limits.connect, limits.handshake) = (second, second));
        let client = through_http3(net, &proxy).timeouts(limits).build();
        get(&client, 1).await;
        let link = net.sim.link("client", "server");
        link.black_hole(Direction::Both);
        let error = client.get(origin(2)).send().await.expect_err("silence");
        assert_eq!(error.class(), ErrorClass::TimedOut(Phase::Handshake));
        link.restore();
        get(&client, 3).await;
        assert_eq!(proxy.connections().len(), 2);
    });
}

#[test]
fn a_proxy_without_settings_holds_up_no_further_tunnel() {
    Net::run(async |net| {
        let proxy = net.serve({
            let made = net.made.clone();
            move |_, pipe| {
                let made = made.clone();
                async move {
                    let Some(stream) = protected(&made, pipe, b"h2").await else {
                        return;
                    };
                    let mut frames = Frames::without_settings(stream).await;
                    while let Some(stream) = frames.request().await {
                        frames
                            .say(HEADERS, END_HEADERS, stream, &[STATUS_200])
                            .await;
                    }
                }
            }
        });
        let connector = connector(net, &proxy, timeouts(|_| {}));
        // In cleartext HTTP/1.1 would be forwarded.
        let connector = connector.versions(Version::Http2);
        let mut tunnels = Vec::new();
        for number in 1..=3 {
            let url = format!("http://10.0.0.2:{}/", 9000 + number);
            let (tunnel, took) = net
                .timed(connector.clone().call(url.parse().unwrap()))
                .await;
            assert_eq!(took, 3 * ROUND_TRIP, "TCP, TLS, CONNECT");
            tunnels.push(tunnel.expect("a tunnel"));
        }
        assert_eq!(proxy.accepted(), 3);
    });
}

#[test]
fn waiting_for_a_place_at_a_proxy_has_the_limit_of_connecting() {
    Net::run(async |net| {
        // It says neither how many tunnels there may be nor anything else.
        let proxy = net.serve({
            let made = net.made.clone();
            move |_, pipe| {
                let made = made.clone();
                async move {
                    if let Some(mut stream) = protected(&made, pipe, b"h2").await {
                        gone(&mut stream).await;
                    }
                }
            }
        });
        let limits = timeouts(|limits| {
            (limits.connect, limits.handshake) = (Some(Duration::from_secs(1)), None);
        });
        let connector = connector(net, &proxy, limits);
        let url = |number| origin(number).parse().expect("a URL");
        let mut first = pin!(connector.clone().call(url(1)));
        let second = async {
            net.sleep(millis(100)).await;
            net.timed(connector.clone().call(url(2))).await
        };
        let (second, took) = tokio::select! {
            biased;
            _ = &mut first => panic!("it has no limit"),
            second = second => second,
        };
        let error = second.expect_err("there is no place");
        assert_eq!(error.class(), ErrorClass::TimedOut(Phase::Connect));
        assert!(error.proxy().is_some(), "{error}");
        assert_eq!(took, Duration::from_secs(1));
    });
}

#[test]
fn a_dial_after_anothers_failure_has_all_of_its_time() {
    Net::run(async |net| {
        let (proxy, _) = proxy(net, |connection| connection == 0, opens);
        let (dns, half) = (net.near.dns(), millis(500));
        let addresses = Answer {
            data: AnswerData::Addresses(vec![proxy.address.ip()]),
            // Each dial asks anew.
            ttl: Duration::ZERO,
        };
        dns.reply("proxy.test", RecordKind::A, half, Ok(addresses));
        dns.no_data("proxy.test", RecordKind::Aaaa, half);
        let url = format!("https://proxy.test:{}", proxy.address.port());
        let security = net.made.security().with_server_name("10.0.0.2");
        let by = Proxy::parse(&url).expect("it is valid").security(security);
        let limits = timeouts(|limits| limits.resolve = Some(millis(600)));
        let client = net.client().proxy(by).timeouts(limits).build();
        let failing = client.get(origin(1)).send();
        let ((failed, other), took) = net
            .timed(async { tokio::join!(failing, get(&client, 2)) })
            .await;
        assert!(failed.is_err());
        assert_eq!(other, "ok");
        assert!(took > millis(1000), "{took:?}: both asked for the address");
    });
}

#[test]
fn a_proxy_of_http3_that_grants_no_stream_anew_gets_another_connection() {
    Net::run(async |net| {
        let mut transport = TransportOptions::default();
        transport.streams.bidirectional_max = 1;
        let proxy = over_http3(net, transport);
        let own = config(|config| config.idle_max = Duration::from_secs(1));
        let client = through_http3(net, &proxy).pool(own).build();
        for number in 1..=3 {
            get(&client, number).await;
            for connection in proxy.connections() {
                let quic = connection.quic();
                quic.set_streams_max(StreamKind::Bidirectional, 0);
            }
            // The tunnel ends, and its connection is there still.
            net.sleep(millis(1500)).await;
        }
        assert_eq!(proxy.connections().len(), 3);
    });
}

#[test]
fn a_proxy_that_keeps_still_is_given_up_in_time_by_all_who_wait() {
    Net::run(async |net| {
        let silent = net.serve(|_, mut pipe: Pipe| async move { gone(&mut pipe).await });
        let client = through(net, &silent).build();
        let asked = async {
            let (one, two) = (client.get(origin(1)).send(), client.get(origin(2)).send());
            tokio::join!(one, two)
        };
        let ((one, two), took) = net.timed(asked).await;
        for error in [one, two].map(|answered| answered.expect_err("nobody answers")) {
            assert!(
                error.proxy().is_some() || error.to_string().contains("time"),
                "{error}"
            );
        }
        assert!(took <= Duration::from_secs(31), "{took:?}");
    });
}
