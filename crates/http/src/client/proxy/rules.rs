//! Which request goes through which proxy.

use super::Proxy;
use super::bypass::Bypass;
use crate::client::error::Error;
use std::sync::Arc;
use url::{Host, Url};

/// Which requests go through which proxy; without any, none does.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<Rules>);

#[derive(Clone, Debug, Default)]
struct Rules {
    http: Option<Proxy>,
    https: Option<Proxy>,
    bypass: Bypass,
}

impl Proxies {
    /// Every request goes directly.
    pub fn none() -> Self {
        Proxies::default()
    }

    /// Every request goes through this proxy.
    pub fn all(proxy: Proxy) -> Self {
        Proxies::none().http(proxy.clone()).https(proxy)
    }

    /// What the environment says, as curl reads it: `http_proxy` and `https_proxy` by the scheme of
    /// the target, else `all_proxy`; `no_proxy` as [`Proxies::bypass`]. Names in capitals count
    /// where those in small letters are not set, but `HTTP_PROXY` not in a CGI program, where
    /// clients could set it.
    ///
    /// # Errors
    /// A variable holds no URL of a proxy.
    pub fn from_environment() -> Result<Self, Error> {
        Proxies::from_variables(|name| std::env::var(name).ok())
    }

    /// As [`Proxies::from_environment`], with variables from elsewhere.
    ///
    /// # Errors
    /// A variable holds no URL of a proxy.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let either = |name: &str| set(name).or_else(|| set(&name.to_ascii_uppercase()));
        let is_cgi = variable("REQUEST_METHOD").is_some();
        // A header field `Proxy` becomes HTTP_PROXY there.
        let http = set("http_proxy").or_else(|| set("HTTP_PROXY").filter(|_| !is_cgi));
        let all = either("all_proxy");
        let read = |value: Option<String>| {
            let value = value.or_else(|| all.clone());
            value.map(|url| Proxy::parse(url.trim())).transpose()
        };
        let mut rules = Rules {
            http: read(http)?,
            https: read(either("https_proxy"))?,
            bypass: Bypass::default(),
        };
        if let Some(bypass) = either("no_proxy") {
            rules.bypass.add(&bypass);
        }
        Ok(Proxies(Arc::new(rules)))
    }

    /// `http://` goes through this proxy.
    #[must_use]
    pub fn http(self, proxy: Proxy) -> Self {
        self.change(|rules| rules.http = Some(proxy))
    }

    /// `https://` goes through this proxy.
    #[must_use]
    pub fn https(self, proxy: Proxy) -> Self {
        self.change(|rules| rules.https = Some(proxy))
    }

    /// Goes directly to what these rules name, which commas or spaces separate: a name stands for
    /// itself and all below (`example`, `.example`), an address for itself, `10.0.0.0/8` for a
    /// network of addresses, either with `:port` for that port only, and `*` for everything. Rules
    /// for addresses are for URLs with addresses: names are not resolved for them.
    #[must_use]
    pub fn bypass(self, rules: &str) -> Self {
        self.change(|own| own.bypass.add(rules))
    }

    /// The same with each proxy changed, such as by [`Proxy::credentials`].
    #[must_use]
    pub fn map(self, change: impl Fn(Proxy) -> Proxy) -> Self {
        self.change(|rules| {
            rules.http = rules.http.take().map(&change);
            rules.https = rules.https.take().map(&change);
        })
    }

    fn change(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The proxy for a target.
    pub(in crate::client) fn choose(&self, target: &Url) -> Option<&Proxy> {
        let proxy = match target.scheme() {
            "https" => self.0.https.as_ref(),
            _ => self.0.http.as_ref(),
        }?;
        let address = match target.host()? {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        };
        let host = target.host_str()?;
        let port = target.port_or_known_default()?;
        (!self.0.bypass.covers(host, address, port)).then_some(proxy)
    }
}

impl From<Proxy> for Proxies {
    fn from(proxy: Proxy) -> Self {
        Proxies::all(proxy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)], target: &str) -> Option<String> {
        let find = |name: &str| {
            let mut variables = variables.iter().filter(|(other, _)| *other == name);
            variables.next().map(|(_, value)| (*value).to_owned())
        };
        let proxies = Proxies::from_variables(find).unwrap();
        let chosen = proxies.choose(&Url::parse(target).unwrap());
        chosen.map(ToString::to_string)
    }

    #[test]
    fn variables_are_read_as_curl_reads_them() {
        let (http, https) = ("http://t.test/", "https://t.test/");
        type Row = (
            &'static [(&'static str, &'static str)],
            &'static str,
            Option<&'static str>,
        );
        let rows: [Row; 10] = [
            (&[], http, None),
            (&[("http_proxy", "p:1")], http, Some("http://p:1")),
            (&[("http_proxy", "p:1")], https, None),
            (&[("HTTPS_PROXY", "p:1")], https, Some("http://p:1")),
            (&[("HTTP_PROXY", "p:1")], http, Some("http://p:1")),
            (
                &[("HTTP_PROXY", "p:1"), ("REQUEST_METHOD", "GET")],
                http,
                None,
            ),
            (
                &[("http_proxy", "p:1"), ("REQUEST_METHOD", "")],
                http,
                Some("http://p:1"),
            ),
            (
                &[("all_proxy", "socks5h://s")],
                https,
                Some("socks5h://s:1080"),
            ),
            (
                &[("all_proxy", "a:1"), ("https_proxy", "b:2")],
                https,
                Some("http://b:2"),
            ),
            (&[("ALL_PROXY", "a:1"), ("no_proxy", "x,test")], https, None),
        ];
        for (variables, target, proxy) in rows {
            assert_eq!(
                chosen(variables, target).as_deref(),
                proxy,
                "{variables:?} {target}"
            );
        }
    }

    #[test]
    fn a_variable_that_names_no_proxy_is_an_error() {
        let variable = |name: &str| (name == "all_proxy").then(|| "gopher://x".to_owned());
        assert!(Proxies::from_variables(variable).is_err());
    }
}
