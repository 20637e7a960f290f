//! A dial: the race of a key's endpoints, then hyper's handshake upon what won.
//!
//! Invariant: everything that a dial started lives in its future, so dropping that ends it.

use super::Body;
use super::error::{Error, Phase};
use super::event::{ClientEvent, ConnectionInfo, Phases};
use super::frames::Frames;
use super::io::{CarrierIo, Listener};
use super::key::Key;
use super::settings::Settings;
use super::timeouts::{Deadline, Timeouts};
use crate::pool::{DialId, Version, Versions};
use hyper::client::conn::{http1, http2};
use portway_core::path::Path;
use portway_core::plan::{Action, Plan, PlanRequest};
use portway_core::race::{Event, EventKind, Progress};
use portway_core::stack::WireProtocol;
use portway_core::{Failure, FailureKind, Origin, SecurityParameters, Time};
use portway_transport::driver::{Observer, RacePaths, RaceRequest, Record, Terms, run_race};
use portway_transport::environment::{Environment, TcpOptions};
use portway_transport::establish::establish;
use portway_transport::established::{ByteCarrier, Carrier, Established};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// What a dial yields.
pub(super) struct Dialled {
    pub(super) sender: Sender,
    pub(super) info: ConnectionInfo,
    /// Moves the connection, and ends with it.
    pub(super) work: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// hyper's end of a connection.
pub(super) enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// Dials a key. `listener` hears of the connection as a whole.
pub(super) async fn dial(
    settings: Arc<Settings>,
    id: DialId,
    key: Key,
    versions: Versions,
    listener: Arc<dyn Listener>,
) -> Result<Dialled, Error> {
    let environment = settings.context.environment().clone();
    let watch = Watch::new(settings.clone(), id, environment.now());
    let race = race(&settings, &key, versions, watch.clone());
    let established = watch.bounded(race).await?;
    let version = match established
        .protection
        .as_ref()
        .and_then(|p| p.alpn.as_deref())
    {
        Some(b"h2") => Version::Http2,
        None if !key.is_protected && !versions.contains(Version::Http1) => Version::Http2,
        _ => Version::Http1,
    };
    let Carrier::Bytes(carrier) = established.carrier else {
        let detail = "a stack without a byte stream cannot carry this version of HTTP";
        let failure = Failure::new(Origin::Local, FailureKind::Unsupported, detail);
        return Err(Error::of_dial(failure, None));
    };
    let info = ConnectionInfo {
        version,
        local: carrier.socket.local_address(),
        remote: carrier.socket.peer_address(),
        protection: established.protection,
        phases: watch.phases(environment.now()),
    };
    let (sender, work) = handshake(environment, carrier, version, listener).await?;
    Ok(Dialled { sender, info, work })
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn handshake(
    environment: Arc<dyn Environment>,
    carrier: ByteCarrier,
    version: Version,
    listener: Arc<dyn Listener>,
) -> Result<(Sender, Work), Error> {
    let failed = |error| super::classify::classify(error, version).0;
    if version == Version::Http1 {
        let io = CarrierIo::new(carrier, None, listener);
        let (sender, connection) = http1::handshake(io).await.map_err(failed)?;
        // How it ended is told to the request, or nobody was there to tell.
        let work = Box::pin(async move { drop(connection.await) });
        return Ok((Sender::Http1(sender), work));
    }
    let io = CarrierIo::new(carrier, Some(Frames::default()), listener);
    let (sender, connection) = http2::Builder::new(Spawner(environment))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(io)
        .await
        .map_err(failed)?;
    let work = Box::pin(async move { drop(connection.await) });
    Ok((Sender::Http2(sender), work))
}

/// Runs hyper's tasks in the environment.
#[derive(Clone)]
struct Spawner(Arc<dyn Environment>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, task: F) {
        self.0.spawn(Box::pin(task));
    }
}

async fn race(
    settings: &Arc<Settings>,
    key: &Key,
    versions: Versions,
    watch: Watch,
) -> Result<Established, Error> {
    let context = &settings.context;
    let environment = context.environment();
    let security = security(&settings.security, key, versions)?;
    let paths = environment.paths();
    let plan = plan(settings, key, security.clone(), paths.clone())?;
    let mut config = context.race_config(&plan);
    // RFC 9460 §9.5: with http, a record would demand https, which nobody asked for.
    config.uses_https_records = key.is_protected;
    context.bring_up_to_date(&mut config);
    let request = RaceRequest {
        terms: Terms::Race(Box::new(config), Record::No),
        paths: Arc::new(Known { paths, plan }),
    };
    let attempt = |leaf, progress| {
        let (context, security) = (context.clone(), security.clone());
        let mut options = TcpOptions::default();
        options.no_delay = Some(true);
        Box::pin(
            async move { establish(&context, leaf, &security, &options, Some(&progress)).await },
        ) as _
    };
    match run_race(environment, request, attempt, watch).await {
        Ok(winner) => {
            context.learn(|history| winner.account.teach(history));
            Ok(winner.established)
        }
        Err(lost) => {
            context.learn(|history| {
                history.rtts.extend(&lost.learned.rtts);
                history.used.extend(&lost.learned.used);
            });
            Err(Error::of_dial(lost.failure, Some(lost.report)))
        }
    }
}

/// The protection of a key, which offers these versions.
fn security(
    base: &SecurityParameters,
    key: &Key,
    versions: Versions,
) -> Result<SecurityParameters, Error> {
    if !key.is_protected {
        return Ok(SecurityParameters::disabled());
    }
    if !matches!(base, SecurityParameters::Required(_)) {
        return Err(Error::invalid("https needs a client with TLS"));
    }
    let names = versions.newest_first().filter_map(|version| match version {
        Version::Http2 => Some("h2"),
        Version::Http1 => Some("http/1.1"),
        Version::Http3 => None,
    });
    let security = base.clone().with_alpn(names);
    Ok(match &key.server_name {
        Some(name) => security.with_server_name(&**name),
        None => security,
    })
}

fn plan(
    settings: &Settings,
    key: &Key,
    security: SecurityParameters,
    paths: Vec<Path>,
) -> Result<Plan, Error> {
    let mut request = PlanRequest::new(Action::Initiate, security);
    request.remotes = vec![key.remote()];
    request.paths = paths;
    let stacks = settings.context.stacks().iter();
    let over_tcp = stacks.filter(|stack| stack.wire == WireProtocol::Tcp);
    request.stacks = over_tcp.cloned().collect();
    Plan::new(request).map_err(|error| Error::invalid(format!("{key}: {error}")))
}

/// The paths of a race, chosen by its plan.
struct Known {
    paths: Vec<Path>,
    plan: Plan,
}

impl RacePaths for Known {
    fn known(&self) -> &[Path] {
        &self.paths
    }

    fn choose(&self, paths: Vec<Path>) -> Vec<Path> {
        self.plan.choose_paths(paths)
    }
}

/// Sees how far a race has come, tells it, and keeps its time limits.
#[derive(Clone)]
struct Watch {
    settings: Arc<Settings>,
    id: DialId,
    marks: Arc<Mutex<Marks>>,
}

#[derive(Clone, Copy)]
struct Marks {
    started: Time,
    attempted: Option<Time>,
    connected: Option<Time>,
}

impl Watch {
    fn new(settings: Arc<Settings>, id: DialId, started: Time) -> Self {
        let marks = Marks {
            started,
            attempted: None,
            connected: None,
        };
        Watch {
            settings,
            id,
            marks: Arc::new(Mutex::new(marks)),
        }
    }

    fn marks(&self) -> Marks {
        *self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phases(&self, ready: Time) -> Phases {
        let marks = self.marks();
        let attempted = marks.attempted.unwrap_or(ready);
        Phases {
            resolved: attempted - marks.started,
            connected: marks.connected.unwrap_or(ready) - marks.started,
            ready: ready - marks.started,
        }
    }

    /// Runs the race unless one of its phases takes too long.
    async fn bounded<T>(&self, race: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let environment = &**self.settings.context.environment();
        let mut race = pin!(race);
        let mut deadline: Option<(Deadline, Phase)> = None;
        poll_fn(|context| {
            if let Poll::Ready(done) = race.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            let due = self.marks().due(&self.settings.timeouts);
            self.poll_due(due, &mut deadline, environment, context)
                .map(Err)
        })
        .await
    }

    fn poll_due(
        &self,
        due: Option<(Time, Phase)>,
        deadline: &mut Option<(Deadline, Phase)>,
        environment: &dyn Environment,
        context: &mut Context<'_>,
    ) -> Poll<Error> {
        let Some((at, phase)) = due else {
            return Poll::Pending;
        };
        match deadline {
            Some((deadline, of)) if *of == phase => deadline.poll(context),
            other => {
                let (deadline, _) = other.insert((Deadline::new(environment, at, phase), phase));
                deadline.poll(context)
            }
        }
    }
}

impl Marks {
    /// When the present phase must have ended.
    fn due(&self, limits: &Timeouts) -> Option<(Time, Phase)> {
        let (since, limit, phase) = match (self.attempted, self.connected) {
            (None, _) => (self.started, limits.resolve, Phase::Resolve),
            (Some(since), None) => (since, limits.connect, Phase::Connect),
            (_, Some(since)) => (since, limits.handshake, Phase::Handshake),
        };
        limit.map(|limit| (since + limit, phase))
    }
}

impl Observer for Watch {
    fn is_attentive(&self) -> bool {
        true
    }

    fn on_event(&mut self, event: &Event) {
        {
            let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
            match &event.kind {
                EventKind::AttemptStarted { .. } => {
                    marks.attempted.get_or_insert(event.at);
                }
                EventKind::Progressed {
                    progress: Progress::TransportConnected { .. },
                    ..
                } => {
                    marks.connected.get_or_insert(event.at);
                }
                _ => {}
            }
        }
        self.settings
            .tell(|| ClientEvent::Race(self.id, event.clone()));
    }
}

/// What a peer may send of one response before its reader takes it.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// What a peer may send of all responses together.
const CONNECTION_WINDOW_BYTES: u32 = 5 * 1024 * 1024;
