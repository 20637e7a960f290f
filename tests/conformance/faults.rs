//! Hostile and broken peers, resolvers and systems: a typed error that names what happened,
//! nothing lost that was delivered, and a next operation that works.

use crate::identities::Authority;
use crate::support::*;
use bytes::BytesMut;
use portway::framer::{
    Control, Deframed, Delimited, Demand, Framer, FramerFactory, Outgoing, Progress, from_fn,
};
use portway::{
    Advice, Completion, Connection, ConnectionLimits, ConnectionState, EstablishmentError, Failure,
    FailureKind, LengthPrefixed, LocalEndpoint, Origin, Preconnection, ReceiveError,
    RemoteEndpoint, Security, TlsRole, UpgradeError,
};
use portway_core::dns::{Answer, AnswerData, RecordKind, ServiceBinding};
use portway_core::race::AttemptOutcome;
use portway_core::send_queue::WireBuffer;
use portway_sim::Direction;
use std::future::IntoFuture;

/// A framed client and a peer that writes whatever bytes it likes.
fn framed_and_raw(net: &Net, framer: impl FramerFactory + 'static) -> (Connection, Connection) {
    let listen = Preconnection::new(Security::disabled())
        .context(&net.at_server)
        .local(LocalEndpoint::any().port(PORT));
    let mut listener = net.listen_with(&listen);
    let to = Preconnection::new(Security::disabled())
        .context(&net.at_client)
        .remote(RemoteEndpoint::host_name(NAME).port(PORT))
        .framer(framer);
    net.connect(&to, &mut listener)
}

fn say(net: &Net, peer: &Connection, bytes: &[u8]) {
    let receipt = net.sim.block_on(peer.send(bytes)).expect("taken");
    assert_eq!(net.sim.block_on(receipt), Completion::Sent);
}

/// Waits for a greeting that never ends.
struct Endless;

impl Framer for Endless {
    fn start(&mut self, _: &mut Control<'_>) -> Result<Progress, Failure> {
        Ok(Progress::NeedsInput)
    }

    fn on_handshake(&mut self, _: &mut BytesMut, _: &mut Control<'_>) -> Result<Progress, Failure> {
        Ok(Progress::NeedsInput)
    }

    fn frame(&mut self, _: Outgoing<'_>, _: &mut WireBuffer) -> Result<(), Failure> {
        unreachable!("it never becomes ready")
    }

    fn deframe(&mut self, _: &mut BytesMut, _: Demand) -> Result<Deframed, Failure> {
        unreachable!("it never becomes ready")
    }
}

#[test]
fn framers_handshake_that_brings_too_much_is_ended() {
    let net = Net::new(12);
    net.client.dns().zone(NAME, &[V4]);
    let listen = Preconnection::new(Security::disabled())
        .context(&net.at_server)
        .local(LocalEndpoint::any().port(PORT));
    let mut listener = net.listen_with(&listen);
    let flood = net.spawn(async move {
        let peer = listener.accept().await.expect("a connection");
        while peer.send(vec![b'x'; 64 * 1024]).await.is_ok() {}
    });
    let to = Preconnection::new(Security::disabled())
        .context(&net.at_client)
        .remote(RemoteEndpoint::host_name(NAME).port(PORT))
        .framer(from_fn(|| Endless));
    let raced = net.race(&to);
    assert_eq!(
        attempt_failure(raced.error()).kind,
        FailureKind::LimitReached
    );
    net.sim.block_on(flood).expect("the peer sees the end");
}

/// The failure of the only attempt of a race.
fn attempt_failure(error: &EstablishmentError) -> portway::Failure {
    let report = error.report().expect("a report");
    match &report.attempts[0].outcome {
        AttemptOutcome::Failed(failure) => failure.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn half_a_frame_then_silence_waits_and_gives_the_part_that_is_there() {
    let net = Net::named(1);
    let (client, peer) = framed_and_raw(&net, LengthPrefixed::u32());
    say(&net, &peer, b"\0\0\0\x05whole\0\0\0\x0ahalf");
    net.sim.block_on(async {
        assert_eq!(
            &client.receive().await.expect("the whole one")[..],
            b"whole"
        );
    });
    let waiting = client.clone();
    let mut receive = net.spawn(async move { waiting.receive().await });
    net.sim.run_for(ms(600_000));
    assert!(receive.try_recv().is_err(), "silence is no end");
    drop(receive);
    client.abort();

    let (client, peer) = framed_and_raw_again(&net);
    say(&net, &peer, b"\0\0\0\x0ahalf");
    let part = net
        .sim
        .block_on(client.receive_partial(1, 100))
        .expect("a part");
    assert!(part.is_start && !part.is_end);
    assert_eq!(&part[..], b"half");
    say(&net, &peer, b"second");
    let rest = net
        .sim
        .block_on(client.receive_partial(1, 100))
        .expect("the rest");
    assert!(!rest.is_start && rest.is_end && rest.id() == part.id());
    assert_eq!(&rest[..], b"second");
}

fn framed_and_raw_again(net: &Net) -> (Connection, Connection) {
    net.sim.run_for(ms(1000));
    framed_and_raw(net, LengthPrefixed::u32())
}

#[test]
fn half_a_frame_then_the_end_is_a_framing_error_after_what_was_whole() {
    let net = Net::named(2);
    let (client, peer) = framed_and_raw(&net, LengthPrefixed::u32());
    say(&net, &peer, b"\0\0\0\x05whole\0\0\0\x0ahalf");
    net.sim.block_on(peer.end_sending()).expect("ended");
    net.sim.block_on(async {
        assert_eq!(
            &client.receive().await.expect("the whole one")[..],
            b"whole"
        );
        let error = client.receive().await.expect_err("cut");
        assert!(matches!(error, ReceiveError::Framer(_)), "{error:?}");
        assert_eq!(error.failure().origin, Origin::Framing);
        assert_eq!(error.kind(), FailureKind::Reset);
        assert!(error.to_string().contains("4 of 10"), "{error}");
    });
}

#[test]
fn too_long_a_frame_is_refused_before_its_body_comes() {
    let net = Net::named(3);
    let (client, peer) = framed_and_raw(&net, LengthPrefixed::u32().max_length(1000));
    say(&net, &peer, b"\0\0\0\x02ok\0\0\x03\xe9");
    net.sim.block_on(async {
        assert_eq!(&client.receive().await.expect("the short one")[..], b"ok");
        let error = client.receive().await.expect_err("too long");
        assert!(matches!(error, ReceiveError::Framer(_)), "{error:?}");
        assert!(error.to_string().contains("1001"), "{error}");
        assert!(
            client.receive().await.is_err(),
            "the stream has no meaning any more"
        );
    });
}

#[test]
fn frame_that_claims_a_tebibyte_is_refused_without_room_for_it() {
    let net = Net::named(4);
    let (client, peer) = framed_and_raw(&net, LengthPrefixed::u64());
    let mut bytes = (1u64 << 40).to_be_bytes().to_vec();
    bytes.extend_from_slice(b"the beginning");
    say(&net, &peer, &bytes);
    let error = net.sim.block_on(client.receive()).expect_err("refused");
    assert!(matches!(error, ReceiveError::Framer(_)), "{error:?}");
    assert!(error.to_string().contains("1099511627776"), "{error}");
    assert_eq!(error.advice(), Advice::Fatal);
}

#[test]
fn longer_message_than_is_assembled_comes_in_parts() {
    let net = Net::named(5);
    let listen = Preconnection::new(Security::disabled())
        .context(&net.at_server)
        .local(LocalEndpoint::any().port(PORT));
    let mut listener = net.listen_with(&listen);
    let mut limits = ConnectionLimits::default();
    limits.receive_message_bytes = 1000;
    let to = net.to_server(Security::disabled()).limits(limits);
    let (client, peer) = net.connect(&to, &mut listener);
    let mut bytes = 2500u32.to_be_bytes().to_vec();
    bytes.resize(4 + 2500, b'x');
    bytes.extend_from_slice(b"\0\0\0\x04next");
    say(&net, &peer, &bytes);
    net.sim.block_on(async {
        let mut total = 0;
        loop {
            let part = client.receive().await.expect("a part");
            assert!(part.len() <= 1000, "{}", part.len());
            assert_eq!(part.is_start, total == 0);
            total += part.len();
            if part.is_end {
                break;
            }
        }
        assert_eq!(total, 2500);
        assert_eq!(&client.receive().await.expect("the next one")[..], b"next");
    });
}

#[test]
fn reset_in_mid_message_comes_after_what_was_whole() {
    let net = Net::named(6);
    let (client, peer) = framed_and_raw(&net, LengthPrefixed::u32());
    say(&net, &peer, b"\0\0\0\x05whole\0\0\0\x0ahalf");
    net.sim.run_for(ms(100));
    peer.abort();
    net.sim.run_for(ms(100));
    net.sim.block_on(async {
        assert_eq!(
            &client.receive().await.expect("the whole one")[..],
            b"whole"
        );
        let error = client.receive().await.expect_err("a reset");
        assert!(matches!(error, ReceiveError::Failed(_)), "{error:?}");
        assert_eq!(error.kind(), FailureKind::Reset);
        assert_eq!(error.failure().origin, Origin::System);
        assert_eq!(error.advice(), Advice::IfReplayable);
    });
}

#[test]
fn peer_that_never_reads_makes_senders_wait_within_the_bounds() {
    for (server, client) in [
        (Security::disabled(), Security::disabled()),
        (server_tls(), client_tls()),
    ] {
        let net = Net::named(7);
        net.server.set_tcp_buffers(32 * 1024, 32 * 1024);
        net.client.set_tcp_buffers(32 * 1024, 32 * 1024);
        let mut limits = ConnectionLimits::default();
        limits.send_queue_bytes = 10_000;
        limits.send_queue_messages = 50;
        let mut listener = net.listen(server);
        let to = net.to_server(client).limits(limits);
        let (client, server) = net.connect(&to, &mut listener);
        let mut taken = 0;
        let mut receipts = Vec::new();
        loop {
            match net
                .sim
                .block_on(polled(1, client.send(vec![taken as u8; 600])))
            {
                Some(receipt) => receipts.push(receipt.expect("taken")),
                None if client.info().queued_bytes + 600 > 10_000 => break,
                None => net.sim.run_for(ms(100)),
            }
            taken = receipts.len();
            assert!(client.info().queued_bytes <= 10_000, "the bound holds");
            net.sim.run_for(ms(1));
            assert!(taken < 10_000, "it never waits");
        }
        net.sim.run_for(ms(60_000));
        assert!(client.info().queued_bytes <= 10_000);
        // The peer wakes up: everything that was taken arrives, in order.
        net.sim.block_on(async {
            for index in 0..taken {
                let message = server.receive().await.expect("a message");
                assert_eq!(message[0], index as u8);
            }
        });
        for receipt in receipts {
            assert_eq!(net.sim.block_on(receipt), Completion::Sent);
        }
    }
}

fn cleartext(net: &Net) -> (Connection, Connection) {
    let listen = Preconnection::new(Security::disabled())
        .context(&net.at_server)
        .local(LocalEndpoint::any().port(PORT))
        .framer(LengthPrefixed::u32());
    let mut listener = net.listen_with(&listen);
    net.connect(&net.to_server(Security::disabled()), &mut listener)
}

#[test]
fn upgrade_protects_what_follows_on_both_sides() {
    let net = Net::named(8);
    let (client, server) = cleartext(&net);
    let (to, of) = (client_tls(), server_tls());
    let (to, of) = (
        to.tls_parameters().expect("tls"),
        of.tls_parameters().expect("tls"),
    );
    net.sim.block_on(async {
        client.send("STARTTLS").await.expect("taken").await;
        assert_eq!(&server.receive().await.expect("a command")[..], b"STARTTLS");
        server.send("GO AHEAD").await.expect("taken").await;
        assert_eq!(&client.receive().await.expect("an answer")[..], b"GO AHEAD");
        let (one, other) = tokio::join!(
            client.upgrade_tls(to, TlsRole::Client, Some(NAME)),
            server.upgrade_tls(of, TlsRole::Server, None),
        );
        assert_eq!(one.expect("protected").server_name.as_deref(), Some(NAME));
        other.expect("protected");
        client.send("a secret word").await.expect("taken").await;
        assert_eq!(
            &server.receive().await.expect("a message")[..],
            b"a secret word"
        );
        server.send("another secret").await.expect("taken").await;
        assert_eq!(
            &client.receive().await.expect("a message")[..],
            b"another secret"
        );
    });
    assert!(net.sim.was_sent(b"STARTTLS"));
    assert!(!net.sim.was_sent(b"secret"));
}

#[test]
fn plaintext_injected_before_the_upgrade_is_refused_in_both_roles() {
    for role in [TlsRole::Client, TlsRole::Server] {
        let net = Net::named(9);
        let (client, peer) = framed_and_raw(&net, LengthPrefixed::u32());
        // Two commands in one packet: the second was not protected when it was sent.
        say(&net, &peer, b"\0\0\0\x08STARTTLS\0\0\0\x06INJECT");
        let message = net
            .sim
            .block_on(client.receive())
            .expect("the first command");
        assert_eq!(&message[..], b"STARTTLS");
        let security = server_tls();
        let tls = security.tls_parameters().expect("tls");
        let refused = net.sim.block_on(client.upgrade_tls(tls, role, Some(NAME)));
        assert_eq!(refused, Err(UpgradeError::BufferedPlaintext { bytes: 10 }));
        let error = net.sim.block_on(client.receive()).expect_err("it is over");
        assert_eq!(error.kind(), FailureKind::ProtocolViolation);
        net.sim.run_for(ms(100));
        let error = net
            .sim
            .block_on(peer.receive_partial(1, 10))
            .expect_err("a reset");
        assert_eq!(error.kind(), FailureKind::Reset);
    }
}

#[test]
fn upgrade_with_a_peer_that_is_silent_ends_after_its_time_limit() {
    for role in [TlsRole::Client, TlsRole::Server] {
        let net = Net::named(9);
        let (client, peer) = framed_and_raw(&net, LengthPrefixed::u32());
        let security = server_tls();
        let tls = security.tls_parameters().expect("tls");
        let start = net.sim.now();
        let upgrade = client.upgrade_tls(tls, role, Some(NAME));
        let error = net.sim.block_on(upgrade).expect_err("nobody answers");
        assert_eq!(error.kind(), FailureKind::TimedOut, "{error}");
        let limit = ConnectionLimits::default().handshake_timeout;
        assert_eq!(net.sim.now() - start, limit);
        assert_eq!(client.state(), ConnectionState::Closed);
        drop((client, peer));
        net.sim.run_until_idle();
        assert_eq!(net.client.tasks_alive(), 0);
        assert_eq!(net.client.sockets_open(), 0);
    }
}

#[test]
fn plaintext_that_framers_hold_before_the_upgrade_is_refused() {
    for is_stacked in [false, true] {
        let net = Net::named(9);
        let listen = Preconnection::new(Security::disabled())
            .context(&net.at_server)
            .local(LocalEndpoint::any().port(PORT));
        let mut listener = net.listen_with(&listen);
        let mut to = Preconnection::new(Security::disabled())
            .context(&net.at_client)
            .remote(RemoteEndpoint::host_name(NAME).port(PORT))
            .framer(LengthPrefixed::u32());
        if is_stacked {
            to = to.framer(Delimited::lf());
        }
        let (client, peer) = net.connect(&to, &mut listener);
        if is_stacked {
            // One frame with two lines: the second waits between the framers.
            say(&net, &peer, b"\0\0\0\x10STARTTLS\nINJECT\n");
            let message = net.sim.block_on(client.receive()).expect("a command");
            assert_eq!(&message[..], b"STARTTLS");
        } else {
            // The header of a message whose body would come protected.
            say(&net, &peer, b"\0\0\0\x06");
            assert!(net.cut(3, client.receive()).is_none());
        }
        let security = client_tls();
        let tls = security.tls_parameters().expect("tls");
        let upgrade = client.upgrade_tls(tls, TlsRole::Client, Some(NAME));
        let refused = net.sim.block_on(polled(3, upgrade));
        assert!(
            matches!(refused, Some(Err(UpgradeError::BufferedPlaintext { .. }))),
            "{refused:?}"
        );
    }
}

#[test]
fn plaintext_that_waits_in_the_system_is_never_taken_for_protected_data() {
    for role in [TlsRole::Client, TlsRole::Server] {
        let net = Net::named(10);
        let (client, peer) = framed_and_raw(&net, LengthPrefixed::u32());
        say(&net, &peer, b"\0\0\0\x08STARTTLS");
        let message = net
            .sim
            .block_on(client.receive())
            .expect("the first command");
        assert_eq!(&message[..], b"STARTTLS");
        say(&net, &peer, b"\0\0\0\x06INJECT");
        net.sim.run_for(ms(100));
        let security = server_tls();
        let tls = security.tls_parameters().expect("tls");
        let error = net
            .sim
            .block_on(client.upgrade_tls(tls, role, Some(NAME)))
            .expect_err("the peer speaks plaintext");
        assert_eq!(error.kind(), FailureKind::ProtocolViolation, "{error}");
        assert!(net.sim.block_on(client.receive()).is_err());
    }
}

#[test]
fn peer_that_speaks_plaintext_to_tls_is_named() {
    let net = Net::new(11);
    net.client.dns().zone(NAME, &[V4]);
    let listen = Preconnection::new(Security::disabled())
        .context(&net.at_server)
        .local(LocalEndpoint::any().port(PORT));
    let mut listener = net.listen_with(&listen);
    let to = net.to_server(client_tls());
    let (connected, _peer) = net.sim.block_on(async {
        tokio::join!(to.initiate().into_future(), async {
            let peer = listener.accept().await.expect("accepted");
            peer.send("220 mail.example ready\r\n")
                .await
                .expect("taken")
                .await;
            peer
        })
    });
    let error = connected.expect_err("no TLS");
    assert_eq!(error.kind(), FailureKind::ProtocolViolation);
    let failure = attempt_failure(&error);
    assert_eq!(failure.origin, Origin::Tls);
    println!("{failure}");
}

#[test]
fn plaintext_client_of_a_tls_listener_fails_alone() {
    let net = Net::named(12);
    let mut listener = net.listen(server_tls());
    let raw = Preconnection::new(Security::disabled())
        .context(&net.at_client)
        .remote(RemoteEndpoint::host_name(NAME).port(PORT));
    let stray = net.race(&raw);
    say(&net, stray.connection(), b"GET / HTTP/1.0\r\n\r\n");
    net.sim.run_for(ms(1000));
    let (client, server) = net.connect(&net.to_server(client_tls()), &mut listener);
    let failures = listener.take_failures();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].kind, FailureKind::ProtocolViolation);
    say(&net, &client, b"hello");
    assert_eq!(
        &net.sim.block_on(server.receive()).expect("a message")[..],
        b"hello"
    );
}

#[test]
fn missing_common_application_protocol_is_told_on_both_sides() {
    let net = Net::new(13);
    net.client.dns().zone(NAME, &[V4]);
    let mut listener = net.listen(server_tls().with_alpn(["h2"]));
    let raced = net.race(&net.to_server(client_tls().with_alpn(["imap"])));
    assert_eq!(raced.error().kind(), FailureKind::AlpnMismatch);
    assert_eq!(attempt_failure(raced.error()).origin, Origin::Tls);
    let next = net.to_server(client_tls().with_alpn(["imap", "h2"]));
    let (client, _server) = net.connect(&next, &mut listener);
    let protection = client.info().protection.expect("protected");
    assert_eq!(protection.alpn.as_deref(), Some(&b"h2"[..]));
    let failures = listener.take_failures();
    assert_eq!(failures[0].kind, FailureKind::AlpnMismatch, "{failures:?}");
}

#[test]
fn unacceptable_certificate_is_named_with_its_reason() {
    let authority = Authority::new("Root");
    for (what, reason, identity) in authority.unacceptable() {
        let net = Net::new(14);
        net.client.dns().zone(NAME, &[V4]);
        let mut listener = net.listen(Security::tls().with_identity(identity));
        let raced = net.race(&net.to_server(authority.client()));
        assert_eq!(
            raced.error().kind(),
            FailureKind::CertificateRejected,
            "{what}"
        );
        assert_eq!(raced.error().advice(), Advice::Fatal);
        let failure = attempt_failure(raced.error());
        assert_eq!(failure.origin, Origin::Tls);
        assert!(failure.detail.contains(reason), "{what}: {failure}");
        assert!(failure.code.is_some(), "the alert: {failure}");
        net.sim.run_for(ms(100));
        net.sim.block_on(polled(1, listener.accept()));
        let told = listener.take_failures();
        assert_eq!(told.len(), 1, "{what}: {told:?}");
        assert_eq!(told[0].kind, FailureKind::CertificateRejected, "{what}");
    }
}

#[test]
fn resolver_that_never_answers_is_named_when_time_is_up() {
    let net = Net::new(15);
    for kind in [RecordKind::Https, RecordKind::Aaaa, RecordKind::A] {
        net.client.dns().never(NAME, kind);
    }
    let initiate = net.to_server(client_tls()).initiate().timeout(ms(3000));
    let error = net
        .sim
        .block_on(initiate.into_future())
        .expect_err("no answer");
    assert_eq!(error.kind(), FailureKind::TimedOut);
    let report = error.report().expect("a report");
    assert!(report.attempts.is_empty());
    assert_eq!(report.queries.len(), 3);
    let reason = error.to_string();
    assert!(reason.contains("HTTPS? server.example"), "{reason}");
    assert_eq!(net.client.tasks_alive(), 0);
}

#[test]
fn resolver_that_lies_leads_to_no_connection_and_no_panic() {
    let net = Net::new(16);
    let dns = net.client.dns();
    let lie = |data| {
        Ok(Answer {
            data,
            ttl: ms(1000),
        })
    };
    // Records of another type, and addresses of the other family.
    let services = AnswerData::Services(vec![ServiceBinding::default()]);
    dns.reply(NAME, RecordKind::A, ms(5), lie(services));
    dns.reply(
        NAME,
        RecordKind::Aaaa,
        ms(5),
        lie(AnswerData::Addresses(vec![ip(V4)])),
    );
    dns.reply(
        NAME,
        RecordKind::Https,
        ms(5),
        lie(AnswerData::Addresses(vec![ip(V6)])),
    );
    let raced = net.race(&net.to_server(client_tls()));
    assert!(raced.story().is_empty(), "{:?}", raced.story());
    let kind = raced.error().kind();
    assert!(
        matches!(
            kind,
            FailureKind::NameNotFound | FailureKind::ResolverFailed
        ),
        "{kind:?}"
    );
    // The next question is answered honestly.
    dns.zone(NAME, &[V6]);
    let _listener = net.listen(server_tls());
    assert!(net.race(&net.to_server(client_tls())).outcome.is_ok());
}

#[test]
fn failing_resolver_is_told_apart_from_a_name_that_does_not_exist() {
    let net = Net::new(17);
    for kind in [RecordKind::Https, RecordKind::Aaaa, RecordKind::A] {
        net.client
            .dns()
            .fail(NAME, kind, ms(5), FailureKind::ResolverFailed);
    }
    let raced = net.race(&net.to_server(client_tls()));
    assert_eq!(raced.error().kind(), FailureKind::ResolverFailed);
    assert_eq!(raced.error().advice(), Advice::BackOff);
    assert_eq!(raced.error().failure().origin, Origin::Dns);
}

#[test]
fn lack_of_descriptors_while_accepting_is_told_and_passes() {
    let net = Net::named(18);
    let mut listener = net.listen(server_tls());
    let open = net.server.sockets_open();
    net.server.set_descriptors_max(Some(open));
    let to = net.to_server(client_tls());
    let waiting = net.spawn(async move { to.initiate().await });
    net.sim.run_for(ms(2000));
    net.server.set_descriptors_max(None);
    let server = net
        .sim
        .block_on(listener.accept())
        .expect("accepted in the end");
    let client = net.sim.block_on(waiting).expect("ran").expect("connected");
    let failures = listener.take_failures();
    assert!(!failures.is_empty());
    assert!(failures.len() < 20, "it does not spin: {}", failures.len());
    for failure in failures {
        assert_eq!(failure.kind, FailureKind::ResourceExhausted);
        assert_eq!(failure.code, Some(24), "EMFILE");
    }
    say(&net, &client, b"hello");
    assert_eq!(
        &net.sim.block_on(server.receive()).expect("a message")[..],
        b"hello"
    );
}

#[test]
fn lack_of_descriptors_while_connecting_is_told_and_passes() {
    let net = Net::named(19);
    let _listener = net.listen(server_tls());
    net.client.set_descriptors_max(Some(0));
    let raced = net.race(&net.to_server(client_tls()));
    assert_eq!(raced.error().kind(), FailureKind::ResourceExhausted);
    assert_eq!(raced.error().advice(), Advice::BackOff);
    net.client.set_descriptors_max(None);
    assert!(net.race(&net.to_server(client_tls())).outcome.is_ok());
}

#[test]
fn peer_that_vanishes_is_found_by_conn_timeout() {
    let net = Net::named(20);
    let mut listener = net.listen(server_tls());
    let properties = portway::TransportProperties::default().with_connection_properties(
        &portway::ConnectionProperties::new().with_conn_timeout(Some(ms(5000))),
    );
    let to = net.to_server(client_tls()).properties(properties);
    let (client, _server) = net.connect(&to, &mut listener);
    net.sim.link("client", "server").black_hole(Direction::Both);
    let start = net.sim.now();
    net.sim
        .block_on(client.send("anybody?"))
        .expect("taken")
        .completion();
    let error = net.sim.block_on(client.receive()).expect_err("nobody");
    assert_eq!(error.kind(), FailureKind::TimedOut, "{error}");
    assert!(net.sim.now() - start <= ms(6000));
}
