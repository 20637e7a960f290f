//! Writes the text with its switches, and remembers what was written for which mutant.
//!
//! Invariant: switches are nested or apart, never across one another.

use super::points::{Kind, Place, Thawing};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;

const ACTIVE: &str = "crate::mutant_switch::active()";

/// A file with its switches.
pub(super) struct Rewritten {
    pub(super) text: String,
    marks: Vec<Mark>,
    /// Where the value of each constant is written, with where its keyword begins in the source.
    constants: Vec<(Range<usize>, usize)>,
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

    /// The constant whose value this range is in.
    pub(super) fn constant_at(&self, range: &Range<usize>) -> Option<usize> {
        let mut constants = self.constants.iter();
        let constant = constants.find(|(value, _)| encloses(value, range))?;
        Some(constant.1)
    }

    fn mark_at(&self, range: &Range<usize>) -> Option<&Mark> {
        let marks = self.marks.iter();
        let marks = marks.filter(|mark| encloses(&mark.range, range));
        marks.min_by_key(|mark| mark.range.len())
    }
}

fn encloses(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// One place with all that can be there.
pub(super) struct Switch {
    place: Place,
    choices: Vec<(usize, String)>,
}

/// All switches, an outer one before those in it.
#[derive(Default)]
pub(super) struct Switches(BTreeMap<(usize, Reverse<usize>, Kind), Switch>);

impl Switches {
    /// Adds what is at a place when a mutant is switched on.
    pub(super) fn add(&mut self, place: Place, mutant: usize, choice: String) {
        self.at(place).choices.push((mutant, choice));
    }

    /// The switch at a place, where there may be something to write without any mutant.
    pub(super) fn at(&mut self, place: Place) -> &mut Switch {
        let key = (place.range.start, Reverse(place.range.end), place.kind);
        self.0.entry(key).or_insert_with(|| Switch {
            place,
            choices: Vec::new(),
        })
    }

    /// Writes a source again.
    pub(super) fn write(self, source: &str) -> Rewritten {
        let mut writer = Writer {
            source,
            written: Rewritten {
                text: String::new(),
                marks: Vec::new(),
                constants: Vec::new(),
            },
        };
        let switches: Vec<Switch> = self.0.into_values().collect();
        writer.write(0..source.len(), &switches);
        writer.written
    }
}

struct Writer<'a> {
    source: &'a str,
    written: Rewritten,
}

impl Writer<'_> {
    /// Writes a part of the source with the switches in it, which are sorted.
    fn write(&mut self, range: Range<usize>, switches: &[Switch]) {
        let mut at = range.start;
        let mut rest = switches;
        while let Some((switch, others)) = rest.split_first() {
            let place = &switch.place;
            self.written
                .text
                .push_str(&self.source[at..place.range.start]);
            let inner = others.partition_point(|other| other.place.range.end <= place.range.end);
            // An empty range is before what begins where it is.
            let inner = if place.range.is_empty() { 0 } else { inner };
            self.write_switch(switch, &others[..inner]);
            at = place.range.end;
            rest = &others[inner..];
        }
        self.written.text.push_str(&self.source[at..range.end]);
    }

    fn write_switch(&mut self, switch: &Switch, inner: &[Switch]) {
        let start = self.written.text.len();
        let range = switch.place.range.clone();
        match switch.place.kind {
            Kind::Constant(keyword, thawing) => {
                self.write_thawed(range, thawing, inner);
                let value = start..self.written.text.len();
                self.written.constants.push((value, keyword));
                return;
            }
            Kind::Thawed(thawing) => return self.write_thawed(range, thawing, inner),
            Kind::Body => {
                let _ = write!(self.written.text, "match {ACTIVE} {{ ");
                self.write_choices(switch, "return ", "");
                self.written.text.push_str("_ => {} } ");
                // The body itself was not written for any mutant.
                self.mark(start, switch);
                self.write(range, inner);
                return;
            }
            Kind::Scrutinee => self.write(range, inner),
            Kind::Arm {
                has_guard, has_let, ..
            } => {
                let word = if has_guard { "" } else { " if " };
                let _ = write!(self.written.text, "{word}({})", never(switch));
                self.mark(start, switch);
                let (open, close) = match (has_guard, has_let) {
                    (false, _) => ("", ""),
                    (true, false) => (" && (", ")"),
                    (true, true) => (" && ", ""),
                };
                self.written.text.push_str(open);
                self.write(range, inner);
                self.written.text.push_str(close);
                return;
            }
            Kind::Value => {
                let _ = write!(self.written.text, "(match {ACTIVE} {{ ");
                self.write_choices(switch, "(", ")");
                self.written.text.push_str("_ => (");
                self.write(range, inner);
                self.written.text.push_str(") })");
            }
        }
        self.mark(start, switch);
    }

    fn write_thawed(&mut self, range: Range<usize>, thawing: Thawing, inner: &[Switch]) {
        let (open, close) = match thawing {
            Thawing::Frozen => ("", ""),
            Thawing::Between(open, close) => (open, close),
            Thawing::As(text) => return self.written.text.push_str(text),
        };
        self.written.text.push_str(open);
        self.write(range, inner);
        self.written.text.push_str(close);
    }

    fn write_choices(&mut self, switch: &Switch, open: &str, close: &str) {
        for (number, choice) in &switch.choices {
            let _ = write!(self.written.text, "{number} => ");
            let start = self.written.text.len();
            let _ = write!(self.written.text, "{open}{choice}{close}");
            self.written.marks.push(Mark {
                range: start..self.written.text.len(),
                is_choice: true,
                mutants: BTreeSet::from([*number]),
            });
            self.written.text.push_str(", ");
        }
    }

    fn mark(&mut self, start: usize, switch: &Switch) {
        self.written.marks.push(Mark {
            range: start..self.written.text.len(),
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
