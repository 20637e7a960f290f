//! One piece of work, done as often as asked, for a tool that counts instructions or system calls.
//!
//! Invariant: everything happens in one thread and in a fixed order, so that counts hardly vary.
//! What is timed is what is counted: the end of a connection is no part of a connect.

use crate::carrier::{Carrier, Credentials};
use crate::workload::{Messenger, begin};
use crate::{portway_side, race_work, tokio_side};
use bytes::{Bytes, BytesMut};
use portway_core::framer::{Demand, LengthPrefixed, Pipeline, Receive, ReceiveBuffer};
use portway_core::message::Message;
use portway_core::plan::Plan;
use portway_core::send_queue::WireBuffer;
use std::hint::black_box;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

macro_rules! pair {
    ($comparison:literal, $work:literal) => {
        (
            $comparison,
            concat!($work, "-portway"),
            concat!($work, "-tokio"),
        )
    };
}

/// Does the work of this name so often.
pub fn run(name: &str, times: usize) {
    match name.split('-').collect::<Vec<_>>()[..] {
        ["plan"] => plan(times),
        ["tree"] => tree(times),
        ["race"] => race(times),
        ["report"] => report(times),
        ["memory", "portway"] => in_memory(times),
        ["memory", _] => in_memory_with_codec(times),
        ["messages", carrier, size, side] => {
            let carrier = Carrier::named(carrier).expect("tcp or tls");
            let bytes = size.parse().expect("bytes");
            messages(carrier, Exchange::Bursts, bytes, side == "portway", times);
        }
        ["pingpong", carrier, side] => {
            let carrier = Carrier::named(carrier).expect("tcp or tls");
            messages(carrier, Exchange::PingPong, 64, side == "portway", times);
        }
        ["connect", "verified", side] => {
            let memory = Memory::Nothing;
            connect(Carrier::Tls, memory, side == "portway", times);
        }
        ["connect", carrier, side] => {
            let carrier = Carrier::named(carrier).expect("tcp or tls");
            connect(carrier, Memory::Chains, side == "portway", times);
        }
        _ => panic!("no such work: {name}"),
    }
}

/// The work whose cost is recorded.
pub const WORK: [&str; 31] = [
    "plan",
    "tree",
    "race",
    "report",
    "memory-portway",
    "memory-tokio",
    "messages-tcp-64-portway",
    "messages-tcp-64-tokio",
    "messages-tcp-1024-portway",
    "messages-tcp-1024-tokio",
    "messages-tcp-65536-portway",
    "messages-tcp-65536-tokio",
    "messages-tcp-1048576-portway",
    "messages-tcp-1048576-tokio",
    "pingpong-tcp-portway",
    "pingpong-tcp-tokio",
    "messages-tls-64-portway",
    "messages-tls-64-tokio",
    "messages-tls-1024-portway",
    "messages-tls-1024-tokio",
    "messages-tls-65536-portway",
    "messages-tls-65536-tokio",
    "messages-tls-1048576-portway",
    "messages-tls-1048576-tokio",
    "pingpong-tls-portway",
    "pingpong-tls-tokio",
    "connect-tcp-portway",
    "connect-tcp-tokio",
    "connect-tls-portway",
    "connect-tls-tokio",
    "connect-verified-portway",
];

/// Which work is that of a comparison: its name, portway's work and tokio's.
pub const COMPARED: [(&str, &str, &str); 13] = [
    pair!("TCP, messages of 64 B", "messages-tcp-64"),
    pair!("TCP, messages of 1 KiB", "messages-tcp-1024"),
    pair!("TCP, messages of 64 KiB", "messages-tcp-65536"),
    pair!("TCP, messages of 1 MiB", "messages-tcp-1048576"),
    pair!("TCP, ping-pong of 64 B", "pingpong-tcp"),
    pair!("TLS, messages of 64 B", "messages-tls-64"),
    pair!("TLS, messages of 1 KiB", "messages-tls-1024"),
    pair!("TLS, messages of 64 KiB", "messages-tls-65536"),
    pair!("TLS, messages of 1 MiB", "messages-tls-1048576"),
    pair!("TLS, ping-pong of 64 B", "pingpong-tls"),
    pair!("TCP, connect", "connect-tcp"),
    pair!("TLS, connect", "connect-tls"),
    (
        "TLS, connect, chain verified each time",
        "connect-verified-portway",
        "connect-tls-tokio",
    ),
];

fn plan(times: usize) {
    let request = race_work::request();
    measured(|| {
        for _ in 0..times {
            black_box(Plan::new(black_box(request.clone())).expect("it can be planned"));
        }
    });
}

fn tree(times: usize) {
    let config = race_work::config();
    measured(|| {
        for _ in 0..times {
            black_box(race_work::tree(black_box(&config)));
        }
    });
}

fn race(times: usize) {
    let config = race_work::config();
    measured(|| {
        for _ in 0..times {
            black_box(race_work::race(black_box(&config)));
        }
    });
}

fn report(times: usize) {
    let race = race_work::race(&race_work::config());
    measured(|| {
        for _ in 0..times {
            black_box(black_box(&race).report());
        }
    });
}

/// A message of 64 bytes framed, moved and found again, without sockets.
fn in_memory(times: usize) {
    let payload = Bytes::from(vec![7; 64]);
    let mut framers = Pipeline::new([Box::new(LengthPrefixed::u32()) as _]);
    let (mut wire, mut arrived) = (WireBuffer::new(), ReceiveBuffer::stream());
    measured(|| {
        for _ in 0..times {
            let message = Message::new(black_box(payload.clone()));
            framers.frame(message, &mut wire).expect("it is short");
            arrived.prepare_read().extend_from_slice(wire.first_slice());
            wire.advance(wire.len());
            match arrived.receive(&mut framers, Demand::WHOLE) {
                Ok(Receive::Message(message)) => drop(black_box(message)),
                other => panic!("the message is there: {other:?}"),
            }
        }
    });
}

/// The same with tokio-util's codec.
fn in_memory_with_codec(times: usize) {
    let payload = Bytes::from(vec![7; 64]);
    let mut codec = LengthDelimitedCodec::new();
    let (mut wire, mut arrived) = (BytesMut::new(), BytesMut::with_capacity(8 * 1024));
    measured(|| {
        for _ in 0..times {
            let message = black_box(payload.clone());
            codec.encode(message, &mut wire).expect("it is short");
            arrived.reserve(1);
            arrived.extend_from_slice(&wire);
            wire.clear();
            let message = codec.decode(&mut arrived).expect("it is well framed");
            drop(black_box(message.expect("it is there").freeze()));
        }
    });
}

/// How messages go.
#[derive(Clone, Copy)]
enum Exchange {
    /// One way, sixteen at a time or one that is long.
    Bursts,
    /// There and back, one after the other.
    PingPong,
}

/// Messages over loopback with both ends in this thread.
fn messages(carrier: Carrier, how: Exchange, bytes: usize, is_portway: bool, times: usize) {
    let credentials = Credentials::generate();
    let payload = Bytes::from(vec![7; bytes]);
    let runtime = runtime();
    if is_portway {
        let (client, server) = runtime.block_on(async {
            let context = portway_side::context();
            let mut listener = portway_side::listen(&context, carrier, &credentials).await;
            let address = listener.local_addresses()[0].1;
            let opening = portway_side::to(&context, address, carrier, &credentials).initiate();
            let (client, server) = tokio::join!(opening.into_future(), listener.accept());
            (client.expect("our own listener"), server.expect("it came"))
        });
        exchange(&runtime, how, client, server, payload, times);
    } else {
        let (client, server) = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a listener on loopback");
            let address = listener.local_addr().expect("it is bound");
            let opening = tokio_side::connect(address, carrier, &credentials);
            let accepting = tokio_side::accept(&listener, carrier, &credentials);
            tokio::join!(opening, accepting)
        });
        exchange(&runtime, how, client, server, payload, times);
    }
}

fn exchange(
    runtime: &Runtime,
    how: Exchange,
    mut client: impl Messenger,
    mut server: impl Messenger,
    payload: Bytes,
    times: usize,
) {
    let burst = if payload.len() <= 1024 { 16 } else { 1 };
    runtime.block_on(async {
        begin(&mut client, 0).await;
        server.receive().await.expect("the announcement");
    });
    let bursts = async {
        for _ in 0..times / burst {
            let sending = async {
                for _ in 0..burst {
                    client.send(payload.clone()).await;
                }
            };
            let receiving = async {
                for _ in 0..burst {
                    black_box(server.receive().await.expect("what was sent"));
                }
            };
            tokio::join!(sending, receiving);
        }
    };
    if let Exchange::Bursts = how {
        return measured(|| runtime.block_on(bursts));
    }
    drop(bursts);
    let trips = async {
        for _ in 0..times {
            let asking = async {
                client.send(payload.clone()).await;
                black_box(client.receive().await.expect("the echo"));
            };
            let answering = async {
                let message = server.receive().await.expect("what was sent");
                server.send(message).await;
            };
            tokio::join!(asking, answering);
        }
    };
    measured(|| runtime.block_on(trips));
}

/// What portway knows of a server that it has been to.
#[derive(Clone, Copy)]
enum Memory {
    /// Its certificate chain.
    Chains,
    /// Nothing.
    Nothing,
}

/// Connects one after the other; the server is in this thread, and the same for both.
fn connect(carrier: Carrier, memory: Memory, is_portway: bool, times: usize) {
    let credentials = Arc::new(Credentials::generate());
    let runtime = runtime();
    let address = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a listener on loopback");
        let address = listener.local_addr().expect("it is bound");
        let accepting = tokio_side::accept_all(listener, carrier, credentials.clone());
        tokio::spawn(accepting);
        address
    });
    let context = portway_side::context();
    let preconnection = match memory {
        Memory::Chains => portway_side::bare(&context, address, carrier, &credentials),
        Memory::Nothing => portway_side::without_memory(&context, address, carrier, &credentials),
    };
    let connector = TlsConnector::from(credentials.client());
    match (is_portway, carrier) {
        (true, _) => count_connects(&runtime, times, async || {
            preconnection.initiate().await.expect("our own server")
        }),
        (false, Carrier::Tcp) => count_connects(&runtime, times, async || {
            tokio_side::connect_tcp(address).await
        }),
        (false, Carrier::Tls) => count_connects(&runtime, times, async || {
            tokio_side::connect_tls(address, &connector).await
        }),
    }
}

/// Connects so often, and ends the process while every connection is open.
fn count_connects<C>(runtime: &Runtime, times: usize, connect: impl AsyncFn() -> C) {
    // What is made once, such as a seeded generator, is not a connect's.
    runtime.block_on(async {
        for _ in 0..2 {
            drop(connect().await);
        }
    });
    let mut open = Vec::with_capacity(times);
    measured(|| {
        runtime.block_on(async {
            for _ in 0..times {
                open.push(connect().await);
            }
        })
    });
    std::process::exit(0);
}

/// What callgrind counts: it starts and stops at this function.
#[inline(never)]
fn measured<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}
