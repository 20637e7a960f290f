//! Tokens by which a client shows that it receives at its address (NEW_TOKEN).
//!
//! Invariant: a client shows a token once, a server believes it once, and both keep a bounded
//! number of them.

use bytes::Bytes;
use quinn_proto::{TokenLog, TokenReuseError, TokenStore};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// The tokens that servers gave a client for later connections, by server name. A clone is another
/// handle to the same tokens.
///
/// With one the server need not ask for the client's address to be shown first (Retry), nor is it
/// held to three times of what the client has sent. It also lets the server link both connections,
/// so that tokens of one network should not be used on another one.
#[derive(Clone, Default)]
pub struct AddressTokens(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    by_name: HashMap<String, VecDeque<Bytes>>,
    /// The server that came first is forgotten first.
    names: VecDeque<String>,
}

impl AddressTokens {
    /// How many tokens are kept for this server.
    pub fn count(&self, server_name: &str) -> usize {
        self.locked()
            .by_name
            .get(server_name)
            .map_or(0, VecDeque::len)
    }

    /// Takes all of them with their servers, for a later process.
    pub(crate) fn take_all(&self) -> Vec<(String, Vec<u8>)> {
        let Kept { mut by_name, names } = std::mem::take(&mut *self.locked());
        let taken = names.into_iter().flat_map(|name| {
            let tokens = by_name.remove(&name).unwrap_or_default();
            tokens
                .into_iter()
                .map(move |it| (name.clone(), it.to_vec()))
        });
        taken.collect()
    }

    /// Adds such as an earlier process had while there is room; those that are here are used
    /// first, and none of them gives way. One that is here already is not taken twice.
    pub(crate) fn put_all(&self, tokens: Vec<(String, Vec<u8>)>) {
        let mut kept = self.locked();
        for (name, token) in tokens.into_iter().rev() {
            if !is_kept(&token) {
                continue;
            }
            if !kept.by_name.contains_key(&name) {
                if kept.names.len() >= SERVERS_MAX {
                    continue;
                }
                kept.names.push_front(name.clone());
            }
            let tokens = kept.by_name.entry(name).or_default();
            let is_new = tokens.iter().all(|kept| *kept != token[..]);
            if is_new && tokens.len() < TOKENS_PER_SERVER_MAX {
                tokens.push_front(token.into());
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, Kept> {
        // A panic while holding the lock leaves a store that is merely incomplete.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenStore for AddressTokens {
    fn insert(&self, server_name: &str, token: Bytes) {
        if !is_kept(&token) {
            return;
        }
        let mut kept = self.locked();
        if !kept.by_name.contains_key(server_name) {
            if kept.names.len() >= SERVERS_MAX
                && let Some(first) = kept.names.pop_front()
            {
                kept.by_name.remove(&first);
            }
            kept.names.push_back(server_name.to_owned());
        }
        let tokens = kept.by_name.entry(server_name.to_owned()).or_default();
        if tokens.len() >= TOKENS_PER_SERVER_MAX {
            tokens.pop_front();
        }
        // Not a part of the packet that it came in.
        tokens.push_back(Bytes::copy_from_slice(&token));
    }

    fn take(&self, server_name: &str) -> Option<Bytes> {
        // RFC 9000 §8.1.3: a token that is used twice would tell that both clients are one.
        self.locked().by_name.get_mut(server_name)?.pop_back()
    }
}

impl fmt::Debug for AddressTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressTokens({})", self.locked().names.len())
    }
}

/// The tokens that clients have shown to a server.
#[derive(Default)]
pub(super) struct UsedTokens(Mutex<Used>);

#[derive(Default)]
struct Used {
    nonces: HashSet<u128>,
    /// In the order in which they were shown, with the time at which they were issued.
    shown: VecDeque<(SystemTime, u128)>,
}

impl TokenLog for UsedTokens {
    fn check_and_insert(
        &self,
        nonce: u128,
        issued: SystemTime,
        lifetime: Duration,
    ) -> Result<(), TokenReuseError> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // RFC 9000 §8.1.4: replay is to be prevented. When too many are in use to remember them,
        // nobody is believed any more.
        if used.shown.len() >= USED_MAX {
            let newest = used.shown.iter().map(|(issued, _)| *issued).max();
            let over = newest.and_then(|newest| newest.checked_sub(lifetime));
            let Used { nonces, shown } = &mut *used;
            shown.retain(|(issued, nonce)| {
                let may_come_again = over.is_none_or(|over| *issued >= over);
                may_come_again || !nonces.remove(nonce)
            });
        }
        if used.shown.len() >= USED_MAX || !used.nonces.insert(nonce) {
            return Err(TokenReuseError);
        }
        used.shown.push_back((issued, nonce));
        Ok(())
    }
}

/// A token goes into each Initial packet, so that a long one would leave no room there.
fn is_kept(token: &[u8]) -> bool {
    !token.is_empty() && token.len() <= TOKEN_BYTES_MAX
}

/// A token with more is not kept; those of this driver have less than 64.
pub(crate) const TOKEN_BYTES_MAX: usize = 512;
/// Servers of which a client keeps tokens.
pub(crate) const SERVERS_MAX: usize = 256;
/// Tokens of one server.
pub(crate) const TOKENS_PER_SERVER_MAX: usize = 4;
/// Tokens that a server remembers to have seen.
const USED_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: usize) -> Bytes {
        Bytes::copy_from_slice(&number.to_be_bytes())
    }

    #[test]
    fn a_token_is_taken_once_and_those_of_a_server_are_bounded() {
        let tokens = AddressTokens::default();
        for number in 0..TOKENS_PER_SERVER_MAX + 3 {
            tokens.insert("a", token(number));
        }
        assert_eq!(tokens.count("a"), TOKENS_PER_SERVER_MAX);
        for number in (3..TOKENS_PER_SERVER_MAX + 3).rev() {
            assert_eq!(tokens.take("a"), Some(token(number)));
        }
        assert_eq!(tokens.take("a"), None);
        assert_eq!(tokens.take("b"), None);
    }

    #[test]
    fn servers_are_bounded_and_long_or_empty_tokens_not_kept() {
        let tokens = AddressTokens::default();
        for server in 0..=SERVERS_MAX {
            tokens.insert(&format!("server {server}"), token(server));
        }
        assert_eq!(tokens.locked().by_name.len(), SERVERS_MAX);
        assert_eq!(tokens.take("server 0"), None);
        assert_eq!(tokens.take("server 1"), Some(token(1)));
        tokens.insert("a", Bytes::new());
        tokens.insert("a", Bytes::from(vec![0; TOKEN_BYTES_MAX + 1]));
        assert_eq!(tokens.count("a"), 0);
        tokens.insert("a", Bytes::from(vec![0; TOKEN_BYTES_MAX]));
        assert_eq!(tokens.count("a"), 1);
    }

    #[test]
    fn tokens_of_an_earlier_process_take_only_the_room_that_is_left() {
        let tokens = AddressTokens::default();
        for server in 1..SERVERS_MAX {
            tokens.insert(&format!("server {server}"), token(server));
        }
        let old = |name: &str, number: usize| (name.to_owned(), token(number).to_vec());
        let two = (0..TOKENS_PER_SERVER_MAX + 2).map(|number| old("server 2", 1000 + number));
        let others = (0..10).map(|number| old(&format!("other {number}"), number));
        tokens.put_all(two.chain(others).collect());
        assert_eq!(tokens.count("server 2"), TOKENS_PER_SERVER_MAX);
        assert_eq!(tokens.take("server 2"), Some(token(2)), "its own");
        let latest = 1000 + TOKENS_PER_SERVER_MAX + 1;
        assert_eq!(
            tokens.take("server 2"),
            Some(token(latest)),
            "then the latest"
        );
        assert_eq!(tokens.locked().names.len(), SERVERS_MAX);
        assert_eq!(tokens.count("other 9"), 1, "the latest of those that came");
        for server in 3..SERVERS_MAX {
            assert_eq!(tokens.count(&format!("server {server}")), 1);
        }
    }

    #[test]
    fn tokens_that_come_again_are_kept_once() {
        let tokens = AddressTokens::default();
        tokens.insert("a", token(1));
        let earlier = || [0, 1, 2, 2].map(|number| ("a".to_owned(), token(number).to_vec()));
        for _ in 0..2 {
            tokens.put_all(earlier().into());
        }
        let taken: Vec<_> = std::iter::from_fn(|| tokens.take("a")).collect();
        assert_eq!(taken, [1, 2, 0].map(token));
    }

    #[test]
    fn a_server_believes_a_token_once_and_remembers_a_bounded_number() {
        let (used, lifetime) = (UsedTokens::default(), Duration::from_secs(100));
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        for nonce in 0..USED_MAX as u128 {
            assert!(used.check_and_insert(nonce, start, lifetime).is_ok());
        }
        assert!(used.check_and_insert(7, start, lifetime).is_err());
        // Full: nobody is believed until the old ones are over.
        assert!(used.check_and_insert(u128::MAX, start, lifetime).is_err());
        let mut later = used.0.lock().unwrap();
        later.shown[0].0 = start + lifetime * 2;
        drop(later);
        assert!(used.check_and_insert(u128::MAX, start, lifetime).is_ok());
        assert_eq!(used.0.lock().unwrap().shown.len(), 2);
        assert_eq!(used.0.lock().unwrap().nonces.len(), 2);
    }
}
