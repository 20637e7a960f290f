//! Capacity profiles as the wire shows them: code points, and small writes that wait or do not.

use crate::capture::{Capture, Segment};
use crate::world::{FAR_V4, World, plain};
use portway::property::{CapacityProfile, ConnectionProperties, Effect};
use portway::{Completion, Connection, MessageProperties, SelectionProperty, TransportProperties};
use std::io::Read;
use std::net::SocketAddr;

fn with(properties: TransportProperties, profile: CapacityProfile) -> TransportProperties {
    let connection = ConnectionProperties::new().with_conn_capacity_profile(profile);
    properties.with_connection_properties(&connection)
}

async fn say(connection: &Connection, text: &'static str) {
    let receipt = connection.send(text).await.expect("accepted");
    assert_eq!(receipt.await, Completion::Sent);
}

/// The packets to `port` that were captured.
fn packets_to(capture: &Capture, port: u16) -> Vec<Segment> {
    let frames = capture.frames();
    let segments = frames.iter().filter_map(|frame| Segment::parse(frame));
    segments
        .filter(|segment| segment.destination_port == port)
        .collect()
}

#[test]
fn the_code_point_of_a_profile_is_on_every_packet() {
    let Some(world) = World::new("the_code_point_of_a_profile_is_on_every_packet") else {
        return;
    };
    world.run(|| async {
        let rows = [
            (CapacityProfile::Default, 0),
            (CapacityProfile::Scavenger, 1),
            (CapacityProfile::LowLatencyInteractive, 34),
            (CapacityProfile::LowLatencyNonInteractive, 18),
            (CapacityProfile::ConstantRateStreaming, 26),
            (CapacityProfile::CapacitySeeking, 10),
        ];
        for (profile, code_point) in rows {
            let listener = world.far_listener(FAR_V4);
            let address = listener.local_addr().expect("bound");
            let capture = Capture::start(&world.near, "near");
            let stream = TransportProperties::reliable_inorder_stream();
            let preconnection = plain(address).properties(with(stream, profile));
            let connection = preconnection.initiate().await.expect("a connection");
            say(&connection, "marked").await;
            let (mut peer, _) = listener.accept().expect("a connection");
            peer.read_exact(&mut [0; 6]).expect("it arrives");
            let packets = packets_to(&capture, address.port());
            assert!(packets.len() >= 3, "the handshake and a message");
            for packet in packets {
                assert_eq!(packet.code_point, code_point, "{profile:?}: {packet:?}");
            }
            // On a live connection, from then on.
            let effect = connection.set("connCapacityProfile", "low-latency-interactive");
            assert_eq!(effect, Ok(Effect::Applied));
            say(&connection, "now").await;
            peer.read_exact(&mut [0; 3]).expect("it arrives");
            let packets = packets_to(&capture, address.port());
            let is_new = |packet: &&Segment| packet.payload == b"now";
            let packet = packets.iter().find(is_new).expect("it was captured");
            assert_eq!(packet.code_point, 34, "after {profile:?}");

            let peer = world.far_udp(SocketAddr::new(FAR_V4.into(), 0));
            let address = peer.local_addr().expect("bound");
            let datagrams = TransportProperties::unreliable_datagram();
            let datagrams = datagrams.prohibit(SelectionProperty::Reliability);
            let preconnection = plain(address)
                .properties(with(datagrams, profile))
                .message_defaults(MessageProperties::new().with_safely_replayable(true));
            let connection = preconnection.initiate().await.expect("a connection");
            say(&connection, "marked").await;
            peer.recv(&mut [0; 64]).expect("it arrives");
            let packets = packets_to(&capture, address.port());
            assert_eq!(packets.len(), 1);
            assert_eq!(packets[0].code_point, code_point, "{profile:?} over UDP");
        }
    });
}

#[test]
fn small_messages_wait_for_an_acknowledgement_only_where_the_profile_lets_them() {
    let test = "small_messages_wait_for_an_acknowledgement_only_where_the_profile_lets_them";
    let Some(world) = World::new(test) else {
        return;
    };
    world.run(|| async {
        for (profile, waits) in [
            (CapacityProfile::Default, false),
            (CapacityProfile::LowLatencyInteractive, false),
            (CapacityProfile::Scavenger, true),
            (CapacityProfile::CapacitySeeking, true),
        ] {
            let listener = world.far_listener(FAR_V4);
            let address = listener.local_addr().expect("bound");
            let stream = TransportProperties::reliable_inorder_stream();
            let preconnection = plain(address).properties(with(stream, profile));
            let connection = preconnection.initiate().await.expect("a connection");
            let (mut peer, _) = listener.accept().expect("a connection");
            let capture = Capture::start(&world.near, "near");
            let port = address.port();
            world.near.nft_input(&format!("tcp sport {port} drop"));
            for text in ["m0", "m1", "m2", "m3"] {
                say(&connection, text).await;
            }
            world.near.nft_flush();
            peer.read_exact(&mut [0; 8]).expect("all arrive");
            let packets = packets_to(&capture, port);
            let payloads: Vec<&[u8]> = packets.iter().map(|packet| &packet.payload[..]).collect();
            assert!(payloads.contains(&&b"m0"[..]), "the first leaves at once");
            let is_alone = payloads.contains(&&b"m1"[..]);
            let is_joined = payloads.iter().any(|payload| payload.starts_with(b"m1m2"));
            assert_eq!(
                (is_alone, is_joined),
                (!waits, waits),
                "{profile:?}: {payloads:?}"
            );
        }
    });
}
