//! Chains that were accepted, so that the same peer's chain need not be verified at each handshake.
//!
//! Invariant: a chain is here only while verifying it again would accept it again. That holds as
//! long as nothing but the time has changed and every certificate that was presented is still
//! valid; so an instance belongs to one policy with one set of algorithms. A policy that looks at
//! revocation must not use it.

use crate::chain::{Presented, Purpose};
use crate::validity;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::ops::RangeInclusive;

/// The chains that one policy has accepted lately.
#[derive(Debug)]
pub struct AcceptedChains {
    /// The one used last is the last one.
    entries: Vec<Entry>,
    chains_max: usize,
}

#[derive(Debug)]
struct Entry {
    end_entity: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    purpose: Purpose,
    name: Option<ServerName<'static>>,
    /// When every certificate is valid, in seconds since 1970.
    valid: RangeInclusive<u64>,
}

impl AcceptedChains {
    /// Keeps at most so many chains; none of them when zero.
    pub fn new(chains_max: usize) -> Self {
        AcceptedChains {
            entries: Vec::new(),
            chains_max,
        }
    }

    /// Whether exactly this was accepted for the same purpose and name, and still would be.
    pub fn contain(
        &mut self,
        presented: Presented<'_>,
        purpose: Purpose,
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> bool {
        let found = self.entries.iter().rposition(|entry| {
            entry.purpose == purpose
                && entry.name.as_ref() == name
                && entry.end_entity == *presented.end_entity
                && entry.intermediates == presented.intermediates
        });
        let Some(index) = found else {
            return false;
        };
        if !self.entries[index].valid.contains(&now.as_secs()) {
            self.entries.remove(index);
            return false;
        }
        self.entries[index..].rotate_left(1);
        true
    }

    /// Takes note of a chain that was accepted. One that is long, or whose dates cannot be read,
    /// is not kept.
    pub fn insert(
        &mut self,
        presented: Presented<'_>,
        purpose: Purpose,
        name: Option<&ServerName<'_>>,
    ) {
        if self.chains_max == 0 {
            return;
        }
        let all = || std::iter::once(presented.end_entity).chain(presented.intermediates);
        if all().map(|certificate| certificate.len()).sum::<usize>() > CHAIN_BYTES_MAX {
            return;
        }
        let valid = all().try_fold(0..=u64::MAX, |valid, certificate| {
            let own = validity::of(certificate)?;
            Some(*valid.start().max(own.start())..=*valid.end().min(own.end()))
        });
        let Some(valid) = valid else {
            return;
        };
        if self.entries.len() >= self.chains_max {
            self.entries.remove(0);
        }
        let owned = |certificate: &CertificateDer<'_>| certificate.clone().into_owned();
        self.entries.push(Entry {
            end_entity: owned(presented.end_entity),
            intermediates: presented.intermediates.iter().map(owned).collect(),
            purpose,
            name: name.map(ServerName::to_owned),
            valid,
        });
    }
}

/// The longest chain that is kept.
const CHAIN_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validity::tests::certificate;
    use std::time::Duration;

    const CHAINS_MAX: usize = 4;
    const SERVER: Purpose = Purpose::ServerAuthentication;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn name(text: &str) -> ServerName<'static> {
        ServerName::try_from(text.to_owned()).expect("a name")
    }

    /// Valid from 100 to 200, and from 150 to 250 seconds.
    fn chain() -> [CertificateDer<'static>; 2] {
        [
            certificate(1, "700101000140Z", "700101000320Z").into(),
            certificate(2, "700101000230Z", "700101000410Z").into(),
        ]
    }

    fn presented<'a>(chain: &'a [CertificateDer<'static>; 2]) -> Presented<'a> {
        Presented {
            end_entity: &chain[0],
            intermediates: &chain[1..],
        }
    }

    #[test]
    fn an_accepted_chain_is_known_while_all_of_it_is_valid() {
        let chain = chain();
        for (time, is_known) in [(149, false), (150, true), (200, true), (201, false)] {
            let mut accepted = AcceptedChains::new(CHAINS_MAX);
            let name = name("a.example");
            accepted.insert(presented(&chain), SERVER, Some(&name));
            let found = accepted.contain(presented(&chain), SERVER, Some(&name), at(time));
            assert_eq!(found, is_known, "at {time}");
        }
    }

    #[test]
    fn anything_else_is_not_known() {
        let (chain, name_a, name_b) = (chain(), name("a.example"), name("b.example"));
        let mut accepted = AcceptedChains::new(CHAINS_MAX);
        accepted.insert(presented(&chain), SERVER, Some(&name_a));
        let now = at(160);
        assert!(!accepted.contain(presented(&chain), SERVER, Some(&name_b), now));
        assert!(!accepted.contain(presented(&chain), SERVER, None, now));
        let client = Purpose::ClientAuthentication;
        assert!(!accepted.contain(presented(&chain), client, Some(&name_a), now));
        let [one, two] = chain.clone();
        assert!(!accepted.contain(presented(&[two, one]), SERVER, Some(&name_a), now));
        let alone = Presented {
            end_entity: &chain[0],
            intermediates: &[],
        };
        assert!(!accepted.contain(alone, SERVER, Some(&name_a), now));
        assert!(accepted.contain(presented(&chain), SERVER, Some(&name_a), now));
    }

    #[test]
    fn the_chain_used_longest_ago_is_forgotten_first() {
        let chains: Vec<_> = (0..=CHAINS_MAX as u8)
            .map(|serial| {
                let end_entity = certificate(serial, "700101000000Z", "800101000000Z");
                [end_entity.into(), chain()[1].clone()]
            })
            .collect();
        let mut accepted = AcceptedChains::new(CHAINS_MAX);
        let now = at(160);
        for chain in &chains[..CHAINS_MAX] {
            accepted.insert(presented(chain), SERVER, None);
        }
        assert!(accepted.contain(presented(&chains[0]), SERVER, None, now));
        accepted.insert(presented(&chains[CHAINS_MAX]), SERVER, None);
        assert!(accepted.contain(presented(&chains[0]), SERVER, None, now));
        assert!(!accepted.contain(presented(&chains[1]), SERVER, None, now));
        assert_eq!(accepted.entries.len(), CHAINS_MAX);
    }

    #[test]
    fn with_a_bound_of_zero_nothing_is_kept() {
        let (chain, mut accepted) = (chain(), AcceptedChains::new(0));
        accepted.insert(presented(&chain), SERVER, None);
        assert!(!accepted.contain(presented(&chain), SERVER, None, at(160)));
    }

    #[test]
    fn a_long_chain_and_one_without_dates_are_not_kept() {
        let mut accepted = AcceptedChains::new(CHAINS_MAX);
        let [end_entity, _] = chain();
        for second in [vec![0x30; CHAIN_BYTES_MAX], vec![0x30, 0]] {
            let chain = [end_entity.clone(), second.into()];
            accepted.insert(presented(&chain), SERVER, None);
            assert!(!accepted.contain(presented(&chain), SERVER, None, at(160)));
        }
    }
}
