//! Values of arguments that are more than text or a number.

use clap::ValueEnum;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// How the byte stream is cut into messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framing {
    /// Bytes as they come
    #[default]
    None,
    /// A message is a line
    Line,
    /// A message is a line of input, sent behind its length in 32 bits
    Length32,
}

/// `name=value`: a transport property of RFC 9622.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PropertyArgument {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for PropertyArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or("it is of the form name=value, such as keepAlive=require")?;
        // Whether name and value exist is the table's to say, and it says it here already.
        let mut properties = portway::TransportProperties::new();
        properties
            .set(name, value)
            .map_err(|error| error.to_string())?;
        Ok(PropertyArgument {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// `host:port:address,address`: the addresses of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolveArgument {
    pub(crate) host: String,
    pub(crate) addresses: Vec<IpAddr>,
}

impl FromStr for ResolveArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "it is of the form host:port:address, such as a.test:443:127.0.0.1";
        let (host, rest) = text.split_once(':').ok_or_else(wrong)?;
        let (port, addresses) = rest.split_once(':').ok_or_else(wrong)?;
        if host.is_empty() || (port != "*" && port.parse::<u16>().is_err()) {
            return Err(wrong().to_owned());
        }
        let addresses = addresses.split(',').map(|address| {
            let address = address.trim_start_matches('[').trim_end_matches(']');
            address
                .parse()
                .map_err(|_| format!("{address} is no address"))
        });
        Ok(ResolveArgument {
            host: host.to_ascii_lowercase(),
            addresses: addresses.collect::<Result<_, _>>()?,
        })
    }
}

/// Reads a length of time: `2.5`, `2.5s`, `300ms`, `1m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, seconds) = match text {
        _ if text.ends_with("ms") => (&text[..text.len() - 2], 1e-3),
        _ if text.ends_with('s') => (&text[..text.len() - 1], 1.0),
        _ if text.ends_with('m') => (&text[..text.len() - 1], 60.0),
        _ => (text, 1.0),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "it is a number of seconds, or one with ms, s or m behind it")?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

/// Reads a length of time that is not zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be above zero".to_owned()),
        duration => Ok(duration),
    }
}

/// Where to listen: an address with its port, a port alone on this machine, or `:port` on all its
/// addresses of IPv4.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let port = |text: &str| text.parse::<u16>().ok();
    match (port(text), text.strip_prefix(':').and_then(port)) {
        (Some(port), _) => Ok((Ipv4Addr::LOCALHOST, port).into()),
        (None, Some(port)) => Ok((Ipv4Addr::UNSPECIFIED, port).into()),
        (None, None) => text
            .parse()
            .map_err(|_| "it is of the form 127.0.0.1:8080, [::]:8080, :8080 or 8080".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses_of_a_host_are_given_by_name_and_port() {
        let read: ResolveArgument = "A.test:443:127.0.0.1,[::1]".parse().unwrap();
        assert_eq!(read.host, "a.test");
        assert_eq!(read.addresses.len(), 2);
        assert!("a.test:*:::1".parse::<ResolveArgument>().is_ok());
        for wrong in [
            "a.test",
            "a.test:443",
            ":443:::1",
            "a.test:x:::1",
            "a.test:443:x",
        ] {
            assert!(wrong.parse::<ResolveArgument>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_port_is_enough_to_listen() {
        let rows = [
            ("8080", Some("127.0.0.1:8080")),
            (":8080", Some("0.0.0.0:8080")),
            ("[::1]:0", Some("[::1]:0")),
            ("localhost:80", None),
            ("65536", None),
            (":", None),
        ];
        for (text, expected) in rows {
            let address = listen_address(text).ok().map(|address| address.to_string());
            assert_eq!(address.as_deref(), expected, "{text}");
        }
    }

    use super::{PropertyArgument, ResolveArgument, duration, listen_address, positive_duration};
    use std::time::Duration;

    #[test]
    fn lengths_of_time_have_units() {
        let rows = [
            ("2", 2000),
            ("2.5", 2500),
            ("2.5s", 2500),
            ("300ms", 300),
            ("1m", 60_000),
        ];
        for (text, milliseconds) in rows {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)));
        }
        for text in ["", "s", "-1", "x", "1h", "nan", "inf", "1e300"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(positive_duration("0").is_err());
    }

    #[test]
    fn properties_must_exist_and_take_their_value() {
        let property: PropertyArgument = "keepAlive=require".parse().unwrap();
        assert_eq!(property.name, "keepAlive");
        for text in ["keepAlive", "noSuch=1", "keepAlive=perhaps"] {
            assert!(text.parse::<PropertyArgument>().is_err(), "{text}");
        }
    }
}
