//! With TLS required nothing readable leaves, whoever answers first (RFC 9622 §6.3, §7.1).

use crate::capture::{Capture, SYN, Segment, TCP};
use crate::log::Log;
use crate::names::{NAME, Names};
use crate::world::{FAR_V4, FAR_V6, World, block_on, context_with_dns};
use portway::race::EventKind;
use portway::{LocalEndpoint, Preconnection, RemoteEndpoint, Security, StackId};
use portway_transport::tls::self_signed;
use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::io::Write;
use std::net::TcpListener;
use std::sync::mpsc;

const BANNER: &str = "CLEARTEXT-BANNER";
const QUESTION: &str = "QUESTION-IN-CONFIDENCE";
const ANSWER: &str = "ANSWER-IN-CONFIDENCE";

#[test]
fn nothing_readable_is_on_the_wire_although_cleartext_answers_first() {
    let Some(world) =
        World::new("nothing_readable_is_on_the_wire_although_cleartext_answers_first")
    else {
        return;
    };
    let identity = self_signed(&[NAME.to_owned()]).expect("an identity");
    let roots = [identity.chain[0].clone()];
    let (sender, bound) = mpsc::channel();
    let secure = world.far.spawn(move || {
        block_on(async move {
            let mut listener = Preconnection::new(Security::tls().with_identity(identity))
                .local(LocalEndpoint::address(FAR_V4))
                .listen()
                .await
                .expect("a listener");
            sender.send(listener.port()).expect("the test waits");
            let connection = listener.accept().await.expect("a connection");
            let question = connection.receive_partial(QUESTION.len(), 1024).await;
            drop(connection.send(ANSWER).await.expect("accepted"));
            connection.close().await.expect("acknowledged");
            question.expect("a question").data
        })
    });
    let port = bound.recv().expect("a port");
    let cleartext = world.far.run(|| TcpListener::bind((FAR_V6, port)));
    let cleartext = cleartext.expect("a free port");
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for socket in cleartext.incoming() {
            let mut socket = socket.expect("a connection");
            let _ = socket.write_all(BANNER.as_bytes());
            open.push(socket);
        }
    });
    world.run(|| async {
        let capture = Capture::start(&world.near, "near");
        let names = Names::start(&world, &[FAR_V4.into(), FAR_V6.into()], None);
        let log = Log::default();
        let connection = Preconnection::new(Security::tls().with_roots(roots))
            .context(&context_with_dns(names.address))
            .remote(RemoteEndpoint::host_name(NAME).port(port))
            .initiate()
            .first_message(QUESTION)
            .on_event(log.sink())
            .into_future()
            .await
            .expect("the second address is secure");
        eprintln!("{}", log.text());
        let answer = connection.receive_partial(ANSWER.len(), 1024).await;
        assert_eq!(&answer.expect("an answer")[..], ANSWER.as_bytes());
        connection.close().await.expect("acknowledged");

        assert_eq!(connection.info().stack, Some(StackId::TLS));
        assert_only_protected_attempts(&log);
        let frames = capture.frames();
        assert!(
            is_readable(&frames, BANNER),
            "the capture sees what is readable"
        );
        for secret in [QUESTION, ANSWER] {
            assert!(!is_readable(&frames, secret), "{secret} is on the wire");
        }
        assert_first_bytes_are_tls(&frames, port, names.address.port());
    });
    assert_eq!(secure.join().expect("the server ends"), QUESTION.as_bytes());
}

fn assert_only_protected_attempts(log: &Log) {
    let is_weak = |event: &EventKind| {
        matches!(event, EventKind::AttemptStarted { leaf, .. }
            if leaf.stack != StackId::TLS || !leaf.security.is_protected())
    };
    assert_eq!(log.position(is_weak), None, "{}", log.text());
    log.assert_order(&[
        ("cleartext first", &|event| {
            matches!(event, EventKind::AttemptStarted { leaf, .. } if leaf.remote.is_ipv6())
        }),
        ("which fails", &|event| {
            matches!(event, EventKind::AttemptFailed { attempt, .. } if attempt.0 == 0)
        }),
        ("the other address", &|event| {
            matches!(event, EventKind::AttemptStarted { leaf, .. } if leaf.remote.is_ipv4())
        }),
    ]);
}

fn is_readable(frames: &[Vec<u8>], text: &str) -> bool {
    let text = text.as_bytes();
    frames
        .iter()
        .any(|frame| frame.windows(text.len()).any(|window| window == text))
}

/// All that leaves is questions to the name server, and TCP whose first bytes are a handshake
/// record of TLS.
fn assert_first_bytes_are_tls(frames: &[Vec<u8>], port: u16, names: u16) {
    let mut first_bytes: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    let mut connections = 0;
    let segments = frames.iter().filter_map(|frame| Segment::parse(frame));
    for segment in segments.filter(|segment| segment.source_port != port) {
        if segment.protocol != TCP {
            assert!(
                [segment.source_port, segment.destination_port].contains(&names),
                "{segment:?}"
            );
            continue;
        }
        connections += usize::from(segment.has(SYN));
        let first = first_bytes.entry(segment.source_port).or_default();
        if first.is_empty() {
            *first = segment.payload;
        }
    }
    assert_eq!(connections, 2, "one attempt to each address");
    for (from, bytes) in first_bytes {
        assert_eq!(bytes.get(..2), Some(&[0x16, 0x03][..]), "from port {from}");
    }
}
