//! Each program does by itself what it shows, over sockets of loopback, and ends.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// Runs a program without arguments; gives what it printed.
fn printed(program: &str) -> String {
    let output = Command::new(program).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn axum_is_served_by_all_versions() {
    let printed = printed(env!("CARGO_BIN_EXE_axum"));
    let lines: Vec<&str> = printed.lines().skip(1).collect();
    let expected = [
        "hello you, by HTTP/1.1 from 127.0.0.1",
        "hello you, by HTTP/2.0 from 127.0.0.1",
        "hello you, by HTTP/3.0 from 127.0.0.1",
        "0 requests were cut off",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn tonic_calls_one_method_and_a_stream_of_another() {
    let expected = "hello you\nhello Ada\nhello Grace\nInvalidArgument: nobody to greet\n";
    assert_eq!(printed(env!("CARGO_BIN_EXE_tonic")), expected);
}

#[test]
fn the_client_of_hyper_gets_a_page_by_http2() {
    let expected = "HTTP/2.0 200 OK\nhello\n";
    assert_eq!(printed(env!("CARGO_BIN_EXE_hyper_client")), expected);
}

#[test]
fn axum_is_served_to_curl_and_ends_with_its_input() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_axum"))
        .arg("127.0.0.1:0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut said = BufReader::new(program.stdout.take().expect("it is piped")).lines();
    let url = said.next().expect("a line").expect("text");
    for (option, version) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")] {
        let curl = Command::new("curl")
            .args(["--silent", "--insecure", option])
            .arg(format!("{url}hello/you"))
            .output();
        let why = match curl {
            // An option that it was not built for.
            Ok(curl) if curl.status.code() == Some(2) => format!("{}", curl.status),
            Ok(curl) => {
                let said = String::from_utf8_lossy(&curl.stdout).into_owned();
                let expected = format!("hello you, by {version} from 127.0.0.1");
                assert_eq!(said.trim_end(), expected);
                continue;
            }
            Err(error) => error.to_string(),
        };
        // Not by a macro that the test harness would keep from who reads a passing run.
        let test = "axum_is_served_to_curl_and_ends_with_its_input";
        let line = format!("skipped: {test}: curl {option}: {why}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    drop(program.stdin.take());
    let last = said.next().expect("a line").expect("text");
    assert_eq!(last, "0 requests were cut off");
    assert!(program.wait().expect("it ends").success());
}
