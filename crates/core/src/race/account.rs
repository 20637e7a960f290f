//! How a race went, in whatever form is cheapest to keep until somebody asks.
//!
//! Invariant: the report is the one that the machine gives at the moment of the account.

use super::config::History;
use super::machine::Race;
use super::report::Report;
use super::walkover::Walkover;

/// How a race went, and what it learned of addresses.
#[derive(Clone, Debug)]
pub struct Account(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// The machine itself: nothing to be done before somebody asks, but much to keep.
    Race(Box<Race>),
    Told(Box<Told>),
    Walkover(Walkover),
}

#[derive(Clone, Debug)]
struct Told {
    report: Report,
    learned: History,
}

impl Account {
    /// The account of a race as it is now.
    pub fn of(race: &Race) -> Self {
        Account(Kind::Told(Box::new(Told {
            report: race.report(),
            learned: race.learned().clone(),
        })))
    }

    /// The same account in little room, for whoever keeps it.
    #[must_use]
    pub fn condensed(self) -> Self {
        match self.0 {
            Kind::Race(race) => Account::of(&race),
            kind => Account(kind),
        }
    }

    /// The report: the tree, every attempt and every question.
    pub fn report(&self) -> Report {
        match &self.0 {
            Kind::Race(race) => race.report(),
            Kind::Told(told) => told.report.clone(),
            Kind::Walkover(walkover) => walkover.report(),
        }
    }

    /// Adds what was learned to a history.
    pub fn teach(&self, history: &mut History) {
        match &self.0 {
            Kind::Race(race) => history.add(race.learned().clone()),
            Kind::Told(told) => {
                history.add(told.learned.clone());
            }
            Kind::Walkover(walkover) => walkover.teach(history),
        }
    }
}

/// The report is made when it is asked for, or the account [condensed](Account::condensed).
impl From<Box<Race>> for Account {
    fn from(race: Box<Race>) -> Self {
        Account(Kind::Race(race))
    }
}

/// The report is made when it is asked for.
impl From<Walkover> for Account {
    fn from(walkover: Walkover) -> Self {
        Account(Kind::Walkover(walkover))
    }
}

impl From<Report> for Account {
    fn from(report: Report) -> Self {
        Account(Kind::Told(Box::new(Told {
            report,
            learned: History::default(),
        })))
    }
}
