//! One piece of work, done as often as asked, for a tool that counts instructions.
//!
//! Invariant: everything happens in one thread and in a fixed order, so that counts hardly vary.

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
            messages(carrier, bytes, side == "portway", times);
        }
        ["connect", carrier, side] => {
            let carrier = Carrier::named(carrier).expect("tcp or tls");
            connect(carrier, side == "portway", times);
        }
        _ => panic!("no such work: {name}"),
    }
}

/// The work whose cost is recorded.
pub const WORK: [&str; 20] = [
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
    "messages-tls-64-portway",
    "messages-tls-64-tokio",
    "messages-tls-1024-portway",
    "messages-tls-1024-tokio",
    "messages-tls-65536-portway",
    "messages-tls-65536-tokio",
    "connect-tcp-portway",
    "connect-tcp-tokio",
    "connect-tls-portway",
    "connect-tls-tokio",
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

/// Messages over loopback with both ends in this thread, sixteen or one at a time.
fn messages(carrier: Carrier, bytes: usize, is_portway: bool, times: usize) {
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
        exchange(&runtime, client, server, payload, times);
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
        exchange(&runtime, client, server, payload, times);
    }
}

fn exchange(
    runtime: &Runtime,
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
    measured(|| runtime.block_on(bursts));
}

/// Connects one after the other; the server is in this thread, and the same for both.
fn connect(carrier: Carrier, is_portway: bool, times: usize) {
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
    let preconnection = portway_side::bare(&context, address, carrier, &credentials);
    let connector = TlsConnector::from(credentials.client());
    let connects = async |times| {
        for _ in 0..times {
            match (is_portway, carrier) {
                (true, _) => drop(preconnection.initiate().await.expect("our own server")),
                (false, Carrier::Tcp) => drop(tokio_side::connect_tcp(address).await),
                (false, Carrier::Tls) => drop(tokio_side::connect_tls(address, &connector).await),
            }
        }
    };
    // What is made once, such as a seeded generator, is not a connect's.
    runtime.block_on(connects(2));
    measured(|| runtime.block_on(connects(times)));
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
