//! Standard output and standard error, as a Unix tool treats them.
//!
//! Invariant: a reader that goes away is never a panic; colour appears only on a terminal, and
//! never when NO_COLOR says no.

use crate::error::CommandError;
use std::io::{self, ErrorKind, IsTerminal, Write};

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

/// How text for one stream is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    is_coloured: bool,
}

impl Style {
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

    fn set(self, code: &str, text: &str) -> String {
        match self.is_coloured {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}
