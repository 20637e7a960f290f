//! As many idle clients on real sockets as this process may have, up to ten thousand: what the
//! server's thread holds for them.

use crate::heap::live;
use crate::support::{app, loopback};
use portway_http::server::{Event, Server};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

#[test]
fn ten_thousand_idle_clients_are_held_and_given_back() {
    let clients = clients_max();
    if clients < CLIENTS_MAX {
        let why = "tried with fewer, since each needs two descriptors";
        let test = "ten_thousand_idle_clients_are_held_and_given_back";
        // Not by a macro that the test harness would keep from who reads a passing run.
        let line = format!("skipped: {test}: {why}: {clients}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    let server = Threaded::start(clients);
    // What every server holds, whoever comes.
    drop(server.clients(1));
    server.wait_ended(1);
    let before = server.live();
    let mut connected = server.clients(clients);
    let idle = server.live();
    let each = (idle - before) / clients as isize;
    println!("{each} bytes each");
    assert!(each < IDLE_BYTES_MAX, "{each} bytes each");
    for client in &mut connected {
        ask(client);
    }
    let grown = server.live() - idle;
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more are held");
    drop(connected);
    server.wait_ended(clients);
    let left = server.live() - before;
    // The tables of the runtime keep their room.
    assert!(
        left < clients as isize * LEFT_BYTES_MAX,
        "{left} bytes are left"
    );
}

/// As many as the limit of descriptors lets both ends be in this process.
fn clients_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = files.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    // Other tests run beside this one.
    let free = soft.unwrap_or(1024_usize).saturating_sub(OTHERS);
    (free / 2).clamp(50, CLIENTS_MAX)
}

/// A server with a thread of its own, on which everything of it is allocated.
struct Threaded {
    address: SocketAddr,
    ask: Option<mpsc::UnboundedSender<Sender<isize>>>,
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Threaded {
    fn start(clients: usize) -> Self {
        let (tell, told) = channel();
        let (tell_end, ended) = channel();
        let (ask, mut asked) = mpsc::unbounded_channel::<Sender<isize>>();
        let serve = async move {
            let server = Server::new(loopback())
                .limits(|limits| limits.connections_max = clients)
                .times(|times| times.keep_alive = Duration::from_secs(24 * 3600))
                .on_event(move |event| {
                    if let Event::Ended { .. } = event {
                        tell_end.send(()).expect("the test waits");
                    }
                });
            let serving = server.serve(app()).expect("a server");
            tell.send(serving.address()).expect("the test waits");
            while let Some(answer) = asked.recv().await {
                answer.send(live()).expect("the test waits");
            }
        };
        let thread = std::thread::spawn(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(serve);
        });
        Threaded {
            address: told.recv().expect("it starts"),
            ask: Some(ask),
            ended,
            thread: Some(thread),
        }
    }

    /// What its thread holds, between the turns of its tasks.
    fn live(&self) -> isize {
        let (sender, answer) = channel();
        let ask = self.ask.as_ref().expect("it runs");
        ask.send(sender).expect("it runs");
        answer.recv_timeout(HANG).expect("it answers")
    }

    /// Clients that were answered once.
    fn clients(&self, count: usize) -> Vec<TcpStream> {
        let connect = || {
            let mut client = TcpStream::connect(self.address).expect("a server");
            client.set_read_timeout(Some(HANG)).expect("it can be set");
            ask(&mut client);
            client
        };
        (0..count).map(|_| connect()).collect()
    }

    fn wait_ended(&self, count: usize) {
        for _ in 0..count {
            self.ended.recv_timeout(HANG).expect("it tells of each");
        }
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        self.ask = None;
        let thread = self.thread.take().expect("it was started");
        assert!(thread.join().is_ok() || std::thread::panicking());
    }
}

fn ask(client: &mut TcpStream) {
    let request = b"GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n";
    client.write_all(request).expect("it is taken");
    let mut answer = [0; 1024];
    let length = client.read(&mut answer).expect("an answer");
    let answer = &answer[..length];
    assert!(answer.starts_with(b"HTTP/1.1 404 ") && answer.ends_with(b"\r\n\r\n"));
}

const CLIENTS_MAX: usize = 10_000;

/// After so long a test ends that would never end.
const HANG: Duration = Duration::from_secs(300);

/// Descriptors for everything else.
const OTHERS: usize = 400;

/// hyper keeps 8 KiB to read into.
const IDLE_BYTES_MAX: isize = 24 * 1024;

const GROWTH_BYTES_MAX: isize = 64 * 1024;

/// Of each client, when it is gone.
const LEFT_BYTES_MAX: isize = 256;
