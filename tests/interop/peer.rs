//! A process on the other side.
//!
//! Invariant: waiting is for output of the process, never for time; a limit ends a test that
//! waits for what does not come.

pub(crate) use portway_tests::free_port;
use std::future::Future;
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

/// A running program.
pub(crate) struct Peer {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    chunks: mpsc::UnboundedReceiver<Vec<u8>>,
    /// Everything that it has written on either stream.
    output: String,
    /// What of `output` was looked at.
    seen: usize,
}

impl Peer {
    /// Starts a program, or says that the test is skipped because it is not there.
    pub(crate) fn start(test: &str, program: &str, arguments: &[&str]) -> Option<Peer> {
        let mut command = Command::new(program);
        command.args(arguments);
        Peer::spawn(test, command)
    }

    pub(crate) fn spawn(test: &str, mut command: Command) -> Option<Peer> {
        let name = command
            .as_std()
            .get_program()
            .to_string_lossy()
            .into_owned();
        let spawned = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                portway_tests::say!("skipped: {test}: {name}: {error}");
                return None;
            }
        };
        let (sender, chunks) = mpsc::unbounded_channel();
        collect(child.stdout.take().expect("piped"), sender.clone());
        collect(child.stderr.take().expect("piped"), sender);
        Some(Peer {
            name,
            input: child.stdin.take(),
            child,
            chunks,
            output: String::new(),
            seen: 0,
        })
    }

    /// Writes to its standard input.
    pub(crate) async fn say(&mut self, text: &str) {
        let input = self.input.as_mut().expect("its input is open");
        input.write_all(text.as_bytes()).await.expect("it reads");
        input.flush().await.expect("it reads");
    }

    /// Ends its standard input.
    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    /// Waits for `text` after what was waited for before, and gives the rest of its line.
    pub(crate) async fn after(&mut self, text: &str) -> String {
        loop {
            let fresh = &self.output[self.seen..];
            if let Some(at) = fresh.find(text) {
                let rest = &fresh[at + text.len()..];
                if let Some(end) = rest.find('\n') {
                    let line = rest[..end].trim_end().to_owned();
                    self.seen += at + text.len() + end;
                    return line;
                }
            }
            match self.chunks.recv().await {
                Some(chunk) => self.output.push_str(&String::from_utf8_lossy(&chunk)),
                None => panic!("{} ended without {text:?}:\n{}", self.name, self.output),
            }
        }
    }

    /// Waits for `text` anywhere, also in a line that has no end yet.
    pub(crate) async fn wait_for(&mut self, text: &str) {
        if let Err(output) = self.after_any(&[text]).await {
            panic!("{} ended without {text:?}:\n{output}", self.name);
        }
    }

    /// Waits for one of these texts and says which, or what came instead before the end.
    pub(crate) async fn after_any<'a>(&mut self, texts: &[&'a str]) -> Result<&'a str, String> {
        loop {
            if let Some(found) = texts.iter().find(|text| self.output.contains(**text)) {
                return Ok(found);
            }
            match self.chunks.recv().await {
                Some(chunk) => self.output.push_str(&String::from_utf8_lossy(&chunk)),
                None => return Err(self.output.clone()),
            }
        }
    }

    /// The address after `text`, of a server that tells where it listens.
    pub(crate) async fn address_after(&mut self, text: &str) -> SocketAddr {
        let line = self.after(text).await;
        line.parse()
            .unwrap_or_else(|_| panic!("no address: {line:?}"))
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        let id = self.child.id().expect("it runs");
        let id = libc::pid_t::try_from(id).expect("an identifier of a process");
        // SAFETY: `kill` takes no memory of ours; the child was not waited for, so that its
        // identifier is not another process's.
        assert_eq!(unsafe { libc::kill(id, libc::SIGTERM) }, 0, "it runs");
    }

    /// Ends it at once: its system closes its sockets, and it says nothing more.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("a child");
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        self.input = None;
        let status = self.child.wait().await.expect("a child");
        while let Some(chunk) = self.chunks.recv().await {
            self.output.push_str(&String::from_utf8_lossy(&chunk));
        }
        status
    }

    /// Everything that it wrote so far.
    pub(crate) fn output(&self) -> &str {
        &self.output
    }
}

/// A test that fails shows what its peers have said last: they may have panicked.
impl Drop for Peer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        while let Ok(chunk) = self.chunks.try_recv() {
            self.output.push_str(&String::from_utf8_lossy(&chunk));
        }
        let lines: Vec<&str> = self.output.lines().collect();
        let last = lines.len().saturating_sub(LINES_SHOWN);
        eprintln!("{} has said last:\n{}", self.name, lines[last..].join("\n"));
    }
}

/// Runs a test to its end, within the usual limit.
pub(crate) fn run(test: impl Future<Output = ()>) {
    run_for(TEST_MAX, test);
}

/// Runs a test to its end, within this limit.
pub(crate) fn run_for(limit: Duration, test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        // A test that takes too long is there while this panics, so that its peers tell.
        let mut test = std::pin::pin!(test);
        let ended = tokio::time::timeout(limit, test.as_mut()).await;
        ended.expect("the test ends in time");
    });
}

/// Waits until somebody listens at a port; the test's limit of time ends what never does.
pub(crate) async fn listening(port: u16) {
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        tokio::task::yield_now().await;
    }
}

fn collect(
    mut stream: impl AsyncRead + Unpin + Send + 'static,
    to: mpsc::UnboundedSender<Vec<u8>>,
) {
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok(len @ 1..) = stream.read(&mut buffer).await {
            if to.send(buffer[..len].to_vec()).is_err() {
                return;
            }
        }
    });
}

/// What is shown of a peer's output when a test fails.
const LINES_SHOWN: usize = 60;
/// For what hangs: a test takes seconds, and some minutes where a machine has much else to do.
/// Building the command is not within it.
pub(crate) const TEST_MAX: Duration = Duration::from_secs(300);
