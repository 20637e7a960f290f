//! Everything that happens, with the time of each line, as `-v` and `--trace` tell it.

use crate::error::CommandError;
use crate::output::tell;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Where it is told. Clones share the file.
#[derive(Clone)]
pub(super) struct Trace {
    is_verbose: bool,
    file: Option<Arc<Mutex<File>>>,
    started: Instant,
}

impl Trace {
    pub(super) fn new(is_verbose: bool, file: Option<&Path>) -> Result<Self, CommandError> {
        let create = |path: &Path| -> Result<_, CommandError> {
            let file = super::output::create_private(path).map_err(|error| {
                let message = format!("cannot write {}: {error}", path.display());
                CommandError::with_code(super::output::EXIT_WRITE, message)
            })?;
            Ok(Arc::new(Mutex::new(file)))
        };
        Ok(Trace {
            is_verbose,
            file: file.map(create).transpose()?,
            started: Instant::now(),
        })
    }

    /// Whether anybody reads it.
    pub(super) fn is_read(&self) -> bool {
        self.is_verbose || self.file.is_some()
    }

    /// A line for both.
    pub(super) fn tell(&self, line: &str) {
        if self.is_verbose {
            tell(line);
        }
        self.note(line);
    }

    /// A line for the file alone.
    pub(super) fn note(&self, line: &str) {
        if let Some(file) = &self.file {
            let at = self.started.elapsed().as_secs_f64();
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // The transfer is not to fail because its story cannot be told.
            let _ = writeln!(file, "{at:.6} {line}");
        }
    }
}
