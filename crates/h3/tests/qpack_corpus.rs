//! The public corpus of QPACK implementations (qpackers/qifs): field lists of real traffic, and
//! what other encoders made of them.
//!
//! Invariant: what others encode we decode to the same lines, and what we encode is as small as
//! promised. The corpus is not in the repository: see [`corpus`] for where it is looked for.

#![allow(
    clippy::unwrap_used,
    reason = "a corpus that cannot be read shall fail its test"
)]

use bytes::BytesMut;
use portway_h3::qpack::{Decoded, Decoder, DecoderConfig, Encoder, EncoderConfig};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Names and values of a section.
type Section = Vec<(Vec<u8>, Vec<u8>)>;

/// The unpacked corpus: `qifs/qifs.tar.xz` in the directory that `PORTWAY_SHARED` names, or in the
/// one called `shared` beside the repository.
fn corpus(test: &str) -> Option<&'static Path> {
    static CORPUS: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match CORPUS.get_or_init(unpack) {
        Ok(path) => Some(path),
        Err(reason) => {
            // Not by a macro that the test harness would keep from who reads a passing run.
            let why = format!("skipped: {test}: {reason}\n");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), why.as_bytes());
            None
        }
    }
}

fn unpack() -> Result<PathBuf, String> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shared = match std::env::var_os("PORTWAY_SHARED") {
        Some(path) => PathBuf::from(path),
        None => repository.join("../shared"),
    };
    let archive = shared.join("qifs/qifs.tar.xz");
    if !archive.is_file() {
        return Err("there is no qifs/qifs.tar.xz in ../shared".to_owned());
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("qifs");
    std::fs::create_dir_all(&target).map_err(|error| error.to_string())?;
    let status = Command::new("tar")
        .arg("-xJf")
        .arg(&archive)
        .arg("-C")
        .arg(&target)
        .status();
    match status {
        Ok(status) if status.success() => Ok(target),
        Ok(status) => Err(format!("tar: {status}")),
        Err(error) => Err(format!("tar: {error}")),
    }
}

/// The sections of a field list.
fn field_list(path: &Path) -> Vec<Section> {
    let bytes = std::fs::read(path).unwrap();
    let mut sections = Vec::new();
    let mut section = Section::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            if !section.is_empty() {
                sections.push(std::mem::take(&mut section));
            }
        } else if line[0] != b'#' {
            let tab = line.iter().position(|byte| *byte == b'\t').unwrap();
            section.push((line[..tab].to_vec(), line[tab + 1..].to_vec()));
        }
    }
    if !section.is_empty() {
        sections.push(section);
    }
    sections
}

/// The blocks of an encoded file: a stream, 0 being the encoder's, and its bytes.
fn blocks(bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut blocks = Vec::new();
    let mut rest = bytes;
    while let Some((stream, behind)) = rest.split_first_chunk::<8>() {
        let (length, behind) = behind.split_first_chunk::<4>().unwrap();
        let length = u32::from_be_bytes(*length) as usize;
        blocks.push((u64::from_be_bytes(*stream), &behind[..length]));
        rest = &behind[length..];
    }
    assert!(rest.is_empty());
    blocks
}

/// What the corpus needs: its responses have policies of several kilobytes.
fn config(table_capacity_max: usize, blocked_streams_max: u64) -> DecoderConfig {
    let mut config = DecoderConfig::default();
    config.table_capacity_max = table_capacity_max;
    config.blocked_streams_max = blocked_streams_max;
    config.section_bytes_max = 64 * 1024;
    config
}

/// Decodes the blocks of a file into sections by stream.
fn decode(
    decoder: &mut Decoder,
    blocks: &[(u64, &[u8])],
) -> Result<BTreeMap<u64, Section>, String> {
    let mut sections = BTreeMap::new();
    for (stream, bytes) in blocks {
        if *stream == 0 {
            let followed = decoder.on_encoder_stream(bytes);
            followed.map_err(|error| error.to_string())?;
            while let Some(unblocked) = decoder.next_unblocked() {
                let (stream, mut section) = (unblocked.stream(), Section::new());
                decoder
                    .decode_unblocked(unblocked, |name, value| {
                        section.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
                        Ok::<(), std::convert::Infallible>(())
                    })
                    .map_err(|error| error.to_string())?;
                assert!(sections.insert(stream, section).is_none());
            }
        } else {
            let mut section = Section::new();
            let decoded = decoder
                .decode(*stream, bytes, |name, value| {
                    section.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
                    Ok::<(), std::convert::Infallible>(())
                })
                .map_err(|error| error.to_string())?;
            if decoded == Decoded::Complete {
                assert!(sections.insert(*stream, section).is_none());
            }
        }
        // The instructions of a decoder are the file's to ignore.
        let _ = decoder.poll_instructions();
    }
    Ok(sections)
}

/// The instruction that sets the capacity of the table.
fn set_capacity(capacity: usize) -> Vec<u8> {
    match capacity.checked_sub(31) {
        None => vec![0x20 | capacity as u8],
        Some(rest @ 0..128) => vec![0x3f, rest as u8],
        Some(rest) => vec![0x3f, 0x80 | (rest % 128) as u8, (rest / 128) as u8],
    }
}

/// Whose files there are.
const ENCODERS: [&str; 6] = ["f5", "ls-qpack", "nghttp3", "proxygen", "qthingey", "quinn"];

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn what_other_encoders_wrote_is_decoded() {
    let Some(corpus) = corpus("what_other_encoders_wrote_is_decoded") else {
        return;
    };
    let mut lists = BTreeMap::new();
    for file in files(&corpus.join("qifs")) {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        lists.insert(name, field_list(&file));
    }
    let mut decoded = 0;
    let encoders = ENCODERS.map(|encoder| corpus.join("encoded/qpack-05").join(encoder));
    for file in encoders.iter().flat_map(|dir| files(dir)) {
        let name = file.file_name().unwrap().to_str().unwrap();
        // LIST.out.TABLE.BLOCKED.ACKNOWLEDGED
        let parts: Vec<&str> = name.split('.').collect();
        let [list, "out", table, blocked, _] = parts[..] else {
            panic!("{name}");
        };
        let bytes = std::fs::read(&file).unwrap();
        let mut decoder = Decoder::new(config(table.parse().unwrap(), blocked.parse().unwrap()));
        // In the drafts of that time a table began with its maximum capacity, not with zero.
        decoder
            .on_encoder_stream(&set_capacity(table.parse().unwrap()))
            .unwrap();
        let sections = decode(&mut decoder, &blocks(&bytes))
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let sections: Vec<Section> = sections.into_values().collect();
        assert!(sections == lists[list], "{}", file.display());
        decoded += 1;
    }
    assert_eq!(decoded, 528);
}

#[test]
fn what_is_in_error_is_refused() {
    let Some(corpus) = corpus("what_is_in_error_is_refused") else {
        return;
    };
    let mut refused = 0;
    for file in files(&corpus.join("encoded/errors")) {
        let bytes = std::fs::read(&file).unwrap();
        let result = decode(&mut Decoder::new(config(4096, 100)), &blocks(&bytes));
        match file.file_name().unwrap().to_str().unwrap() {
            // These two are of a time when the static table was that of HPACK, which begins at 1
            // and ends at 61. Their lines exist now, and make no message that could be taken.
            "err9" => {
                let line = (b":authority".to_vec(), Vec::new());
                assert_eq!(result, Ok(BTreeMap::from([(1, vec![line])])));
            }
            "err10" => {
                let line = (b"x-xss-protection".to_vec(), b"1; mode=block".to_vec());
                assert_eq!(result, Ok(BTreeMap::from([(1, vec![line])])));
            }
            name => {
                assert!(result.is_err(), "{name}: {result:?}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 10);
}

/// What a field list becomes, in ten thousandths of its names and values, when every section is
/// acknowledged before the next one.
fn share(sections: &[Section], table: usize, blocked: u64) -> usize {
    let mut encoder = Encoder::new(EncoderConfig::default());
    encoder.on_peer_settings(table as u64, blocked).unwrap();
    let mut decoder = Decoder::new(config(table, blocked));
    let (mut before, mut after) = (0, 0);
    let mut out = BytesMut::new();
    for (number, section) in sections.iter().enumerate() {
        let stream = 4 * number as u64;
        let lines = section.iter().map(|(name, value)| (&name[..], &value[..]));
        let sizes = lines.clone().map(|(name, value)| name.len() + value.len());
        before += sizes.sum::<usize>();
        out.clear();
        encoder.encode(stream, lines, &mut out);
        after += out.len();
        if let Some(instructions) = encoder.poll_instructions() {
            after += instructions.len();
            decoder.on_encoder_stream(&instructions).unwrap();
        }
        let mut decoded = Section::new();
        let result = decoder.decode(stream, &out, |name, value| {
            decoded.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
            Ok::<(), std::convert::Infallible>(())
        });
        assert_eq!(result, Ok(Decoded::Complete));
        assert_eq!(decoded, *section);
        if let Some(instructions) = decoder.poll_instructions() {
            encoder.on_decoder_stream(&instructions).unwrap();
        }
    }
    after * 10_000 / before
}

#[test]
fn our_encoding_is_as_small_as_promised() {
    let Some(corpus) = corpus("our_encoding_is_as_small_as_promised") else {
        return;
    };
    // Of 10,000: acknowledged at once, with 100 blocked streams and with none.
    for (list, most, most_unblocked) in [("fb-req-hq", 2400, 2700), ("fb-resp-hq", 1600, 1900)] {
        let sections = field_list(&corpus.join("qifs").join(list).with_extension("qif"));
        let sizes = [100, 0].map(|blocked| share(&sections, 4096, blocked));
        println!("{list}: {sizes:?} of 10,000");
        assert!(sizes[0] <= most && sizes[1] <= most_unblocked);
    }
}
