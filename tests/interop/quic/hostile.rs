//! aioquic as a peer that breaks the rules of QUIC on purpose, with packets that are otherwise
//! right: our side closes with the code of the rule, and says so.

use super::streams::connected_with;
use crate::authority::Authority;
use crate::peer::run;
use portway::quic::{ConnectionError, TransportOptions};

/// What the peer does, and the codes of RFC 9000 §20.1 for it.
const CHEATS: &[(&str, u64)] = &[
    // RFC 9000 §4.6: a stream beyond the limit.
    ("streams", 0x4),
    // RFC 9000 §4.1: more data than this side has room for.
    ("window", 0x3),
    // RFC 9221 §3: a datagram that is larger than this side takes.
    ("datagram", 0xa),
    // RFC 9000 §13.1: an acknowledgement of packets that were never sent, to be given more.
    ("acknowledge", 0xa),
];

#[test]
fn a_peer_that_breaks_a_rule_is_closed_with_the_code_of_the_rule() {
    let test = "a_peer_that_breaks_a_rule_is_closed_with_the_code_of_the_rule";
    let authority = Authority::new();
    super::scripted::prepare();
    for is_client in [true, false] {
        for (cheat, expected) in CHEATS {
            run(async {
                let mut transport = TransportOptions::default();
                transport.datagrams.receive_bytes = Some(100);
                let connected = connected_with(test, &authority, is_client, transport).await;
                let Some((mut peer, connection)) = connected else {
                    return;
                };
                peer.say(&format!("cheat {cheat}\n")).await;
                let ended = connection.closed().await;
                let ConnectionError::TransportClosedLocally { code, .. } = ended else {
                    panic!("{cheat}: {ended}");
                };
                assert_eq!(code, *expected, "{cheat}: {ended}");
                peer.after(&format!("terminated transport {expected} "))
                    .await;
            });
        }
    }
}
