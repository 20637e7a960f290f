//! Endpoints that share a port: who gets which connection, and that each keeps its own.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its sockets shall fail"
)]

mod quic_support;

use bytes::Bytes;
use portway_core::FailureKind;
use portway_transport::RealEnvironment;
use portway_transport::environment::{Environment, UdpBind};
use portway_transport::quic::{
    AddressValidation, Connection, Endpoint, EndpointOptions, ServerConfig, Shard, ShardedOptions,
    ShardedServer,
};
use quic_support::{Identity, NAME, endpoint};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Endpoints of one group on one runtime.
fn shards(environment: &Arc<RealEnvironment>, server: &ServerConfig, count: u16) -> Vec<Endpoint> {
    let group = Shard::group(count).into_iter();
    let bound = group.map(|shard| {
        let mut options = EndpointOptions::default();
        options.shard = Some(shard);
        let environment: Arc<dyn Environment> = environment.clone();
        Endpoint::bind(
            environment,
            UdpBind::on(LOOPBACK),
            &options,
            Some(server.clone()),
        )
        .unwrap()
    });
    bound.collect()
}

/// The client's and the server's side of a connection, and which shard has it.
async fn connect(
    client: &Endpoint,
    identity: &Identity,
    shards: &[Endpoint; 2],
) -> (Connection, Connection, usize) {
    let address = shards[0].local_address();
    let connecting = client.connect(&identity.client(), address, NAME).unwrap();
    let accepted = async {
        tokio::select! {
            accepted = shards[0].accept() => (accepted, 0),
            accepted = shards[1].accept() => (accepted, 1),
        }
    };
    let (ours, (theirs, index)) = tokio::join!(connecting, accepted);
    (ours.unwrap(), theirs.unwrap().unwrap(), index)
}

async fn exchange(client: &Connection, server: &Connection) {
    let serve = async {
        let (mut send, mut receive) = server.accept_bi().await.unwrap();
        let request = receive.read_to_end(100_000).await.unwrap();
        send.write_and_finish(request.into()).await.unwrap();
    };
    let ask = async {
        let (mut send, mut receive) = client.open_bi().await.unwrap();
        let request = Bytes::from(vec![7; 20_000]);
        send.write_and_finish(request.clone()).await.unwrap();
        assert_eq!(receive.read_to_end(100_000).await.unwrap(), request);
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn connections_spread_and_a_client_that_moves_keeps_its_shard() {
    let environment = Arc::new(RealEnvironment::new(Default::default()));
    let identity = Identity::new();
    let mut server = identity.server();
    // A Retry names the shard, too: the validated client comes back to it.
    server.address_validation = AddressValidation::Always;
    let shards: [Endpoint; 2] = shards(&environment, &server, 2).try_into().unwrap();
    assert_eq!(shards[0].local_address(), shards[1].local_address());
    let mut seen = [0, 0];
    let mut connections = Vec::new();
    // Each client is on either shard with the same probability.
    while seen.contains(&0) || connections.len() < 8 {
        assert!(connections.len() < 64, "all clients are on one shard");
        let client = endpoint(&environment, None);
        let (ours, theirs, index) = connect(&client, &identity, &shards).await;
        seen[index] += 1;
        connections.push((client, ours, theirs));
    }
    for (client, ours, theirs) in &connections {
        for _ in 0..3 {
            let before = theirs.remote_address();
            client.rebind(UdpBind::on(LOOPBACK)).unwrap();
            exchange(ours, theirs).await;
            assert_ne!(theirs.remote_address(), before);
        }
    }
    assert_eq!([&shards[0], &shards[1]].map(Endpoint::connections), seen);
}

#[tokio::test]
async fn packets_that_all_come_to_one_socket_reach_their_shards() {
    let environment = Arc::new(RealEnvironment::new(Default::default()));
    let identity = Identity::new();
    let shards: [Endpoint; 2] = shards(&environment, &identity.server(), 2)
        .try_into()
        .unwrap();
    steer_all_to_the_first(shards[0].local_address());
    let mut seen = [0, 0];
    let client = endpoint(&environment, None);
    let mut connections = Vec::new();
    while seen.contains(&0) {
        assert!(connections.len() < 64, "all clients are on one shard");
        let (ours, theirs, index) = connect(&client, &identity, &shards).await;
        seen[index] += 1;
        exchange(&ours, &theirs).await;
        connections.push((ours, theirs));
    }
    assert_eq!([&shards[0], &shards[1]].map(Endpoint::connections), seen);
}

/// Adds a socket to the group and with it a program that always chooses the first one.
fn steer_all_to_the_first(address: SocketAddr) {
    let socket = socket2::Socket::new(
        socket2::Domain::IPV4,
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )
    .unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    let mut program = [libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: 0,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the header and the instruction that it points to live through the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
}

#[tokio::test]
async fn shards_are_bound_in_their_order_and_stay_where_they_are() {
    let environment = Arc::new(RealEnvironment::new(Default::default()));
    let group = Shard::group(2);
    let bind = |shard: &Shard| {
        let mut options = EndpointOptions::default();
        options.shard = Some(shard.clone());
        let environment: Arc<dyn Environment> = environment.clone();
        Endpoint::bind(environment, UdpBind::on(LOOPBACK), &options, None)
    };
    let failure = bind(&group[1]).unwrap_err();
    assert_eq!(failure.kind, FailureKind::InvalidRequest);
    assert!(failure.detail.contains("shard 0"), "{failure}");
    let first = bind(&group[0]).unwrap();
    assert!(bind(&group[0]).is_err());
    let failure = first.rebind(UdpBind::on(LOOPBACK)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::InvalidRequest);
}

#[tokio::test]
async fn each_thread_serves_the_connections_of_its_endpoint() {
    let identity = Identity::new();
    let served: Arc<Mutex<Vec<std::thread::ThreadId>>> = Arc::default();
    let mut options = ShardedOptions::new(UdpBind::on(LOOPBACK), identity.server());
    options.shards = 2;
    let server = {
        let served = Arc::clone(&served);
        ShardedServer::start(&options, move |endpoint| {
            let served = Arc::clone(&served);
            async move {
                while let Some(accepted) = endpoint.accept().await {
                    let connection = accepted.unwrap();
                    let served = Arc::clone(&served);
                    // Not `Send`, since it need not be.
                    let here = std::rc::Rc::new(std::thread::current().id());
                    tokio::task::spawn_local(async move {
                        let (mut send, mut receive) = connection.accept_bi().await.unwrap();
                        let request = receive.read_to_end(100).await.unwrap();
                        assert_eq!(std::thread::current().id(), *here);
                        served.lock().unwrap().push(*here);
                        send.write_and_finish(request.into()).await.unwrap();
                        connection.closed().await;
                    });
                }
            }
        })
        .unwrap()
    };
    let environment = Arc::new(RealEnvironment::new(Default::default()));
    let client = endpoint(&environment, None);
    let distinct = || {
        let served = served.lock().unwrap();
        served.iter().any(|thread| *thread != served[0])
    };
    let mut count = 0;
    while !distinct() {
        assert!(count < 64, "all clients are on one thread");
        count += 1;
        let connecting = client.connect(&identity.client(), server.local_address(), NAME);
        let connection = connecting.unwrap().await.unwrap();
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_and_finish(Bytes::from_static(b"ping"))
            .await
            .unwrap();
        assert_eq!(receive.read_to_end(9).await.unwrap(), b"ping");
    }
    server.close(7.into(), b"over");
    tokio::task::spawn_blocking(|| server.join())
        .await
        .unwrap()
        .unwrap();
}

#[test]
fn threads_have_a_processor_each_only_when_there_are_as_many_of_both() {
    let identity = Identity::new();
    let usable = || std::thread::available_parallelism().unwrap().get();
    for (more, expected) in [(0, 1), (1, usable())] {
        let mut options = ShardedOptions::new(UdpBind::on(LOOPBACK), identity.server());
        options.shards = u16::try_from(usable() + more).unwrap();
        let seen: Arc<Mutex<Vec<usize>>> = Arc::default();
        let server = {
            let seen = Arc::clone(&seen);
            ShardedServer::start(&options, move |_| {
                seen.lock().unwrap().push(usable());
                async {}
            })
        };
        server.unwrap().join().unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!(*seen, vec![expected; usize::from(options.shards)]);
    }
}
