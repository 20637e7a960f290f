//! Which targets no proxy is for, as `no_proxy` says it.
//!
//! Invariant: what cannot be read as an address or network is the end of a name; nothing widens a
//! rule beyond the dots of names and the bits of addresses.

use std::net::IpAddr;

/// Targets that are reached directly.
#[derive(Clone, Debug, Default)]
pub(super) struct Bypass {
    is_everything: bool,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    whom: Whom,
    port: Option<u16>,
}

#[derive(Clone, Debug)]
enum Whom {
    /// This name and all below, in lower case.
    Name(String),
    /// Addresses that begin with as many bits as this one.
    Network(IpAddr, u32),
}

impl Bypass {
    /// Adds rules that commas or spaces separate.
    pub(super) fn add(&mut self, rules: &str) {
        for rule in rules
            .split([',', ' ', '\t'])
            .filter(|rule| !rule.is_empty())
        {
            match rule {
                "*" => self.is_everything = true,
                _ => self.rules.extend(Rule::parse(rule)),
            }
        }
    }

    /// Whether a target is reached directly. `address` is the host, where that is one.
    pub(super) fn covers(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        let covers = |rule: &Rule| rule.covers(host, address, port);
        self.is_everything || self.rules.iter().any(covers)
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Rule> {
        if let Some(whom) = Whom::network(text) {
            return Some(Rule { whom, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let whom = Whom::network(host).or_else(|| Whom::name(host))?;
        Some(Rule { whom, port })
    }

    fn covers(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        if self.port.is_some_and(|only| only != port) {
            return false;
        }
        match (&self.whom, address) {
            (Whom::Network(network, bits), Some(address)) => {
                is_inside(address.to_canonical(), *network, *bits)
            }
            (Whom::Name(suffix), None) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                match host.strip_suffix(&**suffix) {
                    Some(before) => before.is_empty() || before.ends_with('.'),
                    None => false,
                }
            }
            _ => false,
        }
    }
}

impl Whom {
    fn network(text: &str) -> Option<Whom> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address = address.trim_start_matches('[').trim_end_matches(']');
        let address: IpAddr = address.parse().ok()?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(all);
        (bits <= all).then_some(Whom::Network(address, bits))
    }

    fn name(text: &str) -> Option<Whom> {
        // `.example`, `*.example` and `example` mean the same, as for curl.
        let name = text.strip_prefix('*').unwrap_or(text);
        let name = name.trim_matches('.').to_ascii_lowercase();
        let is_name = !name.is_empty() && !name.contains(['/', ':', '*']);
        is_name.then_some(Whom::Name(name))
    }
}

fn is_inside(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let differ = address.to_bits() ^ network.to_bits();
            differ.leading_zeros() >= bits
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let differ = address.to_bits() ^ network.to_bits();
            differ.leading_zeros() >= bits
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cover_what_is_below_and_addresses_their_network() {
        let rules = "localhost,.example  corp.test:8443,*.wild.test 10.0.0.0/8,192.0.2.7\t\
                     2001:db8::/32,[::1]:443,0.0.0.0/33,x/y,:,.";
        let mut bypass = Bypass::default();
        bypass.add(rules);
        let rows = [
            ("localhost", 80, true),
            ("LOCALHOST.", 80, true),
            ("a.localhost", 80, true),
            ("notlocalhost", 80, false),
            ("example", 80, true),
            ("www.Example", 443, true),
            ("example.org", 443, false),
            ("corp.test", 8443, true),
            ("corp.test", 443, false),
            ("a.wild.test", 1, true),
            ("10.255.0.1", 80, true),
            ("11.0.0.1", 80, false),
            ("192.0.2.7", 80, true),
            ("192.0.2.8", 80, false),
            ("2001:db8:1::1", 80, true),
            ("2001:db9::1", 80, false),
            ("::1", 443, true),
            ("::1", 80, false),
            ("::ffff:10.0.0.1", 80, true),
        ];
        for (host, port, covered) in rows {
            let address = host.parse().ok();
            assert_eq!(bypass.covers(host, address, port), covered, "{host}:{port}");
        }
        bypass.add("*");
        assert!(bypass.covers("anything", None, 1));
    }
}
