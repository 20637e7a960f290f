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
    ("portway-h3", Allowed::Only(&[])),
    ("portway-security", Allowed::Only(&["portway-core"])),
    (
        "portway-transport",
        Allowed::Only(&["portway-core", "portway-security"]),
    ),
    (
        "portway-http",
        Allowed::Only(&[
            "portway-core",
            "portway-security",
            "portway-transport",
            "portway-h3",
        ]),
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
    ("portway-examples", Allowed::Any),
    ("xtask", Allowed::Any),
];

/// Crates that take bytes, time and randomness as arguments.
pub(super) const PURE: &[&str] = &["portway-core", "portway-h3", "portway-security"];

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

/// Checks every crate of the workspace. `architecture` is the page with the table of crates.
pub(super) fn check(metadata: &Metadata, architecture: &str) -> Vec<String> {
    let packages = metadata.workspace_packages();
    let names: Vec<&str> = packages.iter().map(|p| p.name.as_str()).collect();
    let mut findings = Vec::new();
    for package in &packages {
        findings.extend(check_package(package, &names));
        if !architecture.contains(&format!("| `{}` |", package.name)) {
            findings.push(format!("docs/ARCHITECTURE.md: no row for {}", package.name));
        }
    }
    findings
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

#[cfg(test)]
mod tests {
    use super::check;
    use cargo_metadata::Metadata;

    /// A workspace of one crate with one dependency.
    fn workspace(name: &str, dependency: &str, kind: &str) -> Metadata {
        let package = |name: &str, dependencies: &str| {
            format!(
                r#"{{"name":"{name}","version":"0.1.0","id":"{name}","source":null,
                "dependencies":[{dependencies}],"targets":[],"features":{{}},
                "manifest_path":"/{name}/Cargo.toml","edition":"2024","authors":[]}}"#
            )
        };
        let dependency_json = format!(
            r#"{{"name":"{dependency}","source":null,"req":"*","kind":{kind},"rename":null,
            "optional":false,"uses_default_features":true,"features":[],"target":null}}"#
        );
        let members = match dependency.starts_with("portway") {
            true => format!(r#""{name}","{dependency}""#),
            false => format!(r#""{name}""#),
        };
        let text = format!(
            r#"{{"packages":[{},{}],"workspace_members":[{members}],"resolve":null,
            "target_directory":"/t","workspace_root":"/","version":1,"metadata":null}}"#,
            package(name, &dependency_json),
            package(dependency, "")
        );
        cargo_metadata::MetadataCommand::parse(text).expect("the metadata above is well-formed")
    }

    fn findings(name: &str, dependency: &str, kind: &str) -> Vec<String> {
        let page = format!("| `{name}` |\n| `{dependency}` |");
        check(&workspace(name, dependency, kind), &page)
    }

    #[test]
    fn an_arrow_up_is_found() {
        let found = findings("portway-core", "portway-transport", "null");
        assert_eq!(
            found,
            ["portway-core: the arrow to portway-transport is not allowed"]
        );
        assert!(findings("portway-transport", "portway-core", "null").is_empty());
    }

    #[test]
    fn tests_of_a_crate_may_use_the_simulation() {
        assert!(findings("portway-core", "portway-sim", "\"dev\"").is_empty());
        assert_eq!(findings("portway-core", "portway-sim", "null").len(), 1);
    }

    #[test]
    fn a_pure_crate_gets_no_sockets() {
        assert_eq!(findings("portway-core", "tokio", "null").len(), 1);
        assert!(findings("portway-transport", "tokio", "null").is_empty());
    }

    #[test]
    fn an_unknown_crate_needs_its_rows() {
        let metadata = workspace("portway-new", "serde", "null");
        assert_eq!(check(&metadata, "").len(), 2);
    }
}
