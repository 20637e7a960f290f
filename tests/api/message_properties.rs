//! What single messages ask for, seen by peers over real sockets.

use crate::support::{datagrams, framed, listen, pair, tls_pair};
use portway::property::{CapacityProfile, ConnectionProperties, Property};
use portway::{
    Connection, Effect, Message, MessageContext, MessageProperties, RemoteEndpoint, Security,
};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

fn with(mark: &str, properties: MessageProperties) -> Message {
    let mut context = MessageContext::new();
    *context.properties_mut() = properties;
    Message::from(mark).with_context(context)
}

fn urgent(mark: &str, priority: u32) -> Message {
    let properties = MessageProperties::new().with_priority(priority);
    with(mark, properties.with_ordered(false))
}

fn profiled(mark: &str, profile: CapacityProfile) -> Message {
    let properties = MessageProperties::new().with_safely_replayable(true);
    with(mark, properties.with_capacity_profile(profile))
}

#[tokio::test]
async fn urgent_messages_overtake_those_that_wait_over_tcp_and_tls() {
    let (server, client) = tls_pair();
    let open = Security::disabled();
    for (server, client) in [(open.clone(), open), (server, client)] {
        let (client, server) = pair(&framed(server), &framed(client)).await;
        let mut fillers = 0;
        // So many that some wait in the queue, and not only in the system.
        while client.info().queued_bytes < 512 * 1024 {
            client.try_send(vec![0; 32 * 1024]).expect("room");
            fillers += 1;
        }
        for message in [urgent("slow", 200), urgent("2", 7), urgent("1", 3)] {
            client.try_send(message).expect("room");
        }
        let (mut fillers_seen, mut marks) = (0, Vec::new());
        for _ in 0..fillers + 3 {
            let message = server.receive().await.expect("a message");
            match message.len() {
                0..100 => marks.push((message.data, fillers_seen == fillers)),
                _ => fillers_seen += 1,
            }
        }
        let expected = [("1", false), ("2", false), ("slow", true)];
        assert_eq!(marks, expected.map(|(mark, last)| (mark.into(), last)));
    }
}

/// A socket that we did not write, asked to tell the traffic class of what it receives.
fn peer(address: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(address).expect("a socket");
    let (level, kind) = match address.starts_with('[') {
        false => (libc::IPPROTO_IP, libc::IP_RECVTOS),
        true => (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS),
    };
    let on: libc::c_int = 1;
    // SAFETY: the value is an integer that outlives the call, and its length is said.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            kind,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

/// The next datagram as text, and its code point.
fn receive(socket: &UdpSocket) -> (String, u8) {
    let (mut data, mut control) = ([0u8; 2048], [0u64; 16]);
    let mut slice = libc::iovec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: data.len(),
    };
    // SAFETY: a message header is plain data for which all zeroes is valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: the header points to buffers that outlive the call, with their lengths.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) };
    let len = usize::try_from(len).expect("a datagram");
    // SAFETY: the system wrote well-formed control messages into the buffer that the header names.
    let class = unsafe {
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        assert!(!first.is_null(), "a traffic class was asked for");
        *libc::CMSG_DATA(first)
    };
    (
        String::from_utf8_lossy(&data[..len]).into_owned(),
        class >> 2,
    )
}

/// Some that leave together when the connection is ready, and some at once.
async fn send_all(client: &Connection) {
    let default = CapacityProfile::Default;
    for message in [
        profiled("default", default),
        profiled("interactive", CapacityProfile::LowLatencyInteractive),
        profiled("scavenger", CapacityProfile::Scavenger),
        profiled("default again", default),
    ] {
        client.send(message).await.expect("accepted");
    }
    client.ready().await.expect("ready");
    for message in [
        profiled("seeking", CapacityProfile::CapacitySeeking),
        profiled("default at last", default),
    ] {
        let sent = client.send(message).await.expect("accepted");
        sent.await.into_result().expect("sent");
    }
}

#[tokio::test]
async fn each_datagram_carries_the_code_point_that_its_message_asks_for() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (socket, remote) = peer(address);
        let client = datagrams().remote(RemoteEndpoint::from(remote)).initiate();
        let client = client.background().expect("planned");
        send_all(&client).await;
        for expected in [
            ("default", 0),
            ("interactive", 34),
            ("scavenger", 1),
            ("default again", 0),
            ("seeking", 10),
            ("default at last", 0),
        ] {
            let (text, code_point) = receive(&socket);
            assert_eq!((text.as_str(), code_point), expected, "{address}");
        }
    }
}

#[tokio::test]
async fn a_message_overrides_the_profile_of_its_connection_on_either_side() {
    let (socket, remote) = peer("127.0.0.1:0");
    let scavenging = |preconnection: portway::Preconnection| {
        let profile =
            ConnectionProperties::new().with_conn_capacity_profile(CapacityProfile::Scavenger);
        let transport = portway::TransportProperties::unreliable_datagram()
            .prohibit(portway::SelectionProperty::Reliability);
        preconnection.properties(transport.with_connection_properties(&profile))
    };
    let client = scavenging(datagrams()).remote(RemoteEndpoint::from(remote));
    let client = client.initiate().await.expect("a connection");
    let replayable = MessageProperties::new().with_safely_replayable(true);
    client
        .send(with("its own", replayable))
        .await
        .expect("accepted");
    let default = profiled("default", CapacityProfile::Default);
    client.send(default).await.expect("accepted");
    assert_eq!(receive(&socket), ("its own".to_owned(), 1));
    assert_eq!(receive(&socket), ("default".to_owned(), 0));

    // A listener has one socket for all of its connections, and the same promise.
    let (mut listener, address) = listen(&scavenging(datagrams())).await;
    socket.send_to(b"hello", address).expect("sent");
    let server = listener.accept().await.expect("a peer");
    server
        .send(with("its own", replayable))
        .await
        .expect("accepted");
    let interactive = profiled("interactive", CapacityProfile::LowLatencyInteractive);
    server.send(interactive).await.expect("accepted");
    assert_eq!(receive(&socket), ("its own".to_owned(), 1));
    assert_eq!(receive(&socket), ("interactive".to_owned(), 34));
}

#[tokio::test]
async fn what_a_stack_cannot_do_for_a_message_is_told_with_the_reason() {
    let asked = MessageProperties::new()
        .with_priority(7)
        .with_capacity_profile(CapacityProfile::Scavenger);
    let open = framed(Security::disabled());
    let (client, _server) = pair(&open, &open).await;
    let effects = client.effects_on(&asked);
    assert!(matches!(
        effects[0],
        (Property::MsgPriority, Effect::Emulated(_))
    ));
    let (property, effect) = &effects[1];
    assert_eq!(*property, Property::MsgCapacityProfile);
    let reason = "ignored: a message in a stream has no packet of its own";
    assert_eq!(effect.to_string(), reason);
    // Defaults of a live connection tell the same.
    assert_eq!(client.set_message_defaults(&asked), effects);

    let (_listener, address) = listen(&datagrams()).await;
    let client = datagrams().remote(RemoteEndpoint::from(address)).initiate();
    let client = client.background().expect("planned");
    let early = client.effects_on(&asked);
    assert!(matches!(early[1].1, Effect::Emulated(_)), "{early:?}");
    client.ready().await.expect("ready");
    assert_eq!(client.effects_on(&asked)[1].1, Effect::Applied);
}
