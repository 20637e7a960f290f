//! RFC 6724 as tables: the examples of §10.2, and one row for every rule and every comparison.

use super::{Destination, Preference, Source, common_prefix_len, policy, scope, select_source};
use crate::path::LocalAddress;
use std::net::IpAddr;
use std::time::Duration;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// `address[/len][ deprecated][ temporary][ virtual]`
fn source(text: &str) -> Source {
    let mut words = text.split(' ');
    let mut address = words.next().unwrap().split('/');
    let mut source = Source {
        address: LocalAddress {
            address: ip(address.next().unwrap()),
            prefix_len: address.next().map_or(64, |len| len.parse().unwrap()),
            is_temporary: false,
            is_deprecated: false,
        },
        is_virtual: false,
    };
    for word in words {
        match word {
            "deprecated" => source.address.is_deprecated = true,
            "temporary" => source.address.is_temporary = true,
            "virtual" => source.is_virtual = true,
            other => panic!("unknown word {other}"),
        }
    }
    source
}

/// `address[ noroute][ rtt=MS][ used]`
fn destination(text: &str) -> Destination {
    let mut words = text.split(' ');
    let mut destination = Destination {
        address: ip(words.next().unwrap()),
        has_route: true,
        rtt: None,
        was_used: false,
    };
    for word in words {
        match word.split_once('=') {
            Some(("rtt", ms)) => destination.rtt = Some(Duration::from_millis(ms.parse().unwrap())),
            None if word == "noroute" => destination.has_route = false,
            None if word == "used" => destination.was_used = true,
            _ => panic!("unknown word {word}"),
        }
    }
    destination
}

/// Each row: rule, sources, the better destination, the worse one. Both orders give the same.
#[test]
fn destinations_are_ordered_by_the_rules() {
    for (rule, sources, better, worse) in DESTINATIONS {
        let sources: Vec<Source> = sources.iter().map(|text| source(text)).collect();
        let better = Preference::of(&destination(better), &sources);
        let worse = Preference::of(&destination(worse), &sources);
        assert!(
            better < worse,
            "{rule}: {better:?} should precede {worse:?}"
        );
    }
}

#[test]
fn equal_destinations_are_equal_so_that_the_order_given_decides() {
    let sources = [source("2001:db8:1::2")];
    let one = Preference::of(&destination("2001:db8:2::1"), &sources);
    let other = Preference::of(&destination("2001:db8:2::2"), &sources);
    assert_eq!(one, other);
    let without_source = Preference::of(&destination("192.0.2.1"), &sources);
    let without_route = Preference::of(&destination("192.0.2.1 noroute"), &sources);
    assert_eq!(without_source, without_route);
}

/// Each row: rule, destination, the source that is chosen, the one that is not.
#[test]
fn sources_are_selected_by_the_rules() {
    let rows = [
        (
            "rule 1: same address",
            "2001:db8::5",
            "2001:db8::5 deprecated",
            "2001:db8::2",
        ),
        (
            "rule 2: enough scope",
            "2001:db8::1",
            "2001:db8::2",
            "fe80::2",
        ),
        (
            "rule 2: no more scope than needed",
            "fe80::1",
            "fe80::2",
            "2001:db8::2",
        ),
        (
            "rule 2: the larger of two that fall short",
            "2001:db8::1",
            "fec0::2",
            "fe80::2",
        ),
        (
            "rule 2 before rule 3",
            "2001:db8::1",
            "2001:db8::2 deprecated",
            "fe80::2",
        ),
        (
            "rule 3: not deprecated",
            "2001:db8::1",
            "2001:db9::2",
            "2001:db8::2 deprecated",
        ),
        ("rule 6: same label", "2002::1", "2002:1::2", "2001:db8::2"),
        (
            "rule 6 before rule 7",
            "2001:db8::1",
            "2001:db8::2",
            "2002::2 temporary",
        ),
        (
            "rule 7: temporary",
            "2001:db8::1",
            "2001:db9::2 temporary",
            "2001:db8::2",
        ),
        (
            "rule 8: longest prefix",
            "2001:db8:1::1",
            "2001:db8:1::2",
            "2001:db8:2::2",
        ),
        (
            "§10.1: multicast, site-local is nearer",
            "ff05::1",
            "fec0::2",
            "fe80::1",
        ),
    ];
    for (rule, to, chosen, other) in rows {
        for sources in [
            [source(chosen), source(other)],
            [source(other), source(chosen)],
        ] {
            let selected = select_source(ip(to), &sources);
            assert_eq!(selected, Some(source(chosen)), "{rule}");
        }
    }
    assert_eq!(
        select_source(ip("192.0.2.1"), &[source("2001:db8::1")]),
        None
    );
    let equal = [source("2001:db8::2"), source("2001:db8::3")];
    assert_eq!(select_source(ip("2001:db9::1"), &equal), Some(equal[0]));
}

#[test]
fn the_policy_table_is_the_default_one() {
    let rows = [
        ("::1", 50, 0),
        ("::2", 1, 3),
        ("2a00::1", 40, 1),
        ("192.0.2.1", 35, 4),
        ("2002::1", 30, 2),
        ("2003::1", 40, 1),
        ("2001::1", 5, 5),
        ("2001:1::1", 40, 1),
        ("fc00::1", 3, 13),
        ("fdff::1", 3, 13),
        ("fec0::1", 1, 11),
        ("feff::1", 1, 11),
        ("fe80::1", 40, 1),
        ("3ffe::1", 1, 12),
        ("3fff::1", 40, 1),
        ("0:0:0:0:0:1::", 40, 1),
    ];
    for (address, precedence, label) in rows {
        assert_eq!(policy(ip(address)), (precedence, label), "{address}");
    }
}

#[test]
fn scopes_follow_section_3() {
    let rows = [
        ("127.0.0.1", 2),
        ("169.254.0.1", 2),
        ("10.0.0.1", 14),
        ("192.0.2.1", 14),
        ("::1", 2),
        ("fe80::1", 2),
        ("febf::1", 2),
        ("fec0::1", 5),
        ("feff::1", 5),
        ("fd00::1", 14),
        ("2001:db8::1", 14),
        ("ff02::1", 2),
        ("ff05::1", 5),
        ("ff3e::1", 14),
    ];
    for (address, expected) in rows {
        assert_eq!(scope(ip(address)), expected, "{address}");
    }
}

#[test]
fn common_prefixes_end_with_the_sources_prefix() {
    let rows = [
        ("2001:db8::1/64", "2001:db8::2", 64),
        ("2001:db8::1/128", "2001:db8::3", 126),
        ("2001:db8::1/64", "2001:db9::1", 31),
        ("192.0.2.1/24", "192.0.2.2", 24),
        ("192.0.2.1/24", "192.0.3.1", 23),
        ("192.0.2.1/24", "2001:db8::1", 0),
    ];
    for (from, to, expected) in rows {
        let from = source(from).address;
        assert_eq!(common_prefix_len(&from, ip(to)), expected, "{from:?} {to}");
    }
}

/// Rule, sources, the better destination, the worse one.
const DESTINATIONS: &[(&str, &[&str], &str, &str)] = &[
    // The examples of §10.2, without home addresses.
    (
        "§10.2.1 matching scope",
        &["2001:db8:1::2", "fe80::1", "169.254.13.78/16"],
        "2001:db8:1::1",
        "198.51.100.121",
    ),
    (
        "§10.2.2 matching scope",
        &["fe80::1", "198.51.100.117/24"],
        "198.51.100.121",
        "2001:db8:1::1",
    ),
    (
        "§10.2.3 higher precedence",
        &["2001:db8:1::2", "fe80::1", "10.1.2.4/24"],
        "2001:db8:1::1",
        "10.1.2.3",
    ),
    (
        "§10.2.4 smaller scope",
        &["2001:db8:1::2", "fe80::2"],
        "fe80::1",
        "2001:db8:1::1",
    ),
    (
        "§10.2.6 deprecated source",
        &["2001:db8:1::2", "fe80::2 deprecated"],
        "2001:db8:1::1",
        "fe80::1",
    ),
    (
        "§10.2.7 longest prefix",
        &["2001:db8:1::2", "2001:db8:3f44::2", "fe80::2"],
        "2001:db8:1::1",
        "2001:db8:3ffe::1",
    ),
    (
        "§10.2.8 matching label",
        &["2002:c633:6401::2", "fe80::2"],
        "2002:c633:6401::1",
        "2001:db8:1::1",
    ),
    (
        "§10.2.9 higher precedence",
        &["2002:c633:6401::2", "2001:db8:1::2", "fe80::2"],
        "2001:db8:1::1",
        "2002:c633:6401::1",
    ),
    // One row a rule, for what the examples leave open.
    (
        "rule 1: no source",
        &["192.0.2.9/24"],
        "192.0.2.1",
        "2001:db8::1",
    ),
    (
        "rule 1: no route goes before scope",
        &["fe80::2", "2001:db8::2"],
        "2001:db8::1",
        "fe80::1 noroute",
    ),
    (
        "rule 2 before rule 3",
        &["2001:db8:1::2 deprecated", "169.254.1.2/16"],
        "2001:db8:1::1",
        "198.51.100.1",
    ),
    (
        "rule 3 before rule 5",
        &["2002:1::2", "192.0.2.2/24"],
        "192.0.2.1",
        "2001:db8::1",
    ),
    (
        "rule 3: deprecated source of the better family",
        &["2001:db8::2 deprecated", "192.0.2.2/24"],
        "192.0.2.1",
        "2001:db8::1",
    ),
    (
        "rule 5 before rule 6",
        &["2002:1::2", "192.0.2.2/24"],
        "192.0.2.1",
        "2001:db8::1",
    ),
    (
        "rule 6: teredo comes after IPv4",
        &["2001::2/32", "192.0.2.2/24"],
        "192.0.2.1",
        "2001::1",
    ),
    (
        "rule 6: unique local comes after IPv4",
        &["fd00::2", "192.0.2.2/24"],
        "192.0.2.1",
        "fd00::1",
    ),
    (
        "rule 7: native before virtual",
        &["2001:db8:1::2/48", "2001:db8:2::2/48 virtual"],
        "2001:db8:1::1",
        "2001:db8:2::1",
    ),
    (
        "rule 7 before rule 8",
        &["2001:db8:1::2/48", "fe80::2 virtual"],
        "2001:db8:1::1",
        "fe80::1",
    ),
    (
        "rule 8 before RTT",
        &["2001:db8:1::2/48", "fe80::2"],
        "fe80::1",
        "2001:db8:1::1 rtt=1",
    ),
    (
        "HEv3 §5.3: lower RTT",
        &["2001:db8:1::2/48"],
        "2001:db8:9::1 rtt=10",
        "2001:db8:1::1 rtt=20",
    ),
    (
        "HEv3 §5.3: measured before unmeasured",
        &["2001:db8:1::2/48"],
        "2001:db8:9::1 rtt=900",
        "2001:db8:1::1",
    ),
    (
        "HEv3 §5.3: RTT before use",
        &["2001:db8:1::2/48"],
        "2001:db8:1::1 rtt=10",
        "2001:db8:1::2 rtt=20 used",
    ),
    (
        "HEv3 §5.3: used before unused, before rule 9",
        &["2001:db8:1::2/48"],
        "2001:db8:9::1 used",
        "2001:db8:1::1",
    ),
    (
        "rule 9: for IPv4 too",
        &["192.0.2.130/24"],
        "192.0.2.129",
        "192.0.9.1",
    ),
];
