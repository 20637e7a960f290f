//! The size of QPACK on the public corpus, from the test that bounds it.
//!
//! Invariant: the figures are those that `crates/h3/tests/qpack_corpus.rs` prints in this run.

use std::process::Command;

/// A field list's size after encoding, in ten thousandths of its names and values.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// The field list.
    pub list: String,
    /// With 100 streams that may be blocked.
    pub blocked: u32,
    /// With none.
    pub unblocked: u32,
}

/// Runs the test.
///
/// # Errors
/// It was skipped, since the corpus is not there, or it did not run.
pub fn run_qpack() -> Result<Vec<Encoded>, String> {
    let output = Command::new("cargo")
        .args(["test", "--quiet", "--package", "portway-h3"])
        .args(["--test", "qpack_corpus", TEST, "--", "--nocapture"])
        .args(["--exact"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let found = parse(&String::from_utf8_lossy(&output.stdout));
    match found.is_empty() {
        false => Ok(found),
        true => {
            let said = String::from_utf8_lossy(&output.stderr);
            let skipped = said.lines().find(|line| line.starts_with("skipped: "));
            let why = skipped.or(said.lines().last()).unwrap_or("it printed none");
            Err(format!("sizes of QPACK: {why}"))
        }
    }
}

/// Lines such as `list: [1, 2] of 10,000`.
fn parse(text: &str) -> Vec<Encoded> {
    let lines = text.lines().filter_map(|line| {
        let (list, sizes) = line.strip_suffix("] of 10,000")?.split_once(": [")?;
        let (blocked, unblocked) = sizes.split_once(", ")?;
        Some(Encoded {
            list: list.to_owned(),
            blocked: blocked.parse().ok()?,
            unblocked: unblocked.parse().ok()?,
        })
    });
    lines.collect()
}

/// The test that prints them.
const TEST: &str = "our_encoding_is_as_small_as_promised";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_found_among_other_lines() {
        let text = "\nrunning 1 test\nfb-req-hq: [2385, 2611] of 10,000\ntest x ... ok\n";
        let expected = Encoded {
            list: "fb-req-hq".to_owned(),
            blocked: 2385,
            unblocked: 2611,
        };
        assert_eq!(parse(text), [expected]);
        assert_eq!(parse("running 1 test\n"), []);
    }
}
