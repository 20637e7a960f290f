//! The proxies and credentials that the arguments, the URLs and the environment name.
//!
//! Invariant: how credentials are proven is what the arguments say, wherever the credentials
//! themselves stand.

use crate::arguments::AccessArguments;
use crate::error::CommandError;
use portway::Security;
use portway::security::Trust;
use portway_http::client::{Credentials, Error, Proxies, Proxy};
use portway_transport::tls::load_certificates;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    user: String,
    password: String,
}

impl Login {
    /// The password is what follows the first colon; nobody is asked for one that is missing.
    fn of(text: &str) -> Self {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        Login {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    /// What stands before the host of a URL.
    pub(super) fn of_url(url: &str) -> Option<Self> {
        let credentials = Credentials::of_url(url)?;
        let (user, password) = credentials.user_and_password()?;
        Some(Login {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    fn by(&self, kind: fn(&str, &str) -> Credentials) -> Credentials {
        kind(&self.user, &self.password)
    }
}

/// The proxies of all transfers.
pub(super) fn proxies(arguments: &AccessArguments) -> Result<Proxies, CommandError> {
    let proxies = with_logins(arguments)?;
    let security = match &arguments.proxy_cacert {
        Some(file) => Security::tls().with_roots(load_certificates(file)?),
        None if arguments.proxy_insecure => Security::tls().with_trust(Trust::DangerousAnyone),
        None => return Ok(proxies),
    };
    Ok(proxies.map(|proxy| proxy.security(security.clone())))
}

fn with_logins(arguments: &AccessArguments) -> Result<Proxies, CommandError> {
    let variable = |name: &str| match (&arguments.noproxy, name) {
        (Some(own), "no_proxy") => Some(own.clone()),
        (Some(_), "NO_PROXY") => None,
        _ => std::env::var(name).ok(),
    };
    let logins = RefCell::new(Logins::default());
    let proxies = Proxies::from_variables(|name| {
        let value = match (&arguments.proxy, name) {
            (None, _) | (_, "no_proxy" | "NO_PROXY") => variable(name),
            (Some(url), "all_proxy") => Some(url.clone()),
            _ => None,
        };
        if let Some(url) = value.as_deref().filter(|_| names_a_proxy(name)) {
            logins.borrow_mut().note(url.trim());
        }
        value
    })
    .map_err(wrong)?;
    let kind = match arguments.proxy_digest {
        true => Credentials::digest,
        false => Credentials::basic,
    };
    if let Some(login) = &arguments.proxy_user {
        let credentials = Login::of(login).by(kind);
        return Ok(proxies.map(|proxy: Proxy| proxy.credentials(credentials.clone())));
    }
    if !arguments.proxy_digest {
        // Basic is what the URLs mean by themselves.
        return Ok(proxies);
    }
    let logins = logins.into_inner();
    if let Some(proxy) = logins.contradiction {
        let message = format!("{proxy} has several credentials: say those meant by --proxy-user");
        return Err(CommandError::usage(message));
    }
    Ok(
        proxies.map(|proxy| match logins.by_proxy.get(&proxy.to_string()) {
            Some(Some(login)) => proxy.credentials(login.by(kind)),
            _ => proxy,
        }),
    )
}

/// Which user the URL of each proxy names.
#[derive(Default)]
struct Logins {
    by_proxy: BTreeMap<String, Option<Login>>,
    contradiction: Option<String>,
}

impl Logins {
    fn note(&mut self, text: &str) {
        // What is no proxy is told by whoever reads it as one.
        let Ok(proxy) = Proxy::parse(text) else {
            return;
        };
        let login = match text.contains("://") {
            true => Login::of_url(text),
            false => Login::of_url(&format!("http://{text}")),
        };
        let proxy = proxy.to_string();
        if let Some(before) = self.by_proxy.insert(proxy.clone(), login.clone())
            && before != login
        {
            self.contradiction = Some(proxy);
        }
    }
}

fn names_a_proxy(variable: &str) -> bool {
    let variable = variable.to_ascii_lowercase();
    variable.ends_with("_proxy") && variable != "no_proxy"
}

fn wrong(error: Error) -> CommandError {
    CommandError::with_code(EXIT_PROXY, error.to_string())
}

/// What the server of a URL is shown; a user that the arguments name goes before the URL's.
pub(super) fn credentials(
    arguments: &AccessArguments,
    of_url: Option<&Login>,
) -> Option<Credentials> {
    if let Some(token) = &arguments.oauth2_bearer {
        return Some(Credentials::bearer(token));
    }
    let named = arguments.user.as_deref().map(Login::of);
    let login = named.as_ref().or(of_url)?;
    Some(if arguments.digest {
        login.by(Credentials::digest)
    } else if arguments.anyauth {
        login.by(Credentials::password)
    } else {
        login.by(Credentials::basic)
    })
}

/// Whether who is asked may want to know who asks before taking what is sent.
pub(super) fn may_be_asked(arguments: &AccessArguments, is_cleartext: bool) -> bool {
    // A proxy asks before there is a tunnel for what is not in cleartext.
    arguments.digest || arguments.anyauth || (arguments.proxy_digest && is_cleartext)
}

const EXIT_PROXY: u8 = 5;
