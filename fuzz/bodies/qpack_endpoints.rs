//! An encoder and a decoder with a network between them that the input decides.
//!
//! Invariant: whatever the order of deliveries, sections come out as they went in, and neither
//! end finds fault with the other.

use arbitrary::{Arbitrary, Unstructured};
use bytes::BytesMut;
use portway_h3::qpack::{Decoded, Decoder, DecoderConfig, Encoder, EncoderConfig};
use std::collections::{BTreeMap, VecDeque};

#[derive(Arbitrary, Debug)]
struct Input {
    table_capacity: u16,
    blocked_streams: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Send(u8, Vec<(u8, Vec<u8>)>),
    DeliverInstructions(u8),
    DeliverSection,
    DeliverAnswers(u8),
    Capacity(u16),
    Credit(u8),
}

type Lines = Vec<(Vec<u8>, Vec<u8>)>;

pub(crate) fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let capacity = usize::from(input.table_capacity % 2048);
    let mut config = DecoderConfig::default();
    config.table_capacity_max = capacity;
    config.blocked_streams_max = u64::from(input.blocked_streams % 8);
    config.section_bytes_max = 1 << 24;
    config.section_fields_max = 1 << 16;
    config.unsent_bytes_max = 1 << 24;
    let mut decoder = Decoder::new(config);
    let mut encoder = Encoder::new(EncoderConfig::default());
    encoder
        .on_peer_settings(capacity as u64, config.blocked_streams_max)
        .expect("the first settings");
    let mut instructions = VecDeque::new();
    let mut answers = VecDeque::new();
    let mut sections = VecDeque::new();
    let mut blocked: BTreeMap<u64, Lines> = BTreeMap::new();
    let mut next_stream = 0;
    for step in input.steps {
        match step {
            Step::Send(skip, lines) => {
                next_stream += 1 + u64::from(skip);
                let lines: Lines = lines
                    .into_iter()
                    .map(|(name, value)| (name_of(name), value))
                    .collect();
                let mut out = BytesMut::new();
                let pairs = lines.iter().map(|(name, value)| (&name[..], &value[..]));
                encoder.encode(next_stream, pairs, &mut out);
                instructions.extend(encoder.poll_instructions().unwrap_or_default());
                sections.push_back((next_stream, out.to_vec(), lines));
            }
            Step::DeliverInstructions(length) => {
                let length = usize::from(length).min(instructions.len());
                let bytes: Vec<u8> = instructions.drain(..length).collect();
                decoder
                    .on_encoder_stream(&bytes)
                    .expect("what our encoder sent");
                while let Some(section) = decoder.next_unblocked() {
                    let expected = blocked.remove(&section.stream()).expect("it was blocked");
                    let mut lines = Lines::new();
                    decoder
                        .decode_unblocked(section, |name, value| {
                            lines.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
                            Ok::<(), ()>(())
                        })
                        .expect("what our encoder sent");
                    assert_eq!(lines, expected);
                }
            }
            Step::DeliverSection => {
                let Some((stream, bytes, expected)) = sections.pop_front() else {
                    continue;
                };
                let mut lines = Lines::new();
                let decoded = decoder.decode(stream, &bytes, |name, value| {
                    lines.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
                    Ok::<(), ()>(())
                });
                match decoded.expect("what our encoder sent") {
                    Decoded::Complete => assert_eq!(lines, expected),
                    Decoded::Blocked => {
                        blocked.insert(stream, expected);
                    }
                }
            }
            Step::DeliverAnswers(length) => {
                answers.extend(decoder.poll_instructions().unwrap_or_default());
                let length = usize::from(length).min(answers.len());
                let bytes: Vec<u8> = answers.drain(..length).collect();
                encoder
                    .on_decoder_stream(&bytes)
                    .expect("what our decoder sent");
            }
            Step::Capacity(bytes) => encoder.set_table_capacity(usize::from(bytes)),
            Step::Credit(bytes) => encoder.set_instruction_credit(usize::from(bytes)),
        }
    }
}

fn name_of(choice: u8) -> Vec<u8> {
    match choice % 8 {
        0 => b":path".to_vec(),
        1 => b":authority".to_vec(),
        2 => b"cookie".to_vec(),
        3 => b"age".to_vec(),
        4 => b"authorization".to_vec(),
        _ => format!("x-{choice}").into_bytes(),
    }
}
