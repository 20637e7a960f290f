//! ngtcp2's example server, which speaks HTTP/3: a request small enough to be written by hand.
//!
//! Invariant: the answer's bytes are counted, and nothing else of HTTP/3 is looked at.

use super::context;
use crate::authority::{Authority, NAME};
use crate::peer::{Peer, run};
use portway::Security;
use portway::quic::Connector;
use std::net::UdpSocket;

/// A control stream with empty settings (RFC 9114 §6.2.1).
const CONTROL: &[u8] = b"\x00\x04\x00";
/// HEADERS: GET, https, the authority and the path `/30000`, by the static table of RFC 9204.
const REQUEST: &[u8] = b"\x01\x17\x00\x00\xd1\xd7\x50\x09localhost\x51\x06/30000";

#[test]
fn ngtcp2_answers_with_and_without_a_retry_and_resumes() {
    let test = "ngtcp2_answers_with_and_without_a_retry_and_resumes";
    let authority = Authority::new();
    for validation in [&[][..], &["-V"]] {
        run(async {
            let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
            let address = free.expect("a free port");
            let (key, cert) = (&authority.server.key, &authority.server.cert);
            let port = address.port().to_string();
            let at = ["127.0.0.1", &port, key, cert];
            let arguments = [&["-q"][..], validation, &at].concat();
            let Some(_peer) = Peer::start(test, "/usr/sbin/gtlsserver", &arguments) else {
                return;
            };
            let security = Security::tls()
                .with_trust(authority.trust())
                .with_alpn(["h3"]);
            let ours = Connector::new(security)
                .context(&context())
                .server_name(NAME);
            for is_resumed in [false, true] {
                let connection = ours.connect(address).await.expect("connected");
                let protection = connection.protection().expect("negotiated");
                assert_eq!(protection.alpn.as_deref(), Some(&b"h3"[..]));
                assert_eq!(protection.is_resumed, is_resumed);
                let mut control = connection.open_uni().await.expect("opened");
                control.write_all(CONTROL).await.expect("written");
                let (mut send, mut receive) = connection.open_bi().await.expect("opened");
                let request = send.write_and_finish(REQUEST.into());
                request.await.expect("written");
                let answer = receive.read_to_end(40_000).await.expect("an answer");
                assert!(answer.len() > 30_000, "{} bytes", answer.len());
            }
        });
    }
}
