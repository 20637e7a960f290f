//! What a server or proxy asks for: the challenges of RFC 9110 §11.3, several in a field.
//!
//! Invariant: what cannot be read ends the reading of its field and takes nothing back that came
//! before; the number of challenges and of their parameters has a limit.

use http::header::{GetAll, HeaderValue};

/// One challenge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    /// In lower case.
    pub(super) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// A parameter by its name in lower case, without quotes. One that is there twice is not
    /// there: nobody can say which of them is meant.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut found = self.parameters.iter().filter(|(other, _)| other == name);
        let (_, value) = found.next()?;
        found.next().is_none().then_some(&**value)
    }
}

/// The challenges of all fields of a name, in their order.
pub(super) fn challenges(fields: GetAll<'_, HeaderValue>) -> Vec<Challenge> {
    let mut all = Vec::new();
    for field in fields {
        // Field values are not always UTF-8; the letters of a realm may be Latin-1.
        let text: String = match std::str::from_utf8(field.as_bytes()) {
            Ok(text) => text.to_owned(),
            Err(_) => field.as_bytes().iter().map(|byte| *byte as char).collect(),
        };
        read_challenges(&text, &mut all);
    }
    all
}

/// The parameters of a field that is no challenge, such as `Authentication-Info`.
pub(super) fn parameters(text: &str) -> Challenge {
    let mut reader = Reader(text);
    let mut read = Challenge::default();
    loop {
        reader.skip_separators();
        let Some((name, value)) = reader.parameter() else {
            return read;
        };
        read.add(name, value);
    }
}

fn read_challenges(text: &str, all: &mut Vec<Challenge>) {
    let mut reader = Reader(text);
    let mut current: Option<Challenge> = None;
    loop {
        reader.skip_separators();
        if let Some(challenge) = &mut current
            && let Some((name, value)) = reader.parameter()
        {
            challenge.add(name, value);
            continue;
        }
        let scheme = reader.token();
        all.extend(current.take());
        let is_scheme = reader.0.is_empty() || reader.0.starts_with([' ', '\t', ',']);
        if scheme.is_empty() || !is_scheme || all.len() >= CHALLENGES_MAX {
            return;
        }
        current = Some(Challenge {
            scheme: scheme.to_ascii_lowercase(),
            parameters: Vec::new(),
        });
        reader.skip_spaces();
        reader.skip_token68();
    }
}

impl Challenge {
    fn add(&mut self, name: &str, value: String) {
        if self.parameters.len() < PARAMETERS_MAX {
            self.parameters.push((name.to_ascii_lowercase(), value));
        }
    }
}

/// What is left of a field.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn skip_spaces(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn skip_separators(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', ',']);
    }

    fn token(&mut self) -> &'a str {
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        token
    }

    /// `name = value`, unless something else comes; then nothing is read.
    fn parameter(&mut self) -> Option<(&'a str, String)> {
        let mut reader = Reader(self.0);
        let name = reader.token();
        reader.skip_spaces();
        reader.0 = reader.0.strip_prefix('=')?;
        reader.skip_spaces();
        let value = match reader.0.strip_prefix('"') {
            Some(rest) => {
                reader.0 = rest;
                reader.quoted()?
            }
            None => Some(reader.token().to_owned()).filter(|value| !value.is_empty())?,
        };
        self.0 = reader.0;
        Some((name, value)).filter(|_| !name.is_empty())
    }

    /// The rest of a quoted string, its escapes resolved.
    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut characters = self.0.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                other => value.push(other),
            }
        }
        None
    }

    /// Passes over what schemes such as Negotiate have instead of parameters.
    fn skip_token68(&mut self) {
        let is_inside = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
        let end = self.0.find(|c| !is_inside(c)).unwrap_or(self.0.len());
        let rest = self.0[end..].trim_start_matches('=');
        let rest = rest.trim_start_matches([' ', '\t']);
        if end > 0 && (rest.is_empty() || rest.starts_with(',')) {
            self.0 = rest;
        }
    }
}

fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

const CHALLENGES_MAX: usize = 16;
const PARAMETERS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use http::header::WWW_AUTHENTICATE;

    fn read(fields: &[&str]) -> Vec<(String, Vec<(String, String)>)> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(WWW_AUTHENTICATE, field.parse().unwrap());
        }
        let all = challenges(headers.get_all(WWW_AUTHENTICATE));
        let all = all.into_iter().map(|it| (it.scheme, it.parameters));
        all.collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn several_challenges_stand_in_one_field_or_in_several() {
        let one =
            "Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\"\", Basic realm=\"s,i\"";
        let newauth = pairs(&[
            ("realm", "apps"),
            ("type", "1"),
            ("title", "Login to \"apps\""),
        ]);
        let basic = pairs(&[("realm", "s,i")]);
        let expected = [
            ("newauth".to_owned(), newauth),
            ("basic".to_owned(), basic.clone()),
            ("negotiate".to_owned(), vec![]),
            ("ntlm".to_owned(), vec![]),
            ("basic".to_owned(), basic),
        ];
        let more = "Negotiate, NTLM TlRMTVNTUAAB/+==, ,\tBASIC  Realm = \"s,i\"";
        assert_eq!(read(&[one, more]), expected);
    }

    #[test]
    fn what_cannot_be_read_ends_its_field_only() {
        let rows: [(&str, usize); 8] = [
            ("", 0),
            (",,,", 0),
            ("=", 0),
            ("Basic realm=\"open", 1),
            ("Basic realm=\"open\\", 1),
            ("Basic realm=", 1),
            ("Basic realm=\"a\" \"b\", Digest", 1),
            ("Basic abc=", 1),
        ];
        for (field, count) in rows {
            let all = read(&[field, "Bearer"]);
            assert_eq!(all.len(), count + 1, "{field}: {all:?}");
        }
    }

    #[test]
    fn a_parameter_that_is_there_twice_is_not_there() {
        let read = parameters("nextnonce=\"a\", rspauth=b, rspauth=c");
        assert_eq!(read.parameter("nextnonce"), Some("a"));
        assert_eq!(read.parameter("rspauth"), None);
    }

    #[test]
    fn their_number_has_a_limit() {
        assert_eq!(read(&[&"Basic, ".repeat(1000)]).len(), CHALLENGES_MAX);
        let many = format!("Basic {}", "a=b, ".repeat(1000));
        assert_eq!(read(&[&many])[0].1.len(), PARAMETERS_MAX);
    }
}
