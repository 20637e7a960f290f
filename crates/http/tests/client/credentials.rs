//! Credentials of requests: to whom they are shown, and how challenges are answered.

use super::relay::{Heard, proxy};
use super::server::{Server, Speaks, answer, raw};
use http::StatusCode;
use portway_http::Client;
use portway_http::client::{
    Body, CredentialScope, Credentials, ErrorClass, Proxy, ProxyFault, Response,
};
use portway_http::pool::Version;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A server in cleartext that answers as `say` does.
async fn says<F>(say: F) -> (SocketAddr, Heard)
where
    F: Fn(usize, &str) -> String + Send + Sync + Clone + 'static,
{
    proxy(say).await
}

fn ok() -> String {
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned()
}

fn unauthorized(challenges: &str) -> String {
    format!("HTTP/1.1 401 no\r\nwww-authenticate: {challenges}\r\ncontent-length: 2\r\n\r\nno")
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let start = format!("{name}: ");
    head.lines().find_map(|line| line.strip_prefix(&*start))
}

/// A parameter of an answer to a Digest challenge.
fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let mut parts = value.strip_prefix("Digest ")?.split(", ");
    let start = format!("{name}=");
    parts.find_map(|part| Some(part.strip_prefix(&*start)?.trim_matches('"')))
}

fn scope(address: SocketAddr) -> CredentialScope {
    CredentialScope::origin(&format!("http://{address}/any")).expect("it is valid")
}

fn with(address: SocketAddr, credentials: Credentials) -> Client {
    Client::builder()
        .credentials(scope(address), credentials)
        .build()
}

async fn get(client: &Client, address: SocketAddr, path: &str) -> Response {
    let response = client.get(format!("http://{address}{path}")).send().await;
    response.expect("it is answered")
}

#[tokio::test]
async fn basic_and_bearer_are_shown_at_once_and_to_their_origin_only() {
    let (address, heard) = says(|_, _| ok()).await;
    let (other, heard_by_other) = says(|_, _| ok()).await;
    let rows = [
        (Credentials::basic("a", "b"), Some("Basic YTpi")),
        (Credentials::bearer("t"), Some("Bearer t")),
        (Credentials::digest("a", "b"), None),
        (Credentials::password("a", "b"), None),
    ];
    for (number, (credentials, shown)) in rows.into_iter().enumerate() {
        let client = with(address, credentials.clone());
        get(&client, address, "/").await;
        get(&client, other, "/").await;
        assert_eq!(field(&heard.all()[2 * number], "authorization"), shown);
        let own = Client::builder().build();
        let own = own
            .get(format!("http://{address}/"))
            .credentials(credentials);
        own.send().await.unwrap();
        assert_eq!(field(&heard.all()[2 * number + 1], "authorization"), shown);
    }
    for head in heard_by_other.all() {
        assert_eq!(field(&head, "authorization"), None);
    }
}

#[tokio::test]
async fn a_url_shows_its_user_by_basic_and_a_set_field_goes_before() {
    let (address, heard) = says(|_, _| ok()).await;
    let client = with(address, Credentials::bearer("t"));
    let url = format!("http://a:b@{address}/");
    let response = client.get(&url).send().await.unwrap();
    assert_eq!(response.url(), format!("http://{address}/"));
    let by_hand = client.get(&url).header("authorization", "Own x");
    by_hand.send().await.unwrap();
    let shown: Vec<_> = heard
        .all()
        .iter()
        .map(|head| field(head, "authorization").unwrap().to_owned())
        .collect();
    assert_eq!(shown, ["Basic YTpi", "Own x"]);
}

#[tokio::test]
async fn a_redirect_to_another_origin_shows_nothing_there() {
    let (other, heard_by_other) = says(|_, head| match head.starts_with("GET /back") {
        true => ok(),
        false => unauthorized("Basic realm=x, Digest realm=x, nonce=n"),
    })
    .await;
    let (address, heard) = says(move |_, head| match head.starts_with("GET /away") {
        true => {
            format!("HTTP/1.1 307 away\r\nlocation: http://{other}/\r\ncontent-length: 0\r\n\r\n")
        }
        false => ok(),
    })
    .await;
    for credentials in [
        Credentials::basic("a", "b"),
        Credentials::password("a", "b"),
        Credentials::bearer("t"),
    ] {
        let client = Client::builder().build();
        let request = client
            .get(format!("http://{address}/away"))
            .credentials(credentials);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(heard.all().len(), 3);
    assert_eq!(heard_by_other.all().len(), 3, "no challenge was answered");
    for head in heard_by_other.all() {
        assert_eq!(field(&head, "authorization"), None);
    }
}

#[tokio::test]
async fn the_strongest_of_several_challenges_is_answered() {
    let challenges = "Basic realm=\"x\", Digest realm=\"x\", nonce=\"m\", qop=\"auth\", \
                      Digest realm=\"x\", nonce=\"s\", qop=\"auth\", algorithm=SHA-256, Negotiate";
    let (address, heard) = says(move |_, head| match field(head, "authorization") {
        None => unauthorized(challenges),
        Some(_) => ok(),
    })
    .await;
    let client = with(address, Credentials::password("a", "b"));
    assert_eq!(get(&client, address, "/p?q").await.status(), 200);
    let head = &heard.all()[1];
    let shown = field(head, "authorization").unwrap();
    assert_eq!(parameter(shown, "nonce"), Some("s"));
    assert_eq!(parameter(shown, "uri"), Some("/p?q"));
    assert_eq!(client.counts().idle, 1, "one connection did");
}

#[tokio::test]
async fn a_nonce_is_counted_renewed_and_exchanged_when_it_is_stale() {
    let (address, heard) = says(|number, _| {
        let challenge = |nonce: &str| format!("Digest realm=r, nonce={nonce}, qop=\"auth\"");
        match number {
            0 => unauthorized(&challenge("n1")),
            // The second request, after the first was answered.
            2 => unauthorized(&format!("{}, stale=TRUE", challenge("n2"))),
            4 => ok().replace(
                "\r\n\r\n",
                "\r\nauthentication-info: nextnonce=\"n3\"\r\n\r\n",
            ),
            _ => ok(),
        }
    })
    .await;
    let client = with(address, Credentials::digest("a", "b"));
    for _ in 0..4 {
        assert_eq!(get(&client, address, "/").await.status(), 200);
    }
    let counted: Vec<_> = heard
        .all()
        .iter()
        .filter_map(|head| {
            let shown = field(head, "authorization")?;
            let pair = (parameter(shown, "nonce")?, parameter(shown, "nc")?);
            Some(format!("{} {}", pair.0, pair.1))
        })
        .collect();
    let expected = [
        "n1 00000001",
        "n1 00000002",
        "n2 00000001",
        "n2 00000002",
        "n3 00000001",
    ];
    assert_eq!(counted, expected);
}

#[tokio::test]
async fn what_was_rejected_is_not_shown_again() {
    let rows = [
        ("Basic realm=x", Credentials::basic("a", "b"), 1),
        ("Basic realm=x", Credentials::password("a", "b"), 2),
        ("Digest realm=x, nonce=n", Credentials::digest("a", "b"), 2),
        (
            "Digest realm=x, nonce=n, stale=true",
            Credentials::digest("a", "b"),
            5,
        ),
        ("Bearer", Credentials::bearer("t"), 1),
        ("Basic realm=x", Credentials::digest("a", "b"), 1),
        (
            "Digest realm=x, nonce=n, algorithm=SHA-1",
            Credentials::password("a", "b"),
            1,
        ),
        ("", Credentials::password("a", "b"), 1),
    ];
    for (challenge, credentials, requests) in rows {
        let (address, heard) = says(move |_, _| unauthorized(challenge)).await;
        let client = with(address, credentials);
        let response = get(&client, address, "/").await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.text().await.unwrap(), "no");
        assert_eq!(heard.all().len(), requests, "{challenge}");
    }
}

#[tokio::test]
async fn a_realm_gets_its_own_credentials_and_others_none() {
    let say = |_, head: &str| match (field(head, "authorization"), head.starts_with("GET /a/")) {
        (Some("Basic YTpi"), true) => ok(),
        (_, true) => unauthorized("Basic realm=\"A\""),
        _ => unauthorized("Basic realm=\"B\""),
    };
    let (address, heard) = says(say).await;
    let scope = scope(address).realm("A");
    let client = Client::builder()
        .credentials(scope, Credentials::basic("a", "b"))
        .build();
    let rows = [
        ("/b/", 401, 1),
        ("/a/1", 200, 2),
        ("/a/2", 200, 1),
        ("/b/", 401, 1),
    ];
    let mut before = 0;
    for (path, status, requests) in rows {
        assert_eq!(get(&client, address, path).await.status(), status, "{path}");
        assert_eq!(heard.all().len() - before, requests, "{path}");
        before = heard.all().len();
    }
    let last = heard.all().pop().unwrap();
    assert_eq!(field(&last, "authorization"), None, "it is another space");
}

#[tokio::test]
async fn content_that_can_be_read_once_is_not_sent_for_a_challenge() {
    let server = Server::start(Speaks::Http1, 1, |request| async move {
        use http_body_util::BodyExt;
        let is_authorized = request.headers().contains_key("authorization");
        let content = request
            .into_body()
            .collect()
            .await
            .expect("content")
            .to_bytes();
        let mut answered = answer(if is_authorized { 200 } else { 401 }, content);
        let challenge = "Digest realm=r, nonce=n, qop=\"auth-int\"".parse().unwrap();
        answered.headers_mut().insert("www-authenticate", challenge);
        answered
    })
    .await;
    let client = Client::builder().build();
    let request = || {
        client
            .post(server.url("/"))
            .credentials(Credentials::digest("a", "b"))
    };
    let response = request().body("again and again").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "again and again");
    let error = request().body(once()).send().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidRequest);
    let stranger = Client::builder().build().post(server.url("/"));
    let stranger = stranger.credentials(Credentials::digest("a", "b"));
    let response = stranger.body(once()).send().await.unwrap();
    assert_eq!(response.status(), 401, "this server reads before it asks");
}

/// What can be read once.
fn once() -> Body {
    let once = http_body_util::Full::new(bytes::Bytes::from_static(b"once"));
    Body::stream(once)
}

#[tokio::test]
async fn content_that_can_be_read_once_waits_for_the_challenge() {
    for speaks in [Speaks::Http1, Speaks::Tls(&[b"h2"])] {
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = seen.clone();
        let server = Server::start(speaks, 100, move |request| {
            let counted = counted.clone();
            async move {
                use http_body_util::BodyExt;
                counted.fetch_add(1, Ordering::SeqCst);
                if !request.headers().contains_key("authorization") {
                    let mut asked = answer(401, "no");
                    let challenge = "Digest realm=r, nonce=n, qop=auth".parse().unwrap();
                    asked.headers_mut().insert("www-authenticate", challenge);
                    return asked;
                }
                let content = request.into_body().collect().await.expect("content");
                answer(200, content.to_bytes())
            }
        })
        .await;
        let client = Client::builder().security(server.security()).build();
        let request = client
            .post(server.url("/"))
            .credentials(Credentials::digest("a", "b"));
        let response = request.body(once()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.text().await.unwrap(), "once");
        assert_eq!(seen.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn content_that_is_not_wanted_ends_its_stream_of_http2() {
    let address = raw(|_, stream| async move {
        let mut builder = h2::server::Builder::new();
        let handshake = builder.max_concurrent_streams(1).handshake(stream);
        let mut connection: h2::server::Connection<_, bytes::Bytes> =
            handshake.await.expect("HTTP/2");
        // Bodies that are kept are not reset by this side.
        let mut kept: Vec<h2::RecvStream> = Vec::new();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let mut head = http::Response::builder();
            if !request.headers().contains_key("authorization") {
                let challenge = "Digest realm=r, nonce=n, qop=auth";
                head = head.status(401).header("www-authenticate", challenge);
            }
            let head = head.body(()).expect("it is valid");
            let _ = respond.send_response(head, true);
            kept.push(request.into_body());
        }
    })
    .await;
    let client = Client::builder().build();
    let request = client
        .post(format!("http://{address}/"))
        .versions(Version::Http2)
        .credentials(Credentials::digest("a", "b"));
    let response = request.body(once()).send().await.unwrap();
    assert_eq!(response.status(), 200, "the first stream made room");
}

#[tokio::test]
async fn content_that_waits_for_a_100_is_proven_by_its_digest() {
    let server = Server::start(Speaks::Http1, 1, |request| async move {
        use http_body_util::BodyExt;
        let is_authorized = request.headers().contains_key("authorization");
        let content = request.into_body().collect().await.expect("content");
        let mut answered = answer(if is_authorized { 200 } else { 401 }, content.to_bytes());
        let challenge = "Digest realm=r, nonce=n, qop=\"auth-int\"".parse().unwrap();
        answered.headers_mut().insert("www-authenticate", challenge);
        answered
    })
    .await;
    let client = Client::builder().build();
    let request = client
        .post(server.url("/"))
        .header("expect", "100-continue")
        .credentials(Credentials::digest("a", "b"));
    let response = request.body("again and again").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "again and again");
}

#[tokio::test]
async fn a_server_that_refuses_to_be_waited_for_gets_the_content_at_once() {
    let server = Server::start(Speaks::Http1, 1, |request| async move {
        use http_body_util::BodyExt;
        if request.headers().contains_key("expect") {
            return answer(417, "no");
        }
        let content = request.into_body().collect().await.expect("content");
        answer(200, content.to_bytes())
    })
    .await;
    let client = Client::builder().build();
    let request = client
        .post(server.url("/"))
        .credentials(Credentials::digest("a", "b"));
    let response = request.body(once()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "once");
}

#[tokio::test]
async fn content_waits_once_where_nobody_asks_until_somebody_does() {
    let waited = Arc::new(Mutex::new(Vec::new()));
    let told = waited.clone();
    let server = Server::start(Speaks::Http1, 1, move |request| {
        let told = told.clone();
        async move {
            use http_body_util::BodyExt;
            let number = {
                let mut told = told.lock().expect("nobody panics with it");
                told.push(request.headers().contains_key("expect"));
                told.len()
            };
            request.into_body().collect().await.expect("content");
            let mut answered = answer(if number == 3 { 401 } else { 200 }, "");
            let challenge = "Digest realm=r, nonce=n, qop=auth".parse().unwrap();
            answered.headers_mut().insert("www-authenticate", challenge);
            answered
        }
    })
    .await;
    let client = with(server.address, Credentials::digest("a", "b"));
    for status in [200, 200, 401, 200] {
        let request = client.post(server.url("/in/1")).body(once());
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    let waited = waited.lock().unwrap().clone();
    assert_eq!(waited, [true, false, false, true]);
}

#[tokio::test]
async fn an_expectation_of_the_application_is_its_own_to_give_up() {
    let refused = "HTTP/1.1 417 no\r\ncontent-length: 2\r\n\r\nno";
    let (address, heard) = says(move |_, _| refused.to_owned()).await;
    let client = Client::builder().build();
    let request = client
        .post(format!("http://{address}/"))
        .header("expect", "100-continue")
        .credentials(Credentials::digest("a", "b"));
    let response = request.body(once()).send().await.unwrap();
    assert_eq!(response.status(), 417);
    assert_eq!(heard.all().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_asks_for_a_digest_of_what_can_be_read_once_is_told_apart() {
    let challenge = "proxy-authenticate: Digest realm=p, nonce=n, qop=\"auth-int\"";
    let asked = format!("HTTP/1.1 407 who\r\n{challenge}\r\ncontent-length: 0\r\n\r\n");
    let (address, heard) = proxy(move |_, _| asked.clone()).await;
    let proxy = Proxy::parse(&format!("http://{address}")).unwrap();
    let proxy = proxy.credentials(Credentials::digest("a", "b"));
    let client = Client::builder().proxy(proxy).build();
    let request = client.post("http://one.test/x").body(once());
    let error = request.send().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidRequest);
    assert!(error.to_string().contains("the proxy asks"), "{error}");
    assert_eq!(heard.all().len(), 1);
}

#[tokio::test]
async fn a_digest_of_content_that_can_be_read_once_is_an_error_that_says_so() {
    let server = Server::start(Speaks::Http1, 1, |_| async {
        let mut asked = answer(401, "no");
        let challenge = "Digest realm=r, nonce=n, qop=\"auth-int\"".parse().unwrap();
        asked.headers_mut().insert("www-authenticate", challenge);
        asked
    })
    .await;
    let client = Client::builder().build();
    let request = client
        .post(server.url("/"))
        .credentials(Credentials::digest("a", "b"));
    let error = request.body(once()).send().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidRequest);
    assert!(error.to_string().contains("auth-int"), "{error}");
}

#[tokio::test]
async fn credentials_that_cannot_be_written_send_nothing() {
    let (address, heard) = says(|_, _| ok()).await;
    let client = Client::builder().build();
    let request = client
        .get(format!("http://{address}/"))
        .basic_auth("a:b", "c");
    let error = request.send().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidRequest);
    assert!(heard.all().is_empty());
}

#[tokio::test]
async fn a_proxy_is_answered_for_tunnels_and_for_what_it_forwards() {
    let server = Server::start(Speaks::Tls(&[b"h2"]), 100, |_| async { answer(200, "in") }).await;
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let (address, heard) = proxy(move |_, head| {
        let shown = field(head, "proxy-authorization");
        let nonce = shown.and_then(|shown| parameter(shown, "nonce"));
        if nonce != Some("n2") {
            let round = counted.fetch_add(1, Ordering::SeqCst);
            let stale = if round > 0 { ", stale=true" } else { "" };
            // The second answer ends its connection: the third request needs another one.
            let end = if round == 1 {
                "connection: close\r\n"
            } else {
                ""
            };
            return format!(
                "HTTP/1.1 407 who\r\nproxy-authenticate: Digest realm=p, nonce=n{}, \
                 qop=\"auth\", algorithm=SHA-256{stale}\r\n{end}content-length: 3\r\n\r\nwho",
                round + 1
            );
        }
        match head.starts_with("CONNECT") {
            true => String::new(),
            false => ok(),
        }
    })
    .await;
    let proxy = Proxy::parse(&format!("http://{address}")).unwrap();
    let proxy = proxy.credentials(Credentials::digest("a", "b"));
    let client = Client::builder()
        .security(server.security())
        .proxy(proxy)
        .build();
    let response = client.get(server.url("/")).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "in");
    let response = client.get("http://one.test/x").send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "ok");
    let asked: Vec<_> = heard
        .all()
        .iter()
        .filter_map(|head| {
            let shown = field(head, "proxy-authorization")?;
            let [uri, nonce, count] = ["uri", "nonce", "nc"].map(|name| parameter(shown, name));
            Some(format!("{} {} {}", uri?, nonce?, count?))
        })
        .collect();
    let target = server.address;
    let expected = [
        format!("{target} n1 00000001"),
        format!("{target} n2 00000001"),
        "http://one.test/x n2 00000002".to_owned(),
    ];
    assert_eq!(asked, expected);
    assert_eq!(tries.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_server_that_plays_the_proxy_is_not_answered() {
    let say = |_, _: &str| {
        "HTTP/1.1 407 who\r\nproxy-authenticate: Basic realm=x\r\ncontent-length: 0\r\n\r\n"
            .to_owned()
    };
    let (address, heard) = says(say).await;
    let client = with(address, Credentials::password("a", "b"));
    let response = get(&client, address, "/").await;
    assert_eq!(response.status(), 407);
    assert_eq!(heard.all().len(), 1);
    let proxy = Proxy::parse(&format!("http://a:wrong@{address}")).unwrap();
    let client = Client::builder().proxy(proxy).build();
    let error = client.get("https://one.test/").send().await.unwrap_err();
    assert_eq!(error.proxy(), Some(ProxyFault::NeedsCredentials));
    assert_eq!(heard.all().len(), 2, "Basic was rejected once and for all");
}
