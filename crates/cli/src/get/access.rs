//! The proxies and credentials that the arguments and the environment name.

use crate::arguments::AccessArguments;
use crate::error::CommandError;
use portway_http::client::{Credentials, Error, Proxies, Proxy};

/// The proxies of all transfers.
pub(super) fn proxies(arguments: &AccessArguments) -> Result<Proxies, CommandError> {
    let wrong = |error: Error| CommandError::with_code(EXIT_PROXY, error.to_string());
    let variable = |name: &str| match (&arguments.noproxy, name) {
        (Some(own), "no_proxy") => Some(own.clone()),
        (Some(_), "NO_PROXY") => None,
        _ => std::env::var(name).ok(),
    };
    let mut proxies = Proxies::from_variables(|name| match (&arguments.proxy, name) {
        (None, _) | (_, "no_proxy" | "NO_PROXY") => variable(name),
        (Some(url), "all_proxy") => Some(url.clone()),
        _ => None,
    })
    .map_err(wrong)?;
    if let Some(login) = &arguments.proxy_user {
        let (user, password) = split(login);
        let credentials = match arguments.proxy_digest {
            true => Credentials::digest(user, password),
            false => Credentials::basic(user, password),
        };
        proxies = proxies.map(|proxy: Proxy| proxy.credentials(credentials.clone()));
    }
    Ok(proxies)
}

/// What the servers of the URLs are shown.
pub(super) fn credentials(arguments: &AccessArguments) -> Option<Credentials> {
    if let Some(token) = &arguments.oauth2_bearer {
        return Some(Credentials::bearer(token));
    }
    let (user, password) = split(arguments.user.as_deref()?);
    Some(if arguments.digest {
        Credentials::digest(user, password)
    } else if arguments.anyauth {
        Credentials::password(user, password)
    } else {
        Credentials::basic(user, password)
    })
}

/// The password is what follows the first colon; nobody is asked for one that is missing.
fn split(login: &str) -> (&str, &str) {
    login.split_once(':').unwrap_or((login, ""))
}

const EXIT_PROXY: u8 = 5;
