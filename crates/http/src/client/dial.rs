//! A dial: the race of a key's endpoints, then hyper's handshake upon what won.
//!
//! Invariant: everything that a dial started lives in its future, so dropping that ends it.

use super::Body;
use super::alternatives::Alternative;
use super::coalescing::{Finder, Found};
use super::error::{Error, ErrorClass, Phase};
use super::event::{ClientEvent, ConnectionInfo, Phases, Reason};
use super::frames::Frames;
use super::http3::Http3;
use super::key::Key;
use super::link::Link;
use super::listener::{Listener, Listening};
use super::policy::Wish;
use super::proxy::{Fate, Proxy, Route, Trunks};
use super::racing::{Course, Rules};
use super::settings::Settings;
use super::socket;
use super::watch::Watch;
use crate::carrier_io::CarrierIo;
use crate::pool::{DialId, Version};
use hyper::client::conn::{http1, http2};
use portway_core::race::Leaf;
use portway_core::security::Protection;
use portway_core::{Failure, FailureKind, Origin, SecurityParameters};
use portway_transport::environment::Environment;
use portway_transport::established::{ByteCarrier, Carrier, Established};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Weak};

/// What a dial yields.
pub(super) struct Dialled {
    pub(super) sender: Sender,
    pub(super) info: Arc<ConnectionInfo>,
    /// Moves the connection, and ends with it.
    pub(super) work: Work,
    /// What hears of the connection, where it was there already.
    pub(super) root: Option<Arc<Link>>,
}

/// This end of a connection.
pub(super) enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
    Http3(Http3),
}

/// What is to be dialled.
pub(super) struct Call {
    pub(super) id: DialId,
    pub(super) key: Key,
    pub(super) wish: Wish,
    /// Knows the connections that are there.
    pub(super) finder: Finder,
    /// Those to proxies.
    pub(super) trunks: Arc<Trunks>,
}

/// Dials a key. `listener` hears of the connection as a whole.
pub(super) async fn dial(
    settings: Arc<Settings>,
    call: Call,
    listener: Arc<dyn Listener>,
) -> Result<Dialled, Error> {
    match way(&settings, call).await? {
        Way::Shared(found) => Ok((*found).into()),
        Way::New(ground, info) => with_http(&settings, *ground, info, listener).await,
    }
}

/// What leads to a key.
pub(super) enum Way {
    /// A connection that was there.
    Shared(Box<Found>),
    /// What HTTP is to be spoken upon, and what is told of it.
    New(Box<Ground>, Arc<ConnectionInfo>),
}

/// Finds the way to a key.
pub(super) async fn way(settings: &Arc<Settings>, call: Call) -> Result<Way, Error> {
    let Call {
        id,
        key,
        wish,
        finder,
        trunks,
    } = call;
    if let Some(found) = finder.by_origin(wish.versions) {
        return Ok(Way::Shared(Box::new(found)));
    }
    let environment = settings.context.environment().clone();
    let watch = Watch::new(settings.clone(), id, environment.now());
    let by_knowledge = !key.is_protected && !wish.versions.contains(Version::Http1);
    if let Some(path) = key.socket() {
        let security = security(&settings.security, &key, wish)?;
        let opening = socket::open(settings, &key, &security, wish, (path, &watch));
        let mut ground = watch.bounded(opening).await?;
        let info = ConnectionInfo {
            unix_socket: Some(path.to_owned()),
            ..ground.info(by_knowledge, watch.phases(environment.now()))
        };
        return Ok(Way::New(Box::new(ground), Arc::new(info)));
    }
    if let Some(proxy) = key.proxy() {
        settings.tell(|| ClientEvent::ThroughProxy {
            dial: id,
            proxy: proxy.to_string(),
        });
        let route = Route {
            settings,
            trunks: &trunks,
            proxy,
            key: &key,
            security: security(&settings.security, &key, wish)?,
            wish,
        };
        // In a box of its own, as every other dial would be as large otherwise.
        let opening = Box::pin(route.open(&watch));
        let mut ground = opening.await.map_err(|e| at_proxy(e, proxy))?;
        let info = ConnectionInfo {
            proxy: Some(proxy.to_string()),
            ..ground.info(by_knowledge, watch.phases(environment.now()))
        };
        return Ok(Way::New(Box::new(ground), Arc::new(info)));
    }
    let aims = Aims::of_client(settings, key, wish)?;
    let _blocking = Blocking {
        settings,
        watch: &watch,
        aims: &aims,
    };
    let mut ground = match watch.bounded(race(&aims, finder, watch.clone())).await? {
        Reached::Established(ground) => ground,
        Reached::Shared(found) => return Ok(Way::Shared(found)),
    };
    let info = ground.info(by_knowledge, watch.phases(environment.now()));
    let leaf = ground.leaf.as_ref();
    let alternative = leaf.and_then(|leaf| aims.alternative(leaf.remote_index));
    let info = ConnectionInfo {
        reason: match (info.version, &alternative) {
            (Version::Http3, Some(_)) => Reason::Alternative,
            (Version::Http3, None) if leaf.is_some_and(|it| it.svcb_priority.is_some()) => {
                Reason::Record
            }
            (Version::Http3, None) => Reason::AskedFor,
            _ => Reason::Negotiated(watch.quic_outcome()),
        },
        alternative: alternative.map(|alternative| alternative.to_string()),
        ..info
    };
    Ok(Way::New(ground, Arc::new(info)))
}

/// Begins HTTP upon what it is spoken upon.
async fn with_http(
    settings: &Arc<Settings>,
    ground: Ground,
    info: Arc<ConnectionInfo>,
    listener: Arc<dyn Listener>,
) -> Result<Dialled, Error> {
    let (sender, work) = match ground.carrier {
        Carrier::Quic(quic) => {
            let (sender, work) = Http3::new(&quic, settings, listener)?;
            (Sender::Http3(sender), work)
        }
        Carrier::Bytes(bytes) => {
            let environment = settings.context.environment().clone();
            handshake(environment, bytes, info.version, listener).await?
        }
        _ => {
            let detail = "datagrams without QUIC cannot carry HTTP";
            let failure = Failure::new(Origin::Local, FailureKind::Unsupported, detail);
            return Err(Error::of_dial(failure, None));
        }
    };
    Ok(Dialled {
        sender,
        info,
        work,
        root: None,
    })
}

/// Connects to a proxy.
pub(super) async fn to_proxy(
    settings: Arc<Settings>,
    proxy: Proxy,
    is_forwarded: bool,
    watch: Watch,
) -> Result<Ground, Error> {
    let (key, wish, base) = proxy.leg(&settings, is_forwarded);
    // A connection to another origin leads to no proxy.
    let finder = Finder::new(Weak::new(), key.clone());
    let alternatives = settings.alternatives_for(&key, wish);
    let aims = Aims::new(&settings, &base, key, wish, &alternatives)?;
    let _blocking = Blocking {
        settings: &settings,
        watch: &watch,
        aims: &aims,
    };
    match race(&aims, finder, watch.clone()).await {
        Ok(Reached::Established(ground)) => Ok(*ground),
        Ok(Reached::Shared(_)) => unreachable!("nothing is found for a proxy"),
        Err(error) => Err(error.at_proxy(&proxy)),
    }
}

/// Before anything was connected, it can only have been the proxy that was waited for.
fn at_proxy(error: Error, proxy: &Proxy) -> Error {
    match error.class() {
        ErrorClass::TimedOut(Phase::Resolve | Phase::Connect) if error.proxy().is_none() => {
            error.at_proxy(proxy)
        }
        _ => error,
    }
}

/// Moves what is below some work until that is done.
pub(super) async fn with_below<T>(
    work: impl Future<Output = T>,
    below: impl Future<Output = ()>,
) -> T {
    let below = async {
        below.await;
        // Whatever is above is told of the end by what it reads and writes.
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        done = work => done,
        never = below => match never {},
    }
}

impl From<Found> for Dialled {
    fn from(found: Found) -> Self {
        Dialled {
            sender: found.sender,
            info: Arc::new(found.info),
            // Whoever dialled it moves it.
            work: Box::pin(std::future::ready(())),
            root: Some(found.root),
        }
    }
}

/// What HTTP is spoken upon.
pub(super) struct Ground {
    pub(super) carrier: Carrier,
    pub(super) protection: Option<Protection>,
    /// The leaf of the race; none without one.
    pub(super) leaf: Option<Leaf>,
    /// What became of the tunnel that it is, where that shares its connection.
    pub(super) fate: Option<Fate>,
}

impl Ground {
    /// What is spoken. `by_knowledge` says whether HTTP/2 is where nothing is agreed on.
    fn version(&self, by_knowledge: bool) -> Version {
        let protection = self.protection.as_ref();
        match (&self.carrier, protection.and_then(|p| p.alpn.as_deref())) {
            (Carrier::Quic(_), _) => Version::Http3,
            (_, Some(b"h2")) => Version::Http2,
            (_, None) if by_knowledge => Version::Http2,
            _ => Version::Http1,
        }
    }

    /// What is told of it, as if it were the only way to go; its protection goes along.
    fn info(&mut self, by_knowledge: bool, phases: Phases) -> ConnectionInfo {
        let (local, remote) = match &self.carrier {
            Carrier::Quic(quic) => (quic.local_address(), quic.connection().remote_address()),
            Carrier::Bytes(bytes) => (bytes.socket.local_address(), bytes.socket.peer_address()),
            _ => (NOWHERE, NOWHERE),
        };
        ConnectionInfo {
            version: self.version(by_knowledge),
            local,
            remote,
            reason: Reason::Negotiated(None),
            alternative: None,
            proxy: None,
            unix_socket: None,
            protection: self.protection.take(),
            phases,
            fate: self.fate.clone(),
        }
    }
}

impl From<Established> for Ground {
    fn from(established: Established) -> Self {
        let Established {
            carrier,
            protection,
            leaf,
            ..
        } = established;
        Ground {
            carrier,
            protection,
            leaf: Some(leaf),
            fate: None,
        }
    }
}

/// What a leaf of the race leads to.
enum Reached {
    Established(Box<Ground>),
    /// A connection that was there.
    Shared(Box<Found>),
}

/// Keeps alternatives that did not answer from being tried again for a while, however the dial
/// ends.
struct Blocking<'a> {
    settings: &'a Settings,
    watch: &'a Watch,
    aims: &'a Aims,
}

impl Drop for Blocking<'_> {
    fn drop(&mut self) {
        for remote in self.watch.silent_over_quic() {
            if let Some(alternative) = self.aims.alternative(remote) {
                self.settings.block(&self.aims.key, &alternative);
            }
        }
    }
}

pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn handshake(
    environment: Arc<dyn Environment>,
    carrier: ByteCarrier,
    version: Version,
    listener: Arc<dyn Listener>,
) -> Result<(Sender, Work), Error> {
    let failed = |error| super::classify::classify(error, version).0;
    if version == Version::Http1 {
        let io = CarrierIo::new(carrier, Listening::new(None, listener)).request_first();
        let (sender, connection) = http1::handshake(io).await.map_err(failed)?;
        return Ok((Sender::Http1(sender), work_of(connection.with_upgrades())));
    }
    let listening = Listening::new(Some(Frames::default()), listener);
    let io = CarrierIo::new(carrier, listening).corked();
    let mut builder = http2::Builder::new(Spawner(environment));
    builder
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let (sender, connection) = Box::pin(builder.handshake(io)).await.map_err(failed)?;
    Ok((Sender::Http2(sender), work_of(connection)))
}

/// Moves a connection of hyper. How it ended is told to the request, or nobody was there to tell.
fn work_of<T>(mut connection: impl Future<Output = T> + Send + Unpin + 'static) -> Work {
    // An asynchronous block would have room for the connection twice, for as long as it stays.
    Box::pin(poll_fn(move |context| {
        Pin::new(&mut connection).poll(context).map(drop)
    }))
}

/// Runs hyper's tasks in the environment.
#[derive(Clone)]
pub(super) struct Spawner(pub(super) Arc<dyn Environment>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, task: F) {
        self.0.spawn(Box::pin(task));
    }
}

async fn race(aims: &Aims, finder: Finder, watch: Watch) -> Result<Reached, Error> {
    let attempt = |leaf: Leaf, progress| {
        watch.on_started();
        let own = aims.alternative(leaf.remote_index).is_none();
        let found = own.then(|| finder.at(&leaf)).flatten();
        let establishing = aims.course.establish(leaf, progress);
        Box::pin(async move {
            if let Some(found) = found {
                return Ok(Reached::Shared(Box::new(found)));
            }
            Ok(Reached::Established(Box::new(establishing.await?.into())))
        }) as _
    };
    aims.course.run(attempt, watch.clone()).await
}

/// What a dial aims at: the endpoints of a key, and the stacks that its request takes.
struct Aims {
    key: Key,
    course: Course,
}

impl Aims {
    /// With the protection that the client was built with.
    fn of_client(settings: &Settings, key: Key, wish: Wish) -> Result<Self, Error> {
        let alternatives = settings.alternatives_for(&key, wish);
        if key.server_name.is_some() || !alternatives.is_empty() {
            return Aims::new(settings, &settings.security, key, wish, &alternatives);
        }
        let (context, is_protected) = (&settings.context, key.is_protected);
        let rules = settings.rules.get(context, is_protected, wish, || {
            security(&settings.security, &key, wish)
        });
        let course = rules.and_then(|rules| Course::to(context, rules, key.remote()))?;
        Ok(Aims { key, course })
    }

    fn new(
        settings: &Settings,
        base: &SecurityParameters,
        key: Key,
        wish: Wish,
        alternatives: &[Alternative],
    ) -> Result<Self, Error> {
        let mut remotes = vec![key.remote()];
        let mut security = security(base, &key, wish)?;
        if !alternatives.is_empty() && key.server_name.is_none() {
            // RFC 7838 §2.1: wherever it is, it proves to be the origin.
            security = security.with_server_name(key.host());
        }
        remotes.extend(alternatives.iter().map(Alternative::remote));
        let rules = Rules::new(&settings.context, security, wish, remotes)?;
        let course = Course::of(&settings.context, rules);
        Ok(Aims { key, course })
    }

    /// The alternative service that a remote endpoint of the race is.
    fn alternative(&self, remote: usize) -> Option<Alternative> {
        Alternative::of(self.course.remotes().get(remote)?)
    }
}

/// Makes what dials of a client with https have in common. What is wrong is told by the first one.
pub(super) fn prepare(settings: &Settings) {
    let wish = settings.wish;
    let rules = settings.rules.get(&settings.context, true, wish, || {
        offering(&settings.security, wish)
    });
    drop(rules);
}

/// The protection of a key.
fn security(base: &SecurityParameters, key: &Key, wish: Wish) -> Result<SecurityParameters, Error> {
    if !key.is_protected {
        return Ok(SecurityParameters::disabled());
    }
    let security = offering(base, wish)?;
    Ok(match &key.server_name {
        Some(name) => security.with_server_name(&**name),
        None => security,
    })
}

/// TLS that offers these versions; each stack takes what it can carry.
fn offering(base: &SecurityParameters, wish: Wish) -> Result<SecurityParameters, Error> {
    if !matches!(base, SecurityParameters::Required(_)) {
        return Err(Error::invalid("https needs a client with TLS"));
    }
    let names = wish.versions.newest_first().map(Version::alpn);
    Ok(base.clone().with_alpn(names))
}

/// The ends of datagrams without QUIC, upon which no HTTP is spoken.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What a peer may send of one response before its reader takes it.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// What a peer may send of all responses together.
const CONNECTION_WINDOW_BYTES: u32 = 5 * 1024 * 1024;
