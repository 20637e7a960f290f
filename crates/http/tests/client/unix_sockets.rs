//! Servers behind sockets of the file system: a relay from such a socket to hyper's servers.

use super::connectors::{hyper_client, text};
use super::server::{Server, Speaks, answer};
use http::header::LOCATION;
use portway_http::Client;
use portway_http::client::{Connector, ErrorClass, VersionPolicy};
use portway_http::pool::Version;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net;
use std::path::{Path, PathBuf};
use tokio::net::{TcpStream, UnixListener};

const H2: &[&[u8]] = &[b"h2", b"http/1.1"];

/// A socket that leads to the server, until the test's runtime ends.
struct Behind(PathBuf);

impl Behind {
    fn new(name: &str, server: &Server) -> Behind {
        let process = std::process::id();
        let path = std::env::temp_dir().join(format!("portway-{process}-{name}"));
        let _ = std::fs::remove_file(&path);
        relay(UnixListener::bind(&path).expect("a socket"), server);
        Behind(path)
    }
}

impl AsRef<Path> for Behind {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn relay(listener: UnixListener, server: &Server) {
    let to = server.address;
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut there = TcpStream::connect(to).await.expect("the server listens");
                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
}

/// Those that are open, in use or not.
fn connections(client: &Client) -> usize {
    let counts = client.counts();
    counts.active + counts.idle
}

async fn saying(text: &'static str, speaks: Speaks) -> Server {
    Server::start(speaks, 1, move |request: http::Request<_>| async move {
        let host = request.headers().get("host");
        let host = host.map(|host| host.to_str().expect("it is text").to_owned());
        let host = host.or(request.uri().authority().map(ToString::to_string));
        answer(200, format!("{text} for {}", host.unwrap_or_default()))
    })
    .await
}

#[tokio::test]
async fn a_request_goes_through_its_socket_whatever_its_host() {
    let server = saying("hello", Speaks::Http1).await;
    let socket = Behind::new("any-host", &server);
    let client = Client::builder().unix_socket(&socket).build();
    for _ in 0..2 {
        let response = client.get("http://nowhere.invalid:8080/x").send().await;
        let response = response.unwrap();
        assert_eq!(response.version(), Version::Http1);
        assert_eq!(
            response.connection().unix_socket.as_deref(),
            Some(socket.as_ref())
        );
        let text = response.text().await.unwrap();
        assert_eq!(text, "hello for nowhere.invalid:8080");
    }
    assert_eq!(connections(&client), 1, "the second reuses the first");
}

#[tokio::test]
async fn the_client_of_hyper_goes_through_a_socket_too() {
    let server = saying("hello", Speaks::Http1).await;
    let socket = Behind::new("connector", &server);
    let client = hyper_client(Connector::new().unix_socket(&socket));
    let said = text(&client, "http://nowhere.invalid/x").await;
    assert_eq!(said, "hello for nowhere.invalid");
}

#[tokio::test]
async fn http2_is_spoken_through_a_socket_without_tls_when_it_is_asked_for() {
    let server = saying("two", Speaks::Http2).await;
    let socket = Behind::new("http2", &server);
    let client = Client::builder().unix_socket(&socket).build();
    let request = client.get("http://nowhere.invalid/");
    let request = request.version(Version::Http2, VersionPolicy::Exact);
    let response = request.send().await.unwrap();
    assert_eq!(response.version(), Version::Http2);
    assert_eq!(response.text().await.unwrap(), "two for nowhere.invalid");
}

#[tokio::test]
async fn a_server_behind_a_socket_proves_who_it_is() {
    let server = saying("safe", Speaks::Tls(H2)).await;
    let socket = Behind::new("tls", &server);
    let client = Client::builder().unix_socket(&socket);
    let client = client.security(server.security()).build();
    let response = client.get("https://one.test/").send().await.unwrap();
    assert_eq!(response.version(), Version::Http2, "by ALPN");
    assert!(response.connection().protection.is_some());
    assert_eq!(response.text().await.unwrap(), "safe for one.test");
    let error = client.get("https://other.test/").send().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Certificate, "{error}");
    // Nor is the connection for one name, whose certificate has both, used for another.
    let response = client.get("https://two.test/").send().await.unwrap();
    assert!(!response.is_connection_reused());
}

#[tokio::test]
async fn a_socket_shares_no_connection_with_the_network_nor_with_another_socket() {
    let one = saying("one", Speaks::Http1).await;
    let two = saying("two", Speaks::Http1).await;
    let (first, second) = (Behind::new("first", &one), Behind::new("second", &two));
    let client = Client::builder().build();
    let direct = saying("direct", Speaks::Http1).await;
    let url = direct.url("/");
    for _ in 0..2 {
        let text = async |request: portway_http::client::RequestBuilder| {
            request.send().await.unwrap().text().await.unwrap()
        };
        let host = direct.address;
        assert_eq!(text(client.get(&url)).await, format!("direct for {host}"));
        let through = client.get(&url).unix_socket(&first);
        assert_eq!(text(through).await, format!("one for {host}"));
        let through = client.get(&url).unix_socket(&second);
        assert_eq!(text(through).await, format!("two for {host}"));
    }
    assert_eq!(connections(&client), 3);
}

#[tokio::test]
async fn redirects_stay_within_the_socket() {
    let server = Server::start(Speaks::Http1, 1, async |request: http::Request<_>| {
        if request.uri().path() == "/there" {
            return answer(200, "there");
        }
        let mut response = answer(302, "");
        let location = "http://elsewhere.invalid/there"
            .parse()
            .expect("it is valid");
        response.headers_mut().insert(LOCATION, location);
        response
    })
    .await;
    let socket = Behind::new("redirects", &server);
    let client = Client::builder().build();
    let request = client.get("http://here.invalid/").unix_socket(&socket);
    let response = request.send().await.unwrap();
    assert_eq!(response.url(), "http://elsewhere.invalid/there");
    assert_eq!(response.text().await.unwrap(), "there");
}

#[tokio::test]
async fn a_proxy_is_passed_over_where_a_socket_is_named() {
    let server = saying("direct", Speaks::Http1).await;
    let socket = Behind::new("proxied", &server);
    let proxy = portway_http::client::Proxy::parse("http://127.0.0.1:1").unwrap();
    let client = Client::builder().proxy(proxy).unix_socket(&socket).build();
    let response = client.get("http://a.invalid/").send().await.unwrap();
    assert_eq!(response.connection().proxy, None);
    assert_eq!(response.text().await.unwrap(), "direct for a.invalid");
}

#[tokio::test]
async fn what_a_socket_cannot_do_is_said() {
    let nowhere = std::env::temp_dir().join("portway-no-such-socket");
    let client = Client::builder().unix_socket(&nowhere).build();
    let error = client.get("http://a.invalid/").send().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Connect);
    assert!(
        error.to_string().contains("portway-no-such-socket"),
        "{error}"
    );
    let request = client.get("https://a.invalid/");
    let request = request.version(Version::Http3, VersionPolicy::Exact);
    let error = request.send().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Version);
    assert!(error.to_string().contains("needs UDP"), "{error}");
}

#[tokio::test]
async fn abstract_names_begin_with_a_zero_byte() {
    let server = saying("abstract", Speaks::Http1).await;
    let name = format!("portway-test-{}", std::process::id());
    let address = net::SocketAddr::from_abstract_name(&name).unwrap();
    let listener = net::UnixListener::bind_addr(&address).unwrap();
    listener.set_nonblocking(true).unwrap();
    relay(UnixListener::from_std(listener).unwrap(), &server);
    let client = Client::builder().unix_socket(format!("\0{name}")).build();
    let response = client.get("http://a.invalid/").send().await.unwrap();
    let shown = response.connection().to_string();
    assert!(shown.contains(&format!("the socket @{name}")), "{shown}");
    assert_eq!(response.text().await.unwrap(), "abstract for a.invalid");
}
