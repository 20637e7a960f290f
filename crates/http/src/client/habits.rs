//! What a client does by habit with each request and its response, beyond carrying them: cookies,
//! strict hosts, content codings.
//!
//! Invariant: what the application set itself is never changed.

use super::address::Address;
use super::cookies::CookieJar;
use super::decode::{self, Decoder, Decompression};
use super::exchange::Exchange;
use super::hsts::{Strict, StrictHost};
use super::raw_body::RawBody;
use super::response::ResponseBody;
use super::retry_budget::{Balance, RetryBudget};
use super::settings::Settings;
use http::header::{ACCEPT_ENCODING, CONTENT_RANGE, COOKIE, RANGE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method};
use portway_core::security::Trust;
use portway_core::{SecurityParameters, Time};
use std::sync::Arc;

/// What is chosen about it.
#[derive(Clone, Default)]
pub(super) struct Chosen {
    pub(super) decompression: Option<Decompression>,
    pub(super) jar: Option<Arc<dyn CookieJar>>,
    pub(super) ignores_hsts: bool,
    pub(super) strict_hosts: Vec<StrictHost>,
    pub(super) retries: RetryBudget,
}

/// What the clones of a client share of it.
pub(super) struct Habits {
    decompression: Option<Decompression>,
    jar: Option<Arc<dyn CookieJar>>,
    /// None where hosts are not to be believed that they want TLS.
    pub(super) strict: Option<Strict>,
    pub(super) retries: Balance,
}

/// Fields that are sent beside those of the application.
#[derive(Default)]
pub(super) struct Added {
    cookie: Option<HeaderValue>,
    accepts_codings: bool,
}

impl Added {
    pub(super) fn put_into(&self, headers: &mut HeaderMap) {
        if let Some(cookie) = &self.cookie {
            headers.insert(COOKIE, cookie.clone());
        }
        if self.accepts_codings {
            headers.insert(ACCEPT_ENCODING, decode::ACCEPTED);
        }
    }
}

impl Habits {
    pub(super) fn new(chosen: Chosen, now: Time) -> Self {
        let strict = Strict::default();
        strict.import(now, chosen.strict_hosts);
        Habits {
            decompression: chosen.decompression,
            jar: chosen.jar,
            strict: (!chosen.ignores_hsts).then_some(strict),
            retries: Balance::new(chosen.retries),
        }
    }

    /// Before a request, and before what a redirect makes of it.
    pub(super) fn prepare(&self, exchange: &mut Exchange, settings: &Settings) {
        if let Some(strict) = &self.strict
            && strict.may_want(&exchange.url)
        {
            let now = settings.context.environment().now();
            let mut url = (*exchange.url).clone();
            if let Some(asked) = strict.upgrade(&mut url, now) {
                exchange.access.upgrade(&asked, &url);
                exchange.url = Address::new(url);
            }
        }
        let headers = &exchange.headers;
        let jar = self.jar.as_ref().filter(|_| !headers.contains_key(COOKIE));
        exchange.added = Added {
            cookie: jar.and_then(|jar| jar.cookies(exchange.url.as_str())),
            // RFC 9110 §14.2: a range would be one of the coded form.
            accepts_codings: self.decompression.is_some()
                && !headers.contains_key(ACCEPT_ENCODING)
                && !headers.contains_key(RANGE),
        };
    }

    /// After the head of a response.
    pub(super) fn learn(&self, exchange: &Exchange, headers: &HeaderMap, settings: &Settings) {
        if let Some(jar) = &self.jar
            && headers.contains_key(SET_COOKIE)
        {
            let mut fields = headers.get_all(SET_COOKIE).into_iter();
            jar.store(exchange.url.as_str(), &mut fields);
        }
        if let Some(strict) = &self.strict
            && exchange.url.scheme() == "https"
            && is_judged(&settings.security)
        {
            let environment = settings.context.environment();
            strict.learn(&exchange.url, headers, || environment.now());
        }
    }

    /// The body as the application reads it.
    pub(super) fn content(
        &self,
        exchange: &Exchange,
        headers: &mut HeaderMap,
        body: RawBody,
        content_max: usize,
    ) -> ResponseBody {
        let limits = self
            .decompression
            .as_ref()
            .filter(|_| exchange.added.accepts_codings)
            // Without content the fields say what there would be, and part of it cannot be decoded.
            .filter(|_| exchange.method != Method::HEAD && !body.is_end_stream())
            .filter(|_| !headers.contains_key(CONTENT_RANGE));
        match limits.and_then(|limits| Some((limits, decode::codings(headers)?))) {
            Some((limits, codings)) => {
                decode::strip(headers);
                ResponseBody::decoded(Decoder::new(body, codings, limits.clone()), content_max)
            }
            None => ResponseBody::new(body, content_max),
        }
    }
}

/// RFC 6797 §8.1: a host is believed over a connection without any error or warning only.
fn is_judged(security: &SecurityParameters) -> bool {
    match security {
        SecurityParameters::Required(tls) => !matches!(tls.trust, Trust::DangerousAnyone),
        _ => false,
    }
}
