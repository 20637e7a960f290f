//! Frames that come at the wrong time, in the wrong place or of the wrong size (RFC 9113 §3–§7).
//!
//! Invariant: an error of a stream may end the connection, and an error of the connection does.

use super::cases::{
    CLOSED, FLOW, PADDED, PRIORITIZED, PRIORITY, PROTOCOL, REFUSED, SIZE, continuation, data, get,
    post, post_block, priority, reset, setting, upload, window,
};
use super::{Case, Expected::*, Step, case, send};
use crate::net::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame,
};

const BOTH: u8 = END_HEADERS | END_STREAM;

/// The head of a request that goes on.
fn begun(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM, stream, &block("/")[..3])
}

fn rest(stream: u32) -> Vec<u8> {
    continuation(stream, END_HEADERS, &block("/")[3..])
}

pub(super) fn connection() -> Vec<Case> {
    [formats(), errors(), settings(), pings(), windows()]
        .into_iter()
        .flatten()
        .collect()
}

pub(super) fn streams() -> Vec<Case> {
    [
        states(),
        closed(),
        identifiers(),
        headers(),
        continuations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn formats() -> Vec<Case> {
    let large = vec![b'x'; 16_385];
    let mut long = block("/");
    long.resize(16_385, 0x90);
    vec![
        case("http2/3.5/1", "the preface, then SETTINGS", [], Goes),
        case(
            "http2/3.5/2",
            "something else than the preface",
            [Step::Instead(b"INVALID CONNECTION PREFACE\r\n\r\n")],
            Decided("end", "it is no HTTP/2: the server of HTTP/1.1 answers 400"),
        ),
        case(
            "http2/4.1/1",
            "a frame of an unknown type",
            send(&[frame(0xff, 0, 0, b"x")]),
            Goes,
        ),
        case(
            "http2/4.1/2",
            "PING with undefined flags",
            send(&[frame(PING, 0x16, 0, &[1; 8])]),
            Goes,
        ),
        case(
            "http2/4.1/3",
            "PING with the reserved bit",
            send(&[frame(PING, 0, 0x8000_0000, &[1; 8])]),
            Goes,
        ),
        case(
            "http2/4.2/1",
            "DATA of 16,384 bytes",
            send(&[upload(1), data(1, END_STREAM, &large[..16_384])]),
            Answer,
        ),
        case(
            "http2/4.2/2",
            "DATA of 16,385 bytes",
            send(&[post(1), data(1, END_STREAM, &large)]),
            Stream(&[SIZE]),
        ),
        case(
            "http2/4.2/3",
            "HEADERS of 16,385 bytes",
            send(&[frame(HEADERS, BOTH, 1, &long)]),
            Connection(&[SIZE]),
        ),
    ]
}

fn errors() -> Vec<Case> {
    let inside = |other| send(&[begun(1), other, rest(1)]);
    vec![
        case(
            "http2/4.3/1",
            "fields that cannot be read",
            send(&[frame(HEADERS, BOTH, 1, &[0xff; 12])]),
            Connection(&[super::cases::COMPRESSION]),
        ),
        case(
            "http2/4.3/2",
            "PRIORITY among fields",
            inside(priority(1, 0, 15)),
            Connection(&[PROTOCOL]),
        ),
        case(
            "http2/4.3/3",
            "HEADERS of another stream among fields",
            inside(get(3, "/")),
            Connection(&[PROTOCOL]),
        ),
        case(
            "http2/5.4.1/1",
            "a wrong PING, to see the connection end",
            send(&[frame(PING, 0, 0, &[0; 6])]),
            Connection(&[SIZE]),
        ),
        case(
            "http2/5.4.1/2",
            "a wrong PING, to see GOAWAY",
            send(&[frame(PING, 0, 0, &[0; 9])]),
            Connection(&[SIZE]),
        ),
        case(
            "http2/5.5/1",
            "an unknown frame",
            send(&[frame(0x16, 0, 0, b"x")]),
            Goes,
        ),
        case(
            "http2/5.5/2",
            "an unknown frame among fields",
            inside(frame(0x16, 0, 0, b"x")),
            Connection(&[PROTOCOL]),
        ),
        case(
            "http2/7/1",
            "GOAWAY of an unknown code",
            send(&[goaway(0, 0xff)]),
            GoesOrEnds,
        ),
        case(
            "http2/7/2",
            "RST_STREAM of an unknown code",
            send(&[post(1), reset(1, 0xff)]),
            Goes,
        ),
    ]
}

fn goaway(stream: u32, code: u32) -> Vec<u8> {
    frame(
        GOAWAY,
        0,
        stream,
        &[&[0; 4][..], &code.to_be_bytes()].concat(),
    )
}

fn settings() -> Vec<Case> {
    let wrong = |place, what, sent: Vec<u8>, code: &'static [u32]| {
        case(place, what, send(&[sent]), Connection(code))
    };
    let both = [setting(4, 100), setting(4, 1)];
    let both = frame(SETTINGS, 0, 0, &[&both[0][9..], &both[1][9..]].concat());
    vec![
        wrong(
            "http2/6.5/1",
            "SETTINGS with ACK and content",
            {
                let mut sent = setting(3, 100);
                sent[4] = 1;
                sent
            },
            &[SIZE],
        ),
        wrong(
            "http2/6.5/2",
            "SETTINGS of a stream",
            frame(SETTINGS, 0, 1, &setting(3, 100)[9..]),
            &[PROTOCOL],
        ),
        wrong(
            "http2/6.5/3",
            "SETTINGS of 3 bytes",
            frame(SETTINGS, 0, 0, &[0; 3]),
            &[SIZE],
        ),
        wrong(
            "http2/6.5.2/1",
            "ENABLE_PUSH of 2",
            setting(2, 2),
            &[PROTOCOL],
        ),
        wrong(
            "http2/6.5.2/2",
            "INITIAL_WINDOW_SIZE of 2^31",
            setting(4, 1 << 31),
            &[FLOW],
        ),
        wrong(
            "http2/6.5.2/3",
            "MAX_FRAME_SIZE of 16,383",
            setting(5, 16_383),
            &[PROTOCOL],
        ),
        wrong(
            "http2/6.5.2/4",
            "MAX_FRAME_SIZE of 2^24",
            setting(5, 1 << 24),
            &[PROTOCOL],
        ),
        case(
            "http2/6.5.2/5",
            "an unknown setting",
            send(&[setting(0xff, 1)]),
            Goes,
        ),
        case(
            "http2/6.5.3/1",
            "two values of INITIAL_WINDOW_SIZE",
            send(&[both, get(1, "/")]),
            Data(&[1]),
        ),
        case(
            "http2/6.5.3/2",
            "SETTINGS without ACK",
            send(&[setting(3, 1)]),
            Goes,
        ),
    ]
}

fn pings() -> Vec<Case> {
    let wrong = |place, what, sent: Vec<u8>, code: &'static [u32]| {
        case(place, what, send(&[sent]), Connection(code))
    };
    vec![
        case(
            "http2/6.7/1",
            "PING",
            send(&[frame(PING, 0, 0, &[1; 8])]),
            Goes,
        ),
        case(
            "http2/6.7/2",
            "PING with ACK",
            send(&[frame(PING, 1, 0, &[1; 8])]),
            Goes,
        ),
        wrong(
            "http2/6.7/3",
            "PING of a stream",
            frame(PING, 0, 1, &[1; 8]),
            &[PROTOCOL],
        ),
        wrong(
            "http2/6.7/4",
            "PING of 7 bytes",
            frame(PING, 0, 0, &[1; 7]),
            &[SIZE],
        ),
        wrong(
            "http2/6.8/1",
            "GOAWAY of a stream",
            goaway(1, 0),
            &[PROTOCOL],
        ),
    ]
}

fn windows() -> Vec<Case> {
    let [small, more] = [0, 1].map(|value| setting(4, value));
    let far = || window(0, 0x7fff_ffff);
    vec![
        case(
            "http2/6.9/1",
            "WINDOW_UPDATE of 0",
            send(&[window(0, 0)]),
            Connection(&[PROTOCOL]),
        ),
        case(
            "http2/6.9/2",
            "WINDOW_UPDATE of 0 for a stream",
            send(&[post(1), window(1, 0)]),
            Stream(&[PROTOCOL]),
        ),
        case(
            "http2/6.9/3",
            "WINDOW_UPDATE of 3 bytes",
            send(&[frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1])]),
            Connection(&[SIZE]),
        ),
        case(
            "http2/6.9.1/1",
            "a window of one byte",
            send(&[more.clone(), get(1, "/")]),
            Data(&[1]),
        ),
        case(
            "http2/6.9.1/2",
            "a window beyond 2^31 − 1",
            send(&[far(), far()]),
            Connection(&[FLOW]),
        ),
        case(
            "http2/6.9.1/3",
            "a stream's window beyond 2^31 − 1",
            send(&[post(1), window(1, 0x7fff_ffff), window(1, 0x7fff_ffff)]),
            Stream(&[FLOW]),
        ),
        case(
            "http2/6.9.2/1",
            "a window that opens after the request",
            send(&[small, get(1, "/"), more]),
            Data(&[1]),
        ),
        case(
            "http2/6.9.2/2",
            "a window that becomes negative",
            [
                Step::Send([setting(4, 3), get(1, "/")].concat()),
                Step::Content,
                Step::Send([setting(4, 2), window(1, 2)].concat()),
            ],
            Data(&[1]),
        ),
        case(
            "http2/6.9.2/3",
            "INITIAL_WINDOW_SIZE beyond its limit",
            send(&[setting(4, 0xffff_ffff)]),
            Connection(&[FLOW]),
        ),
    ]
}

/// On streams that are idle or half-closed.
fn states() -> Vec<Case> {
    let idle =
        |place, what, sent: Vec<u8>| case(place, what, send(&[sent]), Connection(&[PROTOCOL]));
    let half = |place, what, sent: Vec<u8>, expected| {
        case(place, what, send(&[get(1, "/hold"), sent]), expected)
    };
    vec![
        idle("http2/5.1/1", "idle: DATA", data(1, END_STREAM, b"x")),
        idle("http2/5.1/2", "idle: RST_STREAM", reset(1, 8)),
        idle("http2/5.1/3", "idle: WINDOW_UPDATE", window(1, 1)),
        idle("http2/5.1/4", "idle: CONTINUATION", rest(1)),
        half(
            "http2/5.1/5",
            "half-closed: DATA",
            data(1, END_STREAM, b"x"),
            Stream(&[CLOSED]),
        ),
        half(
            "http2/5.1/6",
            "half-closed: HEADERS",
            get(1, "/"),
            Stream(&[CLOSED]),
        ),
        half(
            "http2/5.1/7",
            "half-closed: CONTINUATION",
            rest(1),
            Connection(&[CLOSED, PROTOCOL]),
        ),
        case(
            "http2/6.1/1",
            "DATA of stream 0",
            send(&[data(0, 0, b"x")]),
            Connection(&[PROTOCOL]),
        ),
        half(
            "http2/6.1/2",
            "DATA on a stream that is not open",
            data(1, 0, b"x"),
            Stream(&[CLOSED]),
        ),
        case(
            "http2/6.1/3",
            "DATA with more padding than content",
            send(&[
                post(1),
                frame(DATA, END_STREAM | PADDED, 1, &[6, b'x', 0, 0]),
            ]),
            Connection(&[PROTOCOL]),
        ),
        case(
            "http2/6.4/1",
            "RST_STREAM of stream 0",
            send(&[reset(0, 8)]),
            Connection(&[PROTOCOL]),
        ),
        idle("http2/6.4/2", "RST_STREAM on an idle stream", reset(1, 8)),
        case(
            "http2/6.4/3",
            "RST_STREAM of 3 bytes",
            send(&[post(1), frame(RST_STREAM, 0, 1, &[0; 3])]),
            Connection(&[SIZE]),
        ),
    ]
}

/// On streams that are closed.
fn closed() -> Vec<Case> {
    let given_up = |place, what, sent: Vec<u8>, expected| {
        case(
            place,
            what,
            send(&[get(1, "/hold"), reset(1, 8), sent]),
            expected,
        )
    };
    let over = |place, what, sent: Vec<u8>, expected| {
        let [ask] = send(&[get(1, "/")]);
        let [late] = send(&[sent]);
        case(place, what, [ask, Step::Answered(1), late], expected)
    };
    vec![
        given_up(
            "http2/5.1/8",
            "reset: DATA",
            data(1, END_STREAM, b"x"),
            Stream(&[CLOSED]),
        ),
        given_up(
            "http2/5.1/9",
            "reset: HEADERS",
            get(1, "/"),
            Stream(&[CLOSED]),
        ),
        given_up(
            "http2/5.1/10",
            "reset: CONTINUATION",
            rest(1),
            Connection(&[CLOSED, PROTOCOL]),
        ),
        over(
            "http2/5.1/11",
            "closed: DATA",
            data(1, END_STREAM, b"x"),
            Stream(&[CLOSED]),
        ),
        over(
            "http2/5.1/12",
            "closed: HEADERS",
            get(1, "/"),
            Connection(&[CLOSED]),
        ),
        over(
            "http2/5.1/13",
            "closed: CONTINUATION",
            rest(1),
            Connection(&[CLOSED, PROTOCOL]),
        ),
    ]
}

fn identifiers() -> Vec<Case> {
    let many: Vec<Vec<u8>> = (0..=100).map(|at| get(2 * at + 1, "/hold")).collect();
    let own = [&1_u32.to_be_bytes()[..], &[15], &block("/")].concat();
    vec![
        case(
            "http2/5.1.1/1",
            "an even stream",
            send(&[get(2, "/")]),
            Connection(&[PROTOCOL]),
        ),
        case(
            "http2/5.1.1/2",
            "a stream below one that was opened",
            send(&[get(5, "/"), get(3, "/")]),
            Connection(&[PROTOCOL]),
        ),
        case(
            "http2/5.1.2/1",
            "more streams than are allowed",
            send(&many),
            Stream(&[PROTOCOL, REFUSED]),
        ),
        case(
            "http2/5.3.1/1",
            "HEADERS that depend on themselves",
            send(&[frame(HEADERS, BOTH | PRIORITIZED, 1, &own)]),
            Stream(&[PROTOCOL]),
        ),
        case(
            "http2/5.3.1/2",
            "PRIORITY that depends on itself",
            send(&[priority(1, 1, 15)]),
            Stream(&[PROTOCOL]),
        ),
        case(
            "http2/6.3/1",
            "PRIORITY of stream 0",
            send(&[priority(0, 1, 15)]),
            Connection(&[PROTOCOL]),
        ),
        case(
            "http2/6.3/2",
            "PRIORITY of 4 bytes",
            send(&[frame(PRIORITY, 0, 1, &[0; 4])]),
            Stream(&[SIZE]),
        ),
    ]
}

fn headers() -> Vec<Case> {
    let wrong =
        |place, what, frames: &[Vec<u8>]| case(place, what, send(frames), Connection(&[PROTOCOL]));
    let padded = [&[200][..], &block("/")].concat();
    vec![
        wrong(
            "http2/6.2/1",
            "HEADERS that go on, PRIORITY",
            &[begun(1), priority(1, 0, 15)],
        ),
        wrong(
            "http2/6.2/2",
            "HEADERS that go on, HEADERS of another",
            &[begun(1), get(3, "/")],
        ),
        wrong("http2/6.2/3", "HEADERS of stream 0", &[get(0, "/")]),
        wrong(
            "http2/6.2/4",
            "HEADERS with more padding than content",
            &[frame(HEADERS, BOTH | PADDED, 1, &padded)],
        ),
    ]
}

fn continuations() -> Vec<Case> {
    let wrong =
        |place, what, frames: &[Vec<u8>]| case(place, what, send(frames), Connection(&[PROTOCOL]));
    let parts = block("/");
    vec![
        case(
            "http2/6.10/1",
            "CONTINUATION twice behind HEADERS",
            send(&[
                begun(1),
                continuation(1, 0, &parts[3..5]),
                continuation(1, END_HEADERS, &parts[5..]),
            ]),
            Answer,
        ),
        wrong(
            "http2/6.10/2",
            "CONTINUATION, then DATA",
            &[
                begun(1),
                continuation(1, 0, &parts[3..]),
                data(1, END_STREAM, b"x"),
            ],
        ),
        wrong(
            "http2/6.10/3",
            "CONTINUATION of stream 0",
            &[begun(1), frame(CONTINUATION, END_HEADERS, 0, &parts[3..])],
        ),
        wrong(
            "http2/6.10/4",
            "CONTINUATION behind whole HEADERS",
            &[get(1, "/hold"), rest(1)],
        ),
        wrong(
            "http2/6.10/5",
            "CONTINUATION behind the last one",
            &[begun(1), rest(1), rest(1)],
        ),
        wrong(
            "http2/6.10/6",
            "CONTINUATION behind DATA",
            &[
                frame(HEADERS, END_HEADERS, 1, &post_block()),
                data(1, 0, b"x"),
                rest(1),
            ],
        ),
    ]
}
