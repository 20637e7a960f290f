//! QUIC in the race beside TLS over TCP, on virtual time.

use crate::support::*;
use portway::{
    FailureKind, Listener, LocalEndpoint, Preconnection, RemoteEndpoint, Security, StackId,
};
use portway_transport::environment::{Environment, UdpBind};
use portway_transport::tls::self_signed;
use std::net::SocketAddr;

const ALPN: &str = "race";

fn server() -> Security {
    server_tls().with_alpn([ALPN])
}

/// A client that goes to one address, so that only the protocols race.
fn client(net: &Net, security: Security) -> Preconnection {
    Preconnection::new(security)
        .context(&net.at_client)
        .remote(RemoteEndpoint::address(ip(V4)).port(PORT))
}

fn trusting() -> Security {
    client_tls().with_server_name(NAME).with_alpn([ALPN])
}

/// A listener for one stack only.
fn listen_for(net: &Net, stack: StackId, security: Security) -> Listener {
    let local = LocalEndpoint::address(ip(V4)).port(PORT).for_stack(stack);
    let only = Preconnection::new(security)
        .context(&net.at_server)
        .local(local);
    net.listen_with(&only)
}

#[test]
fn quic_wins_where_it_is_answered_and_tls_does_not_start() {
    let net = Net::new(1);
    let _listener = net.listen(server());
    let raced = net.race(&client(&net, trusting()));
    assert_eq!(raced.story(), ["0 quic 198.18.0.2:443 won"]);
    let protection = raced.connection().info().protection.expect("protected");
    assert_eq!(protection.alpn.as_deref(), Some(ALPN.as_bytes()));
}

#[test]
fn udp_that_is_rejected_starts_tls_at_once() {
    let net = Net::new(2);
    let _listener = listen_for(&net, StackId::TLS, server());
    let raced = net.race(&client(&net, trusting()));
    assert_eq!(
        raced.story(),
        [
            "0 quic 198.18.0.2:443 failed: Refused",
            "20 tls 198.18.0.2:443 won"
        ]
    );
}

#[test]
fn udp_that_is_dropped_costs_one_attempt_delay_once() {
    let net = Net::new(3);
    let _listener = listen_for(&net, StackId::TLS, server());
    // It takes every packet and says nothing.
    let address = SocketAddr::new(ip(V4), PORT);
    let _silent = net.server.udp_bind(UdpBind::on(address)).expect("a socket");
    let to = client(&net, trusting());
    let raced = net.race(&to);
    assert_eq!(
        raced.story(),
        [
            "0 quic 198.18.0.2:443 cancelled",
            "250 tls 198.18.0.2:443 won"
        ]
    );
    // The context remembers it for this address and network.
    let again = net.race(&to);
    assert_eq!(again.story(), ["0 tls 198.18.0.2:443 won"]);
}

#[test]
fn tcp_that_is_refused_leaves_quic() {
    let net = Net::new(4);
    let _listener = listen_for(&net, StackId::QUIC, server());
    let raced = net.race(&client(&net, trusting()));
    assert_eq!(raced.story(), ["0 quic 198.18.0.2:443 won"]);
}

#[test]
fn an_application_protocol_that_one_of_them_lacks_leaves_the_other() {
    let net = Net::new(5);
    let _quic = listen_for(&net, StackId::QUIC, server_tls().with_alpn(["other"]));
    let _tls = listen_for(&net, StackId::TLS, server());
    let raced = net.race(&client(&net, trusting()));
    let story = raced.story();
    assert_eq!(story.len(), 2, "{story:?}");
    assert_eq!(story[0], "0 quic 198.18.0.2:443 failed: AlpnMismatch");
    assert!(story[1].ends_with("tls 198.18.0.2:443 won"), "{story:?}");
}

#[test]
fn both_prove_the_same_name_to_the_same_authority() {
    let stranger = self_signed(&[NAME.to_owned()]).expect("an identity");
    let stranger = Security::tls().with_identity(stranger).with_alpn([ALPN]);
    for (bad, good) in [(StackId::QUIC, StackId::TLS), (StackId::TLS, StackId::QUIC)] {
        let net = Net::new(6);
        let _bad = listen_for(&net, bad.clone(), stranger.clone());
        let _good = listen_for(&net, good.clone(), server());
        let raced = net.race(&client(&net, trusting()));
        assert_eq!(raced.connection().info().stack, Some(good));
        for attempt in &raced.report().attempts {
            assert_eq!(
                attempt.leaf.security,
                raced.report().attempts[0].leaf.security
            );
        }
    }
    let net = Net::new(7);
    let _quic = listen_for(&net, StackId::QUIC, stranger.clone());
    let _tls = listen_for(&net, StackId::TLS, stranger);
    let raced = net.race(&client(&net, trusting()));
    assert_eq!(raced.error().kind(), FailureKind::CertificateRejected);
    assert_eq!(raced.report().attempts.len(), 2);
}
