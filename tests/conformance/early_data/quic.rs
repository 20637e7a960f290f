//! A first message as early data of QUIC (0-RTT), in the race and on virtual time.

use super::{DELAY, go_on, replayable, send_first, to_wait};
use crate::support::*;
use portway::property::SelectionProperty;
use portway::{
    Context, LengthPrefixed, Listener, LocalEndpoint, Message, MessageContext, Preconnection,
    RemoteEndpoint, Security, StackId, TransportProperties,
};
use portway_sim::Direction;
use portway_transport::environment::{Environment, UdpBind};
use std::net::IpAddr;
use std::time::Duration;

const ALPN: &str = "early";

/// A net whose link takes its time, with a listener that takes early data.
fn net(seed: u64) -> (Net, Listener) {
    let net = Net::new(seed);
    net.sim.link("client", "server").set_delay(DELAY);
    let listener = listen(&net, &net.at_server);
    (net, listener)
}

fn listen(net: &Net, context: &Context) -> Listener {
    let early = TransportProperties::new().prefer(SelectionProperty::ZeroRttMsg);
    let server = Preconnection::new(server_tls().with_alpn([ALPN]))
        .context(context)
        .local(LocalEndpoint::address(ip(V4)).port(PORT))
        .framer(LengthPrefixed::u32())
        .properties(early);
    net.listen_with(&server)
}

fn security() -> Security {
    client_tls().with_server_name(NAME).with_alpn([ALPN])
}

fn client(net: &Net) -> Preconnection {
    client_of(net, &[V4])
}

fn client_of(net: &Net, addresses: &[&str]) -> Preconnection {
    let quic = |address: IpAddr| {
        RemoteEndpoint::address(address)
            .port(PORT)
            .for_stack(StackId::QUIC)
    };
    let bare = Preconnection::new(security())
        .context(&net.at_client)
        .framer(LengthPrefixed::u32());
    addresses
        .iter()
        .fold(bare, |bare, address| bare.remote(quic(ip(address))))
}

/// Connects and gets tickets.
fn visit(net: &Net, to: &Preconnection, listener: &mut Listener) {
    net.sim.block_on(async {
        let connecting = async {
            let client = to.initiate().await.expect("a connection");
            client.send("hello").await.expect("accepted");
            client
        };
        let (client, server) = tokio::join!(connecting, listener.accept());
        let server = server.expect("accepted");
        server.receive().await.expect("hello");
        server.send("with tickets").await.expect("accepted");
        client
            .receive()
            .await
            .expect("what came behind the tickets");
        client.close().await.expect("acknowledged");
    });
}

#[test]
fn a_replayable_first_message_arrives_with_the_first_packets_and_is_marked() {
    for seed in seeds(4) {
        let (net, mut listener) = net(seed);
        let to = client(&net);
        visit(&net, &to, &mut listener);
        let sent = send_first(&net, &to, &mut listener, replayable("early"));
        assert_eq!(&sent.received[..], b"early");
        assert!(sent.received.context.is_early_data());
        assert!(sent.after < DELAY + ms(10), "{:?}", sent.after);
        assert_eq!(sent.client.info().is_early_data_accepted, Some(true));
        let protection = sent.server.info().protection.expect("protected");
        assert_eq!(protection.alpn.as_deref(), Some(ALPN.as_bytes()));
        assert!(protection.is_resumed, "{protection:?}");
        go_on(&net, &sent);
    }
}

#[test]
fn rejected_early_data_is_sent_again_after_the_handshake_and_seen_once() {
    for seed in seeds(4) {
        let (net, mut listener) = net(seed);
        let to = client(&net);
        visit(&net, &to, &mut listener);
        // The server starts anew and knows nothing of what its predecessor has promised.
        drop(listener);
        net.sim.run_for(Duration::from_secs(1));
        let restarted = Context::new(net.server.clone());
        let mut listener = listen(&net, &restarted);
        let sent = send_first(&net, &to, &mut listener, replayable("first"));
        assert_eq!(&sent.received[..], b"first");
        assert!(!sent.received.context.is_early_data());
        assert!(sent.after >= DELAY * 3, "{:?}", sent.after);
        assert_eq!(sent.client.info().is_early_data_accepted, Some(false));
        go_on(&net, &sent);
        let report = sent.client.report().expect("a report");
        assert_eq!(story(&report), ["0 quic 198.18.0.2:443 won"]);
    }
}

#[test]
fn early_data_survives_loss_and_is_seen_once() {
    for seed in seeds(20) {
        let (net, mut listener) = net(seed);
        let to = client(&net);
        visit(&net, &to, &mut listener);
        net.sim
            .link("client", "server")
            .update(Direction::Both, |options| {
                options.loss = 0.1;
                options.duplicate = 0.1;
                options.reorder = 0.2;
                options.reorder_delay = ms(20);
            });
        let first: Vec<u8> = (0..20_000_u32).map(|at| (at % 251) as u8).collect();
        let sent = send_first(&net, &to, &mut listener, replayable(first.clone()));
        assert!(sent.received.is_complete() && sent.received[..] == first[..]);
        net.sim.block_on(async {
            sent.client.send("second").await.expect("accepted");
            let second = sent.server.receive().await.expect("second");
            assert_eq!(&second[..], b"second");
        });
    }
}

#[test]
fn what_was_not_marked_or_may_expire_or_is_unwanted_waits_for_the_handshake() {
    let (net, mut listener) = net(1);
    let to = client(&net);
    for (first, properties) in to_wait() {
        visit(&net, &to, &mut listener);
        let to = to.clone().properties(properties);
        let sent = send_first(&net, &to, &mut listener, first.clone());
        assert!(!sent.received.context.is_early_data(), "{first:?}");
        assert!(sent.after >= DELAY * 3, "{first:?} after {:?}", sent.after);
        assert_eq!(sent.client.info().is_early_data_accepted, None);
    }
}

#[test]
fn a_listener_takes_no_early_data_unless_it_asks_for_it() {
    let net = Net::new(2);
    net.sim.link("client", "server").set_delay(DELAY);
    let mut listener = net.listen(server_tls().with_alpn([ALPN]));
    let to = client(&net);
    visit(&net, &to, &mut listener);
    let sent = send_first(&net, &to, &mut listener, replayable("first"));
    assert!(!sent.received.context.is_early_data());
    assert!(sent.after >= DELAY * 3, "{:?}", sent.after);
    assert_eq!(sent.client.info().is_early_data_accepted, None);
    go_on(&net, &sent);
}

#[test]
fn each_leaf_of_a_race_sends_it_with_a_ticket_of_its_own() {
    let net = Net::new(3);
    let mut listener = listen(&net, &net.at_server);
    visit(&net, &client(&net), &mut listener);
    let two = client_of(&net, &[V6, V4]);
    // The first address takes every packet and says nothing.
    let silent = UdpBind::on((ip(V6), PORT).into());
    let _silent = net.server.udp_bind(silent).expect("a socket");
    let sent = send_first(&net, &two, &mut listener, replayable("early"));
    let report = sent.client.report().expect("a report");
    assert_eq!(
        story(&report),
        [
            "0 quic [2001:db8::2]:443 cancelled",
            "250 quic 198.18.0.2:443 won"
        ]
    );
    assert!(sent.received.context.is_early_data());
    assert_eq!(sent.client.info().is_early_data_accepted, Some(true));
    go_on(&net, &sent);
}

#[test]
fn tickets_are_of_one_context_and_one_name() {
    let (net, mut listener) = net(4);
    let to = client(&net);
    visit(&net, &to, &mut listener);
    let stranger = Context::new(net.client.clone());
    let other_name = Preconnection::new(security().with_server_name("other.example"))
        .context(&net.at_client)
        .remote(
            RemoteEndpoint::address(ip(V4))
                .port(PORT)
                .for_stack(StackId::QUIC),
        );
    let begun = net.sim.block_on(async {
        other_name
            .initiate()
            .first_message(replayable("nobody"))
            .await
            .map(drop)
    });
    assert!(begun.is_err(), "the certificate is for {NAME}");
    let to = to.context(&stranger);
    let sent = send_first(&net, &to, &mut listener, replayable("first"));
    assert_eq!(&sent.received[..], b"first", "and not what was for nobody");
    assert!(!sent.received.context.is_early_data());
    assert_eq!(sent.client.info().is_early_data_accepted, None);
}

#[test]
fn a_first_message_beyond_the_window_goes_on_after_the_handshake() {
    let (net, mut listener) = net(5);
    let to = client(&net);
    visit(&net, &to, &mut listener);
    let first: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 253) as u8).collect();
    let sent = send_first(&net, &to, &mut listener, replayable(first.clone()));
    assert!(sent.received.is_complete() && sent.received[..] == first[..]);
    assert!(sent.received.context.is_early_data(), "it began early");
    assert_eq!(sent.client.info().is_early_data_accepted, Some(true));
    go_on(&net, &sent);
}

#[test]
fn messages_sent_meanwhile_follow_the_first_one_and_a_final_one_ends() {
    let (net, mut listener) = net(6);
    let to = client(&net);
    visit(&net, &to, &mut listener);
    net.sim.block_on(async {
        let client = to.initiate().first_message(replayable("first"));
        let client = client.background().expect("a plan");
        client.send("second").await.expect("queued");
        let server = listener.accept().await.expect("accepted");
        for expected in ["first", "second"] {
            let received = server.receive().await.expect("it");
            assert_eq!(&received[..], expected.as_bytes());
        }
    });
    visit(&net, &to, &mut listener);
    let last = MessageContext::new().with_safely_replayable().with_final();
    let last = Message::from("only").with_context(last);
    let sent = send_first(&net, &to, &mut listener, last);
    assert!(sent.received.context.is_early_data());
    net.sim.block_on(async {
        let end = sent.server.receive().await;
        assert_eq!(end, Err(portway::ReceiveError::Finished));
        assert!(sent.client.send("more").await.is_err());
    });
}

#[test]
fn a_framer_with_first_words_of_its_own_sends_nothing_early() {
    let net = Net::new(7);
    net.sim.link("client", "server").set_delay(DELAY);
    let early = TransportProperties::new().prefer(SelectionProperty::ZeroRttMsg);
    let local = LocalEndpoint::any().port(PORT);
    let server = Preconnection::new(server_tls().with_alpn([ALPN]))
        .context(&net.at_server)
        .local(local)
        .properties(early)
        .framer(greeting())
        .framer(LengthPrefixed::u32());
    let mut listener = net.listen_with(&server);
    let to = Preconnection::new(security())
        .context(&net.at_client)
        .remote(
            RemoteEndpoint::address(ip(V4))
                .port(PORT)
                .for_stack(StackId::QUIC),
        )
        .framer(greeting())
        .framer(LengthPrefixed::u32());
    visit(&net, &to, &mut listener);
    let sent = send_first(&net, &to, &mut listener, replayable("first"));
    assert_eq!(&sent.received[..], b"first");
    assert!(!sent.received.context.is_early_data());
    assert_eq!(sent.client.info().is_early_data_accepted, None);
}
