//! The TCP model: handshake, streams, back-pressure and ends over links that work.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod support;

use portway_sim::{Unreachable, WireKind};
use portway_transport::environment::{Environment, ListenAddress, TcpConnect, TcpOptions};
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use support::*;

#[test]
fn connect_takes_a_round_trip_and_bytes_arrive_in_order() {
    let pair = pair(1);
    let payload = pattern(300_000);
    let expected = payload.clone();
    let (stream, accepted) = pair.connected();
    assert_eq!(pair.sim.now(), at(30), "SYN, SYN-ACK and ACK, 10 ms each");
    assert_eq!(stream.rtt(), Some(ms(20)));
    assert_eq!(stream.max_segment_size(), Some(1440));
    assert_eq!(stream.local_address(), accepted.peer_address());
    pair.client.spawn(Box::pin(async move {
        write_all(&*stream, &payload).await.unwrap();
        stream.shutdown_write().unwrap();
        assert_eq!(read_to_end(&*stream).await.unwrap(), b"");
    }));
    let received = pair.sim.block_on(read_to_end(&*accepted)).unwrap();
    assert_eq!(received, expected);
    drop(accepted);
    pair.sim.run_until_idle();
    assert_eq!((pair.sim.tasks_alive(), pair.sim.sockets_open()), (0, 0));
}

#[test]
fn closed_port_refuses_after_a_round_trip() {
    let pair = pair(1);
    let error = pair.connect_error(pair.remote());
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(pair.sim.now(), at(20));
    let kinds: Vec<_> = pair.sim.wire_log().iter().map(|e| e.kind).collect();
    assert_eq!(kinds, [WireKind::Syn, WireKind::Rst]);
}

#[test]
fn silent_address_times_out_after_seven_syns_and_127_seconds() {
    let pair = pair(1);
    let error = pair.connect_error("[2001:db8:dead::1]:443".parse().unwrap());
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(pair.sim.now(), at(127_000));
    let log = pair.sim.wire_log();
    assert_eq!(log.len(), 7);
    assert!(log.iter().all(|event| event.arrives.is_none()));
}

#[test]
fn silent_port_is_opened_again_while_the_client_still_tries() {
    let pair = pair(1);
    let _listener = pair.listen();
    let tcp = portway_core::WireProtocol::Tcp;
    pair.server.silence(tcp, 443);
    pair.sim.at(at(2000), move |world| {
        world.host("server").unsilence(tcp, 443)
    });
    let connect = pair.client.tcp_connect(TcpConnect::to(pair.remote()));
    pair.sim.block_on(connect).unwrap();
    assert_eq!(pair.sim.now(), at(3020), "the third SYN leaves after 3 s");
}

#[test]
fn unreachable_address_fails_when_the_icmp_error_arrives() {
    let cases = [
        (Unreachable::Host, libc::EHOSTUNREACH),
        (Unreachable::Network, libc::ENETUNREACH),
        (Unreachable::Prohibited, libc::EACCES),
        (Unreachable::Refused, libc::ECONNREFUSED),
    ];
    for (reason, errno) in cases {
        let pair = pair(1);
        let remote: SocketAddr = "203.0.113.9:443".parse().unwrap();
        pair.sim.link("client", "*").set_delay(ms(7));
        pair.sim.set_unreachable(remote.ip(), Some(reason));
        let error = pair.connect_error(remote);
        assert_eq!(error.raw_os_error(), Some(errno));
        assert_eq!(pair.sim.now(), at(14));
    }
}

#[test]
fn host_without_a_route_fails_at_once() {
    let pair = pair(1);
    pair.client.set_addresses(&["192.0.2.7".parse().unwrap()]);
    let error = pair.connect_error("[2001:db8::2]:443".parse().unwrap());
    assert_eq!(error.raw_os_error(), Some(libc::ENETUNREACH));
    assert_eq!(pair.sim.now(), at(0));
}

#[test]
fn dropping_a_connect_leaves_no_socket_and_no_event() {
    let pair = pair(1);
    let mut connect = pair
        .client
        .tcp_connect(TcpConnect::to("[2001:db8:dead::1]:443".parse().unwrap()));
    let poll_once = std::future::poll_fn(|context| {
        assert!(connect.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    });
    pair.sim.block_on(poll_once);
    assert_eq!(pair.sim.sockets_open(), 1);
    drop(connect);
    assert_eq!(pair.sim.sockets_open(), 0);
    pair.sim.run_until_idle();
    assert_eq!(pair.sim.now(), at(0));
}

#[test]
fn writer_blocks_when_the_peer_does_not_read_and_goes_on_when_it_does() {
    let pair = pair(1);
    pair.client.set_tcp_buffers(20_000, 20_000);
    pair.server.set_tcp_buffers(20_000, 30_000);
    let (stream, accepted) = pair.connected();
    let payload = pattern(100_000);
    let fill = || {
        let mut written = 0;
        loop {
            match stream.try_write_vectored(&[IoSlice::new(&payload[written..])]) {
                Ok(len) => written += len,
                Err(error) => return (written, error.kind()),
            }
            pair.sim.run_for(ms(500));
        }
    };
    let (written, kind) = fill();
    assert_eq!((written, kind), (50_000, ErrorKind::WouldBlock));
    assert_eq!(stream.unacknowledged().unwrap(), 20_000);
    pair.client.spawn(Box::pin({
        let rest = payload[written..].to_vec();
        async move {
            write_all(&*stream, &rest).await.unwrap();
        }
    }));
    let received = pair.sim.block_on(read_to_end(&*accepted)).unwrap();
    assert_eq!(received, payload);
}

#[test]
fn rate_limits_what_arrives() {
    let pair = pair(1);
    pair.sim.link("client", "server").set_rate(100_000, 16_000);
    let (stream, accepted) = pair.connected();
    let payload = pattern(200_000);
    pair.client.spawn(Box::pin(async move {
        write_all(&*stream, &payload).await.unwrap();
    }));
    let received = pair.sim.block_on(read_to_end(&*accepted)).unwrap();
    assert_eq!(received.len(), 200_000);
    let took = pair.sim.now().since_origin();
    assert!(took > ms(2000) && took < ms(2400), "took {took:?}");
    let is_resent = |log: Vec<portway_sim::WireEvent>| {
        log.iter().map(|event| event.bytes.len()).sum::<usize>() > 200_000
    };
    assert!(
        !is_resent(pair.sim.wire_log()),
        "nothing is lost at a queue"
    );
}

#[test]
fn half_close_lets_the_other_direction_go_on() {
    let pair = pair(1);
    let (stream, accepted) = pair.connected();
    pair.sim.block_on(async {
        write_all(&*stream, b"question").await.unwrap();
        stream.shutdown_write().unwrap();
        assert_eq!(read_to_end(&*accepted).await.unwrap(), b"question");
        write_all(&*accepted, b"answer").await.unwrap();
        accepted.shutdown_write().unwrap();
        assert_eq!(read_to_end(&*stream).await.unwrap(), b"answer");
    });
    let error = stream.try_write_vectored(&[IoSlice::new(b"x")]);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn dropping_a_stream_still_delivers_what_was_written() {
    let pair = pair(1);
    let (stream, accepted) = pair.connected();
    let received = pair.sim.block_on(async {
        write_all(&*stream, &pattern(50_000)).await.unwrap();
        drop(stream);
        read_to_end(&*accepted).await.unwrap()
    });
    assert_eq!(received, pattern(50_000));
}

#[test]
fn dropping_a_stream_with_unread_data_resets() {
    let pair = pair(1);
    let (stream, accepted) = pair.connected();
    stream
        .try_write_vectored(&[IoSlice::new(b"unread")])
        .unwrap();
    pair.sim.run_for(ms(50));
    drop(accepted);
    let error = pair.sim.block_on(read_some(&*stream)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(stream.unacknowledged().is_err());
}

#[test]
fn abort_resets_the_peer_after_the_data_that_arrived_before() {
    let pair = pair(1);
    let (stream, accepted) = pair.connected();
    stream.try_write_vectored(&[IoSlice::new(b"last")]).unwrap();
    stream.abort();
    assert_eq!(
        stream.try_read(&mut [0; 1]).unwrap_err().kind(),
        ErrorKind::NotConnected
    );
    assert_eq!(
        stream.unacknowledged().unwrap_err().kind(),
        ErrorKind::ConnectionAborted
    );
    pair.sim.block_on(async {
        assert_eq!(read_some(&*accepted).await.unwrap(), b"last");
        let error = read_some(&*accepted).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
    let log = pair.sim.wire_log();
    assert!(
        log.iter()
            .any(|event| event.kind == WireKind::Rst && event.host == "client")
    );
}

#[test]
fn unacknowledged_falls_to_zero_a_round_trip_after_the_fin() {
    let pair = pair(1);
    let (stream, _accepted) = pair.connected();
    stream
        .try_write_vectored(&[IoSlice::new(b"12345")])
        .unwrap();
    stream.shutdown_write().unwrap();
    assert_eq!(stream.unacknowledged().unwrap(), 6, "the FIN counts");
    pair.sim.run_for(ms(19));
    assert_eq!(stream.unacknowledged().unwrap(), 6);
    pair.sim.run_for(ms(1));
    assert_eq!(stream.unacknowledged().unwrap(), 0);
}

#[test]
fn full_backlog_drops_the_syn_until_there_is_room() {
    let pair = pair(1);
    let mut address = ListenAddress::on(pair.remote());
    address.backlog = 1;
    let listener = pair.server.tcp_listen(address).unwrap();
    let connect = || pair.client.tcp_connect(TcpConnect::to(pair.remote()));
    let _first = pair.sim.block_on(connect()).unwrap();
    let server = pair.server.clone();
    pair.server.spawn(Box::pin(async move {
        sleep(&*server, ms(500)).await;
        let _accepted = (accept(&*listener).await, accept(&*listener).await);
    }));
    let second = pair.sim.block_on(connect());
    assert!(second.is_ok());
    assert_eq!(pair.sim.now(), at(1040), "the second SYN got through");
}

#[test]
fn dropped_listener_resets_what_it_has_not_accepted() {
    let pair = pair(1);
    let listener = pair.listen();
    let connect = pair.client.tcp_connect(TcpConnect::to(pair.remote()));
    let stream = pair.sim.block_on(connect).unwrap();
    pair.sim.run_for(ms(50));
    drop(listener);
    let error = pair.sim.block_on(read_some(&*stream)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn port_in_use_and_foreign_address_are_refused_as_by_the_system() {
    let pair = pair(1);
    let _listener = pair.listen();
    let any: SocketAddr = "[::]:443".parse().unwrap();
    let code = |result: io::Result<_>| {
        let result: io::Result<Box<dyn portway_transport::environment::TcpListener>> = result;
        result.err().and_then(|error| error.raw_os_error())
    };
    let listen = |address| pair.server.tcp_listen(ListenAddress::on(address));
    assert_eq!(code(listen(any)), Some(libc::EADDRINUSE));
    let other: SocketAddr = "0.0.0.0:443".parse().unwrap();
    assert_eq!(code(listen(other)), None, "IPv6 and IPv4 share a port");
    let foreign = address(&pair.client, 443);
    assert_eq!(code(listen(foreign)), Some(libc::EADDRNOTAVAIL));
}

#[test]
fn loopback_reaches_the_same_host() {
    let pair = pair(1);
    let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listener = pair.client.tcp_listen(ListenAddress::on(local)).unwrap();
    let request = TcpConnect::to(listener.local_address());
    pair.sim.block_on(async {
        let stream = pair.client.tcp_connect(request).await.unwrap();
        let accepted = accept(&*listener).await;
        write_all(&*stream, b"hello").await.unwrap();
        assert_eq!(read_some(&*accepted).await.unwrap(), b"hello");
    });
    assert!(pair.sim.now() < at(1));
}

#[test]
fn second_small_write_waits_for_an_acknowledgement_unless_told_not_to() {
    for (no_delay, expected) in [(None, 30), (Some(true), 10)] {
        let pair = pair(1);
        let (stream, accepted) = pair.connected();
        let mut options = TcpOptions::default();
        options.no_delay = no_delay;
        stream.set_options(&options).unwrap();
        let start = pair.sim.now();
        pair.sim.block_on(async {
            write_all(&*stream, b"one").await.unwrap();
            write_all(&*stream, b"two").await.unwrap();
            let mut received = Vec::new();
            while received != b"onetwo" {
                received.extend(read_some(&*accepted).await.unwrap());
            }
        });
        assert_eq!(pair.sim.now() - start, ms(expected), "{no_delay:?}");
    }
}

#[test]
fn code_point_is_on_every_packet_from_the_first_on() {
    let pair = pair(1);
    let _listener = pair.listen();
    let mut request = TcpConnect::to(pair.remote());
    request.options.dscp = Some(46);
    let _stream = pair.sim.block_on(pair.client.tcp_connect(request.clone()));
    let log = pair.sim.wire_log();
    let mut sent = log.iter().filter(|event| event.host == "client");
    assert!(sent.all(|event| event.dscp == 46));
    request.options.dscp = Some(64);
    let refused = pair.sim.block_on(pair.client.tcp_connect(request)).err();
    let kind = refused.map(|error| error.kind());
    assert_eq!(kind, Some(ErrorKind::InvalidInput));
}

#[test]
fn accept_without_a_free_descriptor_fails_and_loses_no_connection() {
    let pair = pair(1);
    let listener = pair.listen();
    pair.server.set_descriptors_max(Some(1));
    pair.sim.block_on(async {
        let request = TcpConnect::to(pair.remote());
        let _stream = pair.client.tcp_connect(request).await.unwrap();
        let accepted = poll_fn(|context| listener.poll_accept(context)).await;
        let code = accepted.err().and_then(|error| error.raw_os_error());
        assert_eq!(code, Some(libc::EMFILE));
        pair.server.set_descriptors_max(Some(2));
        let _accepted = accept(&*listener).await;
        assert_eq!(pair.server.sockets_open(), 2);
    });
}

#[test]
fn flows_put_streams_together_and_show_what_was_sent() {
    let pair = pair(5);
    pair.sim.link("client", "server").set_loss(0.2);
    let (stream, accepted) = pair.connected();
    let payload = pattern(20_000);
    let sent = payload.clone();
    pair.client.spawn(Box::pin(async move {
        write_all(&*stream, &sent).await.unwrap();
    }));
    pair.sim.block_on(read_to_end(&*accepted)).unwrap();
    let flows = pair.sim.flows();
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].bytes, payload);
    assert!(pair.sim.was_sent(&payload[1000..4000]), "across segments");
    assert!(!pair.sim.was_sent(b"never written"));
}

#[test]
fn link_that_is_down_answers_with_an_icmp_error() {
    let pair = pair(1);
    let _listener = pair.listen();
    let link = pair.sim.link("client", "server");
    link.set_down(Unreachable::Network);
    let error = pair.connect_error(pair.remote());
    assert_eq!(error.raw_os_error(), Some(libc::ENETUNREACH));
    link.restore();
    let connect = pair.client.tcp_connect(TcpConnect::to(pair.remote()));
    assert!(pair.sim.block_on(connect).is_ok());
}
