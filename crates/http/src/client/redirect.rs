//! What a redirect makes of a request (RFC 9110 §15.4).

use super::Body;
use super::address::Address;
use super::credentials::Credentials;
use super::error::{Error, ErrorClass};
use super::exchange::Exchange;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, COOKIE, HOST, LOCATION, PROXY_AUTHORIZATION, TRANSFER_ENCODING,
};
use http::{HeaderMap, Method, StatusCode};
use portway_core::FailureKind;
use url::Url;

/// Whether the body that was sent is there to be sent again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Replay {
    Possible,
    Impossible,
}

/// Turns `exchange` into the request that a response asks for; false when it asks for none.
pub(super) fn follow(
    exchange: &mut Exchange,
    status: StatusCode,
    headers: &HeaderMap,
    replay: Replay,
) -> Result<bool, Error> {
    let keeps_method = match status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => exchange.method != Method::POST,
        StatusCode::SEE_OTHER => exchange.method == Method::HEAD,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        _ => return Ok(false),
    };
    let Some(location) = headers.get(LOCATION) else {
        return Ok(false);
    };
    let mut target = location
        .to_str()
        .ok()
        .and_then(|location| exchange.url.join(location).ok())
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| failed("the location of the redirect is no address of HTTP"))?;
    // RFC 9110 §4.2.4: a user in an address that somebody else wrote is not shown to anybody, and a
    // proxy would read it in the request line.
    drop(Credentials::take_from(&mut target));
    if !keeps_method {
        exchange.method = Method::GET;
        exchange.body = Body::empty();
        // RFC 9110 §15.4: what described the content goes with it.
        for name in [
            CONTENT_ENCODING,
            CONTENT_LANGUAGE,
            CONTENT_LENGTH,
            CONTENT_LOCATION,
            CONTENT_TYPE,
            TRANSFER_ENCODING,
        ] {
            exchange.headers.remove(name);
        }
    } else if replay == Replay::Impossible {
        return Err(failed(
            "the body was a stream and cannot follow the redirect",
        ));
    }
    if !is_same_origin(&exchange.url, &target) {
        // RFC 9110 §15.4: what was meant for one origin is not told to another one.
        for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, HOST] {
            exchange.headers.remove(name);
        }
        exchange.server_name = None;
    }
    exchange.url = Address::new(target);
    Ok(true)
}

pub(super) fn too_many(max: usize) -> Error {
    failed(&format!("more than {max} redirects"))
}

fn failed(detail: &str) -> Error {
    Error::local(ErrorClass::Redirect, FailureKind::LimitReached, detail)
}

fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}
