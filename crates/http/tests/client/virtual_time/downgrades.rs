//! Servers that speak less than was hoped for.

use super::server::{Frames, OK, answer_all, head, protected, say};
use super::{Listening, Net, ROUND_TRIP, millis, sleep};
use portway_http::client::{ErrorClass, VersionPolicy};
use portway_http::pool::Version;
use std::time::Duration;

/// A server that speaks one version, in TLS or without; TLS takes this time to begin.
fn speaking(net: &Net, version: Version, is_protected: bool, delay: Duration) -> Listening {
    let made = net.made.clone();
    net.serve(move |_, mut pipe| {
        let made = made.clone();
        async move {
            sleep(&*pipe.environment.clone(), delay).await;
            match (version, is_protected) {
                // RFC 9113 §3.1: nobody asks to upgrade to HTTP/2 any more.
                (Version::Http1, false) => {
                    while let Some(head) = head(&mut pipe).await {
                        assert!(!head.contains("\r\nupgrade:"), "{head}");
                        assert!(!head.contains("http2-settings"), "{head}");
                        say(&mut pipe, OK).await;
                    }
                }
                (Version::Http1, true) => {
                    if let Some(mut stream) = protected(&made, pipe, b"http/1.1").await {
                        answer_all(&mut stream, OK).await;
                    }
                }
                (_, false) => Frames::begin(pipe).await.answer_all().await,
                (_, true) => {
                    if let Some(stream) = protected(&made, pipe, b"h2").await {
                        Frames::begin(stream).await.answer_all().await;
                    }
                }
            }
        }
    })
}

#[test]
fn a_downgrade_dials_for_every_request_that_waits_and_they_run_on_what_is_free_first() {
    Net::run(async |net| {
        let server = speaking(net, Version::Http1, true, millis(100));
        let (client, url) = (net.client().build(), server.url("https"));
        let get = || async {
            let request = client
                .get(&url)
                .version(Version::Http2, VersionPolicy::OrLower);
            let response = request.send().await.expect("an answer");
            assert_eq!(response.version(), Version::Http1);
            response.bytes().await.expect("whole");
        };
        let all = async { tokio::join!(get(), get(), get(), get()) };
        let (_, took) = net.timed(all).await;
        assert_eq!(server.accepted(), 4, "the one for all, and three more");
        // One after the other on the first connection: that is sooner than any other is there.
        let dial = 2 * ROUND_TRIP + millis(100);
        assert_eq!(took, dial + 4 * ROUND_TRIP);
        net.sleep(dial).await;
        assert_eq!(client.counts().idle, 4, "all of them are kept");
    });
}

#[test]
fn each_version_and_policy_has_its_version_with_each_server() {
    use Version::{Http1, Http2};
    use VersionPolicy::{Exact, OrHigher, OrLower};
    // What is asked for, what the server speaks, and what comes of it in TLS and in cleartext.
    let rows = [
        (Http1, OrLower, Http1, Some(Http1), Some(Http1)),
        (Http1, Exact, Http1, Some(Http1), Some(Http1)),
        (Http1, OrHigher, Http1, Some(Http1), Some(Http1)),
        (Http1, OrHigher, Http2, Some(Http2), None),
        (Http2, OrLower, Http1, Some(Http1), Some(Http1)),
        (Http2, Exact, Http1, None, None),
        (Http2, OrHigher, Http1, None, None),
        (Http2, OrLower, Http2, Some(Http2), None),
        (Http2, Exact, Http2, Some(Http2), Some(Http2)),
        (Http2, OrHigher, Http2, Some(Http2), Some(Http2)),
    ];
    for (version, policy, spoken, in_tls, in_cleartext) in rows {
        for (scheme, expected) in [("https", in_tls), ("http", in_cleartext)] {
            Net::run(async |net| {
                let server = speaking(net, spoken, scheme == "https", Duration::ZERO);
                let client = net.client().build();
                let request = client.get(server.url(scheme)).version(version, policy);
                let outcome = request.timeout(Duration::from_secs(30)).send().await;
                let found = outcome
                    .as_ref()
                    .map(portway_http::client::Response::version);
                let what = format!("{version} {policy:?} {scheme} with {spoken}: {found:?}");
                match (expected, outcome) {
                    (Some(expected), Ok(response)) => {
                        assert_eq!(response.version(), expected, "{what}");
                        response.bytes().await.expect("whole");
                    }
                    (None, Err(error)) => {
                        let class = error.class();
                        assert!(!matches!(class, ErrorClass::TimedOut(_)), "{what}");
                    }
                    _ => panic!("{what}"),
                }
            });
        }
    }
}
