//! A server in a process of its own, perhaps under a tool that counts.
//!
//! Invariant: dropping it ends the process.

use crate::counted::this_program;
use rustls::pki_types::CertificateDer;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server that runs.
pub struct Process {
    child: Child,
    /// How clients find it.
    pub place: Place,
}

/// How clients find a server.
#[derive(Clone)]
pub struct Place {
    /// Where it is.
    pub address: SocketAddr,
    /// Whom to trust.
    pub certificate: CertificateDer<'static>,
}

impl Process {
    /// Starts this program as a server, by a tool with these arguments if there is one.
    pub fn start(stack: &str, form: &str, tool: &[&str]) -> Process {
        let mut command = match tool {
            [] => Command::new(this_program()),
            [tool, arguments @ ..] => {
                let mut command = Command::new(tool);
                command.args(arguments).arg(this_program());
                command
            }
        };
        let mut child = command
            .args(["serve", stack, form])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(match tool {
                [] => Stdio::inherit(),
                _ => Stdio::piped(),
            })
            .spawn()
            .expect("this program starts");
        let mut line = String::new();
        let told = BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line);
        told.expect("it tells where it is");
        let told = line.trim().split_once(" certificate:");
        let (address, hex) = told.expect("address and certificate");
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
        let certificate: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        Process {
            child,
            place: Place {
                address: address.parse().expect("an address"),
                certificate: certificate.into(),
            },
        }
    }

    /// The processor time of all its threads.
    pub fn time(&self) -> Duration {
        let mut clock = 0;
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: both outlive the calls, and the process is not waited for while it is measured.
        let failed = unsafe {
            libc::clock_getcpuclockid(self.child.id() as libc::pid_t, &raw mut clock) != 0
                || libc::clock_gettime(clock, &raw mut time) != 0
        };
        assert!(!failed, "the server runs");
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    /// Ends it, and gives what its tool has said.
    pub fn end(mut self) -> String {
        drop(self.child.stdin.take());
        let mut said = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            errors.read_to_string(&mut said).expect("text");
        }
        self.child.wait().expect("it is ours");
        said
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It may have ended before.
        let _ = self.child.wait();
    }
}
