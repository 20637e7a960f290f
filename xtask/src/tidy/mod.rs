//! `cargo xtask tidy`: what a compiler does not check, and a reviewer should not have to.
//!
//! Every check returns findings that name the file; none of them stops the next one.

mod arrows;
mod documents;
mod licences;
mod locks;
mod settings;
mod sources;
mod words;

use crate::repository::Repository;
use crate::{Outcome, verdict};
use cargo_metadata::{Metadata, MetadataCommand};

/// Runs every check.
pub(crate) fn run(repository: &Repository) -> Outcome {
    let mut findings = match metadata(repository) {
        Ok(metadata) => {
            let architecture = repository.read("docs/ARCHITECTURE.md").unwrap_or_default();
            let mut findings = arrows::check(&metadata, &architecture);
            match licences::check(repository, &metadata) {
                Ok(more) | Err(more) => findings.extend(more),
            }
            findings
        }
        Err(findings) => findings,
    };
    match locks::check(repository) {
        Ok(more) | Err(more) => findings.extend(more),
    }
    findings.extend(settings::check(repository));
    findings.extend(sources::check(repository));
    findings.extend(documents::check(repository));
    findings.extend(words::check(repository));
    if findings.is_empty() {
        println!("tidy: {} files in order", repository.files().len());
    }
    verdict(findings)
}

fn metadata(repository: &Repository) -> Outcome<Metadata> {
    MetadataCommand::new()
        .manifest_path(repository.root().join("Cargo.toml"))
        .exec()
        .map_err(|error| vec![format!("cargo metadata: {error}")])
}
