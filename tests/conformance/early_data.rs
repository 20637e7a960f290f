//! A first message as early data, in the race and on virtual time.

use crate::support::*;
use portway::property::SelectionProperty;
use portway::{
    Connection, Listener, Message, MessageContext, Preconnection, ReceivedMessage, Time,
    TransportProperties,
};
use portway_transport::environment::Environment;
use std::time::Duration;

mod quic;
mod tls;

/// One way.
const DELAY: Duration = Duration::from_millis(50);

fn replayable(data: impl Into<Message>) -> Message {
    let message: Message = data.into();
    message.with_context(MessageContext::new().with_safely_replayable())
}

/// Messages that must not leave early, and what their client wishes.
fn to_wait() -> [(Message, TransportProperties); 3] {
    let lifetime = MessageContext::new()
        .with_safely_replayable()
        .with_lifetime(Duration::from_secs(5));
    let avoid = TransportProperties::new().avoid(SelectionProperty::ZeroRttMsg);
    let any = TransportProperties::new();
    [
        (Message::from("not marked"), any.clone()),
        (Message::from("expires").with_context(lifetime), any),
        (replayable("unwanted"), avoid),
    ]
}

/// What came of a first message.
struct Sent {
    client: Connection,
    server: Connection,
    received: ReceivedMessage,
    after: Duration,
}

fn send_first(net: &Net, to: &Preconnection, listener: &mut Listener, first: Message) -> Sent {
    let begun = net.client.now();
    net.sim.block_on(async {
        let connecting = async {
            let connecting = to.initiate().first_message(first);
            connecting.await.expect("a connection")
        };
        let receiving = async {
            let server = listener.accept().await.expect("accepted");
            let received = server.receive().await.expect("the first message");
            (server, received, net.client.now())
        };
        let (client, (server, received, at)): (_, (_, _, Time)) =
            tokio::join!(connecting, receiving);
        Sent {
            client,
            server,
            received,
            after: at.saturating_since(begun),
        }
    })
}

/// Nothing but the further messages follows, in both directions, and a close is acknowledged.
fn go_on(net: &Net, sent: &Sent) {
    net.sim.block_on(async {
        sent.client.send("second").await.expect("accepted");
        let second = sent.server.receive().await.expect("second");
        assert_eq!(&second[..], b"second");
        assert!(!second.context.is_early_data(), "it left later");
        sent.server.send("answer").await.expect("accepted");
        let answer = sent.client.receive().await.expect("answer");
        assert_eq!(&answer[..], b"answer");
        assert!(!answer.context.is_early_data());
        let receiving = async { sent.server.receive().await.map(drop) };
        let (closed, ended) = tokio::join!(sent.client.close(), receiving);
        closed.expect("acknowledged");
        ended.expect_err("the end");
    });
}
