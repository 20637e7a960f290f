//! What single messages ask for: their place among those that wait, and their code point.

use crate::support::*;
use portway::framer::{HTTP1_FIELDS, HTTP1_METHOD, HTTP1_STATUS, HTTP1_TARGET, Http1};
use portway::property::{CapacityProfile, SelectionProperty};
use portway::{
    Connection, LocalEndpoint, Message, MessageContext, MessageProperties, Preconnection,
    RemoteEndpoint, Security, TransportProperties,
};
use portway_sim::WireKind;

const FILLER: u8 = 0;

fn marked(mark: u8, properties: MessageProperties) -> Message {
    let mut context = MessageContext::new();
    *context.properties_mut() = properties;
    Message::from(vec![mark; 900]).with_context(context)
}

fn urgent(mark: u8, priority: u32) -> Message {
    let properties = MessageProperties::new().with_priority(priority);
    marked(mark, properties.with_ordered(false))
}

/// A connection on which some messages wait in the queue, because its peer does not read.
fn blocked(net: &Net, server: Security, client: Security) -> (Connection, Connection, usize) {
    net.server.set_tcp_buffers(8 * 1024, 8 * 1024);
    net.client.set_tcp_buffers(8 * 1024, 8 * 1024);
    let mut listener = net.listen(server);
    let (client, server) = net.connect(&net.to_server(client), &mut listener);
    let count = 300;
    for _ in 0..count {
        client.try_send(vec![FILLER; 900]).expect("room");
        net.sim.run_for(ms(1));
    }
    (client, server, count)
}

/// The first byte of each message.
fn receive_all(net: &Net, server: &Connection, count: usize) -> Vec<u8> {
    net.sim.block_on(async {
        let mut marks = Vec::new();
        for _ in 0..count {
            marks.push(server.receive().await.expect("a message")[0]);
        }
        marks
    })
}

#[test]
fn urgent_messages_without_order_overtake_those_that_wait() {
    for (server, client) in [
        (Security::disabled(), Security::disabled()),
        (server_tls(), client_tls()),
    ] {
        let net = Net::named(1);
        let (client, server, fillers) = blocked(&net, server, client);
        let in_order = MessageProperties::new().with_priority(0);
        let receipts: Vec<_> = [
            urgent(1, 150),
            urgent(2, 5),
            urgent(3, 150),
            urgent(4, 0),
            marked(5, in_order),
        ]
        .map(|message| client.try_send(message).expect("room"))
        .into();
        let received = receive_all(&net, &server, fillers + receipts.len());
        let marks: Vec<u8> = received.iter().copied().filter(|m| *m != FILLER).collect();
        // What keeps its order passes those alone that gave up theirs.
        assert_eq!(marks, [4, 2, 5, 1, 3]);
        let place = |mark| received.iter().position(|m| *m == mark).expect("received");
        let last_filler = received.iter().rposition(|m| *m == FILLER).expect("one");
        assert!(place(2) < last_filler && last_filler < place(5));
        for receipt in receipts {
            let sent = net.sim.block_on(receipt).into_result();
            sent.expect("each is sent, once");
        }
    }
}

#[test]
fn messages_sent_before_the_connection_is_ready_leave_by_priority() {
    let net = Net::named(1);
    let mut listener = net.listen(server_tls());
    let client = net.to_server(client_tls());
    let received = net.sim.block_on(async {
        let client = client.initiate().background().expect("planned");
        for message in [urgent(1, 9), urgent(2, 3), urgent(3, 6)] {
            client.send(message).await.expect("accepted");
        }
        let server = listener.accept().await.expect("a connection");
        let mut marks = Vec::new();
        for _ in 0..3 {
            marks.push(server.receive().await.expect("a message")[0]);
        }
        marks
    });
    assert_eq!(received, [2, 3, 1]);
}

#[test]
fn bytes_without_framers_never_change_their_order() {
    let net = Net::named(1);
    let bare = |context, security| Preconnection::new(security).context(context);
    let local = LocalEndpoint::any().port(PORT);
    let listening = bare(&net.at_server, server_tls()).local(local);
    let mut listener = net.listen_with(&listening);
    let remote = RemoteEndpoint::host_name(NAME).port(PORT);
    let client = bare(&net.at_client, client_tls()).remote(remote);
    net.sim.block_on(async {
        let client = client.initiate().background().expect("planned");
        for message in [urgent(1, 9), urgent(2, 3)] {
            client.send(message).await.expect("accepted");
        }
        let server = listener.accept().await.expect("a connection");
        let both = server.receive_partial(1800, 1800).await.expect("both");
        assert_eq!((both[0], both[1799]), (1, 2));
        let asked = MessageProperties::new().with_priority(3);
        let effects = client.effects_on(&asked);
        let told = effects[0].1.to_string();
        assert!(told.starts_with("ignored: without a framer"), "{told}");
    });
}

#[test]
fn requests_of_http1_never_change_their_order() {
    let net = Net::named(1);
    let framed = |context, security| Preconnection::new(security).context(context);
    let local = LocalEndpoint::any().port(PORT);
    let listening = framed(&net.at_server, server_tls()).local(local);
    let mut listener = net.listen_with(&listening.framer(Http1::server()));
    let remote = RemoteEndpoint::host_name(NAME).port(PORT);
    let client = framed(&net.at_client, client_tls()).remote(remote);
    let client = client.framer(Http1::client());
    net.sim.block_on(async {
        let client = client.initiate().background().expect("planned");
        for mut message in [urgent(1, 9), urgent(2, 3)] {
            message.context.set_metadata(HTTP1_METHOD, "POST");
            message.context.set_metadata(HTTP1_TARGET, "/");
            message.context.set_metadata(HTTP1_FIELDS, "Host: a\r\n");
            client.send(message).await.expect("accepted");
        }
        let server = listener.accept().await.expect("a connection");
        for mark in [1, 2] {
            assert_eq!(server.receive().await.expect("a request")[0], mark);
        }
        let asked = MessageProperties::new().with_priority(3);
        let told = client.effects_on(&asked)[0].1.to_string();
        assert!(told.starts_with("ignored: without a framer"), "{told}");
    });
}

#[test]
fn what_came_behind_connect_is_received_once_it_is_answered() {
    let net = Net::named(1);
    let bare = |context| Preconnection::new(Security::disabled()).context(context);
    let local = LocalEndpoint::any().port(PORT);
    let listening = bare(&net.at_server).local(local).framer(Http1::server());
    let mut listener = net.listen_with(&listening);
    let client = bare(&net.at_client).remote(RemoteEndpoint::host_name(NAME).port(PORT));
    net.sim.block_on(async {
        let client = client.initiate().await.expect("a connection");
        let early = "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\nearly";
        client.send(early).await.expect("accepted");
        let server = listener.accept().await.expect("a connection");
        server.receive().await.expect("a request");
        let answer = MessageContext::new().with_metadata(HTTP1_STATUS, 200u64);
        // The receive waits before the answer leaves, and nothing more comes.
        let (received, sent) = tokio::join!(
            server.receive_partial(1, 100),
            server.send(Message::from("").with_context(answer)),
        );
        sent.expect("accepted");
        assert_eq!(&received.expect("bytes")[..], b"early");
    });
}

#[test]
fn a_datagram_has_the_code_point_of_its_message() {
    let net = Net::named(1);
    let properties =
        TransportProperties::unreliable_datagram().prohibit(SelectionProperty::Reliability);
    let replayable = MessageProperties::new().with_safely_replayable(true);
    let udp = |context| {
        Preconnection::new(Security::disabled())
            .context(context)
            .properties(properties.clone())
            .message_defaults(replayable)
    };
    let local = LocalEndpoint::any().port(PORT);
    let mut listener = net.listen_with(&udp(&net.at_server).local(local));
    let remote = RemoteEndpoint::host_name(NAME).port(PORT);
    let client = udp(&net.at_client).remote(remote);
    let profiles = [
        CapacityProfile::Default,
        CapacityProfile::LowLatencyInteractive,
        CapacityProfile::Scavenger,
        CapacityProfile::Default,
    ];
    net.sim.block_on(async {
        // The first three leave together when the connection is ready, the last one at once.
        let client = client.initiate().background().expect("planned");
        for (mark, profile) in (1..).zip(profiles) {
            if mark == 4 {
                client.ready().await.expect("ready");
            }
            let properties = replayable.with_capacity_profile(profile);
            let sent = client.send(marked(mark, properties)).await;
            sent.expect("accepted").await.into_result().expect("sent");
        }
        let server = listener.accept().await.expect("a peer");
        for mark in 1..5 {
            assert_eq!(server.receive().await.expect("a message")[0], mark);
        }
        let profile = CapacityProfile::CapacitySeeking;
        let answer = marked(5, replayable.with_capacity_profile(profile));
        let sent = server.send(answer).await.expect("accepted");
        sent.await.into_result().expect("sent");
        assert_eq!(client.receive().await.expect("an answer")[0], 5);
    });
    let log = net.sim.wire_log().into_iter();
    let datagrams =
        log.filter(|event| event.kind == WireKind::Datagram && event.bytes.len() == 900);
    let marks: Vec<(u8, u8)> = datagrams
        .map(|event| (event.bytes[0], event.dscp))
        .collect();
    assert_eq!(marks, [(1, 0), (2, 34), (3, 1), (4, 0), (5, 10)]);
}
