//! The heap that an idle connection holds, against tokio's stream or tokio-rustls's.
//!
//! Invariant: the server is another process, so only the client's memory is counted. Every
//! connection has moved a message and waits for nothing.

use crate::carrier::{Carrier, Credentials};
use crate::heap;
use crate::workload::{Messenger, begin};
use crate::{portway_side, tokio_side};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

/// Bytes an idle connection, portway's and the other's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The carrier.
    pub name: String,
    /// portway's bytes.
    pub portway: isize,
    /// The other's bytes.
    pub other: isize,
}

/// Measures both carriers.
pub fn run() -> Vec<Figure> {
    heap::start_counting();
    let runtime = runtime();
    let directory = std::env::temp_dir().join(format!("portway-memory-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a temporary directory");
    let credentials = Credentials::generate();
    credentials.save(&directory).expect("a writable directory");
    let mut figures = Vec::new();
    for carrier in Carrier::ALL {
        let (mut server, address) = start_server(carrier, &directory);
        let (portway, other) = runtime.block_on(measure(carrier, &credentials, address));
        server.kill().expect("our own child");
        server.wait().expect("our own child");
        let name = carrier.name().to_owned();
        figures.push(Figure {
            name,
            portway,
            other,
        });
    }
    std::fs::remove_dir_all(&directory).expect("our own directory");
    figures
}

/// The server, in a process of its own.
pub fn run_server(carrier: &str, directory: &str) {
    let carrier = Carrier::named(carrier).expect("tcp or tls");
    let credentials = Credentials::load(Path::new(directory)).expect("what the parent saved");
    runtime().block_on(serve(carrier, credentials));
}

async fn serve(carrier: Carrier, credentials: Credentials) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a listener on loopback");
    println!("{}", listener.local_addr().expect("it is bound"));
    tokio_side::accept_all(listener, carrier, Arc::new(credentials)).await;
}

fn start_server(carrier: Carrier, directory: &Path) -> (Child, SocketAddr) {
    let mut server = Command::new(std::env::current_exe().expect("a file that runs"))
        .args(["measure", "memory-server", carrier.name()])
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program runs");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("it is piped"))
        .read_line(&mut line)
        .expect("the server tells its address");
    let address = line.trim().parse().expect("an address");
    (server, address)
}

/// Bytes for each idle connection: portway's, then tokio's.
async fn measure(
    carrier: Carrier,
    credentials: &Credentials,
    server: SocketAddr,
) -> (isize, isize) {
    let context = portway_side::context();
    let preconnection = portway_side::to(&context, server, carrier, credentials);
    let ours = each(async || {
        let mut connection = preconnection.initiate().await.expect("our own server");
        begin(&mut connection, 0).await;
        Messenger::send(&mut connection, vec![7; 64].into()).await;
        Messenger::receive(&mut connection).await.expect("the echo");
        connection
    })
    .await;
    let connector = TlsConnector::from(credentials.client());
    let theirs = match carrier {
        Carrier::Tcp => {
            each(async || {
                let mut stream = tokio_side::connect_tcp(server).await;
                echo(&mut stream).await;
                stream
            })
            .await
        }
        Carrier::Tls => {
            each(async || {
                let mut stream = tokio_side::connect_tls(server, &connector).await;
                echo(&mut stream).await;
                stream
            })
            .await
        }
    };
    (ours, theirs)
}

/// Two messages behind their lengths, as portway sends them; the second one comes back.
async fn echo<S: AsyncReadExt + AsyncWriteExt + Unpin>(stream: &mut S) {
    let mut bytes = vec![0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 64];
    bytes.extend([7; 64]);
    stream.write_all(&bytes).await.expect("the server reads");
    stream.flush().await.expect("the server reads");
    let mut reply = [0; 68];
    stream.read_exact(&mut reply).await.expect("the echo");
}

/// The heap bytes of each thing that `open` makes, its own size included.
async fn each<C>(open: impl AsyncFn() -> C) -> isize {
    // What is made once is not a connection's, and neither is what a context remembers of its
    // latest races.
    for _ in 0..WARM_UP {
        drop(open().await);
    }
    let mut all = Vec::with_capacity(CONNECTIONS);
    settle().await;
    let before = heap::live_bytes();
    for _ in 0..CONNECTIONS {
        all.push(open().await);
    }
    settle().await;
    let after = heap::live_bytes();
    (after - before) / CONNECTIONS as isize + size_of::<C>() as isize
}

/// Waits until races take no late answers any more.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1500)).await;
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

const CONNECTIONS: usize = 200;

/// More connections than races that a context remembers.
const WARM_UP: usize = 300;
