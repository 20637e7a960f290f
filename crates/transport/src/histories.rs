//! What races learned, apart for each network.
//!
//! Invariant: what was measured on one network says nothing of another, which may block other
//! protocols.

use crate::environment::Environment;
use crate::learned::{Learned, OfNetwork};
use crate::quic::AddressTokens;
use portway_core::path::{LocalAddress, Path};
use portway_core::race::History;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// The history of the present network, and those of the networks before it.
#[derive(Debug, Default)]
pub struct Histories {
    /// That of the paths when they were looked at last; `None` where the environment counts none.
    revision: Option<u64>,
    network: Network,
    current: History,
    tokens: AddressTokens,
    /// How often the network has become another one.
    changes: u64,
    /// The latest one last.
    others: Vec<(Network, History, AddressTokens)>,
}

/// A network by what the host sees of it: its interfaces and the prefixes of their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Network(BTreeSet<(String, IpAddr)>);

impl Histories {
    /// Turns to the history of the network that the host is connected to now.
    pub(crate) fn follow(&mut self, environment: &dyn Environment) {
        let revision = environment.paths_revision();
        if revision.is_some() && revision == self.revision {
            return;
        }
        self.revision = revision;
        self.turn_to(Network::of(&environment.paths()));
    }

    /// What servers gave to show this host's address on the present network.
    pub fn address_tokens(&self) -> AddressTokens {
        self.tokens.clone()
    }

    /// How often the network was found to be another one: what is known of one network only is
    /// known until this number changes.
    pub fn network_changes(&self) -> u64 {
        self.changes
    }

    /// What is known of every network, with the tokens, which are taken out.
    pub(crate) fn export(&mut self) -> Learned {
        let of = |network: &Network, history: &History, tokens: &AddressTokens| OfNetwork {
            prefixes: network.0.clone(),
            rtts: history.rtts.clone(),
            used: history.used.clone(),
            tokens: tokens.take_all(),
        };
        let others = self.others.iter();
        let mut networks: Vec<OfNetwork> = others.map(|it| of(&it.0, &it.1, &it.2)).collect();
        networks.push(of(&self.network, &self.current, &self.tokens));
        Learned { networks }
    }

    /// Adds what is not known yet while there is room, the latest network first.
    pub(crate) fn import(&mut self, learned: Learned) {
        for of in learned.networks.into_iter().rev() {
            let network = Network(of.prefixes);
            let known = self.others.iter().position(|it| it.0 == network);
            let (history, tokens) = match known {
                _ if network == self.network => (&mut self.current, &self.tokens),
                Some(index) => {
                    let (_, history, tokens) = &mut self.others[index];
                    (history, &*tokens)
                }
                None if self.others.len() == NETWORKS_MAX => continue,
                None => {
                    // Older than those of this process, and than what was imported before it.
                    self.others
                        .insert(0, (network, Default::default(), Default::default()));
                    let (_, history, tokens) = &mut self.others[0];
                    (history, &*tokens)
                }
            };
            for (address, rtt) in of.rtts {
                if rtt <= RTT_MAX && history.rtts.len() < ADDRESSES_MAX {
                    history.rtts.entry(address).or_insert(rtt);
                }
            }
            for address in of.used {
                if history.used.len() < ADDRESSES_MAX {
                    history.used.insert(address);
                }
            }
            tokens.put_all(of.tokens);
        }
    }

    fn turn_to(&mut self, network: Network) {
        if network == self.network {
            return;
        }
        self.changes += 1;
        let known = self.others.iter().position(|it| it.0 == network);
        let (history, tokens) = match known {
            Some(index) => {
                let (_, history, tokens) = self.others.remove(index);
                (history, tokens)
            }
            None => Default::default(),
        };
        let before = std::mem::replace(&mut self.network, network);
        let learned = std::mem::replace(&mut self.current, history);
        let tokens = std::mem::replace(&mut self.tokens, tokens);
        if self.others.len() == NETWORKS_MAX {
            self.others.remove(0);
        }
        self.others.push((before, learned, tokens));
    }
}

impl Deref for Histories {
    type Target = History;

    fn deref(&self) -> &History {
        &self.current
    }
}

impl DerefMut for Histories {
    fn deref_mut(&mut self) -> &mut History {
        &mut self.current
    }
}

impl Network {
    fn of(paths: &[Path]) -> Self {
        let prefixes = paths.iter().flat_map(|path| {
            let prefixes = path.addresses.iter().map(prefix);
            prefixes.map(|prefix| (path.interface.clone(), prefix))
        });
        Network(prefixes.collect())
    }
}

/// The network part of an address; temporary addresses of one network come and go.
fn prefix(local: &LocalAddress) -> IpAddr {
    let host_bits = |bits: u32| bits.saturating_sub(u32::from(local.prefix_len));
    match local.address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(host_bits(32)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(host_bits(128)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

/// Networks of which something is remembered, beside the present one.
pub(crate) const NETWORKS_MAX: usize = 8;
/// Addresses of one network of which something is remembered.
pub(crate) const ADDRESSES_MAX: usize = 1024;
/// A longer round trip is not believed: timers are computed from it.
const RTT_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn network(interface: &str, address: &str, prefix_len: u8) -> Network {
        let local = LocalAddress {
            address: address.parse().unwrap(),
            prefix_len,
            is_temporary: false,
            is_deprecated: false,
        };
        Network([(interface.to_owned(), prefix(&local))].into())
    }

    #[test]
    fn a_network_is_known_again_by_its_prefix() {
        let home = network("wlan0", "2001:db8:1::17", 64);
        assert_eq!(home, network("wlan0", "2001:db8:1::99", 64));
        assert_ne!(home, network("wlan0", "2001:db8:2::17", 64));
        assert_ne!(home, network("eth0", "2001:db8:1::17", 64));
        let v4 = network("wlan0", "192.0.2.7", 24);
        assert_eq!(v4, network("wlan0", "192.0.2.200", 24));
        assert_ne!(v4, network("wlan0", "192.0.3.7", 24));
        assert_eq!(network("a", "192.0.2.7", 0), network("a", "10.0.0.1", 0));
    }

    #[test]
    fn each_network_keeps_its_own_history_up_to_a_limit() {
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut histories = Histories::default();
        histories.turn_to(network("eth0", "10.0.0.1", 8));
        histories.rtts.insert(address, Duration::from_millis(7));
        histories.turn_to(network("eth0", "11.0.0.1", 8));
        assert!(histories.rtts.is_empty());
        histories.turn_to(network("eth0", "10.0.0.2", 8));
        assert_eq!(histories.rtts.len(), 1);
        assert_eq!(histories.network_changes(), 3);
        histories.turn_to(network("eth0", "10.0.0.3", 8));
        assert_eq!(histories.network_changes(), 3, "it is the same network");
        for other in 20..20 + NETWORKS_MAX + 1 {
            histories.turn_to(network("eth0", &format!("{other}.0.0.1"), 8));
        }
        assert_eq!(histories.others.len(), NETWORKS_MAX);
        histories.turn_to(network("eth0", "10.0.0.1", 8));
        assert!(histories.rtts.is_empty(), "the oldest was forgotten");
    }

    fn learned(networks: impl IntoIterator<Item = (Network, u64)>) -> Learned {
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let of = |(network, seconds): (Network, u64)| OfNetwork {
            prefixes: network.0,
            rtts: [(address, Duration::from_secs(seconds))].into(),
            ..OfNetwork::default()
        };
        Learned {
            networks: networks.into_iter().map(of).collect(),
        }
    }

    #[test]
    fn an_imported_round_trip_that_is_too_long_is_not_believed() {
        let mut histories = Histories::default();
        histories.import(learned([(Network::default(), u64::MAX)]));
        assert!(histories.rtts.is_empty());
        histories.import(learned([(Network::default(), RTT_MAX.as_secs() + 1)]));
        assert!(histories.rtts.is_empty());
        histories.import(learned([(Network::default(), RTT_MAX.as_secs())]));
        assert_eq!(histories.rtts.len(), 1);
    }

    #[test]
    fn an_import_takes_only_the_room_that_is_left() {
        let address = |number: usize| IpAddr::from(Ipv4Addr::from_bits(number as u32));
        let own: Vec<IpAddr> = (1..ADDRESSES_MAX).map(address).collect();
        let mut histories = Histories::default();
        for &address in &own {
            histories.rtts.insert(address, Duration::from_millis(7));
            histories.used.insert(address);
        }
        let strangers = || (ADDRESSES_MAX..2 * ADDRESSES_MAX).map(address);
        let network = OfNetwork {
            rtts: strangers().map(|it| (it, Duration::ZERO)).collect(),
            used: strangers().collect(),
            ..OfNetwork::default()
        };
        histories.import(Learned {
            networks: vec![network],
        });
        assert_eq!(histories.rtts.len(), ADDRESSES_MAX);
        assert_eq!(histories.used.len(), ADDRESSES_MAX);
        for address in &own {
            assert_eq!(histories.rtts[address], Duration::from_millis(7));
            assert!(histories.used.contains(address));
        }
    }

    #[test]
    fn of_too_many_imported_networks_the_latest_ones_are_taken_as_older_than_the_own() {
        let at = |number: usize| network("eth0", &format!("{number}.0.0.1"), 8);
        let mut histories = Histories::default();
        histories.turn_to(at(1));
        histories.import(learned((10..30).map(|number| (at(number), 1))));
        let kept: Vec<&Network> = histories.others.iter().map(|it| &it.0).collect();
        let latest: Vec<Network> = (31 - NETWORKS_MAX..30).map(at).collect();
        let own = Network::default();
        let expected: Vec<&Network> = latest.iter().chain([&own]).collect();
        assert_eq!(kept, expected);
    }
}
