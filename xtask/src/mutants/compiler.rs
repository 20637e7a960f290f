//! What cargo and the compiler say while they build the tests.
//!
//! Invariant: an error without a place is never taken for one of a mutant.

use super::target::Target;
use super::tree::Tree;
use crate::Outcome;
use serde::Deserialize;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;

/// Builds a target's tests in the copy.
pub(super) fn compile(tree: &Tree, target: &Target) -> Outcome<Vec<Message>> {
    let output = Command::new("cargo")
        .args(["test", "--no-run", "--message-format=json"])
        .args(["--package", target.package])
        .args(target.tests)
        .env("CARGO_TARGET_DIR", tree.build())
        // A mutant may be code that a lint would deny.
        .env("RUSTFLAGS", "--cap-lints=warn")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        // They run a thousand times.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .current_dir(tree.root())
        .output()
        .map_err(|error| vec![format!("cargo test: {error}")])?;
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let messages: Vec<Message> = messages.collect();
    if !output.status.success() && messages.iter().all(|message| message.error().is_none()) {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(vec![format!("cargo test --no-run: {why}")]);
    }
    Ok(messages)
}

/// The test binaries, the library's first.
pub(super) fn binaries(messages: &[Message]) -> Vec<PathBuf> {
    let tests = messages
        .iter()
        .filter(|message| message.profile.as_ref().is_some_and(|profile| profile.test));
    let mut binaries: Vec<(bool, PathBuf)> = tests
        .filter_map(|message| {
            let kinds = &message.target.as_ref()?.kind;
            let is_library = kinds.iter().any(|kind| kind == "lib");
            Some((!is_library, message.executable.clone()?))
        })
        .collect();
    binaries.sort();
    binaries.into_iter().map(|(_, path)| path).collect()
}

/// A line of `--message-format=json`: the parts of it that matter here.
#[derive(Deserialize)]
pub(super) struct Message {
    message: Option<Diagnostic>,
    executable: Option<PathBuf>,
    profile: Option<Profile>,
    target: Option<Kinds>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Kinds {
    kind: Vec<String>,
}

impl Message {
    /// An error in the code.
    pub(super) fn error(&self) -> Option<&Diagnostic> {
        let diagnostic = self.message.as_ref()?;
        let is_about_code = !diagnostic.spans.is_empty();
        (diagnostic.level == "error" && is_about_code).then_some(diagnostic)
    }
}

/// What the compiler says.
#[derive(Deserialize)]
pub(super) struct Diagnostic {
    level: String,
    message: String,
    code: Option<Code>,
    /// As the compiler would print it.
    pub(super) rendered: String,
    spans: Vec<Spot>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct Spot {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    is_primary: bool,
    expansion: Option<Box<Expansion>>,
}

#[derive(Deserialize)]
struct Expansion {
    span: Spot,
}

impl Diagnostic {
    /// Such as E0277, or nothing.
    pub(super) fn code(&self) -> &str {
        self.code.as_ref().map_or("", |code| &code.code)
    }

    /// Where it is, or what it mentions: a file and bytes of it. What a macro wrote is where the
    /// macro was called.
    pub(super) fn places(&self, is_primary: bool) -> impl Iterator<Item = (&str, Range<usize>)> {
        let spots = self
            .spans
            .iter()
            .filter(move |spot| spot.is_primary == is_primary);
        spots.map(|mut spot| {
            while let Some(expansion) = &spot.expansion {
                spot = &expansion.span;
            }
            (spot.file_name.as_str(), spot.byte_start..spot.byte_end)
        })
    }

    /// The first name that the message quotes, without the path before it.
    pub(super) fn quoted_name(&self) -> Option<&str> {
        let path = self.message.split('`').nth(1)?;
        path.rsplit("::").find(|part| !part.starts_with('<'))
    }

    /// Whether a name stands anywhere in it.
    pub(super) fn mentions(&self, name: &str) -> bool {
        let is_part = |character: char| character.is_alphanumeric() || character == '_';
        self.rendered
            .split(|character| !is_part(character))
            .any(|word| word == name)
    }
}
