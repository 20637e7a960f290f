//! The tree that the gates read: its root, and the files that belong to it.
//!
//! Invariant: a file that version control ignores is never looked at.

use crate::Outcome;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository around this crate.
pub(crate) struct Repository {
    root: PathBuf,
    files: Vec<String>,
}

impl Repository {
    /// Finds the root and lists the files.
    pub(crate) fn open() -> Outcome<Repository> {
        // Cargo says where it runs now; the build may have been elsewhere.
        let manifest = std::env::var("CARGO_MANIFEST_DIR");
        let manifest = manifest.unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
        let root = Path::new(&manifest)
            .parent()
            .ok_or_else(|| vec!["xtask has no parent folder".to_owned()])?
            .to_owned();
        let mut files = match tracked(&root) {
            Some(files) => files,
            None => walk(&root),
        };
        files.retain(|file| root.join(file).is_file());
        files.sort();
        files.dedup();
        Ok(Repository { root, files })
    }

    /// The folder that holds the workspace.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Every file, relative to the root, with `/` between the parts.
    pub(crate) fn files(&self) -> &[String] {
        &self.files
    }

    /// The Rust sources.
    pub(crate) fn rust_files(&self) -> impl Iterator<Item = &String> {
        self.files.iter().filter(|file| file.ends_with(".rs"))
    }

    /// The text of a file, or `None` when it is absent or not text.
    pub(crate) fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.root.join(file)).ok()
    }

    /// The text of a file that must be there.
    pub(crate) fn read_required(&self, file: &str) -> Outcome<String> {
        fs::read_to_string(self.root.join(file)).map_err(|error| vec![format!("{file}: {error}")])
    }

    /// Replaces a file.
    pub(crate) fn write(&self, file: &str, text: &str) -> Outcome {
        fs::write(self.root.join(file), text).map_err(|error| vec![format!("{file}: {error}")])
    }

    /// Whether a file or folder exists.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }
}

/// What version control knows, new files included; `None` outside of a clone.
fn tracked(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().map(str::to_owned).collect())
}

/// Every file below the root, for a source archive without version control.
fn walk(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    folders.push(path);
                }
            } else if let Ok(relative) = path.strip_prefix(root) {
                files.push(relative.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    files
}
