//! A request's use of proxies and credentials.
//!
//! Invariant: credentials of a request go to the origin that it was made for; a request is sent
//! again for a challenge only while there is something better to show.

use super::Body;
use super::credentials::{Asked, Credentials, Place, Sent};
use super::error::{Error, ErrorClass};
use super::exchange::Exchange;
use super::key::Key;
use super::policy::Wish;
use super::proxy::{Proxies, Proxy};
use super::redirect::Replay;
use super::settings::Settings;
use super::socket::shown;
use crate::pool::Version;
use http::header::{
    AUTHORIZATION, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Request, StatusCode};
use http_body::Body as _;
use portway_core::FailureKind;
use std::path::Path;
use std::sync::Arc;
use url::{Origin, Position, Url};

/// What a request says of proxies and credentials, and what it has shown.
#[derive(Default)]
pub(super) struct Access {
    /// Instead of the client's.
    pub(super) proxies: Option<Proxies>,
    /// The socket of the file system that it goes through.
    pub(super) socket: Option<Arc<Path>>,
    own: Option<(Origin, Credentials)>,
    /// What the latest request showed to the server, and to the proxy.
    shown: (Option<Sent>, Option<Sent>),
    challenges: usize,
    /// Where the challenges came from.
    challenged: Option<Origin>,
    /// Whether the latest request waited for one with its content.
    pub(super) waited: bool,
    /// Whether the latest request had an expectation that its application had not set.
    pub(super) adds_expect: bool,
    /// A server has refused to be waited for.
    is_impatient: bool,
}

impl Access {
    /// With what stands before the host of the URL, which loses it.
    pub(super) fn new(url: &mut Url) -> Self {
        let credentials = Credentials::take_from(url);
        Access {
            own: credentials.map(|credentials| (url.origin(), credentials)),
            ..Access::default()
        }
    }

    pub(super) fn own(&mut self, url: &Url, credentials: Credentials) {
        self.own = Some((url.origin(), credentials));
    }

    /// What is for `asked` goes to `url` now, the same host over TLS (RFC 6797 §8.3).
    pub(super) fn upgrade(&mut self, asked: &Origin, url: &Url) {
        if let Some((origin, _)) = self.own.as_mut().filter(|(origin, _)| origin == asked) {
            *origin = url.origin();
        }
    }
}

impl Exchange {
    /// Where it goes, and by which versions.
    pub(super) fn aim(&self, settings: &Settings) -> Result<(Key, Wish), Error> {
        let key = match self.peer_name() {
            None => self.url.key()?.clone(),
            name => Key::of(&self.url, name)?,
        };
        let wish = self.wish.in_scheme(key.is_protected)?;
        let through = &settings.through;
        if let Some(socket) = self.access.socket.as_ref().or(through.socket.as_ref()) {
            let way = || format!("over the socket {}", shown(socket));
            return Ok((key.through(socket), without_udp(wish, way)?));
        }
        let proxies = self.access.proxies.as_ref().unwrap_or(&through.proxies);
        match proxies.choose(&self.url) {
            None => Ok((key, wish)),
            Some(proxy) => by_proxy(key, wish, proxy, self.target.is_none()),
        }
    }

    /// The target of its request line in HTTP/1.1 (RFC 9112 §3.2).
    pub(super) fn target(&self, key: &Key) -> &str {
        match key.is_forwarded() {
            true => &self.url[..Position::AfterQuery],
            false => &self.url[Position::BeforePath..Position::AfterQuery],
        }
    }

    /// Whether its content, which can be read once only, is to wait until the server or the proxy
    /// has said whether it wants a password proven: nobody has asked yet, and without the question
    /// there is no answer (RFC 7616 §3.3). Not again where content was taken without it. `replay`
    /// is what repeats its content.
    pub(super) fn asks_first(&self, settings: &Settings, key: &Key, replay: Option<&Body>) -> bool {
        if self.access.is_impatient {
            return false;
        }
        let has_any = self.access.own.is_some() || !settings.keyring.is_empty();
        let forwarding = key.proxy().filter(|_| key.is_forwarded());
        if !has_any && forwarding.is_none() || !is_read_once(&self.body, replay) {
            return false;
        }
        let origin = self.url.origin();
        let whom = origin.ascii_serialization();
        let at_server = (!self.headers.contains_key(AUTHORIZATION))
            .then(|| self.at_server(&whom, &origin))
            .is_some_and(|place| settings.keyring.awaits_challenge(place));
        let whom = forwarding.map(|proxy| proxy.whom()).unwrap_or_default();
        let at_proxy = forwarding
            .filter(|_| !self.headers.contains_key(PROXY_AUTHORIZATION))
            .and_then(|proxy| proxy.own_credentials())
            .map(|own| Place::at_proxy(&whom, own))
            .is_some_and(|place| settings.keyring.awaits_challenge(place));
        at_server || at_proxy
    }

    /// The same request with what its server and proxy are to be shown. `replay` is its content as
    /// it was before it was held back.
    pub(super) fn authorized(
        &mut self,
        settings: &Settings,
        key: &Key,
        mut request: Request<Body>,
        replay: Option<&Body>,
    ) -> Result<Request<Body>, Error> {
        let forwarding = key.proxy().filter(|_| key.is_forwarded());
        if forwarding.is_none() && self.target.is_none() {
            // RFC 9110 §11.7.2: it is for the next proxy, which is whom CONNECT asks; a server is
            // told nothing of it.
            request.headers_mut().remove(PROXY_AUTHORIZATION);
        }
        self.access.shown = (None, None);
        let has_any = self.access.own.is_some() || !settings.keyring.is_empty();
        if forwarding.is_none() && !has_any {
            return Ok(request);
        }
        let content = replay.and_then(Body::as_whole);
        let asked = Asked {
            method: self.method.as_str(),
            target: match &self.target {
                Some(target) => target.as_str(),
                None => &self.url[Position::BeforePath..Position::AfterQuery],
            },
            content: content.as_deref(),
        };
        let is_once = is_read_once(request.body(), replay);
        let origin = self.url.origin();
        let mut shown = (None, None);
        if !request.headers().contains_key(AUTHORIZATION) {
            let whom = origin.ascii_serialization();
            let place = self.at_server(&whom, &origin);
            let given = settings.keyring.authorize(place, &asked)?;
            if let Some((value, sent)) = given {
                request.headers_mut().insert(AUTHORIZATION, value);
                shown.0 = Some(sent);
            } else if is_once && settings.keyring.is_challenge_known(place) == Some(true) {
                return Err(unproven("server"));
            }
        }
        if let Some(proxy) = forwarding
            && let Some(own) = proxy.own_credentials()
            && !request.headers().contains_key(PROXY_AUTHORIZATION)
        {
            let whom = proxy.whom();
            let target = self.target(key);
            let asked = Asked { target, ..asked };
            let place = Place::at_proxy(&whom, own);
            if let Some((value, sent)) = settings.keyring.authorize(place, &asked)? {
                request.headers_mut().insert(PROXY_AUTHORIZATION, value);
                shown.1 = Some(sent);
            } else if is_once && settings.keyring.is_challenge_known(place) == Some(true) {
                return Err(unproven("proxy"));
            }
        }
        self.access.shown = shown;
        Ok(request)
    }

    /// Whether the response is a challenge that the same request may meet when it is sent again.
    pub(super) fn is_challenged(
        &mut self,
        settings: &Settings,
        head: &http::response::Parts,
        replay: Replay,
    ) -> bool {
        let headers = &head.headers;
        if head.status == StatusCode::EXPECTATION_FAILED && self.access.adds_expect {
            // RFC 9110 §10.1.1: it may be sent again without the expectation.
            self.access.is_impatient = true;
            return replay == Replay::Possible;
        }
        let is_asked = matches!(
            head.status,
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        );
        // Where nobody has ever asked, nothing is kept that this could be about.
        let is_told = || {
            let mut infos = [SERVER_INFO, PROXY_INFO].into_iter();
            settings.keyring.was_asked() && infos.any(|it| headers.contains_key(it))
        };
        let is_served = self.access.waited && head.status.is_success();
        if !is_asked && !is_served && !is_told() {
            return false;
        }
        let Ok((key, _)) = self.aim(settings) else {
            return false;
        };
        let environment = &**settings.context.environment();
        let origin = self.url.origin();
        let server = origin.ascii_serialization();
        let at_server = self.at_server(&server, &origin);
        // A server beyond a tunnel is no proxy, whatever it says.
        let proxy = key.proxy().filter(|_| key.is_forwarded());
        let whom = proxy.map(|proxy| proxy.whom()).unwrap_or_default();
        let at_proxy = proxy
            .and_then(|proxy| proxy.own_credentials())
            .map(|own| Place::at_proxy(&whom, own));
        let (place, name, sent) = match (head.status, at_proxy) {
            (StatusCode::UNAUTHORIZED, _) => {
                (at_server, WWW_AUTHENTICATE, self.access.shown.0.as_ref())
            }
            (StatusCode::PROXY_AUTHENTICATION_REQUIRED, Some(at_proxy)) => {
                (at_proxy, PROXY_AUTHENTICATE, self.access.shown.1.as_ref())
            }
            _ => {
                let places = [
                    (Some(at_server), SERVER_INFO, AUTHORIZATION),
                    (at_proxy, PROXY_INFO, PROXY_AUTHORIZATION),
                ];
                for (place, name, by_hand) in places {
                    let Some(place) = place else { continue };
                    if let Some(info) = headers.get(name) {
                        settings.keyring.on_info(place, info, environment);
                    }
                    if is_served && !self.headers.contains_key(by_hand) {
                        settings.keyring.on_unasked(place);
                    }
                }
                return false;
            }
        };
        settings.keyring.on_asked(place);
        let met = match self.access.challenged.as_ref() == Some(&origin) {
            true => self.access.challenges,
            false => 0,
        };
        let is_possible = replay == Replay::Possible
            && met < CHALLENGES_MAX
            && !is_set_by_hand(&self.headers, &name);
        let may_help = is_possible
            && settings
                .keyring
                .on_challenge(place, headers.get_all(name), sent, environment);
        if may_help {
            self.access.challenges = met + 1;
            self.access.challenged = Some(origin);
        }
        may_help
    }

    fn at_server<'a>(&'a self, whom: &'a str, origin: &Origin) -> Place<'a> {
        let own = self.access.own.as_ref();
        Place {
            whom,
            path: self.url.path(),
            own: own.filter(|(of, _)| of == origin).map(|(_, own)| own),
        }
    }
}

/// A proxy's part in it: it forwards what it may, and opens tunnels for the rest.
pub(super) fn by_proxy(
    key: Key,
    wish: Wish,
    proxy: &Proxy,
    may_forward: bool,
) -> Result<(Key, Wish), Error> {
    let may_forward = may_forward && !key.is_protected && proxy.forwards();
    if may_forward && wish.versions.contains(Version::Http1) {
        return Ok((Key::forwarded(proxy), wish));
    }
    let wish = without_udp(wish, || format!("through {proxy}"))?;
    Ok((key.tunnelled(proxy), wish))
}

/// The versions that need no UDP, which does not lead this way.
fn without_udp(wish: Wish, way: impl Fn() -> String) -> Result<Wish, Error> {
    let versions = wish.versions.without(Version::Http3.into());
    if versions.is_empty() {
        let detail = format!("HTTP/3 is not spoken {}: it needs UDP", way());
        let kind = FailureKind::Unsupported;
        return Err(Error::local(ErrorClass::Version, kind, detail));
    }
    Ok(Wish {
        versions,
        tries_http3: false,
    })
}

/// Whether there is content that can be read once only, of which `replay` is what repeats it.
fn is_read_once(body: &Body, replay: Option<&Body>) -> bool {
    replay.is_none() && !body.is_end_stream()
}

/// The failure of a Digest that is asked for and cannot be made.
fn unproven(whom: &str) -> Error {
    Error::invalid(format!(
        "the {whom} asks for a Digest of the content (auth-int), which can be read once only"
    ))
}

/// Whether the application answers this challenge itself.
fn is_set_by_hand(headers: &HeaderMap, challenge: &HeaderName) -> bool {
    match *challenge == WWW_AUTHENTICATE {
        true => headers.contains_key(AUTHORIZATION),
        false => headers.contains_key(PROXY_AUTHORIZATION),
    }
}

/// Challenges of one origin and of a proxy before it that are answered: each may come first without
/// anything to show, then for a nonce that has become stale.
const CHALLENGES_MAX: usize = 4;

const SERVER_INFO: HeaderName = HeaderName::from_static("authentication-info");
pub(super) const PROXY_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");
