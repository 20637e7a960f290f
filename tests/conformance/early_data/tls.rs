//! A first message as early data of TLS over TCP, in the race and on virtual time.

use super::{DELAY, go_on, replayable, send_first, to_wait};
use crate::support::*;
use portway::property::SelectionProperty;
use portway::{
    Context, LengthPrefixed, Listener, LocalEndpoint, Preconnection, RemoteEndpoint, StackId,
    TransportProperties,
};
use portway_transport::environment::{Environment, ListenAddress};
use std::time::Duration;

/// The connection is there, and the client's first flight has come.
const FIRST_FLIGHT: Duration = Duration::from_millis(150);
/// The client's second flight has come.
const SECOND_FLIGHT: Duration = Duration::from_millis(250);

fn listen(net: &Net, context: &Context) -> Listener {
    let early = TransportProperties::new().prefer(SelectionProperty::ZeroRttMsg);
    listen_as(net, context, early)
}

fn listen_as(net: &Net, context: &Context, early: TransportProperties) -> Listener {
    let local = LocalEndpoint::any().port(PORT).for_stack(StackId::TLS);
    let server = Preconnection::new(server_tls())
        .context(context)
        .local(local)
        .framer(LengthPrefixed::u32())
        .properties(early);
    net.listen_with(&server)
}

fn net(seed: u64) -> (Net, Listener) {
    let net = Net::new(seed);
    net.sim.link("client", "server").set_delay(DELAY);
    let listener = listen(&net, &net.at_server);
    (net, listener)
}

fn client(net: &Net, addresses: &[&str]) -> Preconnection {
    let bare = Preconnection::new(client_tls().with_server_name(NAME))
        .context(&net.at_client)
        .framer(LengthPrefixed::u32());
    addresses.iter().fold(bare, |bare, address| {
        let remote = RemoteEndpoint::address(ip(address)).port(PORT);
        bare.remote(remote.for_stack(StackId::TLS))
    })
}

/// Connects and gets tickets.
fn visit(net: &Net, to: &Preconnection, listener: &mut Listener) {
    net.sim.block_on(async {
        let (client, server) = tokio::join!(to.initiate(), listener.accept());
        let (client, server) = (client.expect("a connection"), server.expect("accepted"));
        server.send("with tickets").await.expect("accepted");
        client.receive().await.expect("behind the tickets");
        client.close().await.expect("acknowledged");
    });
}

#[test]
fn a_replayable_first_message_arrives_with_the_first_flight_and_is_marked() {
    for seed in seeds(4) {
        let (net, mut listener) = net(seed);
        let to = client(&net, &[V4]);
        visit(&net, &to, &mut listener);
        let sent = send_first(&net, &to, &mut listener, replayable("early"));
        assert_eq!(&sent.received[..], b"early");
        assert!(sent.received.context.is_early_data());
        assert!(sent.after < FIRST_FLIGHT + ms(10), "{:?}", sent.after);
        assert_eq!(sent.client.info().is_early_data_accepted, Some(true));
        assert_eq!(sent.server.info().is_early_data_accepted, Some(true));
        let protection = sent.server.info().protection.expect("protected");
        assert!(protection.is_resumed, "{protection:?}");
        go_on(&net, &sent);
    }
}

#[test]
fn what_is_heard_early_is_answered_before_the_client_has_finished() {
    let (net, mut listener) = net(5);
    let to = client(&net, &[V4]);
    visit(&net, &to, &mut listener);
    let begun = net.client.now();
    net.sim.block_on(async {
        let asking = async {
            let client = to.initiate().first_message(replayable("ask")).await;
            let client = client.expect("a connection");
            let answer = client.receive().await.expect("an answer");
            assert_eq!(&answer[..], b"answer");
            (client, net.client.now())
        };
        let answering = async {
            let server = listener.accept().await.expect("accepted");
            server.receive().await.expect("a question");
            server.send("answer").await.expect("accepted");
            server
        };
        let ((_client, answered), _server) = tokio::join!(asking, answering);
        let after = answered.saturating_since(begun);
        assert!(after < FIRST_FLIGHT + DELAY + ms(10), "{after:?}");
    });
}

#[test]
fn rejected_early_data_is_sent_again_after_the_handshake_and_seen_once() {
    for seed in seeds(4) {
        let (net, mut listener) = net(seed);
        let to = client(&net, &[V4]);
        visit(&net, &to, &mut listener);
        // The server starts anew and knows no session of its predecessor.
        drop(listener);
        net.sim.run_for(Duration::from_secs(1));
        let restarted = Context::new(net.server.clone());
        let mut listener = listen(&net, &restarted);
        let sent = send_first(&net, &to, &mut listener, replayable("first"));
        assert_eq!(&sent.received[..], b"first");
        assert!(!sent.received.context.is_early_data());
        assert!(sent.after >= SECOND_FLIGHT, "{:?}", sent.after);
        assert_eq!(sent.client.info().is_early_data_accepted, Some(false));
        assert_eq!(sent.server.info().is_early_data_accepted, None);
        go_on(&net, &sent);
    }
}

#[test]
fn a_long_first_message_survives_that_its_early_part_is_rejected() {
    for is_switched_off in [false, true] {
        let (net, mut listener) = net(8);
        let to = client(&net, &[V4]);
        visit(&net, &to, &mut listener);
        drop(listener);
        net.sim.run_for(Duration::from_secs(1));
        // The server knows no session any more, or it takes no early data any more.
        let mut listener = match is_switched_off {
            false => listen(&net, &Context::new(net.server.clone())),
            true => listen_as(&net, &net.at_server, TransportProperties::new()),
        };
        let first: Vec<u8> = (0..300_000_u32).map(|at| (at % 253) as u8).collect();
        let sent = send_first(&net, &to, &mut listener, replayable(first.clone()));
        assert!(sent.received.is_complete() && sent.received[..] == first[..]);
        assert!(!sent.received.context.is_early_data());
        assert_eq!(sent.client.info().is_early_data_accepted, Some(false));
        assert_eq!(sent.server.info().is_early_data_accepted, None);
        go_on(&net, &sent);
    }
}

#[test]
fn what_was_not_marked_or_may_expire_or_is_unwanted_waits_for_the_handshake() {
    let (net, mut listener) = net(1);
    let to = client(&net, &[V4]);
    for (first, properties) in to_wait() {
        visit(&net, &to, &mut listener);
        let to = to.clone().properties(properties);
        let sent = send_first(&net, &to, &mut listener, first.clone());
        assert!(!sent.received.context.is_early_data(), "{first:?}");
        assert!(sent.after >= SECOND_FLIGHT, "{first:?} {:?}", sent.after);
        assert_eq!(sent.client.info().is_early_data_accepted, None);
    }
}

#[test]
fn a_listener_takes_no_early_data_unless_it_asks_for_it() {
    let net = Net::new(2);
    net.sim.link("client", "server").set_delay(DELAY);
    let mut listener = net.listen(server_tls());
    let to = client(&net, &[V4]);
    visit(&net, &to, &mut listener);
    let sent = send_first(&net, &to, &mut listener, replayable("first"));
    assert!(!sent.received.context.is_early_data());
    assert!(sent.after >= SECOND_FLIGHT, "{:?}", sent.after);
    assert_eq!(sent.client.info().is_early_data_accepted, None);
    go_on(&net, &sent);
}

#[test]
fn each_leaf_of_a_race_sends_it_with_a_ticket_of_its_own() {
    let net = Net::new(3);
    let listener_at = LocalEndpoint::address(ip(V4)).port(PORT);
    let early = TransportProperties::new().prefer(SelectionProperty::ZeroRttMsg);
    let server = Preconnection::new(server_tls())
        .context(&net.at_server)
        .local(listener_at.for_stack(StackId::TLS))
        .framer(LengthPrefixed::u32())
        .properties(early);
    let mut listener = net.listen_with(&server);
    visit(&net, &client(&net, &[V4]), &mut listener);
    // The first address takes connections and says nothing.
    let silent = ListenAddress::on((ip(V6), PORT).into());
    let _silent = net.server.tcp_listen(silent).expect("a listener");
    let two = client(&net, &[V6, V4]);
    let sent = send_first(&net, &two, &mut listener, replayable("early"));
    let report = sent.client.report().expect("a report");
    let story = story(&report);
    assert_eq!(story.len(), 2, "{story:?}");
    assert!(story[1].ends_with("198.18.0.2:443 won"), "{story:?}");
    assert!(sent.received.context.is_early_data());
    assert_eq!(sent.client.info().is_early_data_accepted, Some(true));
    go_on(&net, &sent);
}

#[test]
fn a_first_message_beyond_what_the_ticket_allows_goes_on_after_the_handshake() {
    let (net, mut listener) = net(6);
    let to = client(&net, &[V4]);
    visit(&net, &to, &mut listener);
    let first: Vec<u8> = (0..300_000_u32).map(|at| (at % 253) as u8).collect();
    let sent = send_first(&net, &to, &mut listener, replayable(first.clone()));
    assert!(sent.received.is_complete() && sent.received[..] == first[..]);
    assert!(sent.received.context.is_early_data(), "it began early");
    assert_eq!(sent.client.info().is_early_data_accepted, Some(true));
    go_on(&net, &sent);
}

#[test]
fn a_framer_with_first_words_of_its_own_sends_nothing_early() {
    let net = Net::new(7);
    let early = TransportProperties::new().prefer(SelectionProperty::ZeroRttMsg);
    let server = Preconnection::new(server_tls())
        .context(&net.at_server)
        .local(LocalEndpoint::any().port(PORT).for_stack(StackId::TLS))
        .properties(early)
        .framer(greeting())
        .framer(LengthPrefixed::u32());
    let mut listener = net.listen_with(&server);
    let remote = RemoteEndpoint::address(ip(V4)).port(PORT);
    let to = Preconnection::new(client_tls().with_server_name(NAME))
        .context(&net.at_client)
        .remote(remote.for_stack(StackId::TLS))
        .framer(greeting())
        .framer(LengthPrefixed::u32());
    visit(&net, &to, &mut listener);
    let sent = send_first(&net, &to, &mut listener, replayable("first"));
    assert_eq!(&sent.received[..], b"first");
    assert!(!sent.received.context.is_early_data());
    assert_eq!(sent.client.info().is_early_data_accepted, None);
}
