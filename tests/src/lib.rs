//! What the tests of this package share: the command, namespaces, and links between them.
//!
//! Invariant: nothing here decides whether a test passes.

pub mod link;
pub mod namespace;
mod random;

use std::net::{TcpListener, UdpSocket};
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

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

/// Where ports are looked for.
const PORTS: Range<u16> = 12_000..32_000;

/// A port of loopback for those who have to be told one. It is below those that systems give to
/// connections by themselves, so that none of the other tests takes it before they do.
///
/// # Panics
/// When none is free.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(211);
    for _ in PORTS {
        let next = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + (next % PORTS.len() as u32) as u16;
        let address = ("127.0.0.1", port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return port;
        }
    }
    panic!("none of the ports {PORTS:?} is free");
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
