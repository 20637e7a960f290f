//! Writes a file again so that each of its mutants is a choice made at run time.
//!
//! Invariant: with no mutant switched on, what is written does what the file does; with one, it
//! does what the file would do with that change alone.

use super::lines::Lines;
use super::list::{Genre, Mutant};
use super::points::{Kind, Place, Places, Thawing};
use super::thaw::{Constants, Thaw};
use super::writer::{Rewritten, Switches};

/// Names the mutant that is switched on, counted from one.
pub(super) const VARIABLE: &str = "PORTWAY_MUTANT";

/// What every library with mutants gets: the number of the mutant that is switched on, or 0.
pub(super) const SWITCH: &str = "
#[doc(hidden)]
mod mutant_switch {
    pub(crate) fn active() -> u32 {
        static ACTIVE: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {
            let number = std::env::var(\"PORTWAY_MUTANT\");
            number.map_or(0, |number| number.parse().expect(\"a number\"))
        });
        *ACTIVE
    }
}
";

/// Switches the mutants of one file that can be, each by its number.
pub(super) fn rewrite(
    text: &str,
    mutants: &[(usize, &Mutant)],
    constants: &Constants,
    thaw: &Thaw,
) -> Result<Rewritten, String> {
    let places = Places::of(text, thaw)?;
    let lines = Lines::of(text);
    let mut switches = Switches::default();
    thawed(constants, thaw, &mut switches);
    for (number, mutant) in mutants {
        let Some((place, choice)) = choice(text, &lines, &places, mutant) else {
            continue;
        };
        switches.add(place.clone(), *number, choice);
        if let Kind::Arm { scrutinee, .. } = place.kind {
            let (range, kind) = (scrutinee.0..scrutinee.1, Kind::Scrutinee);
            switches.add(Place { kind, range }, *number, String::new());
        }
    }
    Ok(switches.write(text))
}

/// What has to be written otherwise for constants to be computed at run time.
fn thawed(constants: &Constants, thaw: &Thaw, switches: &mut Switches) {
    for function in &constants.functions {
        if thaw.functions.contains(&function.keyword.start) {
            let range = function.keyword.clone();
            let kind = Kind::Thawed(Thawing::As(""));
            switches.at(Place { kind, range });
        }
    }
    for item in &constants.items {
        let start = item.keyword.start;
        let mut thawing = Thawing::Frozen;
        if thaw.items.contains(&start) {
            let range = item.keyword.clone();
            let kind = Kind::Thawed(Thawing::As("static"));
            switches.at(Place { kind, range });
            let range = item.of.clone();
            let kind = Kind::Thawed(Thawing::Between("std::sync::LazyLock<", ">"));
            switches.at(Place { kind, range });
            thawing = Thawing::Between("std::sync::LazyLock::new(|| ", ")");
        }
        let range = item.value.clone();
        let kind = Kind::Constant(start, thawing);
        switches.at(Place { kind, range });
    }
}

/// Where a mutant is switched, and what is there in its place.
fn choice<'a>(
    text: &str,
    lines: &Lines<'_>,
    places: &'a Places,
    mutant: &Mutant,
) -> Option<(&'a Place, String)> {
    let start = lines.byte(mutant.span.start.line, mutant.span.start.column)?;
    let end = lines.byte(mutant.span.end.line, mutant.span.end.column)?;
    let place = places.get(mutant.genre, start)?;
    let choice = match place.kind {
        Kind::Body => mutant.replacement.clone(),
        Kind::Arm { .. } => String::new(),
        Kind::Constant(..) | Kind::Thawed(_) | Kind::Scrutinee => return None,
        Kind::Value => {
            if start < place.range.start || place.range.end < end {
                return None;
            }
            let before = &text[place.range.start..start];
            let after = &text[end..place.range.end];
            format!("{before}{}{after}", mutant.replacement)
        }
    };
    let is_expression =
        mutant.genre == Genre::MatchArm || syn::parse_str::<syn::Expr>(&choice).is_ok();
    is_expression.then_some((place, choice))
}
