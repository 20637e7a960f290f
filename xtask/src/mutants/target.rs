//! What is mutated, and which tests have to notice.
//!
//! Invariant: a file belongs to one target at most.

/// Some modules of a package, and the tests of that package which have to notice a change there.
pub(super) struct Target {
    /// As it is called on the command line and in the table.
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    folder: &'static str,
    modules: &'static [&'static str],
    /// For `cargo test`, in the order in which they are run.
    pub(super) tests: &'static [&'static str],
}

const CORE: &[&str] = &["--lib", "--test=race_scenarios"];
const H3: &[&str] = &[
    "--lib",
    "--test=strictness",
    "--test=messages",
    "--test=datagrams",
    "--test=extensions",
    "--test=push",
    "--test=attacks",
    "--test=splits",
];

/// Every target.
pub(super) const TARGETS: &[Target] = &[
    core("race", &["race"]),
    core("plan", &["plan"]),
    core("send_queue", &["send_queue"]),
    h3("qpack", &["qpack"], &["--lib"]),
    h3("frames", &["frame", "capsule", "settings", "varint"], H3),
    h3("fields", &["field", "message", "structured"], H3),
    Target {
        name: "pool",
        package: "portway-http",
        folder: "crates/http/src",
        modules: &["pool"],
        tests: &["--lib"],
    },
];

const fn core(name: &'static str, modules: &'static [&'static str]) -> Target {
    Target {
        name,
        package: "portway-core",
        folder: "crates/core/src",
        modules,
        tests: CORE,
    }
}

const fn h3(
    name: &'static str,
    modules: &'static [&'static str],
    tests: &'static [&'static str],
) -> Target {
    Target {
        name,
        package: "portway-h3",
        folder: "crates/h3/src",
        modules,
        tests,
    }
}

impl Target {
    /// The root of the package's library.
    pub(super) fn library(&self) -> String {
        format!("{}/lib.rs", self.folder)
    }

    /// The package's own folder.
    pub(super) fn package_folder(&self) -> &'static str {
        self.folder.trim_end_matches("/src")
    }

    /// Whether a file is mutated here.
    pub(super) fn contains(&self, file: &str) -> bool {
        let Some(path) = file.strip_prefix(self.folder) else {
            return false;
        };
        let module = path.trim_start_matches('/').trim_end_matches(".rs");
        let module = module.split('/').next().unwrap_or(module);
        self.modules.contains(&module)
    }

    /// The files, as cargo-mutants takes them.
    pub(super) fn file_arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        for module in self.modules {
            for file in [format!("{module}/**"), format!("{module}.rs")] {
                arguments.push("--file".to_owned());
                arguments.push(format!("{}/{file}", self.folder));
            }
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_the_target_of_its_module() {
        let of = |file: &str| -> Vec<&str> {
            let targets = TARGETS.iter().filter(|target| target.contains(file));
            targets.map(|target| target.name).collect()
        };
        assert_eq!(of("crates/core/src/race.rs"), ["race"]);
        assert_eq!(of("crates/core/src/race/plan.rs"), ["race"]);
        assert_eq!(of("crates/h3/src/message/cookie.rs"), ["fields"]);
        assert!(of("crates/h3/src/lib.rs").is_empty());
        assert!(of("crates/core/src/frame.rs").is_empty());
    }
}
