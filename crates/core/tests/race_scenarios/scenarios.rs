//! The scenarios, read from the text files beside this one.
//!
//! Each begins with `### ` and its rule, then come the lines of its world
//! ([`crate::world::World`]), then `=>` and the decisions in their order. A line `show TOPIC...`
//! names further kinds of decisions to compare.

/// One scenario.
pub(crate) struct Scenario {
    /// The rule that it shows.
    pub rule: &'static str,
    /// The world's lines.
    pub world: &'static str,
    /// The topics that are compared beside those that always are.
    pub shown: &'static str,
    /// One line a decision: milliseconds, then what was decided and why.
    pub decisions: &'static str,
}

/// All scenarios.
pub(crate) fn all() -> Vec<Scenario> {
    FILES
        .iter()
        .flat_map(|file| file.split("### ").skip(1))
        .map(|block| {
            let (rule, rest) = block.split_once('\n').unwrap();
            let (world, decisions) = rest.split_once("=>\n").unwrap();
            let mut lines = world.lines();
            Scenario {
                rule,
                world,
                shown: lines
                    .find_map(|line| line.strip_prefix("show "))
                    .unwrap_or_default(),
                decisions: decisions.trim(),
            }
        })
        .collect()
}

const FILES: [&str; 6] = [
    include_str!("resolution.txt"),
    include_str!("services.txt"),
    include_str!("order.txt"),
    include_str!("attempts.txt"),
    include_str!("security.txt"),
    include_str!("paths.txt"),
];
