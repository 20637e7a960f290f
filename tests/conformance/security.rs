//! Equal security: what is on the wire is as protected as was asked for, whatever peers do.

use crate::identities::Authority;
use crate::support::*;
use portway::property::SelectionProperty;
use portway::race::EventKind;
use portway::{
    FailureKind, LocalEndpoint, MessageProperties, Preconnection, RemoteEndpoint, Security,
    TlsVersion, TransportProperties,
};
use portway_core::WireProtocol;
use portway_sim::WireKind;
use portway_transport::environment::{Environment, ListenAddress};
use std::future::IntoFuture;
use std::io::IoSlice;

const SECRET: &[u8] = b"a secret that nobody else may read";

/// Every byte that the client sent belongs to a TLS record, and none is the secret.
fn assert_nothing_unprotected(net: &Net) {
    assert!(!net.sim.was_sent(SECRET));
    let mut streams = 0;
    for flow in net.sim.flows() {
        assert_eq!(flow.protocol, WireProtocol::Tcp, "{flow:?}");
        if flow.host != "client" {
            continue;
        }
        streams += 1;
        let mut rest = &flow.bytes[..];
        while let [kind, major, _, high, low, body @ ..] = rest {
            assert!((20..=23).contains(kind) && *major == 3, "not TLS: {rest:?}");
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            assert!(length <= body.len(), "a record is cut: {rest:?}");
            rest = &body[length..];
        }
        assert!(rest.is_empty(), "bytes outside of records: {rest:?}");
    }
    assert!(streams > 0, "nothing was tried");
}

/// A server that greets in cleartext, as mail servers do, on one address.
fn greet_in_cleartext(net: &Net, address: &str) {
    let listen = ListenAddress::on(socket(address));
    let listener = net.server.tcp_listen(listen).expect("a listener");
    net.server.spawn(Box::pin(async move {
        let mut held = Vec::new();
        loop {
            let accepted = std::future::poll_fn(|context| listener.poll_accept(context)).await;
            let stream = accepted.expect("a connection");
            let greeting = IoSlice::new(b"220 come in, everybody may read this\r\n");
            stream.try_write_vectored(&[greeting]).expect("written");
            held.push(stream);
        }
    }));
}

fn unframed(net: &Net, security: Security) -> Preconnection {
    Preconnection::new(security)
        .context(&net.at_client)
        .remote(RemoteEndpoint::host_name(NAME).port(PORT))
}

#[test]
fn no_plaintext_leaves_when_a_cleartext_port_answers_first() {
    let net = Net::named(1);
    greet_in_cleartext(&net, "[2001:db8::2]:443");
    // The protected server is far behind.
    net.sim.link("client", V4).set_delay(ms(300));
    let v4 = Preconnection::new(server_tls())
        .context(&net.at_server)
        .local(LocalEndpoint::address(ip(V4)).port(PORT));
    let mut listener = net.listen_with(&v4);
    let initiate = unframed(&net, client_tls())
        .initiate()
        .first_message(SECRET);
    let (connection, accepted) = net
        .sim
        .block_on(async { tokio::join!(initiate.into_future(), listener.accept()) });
    let connection = connection.expect("the protected server");
    assert!(connection.info().protection.is_some());
    let server = accepted.expect("accepted");
    let received = net.sim.block_on(server.receive_partial(SECRET.len(), 100));
    assert_eq!(&received.expect("the secret")[..], SECRET);
    assert_nothing_unprotected(&net);
}

#[test]
fn no_plaintext_leaves_when_tls_fails_on_every_candidate() {
    let net = Net::named(2);
    greet_in_cleartext(&net, "[2001:db8::2]:443");
    greet_in_cleartext(&net, "198.18.0.2:443");
    let initiate = unframed(&net, client_tls())
        .initiate()
        .first_message(SECRET);
    let error = net
        .sim
        .block_on(initiate.into_future())
        .expect_err("no TLS");
    assert_eq!(error.kind(), FailureKind::ProtocolViolation);
    let report = error.report().expect("a report");
    assert_eq!(report.attempts.len(), 2);
    assert!(
        report
            .attempts
            .iter()
            .all(|tried| tried.leaf.security.is_protected())
    );
    net.sim.run_for(ms(10_000));
    assert_nothing_unprotected(&net);
}

#[test]
fn no_plaintext_leaves_for_a_server_whose_certificate_is_refused() {
    let authority = Authority::new("Root");
    for (what, _, identity) in authority.unacceptable() {
        let net = Net::named(3);
        let _listener = net.listen(Security::tls().with_identity(identity));
        let initiate = unframed(&net, authority.client())
            .initiate()
            .first_message(SECRET);
        let error = net.sim.block_on(initiate.into_future()).expect_err(what);
        assert_eq!(error.kind(), FailureKind::CertificateRejected, "{what}");
        assert_nothing_unprotected(&net);
    }
}

#[test]
fn version_below_the_floor_is_not_tried() {
    let net = Net::named(4);
    let _listener = net.listen(server_tls().with_max_version(TlsVersion::Tls12));
    let to = unframed(&net, client_tls().with_min_version(TlsVersion::Tls13));
    let raced = net.race(&to);
    assert!(raced.outcome.is_err());
    let syns = net.sim.wire_log().into_iter();
    let syns = syns.filter(|event| event.kind == WireKind::Syn).count();
    assert_eq!(syns, 2, "one attempt for each address and no weaker one");
    assert_nothing_unprotected(&net);
}

#[test]
fn datagrams_in_cleartext_do_not_join_a_protected_race() {
    let net = Net::named(5);
    let replayable = MessageProperties::new().with_safely_replayable(true);
    let properties = TransportProperties::unreliable_datagram();
    let udp = Preconnection::new(Security::disabled())
        .context(&net.at_server)
        .local(LocalEndpoint::any().port(PORT))
        .properties(properties.clone())
        .message_defaults(replayable);
    let _udp = net.listen_with(&udp);
    let to = unframed(&net, client_tls())
        .properties(properties)
        .message_defaults(replayable);
    match net
        .sim
        .block_on(to.initiate().first_message(SECRET).into_future())
    {
        Ok(connection) => panic!("connected: {:?}", connection.info()),
        Err(error) => println!("{error}"),
    }
    let log = net.sim.wire_log();
    assert!(log.iter().all(|event| event.protocol == WireProtocol::Tcp));
    assert!(!net.sim.was_sent(SECRET));
    let _ = SelectionProperty::Reliability;
}

#[test]
fn opportunistic_race_takes_protection_where_it_is_offered() {
    let net = Net::named(6);
    let _listener = net.listen(server_tls());
    let raced = net.race(&unframed(&net, Security::opportunistic()));
    assert_eq!(raced.story(), ["5 tls [2001:db8::2]:443 won"]);
    net.sim
        .block_on(raced.connection().send(SECRET))
        .expect("sent");
    net.sim.run_for(ms(1000));
    assert_nothing_unprotected(&net);
}

#[test]
fn opportunistic_cleartext_follows_only_after_protection_failed_everywhere() {
    let net = Net::named(7);
    greet_in_cleartext(&net, "[2001:db8::2]:443");
    greet_in_cleartext(&net, "198.18.0.2:443");
    let raced = net.race(&unframed(&net, Security::opportunistic()));
    let story = raced.story();
    assert_eq!(story.len(), 3, "{story:?}");
    assert!(
        story[0].contains("tls [2001:db8::2]:443 failed"),
        "{story:?}"
    );
    assert!(story[1].contains("tls 198.18.0.2:443 failed"), "{story:?}");
    assert!(story[2].contains("tcp [2001:db8::2]:443 won"), "{story:?}");
    let permitted = raced.place(|kind| matches!(kind, EventKind::CleartextPermitted { .. }));
    let started = raced.place(|kind| {
        matches!(kind, EventKind::AttemptStarted { leaf, .. } if !leaf.security.is_protected())
    });
    assert!(permitted < started);
    assert!(raced.connection().info().protection.is_none());
}

#[test]
fn opportunistic_cleartext_never_follows_a_rejected_certificate() {
    let authority = Authority::new("Root");
    for (what, _, identity) in authority.unacceptable() {
        let net = Net::named(8);
        let _listener = net.listen(Security::tls().with_identity(identity));
        let security = Security::opportunistic().with_roots(authority.roots());
        let initiate = unframed(&net, security).initiate().first_message(SECRET);
        let error = net.sim.block_on(initiate.into_future()).expect_err(what);
        assert_eq!(error.kind(), FailureKind::CertificateRejected, "{what}");
        net.sim.run_for(ms(10_000));
        assert_nothing_unprotected(&net);
    }
}

#[test]
fn opportunistic_cleartext_does_not_follow_silence() {
    let net = Net::named(9);
    net.sim
        .link("client", "server")
        .black_hole(portway_sim::Direction::Both);
    let initiate = unframed(&net, Security::opportunistic()).initiate();
    let error = net
        .sim
        .block_on(initiate.into_future())
        .expect_err("silence");
    assert_eq!(error.kind(), FailureKind::TimedOut);
    let report = error.report().expect("a report");
    let tried = &report.attempts;
    assert!(tried.iter().all(|tried| tried.leaf.security.is_protected()));
}

#[test]
fn one_rejected_certificate_forbids_cleartext_everywhere() {
    let authority = Authority::new("Root");
    let (_, _, identity) = authority.unacceptable().remove(0);
    let net = Net::named(10);
    let v6 = Preconnection::new(Security::tls().with_identity(identity))
        .context(&net.at_server)
        .local(LocalEndpoint::address(ip(V6)).port(PORT));
    let _listener = net.listen_with(&v6);
    greet_in_cleartext(&net, "198.18.0.2:443");
    let security = Security::opportunistic().with_roots(authority.roots());
    let initiate = unframed(&net, security).initiate().first_message(SECRET);
    let outcome = net.sim.block_on(initiate.into_future());
    assert!(outcome.is_err());
    assert_nothing_unprotected(&net);
}
