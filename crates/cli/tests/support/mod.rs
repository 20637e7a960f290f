//! The built command, run as a person would run it, and what it needs around it.
//!
//! Invariant: every process ends with its test, and nothing leaves loopback.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses a part of it"
)]
#![allow(
    clippy::unwrap_used,
    reason = "this is test code outside of a test function"
)]

mod files;
mod http_server;
mod name_server;

pub(crate) use files::{Authority, directory, path};
pub(crate) use http_server::serve;
pub(crate) use name_server::NameServer;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::JoinHandle;

/// Says that a test could not run: on the real standard error, as the test harness shows what
/// `eprintln!` writes for failing tests only.
pub(crate) fn say_skipped(test: &str, why: &str) {
    let line = format!("skipped: {test}: {why}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// What a run of the command gave.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// Fails with everything that the command said unless it ended with `code`.
    pub(crate) fn expect(self, code: i32) -> Run {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            String::from_utf8_lossy(&self.stdout),
            self.stderr
        );
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// Fails unless standard error says each of these.
    pub(crate) fn says(self, words: &[&str]) -> Run {
        for word in words {
            assert!(
                self.stderr.contains(word),
                "no {word:?} in:\n{}",
                self.stderr
            );
        }
        self
    }
}

/// The command with its arguments and nothing of the caller's terminal.
pub(crate) fn portway(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portway"));
    command
        .args(arguments)
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs to the end without input.
pub(crate) fn run(arguments: &[&str]) -> Run {
    run_with(arguments, b"")
}

/// Runs to the end with this input.
pub(crate) fn run_with(arguments: &[&str], input: &[u8]) -> Run {
    let child = portway(arguments).stdin(Stdio::piped()).spawn().unwrap();
    finish(child, input)
}

fn finish(mut child: Child, input: &[u8]) -> Run {
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A command that ends before its input has been read is no failure of the writer.
    let writer = std::thread::spawn(move || stdin.write_all(&input).ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Run {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A running `portway listen`.
pub(crate) struct Listening {
    child: Option<Child>,
    stderr: BufReader<ChildStderr>,
    said: String,
    addresses: Vec<(String, SocketAddr)>,
}

impl Listening {
    /// Starts it, and waits until it listens for `stacks` protocols.
    pub(crate) fn start(arguments: &[&str], stacks: usize) -> Listening {
        let mut arguments = arguments.to_vec();
        arguments.insert(0, "listen");
        let mut child = portway(&arguments).stdin(Stdio::piped()).spawn().unwrap();
        let mut listening = Listening {
            stderr: BufReader::new(child.stderr.take().unwrap()),
            child: Some(child),
            said: String::new(),
            addresses: Vec::new(),
        };
        while listening.addresses.len() < stacks {
            let line = listening.line();
            let mut words = line.split_whitespace();
            if words.next() == Some("listening") {
                let stack = words.next().unwrap().to_owned();
                let address = words.next().unwrap().parse().unwrap();
                listening.addresses.push((stack, address));
            }
        }
        listening
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it ended after: {}", self.said);
        self.said.push_str(&line);
        line
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        self.addresses[0].1.to_string()
    }

    pub(crate) fn stacks(&self) -> Vec<&str> {
        self.addresses
            .iter()
            .map(|(stack, _)| stack.as_str())
            .collect()
    }

    pub(crate) fn port(&self) -> u16 {
        self.addresses[0].1.port()
    }

    /// Whether all protocols have the same port.
    pub(crate) fn has_one_port(&self) -> bool {
        self.addresses
            .iter()
            .all(|(_, address)| address.port() == self.port())
    }

    /// Gives it this input and waits for its end, which something else must bring about.
    pub(crate) fn finish(mut self, input: &[u8]) -> Run {
        let mut child = self.child.take().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input).ok());
        let stdout = child.stdout.take().unwrap();
        let reader: JoinHandle<Vec<u8>> = std::thread::spawn(move || {
            let mut all = Vec::new();
            BufReader::new(stdout).read_to_end(&mut all).unwrap();
            all
        });
        self.stderr.read_to_string(&mut self.said).unwrap();
        let status = child.wait().unwrap();
        writer.join().unwrap();
        Run {
            code: status.code(),
            stdout: reader.join().unwrap(),
            stderr: std::mem::take(&mut self.said),
        }
    }
}

/// What serves for ever ends with its test.
impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
