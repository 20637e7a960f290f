//! The orderly end of a connection, from both sides.

mod support;

use portway_h3::error::{Code, Retry};
use portway_h3::{Config, Event, Finish, SendError, Transport};
use support::{GET, Pair, Raw, bidi, content, events, failure, frame, get, headers, received};

const LAST: u64 = (1 << 62) - 4;

#[test]
fn a_server_shuts_down_in_two_phases_without_losing_a_request() {
    let mut pair = Pair::new();
    let first = pair.get();
    // This one is on its way when the server announces its end.
    let second = pair.request(&get("/"), Finish::Now);
    pair.server.shutdown();
    pair.run();
    assert!(events(&mut pair.client).contains(&Event::GoAway { identifier: LAST }));
    assert_eq!(pair.client.check_request(), Err(SendError::GoingAway));
    assert!(events(&mut pair.server).contains(&Event::Request(second)));
    pair.server.finish_shutdown();
    pair.run();
    assert!(events(&mut pair.client).contains(&Event::GoAway { identifier: 8 }));
    for stream in [first, second] {
        pair.answer(stream, 200, b"x");
        assert_eq!(content(&received(&mut pair.client, stream)), b"x");
        assert!(!events(&mut pair.server).contains(&Event::Drained));
        received(&mut pair.server, stream);
    }
    assert!(events(&mut pair.server).contains(&Event::Drained));
    assert!(events(&mut pair.client).contains(&Event::Drained));
}

#[test]
fn requests_beyond_the_goaway_are_rejected_as_they_arrive() {
    let mut raw = Raw::server(Config::default());
    raw.write(bidi(0), &headers(&GET), true);
    raw.connection.finish_shutdown();
    raw.run();
    raw.write(bidi(1), &headers(&GET), true);
    let code = Code::H3_REQUEST_REJECTED;
    assert_eq!(raw.record().resets, [(bidi(1), code)]);
    assert_eq!(raw.record().stops, [(bidi(1), code)]);
    assert_eq!(
        events(&mut raw.connection)
            .iter()
            .filter(|event| is_request(event))
            .count(),
        1
    );
}

fn is_request(event: &Event) -> bool {
    matches!(event, Event::Request(_))
}

#[test]
fn requests_that_were_overtaken_by_others_are_still_served() {
    let mut raw = Raw::server(Config::default());
    raw.write(bidi(2), &headers(&GET), true);
    raw.connection.finish_shutdown();
    raw.write(bidi(0), &headers(&GET), true);
    assert_eq!(
        events(&mut raw.connection)
            .iter()
            .filter(|event| is_request(event))
            .count(),
        2
    );
}

#[test]
fn the_client_learns_which_requests_were_not_processed() {
    let mut raw = Raw::client(Config::default());
    let served = raw.request(&get("/"), Finish::Now);
    let refused = raw.request(&get("/"), Finish::Later);
    let control = raw.uni(0);
    raw.write(control, &frame(7, &[4]), false);
    let error = failure(&mut raw.connection, refused);
    assert_eq!(error.retry, Retry::SafeOnNewConnection);
    assert_eq!(raw.record().resets, [(refused, Code::H3_REQUEST_CANCELLED)]);
    assert_eq!(raw.record().stops, [(refused, Code::H3_REQUEST_CANCELLED)]);
    // The other may have been processed, whatever happens next.
    raw.connection
        .on_closed(portway_h3::error::ConnectionError::peer(
            Code::H3_NO_ERROR,
            "",
        ));
    assert_eq!(failure(&mut raw.connection, served).retry, Retry::Unknown);
}

#[test]
fn a_lower_goaway_frees_more_requests() {
    let mut raw = Raw::client(Config::default());
    let first = raw.request(&get("/"), Finish::Now);
    let second = raw.request(&get("/"), Finish::Now);
    let control = raw.uni(0);
    raw.write(control, &frame(7, &[8]), false);
    assert_eq!(raw.connection.in_flight(), 2);
    raw.write(control, &frame(7, &[0]), false);
    for stream in [first, second] {
        assert_eq!(
            failure(&mut raw.connection, stream).retry,
            Retry::SafeOnNewConnection
        );
    }
    assert!(events(&mut raw.connection).contains(&Event::Drained));
}

#[test]
fn a_client_shuts_down_too() {
    let mut pair = Pair::new();
    let stream = pair.get();
    pair.client.shutdown();
    pair.run();
    let largest = portway_h3::varint::MAX;
    assert!(events(&mut pair.server).contains(&Event::GoAway {
        identifier: largest
    }));
    assert_eq!(pair.client.check_request(), Err(SendError::GoingAway));
    pair.answer(stream, 200, b"x");
    assert_eq!(content(&received(&mut pair.client, stream)), b"x");
    assert!(events(&mut pair.client).contains(&Event::Drained));
}

#[test]
fn a_goaway_leaves_beside_the_close() {
    let mut pair = Pair::new();
    pair.get();
    pair.server.finish_shutdown();
    pair.server.flush(&mut pair.network.server);
    pair.server.close(Code::H3_NO_ERROR, "done");
    pair.server.flush(&mut pair.network.server);
    assert_eq!(
        pair.network
            .server
            .record()
            .closed
            .as_ref()
            .map(|(code, _)| *code),
        Some(Code::H3_NO_ERROR)
    );
    assert_eq!(pair.server.poll_close(), None, "once");
    let _ = pair.network.client.poll_event();
}
