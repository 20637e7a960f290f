//! Service names and their ports, from the registry of IANA, and SRV service names (RFC 2782).

use super::EndpointError;
use crate::stack::WireProtocol;

/// The registered port of a service; letter case does not matter.
pub(super) fn port(service: &str) -> Option<u16> {
    PORTS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(service))
        .map(|(_, port)| *port)
}

/// Whether this is an SRV service name such as `_xmpp-client._tcp`.
pub(super) fn is_srv(service: &str) -> bool {
    srv_wire(service).is_some()
}

/// The transport that an SRV service name speaks of.
pub(super) fn srv_wire(service: &str) -> Option<WireProtocol> {
    let (name, transport) = service.split_once('.')?;
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let label = name.strip_prefix('_').filter(|label| !label.is_empty())?;
    if !label.bytes().all(is_letter) {
        return None;
    }
    match transport {
        _ if transport.eq_ignore_ascii_case("_tcp") => Some(WireProtocol::Tcp),
        _ if transport.eq_ignore_ascii_case("_udp") => Some(WireProtocol::Udp),
        _ => None,
    }
}

/// Accepts services that a port or an SRV record can be found for.
pub(super) fn check(service: Option<&str>) -> Result<(), EndpointError> {
    match service {
        Some(service) if port(service).is_none() && !is_srv(service) => {
            Err(EndpointError::UnknownService {
                service: service.to_owned(),
            })
        }
        _ => Ok(()),
    }
}

const PORTS: &[(&str, u16)] = &[
    ("echo", 7),
    ("discard", 9),
    ("daytime", 13),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("time", 37),
    ("whois", 43),
    ("tacacs", 49),
    ("domain", 53),
    ("gopher", 70),
    ("finger", 79),
    ("http", 80),
    ("kerberos", 88),
    ("pop3", 110),
    ("sunrpc", 111),
    ("nntp", 119),
    ("ntp", 123),
    ("imap", 143),
    ("snmp", 161),
    ("bgp", 179),
    ("irc", 194),
    ("ldap", 389),
    ("https", 443),
    ("submissions", 465),
    ("syslog", 514),
    ("rtsp", 554),
    ("nntps", 563),
    ("submission", 587),
    ("ipp", 631),
    ("ldaps", 636),
    ("domain-s", 853),
    ("rsync", 873),
    ("ftps", 990),
    ("telnets", 992),
    ("imaps", 993),
    ("pop3s", 995),
    ("socks", 1080),
    ("openvpn", 1194),
    ("ms-sql-s", 1433),
    ("radius", 1812),
    ("mqtt", 1883),
    ("nfs", 2049),
    ("mysql", 3306),
    ("stun", 3478),
    ("turn", 3478),
    ("svn", 3690),
    ("epp", 700),
    ("netconf-ssh", 830),
    ("netconf-tls", 6513),
    ("iscsi-target", 3260),
    ("sip", 5060),
    ("sips", 5061),
    ("xmpp-client", 5222),
    ("xmpp-server", 5269),
    ("stuns", 5349),
    ("turns", 5349),
    ("mdns", 5353),
    ("postgresql", 5432),
    ("amqps", 5671),
    ("amqp", 5672),
    ("coap", 5683),
    ("coaps", 5684),
    ("redis", 6379),
    ("ircs-u", 6697),
    ("http-alt", 8080),
    ("secure-mqtt", 8883),
    ("git", 9418),
    ("memcache", 11211),
    ("mongodb", 27017),
];
