//! What is sent again when a connection ends, how often, and what is not.

use super::server::{
    DATA, END_HEADERS, END_STREAM, HEADERS, OK, STATUS_200, answer_all, first_request, head, say,
};
use super::{Net, ROUND_TRIP, timeouts};
use portway_http::client::ErrorClass;
use portway_http::pool::Version;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Connections that close when a request has come: the first so many, and one that has answered
/// once where `used` says so.
fn closing(net: &Net, count: usize, has_answered: bool) -> super::Listening {
    net.serve(move |number, mut pipe| async move {
        if number == 0 && has_answered && head(&mut pipe).await.is_some() {
            say(&mut pipe, OK).await;
        }
        match number < count {
            true => drop(head(&mut pipe).await),
            false => answer_all(&mut pipe, OK).await,
        }
    })
}

#[test]
fn a_connection_that_closes_without_an_answer_costs_no_safe_request() {
    for has_answered in [false, true] {
        Net::run(async |net| {
            let server = closing(net, 1, has_answered);
            let (client, url) = (net.client().build(), server.url("http"));
            for _ in 0..=usize::from(has_answered) {
                let response = client.get(&url).send().await.expect("an answer");
                assert_eq!(response.text().await.expect("whole"), "ok");
            }
            assert_eq!(server.accepted(), 2);
        });
    }
}

#[test]
fn a_server_that_always_closes_is_asked_four_times() {
    Net::run(async |net| {
        let server = closing(net, usize::MAX, false);
        let client = net.client().build();
        let (outcome, took) = net.timed(client.get(server.url("http")).send()).await;
        assert_eq!(outcome.expect_err("no answer").class(), ErrorClass::Closed);
        assert_eq!(server.accepted(), 4, "once, and three times more");
        assert_eq!(took, 4 * 2 * ROUND_TRIP, "and at once");
    });
}

#[test]
fn content_that_has_begun_to_leave_is_not_sent_again() {
    Net::run(async |net| {
        let server = net.serve(|_, mut pipe| async move {
            assert!(head(&mut pipe).await.is_some());
            say(&mut pipe, OK).await;
            let second = head(&mut pipe).await.expect("a request");
            assert!(second.contains("expect: 100-continue\r\n"), "{second}");
            // Nothing is said; the content comes when the client has waited enough.
            let _ = pipe.read_u8().await;
        });
        let limits = timeouts(|limits| limits.expect = Some(Duration::from_secs(1)));
        let (client, url) = (net.client().timeouts(limits).build(), server.url("http"));
        let response = client.get(&url).send().await.expect("an answer");
        response.bytes().await.expect("whole");
        let post = client.post(&url).header("expect", "100-continue");
        let outcome = post.body(vec![b'a'; 1025]).send().await;
        assert_eq!(outcome.expect_err("it closes").class(), ErrorClass::Closed);
        assert_eq!(server.accepted(), 1);
    });
}

/// Two requests on one connection of HTTP/2, which then says that it serves the first only.
async fn go_away_after_the_first(net: &Net, is_first_answered_at_once: bool) {
    let made = net.made.clone();
    let server = net.serve(move |number, pipe| {
        let made = made.clone();
        async move {
            let environment = pipe.environment.clone();
            let Some((mut frames, first)) = first_request(&made, pipe).await else {
                return;
            };
            if number == 0 {
                frames.request().await.expect("another one");
                frames.go_away(first).await;
                if !is_first_answered_at_once {
                    super::sleep(&*environment, Duration::from_secs(5)).await;
                }
            }
            frames.answer(first).await;
            while frames.next().await.is_some() {}
        }
    });
    let (client, url) = (net.client().build(), server.url("https"));
    let get = || async {
        let response = client.get(&url).versions(Version::Http2).send().await;
        assert_eq!(response.expect("an answer").status(), 200);
        net.now()
    };
    let (first, second) = tokio::join!(get(), get());
    assert_eq!(server.accepted(), 2);
    match is_first_answered_at_once {
        // TCP, TLS, the settings, the requests; then three of these once more.
        true => assert_eq!((first, second), (4 * ROUND_TRIP, 7 * ROUND_TRIP)),
        false => assert_eq!((first, second), (first, 7 * ROUND_TRIP), "it does not wait"),
    }
}

#[test]
fn a_request_behind_a_goaway_is_sent_again_on_another_connection() {
    for is_first_answered_at_once in [true, false] {
        Net::run(async |net| go_away_after_the_first(net, is_first_answered_at_once).await);
    }
}

#[test]
fn a_connection_that_goes_away_finishes_its_request_and_gets_no_other() {
    Net::run(async |net| {
        let made = net.made.clone();
        let server = net.serve(move |_, pipe| {
            let made = made.clone();
            async move {
                let Some((mut frames, stream)) = first_request(&made, pipe).await else {
                    return;
                };
                frames
                    .say(HEADERS, END_HEADERS, stream, &[STATUS_200])
                    .await;
                frames.say(DATA, 0, stream, b"first, ").await;
                frames.go_away(stream).await;
                frames.say(DATA, END_STREAM, stream, b"then the rest").await;
                while frames.next().await.is_some() {}
            }
        });
        let (client, url) = (net.client().build(), server.url("https"));
        for accepted in [1, 2] {
            let response = client.get(&url).versions(Version::Http2).send().await;
            let text = response.expect("an answer").text().await;
            assert_eq!(text.expect("whole"), "first, then the rest");
            assert_eq!(server.accepted(), accepted);
        }
    });
}

#[test]
fn a_connection_that_goes_away_and_breaks_costs_no_safe_request() {
    Net::run(async |net| {
        let made = net.made.clone();
        let server = net.serve(move |number, pipe| {
            let made = made.clone();
            async move {
                let Some((mut frames, stream)) = first_request(&made, pipe).await else {
                    return;
                };
                if number == 0 {
                    // It says that it serves the request, and ends.
                    return frames.go_away(stream).await;
                }
                frames.answer(stream).await;
                while frames.next().await.is_some() {}
            }
        });
        let (client, url) = (net.client().build(), server.url("https"));
        let get = client.get(&url).versions(Version::Http2).send().await;
        assert_eq!(get.expect("an answer").status(), 200);
        assert_eq!(server.accepted(), 2);
    });
}
