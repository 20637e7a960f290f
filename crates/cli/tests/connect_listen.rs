//! `portway connect` and `portway listen` with each other.

mod support;

use support::{Authority, Listening, NameServer, run_with};

const ANY: &str = "127.0.0.1:0";
const PLAIN: [&str; 2] = ["--security", "none"];

/// The arguments of a connect to `target`.
fn to<'a>(target: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["connect", target], rest].concat()
}

/// Bytes without a pattern that a fault could hide behind.
fn payload(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn bytes_come_back_over_tcp() {
    let listening = Listening::start(&[ANY, "--security", "none", "--echo", "--once"], 1);
    let payload = payload(3_000_000);
    let run = run_with(&to(&listening.address(), &PLAIN), &payload).expect(0);
    assert!(run.stdout == payload, "{} bytes", run.stdout.len());
    listening.finish(b"").expect(0);
}

#[test]
fn bytes_come_back_over_tls_from_anybody() {
    let listening = Listening::start(&[ANY, "--self-signed", "--echo", "--once"], 1);
    assert_eq!(listening.stacks(), ["tls"]);
    let payload = payload(1_000_000);
    let run = run_with(&to(&listening.address(), &["--insecure", "-v"]), &payload);
    let run = run.expect(0).says(&["connected tls", "TLS 1.3"]);
    assert!(run.stdout == payload, "{} bytes", run.stdout.len());
    listening.finish(b"").expect(0);
}

#[test]
fn a_server_is_believed_for_its_authority_and_name() {
    let authority = Authority::new("believed");
    let (cert, key) = authority.issue("host.portway.test");
    let resolver = NameServer::start();
    let listening = Listening::start(
        &[
            ANY, "--cert", &cert, "--key", &key, "--alpn", "a,b", "--echo",
        ],
        1,
    );
    let target = NameServer::target(listening.port());
    let root = authority.root();
    let rest = [
        "--ca",
        &root,
        "--resolver",
        resolver.address(),
        "--alpn",
        "x,b",
        "-v",
    ];
    let run = run_with(&to(&target, &rest), b"hello").expect(0);
    assert_eq!(run.text(), "hello");
    let run = run.says(&["A? host.portway.test", "alpn b"]);
    assert!(!run.stderr.contains('\x1b'), "colours without a terminal");
    let address = listening.address();
    let rest = [
        "--ca",
        &root,
        "--server-name",
        "host.portway.test",
        "--alpn",
        "b",
    ];
    run_with(&to(&address, &rest), b"").expect(0);
}

#[test]
fn a_server_may_demand_a_certificate() {
    let authority = Authority::new("demand");
    let (cert, key) = authority.issue("localhost");
    let (own_cert, own_key) = authority.issue("client");
    let root = authority.root();
    let arguments = [
        ANY,
        "--cert",
        &cert,
        "--key",
        &key,
        "--client-ca",
        &root,
        "--echo",
    ];
    let listening = Listening::start(&arguments, 1);
    let address = listening.address();
    let common = ["--ca", &root, "--server-name", "localhost"];
    let with_own = [&common[..], &["--cert", &own_cert, "--key", &own_key]].concat();
    let run = run_with(&to(&address, &with_own), b"hello").expect(0);
    assert_eq!(run.text(), "hello");
    run_with(&to(&address, &common), b"hello")
        .expect(1)
        .says(&["certificate"]);
}

#[test]
fn datagrams_come_back_one_for_each_line() {
    let arguments = [
        ANY,
        "--security",
        "none",
        "--protocols",
        "tcp,udp",
        "--echo",
    ];
    let listening = Listening::start(&arguments, 2);
    assert!(listening.has_one_port());
    let address = listening.address();
    let rest = ["--udp", "--security", "none", "--replies", "2"];
    let run = run_with(&to(&address, &rest), b"one\ntwo\n").expect(0);
    let mut lines: Vec<String> = run.text().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["one", "two"]);
    let run = run_with(&to(&address, &PLAIN), b"over tcp").expect(0);
    assert_eq!(run.text(), "over tcp");
}

#[test]
fn framers_keep_messages_apart() {
    for framer in ["line", "length32"] {
        let arguments = [ANY, "--self-signed", "--echo", "--once", "--framer", framer];
        let listening = Listening::start(&arguments, 1);
        let rest = ["--insecure", "--framer", framer, "--replies", "3"];
        let run = run_with(&to(&listening.address(), &rest), b"one\n\nthree").expect(0);
        assert_eq!(run.text(), "one\n\nthree\n", "{framer}");
        listening.finish(b"").expect(0);
    }
}

#[test]
fn length32_puts_a_length_before_each_line() {
    let listening = Listening::start(&[ANY, "--security", "none"], 1);
    let rest = [
        "--security",
        "none",
        "--framer",
        "length32",
        "--linger",
        "0",
    ];
    run_with(&to(&listening.address(), &rest), b"hi\nyou\n").expect(0);
    let run = listening.finish(b"").expect(0);
    assert_eq!(run.stdout, b"\0\0\0\x02hi\0\0\0\x03you");
}

#[test]
fn the_first_connection_is_joined_to_the_standard_streams_both_ways() {
    let listening = Listening::start(&[ANY, "--self-signed"], 1);
    let address = listening.address();
    let server = std::thread::spawn(move || listening.finish(&payload(300_000)));
    let client = run_with(&to(&address, &["--insecure"]), b"from the client").expect(0);
    let server = server.join().expect("the server's thread").expect(0);
    assert_eq!(server.text(), "from the client");
    assert!(
        client.stdout == payload(300_000),
        "{} bytes",
        client.stdout.len()
    );
}

#[test]
fn an_input_that_ends_at_once_still_receives() {
    let listening = Listening::start(&[ANY, "--security", "none"], 1);
    let address = listening.address();
    let server = std::thread::spawn(move || listening.finish(&payload(2_000_000)));
    let client = run_with(&to(&address, &PLAIN), b"").expect(0);
    server.join().expect("the server's thread").expect(0);
    assert!(
        client.stdout == payload(2_000_000),
        "{} bytes",
        client.stdout.len()
    );
}

#[test]
fn a_listener_serves_as_many_as_it_was_told() {
    let arguments = [ANY, "--self-signed", "--echo", "--count", "3", "-v"];
    let listening = Listening::start(&arguments, 1);
    for text in ["a", "b", "c"] {
        let run = run_with(&to(&listening.address(), &["--insecure"]), text.as_bytes());
        assert_eq!(run.expect(0).text(), text);
    }
    let run = listening.finish(b"").expect(0);
    assert_eq!(run.stderr.matches("accepted tls").count(), 3);
}

#[test]
fn opportunistic_security_takes_what_the_peer_offers() {
    let rest = ["--security", "opportunistic", "-v"];
    let listening = Listening::start(&[ANY, "--self-signed", "--echo"], 1);
    let run = run_with(&to(&listening.address(), &rest), b"hello").expect(0);
    assert_eq!(run.says(&["connected tls"]).text(), "hello");
}

#[test]
fn an_over_long_line_is_refused_and_named() {
    let arguments = [ANY, "--security", "none", "--echo"];
    let listening = Listening::start(&arguments, 1);
    let rest = ["--security", "none", "--framer", "line"];
    run_with(&to(&listening.address(), &rest), &vec![b'x'; 2 << 20])
        .expect(1)
        .says(&["longer than 1048576 bytes"]);
}
