//! Where the lines of a text begin.
//!
//! Invariant: bytes, lines and columns are those of one text.

use proc_macro2::LineColumn;
use std::ops::Range;
use syn::spanned::Spanned;

pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Lines<'a> {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        Lines {
            text,
            starts: std::iter::once(0).chain(starts).collect(),
        }
    }

    /// The byte of a line and column that both count from one.
    pub(super) fn byte(&self, line: usize, column: usize) -> Option<usize> {
        let start = *self.starts.get(line.checked_sub(1)?)?;
        let mut characters = self.text[start..].char_indices();
        match characters.nth(column.checked_sub(1)?) {
            Some((offset, _)) => Some(start + offset),
            None => Some(self.text.len()),
        }
    }

    /// The bytes of a part that was parsed from the text.
    pub(super) fn range(&self, part: &impl Spanned) -> Range<usize> {
        let span = part.span();
        self.at(span.start())..self.at(span.end())
    }

    fn at(&self, position: LineColumn) -> usize {
        self.byte(position.line, position.column + 1)
            .expect("the parser counts the lines of this very text")
    }
}
