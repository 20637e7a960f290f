//! Every future of `portway::quic`, dropped at every await point: it is polled n times and then
//! dropped, for all n until it completes. Nothing panics, nothing stays behind, what the future did
//! not take is there for the next one, and other streams and connections go on.

use crate::quic_driver::{Net, body, exchange};
use crate::support::{self, NAME, client_tls, ms, polled, server_tls};
use bytes::Bytes;
use portway::quic::{Connector, Listener, ListenerOptions};
use portway_sim::Direction;
use portway_transport::environment::Environment;
use portway_transport::quic::{
    Connection, ReceiveStream, SendStream, ServerConfig, StreamError, StreamKind, TransportOptions,
};
use std::collections::BTreeSet;
use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::oneshot;

/// A future by the file and the name of what gives it, and a run of it that polls at most so often
/// and says whether it has completed.
type Case = (&'static str, &'static str, fn(usize) -> bool);

const CASES: &[Case] = &[
    ("endpoint.rs", "accept", endpoint_accept),
    ("endpoint.rs", "wait_idle", endpoint_wait_idle),
    ("endpoint.rs", "wait_closed", endpoint_wait_closed),
    ("connecting.rs", "Connecting", connecting),
    ("handle.rs", "closed", closed),
    ("handle.rs", "handshake_confirmed", handshake_confirmed),
    ("handle.rs", "sleep", sleep),
    ("handle.rs", "send_datagram", send_datagram),
    ("handle.rs", "receive_datagram", receive_datagram),
    ("open.rs", "open_uni", |polls| {
        opening(polls, StreamKind::Unidirectional)
    }),
    ("open.rs", "open_bi", |polls| {
        opening(polls, StreamKind::Bidirectional)
    }),
    ("open.rs", "accept_uni", accept_uni),
    ("open.rs", "accept_bi", accept_bi),
    ("open.rs", "capacity_changed", capacity_changed),
    ("path.rs", "next", path_event),
    ("end.rs", "WritesClosed", writes_closed),
    ("end.rs", "ReadsClosed", reads_closed),
    ("receive.rs", "read", |polls| {
        reading(polls, |stream, out| Box::pin(read(stream, out)))
    }),
    ("receive.rs", "read_chunk", |polls| {
        reading(polls, |stream, out| Box::pin(read_chunk(stream, out)))
    }),
    ("receive.rs", "read_chunks", |polls| {
        reading(polls, |stream, out| Box::pin(read_chunks(stream, out)))
    }),
    ("receive.rs", "read_all", |polls| {
        reading_all(polls, |stream| {
            Box::pin(async { stream.read_all(READ_MAX).await.map(|it| it.to_vec()) })
        })
    }),
    ("receive.rs", "read_to_end", |polls| {
        reading_all(polls, |stream| Box::pin(stream.read_to_end(READ_MAX)))
    }),
    ("send.rs", "write", |polls| {
        writing(polls, |stream, data| {
            Box::pin(async move { stream.write(&data).await.map(drop) })
        })
    }),
    ("send.rs", "write_all", |polls| {
        writing(polls, |stream, data| {
            Box::pin(async move { stream.write_all(&data).await })
        })
    }),
    ("send.rs", "write_chunks", |polls| {
        writing(polls, |stream, data| {
            Box::pin(async move { stream.write_chunks(&mut [data]).await.map(drop) })
        })
    }),
    ("send.rs", "write_chunk", |polls| {
        writing(polls, |stream, data| {
            Box::pin(async move { stream.write_chunk(data).await })
        })
    }),
    ("send.rs", "write_and_finish", |polls| {
        writing(polls, |stream, data| {
            Box::pin(async move { stream.write_and_finish(data).await })
        })
    }),
    ("listener.rs", "accept", listener_accept),
    ("connector.rs", "connect", |polls| connector(polls, false)),
    ("connector.rs", "connect_early", |polls| {
        connector(polls, true)
    }),
];

#[test]
fn every_future_may_be_dropped_at_every_await_point() {
    for (file, name, run) in CASES {
        let polls = (0..POLLS_MAX).find(|polls| run(*polls));
        let polls = polls.unwrap_or_else(|| panic!("{file}: {name} never completes"));
        println!("{file}: {name} completes with {polls} polls");
    }
}

#[test]
fn every_future_of_the_interface_is_among_the_cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut declared = BTreeSet::new();
    for folder in ["transport/src/quic", "portway/src/quic"] {
        collect(&root.join(folder), &mut declared);
    }
    let covered: BTreeSet<_> = CASES
        .iter()
        .map(|(file, name, _)| ((*file).to_owned(), (*name).to_owned()))
        .collect();
    assert_eq!(declared, covered, "what is declared, and what is covered");
}

/// Finds public functions that are async, and public types that are futures.
fn collect(folder: &Path, found: &mut BTreeSet<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
            continue;
        }
        let file = path.file_name().expect("a name").to_string_lossy();
        let text = fs::read_to_string(&path).expect("text");
        for line in text.lines() {
            let line = line.trim();
            let name = |rest: &str| {
                let end = rest.find(|it: char| !it.is_alphanumeric() && it != '_');
                rest[..end.unwrap_or(rest.len())].to_owned()
            };
            if let Some(rest) = line.strip_prefix("pub async fn ") {
                found.insert((file.to_string(), name(rest)));
            } else if let Some(rest) = line.strip_prefix("impl Future for ")
                && text.contains(&format!("pub struct {}", name(rest)))
            {
                found.insert((file.to_string(), name(rest)));
            }
        }
    }
}

/// Two connections of the same endpoints: one is tried, the other one must not notice.
struct Scene {
    net: Net,
    client: Connection,
    server: Connection,
    other: (Connection, Connection),
}

impl Scene {
    fn new() -> Self {
        Scene::with(|_| {}, |_| {})
    }

    /// `client` holds for the connection that is tried only.
    fn with(
        client: impl FnOnce(&mut TransportOptions),
        server: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let mut net = Net::with(1, server);
        net.sim.link("client", "server").set_delay(ms(10));
        let other = net.connect();
        client(&mut net.config.transport);
        let (client, server) = net.connect();
        Scene {
            net,
            client,
            server,
            other,
        }
    }

    /// Polls `future` at most so often, then drops it, while `meanwhile` runs to its end.
    fn cut<F: Future>(
        &self,
        polls: usize,
        future: F,
        meanwhile: impl Future<Output = ()>,
    ) -> Option<F::Output> {
        self.net.sim.block_on(async {
            let cut = async {
                tokio::select! {
                    biased;
                    output = polled(polls, future) => output,
                    () = self.other.0.sleep(Duration::from_secs(2)) => None,
                }
            };
            tokio::join!(cut, meanwhile).0
        })
    }

    /// Runs something beside everything else.
    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        self.net.sim.host("helper").spawn(Box::pin(async move {
            let _ = sender.send(work.await);
        }));
        receiver
    }

    /// Everything else goes on, and nothing is left when it was dropped.
    fn finish(self) {
        let Scene {
            net,
            client,
            server,
            other,
        } = self;
        net.sim.block_on(async {
            exchange(&other.0, &other.1).await;
            if client.error().is_none() && server.error().is_none() {
                exchange(&client, &server).await;
            }
        });
        drop(other);
        net.finish((client, server));
    }
}

async fn nothing() {}

fn endpoint_accept(polls: usize) -> bool {
    let scene = Scene::new();
    let (endpoint, config) = (scene.net.client.clone(), scene.net.config.clone());
    let remote = scene.net.remote;
    let connecting = scene.spawn(async move {
        let connecting = endpoint.connect(&config, remote, NAME).expect("started");
        connecting.await.expect("connected")
    });
    let accepted = scene.cut(polls, scene.net.server.accept(), nothing());
    let is_complete = accepted.is_some();
    let third = scene.net.sim.block_on(async {
        let client = connecting.await.expect("it was not dropped");
        let accepted = match accepted {
            Some(accepted) => accepted,
            None => scene.net.server.accept().await,
        };
        (client, accepted.expect("open").expect("the handshake"))
    });
    scene.net.sim.block_on(exchange(&third.0, &third.1));
    drop(third);
    scene.finish();
    is_complete
}

/// A net whose only connection was dropped with something on its way.
fn leaving() -> Net {
    let net = Net::new(1);
    net.sim.link("client", "server").set_delay(ms(10));
    let (client, server) = net.connect();
    net.sim.block_on(async {
        let mut stream = client.open_uni().await.expect("it lives");
        stream.write_and_finish("it".into()).await.expect("room");
    });
    drop((client, server));
    net
}

fn endpoint_wait_idle(polls: usize) -> bool {
    let net = leaving();
    let idle = net.sim.block_on(polled(polls, net.client.wait_idle()));
    let (client, server) = net.connect();
    net.sim.block_on(exchange(&client, &server));
    net.finish((client, server));
    idle.is_some()
}

fn endpoint_wait_closed(polls: usize) -> bool {
    let net = leaving();
    let closed = net.sim.block_on(polled(polls, net.client.wait_closed()));
    let (client, server) = net.connect();
    net.sim.block_on(exchange(&client, &server));
    net.finish((client, server));
    closed.is_some()
}

fn connecting(polls: usize) -> bool {
    let scene = Scene::new();
    let net = &scene.net;
    let connecting = net.client.connect(&net.config, net.remote, NAME);
    let connected = scene.cut(polls, connecting.expect("started"), nothing());
    let is_complete = connected.is_some();
    if let Some(connected) = connected {
        let client = connected.expect("connected");
        net.sim.block_on(async {
            let accepted = net.server.accept().await.expect("open");
            exchange(&client, &accepted.expect("the handshake")).await;
        });
    } else {
        // The attempt is given up on both sides.
        net.sim.run_for(Duration::from_secs(5));
        assert_eq!(net.client.connections(), 2);
        net.sim.run_for(Duration::from_secs(40));
        let given_up = net.sim.block_on(polled(1, net.server.accept()));
        if let Some(Some(Ok(connection))) = given_up {
            assert!(connection.error().is_some());
        }
    }
    // The idle time may have ended the others meanwhile.
    let Scene {
        net,
        client,
        server,
        other,
    } = scene;
    drop(other);
    net.finish((client, server));
    is_complete
}

fn closed(polls: usize) -> bool {
    let scene = Scene::new();
    let meanwhile = async {
        scene.client.sleep(ms(20)).await;
        scene.client.close(1.into(), b"");
    };
    let closed = scene.cut(polls, scene.server.closed(), meanwhile);
    scene.net.sim.block_on(scene.server.closed());
    scene.finish();
    closed.is_some()
}

fn handshake_confirmed(polls: usize) -> bool {
    let scene = Scene::new();
    let net = &scene.net;
    // What comes behind the tickets tells that they are here.
    net.sim.block_on(exchange(&scene.client, &scene.server));
    let connecting = net.client.connect(&net.config, net.remote, NAME);
    let early = connecting.expect("started").into_early().expect("a ticket");
    let confirmed = scene.cut(polls, early.handshake_confirmed(), nothing());
    net.sim.block_on(async {
        let accepted = net.server.accept().await.expect("open");
        exchange(&early, &accepted.expect("the handshake")).await;
    });
    drop(early);
    scene.finish();
    confirmed.is_some()
}

fn sleep(polls: usize) -> bool {
    let scene = Scene::new();
    let slept = scene.cut(polls, scene.client.sleep(ms(20)), nothing());
    scene.finish();
    slept.is_some()
}

fn send_datagram(polls: usize) -> bool {
    let scene = Scene::with(|client| client.datagrams.send_bytes = 100_000, |_| {});
    let sending = async {
        // More than the congestion window lets go at once.
        while let Ok(()) = scene.client.try_send_datagram(Bytes::from(vec![1; 1000])) {}
        let data = Bytes::from(vec![2; 1000]);
        scene.client.send_datagram(data).await
    };
    let sent = scene.cut(polls, sending, nothing());
    if let Some(sent) = &sent {
        sent.as_ref().expect("sent");
    }
    scene.net.sim.block_on(async {
        let third = Bytes::from(vec![3; 1000]);
        scene.client.send_datagram(third).await.expect("room");
        let mut first_bytes = Vec::new();
        while first_bytes.last() != Some(&3) {
            let received = scene.server.receive_datagram().await.expect("it lives");
            first_bytes.push(received[0]);
        }
        // In the order of the sends, and what was dropped once or not at all.
        assert!(first_bytes.is_sorted(), "{first_bytes:?}");
        let dropped = first_bytes.iter().filter(|it| **it == 2).count();
        assert!(dropped == usize::from(sent.is_some()), "{first_bytes:?}");
    });
    scene.finish();
    sent.is_some()
}

fn receive_datagram(polls: usize) -> bool {
    let scene = Scene::new();
    let meanwhile = async {
        scene.client.sleep(ms(20)).await;
        scene.client.try_send_datagram("it".into()).expect("room");
        scene.client.sleep(ms(20)).await;
    };
    let received = scene.cut(polls, scene.server.receive_datagram(), meanwhile);
    let is_complete = received.is_some();
    let received = match received {
        Some(received) => received,
        None => scene.net.sim.block_on(scene.server.receive_datagram()),
    };
    assert_eq!(received.expect("a datagram"), "it");
    scene.finish();
    is_complete
}

fn opening(polls: usize, kind: StreamKind) -> bool {
    let none = |client: &mut TransportOptions| {
        client.streams.unidirectional_max = 0;
        client.streams.bidirectional_max = 0;
    };
    let scene = Scene::with(none, |_| {});
    let meanwhile = async {
        scene.client.sleep(ms(20)).await;
        scene.client.set_streams_max(kind, 1);
        scene.client.sleep(ms(40)).await;
    };
    let open = async || match kind {
        StreamKind::Unidirectional => scene.server.open_uni().await,
        StreamKind::Bidirectional => scene.server.open_bi().await.map(|(send, _)| send),
    };
    let opened = scene.cut(polls, open(), meanwhile);
    let is_complete = opened.is_some();
    scene.net.sim.block_on(async {
        // One stream is allowed: that of the dropped future, if it had got it.
        let mut stream = match opened {
            Some(opened) => opened.expect("it lives"),
            None => open().await.expect("it lives"),
        };
        stream.write_and_finish("only".into()).await.expect("room");
        let mut receive = match kind {
            StreamKind::Unidirectional => scene.client.accept_uni().await.expect("it comes"),
            StreamKind::Bidirectional => scene.client.accept_bi().await.expect("it comes").1,
        };
        assert_eq!(receive.read_all(READ_MAX).await.expect("all"), "only");
    });
    scene.finish();
    is_complete
}

fn accept_uni(polls: usize) -> bool {
    let scene = Scene::new();
    let meanwhile = async {
        scene.client.sleep(ms(20)).await;
        let mut stream = scene.client.open_uni().await.expect("it lives");
        stream.write_and_finish("it".into()).await.expect("room");
        scene.client.sleep(ms(20)).await;
    };
    let accepted = scene.cut(polls, scene.server.accept_uni(), meanwhile);
    let is_complete = accepted.is_some();
    scene.net.sim.block_on(async {
        let accepted = match accepted {
            Some(accepted) => accepted,
            None => scene.server.accept_uni().await,
        };
        let mut stream = accepted.expect("it came");
        assert_eq!(stream.read_all(READ_MAX).await.expect("all"), "it");
    });
    scene.finish();
    is_complete
}

fn accept_bi(polls: usize) -> bool {
    let scene = Scene::new();
    let meanwhile = async {
        scene.client.sleep(ms(20)).await;
        let (mut stream, _) = scene.client.open_bi().await.expect("it lives");
        stream.write_and_finish("it".into()).await.expect("room");
        scene.client.sleep(ms(20)).await;
    };
    let accepted = scene.cut(polls, scene.server.accept_bi(), meanwhile);
    let is_complete = accepted.is_some();
    scene.net.sim.block_on(async {
        let accepted = match accepted {
            Some(accepted) => accepted,
            None => scene.server.accept_bi().await,
        };
        let (_, mut stream) = accepted.expect("it came");
        assert_eq!(stream.read_all(READ_MAX).await.expect("all"), "it");
    });
    scene.finish();
    is_complete
}

fn capacity_changed(polls: usize) -> bool {
    let scene = Scene::new();
    let kind = StreamKind::Unidirectional;
    let meanwhile = async {
        scene.client.sleep(ms(20)).await;
        scene.client.set_streams_max(kind, 120);
        scene.client.sleep(ms(20)).await;
    };
    let changed = scene.cut(polls, scene.server.capacity_changed(), meanwhile);
    assert_eq!(scene.server.capacity(kind), 120);
    scene.finish();
    changed.is_some()
}

fn path_event(polls: usize) -> bool {
    let scene = Scene::new();
    let mut events = scene.server.path_events();
    let before = scene.server.path().remote;
    let meanwhile = async {
        scene.client.sleep(ms(200)).await;
        scene.net.nat.rebind();
        scene.client.ping();
        scene.client.sleep(ms(200)).await;
    };
    let event = scene.cut(polls, events.next(), meanwhile);
    assert_ne!(scene.server.path().remote, before);
    let is_complete = event.is_some();
    if event.is_none() {
        let next = scene.net.sim.block_on(polled(1, events.next()));
        assert!(matches!(next, Some(Ok(_))), "{next:?}");
    }
    drop(events);
    scene.finish();
    is_complete
}

fn writes_closed(polls: usize) -> bool {
    let scene = Scene::new();
    let stream = scene.net.sim.block_on(async {
        let mut stream = scene.client.open_uni().await.expect("it lives");
        stream.write_and_finish("it".into()).await.expect("room");
        stream
    });
    let closed = scene.cut(polls, stream.writes_closed(), nothing());
    let again = scene.net.sim.block_on(stream.writes_closed());
    again.expect("acknowledged");
    drop(stream);
    scene.finish();
    closed.is_some()
}

fn reads_closed(polls: usize) -> bool {
    let scene = Scene::new();
    let mut stream = scene.net.sim.block_on(async {
        let mut stream = scene.client.open_uni().await.expect("it lives");
        stream.write_and_finish("it".into()).await.expect("room");
        scene.server.accept_uni().await.expect("it came")
    });
    let watch = stream.reads_closed();
    let meanwhile = async {
        scene.server.sleep(ms(20)).await;
        stream.read_all(READ_MAX).await.expect("all");
    };
    let closed = scene.cut(polls, watch, meanwhile);
    let again = scene.net.sim.block_on(stream.reads_closed());
    again.expect("read to its end");
    drop(stream);
    scene.finish();
    closed.is_some()
}

type Done<'a, T> = Pin<Box<dyn Future<Output = Result<T, StreamError>> + Send + 'a>>;

async fn read(stream: &mut ReceiveStream, out: &mut Vec<u8>) -> Result<(), StreamError> {
    let mut buffer = [0; 300];
    let read = stream.read(&mut buffer).await?;
    out.extend_from_slice(&buffer[..read]);
    Ok(())
}

async fn read_chunk(stream: &mut ReceiveStream, out: &mut Vec<u8>) -> Result<(), StreamError> {
    let chunk = stream.read_chunk(300).await?;
    out.extend_from_slice(&chunk.unwrap_or_default());
    Ok(())
}

async fn read_chunks(stream: &mut ReceiveStream, out: &mut Vec<u8>) -> Result<(), StreamError> {
    let mut chunks = Vec::new();
    stream.read_chunks(300, &mut chunks).await?;
    chunks.iter().for_each(|chunk| out.extend_from_slice(chunk));
    Ok(())
}

/// A scene with a stream that the server reads while it comes piece by piece.
fn piecewise() -> (Scene, ReceiveStream) {
    let scene = Scene::new();
    let client = scene.client.clone();
    drop(scene.spawn(async move {
        let mut stream = client.open_uni().await.expect("it lives");
        for piece in body(4, LEN).chunks(LEN / 4) {
            stream.write_all(piece).await.expect("room");
            client.sleep(ms(30)).await;
        }
    }));
    let stream = scene.net.sim.block_on(scene.server.accept_uni());
    (scene, stream.expect("it comes"))
}

/// A read that loses nothing.
fn reading(
    polls: usize,
    read: for<'a> fn(&'a mut ReceiveStream, &'a mut Vec<u8>) -> Done<'a, ()>,
) -> bool {
    let (scene, mut stream) = piecewise();
    let mut out = Vec::new();
    // The first piece is there; the read that is dropped waits for the second one.
    scene.net.sim.block_on(async {
        while out.len() < LEN / 4 {
            read(&mut stream, &mut out).await.expect("it comes");
        }
    });
    let done = scene.cut(polls, read(&mut stream, &mut out), nothing());
    let rest = scene.net.sim.block_on(stream.read_all(READ_MAX));
    out.extend_from_slice(&rest.expect("all of it"));
    assert_eq!(out, body(4, LEN));
    drop(stream);
    scene.finish();
    done.is_some()
}

/// A read of everything, which loses what it has read.
fn reading_all(polls: usize, read: fn(&mut ReceiveStream) -> Done<'_, Vec<u8>>) -> bool {
    let (scene, mut stream) = piecewise();
    let done = scene.cut(polls, read(&mut stream), nothing());
    let rest = scene.net.sim.block_on(stream.read_all(READ_MAX));
    let rest = rest.expect("the rest");
    match &done {
        Some(all) => assert!(rest.is_empty() && *all.as_ref().expect("all") == body(4, LEN)),
        None => assert!(body(4, LEN).ends_with(&rest)),
    }
    drop(stream);
    scene.finish();
    done.is_some()
}

/// A write beyond the window, while the peer reads slowly.
fn writing(polls: usize, write: fn(&mut SendStream, Bytes) -> Done<'_, ()>) -> bool {
    let scene = Scene::with(
        |_| {},
        |server| server.transport.streams.window_bytes = 1000,
    );
    let mut stream = scene
        .net
        .sim
        .block_on(scene.client.open_uni())
        .expect("it lives");
    let whole = body(5, LEN);
    // The window is full, so that the write that is dropped has to wait for room.
    let filled = scene.net.sim.block_on(stream.write(&whole[..1000]));
    assert_eq!(filled, Ok(1000));
    let server = scene.server.clone();
    let reader = scene.spawn(async move {
        server.sleep(ms(50)).await;
        let mut stream = server.accept_uni().await.expect("it comes");
        let mut all = Vec::new();
        while let Some(chunk) = stream.read_chunk(500).await.expect("it comes") {
            all.extend_from_slice(&chunk);
            server.sleep(ms(10)).await;
        }
        all
    });
    let done = scene.cut(polls, write(&mut stream, whole.slice(1000..)), nothing());
    if let Some(done) = &done {
        done.as_ref().expect("written");
    }
    drop(stream);
    let all = scene.net.sim.block_on(reader).expect("it was not dropped");
    assert!(
        all.len() >= 1000 && whole.starts_with(&all),
        "{}",
        all.len()
    );
    scene.finish();
    done.is_some()
}

/// The interface's own listener and connector, over the same simulation.
struct Product {
    net: support::Net,
    listener: Listener,
    connector: Connector,
    remote: SocketAddr,
}

impl Product {
    fn new() -> Self {
        let net = support::Net::new(1);
        let link = net.sim.link("client", "server");
        link.update(Direction::Both, |options| options.delay = ms(10));
        let remote = SocketAddr::new(support::ip(support::V4), support::PORT);
        let mut options = ListenerOptions::default();
        options.context = Some(net.at_server.clone());
        options.early_data = true;
        let listener = net.sim.block_on(async {
            Listener::bind_with(remote, server_tls().with_alpn(["drop"]), options)
        });
        let connector = Connector::new(client_tls().with_alpn(["drop"]))
            .context(&net.at_client)
            .server_name(NAME)
            .early_data();
        Product {
            listener: listener.expect("a port"),
            net,
            connector,
            remote,
        }
    }

    fn connect(&self) -> (Connection, Connection) {
        self.net.sim.block_on(async {
            let connecting = self.connector.connect(self.remote);
            let (client, server) = tokio::join!(connecting, self.listener.accept());
            let server = server.expect("it listens").expect("accepted");
            (client.expect("connected"), server)
        })
    }

    fn finish(self) {
        let (client, server) = self.connect();
        self.net.sim.block_on(exchange(&client, &server));
        drop((client, server));
        let Product { net, listener, .. } = self;
        drop(listener);
        // Longer than attempts that were given up are waited for.
        net.sim.run_for(Duration::from_secs(60));
        assert_eq!((net.sim.tasks_alive(), net.sim.sockets_open()), (0, 0));
    }
}

fn listener_accept(polls: usize) -> bool {
    let product = Product::new();
    let (connector, remote) = (product.connector.clone(), product.remote);
    let connecting = product
        .net
        .spawn(async move { connector.connect(remote).await });
    let accepted = product.net.cut(polls, product.listener.accept());
    let is_complete = accepted.is_some();
    product.net.sim.block_on(async {
        let client = connecting.await.expect("it was not dropped");
        let accepted = match accepted {
            Some(accepted) => accepted,
            None => product.listener.accept().await,
        };
        let server = accepted.expect("it listens").expect("accepted");
        exchange(&client.expect("connected"), &server).await;
    });
    product.finish();
    is_complete
}

fn connector(polls: usize, is_early: bool) -> bool {
    let product = Product::new();
    // Without a ticket for early data, both wait for the handshake.
    let (connector, remote) = (&product.connector, product.remote);
    let connected = match is_early {
        false => product.net.cut(polls, connector.connect(remote)),
        true => product.net.cut(polls, connector.connect_early(remote)),
    };
    let is_complete = connected.is_some();
    match connected {
        Some(connected) => product.net.sim.block_on(async {
            let accepted = product.listener.accept().await.expect("it listens");
            exchange(&connected.expect("connected"), &accepted.expect("it")).await;
        }),
        None => {
            product.net.sim.run_for(Duration::from_secs(60));
            // What was given up is told, or never began.
            while let Some(Some(told)) = product
                .net
                .sim
                .block_on(polled(1, product.listener.accept()))
            {
                assert!(told.is_ok_and(|it| it.error().is_some()) || polls > 0);
            }
        }
    }
    product.finish();
    is_complete
}

/// What no future here needs to complete.
const POLLS_MAX: usize = 60;
const READ_MAX: usize = 1 << 20;
/// Bytes of a stream that is read or written piece by piece.
const LEN: usize = 4000;
