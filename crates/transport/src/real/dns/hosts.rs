//! Names that are known without asking: fixed ones, `/etc/hosts`, `localhost`.
//!
//! Invariant: a name that is known here is known completely; no resolver is asked about it.

use portway_core::dns::{Answer, AnswerData, RecordKind};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The known names, in lower case and without a final dot.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts(HashMap<String, Vec<IpAddr>>);

impl Hosts {
    /// Adds fixed names.
    pub(super) fn extend(&mut self, hosts: &HashMap<String, Vec<IpAddr>>) {
        for (name, addresses) in hosts {
            for address in addresses {
                self.insert(name, *address);
            }
        }
    }

    /// Adds the lines of a hosts file. What it does not understand it leaves out.
    pub(super) fn extend_from_file(&mut self, text: &str) {
        for line in text.lines().take(LINES_MAX) {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
                continue;
            };
            for name in words {
                self.insert(name, address);
            }
        }
    }

    fn insert(&mut self, name: &str, address: IpAddr) {
        let addresses = self.0.entry(normalised(name)).or_default();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    /// The addresses of a name that was added.
    pub(super) fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.0.get(&normalised(name)).cloned()
    }

    /// The answer about a known name.
    pub(super) fn answer(&self, name: &str, kind: RecordKind) -> Option<Answer> {
        let name = normalised(name);
        if let Ok(address) = name.parse::<IpAddr>() {
            return Some(answer(&[address], kind));
        }
        // RFC 6761 §6.3: localhost and the names below it are loopback, and are not asked for.
        if name == "localhost" || name.ends_with(".localhost") {
            return Some(answer(&LOOPBACK, kind));
        }
        Some(answer(self.0.get(host_of(&name, kind))?, kind))
    }
}

/// The host that a question is about. RFC 9460 §2.3: records of services stand below names of
/// their port and scheme, which begin with an underscore.
fn host_of(name: &str, kind: RecordKind) -> &str {
    let mut host = name;
    if kind == RecordKind::Https {
        while let Some((_, rest)) = host.split_once('.').filter(|it| it.0.starts_with('_')) {
            host = rest;
        }
    }
    host
}

fn normalised(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn answer(addresses: &[IpAddr], kind: RecordKind) -> Answer {
    let of_family = |is_ipv4: bool| {
        let matching = addresses.iter().filter(|one| one.is_ipv4() == is_ipv4);
        AnswerData::Addresses(matching.copied().collect())
    };
    let data = match kind {
        RecordKind::A => of_family(true),
        RecordKind::Aaaa => of_family(false),
        RecordKind::Srv => AnswerData::Servers(Vec::new()),
        _ => AnswerData::Services(Vec::new()),
    };
    Answer { data, ttl: TTL }
}

const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::LOCALHOST),
];
/// Short, because a file can change at any time.
const TTL: Duration = Duration::from_secs(5);
/// Files that block advertisements have some hundred thousand lines.
const LINES_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(answer: Option<Answer>) -> Option<Vec<String>> {
        match answer?.data {
            AnswerData::Addresses(list) => Some(list.iter().map(ToString::to_string).collect()),
            _ => Some(Vec::new()),
        }
    }

    #[test]
    fn hosts_file_lines_give_names_of_each_family() {
        let mut hosts = Hosts::default();
        hosts.extend_from_file(
            "# comment\n192.0.2.1\tOne.example two # 192.0.2.9\n2001:db8::1 one.example.\n\
             nonsense one.example\n192.0.2.1 one.example\n\n192.0.2.3",
        );
        let ask = |name: &str, kind| addresses(hosts.answer(name, kind));
        assert_eq!(ask("one.example", RecordKind::A).unwrap(), ["192.0.2.1"]);
        assert_eq!(
            ask("ONE.example.", RecordKind::Aaaa).unwrap(),
            ["2001:db8::1"]
        );
        assert_eq!(ask("two", RecordKind::Aaaa).unwrap(), [""; 0]);
        assert_eq!(ask("one.example", RecordKind::Https).unwrap(), [""; 0]);
        let of_port = "_8443._https.one.example";
        assert_eq!(ask(of_port, RecordKind::Https).unwrap(), [""; 0]);
        assert_eq!(ask(of_port, RecordKind::A), None);
        assert_eq!(ask("_8443._https.three", RecordKind::Https), None);
        assert_eq!(ask("_imap._tcp.one.example", RecordKind::Srv), None);
        assert_eq!(ask("three", RecordKind::A), None);
    }

    #[test]
    fn localhost_and_below_is_loopback() {
        let hosts = Hosts::default();
        for name in ["localhost", "LocalHost.", "a.b.localhost"] {
            let four = addresses(hosts.answer(name, RecordKind::A)).unwrap();
            let six = addresses(hosts.answer(name, RecordKind::Aaaa)).unwrap();
            assert_eq!((four, six), (vec!["127.0.0.1".into()], vec!["::1".into()]));
        }
        assert!(hosts.answer("notlocalhost", RecordKind::A).is_none());
    }

    #[test]
    fn an_address_is_its_own_answer() {
        let answer = Hosts::default().answer("192.0.2.7", RecordKind::A);
        assert_eq!(addresses(answer).unwrap(), ["192.0.2.7"]);
        let answer = Hosts::default().answer("2001:db8::7", RecordKind::A);
        assert_eq!(addresses(answer).unwrap(), [""; 0]);
    }
}
