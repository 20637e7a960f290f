//! An encoder and a decoder with a network between them that delays, splits and reorders: the
//! streams of sections overtake the encoder stream and each other.
//!
//! Invariant: whatever the network does, every section that is not cancelled comes out as it went
//! in, and neither end ever finds fault with the other. A failure prints its seed;
//! `PORTWAY_SEED=<seed>` runs that world alone, `PORTWAY_LONG=1` fifty times as many.
#![allow(clippy::unwrap_used, reason = "a world that fails shall stop its test")]

use bytes::BytesMut;
use http::HeaderValue;
use portway_h3::field::{FieldName, FieldValue};
use portway_h3::qpack::{Decoded, Decoder, DecoderConfig, Encoder, EncoderConfig};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;

/// Names, values, and whether they are never indexed.
type Lines = Vec<(Vec<u8>, Vec<u8>, bool)>;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, limit: u64) -> bool {
        self.below(limit) == 0
    }
}

/// Both ends, and what is under way between them.
struct World {
    random: Random,
    encoder: Encoder,
    decoder: Decoder,
    blocked_streams_max: u64,
    encoder_stream: VecDeque<u8>,
    decoder_stream: VecDeque<u8>,
    /// Sections under way, in their order on each stream.
    sections: BTreeMap<u64, VecDeque<(Vec<u8>, Lines)>>,
    /// The stream's section that the decoder holds.
    blocked: BTreeMap<u64, Lines>,
    next_stream: u64,
    decoded: usize,
    was_blocked: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let capacity = [0, 32, 100, 200, 500, 4096][random.below(6) as usize];
        let blocked_streams_max = [0, 1, 3, 100][random.below(4) as usize];
        let mut config = DecoderConfig::default();
        config.table_capacity_max = capacity;
        config.blocked_streams_max = blocked_streams_max;
        config.unsent_bytes_max = 1 << 20;
        let mut encoder = Encoder::new(EncoderConfig::default());
        encoder
            .on_peer_settings(capacity as u64, blocked_streams_max)
            .unwrap();
        World {
            random,
            encoder,
            decoder: Decoder::new(config),
            blocked_streams_max,
            encoder_stream: VecDeque::new(),
            decoder_stream: VecDeque::new(),
            sections: BTreeMap::new(),
            blocked: BTreeMap::new(),
            next_stream: 0,
            decoded: 0,
            was_blocked: 0,
        }
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0..4 => self.send_section(),
            4..6 => self.deliver_instructions(),
            6..8 => self.deliver_section(),
            8..10 => self.deliver_answers(),
            10 => self.cancel(),
            _ => self.change(),
        }
        assert!(self.decoder.blocked_streams() <= self.blocked_streams_max);
    }

    fn send_section(&mut self) {
        let lines = self.lines();
        // Interim responses and trailers share their stream with others.
        let stream = match self.sections.keys().next_back() {
            Some(stream) if self.random.one_in(4) => *stream,
            _ => {
                self.next_stream += 4 * (1 + self.random.below(40));
                self.next_stream
            }
        };
        let mut out = BytesMut::new();
        let mut section = self.encoder.section(stream, &mut out);
        for (name, value, is_never_indexed) in &lines {
            section.line(name, value, *is_never_indexed);
        }
        section.finish();
        self.encoder_stream
            .extend(self.encoder.poll_instructions().unwrap_or_default());
        let sections = self.sections.entry(stream).or_default();
        sections.push_back((out.to_vec(), lines));
    }

    fn lines(&mut self) -> Lines {
        const NAMES: [&str; 8] = [
            ":path",
            ":authority",
            "x-own",
            "x-other",
            "cookie",
            "age",
            "user-agent",
            "authorization",
        ];
        let mut line = || -> (Vec<u8>, Vec<u8>, bool) {
            let name = NAMES[self.random.below(8) as usize];
            let spread = [2, 5, 1000][self.random.below(3) as usize];
            let length = [0, 1, 8, 60][self.random.below(4) as usize];
            let value = format!("{:0length$}", self.random.below(spread));
            let is_never_indexed = self.random.one_in(10) && name != "authorization";
            (name.into(), value.into(), is_never_indexed)
        };
        (0..line().1.len() % 7).map(|_| line()).collect()
    }

    fn deliver_instructions(&mut self) {
        let most = [1, 3, 20, 1000][self.random.below(4) as usize];
        let length = self.encoder_stream.len().min(most);
        let bytes: Vec<u8> = self.encoder_stream.drain(..length).collect();
        self.decoder.on_encoder_stream(&bytes).unwrap();
        while let Some(section) = self.decoder.next_unblocked() {
            let stream = section.stream();
            let mut lines = Lines::new();
            let result = self.decoder.decode_unblocked(section, collect(&mut lines));
            result.unwrap();
            assert_eq!(lines, self.blocked.remove(&stream).unwrap());
            self.decoded += 1;
        }
        self.answer();
    }

    fn deliver_section(&mut self) {
        // A stream whose section waits is not read any further.
        let ready: Vec<u64> = self
            .sections
            .keys()
            .filter(|stream| !self.blocked.contains_key(stream))
            .copied()
            .collect();
        if ready.is_empty() {
            return;
        }
        let stream = ready[self.random.below(ready.len() as u64) as usize];
        let sections = self.sections.get_mut(&stream).unwrap();
        let (bytes, expected) = sections.pop_front().unwrap();
        if sections.is_empty() {
            self.sections.remove(&stream);
        }
        let mut lines = Lines::new();
        let decoded = self.decoder.decode(stream, &bytes, collect(&mut lines));
        match decoded.unwrap() {
            Decoded::Complete => {
                assert_eq!(lines, expected);
                self.decoded += 1;
            }
            Decoded::Blocked => {
                self.was_blocked += 1;
                self.blocked.insert(stream, expected);
            }
        }
        self.answer();
    }

    /// What the decoder has to say goes on its way, now or together with what comes later.
    fn answer(&mut self) {
        if self.random.one_in(2) {
            self.decoder_stream
                .extend(self.decoder.poll_instructions().unwrap_or_default());
        }
    }

    fn deliver_answers(&mut self) {
        let most = [1, 2, 1000][self.random.below(3) as usize];
        let length = self.decoder_stream.len().min(most);
        let bytes: Vec<u8> = self.decoder_stream.drain(..length).collect();
        self.encoder.on_decoder_stream(&bytes).unwrap();
    }

    /// The decoder's side gives a stream up, whatever of it has arrived.
    fn cancel(&mut self) {
        let Some(&stream) = self.sections.keys().chain(self.blocked.keys()).next() else {
            return;
        };
        self.sections.remove(&stream);
        self.blocked.remove(&stream);
        self.decoder.cancel_stream(stream).unwrap();
        // Nothing more is sent on it either.
        self.next_stream = self.next_stream.max(stream) + 4;
    }

    fn change(&mut self) {
        match self.random.below(3) {
            0 => {
                let capacity = [0, 50, 150, 4096][self.random.below(4) as usize];
                self.encoder.set_table_capacity(capacity);
            }
            1 => {
                let credit = [0, 10, 100, usize::MAX][self.random.below(4) as usize];
                self.encoder.set_instruction_credit(credit);
            }
            _ => self.encoder.set_table_capacity(4096),
        }
    }

    /// Everything arrives in the end.
    fn settle(&mut self) {
        while !self.encoder_stream.is_empty() {
            self.deliver_instructions();
        }
        while !self.sections.is_empty() {
            self.deliver_section();
        }
        assert!(self.blocked.is_empty());
        self.decoder_stream
            .extend(self.decoder.poll_instructions().unwrap_or_default());
        while !self.decoder_stream.is_empty() {
            self.deliver_answers();
        }
    }
}

fn collect(lines: &mut Lines) -> impl FnMut(FieldName, FieldValue) -> Result<(), Infallible> {
    |name, value| {
        let value = match value {
            FieldValue::Valid(value) => value,
            FieldValue::Pseudo(value) => HeaderValue::from_bytes(&value).expect("it was checked"),
            value => panic!("{value:?}"),
        };
        // The encoder marks credentials of its own accord.
        let is_never_indexed = value.is_sensitive() && name.as_bytes() != b"authorization";
        lines.push((
            name.as_bytes().to_vec(),
            value.as_bytes().to_vec(),
            is_never_indexed,
        ));
        Ok(())
    }
}

#[test]
fn both_ends_agree_whatever_the_network_does() {
    let count = match std::env::var_os("PORTWAY_LONG") {
        Some(_) => 15_000,
        None => 300,
    };
    let seeds: Vec<u64> = match std::env::var("PORTWAY_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..count).collect(),
    };
    let (mut decoded, mut was_blocked) = (0, 0);
    for seed in seeds {
        println!("PORTWAY_SEED={seed}");
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.step();
        }
        world.settle();
        decoded += world.decoded;
        was_blocked += world.was_blocked;
    }
    println!("{decoded} sections, {was_blocked} of them blocked");
    assert!(was_blocked > 0 && decoded > was_blocked);
}

#[test]
fn an_encoder_whose_table_is_full_of_what_one_section_refers_to_gets_room_again() {
    let mut config = DecoderConfig::default();
    config.table_capacity_max = 80;
    let mut decoder = Decoder::new(config);
    let mut encoder = Encoder::new(EncoderConfig::default());
    // No section may wait for an entry, so that none is duplicated for one either.
    encoder.on_peer_settings(80, 0).unwrap();
    let mut stream = 0;
    // What the decoder says goes when it is worth a frame: there always is company.
    let mut send = |names: &[&str]| {
        let lines = names.iter().map(|name| (name.as_bytes(), &b"1"[..]));
        let mut section = BytesMut::new();
        encoder.encode(stream, lines, &mut section);
        let instructions = encoder.poll_instructions().unwrap_or_default();
        decoder.on_encoder_stream(&instructions).unwrap();
        let decoded = decoder.decode(stream, &section, collect(&mut Lines::new()));
        assert_eq!(decoded, Ok(Decoded::Complete));
        let acknowledges = decoder.is_worth_sending();
        if acknowledges && let Some(answer) = decoder.poll_instructions() {
            encoder.on_decoder_stream(&answer).unwrap();
        }
        stream += 4;
        (acknowledges, encoder.table_use().entries)
    };
    assert_eq!(send(&["x-a", "x-b"]), (true, 2), "both are inserted");
    assert_eq!(send(&["x-a", "x-b"]), (false, 2), "both are referred to");
    // Each comes twice, so that it would have been inserted, and refers to nothing.
    for number in 0..14 {
        let name = format!("x-{}", number / 2);
        assert_eq!(send(&[&name]), (false, 2), "{name}");
    }
    assert_eq!(send(&["x-z"]), (true, 2), "it has waited enough");
    assert_eq!(send(&["x-z"]), (true, 3), "there is room again");
}
