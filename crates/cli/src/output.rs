//! Standard output and standard error, as a Unix tool treats them.
//!
//! Invariant: a reader that goes away is never a panic; colour appears only on a terminal, and
//! never when NO_COLOR says no.

use crate::error::CommandError;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;

/// Prints lines on standard output.
///
/// # Errors
/// The reader is gone, or the output cannot be written.
pub(crate) fn print(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .map_err(|error| cannot_write(&error))
}

/// Prints text on standard output as it is.
///
/// # Errors
/// The reader is gone, or the output cannot be written.
pub(crate) fn print_raw(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| cannot_write(&error))
}

/// Tells something on standard error. If nobody listens there is nobody to tell so.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The error of a write to standard output.
pub(crate) fn cannot_write(error: &io::Error) -> CommandError {
    match error.kind() {
        ErrorKind::BrokenPipe => CommandError::OutputClosed,
        _ => CommandError::failed(format!("cannot write to standard output: {error}")),
    }
}

/// Writes a file that was asked for.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write_file(file: &Path, text: &str) -> Result<(), CommandError> {
    std::fs::write(file, text)
        .map_err(|error| CommandError::failed(format!("cannot write {}: {error}", file.display())))
}

/// How text for one stream is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    is_coloured: bool,
}

impl Style {
    /// No colours, for comparisons.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Style { is_coloured: false }
    }

    pub(crate) fn of_stdout() -> Self {
        Style::of(io::stdout().is_terminal())
    }

    pub(crate) fn of_stderr() -> Self {
        Style::of(io::stderr().is_terminal())
    }

    fn of(is_terminal: bool) -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Style {
            is_coloured: is_terminal && !is_set("NO_COLOR") && !is_dumb,
        }
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.set("2", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.set("1", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.set("31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.set("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.set("33", text)
    }

    fn set(self, code: &str, text: &str) -> String {
        match self.is_coloured {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}
