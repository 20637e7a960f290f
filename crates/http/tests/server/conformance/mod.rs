//! What the server makes of HTTP/2 that is right, odd or wrong, frame by frame: the cases of the
//! public h2spec list, told anew, with what each must lead to.
//!
//! Invariant: each case has a connection of its own, and its outcome is the one in
//! docs/http2-conformance.md (`PORTWAY_WRITE=1` writes that page anew).

mod cases;
mod fields;
mod frames;
mod requests;

use crate::net::{DATA, GOAWAY, HEADERS, Http2, Net, PING, RST_STREAM};
use cases::PROTOCOL;
use portway_http::server::Server;
use std::fmt::Write;
use std::time::Duration;

/// One case of the list.
pub(super) struct Case {
    /// Its place in the list.
    place: &'static str,
    what: &'static str,
    steps: Vec<Step>,
    expected: Expected,
}

pub(super) enum Step {
    Send(Vec<u8>),
    /// Sends this in place of a preface.
    Instead(&'static [u8]),
    /// Waits for the end of an answer on a stream.
    Answered(u32),
    /// Waits for the next DATA.
    Content,
}

/// What RFC 9113 asks for.
pub(super) enum Expected {
    /// The connection goes on, and nothing was refused.
    Goes,
    /// The request is answered with 200.
    Answer,
    /// The first DATA frames have these lengths.
    Data(&'static [usize]),
    /// The stream ends with one of these, or the connection does.
    Stream(&'static [u32]),
    /// The connection ends with one of these.
    Connection(&'static [u32]),
    /// The connection may end in good order, or go on.
    GoesOrEnds,
    /// What hyper decides otherwise, and why that may be.
    Decided(&'static str, &'static str),
}

/// A case without its steps.
pub(super) fn case(
    place: &'static str,
    what: &'static str,
    sent: impl IntoIterator<Item = Step>,
    expected: Expected,
) -> Case {
    Case {
        place,
        what,
        steps: sent.into_iter().collect(),
        expected,
    }
}

/// Frames that are sent together.
pub(super) fn send(frames: &[Vec<u8>]) -> [Step; 1] {
    [Step::Send(frames.concat())]
}

/// What came back after a case, in order.
async fn outcome(net: &Net, case: &Case) -> Vec<String> {
    let mut wire = net.connect().await;
    let mut http2 = match case.steps.first() {
        Some(Step::Instead(bytes)) => {
            let _ = wire.send(bytes).await;
            Http2 { wire }
        }
        _ => wire.http2().await,
    };
    let mut seen = Vec::new();
    for step in &case.steps {
        match step {
            Step::Instead(_) => {}
            Step::Send(bytes) => {
                let _ = http2.wire.send(bytes).await;
            }
            Step::Content => drop(http2.next_of(DATA).await),
            Step::Answered(stream) => {
                while let Some(frame) = http2.next().await {
                    if frame.stream == *stream && frame.flags & crate::net::END_STREAM != 0 {
                        break;
                    }
                }
            }
        }
    }
    let _ = http2.send(PING, 0, 0, MARK).await;
    loop {
        tokio::select! {
            biased;
            more = http2.next() => match more {
                Some(frame) => seen.extend(told(&frame)),
                None => {
                    seen.push("end".to_owned());
                    return seen;
                }
            },
            () = net.sleep(QUIET) => return seen,
        }
    }
}

fn told(frame: &crate::net::Frame) -> Option<String> {
    let code = |at: usize| {
        let bytes = frame.payload.get(at..at + 4).expect("a code");
        let code = u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        CODES
            .get(code as usize)
            .map_or("another code", |name| *name)
    };
    Some(match frame.kind {
        GOAWAY => format!("GOAWAY {}", code(4)),
        RST_STREAM => format!("RST_STREAM {}", code(0)),
        HEADERS if frame.payload.first() == Some(&0x88) => "200".to_owned(),
        HEADERS => "another status".to_owned(),
        DATA => format!("DATA {}", frame.payload.len()),
        PING if frame.payload == MARK => "goes on".to_owned(),
        PING => "PING".to_owned(),
        _ => return None,
    })
}

impl Expected {
    /// Whether the outcome is what is asked for, and why it may be another one.
    fn judge(&self, seen: &[String]) -> (bool, &'static str) {
        let has = |text: &str| seen.iter().any(|it| it == text);
        let ended = |codes: &[u32], how: &str| {
            let mut names = codes.iter().map(|code| CODES[*code as usize]);
            names.any(|name| has(&format!("{how} {name}")))
        };
        let refused = seen
            .iter()
            .any(|it| it.starts_with("GOAWAY") || it.starts_with("RST"));
        match self {
            Expected::Goes => (has("goes on") && !refused, ""),
            Expected::Answer => (has("200") && has("goes on") && !refused, ""),
            Expected::Data(lengths) => {
                let data = seen.iter().filter_map(|it| it.strip_prefix("DATA "));
                let data: Vec<usize> = data.map(|it| it.parse().expect("a number")).collect();
                (data.starts_with(lengths) && !refused, "")
            }
            Expected::Stream(codes) if ended(codes, "RST_STREAM") => (true, ""),
            Expected::Stream(codes) | Expected::Connection(codes) => {
                let is_over = has("end");
                match ended(codes, "GOAWAY") {
                    true => (is_over, ""),
                    false => (is_over && ended(&[PROTOCOL], "GOAWAY"), UNSPECIFIC),
                }
            }
            Expected::GoesOrEnds => (has("goes on") || has("end"), ""),
            Expected::Decided(outcome, why) => (seen.join(", ") == *outcome, why),
        }
    }
}

#[test]
fn every_case_of_the_list_has_the_outcome_that_is_documented() {
    let all = cases::all();
    let mut page = HEAD.to_owned();
    let mut wrong = Vec::new();
    let mut decided = 0;
    for case in &all {
        let unlimited = |server: Server| server.times(|times| times.keep_alive = LONG);
        Net::run(unlimited, async |net| {
            let seen = outcome(net, case).await;
            let (is_right, why) = case.expected.judge(&seen);
            decided += usize::from(!why.is_empty());
            let seen = seen.join(", ");
            if !is_right {
                wrong.push((case.place, case.what, seen.clone()));
            }
            let _ = writeln!(page, "| {} | {} | {seen} | {why} |", case.place, case.what);
        });
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(all.len(), CASES, "the list is whole");
    let total = format!(
        "\nOf {} cases {decided} are hyper's to decide otherwise.\n",
        all.len()
    );
    page.push_str(&total);
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/http2-conformance.md"
    );
    if std::env::var_os("PORTWAY_WRITE").is_some() {
        std::fs::write(path, &page).expect("a page");
    }
    let documented = std::fs::read_to_string(path).unwrap_or_default();
    assert!(page == documented, "PORTWAY_WRITE=1 writes {path} anew");
}

const CODES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

const UNSPECIFIC: &str = "\
    the connection ends as it must; h2 says the code that is for whatever has no other, where the \
    list has one that tells more";

const MARK: &[u8] = b"the last";

/// How long nothing may come after which nothing does.
const QUIET: Duration = Duration::from_millis(500);

const LONG: Duration = Duration::from_secs(3600);

/// Those of its newest version; 146 is the number of an older one.
const CASES: usize = 147;

const HEAD: &str = "\
# Conformance of the server's HTTP/2

Made by `crates/http/tests/server/conformance`, which sends each case of the public h2spec list as
frames and fails when the outcome is not the one here, or not what RFC 9113 and RFC 7541 ask for.
What came back is told in order; `goes on` is the answer to a PING behind the case, `end` the end of
the connection. hyper and h2 speak HTTP/2; where they decide otherwise than the list, a remark says
why that may be.

| case | what is sent | what came back | remark |
|---|---|---|---|
";
