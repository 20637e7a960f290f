//! `portway listen` with clients.

use super::{exchange, portway};
use crate::authority::{Authority, NAME};
use crate::library::{VERSIONS, flag};
use crate::peer::{Peer, run};

/// A listening command and where; of several protocols, all have the same port.
async fn listen(test: &str, arguments: &[&str]) -> Option<(Peer, String)> {
    let fixed = ["listen", "127.0.0.1:0", "-v"];
    let mut server = portway(test, &[&fixed, arguments].concat())?;
    let line = server.after("listening ").await;
    let (_, address) = line.split_once(' ').expect("a stack and an address");
    Some((server, address.to_owned()))
}

#[test]
fn listen_talks_to_s_client_with_and_without_certificates() {
    run(async {
        let test = "listen_talks_to_s_client_with_and_without_certificates";
        let authority = Authority::new();
        let (cert, key) = (&authority.server.cert, &authority.server.key);
        let plain = ["--cert", cert, "--key", key, "--alpn", "portway"];
        let demanding = [&plain[..], &["--client-ca", &authority.root]].concat();
        let (cert, key) = (&authority.client.cert, &authority.client.key);
        let identity = ["-cert", cert, "-key", key];
        for version in VERSIONS {
            for (server, client) in [(&plain[..], &[][..]), (&demanding, &identity)] {
                let Some((mut server, address)) = listen(test, server).await else {
                    return;
                };
                let fixed = [
                    "s_client",
                    "-connect",
                    &address,
                    "-servername",
                    NAME,
                    "-quiet",
                ];
                let check = ["-CAfile", &authority.root, "-verify_return_error"];
                let wanted = ["-alpn", "portway", flag(version)];
                let arguments = [&fixed[..], &check, &wanted, client].concat();
                let Some(mut client) = Peer::start(test, "openssl", &arguments) else {
                    return;
                };
                let accepted = server.after("accepted ").await;
                assert!(accepted.contains(&version.to_string()), "{accepted}");
                assert!(accepted.contains("alpn portway"), "{accepted}");
                exchange(&mut server, &mut client).await;
                client.end_input();
                assert!(server.end().await.success(), "{}", server.output());
            }
        }
    });
}

#[test]
fn listen_refuses_who_shows_no_certificate_and_goes_on() {
    run(async {
        let test = "listen_refuses_who_shows_no_certificate_and_goes_on";
        let authority = Authority::new();
        let (cert, key) = (&authority.server.cert, &authority.server.key);
        let arguments = ["--cert", cert, "--key", key, "--client-ca", &authority.root];
        let Some((mut server, address)) = listen(test, &arguments).await else {
            return;
        };
        let anonymous = [
            "s_client",
            "-connect",
            &address,
            "-quiet",
            "-CAfile",
            &authority.root,
        ];
        let Some(mut client) = Peer::start(test, "openssl", &anonymous) else {
            return;
        };
        server.after("was not accepted").await;
        client.after("alert").await;
        let (cert, key) = (&authority.client.cert, &authority.client.key);
        let identified = [&anonymous[..], &["-cert", cert, "-key", key]].concat();
        let mut client = Peer::start(test, "openssl", &identified).expect("it was there before");
        server.after("accepted ").await;
        exchange(&mut server, &mut client).await;
    });
}

#[test]
fn listen_talks_to_nc_and_ends_with_it() {
    run(async {
        let test = "listen_talks_to_nc_and_ends_with_it";
        let Some((mut server, address)) = listen(test, &["--security", "none"]).await else {
            return;
        };
        let port = address.rsplit(':').next().expect("a port");
        let Some(mut client) = Peer::start(test, "nc", &["-n", "-N", "127.0.0.1", port]) else {
            return;
        };
        exchange(&mut server, &mut client).await;
        client.end_input();
        server.end_input();
        assert!(client.end().await.success(), "{}", client.output());
        assert!(server.end().await.success(), "{}", server.output());
    });
}

#[test]
fn listen_echoes_to_socat_over_tcp_and_udp_on_one_port() {
    run(async {
        let test = "listen_echoes_to_socat_over_tcp_and_udp_on_one_port";
        let both = ["--security", "none", "--protocols", "tcp,udp", "--echo"];
        let Some((_server, address)) = listen(test, &both).await else {
            return;
        };
        for protocol in ["TCP", "UDP"] {
            let connect = format!("{protocol}:{address}");
            let Some(mut client) = Peer::start(test, "socat", &["STDIO", &connect]) else {
                return;
            };
            for text in ["one", "two"] {
                client.say(&format!("{text}\n")).await;
                client.after(text).await;
            }
        }
    });
}

#[test]
fn listen_talks_to_socat_over_tls() {
    run(async {
        let test = "listen_talks_to_socat_over_tls";
        let authority = Authority::new();
        let (cert, key) = (&authority.server.cert, &authority.server.key);
        let Some((mut server, address)) = listen(test, &["--cert", cert, "--key", key]).await
        else {
            return;
        };
        let connect = format!(
            "OPENSSL:{address},cafile={},commonname={NAME}",
            authority.root
        );
        let Some(mut client) = Peer::start(test, "socat", &["STDIO", &connect]) else {
            return;
        };
        exchange(&mut server, &mut client).await;
        server.end_input();
        assert!(client.end().await.success(), "{}", client.output());
        assert!(server.end().await.success(), "{}", server.output());
    });
}
