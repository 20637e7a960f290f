//! What the tests of this package share: the command, namespaces, and links between them.
//!
//! Invariant: nothing here decides whether a test passes.

pub mod link;
pub mod namespace;
mod random;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Says something that a passing test must not keep to itself, such as why it could not run: on the
/// real standard error, as the test harness shows what `eprintln!` writes for failing tests only.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => {{
        let line = format!("{}\n", format_args!($($argument)*));
        // Nobody is left to tell when standard error is closed.
        let _ = ::std::io::Write::write_all(&mut ::std::io::stderr(), line.as_bytes());
    }};
}

/// The `portway` command as it stands in this tree, built first; or why there is none.
///
/// # Errors
/// What cargo says.
pub fn command() -> Result<PathBuf, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| Ok(build(&["--package", "portway-cli"])?.join("portway")))
        .clone()
}

/// An example of the package `portway` as it stands in this tree, built first; or why there is
/// none.
///
/// # Errors
/// What cargo says.
pub fn example(name: &str) -> Result<PathBuf, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build(&["--package", "portway", "--examples"]));
    Ok(built.clone()?.join("examples").join(name))
}

/// Builds beside the directory of this test, which is where cargo puts it with the same profile,
/// and gives that directory.
fn build(what: &[&str]) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let profile = own
        .ancestors()
        .nth(2)
        .ok_or("this test is in no target directory")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet"]).args(what);
    cargo
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    cargo
        .arg("--target-dir")
        .arg(profile.parent().ok_or("no target directory")?);
    if profile.file_name().is_some_and(|name| name == "release") {
        cargo.arg("--release");
    }
    let output = cargo.output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(profile.to_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
