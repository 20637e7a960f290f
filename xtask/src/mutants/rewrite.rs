//! Writes a file again so that each of its mutants is a choice made at run time.
//!
//! Invariant: with no mutant switched on, what is written does what the file does; with one, it
//! does what the file would do with that change alone.

use super::list::{Genre, Mutant};
use super::points::{Kind, Place, Places};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;

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

const ACTIVE: &str = "crate::mutant_switch::active()";

/// A file with its switches.
pub(super) struct Rewritten {
    pub(super) text: String,
    marks: Vec<Mark>,
}

/// What was written for some mutants.
struct Mark {
    range: Range<usize>,
    /// Whether it is the change itself, which only one mutant has.
    is_choice: bool,
    mutants: BTreeSet<usize>,
}

impl Rewritten {
    /// The numbers of the mutants that are switched in this file.
    pub(super) fn mutants(&self) -> BTreeSet<usize> {
        let all = self.marks.iter().flat_map(|mark| &mark.mutants);
        all.copied().collect()
    }

    /// The mutants for which the text around this range was written: one, or all of a switch.
    pub(super) fn mutants_at(&self, range: &Range<usize>) -> BTreeSet<usize> {
        let mark = self.mark_at(range);
        mark.map_or_else(BTreeSet::new, |mark| mark.mutants.clone())
    }

    /// The mutant whose change this range is in.
    pub(super) fn choice_at(&self, range: &Range<usize>) -> Option<usize> {
        let mark = self.mark_at(range).filter(|mark| mark.is_choice)?;
        mark.mutants.first().copied()
    }

    fn mark_at(&self, range: &Range<usize>) -> Option<&Mark> {
        let encloses =
            |mark: &&Mark| mark.range.start <= range.start && range.end <= mark.range.end;
        let marks = self.marks.iter().filter(encloses);
        marks.min_by_key(|mark| mark.range.len())
    }
}

/// Switches the mutants of one file that can be, each by its number.
pub(super) fn rewrite(text: &str, mutants: &[(usize, &Mutant)]) -> Result<Rewritten, String> {
    let places = Places::of(text)?;
    let mut switches: BTreeMap<_, Switch> = BTreeMap::new();
    for (number, mutant) in mutants {
        let Some((place, choice)) = choice(text, &places, mutant) else {
            continue;
        };
        // The outer one first.
        let key = (place.range.start, Reverse(place.range.end), place.kind);
        let switch = switches.entry(key).or_insert_with(|| Switch {
            place: place.clone(),
            choices: Vec::new(),
        });
        switch.choices.push((*number, choice));
    }
    let switches: Vec<Switch> = switches.into_values().collect();
    let mut writer = Writer {
        source: text,
        text: String::new(),
        marks: Vec::new(),
    };
    writer.write(0..text.len(), &switches);
    Ok(Rewritten {
        text: writer.text,
        marks: writer.marks,
    })
}

/// Where a mutant is switched, and what is there in its place.
fn choice<'a>(text: &str, places: &'a Places, mutant: &Mutant) -> Option<(&'a Place, String)> {
    let start = places.byte(mutant.span.start.line, mutant.span.start.column)?;
    let end = places.byte(mutant.span.end.line, mutant.span.end.column)?;
    let place = places.get(mutant.genre, start)?;
    let choice = match place.kind {
        Kind::Body => mutant.replacement.clone(),
        Kind::Arm { .. } => String::new(),
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

/// One place with all that can be there.
struct Switch {
    place: Place,
    choices: Vec<(usize, String)>,
}

struct Writer<'a> {
    source: &'a str,
    text: String,
    marks: Vec<Mark>,
}

impl Writer<'_> {
    /// Writes a part of the source with the switches in it, which are sorted.
    fn write(&mut self, range: Range<usize>, switches: &[Switch]) {
        let mut at = range.start;
        let mut rest = switches;
        while let Some((switch, others)) = rest.split_first() {
            let place = &switch.place;
            self.text.push_str(&self.source[at..place.range.start]);
            let inner = others.partition_point(|other| other.place.range.end <= place.range.end);
            // An empty range is before what begins where it is.
            let inner = if place.range.is_empty() { 0 } else { inner };
            self.write_switch(switch, &others[..inner]);
            at = place.range.end;
            rest = &others[inner..];
        }
        self.text.push_str(&self.source[at..range.end]);
    }

    fn write_switch(&mut self, switch: &Switch, inner: &[Switch]) {
        let start = self.text.len();
        let range = switch.place.range.clone();
        match switch.place.kind {
            Kind::Body => {
                let _ = write!(self.text, "match {ACTIVE} {{ ");
                self.write_choices(switch, "return ", "");
                self.text.push_str("_ => {} } ");
                // The body itself was not written for any mutant.
                self.mark(start, switch);
                self.write(range, inner);
                return;
            }
            Kind::Arm { has_guard, has_let } => {
                let word = if has_guard { "" } else { " if " };
                let _ = write!(self.text, "{word}({})", never(switch));
                self.mark(start, switch);
                let (open, close) = match (has_guard, has_let) {
                    (false, _) => ("", ""),
                    (true, false) => (" && (", ")"),
                    (true, true) => (" && ", ""),
                };
                self.text.push_str(open);
                self.write(range, inner);
                self.text.push_str(close);
                return;
            }
            Kind::Value => {
                let _ = write!(self.text, "(match {ACTIVE} {{ ");
                self.write_choices(switch, "(", ")");
                self.text.push_str("_ => (");
                self.write(range, inner);
                self.text.push_str(") })");
            }
        }
        self.mark(start, switch);
    }

    fn write_choices(&mut self, switch: &Switch, open: &str, close: &str) {
        for (number, choice) in &switch.choices {
            let _ = write!(self.text, "{number} => ");
            let start = self.text.len();
            let _ = write!(self.text, "{open}{choice}{close}");
            self.marks.push(Mark {
                range: start..self.text.len(),
                is_choice: true,
                mutants: BTreeSet::from([*number]),
            });
            self.text.push_str(", ");
        }
    }

    fn mark(&mut self, start: usize, switch: &Switch) {
        self.marks.push(Mark {
            range: start..self.text.len(),
            is_choice: false,
            mutants: switch.choices.iter().map(|(number, _)| *number).collect(),
        });
    }
}

/// That no mutant of an arm is switched on.
fn never(switch: &Switch) -> String {
    let numbers = switch.choices.iter().map(|(number, _)| number.to_string());
    let numbers: Vec<String> = numbers.collect();
    format!("!matches!({ACTIVE}, {})", numbers.join(" | "))
}
