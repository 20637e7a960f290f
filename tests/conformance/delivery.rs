//! Sends, receives and ends at random, over every carrier and several framers, against a model.
//!
//! Invariant of the model: every accepted send completes once and in order; what is delivered was
//! sent, whole, once and in order; nothing follows the end.

use crate::support::*;
use bytes::Bytes;
use portway::framer::{Delimited, LengthPrefixed};
use portway::property::SelectionProperty;
use portway::{
    Completion, Connection, ConnectionEvent, ConnectionLimits, Message, MessageContext,
    MessageProperties, Preconnection, Receipt, ReceiveError, Security, TransportProperties,
    TrySendError,
};
use portway_core::WireProtocol;
use portway_sim::Direction;
use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }
}

/// What one side did and saw.
#[derive(Default)]
struct Side {
    /// What became of each message, by its number, from its last part on.
    messages: BTreeMap<u32, Sent>,
    /// The receipts of all sends that were accepted, in their order.
    receipts: Vec<Receipt>,
    /// Messages that were received whole.
    received: Vec<u32>,
    end: Option<ReceiveError>,
    events: Vec<ConnectionEvent>,
    closed: Option<bool>,
}

impl Side {
    /// No send is reported as sent before an earlier one is complete.
    fn check_order(&self) {
        let mut is_open = false;
        for receipt in &self.receipts {
            match receipt.completion() {
                None => is_open = true,
                Some(Completion::Sent) => assert!(!is_open, "a send overtook another"),
                Some(_) => {}
            }
        }
    }
}

/// One message of a sender.
struct Sent {
    /// The number of the send that ended it; `None` for one that was dropped before its end.
    last: Option<usize>,
}

type Log = Arc<Mutex<Side>>;

/// One side of a run: its connection, its environment and what it logs.
#[derive(Clone)]
struct Actor {
    connection: Connection,
    context: portway::Context,
    log: Log,
    is_datagram: bool,
}

/// The bytes of a message: its number, then a pattern without line feeds.
fn payload(number: u32, size: usize) -> Vec<u8> {
    let mut bytes = format!("{number:08}").into_bytes();
    bytes.extend((0..size).map(|index| b'a' + (index as u32 ^ number) as u8 % 26));
    bytes
}

fn number_of(bytes: &[u8]) -> u32 {
    let text = std::str::from_utf8(&bytes[..8]).expect("digits");
    text.parse().expect("a number")
}

impl Actor {
    async fn sleep(&self, span: Duration) {
        portway_transport::listen::sleep(&self.context, span).await;
    }

    /// Keeps the receipt of an accepted send and gives its number.
    fn keep(&self, receipt: Receipt) -> usize {
        let mut log = self.log.lock().expect("no panic");
        log.receipts.push(receipt);
        log.check_order();
        log.receipts.len() - 1
    }

    fn note(&self, number: u32, last: Option<usize>) {
        let sent = Sent { last };
        self.log
            .lock()
            .expect("no panic")
            .messages
            .insert(number, sent);
    }

    /// Sends at random until the program is over or the connection takes nothing more.
    async fn write(self, mut dice: Dice, sends: u32) {
        for number in 0..sends {
            let size = match dice.below(12) {
                0 => 0,
                1 if !self.is_datagram => 20_000 + dice.below(60_000) as usize,
                _ => dice.below(1200) as usize,
            };
            let bytes = payload(number, size);
            let is_over = match dice.below(8) {
                0 if !self.is_datagram => self.write_in_parts(number, bytes, &mut dice).await,
                1 => self.write_batch(number, &mut dice).await,
                2 => self.write_reserved(number, bytes).await,
                3 => {
                    let lifetime = Duration::from_millis(dice.below(40));
                    let context = MessageContext::default().with_lifetime(lifetime);
                    self.write_one(number, Message::from(bytes).with_context(context))
                        .await
                }
                _ => self.write_one(number, Message::from(bytes)).await,
            };
            if is_over {
                return;
            }
            if dice.one_in(4) {
                self.sleep(Duration::from_millis(dice.below(30))).await;
            }
        }
    }

    async fn write_one(&self, number: u32, message: Message) -> bool {
        match self.connection.send(message).await {
            Ok(receipt) => {
                let index = self.keep(receipt);
                self.note(number, Some(index));
                false
            }
            Err(_) => true,
        }
    }

    async fn write_batch(&self, number: u32, dice: &mut Dice) -> bool {
        let mut batch = self.connection.batch();
        for part in 0..1 + dice.below(5) as u32 {
            let number = number + 1000 * (part + 1);
            match batch.send(payload(number, dice.below(500) as usize)).await {
                Ok(receipt) => {
                    let index = self.keep(receipt);
                    self.note(number, Some(index));
                }
                Err(_) => return true,
            }
        }
        false
    }

    async fn write_reserved(&self, number: u32, bytes: Vec<u8>) -> bool {
        let Ok(permit) = self.connection.reserve(bytes.len()).await else {
            return true;
        };
        match permit.send(bytes) {
            Ok(receipt) => {
                let index = self.keep(receipt);
                self.note(number, Some(index));
                false
            }
            Err(TrySendError::Full(_)) => panic!("room was set aside"),
            Err(_) => true,
        }
    }

    async fn write_in_parts(&self, number: u32, bytes: Vec<u8>, dice: &mut Dice) -> bool {
        let length = dice.one_in(2).then_some(bytes.len() as u64);
        let mut rest = Bytes::from(bytes);
        let mut message = self.connection.begin(MessageContext::default(), length);
        self.note(number, None);
        let mut last = None;
        while !rest.is_empty() && !dice.one_in(4) {
            let part = rest.split_to(rest.len().min(1 + dice.below(9000) as usize));
            match message.send(part).await {
                Ok(receipt) => last = Some(self.keep(receipt)),
                // Too long to be assembled, or the end.
                Err(_) => return false,
            }
        }
        if dice.one_in(12) {
            // All of an announced length is a message, whatever happens to its connection.
            if length.is_some() && rest.is_empty() {
                self.note(number, last);
            }
            return false;
        }
        if let Ok(receipt) = message.finish(rest).await {
            let index = self.keep(receipt);
            self.note(number, Some(index));
        }
        false
    }

    /// Receives at random until the end.
    async fn read(self, mut dice: Dice) {
        let mut whole: Vec<u8> = Vec::new();
        loop {
            if dice.one_in(6) {
                self.sleep(Duration::from_millis(dice.below(50))).await;
            }
            let received = match dice.below(3) {
                0 => {
                    let max = 1 + dice.below(3000) as usize;
                    let min = dice.below(max as u64) as usize;
                    self.connection.receive_partial(min, max).await
                }
                1 => match polled(1 + dice.below(2) as usize, self.connection.receive()).await {
                    Some(received) => received,
                    None => {
                        self.sleep(Duration::from_millis(1)).await;
                        continue;
                    }
                },
                _ => self.connection.receive().await,
            };
            self.log.lock().expect("no panic").check_order();
            match received {
                Ok(part) => {
                    assert_eq!(part.is_start, whole.is_empty(), "parts of one message");
                    whole.extend_from_slice(&part);
                    if part.is_end {
                        let number = number_of(&whole);
                        assert_eq!(whole, payload(number, whole.len() - 8));
                        self.log.lock().expect("no panic").received.push(number);
                        whole.clear();
                    }
                }
                Err(error) => {
                    let again = self.connection.receive().await;
                    assert!(again.is_err(), "a message after {error:?}: {again:?}");
                    self.log.lock().expect("no panic").end = Some(error);
                    return;
                }
            }
        }
    }
}

/// Notes events without holding the connection.
async fn follow(log: Log, mut events: portway::Events) {
    while let Some(event) = events.next().await {
        log.lock().expect("no panic").events.push(event);
    }
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    BothClose,
    ClientCloses,
    ClientEndsThenCloses,
    ClientAborts,
    ServerAborts,
    ClientDrops,
}

const ENDINGS: [Ending; 6] = [
    Ending::BothClose,
    Ending::ClientCloses,
    Ending::ClientEndsThenCloses,
    Ending::ClientAborts,
    Ending::ServerAborts,
    Ending::ClientDrops,
];

fn framed(preconnection: Preconnection, which: u64) -> Preconnection {
    match which {
        0 => preconnection.framer(LengthPrefixed::u32()),
        1 => preconnection.framer(Delimited::lf()),
        2 => preconnection
            .framer(LengthPrefixed::varint())
            .framer(Delimited::lf()),
        _ => preconnection.framer(LengthPrefixed::u64().little_endian()),
    }
}

struct Run {
    net: Net,
    ending: Ending,
    client: Log,
    server: Log,
}

/// Small buffers, delays and rates at random.
fn narrow(net: &Net, dice: &mut Dice) {
    for host in [&net.client, &net.server] {
        if dice.one_in(2) {
            let bytes = 4096 << dice.below(5);
            host.set_tcp_buffers(bytes, bytes);
        }
    }
    let link = net.sim.link("client", "server");
    link.set_delay(Duration::from_millis(1 + dice.below(40)));
    if dice.one_in(3) {
        link.set_rate(50_000 + dice.below(1_000_000), 16 * 1024);
    }
}

fn run(seed: u64, wire: WireProtocol, security: (Security, Security)) -> Run {
    let mut dice = Dice(seed);
    let net = Net::named(seed);
    narrow(&net, &mut dice);
    let link = net.sim.link("client", "server");
    let is_datagram = wire == WireProtocol::Udp;
    let mut limits = ConnectionLimits::default();
    limits.send_queue_bytes = 2000 << dice.below(8);
    limits.send_queue_messages = 1 + dice.below(40) as usize;
    let which = dice.below(4);
    let prepare = |base: Preconnection| {
        let base = base.limits(limits.clone());
        match is_datagram {
            false => framed(base, which),
            true => base
                .properties(
                    TransportProperties::unreliable_datagram()
                        .prohibit(SelectionProperty::Reliability),
                )
                .message_defaults(MessageProperties::new().with_safely_replayable(true)),
        }
    };
    let bare = |security: Security, context| Preconnection::new(security).context(context);
    let server =
        prepare(bare(security.0, &net.at_server)).local(portway::LocalEndpoint::any().port(PORT));
    let client = prepare(bare(security.1, &net.at_client))
        .remote(portway::RemoteEndpoint::host_name(NAME).port(PORT));
    let mut listener = net.listen_with(&server);
    let (client, server) = match is_datagram {
        false => net.connect(&client, &mut listener),
        true => {
            let client = net
                .sim
                .block_on(client.initiate().into_future())
                .expect("connected");
            net.sim
                .block_on(client.send(payload(999_999, 0)))
                .expect("taken")
                .completion();
            let server = net.sim.block_on(listener.accept()).expect("a peer");
            net.sim.block_on(server.receive()).expect("the greeting");
            (client, server)
        }
    };
    drop(listener);
    if dice.one_in(2) {
        link.set_loss(dice.below(8) as f64 / 100.0);
    }
    let ending = match ENDINGS[dice.below(ENDINGS.len() as u64) as usize] {
        // Nobody tells the reader of a datagram socket that its peer is gone.
        Ending::ClientDrops if is_datagram => Ending::ClientCloses,
        ending => ending,
    };
    println!("{wire:?}, framer {which}, {ending:?}, {limits:?}");
    let actor = |connection: &Connection, context: &portway::Context| Actor {
        connection: connection.clone(),
        context: context.clone(),
        log: Log::default(),
        is_datagram,
    };
    let (one, other) = (
        actor(&client, &net.at_client),
        actor(&server, &net.at_server),
    );
    drop((client, server));
    stall(&net, &mut dice);
    let logs = (one.log.clone(), other.log.clone());
    start(one, other, &mut dice, ending);
    net.sim.run_for(Duration::from_secs(3000));
    Run {
        net,
        ending,
        client: logs.0,
        server: logs.1,
    }
}

/// Black holes at random times, each of which ends.
fn stall(net: &Net, dice: &mut Dice) {
    for _ in 0..dice.below(3) {
        let start = net.sim.now() + Duration::from_millis(dice.below(1500));
        let end = start + Duration::from_millis(dice.below(4000));
        let direction =
            [Direction::Forward, Direction::Backward, Direction::Both][dice.below(3) as usize];
        net.sim.at(start, move |world| {
            world.link("client", "server").black_hole(direction);
        });
        net.sim.at(end, |world| {
            world.link("client", "server").restore();
        });
    }
}

/// Starts every task of both sides; the last of them ends the run.
fn start(client: Actor, server: Actor, dice: &mut Dice, ending: Ending) {
    for actor in [&client, &server] {
        let environment = actor.context.environment();
        let events = actor.connection.events();
        environment.spawn(Box::pin(follow(actor.log.clone(), events)));
        environment.spawn(Box::pin(actor.clone().read(Dice(dice.next()))));
    }
    let sends = 5 + dice.below(30) as u32;
    let (a, b) = (Dice(dice.next()), Dice(dice.next()));
    let patience = Duration::from_millis(dice.below(2500));
    let waits_for_writers = ending != Ending::ServerAborts && dice.one_in(2);
    let (writer, answerer) = (client.clone(), server.clone());
    let answers = server.context.environment().clone();
    let (done, finished) = tokio::sync::oneshot::channel();
    answers.spawn(Box::pin(async move {
        answerer.write(b, sends).await;
        let _ = done.send(());
    }));
    client
        .context
        .environment()
        .clone()
        .spawn(Box::pin(async move {
            let written = writer.write(a, sends);
            if waits_for_writers {
                written.await;
            } else {
                tokio::select! {
                    biased;
                    () = written => {}
                    () = client.sleep(patience) => {}
                }
            }
            finish(client, server, finished, ending).await;
        }));
}

async fn finish(
    client: Actor,
    server: Actor,
    finished: tokio::sync::oneshot::Receiver<()>,
    ending: Ending,
) {
    let close = |actor: Actor| async move {
        let closed = actor.connection.close().await;
        actor.log.lock().expect("no panic").closed = Some(closed.is_ok());
        assert!(actor.connection.send("late").await.is_err());
        assert!(actor.connection.reserve(1).await.is_err());
        if closed.is_ok() {
            let late = actor.connection.receive().await;
            assert!(late.is_err(), "nothing follows the end: {late:?}");
        }
    };
    match ending {
        Ending::BothClose => {
            let _ = finished.await;
            tokio::join!(close(client), close(server));
        }
        Ending::ClientCloses => {
            close(client).await;
            close(server).await;
        }
        Ending::ClientEndsThenCloses => {
            let _ = client.connection.end_sending().await;
            let _ = finished.await;
            close(server).await;
            close(client).await;
        }
        Ending::ClientAborts => {
            client.connection.abort();
            let _ = finished.await;
            close(server).await;
        }
        Ending::ServerAborts => {
            server.connection.abort();
            close(client).await;
        }
        Ending::ClientDrops => {
            // Its reader holds a handle until the server closes.
            let _ = client.connection.end_sending().await;
            drop(client);
            let _ = finished.await;
            close(server).await;
        }
    }
}

/// Checks one direction: what `from` sent against what `to` received.
fn check(from: &Side, to: &Side, is_reliable: bool, is_exact: bool, ending: Ending) {
    let completions = from.receipts.iter().map(Receipt::completion);
    let completions: Vec<_> = completions
        .map(|completion| completion.expect("every send completes"))
        .collect();
    let is_sent = |last: usize| completions[last] == Completion::Sent;
    // Over TLS a message may be out although the records that it shared with others were not.
    let may_be_out = |last: usize| match is_exact {
        true => is_sent(last),
        false => completions[last] != Completion::Expired,
    };
    let messages = from.messages.iter();
    let mut order: Vec<(usize, u32)> = messages
        .filter_map(|(number, message)| Some((message.last?, *number)))
        .filter(|(last, _)| may_be_out(*last))
        .collect();
    order.sort_unstable();
    let expected: Vec<u32> = order.iter().map(|(_, number)| *number).collect();
    let mut received = to.received.clone();
    if is_reliable {
        let failed = |number: &&u32| {
            from.messages[*number]
                .last
                .is_some_and(|last| !is_sent(last))
        };
        let possible = expected
            .iter()
            .filter(|number| received.contains(number) || !failed(number));
        assert!(
            possible.copied().collect::<Vec<_>>().starts_with(&received),
            "delivered: {received:?}, sent: {expected:?}"
        );
    } else {
        received.sort_unstable();
        assert!(
            received.windows(2).all(|pair| pair[0] < pair[1]),
            "twice: {received:?}"
        );
        assert!(received.iter().all(|number| expected.contains(number)));
    }
    if is_reliable && from.closed == Some(true) && to.end == Some(ReceiveError::Finished) {
        for (last, number) in order {
            let is_here = received.contains(&number);
            assert!(is_here || !is_sent(last), "{number} was lost, {ending:?}");
        }
    }
    let last = |event: &ConnectionEvent| {
        matches!(
            event,
            ConnectionEvent::Closed | ConnectionEvent::ConnectionError(_)
        )
    };
    let ends = from.events.iter().filter(|event| last(event)).count();
    assert!(ends <= 1 && (ends == 0 || from.events.last().is_some_and(last)));
    if from.closed == Some(true) {
        assert_eq!(from.events.last(), Some(&ConnectionEvent::Closed));
    }
}

fn random_runs(count: u64, wire: WireProtocol, security: &(Security, Security)) {
    let mut delivered = 0;
    for seed in seeds(count) {
        let run = run(seed, wire, security.clone());
        let is_reliable = wire == WireProtocol::Tcp;
        let is_exact = security.1.tls_parameters().is_none();
        {
            let client = run.client.lock().expect("no panic");
            let server = run.server.lock().expect("no panic");
            check(&client, &server, is_reliable, is_exact, run.ending);
            check(&server, &client, is_reliable, is_exact, run.ending);
            delivered += client.received.len() + server.received.len();
        }
        assert_eq!(run.net.sim.tasks_alive(), 0, "tasks, {:?}", run.ending);
        assert_eq!(run.net.sim.sockets_open(), 0, "sockets, {:?}", run.ending);
    }
    assert!(delivered > 0);
}

#[test]
fn random_operations_over_tcp_keep_every_promise() {
    let clear = (Security::disabled(), Security::disabled());
    random_runs(150, WireProtocol::Tcp, &clear);
}

#[test]
fn random_operations_over_tls_keep_every_promise() {
    random_runs(80, WireProtocol::Tcp, &(server_tls(), client_tls()));
}

#[test]
fn random_operations_over_udp_keep_every_promise() {
    let clear = (Security::disabled(), Security::disabled());
    random_runs(100, WireProtocol::Udp, &clear);
}

#[test]
fn same_seed_gives_the_same_packets() {
    for seed in seeds(5) {
        let clear = || (Security::disabled(), Security::disabled());
        let [one, other] = [0, 1].map(|_| run(seed, WireProtocol::Tcp, clear()).net.sim.wire_log());
        assert_eq!(one.len(), other.len());
        assert!(one == other, "the runs of one seed differ");
    }
}

#[test]
fn message_of_more_parts_than_may_wait_is_refused_and_the_next_one_sent() {
    let net = Net::named(1);
    let mut listener = net.listen(Security::disabled());
    let mut limits = ConnectionLimits::default();
    limits.send_queue_messages = 3;
    let to = net.to_server(Security::disabled()).limits(limits);
    let (client, server) = net.connect(&to, &mut listener);
    net.sim.block_on(async {
        let mut message = client.begin(MessageContext::default(), None);
        for _ in 0..3 {
            message
                .send("part")
                .await
                .expect("room for it")
                .completion();
        }
        let refused = message.send("part").await.expect_err("no room for its end");
        assert!(refused.to_string().contains("4 parts"), "{refused}");
        drop(message);
        client.send("next").await.expect("taken").completion();
        assert_eq!(&server.receive().await.expect("a message")[..], b"next");
    });
}

#[test]
fn senders_that_wait_for_room_do_not_keep_one_another_busy() {
    let net = Net::named(2);
    let mut listener = net.listen(Security::disabled());
    let mut limits = ConnectionLimits::default();
    limits.send_queue_bytes = 1000;
    let to = net.to_server(Security::disabled()).limits(limits);
    let (client, server) = net.connect(&to, &mut listener);
    let permit = net.sim.block_on(client.reserve(1000)).expect("room");
    let waiting: Vec<_> = (0..3u8)
        .map(|number| {
            let client = client.clone();
            net.spawn(async move {
                let mut message = client.begin(MessageContext::default(), Some(500));
                message
                    .send(vec![number; 250])
                    .await
                    .expect("room")
                    .completion();
                message.finish(vec![number; 250]).await.expect("room").await
            })
        })
        .collect();
    net.sim.set_steps_max(10_000);
    net.sim.run_for(Duration::from_secs(60));
    drop(permit);
    for waiting in waiting {
        assert_eq!(net.sim.block_on(waiting), Ok(Completion::Sent));
        let message = net.sim.block_on(server.receive()).expect("a message");
        assert!(message.len() == 500 && message.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn last_part_of_a_final_message_ends_the_direction() {
    let net = Net::named(3);
    let mut listener = net.listen(server_tls());
    let (client, server) = net.connect(&net.to_server(client_tls()), &mut listener);
    net.sim.block_on(async {
        let mut message = client.begin(MessageContext::default().with_final(), None);
        message.send("last ").await.expect("taken").completion();
        message.finish("words").await.expect("taken").await;
        assert!(client.send("more").await.is_err());
        assert_eq!(
            &server.receive().await.expect("a message")[..],
            b"last words"
        );
        assert_eq!(server.receive().await, Err(ReceiveError::Finished));
        server.send("reply").await.expect("taken").completion();
        assert_eq!(&client.receive().await.expect("a message")[..], b"reply");
    });
}

#[test]
fn final_message_that_is_taken_back_ends_nothing() {
    let net = Net::named(4);
    let mut listener = net.listen(Security::disabled());
    let (client, server) = net.connect(&net.to_server(Security::disabled()), &mut listener);
    net.sim.block_on(async {
        let mut message = client.begin(MessageContext::default().with_final(), None);
        message.send("never").await.expect("taken").completion();
        drop(message);
        client.send("more").await.expect("taken").completion();
        assert_eq!(&server.receive().await.expect("a message")[..], b"more");
    });
}

#[test]
fn parts_of_a_datagram_leave_as_one() {
    let net = Net::named(5);
    let datagrams = |context: &portway::Context| {
        Preconnection::new(Security::disabled())
            .context(context)
            .properties(
                TransportProperties::unreliable_datagram().prohibit(SelectionProperty::Reliability),
            )
            .message_defaults(MessageProperties::new().with_safely_replayable(true))
    };
    let local = portway::LocalEndpoint::any().port(PORT);
    let mut listener = net.listen_with(&datagrams(&net.at_server).local(local));
    let remote = portway::RemoteEndpoint::host_name(NAME).port(PORT);
    let to = datagrams(&net.at_client).remote(remote);
    let client = net
        .sim
        .block_on(to.initiate().into_future())
        .expect("connected");
    net.sim.block_on(async {
        let mut receipts = Vec::new();
        for length in [None, Some(10)] {
            let mut message = client.begin(MessageContext::default(), length);
            receipts.push(message.send("five ").await.expect("taken"));
            receipts.push(message.finish("bytes").await.expect("taken"));
        }
        let server = listener.accept().await.expect("a peer");
        for _ in 0..2 {
            let message = server.receive().await.expect("a message");
            assert_eq!(&message[..], b"five bytes");
        }
        for receipt in receipts {
            assert_eq!(receipt.await, Completion::Sent);
        }
        let mut message = client.begin(MessageContext::default(), Some(100_000));
        let first = message.send(vec![0; 50_000]).await.expect("taken");
        let last = message.finish(vec![0; 50_000]).await.expect("taken");
        for receipt in [first, last] {
            let completion = receipt.await;
            assert!(
                matches!(completion, Completion::Failed(_)),
                "{completion:?}"
            );
        }
        client.send("next").await.expect("taken").completion();
        assert_eq!(&server.receive().await.expect("a message")[..], b"next");
    });
}

#[test]
fn message_behind_a_long_one_leaves_when_the_carrier_takes_all_at_once() {
    let net = Net::named(6);
    net.client.set_tcp_buffers(256 * 1024, 256 * 1024);
    net.server.set_tcp_buffers(1024 * 1024, 1024 * 1024);
    let mut listener = net.listen(Security::disabled());
    let (client, server) = net.connect(&net.to_server(Security::disabled()), &mut listener);
    let link = net.sim.link("client", "server");
    link.black_hole(Direction::Backward);
    client
        .try_send(vec![1; 400 * 1024])
        .expect("taken")
        .completion();
    let receipt = client.try_send("next").expect("taken");
    net.sim.run_for(Duration::from_millis(100));
    // One acknowledgement makes room for all that is left of the long one.
    link.restore();
    let reader = server.clone();
    let mut all = net.spawn(async move {
        let long = reader.receive().await.expect("a message").len();
        (long, reader.receive().await.expect("a message").len())
    });
    net.sim.run_for(Duration::from_secs(60));
    assert_eq!(all.try_recv(), Ok((400 * 1024, 4)));
    assert_eq!(receipt.completion(), Some(Completion::Sent));
}
