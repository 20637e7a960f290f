//! A network namespace.
//!
//! Invariant: it has no name, so that it ends with its file, however the test ends; and only
//! threads of [`Namespace::run`] and [`Namespace::spawn`], with what they start, are in it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread;

/// A namespace with a loopback interface that is down.
#[derive(Clone)]
pub struct Namespace {
    file: Arc<File>,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Errors
    /// The system does not permit it.
    pub fn new() -> io::Result<Namespace> {
        let made = thread::spawn(|| {
            // SAFETY: the call takes no pointer, and concerns this short-lived thread only.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            File::open("/proc/thread-self/ns/net")
        });
        let file = made.join().expect("no panic in the thread")?;
        Ok(Namespace {
            file: Arc::new(file),
        })
    }

    /// A path that leads other processes here.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// Runs `work` inside: its sockets, threads and processes belong to this namespace.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter();
                work()
            });
            inside.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// As [`Namespace::run`], and returns at once.
    pub fn spawn<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> thread::JoinHandle<R> {
        let here = self.clone();
        thread::spawn(move || {
            here.enter();
            work()
        })
    }

    /// Runs a command of the system, which must succeed, and returns its output.
    pub fn command(&self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().expect("a command"));
        command.args(words);
        let output = self.run(|| command.output().expect("the command starts"));
        text_of(line, output)
    }

    /// Gives nftables these statements.
    pub fn nft(&self, statements: &str) {
        let output = self.run(|| {
            let mut nft = Command::new("nft")
                .args(["-f", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("nft starts");
            let mut input = nft.stdin.take().expect("its input is piped");
            input.write_all(statements.as_bytes()).expect("nft reads");
            drop(input);
            nft.wait_with_output().expect("nft ends")
        });
        text_of(statements, output);
    }

    /// Drops what arrives and matches `rule`.
    pub fn nft_input(&self, rule: &str) {
        self.nft(&format!(
            "table inet fault {{\nchain input {{\n\
             type filter hook input priority 0;\n{rule}\n}}\n}}\n"
        ));
    }

    /// Takes every rule away.
    pub fn nft_flush(&self) {
        self.nft("flush ruleset");
    }

    fn enter(&self) {
        // SAFETY: the descriptor is open as long as `self`, and the call takes no pointer.
        let entered = unsafe { libc::setns(self.file.as_raw_fd(), libc::CLONE_NEWNET) };
        assert_eq!(entered, 0, "setns: {}", io::Error::last_os_error());
    }
}

fn text_of(what: &str, output: Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{what}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
