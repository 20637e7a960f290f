//! Structured fields (RFC 9651 §4.2), as far as HTTP/3 needs them: everything is parsed, so that a
//! broken text is found, but only integers and booleans are kept.
//!
//! Invariant: parsing takes one pass and no memory.

/// A member's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BareItem {
    Integer(i64),
    Boolean(bool),
    /// A value of another type.
    Other,
}

/// Gives every member of a dictionary in its order; `None` when the text is not one.
pub(crate) fn parse_dictionary(text: &[u8], mut visit: impl FnMut(&[u8], BareItem)) -> Option<()> {
    let mut text = Text { rest: text };
    text.skip(|byte| byte == b' ');
    if text.trim_end().is_empty() {
        return Some(());
    }
    loop {
        let key = text.key()?;
        let item = match text.eat(b'=') {
            true => text.member()?,
            false => BareItem::Boolean(true),
        };
        text.parameters(|_, _| {})?;
        visit(key, item);
        text.skip(is_blank);
        if text.rest.is_empty() {
            return Some(());
        }
        if !text.eat(b',') {
            return None;
        }
        text.skip(is_blank);
        // A comma is followed by a member.
        if text.rest.is_empty() {
            return None;
        }
    }
}

/// Gives every member of a list in its order, with the first of its parameters; `None` when the
/// text is not a list.
pub(crate) fn parse_list<'a>(
    text: &'a [u8],
    mut visit: impl FnMut(BareItem, Option<(&'a [u8], BareItem)>),
) -> Option<()> {
    let mut text = Text { rest: text };
    text.skip(|byte| byte == b' ');
    if text.trim_end().is_empty() {
        return Some(());
    }
    loop {
        let item = text.member()?;
        let mut first = None;
        text.parameters(|key, value| first = first.or(Some((key, value))))?;
        visit(item, first);
        text.skip(is_blank);
        if text.rest.is_empty() {
            return Some(());
        }
        if !text.eat(b',') {
            return None;
        }
        text.skip(is_blank);
        if text.rest.is_empty() {
            return None;
        }
    }
}

/// The item that a text is; `None` when it is none.
pub(crate) fn parse_item(text: &[u8]) -> Option<BareItem> {
    let mut text = Text { rest: text };
    text.skip(|byte| byte == b' ');
    let item = text.bare_item()?;
    text.parameters(|_, _| {})?;
    text.skip(|byte| byte == b' ');
    text.rest.is_empty().then_some(item)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

struct Text<'a> {
    rest: &'a [u8],
}

impl<'a> Text<'a> {
    fn trim_end(&self) -> &[u8] {
        let end = self
            .rest
            .iter()
            .rposition(|byte| *byte != b' ')
            .map_or(0, |at| at + 1);
        &self.rest[..end]
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        if is_there {
            self.rest = &self.rest[1..];
        }
        is_there
    }

    fn skip(&mut self, is_skipped: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self
            .rest
            .iter()
            .position(|byte| !is_skipped(*byte))
            .unwrap_or(self.rest.len());
        let (skipped, rest) = self.rest.split_at(end);
        self.rest = rest;
        skipped
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let first = self.peek()?;
        if !first.is_ascii_lowercase() && first != b'*' {
            return None;
        }
        Some(self.skip(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
        }))
    }

    fn member(&mut self) -> Option<BareItem> {
        if !self.eat(b'(') {
            return self.bare_item();
        }
        loop {
            self.skip(|byte| byte == b' ');
            if self.eat(b')') {
                return Some(BareItem::Other);
            }
            self.bare_item()?;
            self.parameters(|_, _| {})?;
            if !matches!(self.peek()?, b' ' | b')') {
                return None;
            }
        }
    }

    fn parameters(&mut self, mut visit: impl FnMut(&'a [u8], BareItem)) -> Option<()> {
        while self.eat(b';') {
            self.skip(|byte| byte == b' ');
            let key = self.key()?;
            let value = match self.eat(b'=') {
                true => self.bare_item()?,
                false => BareItem::Boolean(true),
            };
            visit(key, value);
        }
        Some(())
    }

    fn bare_item(&mut self) -> Option<BareItem> {
        match self.peek()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.skip(|byte| {
                    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
                });
                Some(BareItem::Other)
            }
            b':' => self.bytes(),
            b'?' => {
                self.eat(b'?');
                let is_true = self.eat(b'1');
                (is_true || self.eat(b'0')).then_some(BareItem::Boolean(is_true))
            }
            // RFC 9651 §3.3.7: a date is an integer behind an at sign.
            b'@' => {
                self.eat(b'@');
                match self.number()? {
                    BareItem::Integer(_) => Some(BareItem::Other),
                    _ => None,
                }
            }
            b'%' => self.display_string(),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<BareItem> {
        let is_negative = self.eat(b'-');
        let digits = self.skip(|byte| byte.is_ascii_digit());
        if self.peek() == Some(b'.') {
            self.eat(b'.');
            let fraction = self.skip(|byte| byte.is_ascii_digit());
            let is_decimal = (1..=12).contains(&digits.len()) && (1..=3).contains(&fraction.len());
            return is_decimal.then_some(BareItem::Other);
        }
        if !(1..=15).contains(&digits.len()) {
            return None;
        }
        let value = digits
            .iter()
            .fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
        Some(BareItem::Integer(if is_negative { -value } else { value }))
    }

    fn string(&mut self) -> Option<BareItem> {
        self.eat(b'"');
        loop {
            let byte = self.peek()?;
            self.rest = &self.rest[1..];
            match byte {
                b'"' => return Some(BareItem::Other),
                b'\\' if !(self.eat(b'"') || self.eat(b'\\')) => return None,
                b'\\' | b' '..=b'~' => {}
                _ => return None,
            }
        }
    }

    fn bytes(&mut self) -> Option<BareItem> {
        self.eat(b':');
        self.skip(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        self.eat(b':').then_some(BareItem::Other)
    }

    fn display_string(&mut self) -> Option<BareItem> {
        self.eat(b'%');
        if !self.eat(b'"') {
            return None;
        }
        loop {
            let byte = self.peek()?;
            self.rest = &self.rest[1..];
            match byte {
                b'"' => return Some(BareItem::Other),
                b'%' => {
                    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                    let (pair, rest) = self.rest.split_at_checked(2)?;
                    if !pair.iter().all(is_hex) {
                        return None;
                    }
                    self.rest = rest;
                }
                b' '..=b'~' => {}
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Option<Vec<(String, BareItem)>> {
        let mut members = Vec::new();
        parse_dictionary(text.as_bytes(), |key, item| {
            members.push((String::from_utf8_lossy(key).into_owned(), item));
        })?;
        Some(members)
    }

    #[test]
    fn members_of_every_type_are_parsed() {
        let text = " a=1, b=-15;x=?0, c, d=?0, e=\"q\\\"\\\\\", f=:AA==:, g=tok:en, h=1.25,\
            \ti=(1 \"a\";p b), j=@1659578233, k=%\"f%c3%bc\", *l.m-n_o=0  ";
        let members = members(text).expect("a dictionary");
        let other = BareItem::Other;
        let expected = [
            ("a", BareItem::Integer(1)),
            ("b", BareItem::Integer(-15)),
            ("c", BareItem::Boolean(true)),
            ("d", BareItem::Boolean(false)),
            ("e", other),
            ("f", other),
            ("g", other),
            ("h", other),
            ("i", other),
            ("j", other),
            ("k", other),
            ("*l.m-n_o", BareItem::Integer(0)),
        ];
        let expected: Vec<(String, BareItem)> = expected
            .into_iter()
            .map(|(key, item)| (key.to_owned(), item))
            .collect();
        assert_eq!(members, expected);
    }

    #[test]
    fn nothing_is_an_empty_dictionary() {
        assert_eq!(members(""), Some(vec![]));
        assert_eq!(members("   "), Some(vec![]));
    }

    #[test]
    fn broken_texts_are_refused() {
        for text in [
            ",",
            "a,",
            "a b",
            "a=",
            "a=-",
            "a=1.",
            "a=1.2345",
            "a=1234567890123456",
            "a=\"b",
            "a=\"\\x\"",
            "a=\"\u{e4}\"",
            "a=:A",
            "a=?",
            "a=?2",
            "a=(1",
            "a=(1\"b\")",
            "a;",
            "a;B",
            "a=@1.5",
            "a=@",
            "a=%f",
            "a=%\"%zz\"",
            "a=%\"%c\"",
            "a=%\"",
            "A",
            "1",
            "a=,b",
            "a=!",
        ] {
            assert_eq!(members(text), None, "{text}");
        }
    }

    #[test]
    fn every_cut_of_a_long_text_is_parsed_without_panic() {
        let text = "a=(1 \"b\";c);d=:AA==:, e=%\"%aa\", f=@1, g=?1";
        for cut in 0..text.len() {
            let _ = members(&text[..cut]);
        }
    }

    #[test]
    fn lists_give_their_items_with_the_first_parameter() {
        let mut members = Vec::new();
        parse_list(b"42, 44; ecn-ect0;x=1,46;y=2 , a", |item, first| {
            let name = first.map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), value));
            members.push((item, name));
        })
        .expect("a list");
        let named = |key: &str, value| Some((key.to_owned(), value));
        let expected = [
            (BareItem::Integer(42), None),
            (
                BareItem::Integer(44),
                named("ecn-ect0", BareItem::Boolean(true)),
            ),
            (BareItem::Integer(46), named("y", BareItem::Integer(2))),
            (BareItem::Other, None),
        ];
        assert_eq!(members, expected);
        assert_eq!(parse_list(b"", |_, _| {}), Some(()));
        for text in ["1,", "1 2", ",", "1;", "(1"] {
            assert_eq!(parse_list(text.as_bytes(), |_, _| {}), None, "{text}");
        }
    }

    #[test]
    fn an_item_stands_alone() {
        assert_eq!(parse_item(b" ?1;a=b "), Some(BareItem::Boolean(true)));
        assert_eq!(parse_item(b"?0"), Some(BareItem::Boolean(false)));
        for text in ["", "?1, ?1", "?1 x", "?"] {
            assert_eq!(parse_item(text.as_bytes()), None, "{text}");
        }
    }
}
