//! `portway get` against servers of a few lines each.
#![allow(
    clippy::unwrap_used,
    reason = "this is test code outside of a test function"
)]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use support::{Authority, Listening, NameServer, directory, run, serve};

fn ok(content: &str) -> String {
    let length = content.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nx-test: yes\r\n\r\n{content}")
}

fn status(line: &str, fields: &str) -> String {
    format!("HTTP/1.1 {line}\r\ncontent-length: 4\r\n{fields}\r\nbody")
}

/// A server that answers with the request itself.
fn echo() -> String {
    format!("http://{}/", serve(ok))
}

#[test]
fn content_goes_to_standard_output_and_into_files() {
    let (url, folder) = (echo(), directory("get-files"));
    let plain = run(&["get", &url]).expect(0);
    assert!(
        plain.text().starts_with("GET / HTTP/1.1\r\n"),
        "{}",
        plain.text()
    );
    assert!(plain.text().contains("user-agent: portway/"));
    let file = folder.join("out");
    let named = file.to_str().unwrap();
    assert!(run(&["get", &url, "-o", named]).expect(0).text().is_empty());
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("GET /"));
    let name = format!("{}-remote", folder.file_name().unwrap().to_str().unwrap());
    run(&["get", "-O", &format!("{url}{name}?query")]).expect(0);
    let remote = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    assert!(std::fs::read_to_string(remote).unwrap().contains("?query"));
    run(&["get", "-O", &url]).expect(2).says(&["--output"]);
    run(&["get", &url, "-o", "/nowhere/at/all"]).expect(23);
}

#[test]
fn method_fields_and_content_are_sent_as_they_were_given() {
    let url = echo();
    let rows: [(&[&str], &[&str]); 6] = [
        (
            &["-d", "a=1", "-d", "b=2"],
            &["POST /", "form-urlencoded", "\r\n\r\na=1&b=2"],
        ),
        (
            &["--json", "{}"],
            &["POST /", "content-type: application/json", "\r\n\r\n{}"],
        ),
        (&["-X", "PURGE"], &["PURGE / HTTP/1.1"]),
        (&["-H", "X-One: 1", "-H", "accept:"], &["x-one: 1"]),
        (&["-u", "user:word"], &["authorization: Basic dXNlcjp3b3Jk"]),
        (
            &["-i"],
            &["HTTP/1.1 200 OK\r\n", "x-test: yes\r\n\r\nGET /"],
        ),
    ];
    for (arguments, expected) in rows {
        let text = run(&[&["get", &url], arguments].concat()).expect(0).text();
        for words in expected {
            assert!(
                text.contains(words),
                "{arguments:?} without {words:?}: {text}"
            );
        }
        assert_eq!(
            text.contains("accept: */*"),
            !arguments.contains(&"accept:") && arguments[0] != "--json"
        );
    }
}

#[test]
fn the_head_alone_has_no_content() {
    let url = format!(
        "http://{}/",
        serve(|_| "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
    );
    let head = run(&["get", "-I", &url]).expect(0).text();
    assert_eq!(head, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n");
}

#[test]
fn redirects_are_followed_when_asked_for() {
    let address = serve(|request| match request.starts_with("GET /end") {
        true => ok("the end"),
        false if request.starts_with("GET /loop") => status("302 Found", "location: /loop\r\n"),
        false => status("302 Found", "location: /end\r\n"),
    });
    let url = format!("http://{address}/");
    assert_eq!(run(&["get", &url]).expect(0).text(), "body");
    let format = "|%{num_redirects} %{http_code} %{url_effective}";
    let followed = run(&["get", "-L", &url, "-w", format]).expect(0).text();
    assert_eq!(followed, format!("the end|1 200 {url}end"));
    let looped = format!("{url}loop");
    run(&["get", "-L", "--max-redirs", "3", &looped])
        .expect(47)
        .says(&["redirects"]);
}

#[test]
fn a_status_is_a_failure_when_asked_for() {
    let url = format!("http://{}/", serve(|_| status("404 Not Found", "")));
    assert_eq!(run(&["get", &url]).expect(0).text(), "body");
    let failed = run(&["get", "-f", &url, "-w", "%{exitcode}"])
        .expect(22)
        .says(&["404"]);
    assert_eq!(failed.text(), "22");
}

#[test]
fn failures_have_the_codes_of_curl() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    run(&["get", &format!("http://{free}/")])
        .expect(7)
        .says(&["attempt 0", "refused"]);
    run(&["get", "no-scheme"]).expect(3);
    let names = NameServer::start();
    run(&[
        "get",
        "--resolver",
        names.address(),
        "http://nobody.example/",
    ])
    .expect(6);
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let deaf = deaf.local_addr().map(|address| (deaf, address)).unwrap();
    run(&["get", "--max-time", "50ms", &format!("http://{}/", deaf.1)]).expect(28);
    run(&[
        "get",
        "--connect-timeout",
        "50ms",
        &format!("https://{}/", deaf.1),
    ])
    .expect(28);
    let silent_dns = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let resolver = silent_dns.local_addr().unwrap().to_string();
    let named = [
        "get",
        "--resolver",
        &resolver,
        "--connect-timeout",
        "50ms",
        "http://a.test/",
    ];
    run(&named).expect(28);
    let half = serve(|_| "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9\r\n\r\nhalf");
    let cut = run(&["get", &format!("http://{half}/")]).expect(56);
    assert_eq!(cut.text(), "half", "what came is written");
    let plain = serve(|_| "no TLS, close");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let no_tls = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"this is not TLS at all").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    run(&["get", &format!("https://{no_tls}/")]).expect(35);
    run(&["get", &format!("http://{plain}/")]).expect(56);
}

#[test]
fn certificates_are_checked_unless_told_not_to() {
    let authority = Authority::new("get-certificate");
    let (cert, key) = authority.issue("127.0.0.1");
    let server = Listening::start(
        &[
            "127.0.0.1:0",
            "--echo",
            "--alpn",
            "http/1.1",
            "--protocols",
            "tls",
            "--cert",
            &cert,
            "--key",
            &key,
        ],
        1,
    );
    let url = format!("https://{}/", server.address());
    run(&["get", &url]).expect(60);
    // What it echoes is no answer of HTTP, so trust was given.
    for trust in [vec!["--cacert", &authority.root()], vec!["--insecure"]] {
        run(&[&["get", &url], &trust[..]].concat()).expect(56);
    }
}

#[test]
fn a_passing_failure_is_tried_again() {
    let seen = Arc::new(Mutex::new(0));
    let count = seen.clone();
    let address = serve(move |_| {
        let mut seen = count.lock().unwrap();
        *seen += 1;
        match *seen {
            3 => ok("at last"),
            _ => status("503 Service Unavailable", "retry-after: 0\r\n"),
        }
    });
    let got = run(&["get", "--retry", "2", &format!("http://{address}/")]).expect(0);
    assert_eq!(got.text(), "at last");
    assert_eq!(*seen.lock().unwrap(), 3);
}

#[test]
fn a_server_that_is_never_well_ends_the_tries_by_their_number_or_time() {
    let seen = Arc::new(Mutex::new(0));
    let count = seen.clone();
    let address = serve(move |request| {
        *count.lock().unwrap() += 1;
        match request.starts_with("GET /later") {
            true => status("503 Busy", "retry-after: 18446744073709551615\r\n"),
            false => status("503 Busy", "retry-after: 0\r\n"),
        }
    });
    let url = format!("http://{address}/");
    let got = run(&["get", "--retry", "80", &url]).expect(0);
    assert_eq!(got.text(), "body");
    assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), 81);
    let later = format!("{url}later");
    run(&["get", "--retry", "80", "--retry-max-time", "9m", &later]).expect(0);
    assert_eq!(*seen.lock().unwrap(), 1);
}

#[test]
fn several_urls_are_got_one_by_one_or_together() {
    let url = echo();
    let folder = directory("get-several");
    let files = ["one", "two"].map(|name| folder.join(name).to_str().unwrap().to_owned());
    for extra in [&["-v"][..], &["-v", "--parallel"]] {
        let common = ["get", &url, &url, "-o", &files[0], "-o", &files[1]];
        run(&[&common[..], extra].concat()).expect(0);
        for file in &files {
            assert!(std::fs::read_to_string(file).unwrap().starts_with("GET /"));
        }
    }
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let gone = format!("http://{free}/");
    let both = run(&["get", &gone, &url]).expect(7);
    assert!(
        both.text().starts_with("GET /"),
        "the other one is got all the same"
    );
}

#[test]
fn verbose_tells_race_connection_heads_and_phases() {
    let url = echo();
    let said = run(&["get", "-v", "-u", "user:word", &url]).expect(0);
    let said = said.says(&[
        "* dialling http://127.0.0.1",
        "HTTP/1.1",
        "attempt",
        "* connected: HTTP/1.1 to",
    ]);
    let said = said.says(&[
        "> GET ",
        "< HTTP/1.1 200 OK",
        "< x-test: yes",
        "resolved",
        "ready",
        "done",
    ]);
    assert!(!said.stderr.contains("Basic"), "credentials are not told");
}

#[test]
fn http2_is_spoken_exactly_where_asked_for() {
    let url = echo();
    assert_eq!(
        run(&[
            "get",
            "--http",
            "1.1",
            &url,
            "-o",
            "/dev/null",
            "-w",
            "%{http_version}"
        ])
        .expect(0)
        .text(),
        "1.1"
    );
    run(&["get", "--http", "2", &url]).expect(56);
}
