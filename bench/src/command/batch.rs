//! A hundred messages in a batch against a hundred single sends: system calls.
//!
//! Invariant: both send the same messages over the same kind of connection. [`run`]
//! counts writes in the environment, [`run_sender`] is for a tool that counts from outside.

use crate::carrier::{Carrier, Credentials};
use crate::counting::CountingEnvironment;
use crate::portway_side;
use portway::{Connection, Context, RealConfig, RealEnvironment};
use portway_sim::Altered;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Calls of a hundred single sends and of one batch.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Calls {
    /// Single sends.
    pub single: u64,
    /// The batch.
    pub batch: u64,
}

/// Counts in the environment.
pub fn run() -> Calls {
    let (single, batch) = runtime().block_on(count(sink()));
    Calls { single, batch }
}

/// Reads whatever comes until the process is ended; prints its address.
pub fn run_sink() {
    println!("{}", sink());
    loop {
        std::thread::park();
    }
}

/// Sends batches, or as many single messages, so often.
pub fn run_sender(address: &str, mode: &str, rounds: &str) {
    let address = address.parse().expect("an address");
    let rounds: usize = rounds.parse().expect("a number");
    runtime().block_on(async {
        let connection = connect(&portway_side::context(), address).await;
        for _ in 0..rounds {
            send(&connection, mode == "batch").await;
        }
    });
}

/// The writes of single sends and of a batch.
async fn count(address: SocketAddr) -> (u64, u64) {
    let environment = CountingEnvironment::new(RealEnvironment::new(RealConfig::default()));
    let writes = environment.writes();
    let connection = connect(&Context::new(Arc::new(Altered(environment))), address).await;
    let start = writes.load(Ordering::Relaxed);
    send(&connection, false).await;
    let middle = writes.load(Ordering::Relaxed);
    send(&connection, true).await;
    let end = writes.load(Ordering::Relaxed);
    (middle - start, end - middle)
}

async fn connect(context: &Context, address: SocketAddr) -> Connection {
    // Nothing is protected here, so no credentials are used.
    portway_side::to(context, address, Carrier::Tcp, &Credentials::generate())
        .initiate()
        .await
        .expect("our own listener")
}

async fn send(connection: &Connection, is_batch: bool) {
    let messages = (0..MESSAGES).map(|_| vec![7u8; MESSAGE_BYTES]);
    if is_batch {
        let receipts = connection.send_batch(messages).await;
        drop(receipts.expect("the sink reads"));
        return;
    }
    for message in messages {
        let receipt = connection.send(message).await;
        drop(receipt.expect("the sink reads"));
    }
}

/// Reads whatever comes, in threads.
fn sink() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener on loopback");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut stream, mut buffer) = (stream, vec![0; 64 * 1024]);
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
            });
        }
    });
    address
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

const MESSAGES: usize = 100;
const MESSAGE_BYTES: usize = 64;
