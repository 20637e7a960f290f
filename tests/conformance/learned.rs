//! What a context has learned, in a context of a later process, on virtual time.

use crate::support::*;
use portway::learned::Learned;
use portway::{Context, FailureKind};
use portway_sim::Direction;

/// Learns the round trip to the server's first address.
fn visited(net: &Net) {
    let first = net.race(&net.to_server(client_tls()));
    assert_eq!(first.story(), ["5 tls [2001:db8::2]:443 won"]);
    net.sim.run_for(ms(2000));
    net.sim.link("client", V6).black_hole(Direction::Both);
}

/// The next race of a context, when the first address has gone silent.
fn second(net: &Net, context: &Context) -> String {
    let to = net.to_server(client_tls()).context(context);
    net.race(&to).story()[1].clone()
}

#[test]
fn a_round_trip_that_an_earlier_process_measured_shortens_the_first_delay() {
    let net = Net::named(21);
    let _listener = net.listen(server_tls());
    visited(&net);
    let json = net.at_client.export_learned().to_json();
    let stranger = Context::new(net.client.clone());
    let later = Context::new(net.client.clone());
    later.import_learned(Learned::from_json(&json).expect("what was exported"));
    assert_eq!(second(&net, &later), "105 tls 198.18.0.2:443 won");
    assert_eq!(second(&net, &stranger), "255 tls 198.18.0.2:443 won");
}

#[test]
fn what_was_learned_on_another_network_waits_for_it() {
    let net = Net::named(22);
    let _listener = net.listen(server_tls());
    visited(&net);
    let json = net.at_client.export_learned().to_json();
    let elsewhere = json
        .replace("2001:db8::", "2001:db9::")
        .replace("198.18.", "198.19.");
    assert_ne!(json, elsewhere);
    let later = Context::new(net.client.clone());
    later.import_learned(Learned::from_json(&elsewhere).expect("well-formed"));
    assert_eq!(second(&net, &later), "255 tls 198.18.0.2:443 won");
    let again = later.export_learned();
    let original = Learned::from_json(&elsewhere).expect("well-formed");
    assert!(
        again.to_json().len() > original.to_json().len(),
        "both are kept"
    );
}

#[test]
fn what_is_not_what_was_learned_is_refused() {
    for text in [
        "",
        "[]",
        "{\"networks\":7}",
        "{\"networks\":[{\"rtts\":{\"x\":1}}]}",
    ] {
        let failure = Learned::from_json(text).expect_err(text);
        assert_eq!(failure.kind, FailureKind::InvalidRequest, "{text}");
    }
    let long = " ".repeat(17 << 20);
    let failure = Learned::from_json(&long).expect_err("too long");
    assert_eq!(failure.kind, FailureKind::LimitReached);
    let empty = Learned::from_json("{\"networks\":[]}").expect("nothing");
    assert_eq!(empty, Learned::default());
}

#[test]
fn sessions_end_with_the_process_and_that_is_said() {
    let net = Net::new(1);
    let failure = net
        .at_client
        .export_sessions()
        .expect_err("the library has no way");
    assert_eq!(failure.kind, FailureKind::Unsupported);
    assert!(failure.detail.contains("rustls"), "{failure}");
}
