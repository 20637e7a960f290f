//! The arrows between the workspace's crates, and what pure crates are barred from.
//!
//! Invariant: the table is that of docs/ARCHITECTURE.md; a crate without a row is a finding.

use cargo_metadata::{DependencyKind, Metadata, Package};

/// Which crates of the workspace a crate may depend on.
enum Allowed {
    /// These.
    Only(&'static [&'static str]),
    /// Any of them.
    Any,
}

const ARROWS: &[(&str, Allowed)] = &[
    ("portway-core", Allowed::Only(&[])),
    ("portway-security", Allowed::Only(&["portway-core"])),
    (
        "portway-transport",
        Allowed::Only(&["portway-core", "portway-security"]),
    ),
    (
        "portway",
        Allowed::Only(&[
            "portway-core",
            "portway-security",
            "portway-transport",
            "portway-http",
        ]),
    ),
    ("portway-cli", Allowed::Any),
    (
        "portway-sim",
        Allowed::Only(&["portway-core", "portway-transport"]),
    ),
    ("portway-tests", Allowed::Any),
    ("xtask", Allowed::Any),
];

/// Crates that take bytes, time and randomness as arguments.
pub(super) const PURE: &[&str] = &["portway-core", "portway-security"];

/// What would give a pure crate a socket, a clock, a task or a random number.
const BARRED_FROM_PURE: &[&str] = &[
    "async-std",
    "fastrand",
    "getrandom",
    "hyper",
    "libc",
    "mio",
    "nix",
    "rand",
    "rustix",
    "smol",
    "socket2",
    "tokio",
];

/// Evidence that any crate may use in its own tests.
const EVIDENCE: &[&str] = &["portway-sim"];

/// Checks every crate of the workspace.
pub(super) fn check(metadata: &Metadata) -> Vec<String> {
    let packages = metadata.workspace_packages();
    let names: Vec<&str> = packages.iter().map(|p| p.name.as_str()).collect();
    packages
        .iter()
        .flat_map(|package| check_package(package, &names))
        .collect()
}

fn check_package(package: &Package, workspace: &[&str]) -> Vec<String> {
    let name = package.name.as_str();
    let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| *crate_name == name) else {
        return vec![format!(
            "{name}: no row in xtask's table of arrows; add one there and in docs/ARCHITECTURE.md"
        )];
    };
    let mut findings = Vec::new();
    for dependency in &package.dependencies {
        let target = dependency.name.as_str();
        let is_in_tests_only = dependency.kind == DependencyKind::Development;
        if PURE.contains(&name) && !is_in_tests_only && BARRED_FROM_PURE.contains(&target) {
            findings.push(format!("{name}: a pure crate may not depend on {target}"));
        }
        let Allowed::Only(allowed) = allowed else {
            continue;
        };
        let is_allowed = !workspace.contains(&target)
            || allowed.contains(&target)
            || (is_in_tests_only && EVIDENCE.contains(&target));
        if !is_allowed {
            findings.push(format!("{name}: the arrow to {target} is not allowed"));
        }
    }
    findings
}
