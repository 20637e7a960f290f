//! Exit codes and messages when something is wrong.

mod support;

use std::net::{Ipv4Addr, TcpListener};
use support::{Authority, Listening, NameServer, directory, run, run_with};

const ANY: &str = "127.0.0.1:0";

#[test]
fn wrong_arguments_end_with_two() {
    let rows: &[(&[&str], &str)] = &[
        (&[], "Usage"),
        (&["connect"], "HOST:PORT"),
        (&["connect", "a.example"], "there is no port"),
        (&["connect", "a.example:99999"], "above 65535"),
        (&["connect", "a.example:1", "--no-such"], "--no-such"),
        (&["connect", "a.example:1", "--udp"], "--security none"),
        (
            &["connect", "a.example:1", "--replies", "1"],
            "--framer, --udp",
        ),
        (&["connect", "a.example:1", "--timeout", "0"], "above zero"),
        (&["connect", "a.example:1", "--cert", "x"], "--key"),
        (
            &["connect", "a.example:1", "--property", "x=y"],
            "there is no property",
        ),
        (
            &["connect", "a.example:1", "--security", "none", "--insecure"],
            "--insecure has no meaning",
        ),
        (&["listen", ANY], "--self-signed"),
        (&["listen", "localhost:1", "--self-signed"], "not a name"),
        (
            &["listen", ANY, "--self-signed", "--protocols", "udp"],
            "--protocols takes",
        ),
        (
            &["listen", ANY, "--security", "none", "--self-signed"],
            "has no meaning",
        ),
        (
            &["listen", ANY, "--self-signed", "--once", "--count", "2"],
            "--count",
        ),
        (&["explain"], "HOST"),
        (&["explain", "a.example:1", "--port", "2"], "given twice"),
        (&["explain", "not a name"], "not a host name"),
        (
            &["explain", "a.example", "--dry-run", "--svg", "x"],
            "--dry-run",
        ),
        (&["demo", "more"], "more"),
    ];
    for (arguments, words) in rows {
        run(arguments).expect(2).says(&[words]);
    }
}

#[test]
fn help_and_version_end_with_zero() {
    let version = run(&["--version"]).expect(0).text();
    assert_eq!(
        version.trim(),
        concat!("portway ", env!("CARGO_PKG_VERSION"))
    );
    for command in ["explain", "connect", "listen", "demo"] {
        let help = run(&["help", command]).expect(0).text();
        assert!(help.contains("Examples:\n  portway "), "{help}");
    }
}

#[test]
fn a_refused_connection_names_the_attempt_and_the_cause() {
    // The port is taken on another address, so nobody else can begin to listen here.
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let target = format!("127.0.0.2:{}", taken.local_addr().unwrap().port());
    let attempt = format!("attempt 0 tls {target}");
    run(&["connect", &target])
        .expect(1)
        .says(&[&attempt, "connection refused"]);
}

#[test]
fn a_name_that_does_not_exist_is_said_to() {
    let resolver = NameServer::start();
    run(&[
        "connect",
        "nobody.portway.test:1",
        "--resolver",
        resolver.address(),
    ])
    .expect(1)
    .says(&[
        "nobody.portway.test:1",
        "A? nobody.portway.test",
        "no such name",
    ]);
}

#[test]
fn a_certificate_from_nobody_is_refused_on_both_sides() {
    let mut listening = Listening::start(&[ANY, "--self-signed", "--echo"], 1);
    let run = run_with(&["connect", &listening.address()], b"secret").expect(1);
    assert!(run.stdout.is_empty());
    run.says(&["attempt 0 tls", "certificate"]);
    let line = listening.line();
    assert!(line.contains("a connection was not accepted"), "{line}");
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new("other-name");
    let (cert, key) = authority.issue("other.portway.test");
    let listening = Listening::start(&[ANY, "--cert", &cert, "--key", &key, "--echo"], 1);
    let address = listening.address();
    let root = authority.root();
    let rest = [
        "connect",
        &address,
        "--ca",
        &root,
        "--server-name",
        "host.portway.test",
    ];
    run(&rest)
        .expect(1)
        .says(&["certificate", "host.portway.test"]);
}

#[test]
fn a_server_without_a_common_protocol_is_refused() {
    let listening = Listening::start(&[ANY, "--self-signed", "--alpn", "a", "--echo"], 1);
    run(&["connect", &listening.address(), "--insecure", "--alpn", "b"])
        .expect(1)
        .says(&["attempt 0 quic", "attempt 1 tls"]);
}

#[test]
fn a_peer_that_speaks_no_tls_is_refused() {
    let listening = Listening::start(&[ANY, "--security", "none", "--echo"], 1);
    run(&["connect", &listening.address(), "--insecure"])
        .expect(1)
        .says(&["attempt 0 tls"]);
}

#[test]
fn a_silent_peer_is_given_up_after_the_timeout() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let target = silent.local_addr().unwrap().to_string();
    run(&["connect", &target, "--insecure", "--timeout", "200ms"])
        .expect(1)
        .says(&["deadline", "attempt 0 tls"]);
}

#[test]
fn a_file_that_is_not_what_it_should_be_is_named() {
    let file = directory("bad-file").join("bad.pem");
    std::fs::write(&file, "nothing").unwrap();
    let file = file.to_str().unwrap();
    run(&["connect", "127.0.0.1:1", "--ca", file])
        .expect(1)
        .says(&[file]);
    run(&["connect", "127.0.0.1:1", "--ca", "/nonexistent/ca.pem"])
        .expect(1)
        .says(&["/nonexistent/ca.pem"]);
    run(&["listen", ANY, "--cert", file, "--key", file])
        .expect(1)
        .says(&[file]);
}

#[test]
fn a_port_that_is_taken_is_said_to_be() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let local = taken.local_addr().unwrap().to_string();
    run(&["listen", &local, "--security", "none"])
        .expect(1)
        .says(&[&local, "in use"]);
}

#[test]
fn nobody_reading_the_output_is_no_failure() {
    for arguments in [
        &["help", "explain"][..],
        &["explain", "127.0.0.1:1", "--dry-run"],
    ] {
        let mut child = support::portway(arguments).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}
