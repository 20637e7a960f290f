//! `portway connect` with servers.

use super::{exchange, portway};
use crate::authority::Authority;
use crate::library::{VERSIONS, flag};
use crate::peer::{Peer, run};

/// An `openssl s_server`, and the name and port to reach it by.
async fn s_server(test: &str, authority: &Authority, arguments: &[&str]) -> Option<(Peer, String)> {
    let (cert, key) = (&authority.server.cert, &authority.server.key);
    let fixed = [
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-cert",
        cert,
        "-key",
        key,
    ];
    let mut server = Peer::start(test, "openssl", &[&fixed, arguments].concat())?;
    let address = server.address_after("ACCEPT ").await;
    Some((server, format!("localhost:{}", address.port())))
}

#[test]
fn connect_talks_to_s_server() {
    run(async {
        let test = "connect_talks_to_s_server";
        let authority = Authority::new();
        for version in VERSIONS {
            let arguments = [flag(version), "-rev", "-alpn", "portway"];
            let Some((_server, target)) = s_server(test, &authority, &arguments).await else {
                return;
            };
            let ca = ["--ca", &authority.root, "--alpn", "portway", "-v"];
            let Some(mut client) = portway(test, &[&["connect", &target], &ca[..]].concat()) else {
                return;
            };
            let connected = client.after("connected ").await;
            assert!(connected.contains(&version.to_string()), "{connected}");
            assert!(connected.contains("alpn portway"), "{connected}");
            client.say("abc\n").await;
            client.after("cba").await;
            assert!(client.end().await.success(), "{}", client.output());
        }
    });
}

#[test]
fn connect_shows_a_certificate_and_fails_without_one() {
    run(async {
        let test = "connect_shows_a_certificate_and_fails_without_one";
        let authority = Authority::new();
        for version in VERSIONS {
            let demand = ["-CAfile", &authority.root, "-verify_return_error"];
            let arguments = [&demand[..], &[flag(version), "-rev", "-Verify", "1"]].concat();
            let Some((_server, target)) = s_server(test, &authority, &arguments).await else {
                return;
            };
            let anonymous = ["connect", &target, "--ca", &authority.root];
            let (cert, key) = (&authority.client.cert, &authority.client.key);
            let identified = [&anonymous[..], &["--cert", cert, "--key", key]].concat();
            let Some(mut client) = portway(test, &identified) else {
                return;
            };
            client.say("abc\n").await;
            client.after("cba").await;
            assert!(client.end().await.success(), "{}", client.output());

            let mut client = portway(test, &anonymous).expect("it was there before");
            client.say("abc\n").await;
            client.after("certificate").await;
            assert_eq!(client.end().await.code(), Some(1), "{}", client.output());
        }
    });
}

#[test]
fn connect_refuses_a_server_of_an_unknown_authority() {
    run(async {
        let test = "connect_refuses_a_server_of_an_unknown_authority";
        let (authority, other) = (Authority::new(), Authority::new());
        let Some((mut server, target)) = s_server(test, &authority, &["-rev"]).await else {
            return;
        };
        let Some(mut client) = portway(test, &["connect", &target, "--ca", &other.root]) else {
            return;
        };
        assert_eq!(client.end().await.code(), Some(1), "{}", client.output());
        assert!(
            client.output().contains("certificate"),
            "{}",
            client.output()
        );
        server.wait_for("unknown ca").await;
    });
}

#[test]
fn connect_talks_to_nc() {
    run(async {
        let test = "connect_talks_to_nc";
        let Some(mut peer) = Peer::start(test, "nc", &["-l", "-v", "-n", "127.0.0.1", "0"]) else {
            return;
        };
        let target = format!("127.0.0.1:{}", peer.after(" 127.0.0.1 ").await);
        let Some(mut client) = portway(test, &["connect", &target, "--security", "none"]) else {
            return;
        };
        exchange(&mut client, &mut peer).await;
        assert!(client.end().await.success(), "{}", client.output());
        assert!(peer.end().await.success(), "{}", peer.output());
    });
}

#[test]
fn connect_talks_to_socat_over_tcp_and_tls() {
    run(async {
        let test = "connect_talks_to_socat_over_tcp_and_tls";
        let authority = Authority::new();
        let secure = format!(
            "OPENSSL-LISTEN:0,bind=127.0.0.1,cert={},key={},cafile={},verify=1",
            authority.server.cert, authority.server.key, authority.root
        );
        let (cert, key) = (&authority.client.cert, &authority.client.key);
        let identified = ["--ca", &authority.root, "--cert", cert, "--key", key];
        let plain = ["--security", "none"];
        let cases = [
            ("TCP-LISTEN:0,bind=127.0.0.1", &plain[..]),
            (&secure, &identified[..]),
        ];
        for (listen, arguments) in cases {
            let Some(mut peer) = Peer::start(test, "socat", &["-d", "-d", listen, "STDIO"]) else {
                return;
            };
            let target = peer.address_after("listening on AF=2 ").await.to_string();
            let Some(mut client) = portway(test, &[&["connect", &target], arguments].concat())
            else {
                return;
            };
            exchange(&mut client, &mut peer).await;
            assert!(client.end().await.success(), "{}", client.output());
            assert!(peer.end().await.success(), "{}", peer.output());
        }
    });
}

#[test]
fn connect_sends_datagrams_to_socat() {
    run(async {
        let test = "connect_sends_datagrams_to_socat";
        let listen = "UDP-LISTEN:0,bind=127.0.0.1";
        let Some(mut peer) = Peer::start(test, "socat", &["-d", "-d", listen, "STDIO"]) else {
            return;
        };
        let target = peer
            .address_after("listening on UDP AF=2 ")
            .await
            .to_string();
        let arguments = [
            "connect",
            &target,
            "--udp",
            "--security",
            "none",
            "--replies",
            "1",
        ];
        let Some(mut client) = portway(test, &arguments) else {
            return;
        };
        exchange(&mut client, &mut peer).await;
        assert!(client.end().await.success(), "{}", client.output());
    });
}
