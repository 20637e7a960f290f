//! What a context has learned, for a context of a later process.
//!
//! Invariant: what is read is a hint and nothing else: it orders attempts and shows addresses to
//! servers, it is bounded, and nothing of it decides whom to trust.

use crate::context::Context;
use portway_core::{Failure, FailureKind, Origin};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// Round trips, addresses that were connected to, and tokens that show this host's address to QUIC
/// servers, apart for each network.
///
/// Sessions of TLS are not among it, see [`Context::export_sessions`], nor is which stacks an
/// address did not answer, which is known for minutes only. Alternative services are the HTTP
/// client's, which exports them itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// The present network last.
    pub(crate) networks: Vec<OfNetwork>,
}

/// What was learned on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OfNetwork {
    /// Interfaces with the prefixes of their addresses.
    pub(crate) prefixes: BTreeSet<(String, IpAddr)>,
    pub(crate) rtts: BTreeMap<IpAddr, Duration>,
    pub(crate) used: BTreeSet<IpAddr>,
    /// By server name, the latest one last.
    #[serde(with = "tokens_as_text")]
    pub(crate) tokens: Vec<(String, Vec<u8>)>,
}

/// Tokens by two digits for each byte: numbers, as they were written at first, take twice the room.
/// What is neither is passed over, since whoever has written it may have known more.
mod tokens_as_text {
    use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
    use serde::{Deserialize, Deserializer, Serializer};
    use std::fmt::{self, Write as _};

    pub(super) fn serialize<S: Serializer>(
        tokens: &[(String, Vec<u8>)],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(tokens.iter().map(|(name, token)| {
            let mut text = String::with_capacity(2 * token.len());
            for byte in token {
                let _ = write!(text, "{byte:02x}");
            }
            (name, text)
        }))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(
        from: D,
    ) -> Result<Vec<(String, Vec<u8>)>, D::Error> {
        let tokens = Vec::<(String, Token)>::deserialize(from)?;
        let understood = tokens
            .into_iter()
            .filter_map(|(name, token)| Some((name, token.0?)));
        Ok(understood.collect())
    }

    /// A token that was understood.
    struct Token(Option<Vec<u8>>);

    impl<'a> Deserialize<'a> for Token {
        fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
            match from.is_human_readable() {
                true => from.deserialize_any(AnyForm),
                // Such formats do not tell what comes.
                false => from.deserialize_str(AnyForm),
            }
            .map(Token)
        }
    }

    struct AnyForm;

    impl<'a> Visitor<'a> for AnyForm {
        type Value = Option<Vec<u8>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a token")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            let byte = |pair: &[u8]| {
                let is_hex = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
                let pair = std::str::from_utf8(pair).ok().filter(|_| is_hex)?;
                u8::from_str_radix(pair, 16).ok()
            };
            Ok(text.as_bytes().chunks(2).map(byte).collect())
        }

        fn visit_seq<A: SeqAccess<'a>>(self, mut bytes: A) -> Result<Self::Value, A::Error> {
            let mut token = Some(Vec::new());
            while let Some(byte) = bytes.next_element()? {
                match (&mut token, byte) {
                    (Some(token), Number::Byte(byte)) => token.push(byte),
                    _ => token = None,
                }
            }
            Ok(token)
        }

        fn visit_map<A: MapAccess<'a>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
            while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(None)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Byte(u8),
        Other(#[allow(dead_code, reason = "it is only read over")] IgnoredAny),
    }
}

impl Learned {
    /// As JSON. It tells where this host was and whom it talked to, and the tokens let servers know
    /// it again: keep it like a browser's history.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("maps with text as keys, and numbers")
    }

    /// From what [`Learned::to_json`] gave.
    ///
    /// # Errors
    /// It is not that, or longer than what a context can have learned.
    pub fn from_json(text: &str) -> Result<Learned, Failure> {
        if text.len() > JSON_BYTES_MAX {
            return Err(Failure::new(
                Origin::Local,
                FailureKind::LimitReached,
                format!("more than {JSON_BYTES_MAX} bytes of what was learned"),
            ));
        }
        serde_json::from_str(text).map_err(|error| {
            let detail = format!("not what a context has learned: {error}");
            Failure::new(Origin::Local, FailureKind::InvalidRequest, detail)
        })
    }
}

impl Context {
    /// What this context has learned, for a later process. The tokens go with it and are no longer
    /// here, since a server that sees one twice knows that both clients are one (RFC 9000 §8.1.3).
    pub fn export_learned(&self) -> Learned {
        self.history().export()
    }

    /// Adds what an earlier process has learned. What this context knows itself is kept.
    pub fn import_learned(&self, learned: Learned) {
        self.history().import(learned);
    }

    /// The sessions of TLS and QUIC that could be resumed, for a later process.
    ///
    /// # Errors
    /// Always: the TLS library gives no way to write a client's session down, nor the keys of a
    /// server's tickets. A later process begins with whole handshakes.
    pub fn export_sessions(&self) -> Result<Vec<u8>, Failure> {
        Err(Failure::new(
            Origin::Local,
            FailureKind::Unsupported,
            "rustls 0.23 can neither write down the sessions of a client nor the keys of a \
             server's tickets, so that they end with the process",
        ))
    }
}

/// More than all that is kept of nine networks needs, with the longest names and tokens.
const JSON_BYTES_MAX: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histories::{ADDRESSES_MAX, NETWORKS_MAX};
    use crate::quic::{SERVERS_MAX, TOKEN_BYTES_MAX, TOKENS_PER_SERVER_MAX};
    use std::net::Ipv6Addr;

    #[test]
    fn all_that_is_ever_exported_can_be_imported() {
        let address = |number: usize| IpAddr::from(Ipv6Addr::from_bits(u128::MAX - number as u128));
        let addresses = || (0..ADDRESSES_MAX).map(address);
        let name = |server: usize| format!("{server:0>253}");
        let token = vec![255; TOKEN_BYTES_MAX];
        let names = (0..SERVERS_MAX).flat_map(|at| [at; TOKENS_PER_SERVER_MAX]);
        let tokens: Vec<_> = names.map(|at| (name(at), token.clone())).collect();
        let of = |number: usize| OfNetwork {
            prefixes: [("a-long-interface".to_owned(), address(number))].into(),
            rtts: addresses().map(|it| (it, Duration::MAX)).collect(),
            used: addresses().collect(),
            tokens: tokens.clone(),
        };
        let learned = Learned {
            networks: (0..=NETWORKS_MAX).map(of).collect(),
        };
        let read = Learned::from_json(&learned.to_json());
        assert!(read.expect("within the limit") == learned);
        let longer = " ".repeat(JSON_BYTES_MAX + 1);
        assert_eq!(
            Learned::from_json(&longer).expect_err("too long").kind,
            FailureKind::LimitReached
        );
    }

    #[test]
    fn an_older_export_and_what_is_understood_of_another_are_taken() {
        let tokens = [
            r#"["a","0aFF"]"#,
            // As it was written at first.
            r#"["b",[10,255]]"#,
            r#"["c","0"]"#,
            r#"["c","0g"]"#,
            r#"["c","+1"]"#,
            r#"["c","é"]"#,
            r#"["c",[10,256]]"#,
            r#"["c",[10,"a"]]"#,
            r#"["c",{"kind":[1],"token":"0a"}]"#,
            r#"["c",1]"#,
            r#"["c",-1]"#,
            r#"["c",0.5]"#,
            r#"["c",true]"#,
            r#"["c",null]"#,
            r#"["d",""]"#,
        ];
        let json = format!(
            r#"{{"networks":[{{"tokens":[{}],"used":["::1"],"later":{{}}}}]}}"#,
            tokens.join(",")
        );
        let read = Learned::from_json(&json).expect("it is understood in part");
        let [network] = &read.networks[..] else {
            panic!("one network");
        };
        let token = |name: &str, token: &[u8]| (name.to_owned(), token.to_vec());
        let understood = [
            token("a", &[10, 255]),
            token("b", &[10, 255]),
            token("d", &[]),
        ];
        assert_eq!(network.tokens, understood);
        assert_eq!(network.used.len(), 1);
        let failure = Learned::from_json("[1]").expect_err("nothing of it");
        assert_eq!(failure.kind, FailureKind::InvalidRequest);
    }
}
