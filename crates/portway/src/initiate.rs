//! Active open (RFC 9622 §7.1): plan, race, hand over.

use crate::connection::{Connection, Establishing};
use crate::error::EstablishmentError;
use crate::open::{Opened, open};
use crate::preconnection::Preconnection;
use portway_core::RemoteEndpoint;
use portway_core::message::Message;
use portway_core::plan::{Action, Plan};
use portway_core::race::{Event, RaceConfig};
use portway_transport::context::Context;
use portway_transport::driver::{RaceRequest, Record, run_race};
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// An active open that has not started. Await it, or refine it first.
#[must_use = "nothing happens until it is awaited"]
pub struct Initiate {
    preconnection: Preconnection,
    timeout: Option<Duration>,
    first_message: Option<Message>,
    record: Record,
    on_event: Option<EventSink>,
}

type EventSink = Box<dyn FnMut(&Event) + Send>;

impl Initiate {
    pub(crate) fn new(preconnection: Preconnection) -> Self {
        Initiate {
            preconnection,
            timeout: None,
            first_message: None,
            record: Record::No,
            on_event: None,
        }
    }

    /// Gives up after `timeout`, with every attempt so far in the error.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// `InitiateWithSend` (RFC 9622 §9.2.5): sends `message` as soon as the connection is ready.
    /// A failure of the whole is the error of establishment only.
    pub fn first_message(mut self, message: impl Into<Message>) -> Self {
        self.first_message = Some(message.into());
        self
    }

    /// Keeps everything that went into the race and came out, for [`Connection::take_recording`].
    pub fn record(mut self) -> Self {
        self.record = Record::Yes;
        self
    }

    /// Sees every decision of the race as it is made.
    pub fn on_event(mut self, sink: impl FnMut(&Event) + Send + 'static) -> Self {
        self.on_event = Some(Box::new(sink));
        self
    }

    /// Connects in a task of its own and returns at once.
    ///
    /// # Errors
    /// The request cannot be planned.
    pub fn background(self) -> Result<Connection, EstablishmentError> {
        let prepared = self.prepare()?;
        let connection = prepared.connection.clone();
        let environment = prepared.context.environment().clone();
        let establishing = connection.establishing();
        environment.spawn(Box::pin(prepared.run_unless_dropped(establishing)));
        Ok(connection)
    }

    fn prepare(self) -> Result<Prepared, EstablishmentError> {
        let context = self.preconnection.context_or_default();
        let plan = self
            .preconnection
            .plan_in(&context, Action::Initiate)
            .map_err(EstablishmentError::Plan)?;
        let config = race_config(&context, &plan, self.timeout);
        let request = RaceRequest {
            config,
            record: self.record,
            choose_paths: Box::new(move |paths| plan.choose_paths(paths)),
        };
        let connection = Connection::establishing_with(&context, &self.preconnection);
        if let Some(message) = self.first_message {
            connection
                .enqueue_first(message)
                .map_err(|error| EstablishmentError::Failed(error.failure()))?;
        }
        Ok(Prepared {
            context,
            preconnection: Arc::new(self.preconnection),
            request,
            connection,
            on_event: self.on_event,
        })
    }
}

impl IntoFuture for Initiate {
    type Output = Result<Connection, EstablishmentError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let prepared = self.prepare()?;
            let connection = prepared.connection.clone();
            prepared.run().await?;
            Ok(connection)
        })
    }
}

struct Prepared {
    context: Context,
    preconnection: Arc<Preconnection>,
    request: RaceRequest,
    connection: Connection,
    on_event: Option<EventSink>,
}

impl Prepared {
    async fn run(self) -> Result<(), EstablishmentError> {
        let establishing = self.connection.establishing();
        let Prepared {
            context,
            preconnection,
            request,
            connection,
            on_event,
        } = self;
        drop(connection);
        match race(&context, preconnection, request, on_event, &establishing).await {
            Ok(()) => Ok(()),
            Err(error) => {
                establishing.fail(error.failure(), error.report().cloned().map(Box::new));
                Err(error)
            }
        }
    }

    async fn run_unless_dropped(self, establishing: Establishing) {
        tokio::select! {
            () = establishing.abandoned() => {}
            // The failure is told through the connection's state and events.
            _ = self.run() => {}
        }
    }
}

async fn race(
    context: &Context,
    preconnection: Arc<Preconnection>,
    request: RaceRequest,
    mut on_event: Option<EventSink>,
    establishing: &Establishing,
) -> Result<(), EstablishmentError> {
    let dial = |leaf, progress| {
        let (context, preconnection) = (context.clone(), preconnection.clone());
        Box::pin(async move { open(&context, &preconnection, leaf, &progress).await }) as _
    };
    let tell = |event: &Event| {
        if let Some(sink) = &mut on_event {
            sink(event);
        }
        establishing.tell(event);
    };
    let outcome = run_race::<Opened, _, _>(context.environment(), request, dial, tell).await;
    match outcome {
        Ok(winner) => {
            context.learn(winner.learned);
            establishing.finish(winner.established, winner.report, winner.recording);
            Ok(())
        }
        Err(lost) => {
            context.learn(lost.learned);
            Err(EstablishmentError::Race {
                failure: lost.failure,
                report: lost.report,
                recording: lost.recording,
            })
        }
    }
}

/// The race that a plan asks for.
pub(crate) fn race_config(context: &Context, plan: &Plan, timeout: Option<Duration>) -> RaceConfig {
    let environment = context.environment();
    let mut seed = [0; 8];
    environment.fill_random(&mut seed);
    let mut timing = context.timing().clone();
    if let Some(timeout) = timeout {
        timing.deadline = Some(environment.now() + timeout);
    }
    let remotes = plan
        .remotes()
        .iter()
        .cloned()
        .map(with_port)
        .collect::<Vec<_>>();
    RaceConfig {
        uses_https_records: remotes.iter().any(is_https),
        remotes,
        candidates: plan.candidates(),
        locals: plan.locals().to_vec(),
        paths: plan.paths().to_vec(),
        pin_paths: plan.pins_paths(),
        timing,
        limits: context.limits().clone(),
        history: context.history().clone(),
        seed: u64::from_le_bytes(seed),
        may_mix_security: plan.may_mix_security(),
        families: context.families(),
        ..RaceConfig::default()
    }
}

/// A race knows ports, not the names of services.
fn with_port(remote: RemoteEndpoint) -> RemoteEndpoint {
    match remote.resolved_port() {
        Some(port) => remote.port(port),
        None => remote,
    }
}

/// RFC 9460 §9: HTTPS records belong to the schemes of HTTP, other services have none yet.
fn is_https(remote: &RemoteEndpoint) -> bool {
    match remote.service_name() {
        Some(service) => matches!(service, "https" | "http"),
        None => remote.resolved_port() == Some(443),
    }
}
