//! tokio-quiche in a process of its own, since its BoringSSL clashes with the other TLS libraries.
//!
//! Invariant: it has a thread, a runtime and a processor for each end there, and says what their
//! clocks have counted; what passes between the processes counts for nobody.

use crate::carrier::HOST;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// One connection of it under one load; the process ends when this is dropped.
pub struct Quiche {
    child: Child,
    input: ChildStdin,
    lines: UnboundedReceiver<String>,
}

/// What a batch of requests took.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Processor time of both ends for one request, in microseconds.
    pub processor: f64,
    /// Requests a second.
    pub rate: f64,
}

impl Quiche {
    /// Why there is none, if so.
    pub fn obstacle() -> Option<String> {
        let told = "tokio-quiche, which `cargo xtask bench` builds where cmake and libclang are";
        (!program().exists()).then(|| told.to_owned())
    }

    /// Starts it under a load, such as `get-32` over HTTP/3 or `requests-32` over raw QUIC, and
    /// waits until it has warmed up.
    ///
    /// # Errors
    /// What keeps it from that.
    pub async fn start(load: &str) -> Result<Quiche, String> {
        let says = |error: std::io::Error| format!("tokio-quiche: {error}");
        let files = Files::write().map_err(says)?;
        let mut child = Command::new(program())
            .arg(load)
            .args([files.path(CERTIFICATE), files.path(KEY)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(says)?;
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = unbounded_channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut quiche = Quiche {
            child,
            input,
            lines,
        };
        // The files are read before.
        match quiche.lines.recv().await.as_deref() {
            Some("ready") => Ok(quiche),
            _ => Err(format!("tokio-quiche does not start under {load}")),
        }
    }

    /// Asks so often.
    ///
    /// # Errors
    /// That it has ended.
    pub async fn act(&mut self, times: usize) -> Result<Batch, String> {
        let over = || "tokio-quiche has ended".to_owned();
        writeln!(self.input, "go {times}").map_err(|_| over())?;
        let line = self.lines.recv().await.ok_or_else(over)?;
        let numbers: Option<Vec<f64>> = line.split(' ').map(|it| it.parse().ok()).collect();
        match numbers.as_deref() {
            Some([processor, passed]) => Ok(Batch {
                processor: processor / times as f64 / 1e3,
                rate: times as f64 / passed * 1e9,
            }),
            _ => Err(format!("tokio-quiche: {line}")),
        }
    }
}

impl Drop for Quiche {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate of the same kind as the others' in a directory, until this is dropped.
struct Files(PathBuf);

impl Files {
    fn write() -> std::io::Result<Files> {
        let name = format!("portway-bench-quiche-{}", std::process::id());
        let files = Files(std::env::temp_dir().join(name));
        std::fs::create_dir_all(&files.0)?;
        let certified = rcgen::generate_simple_self_signed([HOST.to_owned()])
            .expect("the name can stand in a certificate");
        std::fs::write(files.path(CERTIFICATE), certified.cert.pem())?;
        std::fs::write(files.path(KEY), certified.signing_key.serialize_pem())?;
        Ok(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program, which a workspace of its own builds.
fn program() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("quiche");
    workspace.join("target/release/portway-bench-quiche")
}

const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
