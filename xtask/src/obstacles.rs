//! What this machine lacks for a step, said in words for the page.
//!
//! Invariant: looking changes nothing.

use std::process::{Command, Stdio};

/// An obstacle when BoringSSL cannot be built, which quiche has in it.
pub(crate) fn no_boringssl() -> Option<String> {
    missing_tool("cmake", "--version").or_else(no_libclang)
}

/// An obstacle when bindgen would find no libclang (Debian: libclang-dev).
fn no_libclang() -> Option<String> {
    let versions = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten();
    let mut libraries = versions.map(|version| version.path().join("lib/libclang.so"));
    let is_named = std::env::var_os("LIBCLANG_PATH").is_some();
    let is_found = is_named || libraries.any(|library| library.exists());
    (!is_found).then(|| "libclang is not installed".to_owned())
}

/// An obstacle when a program cannot be started.
pub(crate) fn missing_tool(program: &str, arguments: &str) -> Option<String> {
    (!starts(program, &arguments.split(' ').collect::<Vec<_>>()))
        .then(|| format!("{program} is not installed"))
}

/// Whether a program starts with these arguments and ends well.
pub(crate) fn starts(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
