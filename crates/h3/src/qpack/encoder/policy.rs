//! Which lines are worth an entry of the dynamic table.
//!
//! Invariant: it holds a bounded history and looks at nothing but names, sizes and what repeats;
//! whatever it answers, the encoding is correct.

use super::table::Line;

/// How a line is best sent when no table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// It is likely to come again: insert it, even if others have to leave.
    Insert,
    /// Insert it if there is room left.
    InsertIfRoom,
    /// It is not likely to come again.
    Literal,
}

/// What was seen lately.
#[derive(Debug, Default)]
pub(super) struct Policy {
    /// Hashes of the last lines that no table had, in a ring.
    seen: Box<[u32]>,
    /// Where the oldest of them is.
    oldest: usize,
}

impl Policy {
    /// Judges a line that no table has, and remembers it. A line that was not seen for longer than
    /// an entry stays in a table of `capacity` bytes is not expected to be seen in time again.
    pub(super) fn judge(&mut self, line: &Line<'_>, capacity: usize) -> Advice {
        if self.seen.is_empty() {
            let length = (capacity / BYTES_REMEMBERED_BY).clamp(HISTORY_MIN, HISTORY_MAX);
            self.seen = vec![0; length].into();
        }
        let is_second_sight = self.seen.contains(&line.line_hash);
        self.seen[self.oldest] = line.line_hash;
        self.oldest = (self.oldest + 1) % self.seen.len();
        match (is_second_sight, habit(line.name)) {
            (true, _) => Advice::Insert,
            (false, Habit::Unknown) => Advice::InsertIfRoom,
            (false, Habit::Varies) => Advice::Literal,
        }
    }
}

/// Whether a value is to be kept out of every table, whatever the application says of it.
///
/// RFC 9204 §7.1.3: whoever can make us send lines and see their length could confirm a guess at a
/// credential that is in the table.
pub(super) fn is_credential(name: &[u8]) -> bool {
    matches!(name, b"authorization" | b"proxy-authorization")
}

/// What is known of a name before anything was seen.
enum Habit {
    /// Each message has its own value.
    Varies,
    Unknown,
}

fn habit(name: &[u8]) -> Habit {
    match name {
        b":path" | b":status" | b"age" | b"content-length" | b"content-range" | b"date"
        | b"etag" | b"expires" | b"if-modified-since" | b"if-none-match" | b"last-modified"
        | b"location" | b"range" | b"set-cookie" => Habit::Varies,
        _ => Habit::Unknown,
    }
}

/// One line is remembered for so many bytes of the table.
const BYTES_REMEMBERED_BY: usize = 128;

const HISTORY_MIN: usize = 16;
const HISTORY_MAX: usize = 256;
