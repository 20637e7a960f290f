//! Bytes of a hostile peer on the encoder stream and as field sections, interleaved and split.
//!
//! Invariant: no panic; limits hold; how the encoder stream is split does not matter; and what
//! our decoder says in answer has the form that an encoder reads.

use arbitrary::{Arbitrary, Unstructured};
use portway_h3::qpack::{DecodeError, Decoded, Decoder, DecoderConfig, QpackErrorKind};

#[derive(Arbitrary, Debug)]
struct Input {
    table_capacity: u16,
    blocked_streams: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Instructions(Vec<u8>),
    Section(u8, Vec<u8>),
    Cancel(u8),
    Poll,
}

pub(crate) fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let whole = decode(&input, usize::MAX);
    let split = decode(&input, 1);
    assert_eq!(whole, split, "the pieces decided what was decoded");
}

/// The lines of each section and how it ended, until the connection fails.
type Sections = Vec<(u64, Vec<(Vec<u8>, Vec<u8>)>, bool)>;

fn decode(input: &Input, piece: usize) -> (Sections, Option<QpackErrorKind>) {
    let mut config = DecoderConfig::default();
    config.table_capacity_max = usize::from(input.table_capacity % 1024);
    config.blocked_streams_max = u64::from(input.blocked_streams % 8);
    config.section_bytes_max = SECTION_MAX;
    config.section_fields_max = FIELDS_MAX;
    let mut decoder = Decoder::new(config);
    let mut sections = Sections::new();
    for step in &input.steps {
        let result = match step {
            Step::Instructions(bytes) => instructions(&mut decoder, bytes, piece, &mut sections),
            Step::Section(stream, bytes) => {
                section(&mut decoder, u64::from(*stream), bytes, &mut sections)
            }
            Step::Cancel(stream) => decoder.cancel_stream(u64::from(*stream)),
            Step::Poll => {
                check_answer(decoder.poll_instructions().as_deref().unwrap_or_default());
                Ok(())
            }
        };
        if let Err(error) = result {
            return (sections, Some(error.kind()));
        }
        assert!(decoder.blocked_streams() <= config.blocked_streams_max);
    }
    (sections, None)
}

fn instructions(
    decoder: &mut Decoder,
    bytes: &[u8],
    piece: usize,
    sections: &mut Sections,
) -> Result<(), portway_h3::qpack::QpackError> {
    for bytes in bytes.chunks(piece) {
        decoder.on_encoder_stream(bytes)?;
    }
    while let Some(unblocked) = decoder.next_unblocked() {
        let (stream, mut lines) = (unblocked.stream(), Vec::new());
        let result = decoder.decode_unblocked(unblocked, |name, value| {
            lines.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
            Ok::<(), ()>(())
        });
        keep(stream, lines, result, sections)?;
    }
    Ok(())
}

fn section(
    decoder: &mut Decoder,
    stream: u64,
    bytes: &[u8],
    sections: &mut Sections,
) -> Result<(), portway_h3::qpack::QpackError> {
    let mut lines = Vec::new();
    let result = decoder.decode(stream, bytes, |name, value| {
        lines.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        Ok::<(), ()>(())
    });
    match result {
        Ok(Decoded::Blocked) => {
            assert!(lines.is_empty());
            Ok(())
        }
        Ok(Decoded::Complete) => keep(stream, lines, Ok(()), sections),
        Err(error) => keep(stream, lines, Err(error), sections),
    }
}

fn keep(
    stream: u64,
    lines: Vec<(Vec<u8>, Vec<u8>)>,
    result: Result<(), DecodeError<()>>,
    sections: &mut Sections,
) -> Result<(), portway_h3::qpack::QpackError> {
    let bytes = |(name, value): &(Vec<u8>, Vec<u8>)| name.len() + value.len() + 32;
    assert!(lines.len() <= FIELDS_MAX);
    assert!(lines.iter().map(bytes).sum::<usize>() <= SECTION_MAX);
    sections.push((stream, lines, result.is_ok()));
    match result {
        Err(DecodeError::Connection(error)) => Err(error),
        _ => Ok(()),
    }
}

/// Each instruction is an integer, and the last one is complete.
fn check_answer(mut bytes: &[u8]) {
    while let Some((first, rest)) = bytes.split_first() {
        let prefix = if first & 0x80 != 0 { 0x7f } else { 0x3f };
        bytes = rest;
        if first & prefix == prefix {
            let end = rest.iter().position(|byte| byte & 0x80 == 0);
            bytes = &rest[end.expect("an instruction is cut off") + 1..];
        }
    }
}

const SECTION_MAX: usize = 2048;
const FIELDS_MAX: usize = 16;
