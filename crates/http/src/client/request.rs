//! A request that is being put together.

use super::Body;
use super::Client;
use super::access::Access;
use super::credentials::Credentials;
use super::error::{Error, Phase};
use super::exchange::{Exchange, copied};
use super::interim::Interim;
use super::multipart::Form;
use super::policy::{VersionPolicy, Wish};
use super::proxy::{Proxies, without_user};
use super::raw_body::RawBody;
use super::redirect::{self, Replay};
use super::response::Response;
use super::response_head::ResponseHead;
use super::telemetry::{self, Underway};
use super::timeouts::{Deadline, within};
use super::upgraded;
use crate::pool::{Version, Versions};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{HeaderMap, Method};
use http_body::Body as _;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;
use url::Url;

/// A request that is being put together. Nothing happens before [`RequestBuilder::send`].
#[must_use = "nothing is sent before `send`"]
pub struct RequestBuilder {
    client: Client,
    exchange: Result<Box<Exchange>, Error>,
    redirects_max: usize,
    total: Option<Duration>,
}

impl RequestBuilder {
    pub(super) fn new(client: Client, method: Method, url: &str) -> Self {
        let settings = &client.shared.settings;
        let headers = copied(&settings.headers);
        let response_head = settings.timeouts.response_head;
        let wish = settings.wish;
        let mut access = Access::default();
        let prepare = |url: &mut Url| {
            url.set_fragment(None);
            access = Access::new(url);
        };
        let exchange = (client.shared.last_origin)
            .read(url, prepare)
            .map_err(|error| Error::invalid(format!("{}: {error}", without_user(url))))
            .map(|url| {
                Box::new(Exchange {
                    method,
                    url,
                    headers,
                    added: Default::default(),
                    target: None,
                    body: Body::empty(),
                    wish,
                    interim: Interim::default(),
                    server_name: None,
                    response_head,
                    access,
                })
            });
        RequestBuilder {
            redirects_max: settings.redirects_max,
            total: settings.timeouts.total,
            client,
            exchange,
        }
    }

    fn change(mut self, change: impl FnOnce(&mut Exchange) -> Result<(), Error>) -> Self {
        self.exchange = self.exchange.and_then(|mut exchange| {
            change(&mut exchange)?;
            Ok(exchange)
        });
        self
    }

    /// Sets a header field. What is invalid is told by [`RequestBuilder::send`].
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.change(|exchange| {
            let invalid = |error: http::Error| Error::invalid(format!("header field: {error}"));
            let name = name.try_into().map_err(|error| invalid(error.into()))?;
            let value = value.try_into().map_err(|error| invalid(error.into()))?;
            exchange.headers.insert(name, value);
            Ok(())
        })
    }

    /// Adds header fields to those that are there.
    pub fn headers(self, headers: &HeaderMap) -> Self {
        self.change(|exchange| {
            for (name, value) in headers {
                exchange.headers.append(name.clone(), value.clone());
            }
            Ok(())
        })
    }

    /// Sets header fields in place of those of the client that have the same names.
    pub(super) fn replace_headers(self, headers: &HeaderMap) -> Self {
        self.change(|exchange| {
            for name in headers.keys() {
                exchange.headers.remove(name);
            }
            exchange.headers.extend(headers.clone());
            Ok(())
        })
    }

    /// Sets the body: bytes, text, or [`Body::stream`].
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.change(|exchange| {
            exchange.body = body.into();
            Ok(())
        })
    }

    /// Sets a body of JSON, and its type.
    pub fn json(self, value: &(impl serde::Serialize + ?Sized)) -> Self {
        self.change(|exchange| {
            let json = serde_json::to_vec(value)
                .map_err(|error| Error::invalid(format!("no JSON: {error}")))?;
            exchange.body = json.into();
            let kind = HeaderValue::from_static("application/json");
            exchange.headers.entry(CONTENT_TYPE).or_insert(kind.clone());
            exchange.headers.entry(ACCEPT).or_insert(kind);
            Ok(())
        })
    }

    /// Sets a body of names and values as an HTML form sends them, and its type.
    pub fn form(self, pairs: &(impl serde::Serialize + ?Sized)) -> Self {
        self.change(|exchange| {
            let form = serde_urlencoded::to_string(pairs)
                .map_err(|error| Error::invalid(format!("no form: {error}")))?;
            exchange.body = form.into();
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            exchange.headers.entry(CONTENT_TYPE).or_insert(kind);
            Ok(())
        })
    }

    /// Sets a body of several parts, and its type. It can be sent again where no part is a stream.
    pub fn multipart(self, form: Form) -> Self {
        let mut random = [0; 16];
        let shared = &self.client.shared;
        shared.environment().fill_random(&mut random);
        let boundary = format!("portway-{:032x}", u128::from_be_bytes(random));
        self.change(|exchange| {
            exchange.body = form.into_body(&boundary);
            let kind = format!("multipart/form-data; boundary={boundary}");
            let kind = HeaderValue::try_from(kind).map_err(|e| Error::invalid(e.to_string()))?;
            // Without the boundary the content could not be read.
            exchange.headers.insert(CONTENT_TYPE, kind);
            Ok(())
        })
    }

    /// Makes it a CONNECT to this authority.
    pub(super) fn tunnel(self, authority: &str) -> Self {
        self.change(|exchange| {
            let authority = authority.parse::<Authority>();
            let authority = authority.map_err(|error| Error::invalid(error.to_string()))?;
            if authority.port_u16().is_none() {
                return Err(Error::invalid(format!("{authority} names no port")));
            }
            exchange.target = Some(authority);
            exchange.wish = Wish::exactly(Versions::of([Version::Http1, Version::Http2]));
            Ok(())
        })
    }

    /// Adds these names and values to the query of the URL.
    pub fn query(self, pairs: &(impl serde::Serialize + ?Sized)) -> Self {
        self.change(|exchange| {
            let query = serde_urlencoded::to_string(pairs)
                .map_err(|error| Error::invalid(format!("no query: {error}")))?;
            let joined = match exchange.url.query().filter(|before| !before.is_empty()) {
                Some(before) => format!("{before}&{query}"),
                None => query,
            };
            let url = exchange.url.change();
            url.set_query((!joined.is_empty()).then_some(&joined));
            Ok(())
        })
    }

    /// Takes this version of HTTP, or what the policy lets be used instead; the table is in
    /// `docs/http-versions.md`. HTTP/3 is tried without being offered when it is named here.
    pub fn version(self, version: Version, policy: VersionPolicy) -> Self {
        self.change(|exchange| {
            exchange.wish = Wish::of(version, policy);
            Ok(())
        })
    }

    /// Takes these versions of HTTP and no other one, whichever are offered. In cleartext HTTP/2 is
    /// spoken only where HTTP/1.1 is not taken, and then without asking.
    pub fn versions(self, versions: impl Into<Versions>) -> Self {
        self.change(|exchange| {
            let versions = versions.into();
            if versions.is_empty() {
                return Err(Error::invalid("a request takes one version at least"));
            }
            exchange.wish = Wish::exactly(versions);
            Ok(())
        })
    }

    /// Hears the interim responses of HTTP/1.1 and 3, those before the response; hyper passes over
    /// those of HTTP/2. `sink` must return at once.
    pub fn on_interim(self, sink: impl Fn(&http::Response<()>) + Send + Sync + 'static) -> Self {
        self.change(|exchange| {
            exchange.interim = Interim::new(sink);
            Ok(())
        })
    }

    /// Asks for and checks this name of the server instead of the one of the `host` field, or of
    /// the URL where that is not set.
    pub fn server_name(self, name: &str) -> Self {
        self.change(|exchange| {
            exchange.server_name = Some(Arc::from(name));
            Ok(())
        })
    }

    /// Sends it through a proxy, or through whichever [`Proxies`] choose, instead of the client's.
    pub fn proxy(self, proxies: impl Into<Proxies>) -> Self {
        self.change(|exchange| {
            exchange.access.proxies = Some(proxies.into());
            Ok(())
        })
    }

    /// Sends it through this socket of the file system, as [`ClientBuilder::unix_socket`]; what
    /// redirects make of it, too.
    ///
    /// [`ClientBuilder::unix_socket`]: super::ClientBuilder::unix_socket
    pub fn unix_socket(self, path: impl AsRef<Path>) -> Self {
        self.change(|exchange| {
            exchange.access.socket = Some(path.as_ref().into());
            Ok(())
        })
    }

    /// Shows these credentials to the origin of its URL instead of the client's; an
    /// `authorization` field that is set goes before either. After a redirect to another origin
    /// they are not shown.
    pub fn credentials(self, credentials: Credentials) -> Self {
        self.change(|exchange| {
            exchange.access.own(&exchange.url, credentials);
            Ok(())
        })
    }

    /// Shows user and password by Basic, as [`RequestBuilder::credentials`].
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        self.credentials(Credentials::basic(user, password))
    }

    /// Shows a token, as [`RequestBuilder::credentials`].
    pub fn bearer_auth(self, token: &str) -> Self {
        self.credentials(Credentials::bearer(token))
    }

    /// Follows so many redirects at most; with zero they are responses like others.
    pub fn redirects(mut self, max: usize) -> Self {
        self.redirects_max = max;
        self
    }

    /// Ends everything, the reading of the body included, after this time.
    pub fn timeout(mut self, total: Duration) -> Self {
        self.total = Some(total);
        self
    }

    /// Sends the request and waits for the head of the response.
    ///
    /// Cancel safety: dropping the future takes the request back; its connection's dial goes on
    /// for a while for others, and no other request notices.
    ///
    /// # Errors
    /// See [`ErrorClass`](super::ErrorClass). A response of any status is not an error.
    pub async fn send(self) -> Result<Response, Error> {
        let RequestBuilder {
            client,
            exchange,
            redirects_max,
            total,
        } = self;
        let exchange = exchange?;
        let underway = Underway::begin(&client.shared.settings, &exchange);
        let span = telemetry::span(&exchange);
        let sending = send(client, exchange, redirects_max, total);
        // In a box: whoever calls moves its own future, often into a task and there about.
        let mut answered = match span.is_disabled() {
            true => Box::pin(sending).await,
            false => Box::pin(sending.instrument(span.clone())).await,
        };
        let told = answered.as_ref().map(|response| &response.head);
        telemetry::conclude(&span, told);
        if let Some(underway) = &underway {
            underway.on_head(told);
        }
        if let Ok(response) = &mut answered {
            response.body.count(underway);
        }
        answered
    }
}

/// One call: the exchange, and those that redirects make of it.
async fn send(
    client: Client,
    mut exchange: Box<Exchange>,
    redirects_max: usize,
    total: Option<Duration>,
) -> Result<Response, Error> {
    let shared = client.shared;
    let mut total = Deadline::after(&**shared.environment(), total, Phase::Total);
    let mut redirects = 0;
    let settings = &shared.settings;
    let habits = &settings.habits;
    loop {
        habits.prepare(&mut exchange, settings);
        let is_repeatable = exchange.body.replay().is_some();
        let (response, lease) = {
            let running = pin!(exchange.run(&shared));
            within(&mut total, running).await?
        };
        // A stream is there again when the answer came before any of it was sent.
        let replay = match is_repeatable || !exchange.body.is_end_stream() {
            true => Replay::Possible,
            false => Replay::Impossible,
        };
        let (mut head, content) = response.into_parts();
        let (info, is_reused) = (lease.info().clone(), lease.is_reused());
        let is_left = upgraded::is_left(&exchange.method, head.status);
        let body = RawBody::new(content, lease, total, is_left);
        habits.learn(&exchange, &head.headers, settings);
        let from = exchange.url.clone();
        if exchange.is_challenged(settings, &head, replay) {
            exchange.interim.repeat();
            total = body.into_limit();
            continue;
        }
        if redirects_max > 0 && redirect::follow(&mut exchange, head.status, &head.headers, replay)?
        {
            if redirects == redirects_max {
                return Err(redirect::too_many(redirects_max));
            }
            redirects += 1;
            exchange.interim.begin();
            total = body.into_limit();
            continue;
        }
        let max = settings.content_max;
        let body = habits.content(&exchange, &mut head.headers, body, max);
        let head = ResponseHead::new(head, from, info, redirects, is_reused);
        return Ok(Response { head, body });
    }
}
