//! A Rust file taken apart just far enough to measure it: code and comments, line by line.
//!
//! Invariant: `code` and `comments` have the lines of the original, so line numbers agree.

/// A Rust source with strings and comments told apart from code.
pub(crate) struct Source {
    code: Vec<String>,
    comments: Vec<String>,
}

impl Source {
    /// Takes a source apart.
    pub(crate) fn parse(text: &str) -> Source {
        let mut scrubber = Scrubber::default();
        let characters: Vec<char> = text.chars().collect();
        let mut at = 0;
        while at < characters.len() {
            at += scrubber.step(&characters[at..], at.checked_sub(1).map(|i| characters[i]));
        }
        Source {
            code: scrubber.code.lines().map(str::to_owned).collect(),
            comments: scrubber.comments.lines().map(str::to_owned).collect(),
        }
    }

    /// The lines with all but comments blanked.
    pub(crate) fn comments(&self) -> &[String] {
        &self.comments
    }

    /// The line ranges of modules that exist in tests only, as (first, one past the last).
    pub(crate) fn test_modules(&self) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        let mut line = 0;
        while line < self.code.len() {
            let is_gate = self.code[line].trim_start().starts_with("#[cfg(test)]");
            let end = if is_gate { self.block_end(line) } else { None };
            match end {
                Some(end) => {
                    found.push((line, end));
                    line = end;
                }
                None => line += 1,
            }
        }
        found
    }

    /// The line after the brace that closes the first block opened at or after `line`, if a
    /// block opens before the item ends.
    fn block_end(&self, line: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (index, code) in self.code.iter().enumerate().skip(line) {
            for character in code.chars() {
                match character {
                    ';' if depth == 0 => return None,
                    '{' => depth += 1,
                    '}' => {
                        depth = depth.saturating_sub(1);
                        if depth == 0 {
                            return Some(index + 1);
                        }
                    }
                    _ => {}
                }
            }
        }
        None
    }

    /// Every struct with named fields: its line, its name and how many fields it has.
    pub(crate) fn structs(&self) -> Vec<(usize, String, usize)> {
        let mut found = Vec::new();
        for (line, code) in self.code.iter().enumerate() {
            let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.by_ref().find(|word| *word == "struct").is_none() {
                continue;
            }
            let Some(name) = words.find(|word| !word.is_empty()) else {
                continue;
            };
            found.push((line + 1, name.to_owned(), self.field_count(line)));
        }
        found
    }

    /// The fields of the struct that is declared on `line`: the `name:` at its own depth.
    fn field_count(&self, line: usize) -> usize {
        let mut nesting = 0_i32;
        let mut is_open = false;
        let mut fields = 0;
        let text = self.code[line..].join("\n");
        let mut characters = text.chars().peekable();
        let mut previous = ' ';
        while let Some(character) = characters.next() {
            match character {
                ';' if !is_open && nesting == 0 => return 0,
                '{' if !is_open && nesting == 0 => is_open = true,
                '}' if is_open && nesting == 0 => return fields,
                '{' | '(' | '[' | '<' => nesting += 1,
                '}' | ')' | ']' => nesting -= 1,
                '>' if previous != '-' && previous != '=' => nesting -= 1,
                ':' if is_open
                    && nesting == 0
                    && previous != ':'
                    && characters.peek() != Some(&':') =>
                {
                    fields += 1;
                }
                _ => {}
            }
            previous = character;
        }
        fields
    }

    /// Finds a function that is marked as a test; `Some(true)` when it is ignored by default.
    pub(crate) fn test_function(&self, name: &str) -> Option<bool> {
        self.code.iter().enumerate().find_map(|(line, code)| {
            let after = code.split_once("fn ")?.1.trim_start();
            let rest = after.strip_prefix(name)?;
            if !rest.starts_with(['(', '<']) {
                return None;
            }
            let attributes = self.attributes_above(line);
            attributes
                .contains("test")
                .then(|| attributes.contains("ignore"))
        })
    }

    /// The attributes directly above a line, joined.
    fn attributes_above(&self, line: usize) -> String {
        let above = self.code[..line].iter().rev();
        above
            .map(|code| code.trim())
            .take_while(|code| !code.ends_with([';', '}', '{']))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// The state of taking a source apart.
#[derive(Default)]
struct Scrubber {
    code: String,
    comments: String,
}

impl Scrubber {
    /// Consumes one token and returns its length in characters.
    fn step(&mut self, rest: &[char], previous: Option<char>) -> usize {
        let is_word_before = previous.is_some_and(|c| c.is_alphanumeric() || c == '_');
        match rest {
            ['/', '/', ..] => {
                let length = rest.iter().take_while(|c| **c != '\n').count();
                self.comment(&rest[..length])
            }
            ['/', '*', ..] => {
                let length = block_comment_length(rest);
                self.comment(&rest[..length])
            }
            ['"', ..] => self.blank(&rest[..string_length(rest)]),
            ['r', ..] | ['b', 'r', ..] | ['c', 'r', ..] if !is_word_before => {
                match raw_string_length(rest) {
                    Some(length) => self.blank(&rest[..length]),
                    None => self.keep(rest[0]),
                }
            }
            ['\'', ..] => match character_length(rest) {
                Some(length) => self.blank(&rest[..length]),
                None => self.keep('\''),
            },
            _ => self.keep(rest[0]),
        }
    }

    fn keep(&mut self, character: char) -> usize {
        self.code.push(character);
        self.comments
            .push(if character == '\n' { '\n' } else { ' ' });
        1
    }

    fn comment(&mut self, characters: &[char]) -> usize {
        for character in characters {
            self.code.push(if *character == '\n' { '\n' } else { ' ' });
            self.comments.push(*character);
        }
        characters.len()
    }

    fn blank(&mut self, characters: &[char]) -> usize {
        for character in characters {
            let blank = if *character == '\n' { '\n' } else { ' ' };
            self.code.push(blank);
            self.comments.push(blank);
        }
        characters.len()
    }
}

fn block_comment_length(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

fn string_length(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a raw string literal, or `None` when this only looks like one.
fn raw_string_length(rest: &[char]) -> Option<usize> {
    let prefix = if rest[0] == 'r' { 1 } else { 2 };
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&'"') {
        return None;
    }
    let mut at = open + 1;
    while at < rest.len() {
        let closes = rest[at] == '"' && rest[at + 1..].iter().take(hashes).all(|c| *c == '#');
        if closes && rest.len() > at + hashes {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(rest.len())
}

/// The length of a character literal, or `None` for a lifetime.
fn character_length(rest: &[char]) -> Option<usize> {
    match rest {
        ['\'', '\\', ..] => {
            let close = rest.iter().skip(3).position(|c| *c == '\'')?;
            Some(close + 4)
        }
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_are_not_code() {
        let source = Source::parse("let a = \"{ // no\"; // yes {\nlet b = r#\"\"}\"#; 'x' '\\''");
        assert_eq!(source.code[0].trim_end(), "let a =          ;");
        assert!(source.comments[0].contains("// yes {"));
        assert!(!source.code[1].contains('}'));
    }

    #[test]
    fn lifetimes_stay_code() {
        let source = Source::parse("fn f<'a>(x: &'a str) -> Foo<'a> { x }");
        assert!(source.code[0].ends_with("{ x }"));
    }

    #[test]
    fn fields_of_nested_types_are_not_counted() {
        let source = Source::parse(
            "pub struct A<T: Into<u8>> where T: Copy {\n  a: Vec<(u8, std::net::IpAddr)>,\n  \
             pub b: fn(x: u8) -> u8,\n}\nstruct B;\nstruct C(u8, u16);",
        );
        let fields: Vec<_> = source.structs().into_iter().map(|s| (s.1, s.2)).collect();
        assert_eq!(fields, [("A".into(), 2), ("B".into(), 0), ("C".into(), 0)]);
    }

    #[test]
    fn test_modules_are_found_and_external_ones_left_alone() {
        let source = Source::parse(
            "fn a() {}\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod more {\n  fn b() {}\n}\n",
        );
        assert_eq!(source.test_modules(), [(3, 7)]);
    }

    #[test]
    fn only_marked_functions_are_tests() {
        let source = Source::parse(
            "fn helper() {}\n#[tokio::test]\nasync fn works() {}\n#[test]\n#[ignore = \"x\"]\n\
             fn later() {}\n",
        );
        assert_eq!(source.test_function("helper"), None);
        assert_eq!(source.test_function("works"), Some(false));
        assert_eq!(source.test_function("later"), Some(true));
        assert_eq!(source.test_function("late"), None);
    }
}
