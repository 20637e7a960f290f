//! Requests through proxies, good and bad.

use super::http3_server::Http3Server;
use super::relay::{protected, proxy, socks};
use super::server::{Made, Server, Speaks, answer, raw};
use http::StatusCode;
use portway_core::SecurityParameters;
use portway_http::Client;
use portway_http::client::{
    ClientBuilder, Credentials, Error, ErrorClass, Party, Phase, Proxies, Proxy, ProxyFault,
    ProxyLie, SocksFailure, Timeouts, VersionPolicy,
};
use portway_http::h3::Tunnel;
use portway_http::pool::Version;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

const H2: &[&[u8]] = &[b"h2", b"http/1.1"];

async fn server(speaks: Speaks) -> Server {
    Server::start(speaks, 100, |request| async move {
        let shown = |name| {
            request
                .headers()
                .get(name)
                .map(|it| it.to_str().unwrap_or_default())
        };
        let text = format!(
            "{:?} {:?}",
            shown("authorization"),
            shown("proxy-authorization")
        );
        answer(200, text)
    })
    .await
}

fn at(address: SocketAddr) -> Proxy {
    Proxy::parse(&format!("http://{address}")).expect("it is valid")
}

fn through(address: SocketAddr) -> ClientBuilder {
    Client::builder().proxy(at(address))
}

#[tokio::test]
async fn https_is_tunnelled_and_judged_inside_of_the_tunnel() {
    let server = server(Speaks::Tls(H2)).await;
    let (address, heard) = proxy(|_, _| String::new()).await;
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = events.clone();
    let client = through(address).security(server.security());
    let client = client.on_event(move |event| told.lock().unwrap().push(event.to_string()));
    let client = client.build();
    for _ in 0..2 {
        let response = client.get(server.url("/")).send().await.unwrap();
        assert_eq!(response.version(), Version::Http2);
        let info = response.connection();
        assert_eq!(info.proxy, Some(format!("http://{address}")));
        assert_eq!(info.remote, address);
        assert!(info.protection.is_some());
    }
    let target = server.address;
    let asked = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n");
    assert_eq!(heard.all(), [asked], "one tunnel for both");
    let is_told = |event: &String| event.contains("HTTP/3 is not tried through a proxy");
    assert!(events.lock().unwrap().iter().any(is_told));
    let error = through(address).build().get(server.url("/")).send().await;
    let error = error.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Certificate);
    assert_eq!(error.proxy(), None, "it is the target's");
}

#[tokio::test]
async fn http_is_forwarded_for_all_origins_over_one_connection() {
    let say = |_, _: &str| "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_owned();
    let (address, heard) = proxy(say).await;
    let client = through(address).build();
    for url in ["http://one.test/a?b#c", "http://two.test:81/"] {
        let response = client.get(url).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "hi");
    }
    let asked = [
        "GET http://one.test/a?b HTTP/1.1\r\nhost: one.test\r\n\r\n",
        "GET http://two.test:81/ HTTP/1.1\r\nhost: two.test:81\r\n\r\n",
    ];
    assert_eq!(heard.all(), asked);
    assert_eq!(client.counts().idle, 1);
}

#[tokio::test]
async fn credentials_go_to_whom_they_are_for() {
    let (target, cleartext) = (server(Speaks::Tls(H2)).await, server(Speaks::Http1).await);
    let (address, heard) = proxy(|_, head| match head.starts_with("CONNECT") {
        true => String::new(),
        false => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
    })
    .await;
    let proxy = at(address).credentials(Credentials::basic("proxy", "p"));
    let client = Client::builder()
        .security(target.security())
        .proxy(proxy)
        .build();
    let by_hand = client
        .get(target.url("/"))
        .header("proxy-authorization", "Basic eA==");
    let response = by_hand.basic_auth("server", "s").send().await.unwrap();
    let to_server = "Some(\"Basic c2VydmVyOnM=\") None";
    assert_eq!(response.text().await.unwrap(), to_server);
    client.get(cleartext.url("/")).send().await.unwrap();
    let to_proxy = "\r\nproxy-authorization: Basic cHJveHk6cA==\r\n";
    for head in heard.all() {
        assert!(head.contains(to_proxy), "{head}");
        assert!(!head.contains("\r\nauthorization"), "{head}");
    }
    // Directly, even a field that is set by hand is not told to a server.
    let direct = client.get(cleartext.url("/")).proxy(Proxies::none());
    let direct = direct
        .header("proxy-authorization", "Basic eA==")
        .send()
        .await;
    assert_eq!(direct.unwrap().text().await.unwrap(), "None None");
    assert_eq!(heard.all().len(), 2);
}

#[tokio::test]
async fn proxies_in_tls_are_asked_over_both_versions() {
    let (made, server) = (Made::new(), server(Speaks::Tls(H2)).await);
    type Row = (&'static [&'static [u8]], &'static str);
    let rows: [Row; 2] = [(&[b"http/1.1"], "HTTP/1.1"), (H2, "HTTP/2.0")];
    for (protocols, version) in rows {
        let (address, heard) = protected(&made, protocols).await;
        let proxy = Proxy::parse(&format!("https://{address}")).unwrap();
        let client = Client::builder().security(server.security());
        let client = client
            .proxy(proxy.clone().security(made.security()))
            .build();
        let response = client
            .post(server.url("/"))
            .body(vec![7; 300_000])
            .send()
            .await;
        assert_eq!(response.unwrap().text().await.unwrap(), "None None");
        assert_eq!(
            heard.all(),
            [format!("{version} CONNECT {}", server.address)]
        );
        let strict = Client::builder()
            .security(server.security())
            .proxy(proxy)
            .build();
        let error = strict.get(server.url("/")).send().await.unwrap_err();
        assert_eq!(error.proxy(), Some(ProxyFault::Insecure), "{error}");
        assert_eq!(error.class(), ErrorClass::Certificate);
    }
}

#[tokio::test]
async fn a_client_that_believes_any_server_does_not_believe_any_proxy() {
    let (made, server) = (Made::new(), server(Speaks::Tls(H2)).await);
    let (address, heard) = protected(&made, H2).await;
    let proxy = Proxy::parse(&format!("https://{address}")).unwrap();
    let anyone = portway_core::security::Trust::DangerousAnyone;
    let security = SecurityParameters::tls().with_trust(anyone);
    let client = |proxy| {
        let client = Client::builder().security(security.clone());
        client.proxy(proxy).build()
    };
    let own = client(proxy.clone().security(security.clone()));
    assert!(own.get(server.url("/")).send().await.is_ok());
    let asked = heard.all().len();
    let error = client(proxy).get(server.url("/")).send().await.unwrap_err();
    assert_eq!(error.proxy(), Some(ProxyFault::Insecure), "{error}");
    assert_eq!(heard.all().len(), asked);
}

#[tokio::test]
async fn a_user_in_a_location_is_not_told_to_a_proxy() {
    let (address, heard) = proxy(|number, _| match number {
        0 => "HTTP/1.1 302 go\r\nlocation: http://me:secret@two.test/b\r\n\
              content-length: 0\r\n\r\n"
            .to_owned(),
        _ => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
    })
    .await;
    let client = through(address).build();
    let response = client.get("http://one.test/a").send().await.unwrap();
    assert_eq!(response.url(), "http://two.test/b");
    let asked = "GET http://two.test/b HTTP/1.1\r\nhost: two.test\r\n\r\n";
    assert_eq!(heard.all().last().unwrap(), asked);
}

#[tokio::test]
async fn a_proxy_of_http3_is_asked_for_tunnels() {
    let (made, server) = (Made::new(), server(Speaks::Tls(H2)).await);
    let any = "127.0.0.1:0".parse().unwrap();
    let proxy = Http3Server::start(&made, any, |incoming| async move {
        assert_eq!(incoming.request.method(), http::Method::CONNECT);
        let target = incoming.request.uri().to_string();
        let response = http::Response::new(());
        let send = incoming.responder.send_response(response).expect("sent");
        let mut near = Tunnel::new(incoming.request.into_body(), send);
        let mut far = TcpStream::connect(target).await.expect("the target");
        let _ = copy_bidirectional(&mut near, &mut far).await;
    });
    let proxy = Proxy::parse(&proxy.url("")).unwrap();
    let proxy = proxy.security(made.security()).versions(Version::Http3);
    let client = Client::builder()
        .security(server.security())
        .proxy(proxy)
        .build();
    for _ in 0..2 {
        let request = client.post(server.url("/")).body(vec![7; 300_000]);
        let response = request.send().await.unwrap();
        assert_eq!(response.version(), Version::Http2);
        assert_eq!(response.text().await.unwrap(), "None None");
    }
    assert_eq!(server.accepted(), 1);
}

async fn refusal(say: &'static str) -> Error {
    let (address, _) = proxy(move |_, _| say.to_owned()).await;
    let mut timeouts = Timeouts::default();
    timeouts.handshake = Some(Duration::from_millis(100));
    let client = through(address).timeouts(timeouts).build();
    let refused = client.get("https://one.test/").send().await;
    refused.expect_err("there is no tunnel")
}

#[tokio::test]
async fn a_proxy_that_says_no_is_told_from_a_target_that_is_not_there() {
    let rows = [
        (
            "HTTP/1.1 403 no\r\ncontent-length: 0\r\n\r\n",
            ProxyFault::Refused(StatusCode::FORBIDDEN),
            Party::Proxy,
        ),
        (
            "HTTP/1.1 502 no\r\ncontent-length: 3\r\n\r\nno!",
            ProxyFault::Refused(StatusCode::BAD_GATEWAY),
            Party::Target,
        ),
        (
            "HTTP/1.1 407 who\r\nproxy-authenticate: Basic realm=x\r\ncontent-length: 0\r\n\r\n",
            ProxyFault::NeedsCredentials,
            Party::Proxy,
        ),
        (
            "HTTP/1.1 301 there\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n",
            ProxyFault::Refused(StatusCode::MOVED_PERMANENTLY),
            Party::Proxy,
        ),
    ];
    for (said, fault, party) in rows {
        let error = refusal(said).await;
        assert_eq!(error.class(), ErrorClass::Proxy, "{error}");
        assert_eq!(error.proxy(), Some(fault), "{error}");
        assert_eq!(fault.party(), party);
    }
}

#[tokio::test]
async fn a_proxy_that_lies_is_found_out() {
    let rows = [
        ("HTTP/1.1 200 OK\r\n", ProxyLie::Truncated),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", ProxyLie::Garbled),
        ("HTTP/1.1 2000 OK\r\n\r\n", ProxyLie::Garbled),
        ("HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03", ProxyLie::EarlyBytes),
    ];
    for (said, lie) in rows {
        let error = refusal(said).await;
        assert_eq!(
            error.proxy(),
            Some(ProxyFault::Lied(lie)),
            "{said:?}: {error}"
        );
    }
    let (address, _) = proxy(|_, _| format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(100_000))).await;
    let error = through(address)
        .build()
        .get("https://one.test/")
        .send()
        .await;
    let oversized = Some(ProxyFault::Lied(ProxyLie::Oversized));
    assert_eq!(error.unwrap_err().proxy(), oversized);
}

#[tokio::test]
async fn a_proxy_that_keeps_still_or_is_not_there_ends_in_time() {
    let error = refusal("HTTP/1.1 100 wait\r\n\r\n").await;
    assert_eq!(error.class(), ErrorClass::TimedOut(Phase::Handshake));
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    for url in ["http://one.test/", "https://one.test/"] {
        let error = through(closed).build().get(url).send().await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Connect, "{error}");
        assert_eq!(error.proxy(), Some(ProxyFault::Unreachable));
    }
}

#[tokio::test]
async fn socks_is_told_addresses_or_names() {
    let (server, plain) = (server(Speaks::Tls(H2)).await, server(Speaks::Http1).await);
    let (port, plain_port) = (server.address.port(), plain.address.port());
    let (address, heard) = socks(Some(("me", "secret")), 0).await;
    let urls = [
        (
            "socks5",
            format!("https://127.0.0.1:{port}/"),
            format!("1 127.0.0.1:{port}"),
        ),
        (
            "socks5h",
            format!("https://127.0.0.1:{port}/"),
            format!("1 127.0.0.1:{port}"),
        ),
        (
            "socks5h",
            format!("https://one.test:{port}/"),
            format!("3 one.test:{port}"),
        ),
        (
            "socks5h",
            format!("http://one.test:{plain_port}/"),
            format!("3 one.test:{plain_port}"),
        ),
        (
            "socks5",
            format!("http://localhost:{plain_port}/"),
            format!("1 127.0.0.1:{plain_port}"),
        ),
    ];
    for (number, (scheme, url, asked)) in urls.into_iter().enumerate() {
        let proxy = Proxy::parse(&format!("{scheme}://me:secret@{address}")).unwrap();
        let client = Client::builder()
            .security(server.security())
            .proxy(proxy)
            .build();
        let response = client.get(url).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "None None");
        let heard = heard.all();
        // An IPv6 address of localhost may have been tried before.
        assert!(
            heard.len() > number && heard.last() == Some(&asked),
            "{heard:?}"
        );
    }
}

#[tokio::test]
async fn replies_of_socks_have_their_names() {
    let rows = [
        (1, SocksFailure::General, Party::Proxy),
        (2, SocksFailure::NotAllowed, Party::Proxy),
        (3, SocksFailure::NetworkUnreachable, Party::Target),
        (4, SocksFailure::HostUnreachable, Party::Target),
        (5, SocksFailure::ConnectionRefused, Party::Target),
        (6, SocksFailure::TtlExpired, Party::Target),
        (7, SocksFailure::CommandNotSupported, Party::Proxy),
        (8, SocksFailure::AddressNotSupported, Party::Proxy),
        (9, SocksFailure::Unassigned(9), Party::Proxy),
    ];
    for (reply, failure, party) in rows {
        let (address, _) = socks(None, reply).await;
        let error = by_socks(&format!("socks5h://{address}")).await;
        assert_eq!(error.class(), ErrorClass::Proxy);
        assert_eq!(error.proxy(), Some(ProxyFault::Socks(failure)));
        assert_eq!(ProxyFault::Socks(failure).party(), party);
    }
    let (address, heard) = socks(Some(("me", "secret")), 0).await;
    let rows = [
        (format!("socks5h://{address}"), SocksFailure::NoMethod),
        (
            format!("socks5h://me:wrong@{address}"),
            SocksFailure::CredentialsRejected,
        ),
    ];
    for (url, failure) in rows {
        assert_eq!(
            by_socks(&url).await.proxy(),
            Some(ProxyFault::Socks(failure))
        );
    }
    assert!(heard.all().is_empty(), "nothing was asked for");
}

async fn by_socks(url: &str) -> Error {
    let proxy = Proxy::parse(url).expect("it is valid");
    let client = Client::builder().proxy(proxy).build();
    let refused = client.get("https://one.test/").send().await;
    refused.expect_err("there is no tunnel")
}

#[tokio::test]
async fn a_socks_proxy_that_lies_is_found_out_at_each_byte() {
    let right = [5, 0, 5, 0, 0, 3, 1, b'x', 0, 9];
    for end in 0..right.len() {
        assert_eq!(
            lied(right[..end].to_vec()).await,
            ProxyLie::Truncated,
            "{end}"
        );
    }
    for (at, wrong) in [(0, 4), (1, 2), (2, 4), (5, 9)] {
        let mut said = right.to_vec();
        said[at] = wrong;
        assert_eq!(lied(said).await, ProxyLie::Garbled, "{at}");
    }
    let address = socks_that_says([&right[..], b"\x16\x03\x03"].concat()).await;
    let error = by_socks(&format!("socks5h://{address}")).await;
    assert_eq!(error.proxy(), Some(ProxyFault::Lied(ProxyLie::EarlyBytes)));
}

async fn socks_that_says(said: Vec<u8>) -> SocketAddr {
    raw(move |_, mut stream| {
        let said = said.clone();
        async move {
            let _ = stream.write_all(&said).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await
}

async fn lied(said: Vec<u8>) -> ProxyLie {
    let address = socks_that_says(said).await;
    match by_socks(&format!("socks5h://{address}")).await.proxy() {
        Some(ProxyFault::Socks(SocksFailure::Lied(lie))) => lie,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn http3_is_left_out_or_refused() {
    let server = server(Speaks::Tls(H2)).await;
    let (address, heard) = proxy(|_, _| String::new()).await;
    let client = through(address).security(server.security()).build();
    let request = |policy| client.get(server.url("/")).version(Version::Http3, policy);
    let response = request(VersionPolicy::OrLower).send().await.unwrap();
    assert_eq!(response.version(), Version::Http2);
    let error = request(VersionPolicy::Exact).send().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Version);
    assert_eq!(heard.all().len(), 1, "nothing was asked of the proxy");
}

#[tokio::test]
async fn a_connection_through_a_proxy_is_for_requests_through_it() {
    let server = server(Speaks::Tls(H2)).await;
    let (one, heard_by_one) = proxy(|_, _| String::new()).await;
    let (two, heard_by_two) = proxy(|_, _| String::new()).await;
    let client = through(one).security(server.security()).build();
    for _ in 0..2 {
        let requests = [
            client.get(server.url("/")),
            client.get(server.url("/")).proxy(at(two)),
            client.get(server.url("/")).proxy(Proxies::none()),
        ];
        for (request, expected) in requests.into_iter().zip([Some(one), Some(two), None]) {
            let response = request.send().await.unwrap();
            let expected = expected.map(|address| format!("http://{address}"));
            assert_eq!(response.connection().proxy, expected);
        }
    }
    assert_eq!([heard_by_one.all().len(), heard_by_two.all().len()], [1, 1]);
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn cleartext_http2_goes_through_a_tunnel() {
    let server = server(Speaks::Http2).await;
    let (address, heard) = proxy(|_, _| String::new()).await;
    let client = through(address)
        .security(SecurityParameters::disabled())
        .build();
    let request = client.get(server.url("/")).versions(Version::Http2);
    assert_eq!(request.send().await.unwrap().version(), Version::Http2);
    assert!(heard.all()[0].starts_with("CONNECT "));
}

#[tokio::test]
async fn bypassed_targets_are_reached_directly() {
    let server = server(Speaks::Http1).await;
    let (address, heard) = proxy(|_, _| String::new()).await;
    let proxies = Proxies::all(at(address)).bypass("localhost,127.0.0.0/8");
    let client = Client::builder().proxy(proxies).build();
    let response = client.get(server.url("/")).send().await.unwrap();
    assert_eq!(response.connection().proxy, None);
    assert!(heard.all().is_empty());
}
