//! The plan as a tree for people.

use super::{Plan, Reason, StackVerdict};
use crate::property::Preference;
use crate::security::SecurityClass;
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.action)?;
        write_list(f, " from ", &self.locals)?;
        write_list(f, " to ", &self.remotes)?;
        for class in self.classes() {
            write!(f, "\n├─ security: {class}")?;
        }
        self.write_paths(f)?;
        f.write_str("\n└─ protocols, the preferred one first")?;
        let mut verdicts: Vec<&StackVerdict> = self.stacks.iter().collect();
        verdicts.sort_by_key(|verdict| verdict.rank.unwrap_or(u32::MAX));
        for (index, verdict) in verdicts.iter().enumerate() {
            let branch = branch(index, verdicts.len());
            let name = verdict.stack.as_str();
            write_verdict(f, ("   ", branch), name, verdict.rank, &verdict.exclusions)?;
            if verdict.is_eligible() {
                write_wishes(f, verdict)?;
            }
        }
        Ok(())
    }
}

impl Plan {
    /// The distinct security classes of the candidates, the strongest first.
    fn classes(&self) -> Vec<&SecurityClass> {
        let mut classes: Vec<&SecurityClass> = Vec::new();
        for candidate in &self.candidates {
            if !classes.contains(&&candidate.security) {
                classes.push(&candidate.security);
            }
        }
        classes
    }

    fn write_paths(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path_verdicts.is_empty() {
            return f.write_str("\n├─ paths: none is known yet");
        }
        f.write_str(if self.pins_paths {
            "\n├─ paths, the preferred one first"
        } else {
            "\n├─ paths, of which the system's routing chooses"
        })?;
        let mut verdicts: Vec<_> = self.path_verdicts.iter().collect();
        verdicts.sort_by_key(|verdict| verdict.rank.unwrap_or(u32::MAX));
        for (index, verdict) in verdicts.iter().enumerate() {
            let branch = branch(index, verdicts.len());
            let name = verdict.interface.as_str();
            write_verdict(f, ("│  ", branch), name, verdict.rank, &verdict.exclusions)?;
        }
        Ok(())
    }
}

fn branch(index: usize, len: usize) -> &'static str {
    if index + 1 == len { "└─" } else { "├─" }
}

fn write_list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    before: &str,
    items: &[T],
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        f.write_str(if index == 0 { before } else { ", " })?;
        write!(f, "{item}")?;
    }
    Ok(())
}

fn write_verdict(
    f: &mut fmt::Formatter<'_>,
    (indent, branch): (&str, &str),
    name: &str,
    rank: Option<u32>,
    exclusions: &[Reason],
) -> fmt::Result {
    write!(f, "\n{indent}{branch} ")?;
    match rank {
        Some(rank) => write!(f, "{}. {name}", u64::from(rank) + 1),
        None => {
            let reasons: Vec<String> = exclusions.iter().map(ToString::to_string).collect();
            write!(f, "out: {name}: {}", reasons.join("; "))
        }
    }
}

/// What the application wished for, and whatever the stack does not fulfil.
fn write_wishes(f: &mut fmt::Formatter<'_>, verdict: &StackVerdict) -> fmt::Result {
    let mut shown = verdict
        .wishes
        .iter()
        .filter(|wish| wish.is_explicit || !wish.is_met);
    shown.try_for_each(|wish| {
        let verb = match wish.level {
            Preference::Avoid => "avoided",
            _ => "preferred",
        };
        let by = if wish.is_explicit { "" } else { " by default" };
        let but = if wish.is_met { "and" } else { "but" };
        write!(f, "; {} is {verb}{by}, {but} {}", wish.property, wish.why)
    })
}
