//! Receives that wait for one another.

use crate::support::*;
use portway::Connection;
use std::sync::{Arc, Mutex};

/// A pair over TCP, the client's side first.
fn pair(net: &Net) -> (Connection, Connection) {
    let security = || portway::Security::disabled();
    let mut listener = net.listen(security());
    net.connect(&net.to_server(security()), &mut listener)
}

/// Lets a receive of its own task note what it gets under `name`.
fn receive_as(net: &Net, by: &Connection, name: &'static str, got: &Arc<Mutex<Vec<String>>>) {
    let (by, got) = (by.clone(), got.clone());
    drop(net.spawn(async move {
        let message = by.receive().await.expect("a message");
        let text = String::from_utf8_lossy(&message).into_owned();
        got.lock()
            .expect("no test thread panicked")
            .push(format!("{name} {text}"));
    }));
}

#[test]
fn receives_are_served_in_the_order_of_their_calls() {
    let net = Net::named(41);
    let (client, server) = pair(&net);
    let got = Arc::new(Mutex::new(Vec::new()));
    for name in ["first", "second", "third"] {
        receive_as(&net, &client, name, &got);
    }
    net.sim.run_until(net.sim.now() + ms(10));
    net.sim.block_on(async {
        for text in ["a", "b", "c", "d"] {
            server.send(text).await.expect("accepted");
        }
    });
    // This one finds others waiting.
    receive_as(&net, &client, "fourth", &got);
    net.sim.run_until(net.sim.now() + ms(100));
    let got = got.lock().expect("no test thread panicked").clone();
    assert_eq!(got, ["first a", "second b", "third c", "fourth d"]);
}

#[test]
fn a_receive_that_is_given_up_leaves_its_turn_to_the_next() {
    let net = Net::named(42);
    let (client, server) = pair(&net);
    assert!(net.cut(1, client.receive()).is_none(), "nothing was sent");
    let got = Arc::new(Mutex::new(Vec::new()));
    receive_as(&net, &client, "next", &got);
    net.sim.run_until(net.sim.now() + ms(10));
    net.sim.block_on(server.send("a")).expect("accepted");
    net.sim.run_until(net.sim.now() + ms(100));
    assert_eq!(*got.lock().expect("no test thread panicked"), ["next a"]);
}
