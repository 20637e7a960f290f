//! Every input that a fuzzer kept, played again without a fuzzer.
//!
//! Invariant: the bodies are those of the fuzz targets, and no corpus is empty.

use std::path::Path;

#[path = "../../../fuzz/bodies/h3_capsules.rs"]
mod h3_capsules;
#[path = "../../../fuzz/bodies/h3_connection.rs"]
mod h3_connection;
#[path = "../../../fuzz/bodies/h3_fields.rs"]
mod h3_fields;
#[path = "../../../fuzz/bodies/h3_frames.rs"]
mod h3_frames;
#[path = "../../../fuzz/bodies/qpack_decoder.rs"]
mod qpack_decoder;
#[path = "../../../fuzz/bodies/qpack_endpoints.rs"]
mod qpack_endpoints;

/// Runs a body over its corpus, the shortest input first.
fn replay(target: &str, run: impl Fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let directory = root.join(target);
    let files = std::fs::read_dir(&directory).expect("the corpus is in the repository");
    let mut inputs: Vec<(String, Vec<u8>)> = files
        .map(|file| {
            let path = file.expect("a file").path();
            let bytes = std::fs::read(&path).expect("an input");
            (path.display().to_string(), bytes)
        })
        .collect();
    assert!(
        inputs.len() >= 20,
        "{} inputs in {directory:?}",
        inputs.len()
    );
    inputs.sort_by_key(|(name, bytes)| (bytes.len(), name.clone()));
    for (name, bytes) in inputs {
        println!("{name}");
        run(&bytes);
    }
}

#[test]
fn frames_of_the_corpus_are_the_same_in_pieces() {
    replay("h3_frames", h3_frames::run);
}

#[test]
fn fields_of_the_corpus_are_refused_or_sent_again() {
    replay("h3_fields", h3_fields::run);
}

#[test]
fn capsules_of_the_corpus_are_the_same_in_pieces() {
    replay("h3_capsules", h3_capsules::run);
}

#[test]
fn connections_stand_the_corpus() {
    replay("h3_connection", h3_connection::run);
}

#[test]
fn the_decoder_stands_the_corpus() {
    replay("qpack_decoder", qpack_decoder::run);
}

#[test]
fn both_ends_of_qpack_agree_over_the_corpus() {
    replay("qpack_endpoints", qpack_endpoints::run);
}
