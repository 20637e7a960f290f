//! Nine cells: a version and a policy, against servers that speak this or that.

use super::http3_server::{Http3Server, say};
use super::server::{Made, Server, Speaks, answer};
use super::until;
use http::HeaderValue;
use portway_http::Client;
use portway_http::client::{Error, ErrorClass, Reason, VersionPolicy};
use portway_http::pool::Version::{self, Http1, Http2, Http3};
use portway_http::pool::Versions;
use std::net::SocketAddr;

/// A server that speaks these versions on one port, and tells of HTTP/3 as it should.
struct Origin {
    address: SocketAddr,
    made: Made,
    tcp: Server,
    _quic: Option<Http3Server>,
}

const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];

async fn origin(speaks: &[Version]) -> Origin {
    let made = Made::new();
    let protocols: &'static [&'static [u8]] =
        match (speaks.contains(&Http1), speaks.contains(&Http2)) {
            (true, true) => BOTH,
            (true, false) => &BOTH[1..],
            (false, true) => &BOTH[..1],
            // Nobody who knows HTTP agrees on that.
            (false, false) => &[b"none"],
        };
    let has_http3 = speaks.contains(&Http3);
    let tcp = Server::start_with(
        &made,
        Speaks::Tls(protocols),
        100,
        move |request| async move {
            let mut answer = answer(200, "over TCP");
            if has_http3 {
                let port = request.uri().port_u16();
                let host = request.headers().get("host");
                let host_port = || host?.to_str().ok()?.rsplit_once(':')?.1.parse().ok();
                let port: u16 = port.or_else(host_port).expect("it is not the usual one");
                let value = HeaderValue::try_from(format!("h3=\":{port}\"; ma=60"));
                answer
                    .headers_mut()
                    .insert("alt-svc", value.expect("a value"));
            }
            answer
        },
    )
    .await;
    let answer = |incoming| async move { say(incoming, "over QUIC") };
    let quic = has_http3.then(|| Http3Server::start(&made, tcp.address, answer));
    Origin {
        address: tcp.address,
        made,
        tcp,
        _quic: quic,
    }
}

impl Origin {
    fn client(&self) -> Client {
        Client::builder().security(self.made.security()).build()
    }

    fn url(&self) -> String {
        format!("https://{}/", self.address)
    }
}

async fn ask(
    client: &Client,
    origin: &Origin,
    version: Version,
    policy: VersionPolicy,
) -> Result<Version, Error> {
    let request = client.get(origin.url()).version(version, policy);
    let response = request.send().await?;
    let version = response.version();
    response.bytes().await?;
    Ok(version)
}

/// What a first request gets, and what one gets after HTTP/3 was offered and is there.
async fn cell(version: Version, policy: VersionPolicy, rows: &[(&[Version], Option<Version>)]) {
    for (speaks, expected) in rows {
        let origin = origin(speaks).await;
        let got = ask(&origin.client(), &origin, version, policy).await;
        match (&got, expected) {
            (Ok(got), Some(expected)) => assert_eq!(got, expected, "{speaks:?}"),
            (Err(error), None) => assert!(
                matches!(
                    error.class(),
                    ErrorClass::Version | ErrorClass::Tls | ErrorClass::Connect
                ),
                "{speaks:?}: {error:?}"
            ),
            _ => panic!("{version} {policy:?} of {speaks:?}: {got:?} instead of {expected:?}"),
        }
    }
}

/// The version that requests come to once the server has offered HTTP/3.
async fn upgraded(version: Version, policy: VersionPolicy, speaks: &[Version]) -> Version {
    let origin = origin(speaks).await;
    let client = origin.client();
    ask(&client, &origin, version, policy)
        .await
        .expect("it works");
    until(|| client.counts().dials == 0).await;
    ask(&client, &origin, version, policy)
        .await
        .expect("it works")
}

#[tokio::test]
async fn http1_exact_is_http1() {
    let rows: [(&[_], _); 3] = [
        (&[Http1, Http2, Http3], Some(Http1)),
        (&[Http1], Some(Http1)),
        (&[Http2, Http3], None),
    ];
    cell(Http1, VersionPolicy::Exact, &rows).await;
    let upgraded = upgraded(Http1, VersionPolicy::Exact, &[Http1, Http2, Http3]).await;
    assert_eq!(upgraded, Http1);
}

#[tokio::test]
async fn http1_or_lower_is_http1() {
    let rows: [(&[_], _); 2] = [(&[Http1, Http2, Http3], Some(Http1)), (&[Http2], None)];
    cell(Http1, VersionPolicy::OrLower, &rows).await;
    let upgraded = upgraded(Http1, VersionPolicy::OrLower, &[Http1, Http2, Http3]).await;
    assert_eq!(upgraded, Http1);
}

#[tokio::test]
async fn http1_or_higher_is_the_best_that_is_offered() {
    let rows: [(&[_], _); 3] = [
        (&[Http1, Http2, Http3], Some(Http2)),
        (&[Http1], Some(Http1)),
        (&[Http2], Some(Http2)),
    ];
    cell(Http1, VersionPolicy::OrHigher, &rows).await;
    let policy = VersionPolicy::OrHigher;
    assert_eq!(upgraded(Http1, policy, &[Http1, Http2, Http3]).await, Http3);
    assert_eq!(upgraded(Http1, policy, &[Http1, Http3]).await, Http3);
    assert_eq!(upgraded(Http1, policy, &[Http1, Http2]).await, Http2);
}

#[tokio::test]
async fn http2_exact_is_http2() {
    let rows: [(&[_], _); 2] = [
        (&[Http1, Http2, Http3], Some(Http2)),
        (&[Http1, Http3], None),
    ];
    cell(Http2, VersionPolicy::Exact, &rows).await;
    let upgraded = upgraded(Http2, VersionPolicy::Exact, &[Http1, Http2, Http3]).await;
    assert_eq!(upgraded, Http2);
}

#[tokio::test]
async fn http2_or_lower_falls_back_to_http1() {
    let rows: [(&[_], _); 3] = [
        (&[Http1, Http2, Http3], Some(Http2)),
        (&[Http1, Http3], Some(Http1)),
        (&[Http3], None),
    ];
    cell(Http2, VersionPolicy::OrLower, &rows).await;
    let upgraded = upgraded(Http2, VersionPolicy::OrLower, &[Http1, Http2, Http3]).await;
    assert_eq!(upgraded, Http2);
}

#[tokio::test]
async fn http2_or_higher_is_upgraded_and_never_lower() {
    let rows: [(&[_], _); 2] = [(&[Http1, Http2, Http3], Some(Http2)), (&[Http1], None)];
    cell(Http2, VersionPolicy::OrHigher, &rows).await;
    let upgraded = upgraded(Http2, VersionPolicy::OrHigher, &[Http1, Http2, Http3]).await;
    assert_eq!(upgraded, Http3);
}

#[tokio::test]
async fn http3_exact_is_tried_without_being_offered() {
    let rows: [(&[_], _); 2] = [
        (&[Http1, Http2, Http3], Some(Http3)),
        (&[Http1, Http2], None),
    ];
    cell(Http3, VersionPolicy::Exact, &rows).await;
}

#[tokio::test]
async fn http3_or_lower_falls_back_to_what_there_is() {
    let rows: [(&[_], _); 4] = [
        (&[Http1, Http2, Http3], Some(Http3)),
        (&[Http3], Some(Http3)),
        (&[Http1, Http2], Some(Http2)),
        (&[Http1], Some(Http1)),
    ];
    cell(Http3, VersionPolicy::OrLower, &rows).await;
}

#[tokio::test]
async fn http3_or_higher_is_http3() {
    let rows: [(&[_], _); 2] = [
        (&[Http1, Http2, Http3], Some(Http3)),
        (&[Http1, Http2], None),
    ];
    cell(Http3, VersionPolicy::OrHigher, &rows).await;
}

#[tokio::test]
async fn a_client_has_a_version_that_its_requests_may_change() {
    let origin = origin(&[Http1, Http2, Http3]).await;
    let builder = Client::builder().security(origin.made.security());
    let client = builder.version(Http3, VersionPolicy::Exact).build();
    let response = client.get(origin.url()).send().await.unwrap();
    assert_eq!(response.version(), Http3);
    assert_eq!(response.connection().reason, Reason::AskedFor);
    let lower = client
        .get(origin.url())
        .versions(Http1)
        .send()
        .await
        .unwrap();
    assert_eq!(lower.version(), Http1);
    let set = client
        .get(origin.url())
        .versions(Versions::of([Http1, Http2]));
    assert_eq!(set.send().await.unwrap().version(), Http2);
    let none = client.get(origin.url()).versions(Versions::default());
    assert_eq!(
        none.send().await.unwrap_err().class(),
        ErrorClass::InvalidRequest
    );
}

#[tokio::test]
async fn http3_is_not_to_be_had_in_cleartext() {
    let server = Server::start(Speaks::Http1, 1, |_| async { answer(200, "yes") }).await;
    let client = Client::builder().build();
    let exact = client
        .get(server.url("/"))
        .version(Http3, VersionPolicy::Exact);
    assert_eq!(exact.send().await.unwrap_err().class(), ErrorClass::Version);
    let lower = client
        .get(server.url("/"))
        .version(Http3, VersionPolicy::OrLower);
    assert_eq!(lower.send().await.unwrap().version(), Http1);
}

#[tokio::test]
async fn a_failed_quic_dial_tells_why_in_detail() {
    let origin = origin(&[Http1, Http2]).await;
    let error = ask(&origin.client(), &origin, Http3, VersionPolicy::Exact)
        .await
        .unwrap_err();
    let report = error.report().expect("there was a race");
    assert_eq!(report.attempts.len(), 1);
    let detail = error.failure().detail.clone();
    assert!(detail.contains(&origin.address.to_string()), "{detail}");
    assert_eq!(origin.tcp.accepted(), 0);
}
