//! The locks of what is no member of the workspace: cargo would renew them in silence.
//!
//! Invariant: a lock is found stale only where cargo says so. Without the network, cargo can look
//! where the packages of that workspace have been fetched before; elsewhere it is said that
//! nobody looked.

use crate::Outcome;
use crate::repository::Repository;
use std::process::Command;

/// Checks the lock of every workspace but the first, which is locked by whoever builds it.
pub(super) fn check(repository: &Repository) -> Outcome<Vec<String>> {
    let mut findings = Vec::new();
    let locks = repository.files().iter();
    for lock in locks.filter(|file| file.ends_with("/Cargo.lock")) {
        let manifest = repository.root().join(lock.replace(".lock", ".toml"));
        let output = Command::new("cargo")
            .args(["metadata", "--locked", "--offline", "--format-version=1"])
            .arg("--manifest-path")
            .arg(manifest)
            .output()
            .map_err(|error| vec![format!("cargo metadata: {error}")])?;
        match verdict(
            output.status.success(),
            &String::from_utf8_lossy(&output.stderr),
        ) {
            Verdict::Fits => {}
            Verdict::Stale => findings.push(format!(
                "{lock}: does not fit its manifest; `cargo metadata` there renews it"
            )),
            Verdict::Unknown(reason) => println!("tidy: {lock} was not looked at: {reason}"),
        }
    }
    Ok(findings)
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Fits,
    Stale,
    /// Nobody can tell, for this reason.
    Unknown(String),
}

/// What cargo means by its end and its words.
fn verdict(is_success: bool, said: &str) -> Verdict {
    if is_success {
        return Verdict::Fits;
    }
    if said.contains(STALE) {
        return Verdict::Stale;
    }
    let reason = said.lines().find(|line| line.starts_with("error: "));
    Verdict::Unknown(reason.unwrap_or("cargo gives no reason").to_owned())
}

/// Cargo's words about a lock that it would have to change.
const STALE: &str = "cannot update the lock file";

#[cfg(test)]
mod tests {
    use super::{Verdict, verdict};

    #[test]
    fn only_what_cargo_calls_stale_is_stale() {
        assert_eq!(verdict(true, ""), Verdict::Fits);
        let stale = "error: cannot update the lock file /a/Cargo.lock because --locked was passed";
        assert_eq!(verdict(false, stale), Verdict::Stale);
        let absent = "error: no matching package named `bytes` found\nlocation searched: index";
        let reason = "error: no matching package named `bytes` found".to_owned();
        assert_eq!(verdict(false, absent), Verdict::Unknown(reason));
        assert!(matches!(verdict(false, ""), Verdict::Unknown(_)));
    }
}
