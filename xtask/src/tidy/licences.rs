//! The licences of everything that is linked, against the list in `deny.toml`.
//!
//! Invariant: a crate without a licence expression, or with one that the list cannot satisfy, is
//! a finding. `cargo deny` checks more (advisories, sources) and runs in `cargo xtask full`.

use crate::Outcome;
use crate::repository::Repository;
use cargo_metadata::Metadata;
use serde::Deserialize;

#[derive(Deserialize)]
struct Deny {
    licenses: Licences,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    crate_name: String,
    allow: Vec<String>,
}

/// Checks every package that cargo knows of.
pub(super) fn check(repository: &Repository, metadata: &Metadata) -> Outcome<Vec<String>> {
    let text = repository.read_required("deny.toml")?;
    let deny: Deny = toml::from_str(&text).map_err(|error| vec![format!("deny.toml: {error}")])?;
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let exceptions = deny.licenses.exceptions.iter();
        let mut allowed: Vec<&str> = deny.licenses.allow.iter().map(String::as_str).collect();
        for exception in exceptions.filter(|exception| exception.crate_name == name) {
            allowed.extend(exception.allow.iter().map(String::as_str));
        }
        match &package.license {
            None => findings.push(format!("{name} {}: no licence given", package.version)),
            Some(licence) if !is_satisfied(licence, &allowed) => findings.push(format!(
                "{name} {}: licence {licence} is not on the list of deny.toml",
                package.version
            )),
            Some(_) => {}
        }
    }
    Ok(findings)
}

/// Whether the list satisfies an SPDX expression. What cannot be parsed is not satisfied.
fn is_satisfied(expression: &str, allowed: &[&str]) -> bool {
    // Before SPDX expressions, crates wrote `MIT/Apache-2.0` for a choice.
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser {
        tokens: &tokens,
        allowed,
    };
    let is_satisfied = parser.either();
    is_satisfied == Some(true) && parser.tokens.is_empty()
}

struct Parser<'a> {
    tokens: &'a [&'a str],
    allowed: &'a [&'a str],
}

impl Parser<'_> {
    fn take(&mut self, token: &str) -> bool {
        match self.tokens.split_first() {
            Some((first, rest)) if *first == token => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }

    fn either(&mut self) -> Option<bool> {
        let mut value = self.both()?;
        while self.take("OR") {
            value |= self.both()?;
        }
        Some(value)
    }

    fn both(&mut self) -> Option<bool> {
        let mut value = self.one()?;
        while self.take("AND") {
            value &= self.one()?;
        }
        Some(value)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let value = self.either()?;
            return self.take(")").then_some(value);
        }
        let (licence, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        if self.take("WITH") {
            let (exception, rest) = self.tokens.split_first()?;
            self.tokens = rest;
            let whole = format!("{licence} WITH {exception}");
            return Some(self.allowed.contains(&whole.as_str()));
        }
        Some(self.allowed.contains(licence))
    }
}

#[cfg(test)]
mod tests {
    use super::is_satisfied;

    const ALLOWED: &[&str] = &["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];

    #[test]
    fn one_side_of_a_choice_is_enough() {
        assert!(is_satisfied("GPL-3.0-only OR MIT", ALLOWED));
        assert!(is_satisfied("Unlicense/MIT", ALLOWED));
    }

    #[test]
    fn every_part_of_a_conjunction_is_needed() {
        assert!(is_satisfied("ISC AND (MIT OR OpenSSL)", ALLOWED));
        assert!(!is_satisfied("ISC AND OpenSSL", ALLOWED));
    }

    #[test]
    fn an_exception_is_part_of_the_licence() {
        assert!(is_satisfied("Apache-2.0 WITH LLVM-exception", ALLOWED));
        assert!(!is_satisfied("Apache-2.0", ALLOWED));
    }

    #[test]
    fn nonsense_is_not_satisfied() {
        for nonsense in ["", "MIT OR", "(MIT", "MIT ISC", "MIT WITH"] {
            assert!(!is_satisfied(nonsense, ALLOWED), "{nonsense}");
        }
    }
}
