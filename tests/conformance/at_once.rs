//! Short messages, which take the short way while nothing stands in it and no longer.

use crate::support::*;
use bytes::BytesMut;
use portway::framer::{Deframed, Demand, Frame, Framer, Outgoing, from_fn};
use portway::{
    Completion, Connection, Failure, Listener, Message, MessageContext, MessageProperties,
    Preconnection, Receipt, ReceiveError, Security, SendError,
};
use portway_core::send_queue::WireBuffer;

const MESSAGE_BYTES: usize = 900;

/// A pair whose carrier takes a few KiB, the client's side first.
fn narrow(
    net: &Net,
    server: Security,
    to: impl FnOnce(Preconnection) -> Preconnection,
    client: Security,
) -> (Connection, Connection, Listener) {
    net.server.set_tcp_buffers(8 * 1024, 8 * 1024);
    net.client.set_tcp_buffers(8 * 1024, 8 * 1024);
    let mut listener = net.listen(server);
    let (client, server) = net.connect(&to(net.to_server(client)), &mut listener);
    (client, server, listener)
}

/// Sends messages, each of its number, until one is not sent at once.
fn fill(net: &Net, client: &Connection) -> Vec<Receipt> {
    let mut receipts: Vec<Receipt> = Vec::new();
    while receipts
        .last()
        .is_none_or(|last| last.completion().is_some())
    {
        let message = vec![receipts.len() as u8; MESSAGE_BYTES];
        receipts.push(net.sim.block_on(client.send(message)).expect("accepted"));
        // Nobody receives, so only the buffers between the two take anything.
        net.sim.run_for(ms(200));
    }
    receipts
}

#[test]
fn what_the_system_takes_in_part_is_sent_to_its_end_and_in_order() {
    let protections = [
        (Security::disabled(), Security::disabled()),
        (server_tls(), client_tls()),
    ];
    for (at_server, at_client) in protections {
        let net = Net::named(51);
        let (client, server, _listener) = narrow(&net, at_server, |to| to, at_client);
        let mut receipts = fill(&net, &client);
        for _ in 0..3 {
            let message = vec![receipts.len() as u8; 10];
            receipts.push(net.sim.block_on(client.send(message)).expect("accepted"));
        }
        let waiting = receipts.iter().filter(|r| r.completion().is_none());
        assert_eq!(waiting.count(), 4, "nothing overtakes what waits");
        net.sim.block_on(async {
            for number in 0..receipts.len() {
                let message = server.receive().await.expect("a message");
                let bytes = if number + 3 < receipts.len() {
                    MESSAGE_BYTES
                } else {
                    10
                };
                assert_eq!(message[..], vec![number as u8; bytes]);
            }
            for receipt in receipts {
                assert_eq!(receipt.await, Completion::Sent);
            }
        });
    }
}

#[test]
fn a_lifetime_counts_wherever_it_was_stated() {
    let span = ms(50);
    for is_default in [false, true] {
        let net = Net::named(52);
        let defaults = match is_default {
            true => MessageProperties::new().with_lifetime(Some(span)),
            false => MessageProperties::new(),
        };
        let to = |to: Preconnection| to.message_defaults(defaults);
        let (client, _server, _listener) =
            narrow(&net, Security::disabled(), to, Security::disabled());
        // A lifetime counts until a message is framed, and this much is framed ahead.
        let before = net.sim.block_on(client.send(vec![0; 128 * 1024]));
        assert_eq!(before.expect("accepted").completion(), None);
        let context = match is_default {
            true => MessageContext::new(),
            false => MessageContext::new().with_lifetime(span),
        };
        let message = Message::new("late").with_context(context);
        let late = net.sim.block_on(client.send(message)).expect("accepted");
        net.sim.run_for(span / 2);
        assert_eq!(late.completion(), None);
        net.sim.run_for(span);
        assert_eq!(late.completion(), Some(Completion::Expired));
    }
}

#[test]
fn a_message_with_a_lifetime_is_sent_while_nothing_stands_in_its_way() {
    let net = Net::named(53);
    let to = |to: Preconnection| {
        to.message_defaults(MessageProperties::new().with_lifetime(Some(ms(50))))
    };
    let (client, server, _listener) = narrow(&net, Security::disabled(), to, Security::disabled());
    let receipt = net.sim.block_on(client.send("fresh")).expect("accepted");
    assert_eq!(receipt.completion(), Some(Completion::Sent));
    let message = net.sim.block_on(server.receive()).expect("a message");
    assert_eq!(&message[..], b"fresh");
}

/// Puts the number of the message before it, and its length: a framer with state.
#[derive(Default)]
struct Numbered {
    sent: u8,
    received: u8,
}

impl Framer for Numbered {
    fn frame(&mut self, part: Outgoing<'_>, out: &mut WireBuffer) -> Result<(), Failure> {
        out.put_slice(&[self.sent, part.data.len() as u8]);
        out.put_chunks(part.data);
        self.sent += 1;
        Ok(())
    }

    fn deframe(&mut self, input: &mut BytesMut, _: Demand) -> Result<Deframed, Failure> {
        let [number, length, rest @ ..] = &input[..] else {
            return Ok(Deframed::NeedsMore(2 - input.len()));
        };
        let length = usize::from(*length);
        if rest.len() < length {
            return Ok(Deframed::NeedsMore(length - rest.len()));
        }
        assert_eq!(*number, self.received, "every message passes the framer");
        self.received += 1;
        let mut frame = input.split_to(2 + length);
        Ok(Deframed::Frame(Frame::new(frame.split_off(2), true)))
    }
}

#[test]
fn a_framer_with_state_sees_every_message() {
    let net = Net::named(54);
    let framers = |to: Preconnection| to.framer(from_fn(Numbered::default));
    let for_server = Preconnection::new(Security::disabled())
        .context(&net.at_server)
        .local(portway::LocalEndpoint::any().port(PORT));
    let to = Preconnection::new(Security::disabled())
        .context(&net.at_client)
        .remote(portway::RemoteEndpoint::host_name(NAME).port(PORT));
    let mut listener = net.listen_with(&framers(for_server));
    let (client, server) = net.connect(&framers(to), &mut listener);
    net.sim.block_on(async {
        for number in 0..20u8 {
            client.send(vec![number; 3]).await.expect("accepted");
        }
        for number in 0..20u8 {
            let message = server.receive().await.expect("a message");
            assert_eq!(message[..], [number; 3]);
        }
    });
}

#[test]
fn nothing_goes_at_once_over_a_connection_that_was_closed() {
    let net = Net::named(55);
    let (client, server, _listener) =
        narrow(&net, Security::disabled(), |to| to, Security::disabled());
    net.sim.block_on(async {
        for text in ["first", "second"] {
            server.send(text).await.expect("accepted");
        }
        let first = client.receive().await.expect("a message");
        assert_eq!(&first[..], b"first");
        // The second one lies in the buffer.
        client.close().await.expect("acknowledged");
        let refused = client.send("more").await;
        assert!(matches!(refused, Err(SendError::Closed(_))), "{refused:?}");
        let received = client.receive().await;
        assert!(
            matches!(received, Err(ReceiveError::Closed(_))),
            "{received:?}"
        );
    });
}

#[test]
fn a_peer_that_is_gone_fails_a_short_send_or_the_next_one() {
    let net = Net::named(56);
    let (client, server, _listener) =
        narrow(&net, Security::disabled(), |to| to, Security::disabled());
    server.abort();
    net.sim.run_for(ms(200));
    let failed = net.sim.block_on(async {
        for _ in 0..2 {
            if let Err(error) = client.send("anybody?").await {
                return Some(error);
            }
        }
        None
    });
    let failed = failed.expect("the reset is known");
    assert!(matches!(failed, SendError::Failed(_)), "{failed}");
    let after = net.sim.block_on(client.send("still?"));
    assert!(matches!(after, Err(SendError::Closed(_))), "{after:?}");
}
