//! The copy of the workspace in which mutants are switched.
//!
//! Invariant: the copy has the files of the repository, some with another text, and no others; a
//! file whose text stays the same is not touched, so that nothing is built twice.

use crate::Outcome;
use crate::repository::Repository;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const TREE: &str = "target/mutants/tree";
const BUILD: &str = "target/mutants/build";

/// Where the copy is.
pub(super) struct Tree {
    root: PathBuf,
    build: PathBuf,
}

impl Tree {
    pub(super) fn of(repository: &Repository) -> Tree {
        Tree {
            root: repository.root().join(TREE),
            build: repository.root().join(BUILD),
        }
    }

    /// The copy's root.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where it is built.
    pub(super) fn build(&self) -> &Path {
        &self.build
    }

    /// Makes the copy, with `changed` in the place of the files that it names.
    pub(super) fn write(
        &self,
        repository: &Repository,
        changed: &BTreeMap<String, String>,
    ) -> Outcome {
        for file in repository.files() {
            let text = match changed.get(file) {
                Some(text) => text.clone().into_bytes(),
                None => fs::read(repository.root().join(file)).map_err(|e| failed(file, &e))?,
            };
            self.write_file(file, &text).map_err(|e| failed(file, &e))?;
        }
        self.prune(&self.root, repository)
            .map_err(|e| failed(TREE, &e))
    }

    fn write_file(&self, file: &str, text: &[u8]) -> std::io::Result<()> {
        let path = self.root.join(file);
        if fs::read(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)
    }

    /// Removes what the repository has no longer.
    fn prune(&self, folder: &Path, repository: &Repository) -> std::io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.prune(&path, repository)?;
                continue;
            }
            let file = path.strip_prefix(&self.root).unwrap_or(&path);
            let file = file.to_string_lossy().replace('\\', "/");
            if repository.files().binary_search(&file).is_err() {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

fn failed(what: &str, error: &std::io::Error) -> Vec<String> {
    vec![format!("{what}: {error}")]
}
