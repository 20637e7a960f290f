//! Random sequences of calls: one completion a send, in order, within bounds.

use super::*;
use crate::message::Chunks;
use std::collections::{BTreeMap, BTreeSet};

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % bound
    }
}

struct World {
    queue: SendQueue<SendId>,
    wires: BTreeMap<ConnectionId, WireBuffer>,
    open: Vec<OpenMessage>,
    now: u64,
    accepted: BTreeSet<u64>,
    complete: BTreeSet<u64>,
    last_sent: BTreeMap<ConnectionId, usize>,
    /// The sends that left the queue, with their place in that order.
    popped: BTreeMap<u64, usize>,
    next: u64,
}

const BYTES_MAX: usize = 3000;
const SENDS_MAX: usize = 24;

impl World {
    fn new(random: &mut Random) -> Self {
        let policy = match random.below(2) {
            0 => Policy::FirstComeFirstServed,
            _ => Policy::StrictPriority,
        };
        let mut queue = SendQueue::new(policy, QueueLimits::new(BYTES_MAX, SENDS_MAX));
        for (connection, priority) in [(ONE, 1), (TWO, 2)] {
            queue.add_connection(connection, priority);
            queue
                .set_reorders(connection, random.below(2) == 0)
                .expect("just added");
            if random.below(2) == 0 {
                queue
                    .set_partial_sends(connection, PartialSends::Assemble)
                    .expect("just added");
            }
        }
        World {
            queue,
            wires: [(ONE, WireBuffer::new()), (TWO, WireBuffer::new())].into(),
            open: Vec::new(),
            now: 0,
            accepted: BTreeSet::new(),
            complete: BTreeSet::new(),
            last_sent: BTreeMap::new(),
            popped: BTreeMap::new(),
            next: 1,
        }
    }

    fn message(random: &mut Random) -> Message {
        let mut context = MessageContext::new();
        if random.below(3) == 0 {
            context = context.with_lifetime(Duration::from_millis(1 + random.below(20)));
        }
        if random.below(4) == 0 {
            context = context.with_priority(random.below(3) as u32);
        }
        if random.below(2) == 0 {
            let properties = context.properties_mut();
            *properties = properties.with_ordered(false);
        }
        if random.below(60) == 0 {
            context = context.with_final();
        }
        let length = random.below(200) as usize * if random.below(8) == 0 { 10 } else { 1 };
        Message::new(vec![7; length]).with_context(context)
    }

    /// The identifier that the next accepted send gets is its receipt.
    fn accept(&mut self, id: Option<SendId>) {
        if let Some(SendId(id)) = id {
            assert_eq!(id, self.next, "ids count the accepted sends");
            assert!(self.accepted.insert(id));
            self.next += 1;
        }
    }

    fn step(&mut self, random: &mut Random) {
        let connection = if random.below(2) == 0 { ONE } else { TWO };
        let receipt = SendId(self.next);
        match random.below(20) {
            0..6 => {
                let message = World::message(random);
                let id = self.queue.push(at(self.now), connection, message, receipt);
                self.accept(id.ok());
            }
            6..8 => {
                let message = World::message(random);
                let begun = self
                    .queue
                    .begin(at(self.now), connection, message, None, receipt);
                if let Ok((open, id)) = begun {
                    self.open.push(open);
                    self.accept(Some(id));
                }
            }
            8..13 if !self.open.is_empty() => {
                let index = random.below(self.open.len() as u64) as usize;
                let end = match random.below(2) {
                    0 => EndOfMessage::Yes,
                    _ => EndOfMessage::No,
                };
                let data = Chunks::from(vec![7; random.below(200) as usize]);
                let id = self.queue.append(self.open[index], data, end, receipt);
                if end == EndOfMessage::Yes && id.is_ok() {
                    self.open.remove(index);
                }
                self.accept(id.ok());
            }
            13 if random.below(8) == 0 && !self.open.is_empty() => {
                let open = self.open.remove(0);
                let _ = self.queue.abort(open, &dropped_in_mid_message());
            }
            14 => self.now += random.below(10),
            15..18 => self.frame_some(random),
            _ => {
                let wire = self.wires.get_mut(&connection).expect("it has one");
                let count = random.below(wire.len() as u64 + 1) as usize;
                let sends = wire.advance(count);
                self.queue.on_sent(connection, sends);
            }
        }
        if random.below(20) == 0 {
            let reorders = random.below(2) == 0;
            let set = self.queue.set_reorders(connection, reorders);
            set.expect("it is there");
        }
        self.check();
    }

    fn frame_some(&mut self, random: &mut Random) {
        for _ in 0..random.below(6) {
            let Some(send) = self.queue.pop(at(self.now)) else {
                return;
            };
            let order = self.popped.len();
            assert!(self.popped.insert(send.id.0, order).is_none());
            if random.below(30) == 0 {
                self.queue.refuse(&send, &reset(), false);
                continue;
            }
            let wire = self.wires.get_mut(&send.connection).expect("it has one");
            wire.put_chunks(send.data);
            wire.mark();
            let due = wire.take_due_marks();
            self.queue.on_sent(send.connection, due);
        }
    }

    fn check(&mut self) {
        assert!(self.queue.queued_sends() <= 3 * SENDS_MAX);
        assert!(self.queue.queued_bytes() <= 3 * BYTES_MAX);
        while let Some(completion) = self.queue.poll_completion() {
            assert_eq!(completion.id, completion.receipt);
            let id = completion.id.0;
            assert!(self.accepted.contains(&id));
            assert!(self.complete.insert(id), "{id} completed twice");
            match completion.outcome {
                Outcome::Sent => assert!(self.popped.contains_key(&id)),
                Outcome::Expired => assert!(!self.popped.contains_key(&id)),
                Outcome::Failed(_) => {}
            }
            if completion.outcome == Outcome::Sent {
                let order = self.popped[&id];
                let before = self.last_sent.insert(completion.connection, order);
                assert!(
                    before.is_none_or(|before| before < order),
                    "{id} out of order"
                );
            }
        }
    }
}

#[test]
fn every_accepted_send_has_exactly_one_completion() {
    for seed in 1_u64..400 {
        println!("seed {seed}");
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut world = World::new(&mut random);
        for _ in 0..300 {
            world.step(&mut random);
        }
        world.queue.fail_all(&reset());
        world.check();
        assert_eq!(world.accepted, world.complete);
        assert!(world.queue.is_idle());
        assert_eq!(
            (world.queue.queued_sends(), world.queue.queued_bytes()),
            (0, 0)
        );
        assert_eq!(world.queue.next_expiry(), None);
    }
}
