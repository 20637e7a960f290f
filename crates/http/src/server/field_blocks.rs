//! Blocks of fields in HPACK, followed on their way to h2 for one thing: pseudo-fields in trailers,
//! which h2 passes over.
//!
//! Invariant: the table here has the entries of h2's with their sizes, so that an index means the
//! same in both; of a field nothing is kept but its size and whether it is a pseudo-field. What
//! cannot be read is h2's to refuse.

use super::huffman_length::HuffmanLength;
use std::collections::VecDeque;

/// What the blocks of one connection have left, and where the current one is.
#[derive(Debug)]
pub(super) struct FieldBlocks {
    table: VecDeque<Entry>,
    table_bytes: usize,
    table_bytes_max: usize,
    state: State,
    field: Field,
    /// A block could not be followed; h2 ends the connection for it.
    is_lost: bool,
}

/// An entry of the dynamic table.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    name_len: usize,
    bytes: usize,
    is_pseudo: bool,
}

/// The field that is being read.
#[derive(Clone, Copy, Debug, Default)]
struct Field {
    name_len: usize,
    is_pseudo: bool,
    is_kept: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before a field.
    Between,
    /// In an integer that goes on behind its first byte.
    Integer {
        of: Integer,
        value: usize,
        shift: u32,
    },
    /// Before the length of a string.
    Length(Part),
    /// In a string.
    String {
        of: Part,
        left: usize,
        is_first: bool,
        /// The length of what it stands for, where it is coded.
        coded: Option<HuffmanLength>,
        len: usize,
    },
}

/// What an integer says.
#[derive(Clone, Copy, Debug)]
enum Integer {
    Indexed,
    Name,
    TableSize,
    Length { of: Part, is_coded: bool },
}

/// The parts of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Name,
    Value,
}

impl FieldBlocks {
    pub(super) fn new() -> Self {
        FieldBlocks {
            table: VecDeque::new(),
            table_bytes: 0,
            table_bytes_max: TABLE_BYTES_MAX,
            state: State::Between,
            field: Field::default(),
            is_lost: false,
        }
    }

    /// A block begins.
    pub(super) fn begin(&mut self) {
        self.is_lost |= !matches!(self.state, State::Between);
    }

    /// Takes a piece of a block. In trailers, a pseudo-field becomes what nobody can read: index
    /// zero, for which h2 ends the connection. Gives whether it did; where the field began in an
    /// earlier piece, it cannot.
    ///
    /// # Errors
    /// There is a pseudo-field in trailers that nothing was done about.
    pub(super) fn read(&mut self, bytes: &mut [u8], is_trailer: bool) -> Result<bool, PseudoField> {
        let mut began = None;
        let mut at = 0;
        while at < bytes.len() && !self.is_lost {
            if matches!(self.state, State::Between) {
                if !is_trailer {
                    at += self.indexed(&bytes[at..]);
                    if at == bytes.len() {
                        break;
                    }
                }
                began = Some(at);
                self.field = Field::default();
            }
            at += self.step(&bytes[at..]);
            if is_trailer && self.field.is_pseudo {
                // RFC 9113 §8.1: trailers have none; a request with such trailers is malformed.
                self.is_lost = true;
                let first = began.ok_or(PseudoField)?;
                bytes[first] = INDEX_OF_NOTHING;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many fields come first that are an index of one byte, which changes nothing. They are
    /// most of a head.
    fn indexed(&self, bytes: &[u8]) -> usize {
        let last = (STATIC_NAME_LENS.len() + self.table.len()).min(INDEX_OF_ONE_BYTE_MAX);
        let is_known = |byte: &&u8| **byte > 0x80 && usize::from(**byte & 0x7f) <= last;
        bytes.iter().take_while(is_known).count()
    }

    /// Takes some bytes, of which there is one at least; how many.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let byte = bytes[0];
        match self.state {
            State::Between => self.on_first(byte),
            State::Length(of) => {
                let is_coded = byte & 0x80 != 0;
                self.on_prefix(Integer::Length { of, is_coded }, byte, 7);
            }
            State::Integer { of, value, shift } => {
                let bits = usize::from(byte & 0x7f);
                if shift > INTEGER_SHIFT_MAX {
                    self.is_lost = true;
                    return 1;
                }
                let value = value + (bits << shift);
                match byte & 0x80 {
                    0 => self.on_integer(of, value),
                    _ => {
                        let shift = shift + 7;
                        self.state = State::Integer { of, value, shift };
                    }
                }
            }
            State::String {
                of,
                left,
                is_first,
                mut coded,
                len,
            } => {
                let taken = left.min(bytes.len());
                let colon = match coded {
                    // RFC 7541 Appendix B: a colon is 1011100.
                    Some(_) => byte >> 1 == 0b101_1100,
                    None => byte == b':',
                };
                if of == Part::Name && is_first {
                    self.field.is_pseudo = colon;
                }
                // Only what enters the table has a length that counts.
                if let (Some(coded), true) = (&mut coded, self.field.is_kept) {
                    coded.read(&bytes[..taken]);
                }
                match left - taken {
                    0 => self.on_string(of, coded.map_or(len, |coded| coded.decoded())),
                    left => {
                        self.state = State::String {
                            of,
                            left,
                            is_first: false,
                            coded,
                            len,
                        };
                    }
                }
                return taken;
            }
        }
        1
    }

    /// RFC 7541 §6: what a first byte says.
    fn on_first(&mut self, byte: u8) {
        match byte.leading_zeros() {
            0 => self.on_prefix(Integer::Indexed, byte, 7),
            1 => {
                self.field.is_kept = true;
                self.on_prefix(Integer::Name, byte, 6);
            }
            2 => self.on_prefix(Integer::TableSize, byte, 5),
            _ => self.on_prefix(Integer::Name, byte, 4),
        }
    }

    /// RFC 7541 §5.1.
    fn on_prefix(&mut self, of: Integer, byte: u8, bits: u32) {
        let mask = (1 << bits) - 1;
        let value = usize::from(byte & mask);
        if value < usize::from(mask) {
            return self.on_integer(of, value);
        }
        self.state = State::Integer {
            of,
            value,
            shift: 0,
        };
    }

    fn on_integer(&mut self, of: Integer, value: usize) {
        self.state = match of {
            Integer::Indexed => {
                match self.entry(value) {
                    Some(entry) => self.field.is_pseudo = entry.is_pseudo,
                    None => self.is_lost = true,
                }
                State::Between
            }
            Integer::Name if value == 0 => State::Length(Part::Name),
            Integer::Name => {
                match self.entry(value) {
                    Some(entry) => {
                        self.field.is_pseudo = entry.is_pseudo;
                        self.field.name_len = entry.name_len;
                    }
                    None => self.is_lost = true,
                }
                State::Length(Part::Value)
            }
            Integer::TableSize => {
                self.is_lost |= value > TABLE_BYTES_MAX;
                self.table_bytes_max = value;
                self.evict(0);
                State::Between
            }
            Integer::Length { of, .. } if value == 0 => return self.on_string(of, 0),
            Integer::Length { of, is_coded } => State::String {
                of,
                left: value,
                is_first: true,
                coded: is_coded.then(HuffmanLength::default),
                len: value,
            },
        };
    }

    fn on_string(&mut self, of: Part, len: usize) {
        if of == Part::Name {
            self.field.name_len = len;
            self.state = State::Length(Part::Value);
            return;
        }
        self.state = State::Between;
        let Field {
            name_len,
            is_pseudo,
            is_kept,
        } = self.field;
        if !is_kept {
            return;
        }
        // RFC 7541 §4.1 and §4.4: an entry larger than the table empties it.
        let bytes = name_len + len + ENTRY_BYTES;
        self.evict(bytes);
        if bytes <= self.table_bytes_max {
            self.table_bytes += bytes;
            self.table.push_front(Entry {
                name_len,
                bytes,
                is_pseudo,
            });
        }
    }

    /// Makes room, oldest entries first.
    fn evict(&mut self, room: usize) {
        while self.table_bytes + room > self.table_bytes_max {
            let Some(oldest) = self.table.pop_back() else {
                return;
            };
            self.table_bytes -= oldest.bytes;
        }
    }

    /// RFC 7541 §2.3.3: the static table's entries come first.
    fn entry(&self, index: usize) -> Option<Entry> {
        let index = index.checked_sub(1)?;
        match STATIC_NAME_LENS.get(index) {
            Some(len) => Some(Entry {
                name_len: usize::from(*len),
                bytes: 0,
                is_pseudo: index < STATIC_PSEUDO_FIELDS,
            }),
            None => self.table.get(index - STATIC_NAME_LENS.len()).copied(),
        }
    }
}

/// There is a pseudo-field in trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PseudoField;

/// RFC 7541 §6.1: no field has it.
const INDEX_OF_NOTHING: u8 = 0x80;

/// What hyper says of the table, as everybody does who says nothing.
const TABLE_BYTES_MAX: usize = 4096;

/// RFC 7541 §4.1.
const ENTRY_BYTES: usize = 32;

/// Integers of more than four bytes are none of ours.
const INTEGER_SHIFT_MAX: u32 = 21;

/// RFC 7541 Appendix A: those of requests and responses.
const STATIC_PSEUDO_FIELDS: usize = 14;

/// RFC 7541 §5.1: a prefix of seven bits holds no more.
const INDEX_OF_ONE_BYTE_MAX: usize = 126;

/// The lengths of the names in the static table.
const STATIC_NAME_LENS: [u8; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14,
    16, 13, 12, 6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10,
    25, 17, 10, 4, 3, 16,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(first: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, name.len() as u8];
        bytes.extend_from_slice(name);
        bytes.push(value.len() as u8);
        bytes.extend_from_slice(value);
        bytes
    }

    /// What becomes of trailers behind these blocks, in one piece.
    fn trailers(before: &[Vec<u8>], trailers: &[u8]) -> (Result<bool, PseudoField>, Vec<u8>) {
        let mut blocks = FieldBlocks::new();
        for block in before {
            blocks.begin();
            let read = blocks.read(&mut block.clone(), false);
            assert_eq!(
                read,
                Ok(false),
                "pseudo-fields of a head are what they should be"
            );
            assert!(!blocks.is_lost);
        }
        blocks.begin();
        let mut bytes = trailers.to_vec();
        let read = blocks.read(&mut bytes, true);
        (read, bytes)
    }

    #[test]
    fn pseudo_fields_of_trailers_become_what_cannot_be_read() {
        // By index, by a name's index with and without a place in the table, and by name.
        for field in [
            vec![0x82],
            vec![0x41, 1, b'a'],
            vec![0x01, 1, b'a'],
            literal(0x40, b":path", b"/"),
            literal(0x10, b":x", b""),
            // ":path" in the code of Huffman.
            vec![0x40, 0x84, 0xb9, 0x58, 0xd3, 0x3f, 1, b'/'],
        ] {
            let regular = literal(0, b"x", b"y");
            let bytes = [&regular[..], &field].concat();
            let (read, changed) = trailers(&[], &bytes);
            assert_eq!(read, Ok(true), "{field:?}");
            assert_eq!(changed[..regular.len()], regular);
            assert_eq!(changed[regular.len()], INDEX_OF_NOTHING);
        }
    }

    #[test]
    fn fields_of_trailers_pass_unchanged() {
        let fields = [
            literal(0x40, b"checksum", &[b'x'; 100]),
            literal(0, b"x:y", b":method"),
            vec![0xbe, 0x3f, 0xe1, 0x1f, 0xbe],
        ]
        .concat();
        let (read, unchanged) = trailers(&[vec![0x82, 0x84, 0x41, 1, b'a']], &fields);
        assert_eq!((read, unchanged), (Ok(false), fields));
    }

    #[test]
    fn a_reference_to_the_table_means_what_it_means_to_h2() {
        let head = [literal(0x40, b":path", b"/a"), literal(0x40, b"x", b"y")].concat();
        let (read, _) = trailers(std::slice::from_ref(&head), &[0xbe]);
        assert_eq!(read, Ok(false), "the newest is no pseudo-field");
        let (read, _) = trailers(std::slice::from_ref(&head), &[0xbf]);
        assert_eq!(read, Ok(true), "the one before is");
        // A smaller table has lost the oldest one.
        let smaller = vec![0x20 | 30];
        let (read, _) = trailers(&[head.clone(), smaller], &[0xbf]);
        assert_eq!(read, Ok(false), "nobody knows it: h2 refuses it");
        // A table of 4096 bytes keeps 3997 beside an entry of 99, and not one more.
        for (length, is_kept) in [(3997 - 33, true), (3998 - 33, false)] {
            let mut large = vec![0x40, 1, b'z', 0x7f];
            let rest = length - 127;
            large.extend_from_slice(&[0x80 | (rest % 128) as u8, (rest / 128) as u8]);
            large.resize(large.len() + length, b'z');
            let oldest = literal(0x40, b":path", &[b'a'; 99 - 32 - 5]);
            let (read, _) = trailers(&[oldest, large], &[0xbf]);
            assert_eq!(read == Ok(true), is_kept);
        }
    }

    #[test]
    fn what_comes_in_pieces_is_told_even_where_nothing_can_be_changed() {
        let field = literal(0x40, b":path", b"/");
        let mut blocks = FieldBlocks::new();
        let mut told = Vec::new();
        for byte in &field {
            told.push(blocks.read(&mut [*byte], true));
        }
        assert!(told.contains(&Err(PseudoField)), "{told:?}");
    }
}
