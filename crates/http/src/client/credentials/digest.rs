//! Digest access authentication (RFC 7616), the client's side.
//!
//! Invariant: a nonce count is used once with its nonce; nothing of a password leaves but within a
//! hash with the nonce.

use super::challenge::Challenge;
use aws_lc_rs::digest::{SHA256, SHA512_256, digest};
use md5::{Digest as _, Md5};
use std::fmt::Write as _;

/// What a nonce of a server or proxy is answered with.
#[derive(Clone)]
pub(super) struct Session {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// As the challenge wrote it; none where it wrote nothing.
    algorithm_name: Option<String>,
    /// Whether the hash of the password is one of the nonces too.
    is_session: bool,
    quality: Quality,
    hashes_user: bool,
    is_utf8: bool,
    /// How often the nonce was used.
    count: u32,
    cnonce: String,
    /// The hash of the first answer's nonces with the password, for `-sess`.
    session_key: Option<String>,
}

/// The hash function, the stronger the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5,
    Sha256,
    Sha512_256,
}

/// What is protected beside the method and the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quality {
    /// Before RFC 2617 there was no such thing.
    Unnamed,
    Auth,
    AuthInt,
}

/// What is asked for with an answer.
#[derive(Clone, Copy)]
pub(in crate::client) struct Asked<'a> {
    pub(in crate::client) method: &'a str,
    pub(in crate::client) target: &'a str,
    /// All of the content, where it is there as a whole.
    pub(in crate::client) content: Option<&'a [u8]>,
}

impl Session {
    /// Reads a challenge; `None` where it cannot be answered.
    pub(super) fn new(challenge: &Challenge, cnonce: String) -> Option<Session> {
        let name = challenge.parameter("algorithm");
        let lower = name.unwrap_or("MD5").to_ascii_lowercase();
        let (base, is_session) = match lower.strip_suffix("-sess") {
            Some(base) => (base, true),
            None => (&*lower, false),
        };
        let algorithm = match base {
            "md5" => Algorithm::Md5,
            "sha-256" => Algorithm::Sha256,
            "sha-512-256" => Algorithm::Sha512_256,
            _ => return None,
        };
        let quality = match challenge.parameter("qop") {
            None => Quality::Unnamed,
            Some(offered) => {
                let offers = |quality: &str| {
                    let mut offered = offered.split(',').map(str::trim);
                    offered.any(|it| it.eq_ignore_ascii_case(quality))
                };
                // auth does where both are offered: it needs no content that can be read twice.
                match (offers("auth"), offers("auth-int")) {
                    (true, _) => Quality::Auth,
                    (_, true) => Quality::AuthInt,
                    _ => return None,
                }
            }
        };
        let is_true = |name| challenge.parameter(name).is_some_and(is_yes);
        let charset = challenge.parameter("charset");
        Some(Session {
            realm: challenge.parameter("realm")?.to_owned(),
            nonce: challenge.parameter("nonce")?.to_owned(),
            opaque: challenge.parameter("opaque").map(str::to_owned),
            algorithm,
            algorithm_name: name.map(str::to_owned),
            is_session,
            quality,
            hashes_user: is_true("userhash"),
            is_utf8: charset.is_some_and(|it| it.eq_ignore_ascii_case("utf-8")),
            count: 0,
            cnonce,
            session_key: None,
        })
    }

    /// How strong the hash function is.
    pub(super) fn strength(&self) -> u8 {
        self.algorithm as u8
    }

    /// Takes the nonce that the peer wants to see next (RFC 7616 §3.5).
    pub(super) fn renew(&mut self, nonce: &str, cnonce: String) {
        nonce.clone_into(&mut self.nonce);
        self.cnonce = cnonce;
        self.count = 0;
    }

    /// The value of the field; `None` where the content would be needed and is a stream.
    pub(super) fn answer(&mut self, user: &str, password: &str, asked: &Asked) -> Option<String> {
        let hash = |text: &str| self.algorithm.hash(text.as_bytes());
        let content = match self.quality {
            Quality::AuthInt => Some(self.algorithm.hash(asked.content?)),
            _ => None,
        };
        let encode = |text: &str| self.encode(text);
        let secret = self.algorithm.hash(
            &[
                &*encode(user),
                b":",
                &encode(&self.realm),
                b":",
                &encode(password),
            ]
            .concat(),
        );
        let secret = match (self.is_session, &self.session_key) {
            (false, _) => secret,
            // RFC 7616 §3.4.2: of the first answer only, whatever nonces come after.
            (true, Some(key)) => key.clone(),
            (true, None) => {
                let key = hash(&format!("{secret}:{}:{}", self.nonce, self.cnonce));
                self.session_key = Some(key.clone());
                key
            }
        };
        let hash = |text: &str| self.algorithm.hash(text.as_bytes());
        let Asked { method, target, .. } = asked;
        let asked = match &content {
            Some(content) => hash(&format!("{method}:{target}:{content}")),
            None => hash(&format!("{method}:{target}")),
        };
        self.count = self.count.saturating_add(1);
        let (nonce, cnonce, count) = (&self.nonce, &self.cnonce, self.count);
        let quality = match self.quality {
            Quality::Unnamed => None,
            Quality::Auth => Some("auth"),
            Quality::AuthInt => Some("auth-int"),
        };
        let response = match quality {
            None => hash(&format!("{secret}:{nonce}:{asked}")),
            Some(quality) => hash(&format!(
                "{secret}:{nonce}:{count:08x}:{cnonce}:{quality}:{asked}"
            )),
        };
        Some(self.written(user, target, quality, &response))
    }

    /// The field's value (RFC 7616 §3.4).
    fn written(&self, user: &str, target: &str, quality: Option<&str>, response: &str) -> String {
        let mut out = String::from("Digest ");
        if self.hashes_user {
            let both = [&*self.encode(user), b":", &self.encode(&self.realm)].concat();
            let hashed = self.algorithm.hash(&both);
            let _ = write!(out, "username=\"{hashed}\", userhash=true");
        } else if user.is_ascii() || !self.is_utf8 {
            let _ = write!(out, "username=\"{}\"", escaped(user));
        } else {
            // RFC 7616 §3.4: what is not ASCII is written as RFC 5987 has it.
            let encoded =
                percent_encoding::utf8_percent_encode(user, percent_encoding::NON_ALPHANUMERIC);
            let _ = write!(out, "username*=UTF-8''{encoded}");
        }
        let _ = write!(
            out,
            ", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{response}\"",
            escaped(&self.realm),
            escaped(&self.nonce),
            escaped(target),
        );
        if let Some(name) = &self.algorithm_name {
            let _ = write!(out, ", algorithm={name}");
        }
        if let Some(quality) = quality {
            let (cnonce, count) = (&self.cnonce, self.count);
            let _ = write!(out, ", qop={quality}, nc={count:08x}, cnonce=\"{cnonce}\"");
        }
        if let Some(opaque) = &self.opaque {
            let _ = write!(out, ", opaque=\"{}\"", escaped(opaque));
        }
        out
    }

    /// The bytes that are hashed: UTF-8 where the challenge says so, else Latin-1 as long as that
    /// has the letters, which is what servers without the parameter mean.
    fn encode(&self, text: &str) -> Vec<u8> {
        let latin: Option<Vec<u8>> = match self.is_utf8 {
            true => None,
            false => text.chars().map(|c| u8::try_from(c).ok()).collect(),
        };
        latin.unwrap_or_else(|| text.as_bytes().to_vec())
    }
}

impl Algorithm {
    fn hash(self, bytes: &[u8]) -> String {
        match self {
            Algorithm::Md5 => hex(&Md5::digest(bytes)),
            Algorithm::Sha256 => hex(digest(&SHA256, bytes).as_ref()),
            Algorithm::Sha512_256 => hex(digest(&SHA512_256, bytes).as_ref()),
        }
    }
}

/// Whether a flag of a challenge is set.
pub(super) fn is_yes(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The inside of a quoted string.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests;
